"""How a fetch is doing: how much, how fast, how long still, and what it waits for."""

from __future__ import annotations

from math import exp

from whispurrnet.store.sources import Sources
from whispurrnet.store.transfer_events import Progress
from whispurrnet.wire.ids import ObjectId

EVERY_S = 0.25
"""Progress is told no more often than this, in seconds."""
SMOOTH_S = 2.0
"""Over how long the rate is smoothed, in seconds."""


class Tally:
    """How much of an object is here, and the rate at which it comes.

    Args:
        oid: The object.
        now: When it begins, in monotonic seconds.
    """

    __slots__ = ("_at", "_bytes", "_told_at", "oid", "rate_bps", "total", "verified")

    def __init__(self, oid: ObjectId, now: float) -> None:
        self.oid = oid
        self.total = self.verified = 0
        """Bytes."""
        self.rate_bps = 0.0
        """Bytes a second."""
        self._told_at = now - EVERY_S
        self._at = now
        self._bytes = 0

    def add(self, n: int) -> None:
        """So many bytes more are here."""
        self.verified += n
        self._bytes += n

    def due(self, now: float) -> bool:
        """Whether it may be told again."""
        return now - self._told_at >= EVERY_S

    def tell(self, sources: Sources, waiting: str, now: float) -> Progress:
        """How it is going; the next `due` is counted from here."""
        self._told_at = now
        span_s = now - self._at
        if span_s >= EVERY_S / 2:
            measured = self._bytes / span_s
            share = 1 - exp(-span_s / SMOOTH_S) if self.rate_bps else 1.0
            self.rate_bps += share * (measured - self.rate_bps)
            self._at, self._bytes = now, 0
        rates = tuple((source.peer, source.rate(now)) for source in sources)
        left, rate_bps = self.total - self.verified, self.rate_bps
        eta_s = left / rate_bps if rate_bps >= 1 else None
        return Progress(self.oid, self.verified, self.total, rate_bps, eta_s, rates, waiting)
