"""The heartbeat of a channel: when to ask whether the peer lives, and when it is taken for dead.

Anything authentic that comes is life. Only where nothing was sent or nothing was heard for a
while is a PING due; its answer also measures the round trip.

Source: RFC 6298, section 2 (the smoothed round trip).
"""

from __future__ import annotations

from math import inf

PINGS_MAX = 8
"""How many PINGs wait for their answer at most; the oldest is given up for the ninth."""


class Heartbeat:
    """What one end knows of the other's life."""

    __slots__ = ("_asked", "_asked_at", "_dead_after", "heard_at", "interval_s", "limit_s",
                 "rtt_s", "sent_at", "suspended")  # fmt: skip

    def __init__(self, interval_s: float, dead_after: int, now: float) -> None:
        self._dead_after = dead_after
        self.interval_s = interval_s
        self.limit_s = interval_s * dead_after
        self.heard_at = now
        """When something authentic came, in seconds."""
        self.sent_at = now
        """When something was sent, in seconds."""
        self.suspended = False
        """Whether we do not listen, so that silence means nothing."""
        self.rtt_s: float | None = None
        """The round trip, smoothed; None until the first was measured."""
        self._asked: dict[bytes, float] = {}  # token -> when
        self._asked_at = now

    def __len__(self) -> int:
        return len(self._asked)

    @property
    def ask_at(self) -> float:
        """When a PING is due, in seconds."""
        quiet_since = self.sent_at if self.suspended else min(self.heard_at, self.sent_at)
        return max(quiet_since, self._asked_at) + self.interval_s

    @property
    def dead_at(self) -> float:
        """When the peer is taken for dead if nothing comes, in seconds."""
        return inf if self.suspended else self.heard_at + self.limit_s

    def stretch(self, interval_s: float, now: float) -> None:
        """Another time from now on, because one end falls asleep or wakes; silence counts anew.

        Without that, who wakes would take everybody for dead whom it did not hear in its sleep.
        """
        if interval_s != self.interval_s:
            self.interval_s, self.limit_s = interval_s, interval_s * self._dead_after
            self.heard_at = now

    def suspend(self, suspended: bool, now: float) -> None:
        """We stop listening, or begin again: from then on silence counts anew."""
        self.suspended = suspended
        self.heard_at = now

    def wait(self, now: float) -> None:
        """A PING is due but the last was not sent yet: ask again one interval later."""
        self._asked_at = now

    def ask(self, token: bytes, now: float) -> None:
        """A PING with this token is about to be sent."""
        self._asked_at = now
        if len(self._asked) >= PINGS_MAX:
            del self._asked[next(iter(self._asked))]
        self._asked[token] = now

    def answer(self, token: bytes, now: float) -> float | None:
        """A PONG came: the round trip in seconds, or None if nobody asked for it."""
        asked_at = self._asked.pop(token, None)
        if asked_at is None:
            return None
        seconds = now - asked_at
        smoothed = self.rtt_s
        self.rtt_s = seconds if smoothed is None else smoothed + (seconds - smoothed) / 8
        return seconds
