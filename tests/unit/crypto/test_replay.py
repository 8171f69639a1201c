"""The replay window against the simplest model there is: a set."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.replay import ReplayWindow


def test_each_counter_once():
    window = ReplayWindow()
    assert [window.accept(n) for n in (0, 0, 1, 5, 3, 3, 5, 4)] == [
        True, False, True, True, True, False, False, True,
    ]  # fmt: skip


def test_edges_of_the_window():
    window = ReplayWindow(128)
    assert window.accept(1000)
    assert window.accept(1000 - 127)
    assert not window.accept(1000 - 128)
    assert not window.accept(0)


def test_a_jump_forgets_what_is_behind():
    window = ReplayWindow(64)
    assert window.accept(0)
    assert window.accept(10**9)
    assert window.accept(10**9 - 63)
    assert not window.accept(10**9 - 64)
    assert not window.accept(10**9)


def test_the_end_of_the_counter():
    window = ReplayWindow()
    assert not window.accept(-1)
    assert not window.accept(2**64 - 1)
    assert not window.accept(2**64 - 8192)
    assert window.accept(2**64 - 8193)
    assert not window.accept(2**64 - 8193)


@pytest.mark.parametrize("size", [0, -64, 100])
def test_sizes(size):
    with pytest.raises(UsageError):
        ReplayWindow(size)


@pytest.mark.parametrize("seed", range(40))
def test_it_is_a_set_with_an_end(seed):
    rng = Random(seed)
    size = rng.choice([64, 128, 192])
    window, seen, newest = ReplayWindow(size), set(), -1
    counter = 0
    for _ in range(2000):
        step = rng.choice([1, 1, 1, 2, -3, -size, size, 63, 64, 65, rng.randrange(-400, 400)])
        counter = max(0, counter + step)
        expected = counter not in seen and counter > newest - size
        assert window.accept(counter) is expected
        if expected:
            seen.add(counter)
            newest = max(newest, counter)
