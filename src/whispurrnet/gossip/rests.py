"""Rests: whom not to ask for a while, because it refused, could not be reached, or one pruned.

A *backoff* was agreed: who pruned a peer said for how long, and both sides hold to it. A *rest* is
our own: whoever refused, hung up or did not answer is left alone for as long. But

- whoever has no neighbour at all cannot be choosy: then a rest is short at first, and twice as long
  each time;
- a refusal answers what was asked. Who has no room for somebody that merely would like to come may
  have it for somebody in need, so it does not stand against an urgent question.

Source: MESH.md 1.4, "PRUNE backoff 60 s"; GossipSub v1.1 (libp2p specs), "Prune backoff".
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import msgspec

from whispurrnet.base.bounded import LruDict
from whispurrnet.gossip.neighbours import Config

GRACE_S = 5.0
"""We wait so much longer than the others enforce, for the way takes its time."""

REMEMBERED_MAX = 1024
"""Keys whose rest or backoff outlives the session."""

DOUBLINGS_MAX = 8


class _Rest(msgspec.Struct, frozen=True):
    """When it began, in monotonic seconds, how often in a row, and whether by a polite refusal."""

    since: float
    times: int
    polite: bool


class Rests:
    """The rests and backoffs of one node, by static key.

    Args:
        config: Settings.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._backoffs: LruDict[bytes, float] = LruDict(REMEMBERED_MAX)
        self._rests: LruDict[bytes, _Rest] = LruDict(REMEMBERED_MAX)

    def back_off(self, key: bytes, until: float) -> None:
        """One of the two pruned the other: neither takes the other before, in seconds.

        Of two backoffs the longer one holds: nobody shortens what was agreed.
        """
        known = self._backoffs.peek(key)
        self._backoffs.put(key, until if known is None else max(known, until))

    def in_backoff(self, key: bytes, now: float) -> bool:
        """Whether a key must not be taken."""
        until = self._backoffs.peek(key)
        return until is not None and now < until

    def rest(self, key: bytes, now: float, *, polite: bool = False) -> None:
        """Do not ask this key for a while.

        Args:
            key: Whose.
            now: Monotonic time in seconds.
            polite: It refused what was not urgent.
        """
        known, pause_s = self._rests.peek(key), self._config.prune_backoff_s
        again = known is not None and now < known.since + 2 * pause_s
        times = known.times + 1 if known is not None and again else 1
        self._rests.put(key, _Rest(now, times, polite))

    def is_rested(self, key: bytes, now: float, *, alone: bool, urgent: bool = False) -> bool:
        """Whether a key may be asked.

        Args:
            key: Whose.
            now: Monotonic time in seconds.
            alone: We have no neighbour at all.
            urgent: We are in need, and would say so.
        """
        return self._ends_at(key, alone=alone, urgent=urgent) <= now

    def next_end(self, keys: Iterable[bytes], now: float, *, alone: bool) -> float:
        """When the first of these keys that rest may be asked urgently; infinity: none rests."""
        ends = (self._ends_at(key, alone=alone, urgent=True) for key in keys)
        return min((end for end in ends if end > now), default=inf)

    def _ends_at(self, key: bytes, *, alone: bool, urgent: bool) -> float:
        until, rest = self._backoffs.peek(key), self._rests.peek(key)
        ends_at = -inf if until is None else until + GRACE_S
        if rest is None or (urgent and rest.polite):
            return ends_at
        pause_s = self._config.prune_backoff_s + GRACE_S
        if alone:
            doublings = min(rest.times - 1, DOUBLINGS_MAX)
            pause_s = min(pause_s, self._config.alone_s * 2**doublings)
        return max(ends_at, rest.since + pause_s)
