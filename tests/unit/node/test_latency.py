"""Which readings are timed, and what their times come to."""

from __future__ import annotations

import pytest

from whispurrnet.node.latency import EVERY, KEPT, Figures, Latency


def of(*times: float) -> Figures | None:
    latency = Latency()
    for seconds in times:
        latency.add(seconds)
    return latency.figures()


def test_one_in_so_many_is_timed_the_first_too() -> None:
    latency = Latency()
    due = [latency.due() for _ in range(3 * EVERY)]
    assert [n for n, is_due in enumerate(due) if is_due] == [0, EVERY, 2 * EVERY]


def test_before_the_first_there_is_nothing_to_tell() -> None:
    assert Latency().figures() is None


@pytest.mark.parametrize(
    ("times", "p50_ms", "p99_ms"),
    [
        ((0.002,), 2.0, 2.0),
        ((0.003, 0.001), 1.0, 3.0),
        (tuple(n / 1000 for n in range(100, 0, -1)), 50.0, 99.0),
        ((0.0000004,), 0.0, 0.0),
        ((-1.0,), 0.0, 0.0),
    ],
)
def test_figures_are_those_of_a_reading(
    times: tuple[float, ...], p50_ms: float, p99_ms: float
) -> None:
    assert of(*times) == Figures(p50_ms=p50_ms, p99_ms=p99_ms, samples=len(times))


def test_only_the_last_count() -> None:
    found = of(*[9.0] * 1000, *[0.001] * KEPT)
    assert found == Figures(p50_ms=1.0, p99_ms=1.0, samples=KEPT)
