from __future__ import annotations

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.source import Source

CHUNK = 1 << 18


class Path:
    """A path of one rate, kept as full as the window allows."""

    def __init__(self, rate: float) -> None:
        self.source = Source(1, 1, 0.0)
        self.rate = rate
        self.now = self.free_at = 0.0
        self.index = 0
        self.arrivals: list[tuple[float, int]] = []

    def feed(self, delay_s: float, seconds: float) -> int:
        """Let time pass with this delay; return the window at its end."""
        source, end = self.source, self.now + seconds
        while self.now < end:
            while source.inflight + CHUNK <= source.window(CHUNK, 2, 64):
                source.ask(self.index, CHUNK, self.now)
                self.free_at = max(self.free_at, self.now + delay_s / 2) + CHUNK / self.rate
                self.arrivals.append((self.free_at + delay_s / 2, self.index))
                self.index += 1
            at, done = self.arrivals.pop(0)
            self.now = max(self.now, at)
            source.begun(source.asked[done], self.now - CHUNK / self.rate)
            source.arrived(CHUNK, self.now)
            source.finished(done, self.now)
        source.check_invariants()
        return source.window(CHUNK, 2, 64)


@pytest.mark.parametrize(
    ("rate", "delay_s"), [(6.25e6, 0.1), (1e8, 0.001), (4e7, 0.02), (1e5, 0.05)]
)
def test_the_window_is_that_of_the_path(rate: float, delay_s: float) -> None:
    path = Path(rate)
    product = rate * delay_s
    window = path.feed(delay_s, 30.0 if rate < 1e6 else 3.0)
    assert product <= window <= 1.6 * product + 5 * CHUNK
    # It is found again when the path becomes longer, and shorter again.
    window = path.feed(4 * delay_s, 25.0)
    assert 4 * product <= window <= 6.4 * product + 5 * CHUNK
    window = path.feed(delay_s, 25.0)
    assert product <= window <= 1.6 * product + 5 * CHUNK


def test_what_a_complete_source_lacks_after_all() -> None:
    source = Source(1, 1, 0.0)
    source.complete = True
    assert source.has(7)
    source.lacks(5, 10)
    assert not source.has(7)
    assert source.has(4) and source.has(10)
    assert source.spans(20)[0] == (0, 5)


def test_it_says_only_so_often_what_it_has() -> None:
    source = Source(1, 1, 0.0)
    for _ in range(100):
        source.changes(1.0)
    with pytest.raises(ProtocolError):
        source.changes(1.0)
    source.changes(100.0)


def test_what_was_cancelled_may_still_come() -> None:
    source = Source(1, 1, 0.0)
    source.ask(3, 100, 0.0)
    source.asked[3].got, source.asked[3].parts = 40, [memoryview(bytes(40))]
    source.check_invariants()
    assert source.cancel(3) == 100
    assert source.late.peek(3) == 60
    assert source.inflight == 0
