"""How fast: a limit in bytes a second that what is larger than its burst passes, too.

A `TokenBucket` never lends. Chunks are large beside a low limit, so here one may be spent as soon
as nothing is owed, and the next waits until the debt is paid: in the long run the rate is exact.
"""

from __future__ import annotations

BURST_S = 0.1
"""What was not spent in so long is lost, in seconds."""


class Pacer:
    """Permission to move bytes; without a rate there is no limit."""

    __slots__ = ("_at", "_tokens", "rate")

    def __init__(self, rate: float | None = None) -> None:
        self.rate = rate
        """Bytes a second; 0 is a halt, None no limit."""
        self._tokens = 0.0
        self._at: float | None = None

    def limit(self, rate: float | None, now: float) -> None:
        """Another rate from now on."""
        self._fill(now)
        self.rate = rate
        if rate is None:
            self._tokens = 0.0

    def ready(self, now: float) -> bool:
        """Whether something may move now."""
        return self.rate is None or self._fill(now) >= 0

    def spend(self, n: int, now: float) -> None:
        """Something of `n` bytes moves; it need not have been `ready`."""
        if self.rate is not None:
            self._tokens = self._fill(now) - n

    def ready_at(self, now: float) -> float | None:
        """When something may move again, in seconds; None if it may now, or never again."""
        if self.rate is None:
            return None
        tokens = self._fill(now)
        if tokens >= 0 or self.rate <= 0:
            return None
        # A little later than exactly, so that rounding does not make it come too early.
        return now - tokens / self.rate + 1e-6

    def _fill(self, now: float) -> float:
        rate, at = self.rate, self._at
        if at is None or now > at:
            self._at = now
            if at is not None and rate is not None:
                self._tokens = min(rate * BURST_S, self._tokens + (now - at) * rate)
        if rate is not None and rate <= 0:
            return -1.0
        return self._tokens
