"""Keeping freed memory: asked for once, and no trouble where it cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from whispurrnet.node import memory


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    memory.keep_freed_memory.cache_clear()
    yield
    memory.keep_freed_memory.cache_clear()


class Glibc:
    def __init__(self, answers: tuple[int, int]) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[int, int]] = []

    def mallopt(self, option: int, value: int) -> int:
        self.calls.append((option, value))
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("answers", "kept"), [((1, 1), True), ((0, 1), False), ((1, 0), False), ((0, 0), False)]
)
def test_it_is_kept_if_the_library_says_so(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[int, int], kept: bool
) -> None:
    glibc = Glibc(answers)
    monkeypatch.setattr("ctypes.CDLL", lambda _: glibc)
    assert memory.keep_freed_memory() is kept
    assert glibc.calls[0] == (-1, 4 << 20)
    assert not kept or glibc.calls[1] == (-3, 1 << 20)


def test_it_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    glibc = Glibc((1, 1))
    monkeypatch.setattr("ctypes.CDLL", lambda _: glibc)
    assert [memory.keep_freed_memory() for _ in range(3)] == [True] * 3
    assert len(glibc.calls) == 2


@pytest.mark.parametrize("error", [OSError, TypeError])
def test_without_such_a_library_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(_: Any) -> None:
        raise error

    monkeypatch.setattr("ctypes.CDLL", fail)
    assert memory.keep_freed_memory() is False


def test_another_c_library_knows_no_such_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert memory.keep_freed_memory() is False
