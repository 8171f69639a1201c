from __future__ import annotations

import pytest

from whispurrnet.store.throttle import Pacer


@pytest.mark.parametrize("size", [100, 1000, 400_000])
def test_the_rate_is_exact_in_the_long_run(size: int) -> None:
    pacer, now, moved = Pacer(100_000.0), 0.0, 0
    while now < 100:
        while pacer.ready(now):
            pacer.spend(size, now)
            moved += size
        at = pacer.ready_at(now)
        assert at is not None and at > now
        now = at
        assert pacer.ready(now)
    assert moved == pytest.approx(100_000 * now, rel=0.05)


def test_without_a_rate_there_is_no_limit() -> None:
    pacer = Pacer()
    pacer.spend(10**12, 0.0)
    assert pacer.ready(0.0)
    assert pacer.ready_at(0.0) is None


def test_nothing_is_a_halt_until_it_is_more() -> None:
    pacer = Pacer(0.0)
    assert not pacer.ready(0.0) and not pacer.ready(1e9)
    assert pacer.ready_at(1e9) is None
    pacer.limit(1000.0, 1e9)
    assert pacer.ready(1e9)
    pacer.limit(None, 1e9)
    assert pacer.ready(1e9)


def test_what_was_not_spent_is_not_saved_up() -> None:
    pacer = Pacer(1000.0)
    assert pacer.ready(0.0) and pacer.ready(3600.0)
    pacer.spend(101, 3600.0)
    assert not pacer.ready(3600.0)
