"""How long the node takes over what arrives: a few of all readings of links, timed.

What is timed is one reading: from the bytes of a link to all that they led to, handed to the
application or laid out for others. It may hold one message or hundreds. Timing each of them would
cost time itself, so it is one in `EVERY`; who is timed does not depend on what arrived.

Invariant: at most `KEPT` times are kept, and nothing of what was read.
"""

from __future__ import annotations

from collections import deque
from math import ceil

import msgspec

EVERY = 16
"""One reading of so many is timed."""

KEPT = 512
"""Figures are those of so many times, the last ones."""


class Figures(msgspec.Struct, frozen=True):
    """Figures of some times."""

    p50_ms: float
    """Half of the times are at most this, in milliseconds."""
    p99_ms: float
    samples: int
    """How many times there are: at most `KEPT`."""


class Latency:
    """Chooses which readings are timed, and keeps the last times."""

    __slots__ = ("_count", "_times")

    def __init__(self) -> None:
        self._count = 0
        self._times: deque[float] = deque(maxlen=KEPT)

    def due(self) -> bool:
        """Whether the reading that begins now is to be timed; the first is."""
        count = self._count
        self._count = (count + 1) % EVERY
        return not count

    def add(self, seconds: float) -> None:
        """A reading took so long; a clock that went back counts as nothing."""
        self._times.append(max(0.0, seconds))

    def figures(self) -> Figures | None:
        """What the last times come to; None before the first."""
        times = sorted(self._times)
        if not times:
            return None
        return Figures(
            p50_ms=_ms(_rank(times, 0.5)),
            p99_ms=_ms(_rank(times, 0.99)),
            samples=len(times),
        )


def _rank(times: list[float], share: float) -> float:
    """The nearest-rank percentile of sorted times: always one of them."""
    return times[ceil(share * len(times)) - 1]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
