"""Comparing with one neighbour, now and then, all that both hold.

It finds what neither a push nor an announcement brought: what was sent while this node was away,
or while the mesh was in two parts. One comparison goes on at a time, and lasts a few messages.

Source: MESH.md 1.4, "Anti-entropy"; the messages are those of `wire.reconcile`. It says "the last
300 s of ids": that is all that is held, since what is older has expired and is forgotten at once.
So no window of time is given. The time of an item is when it expires, and cutting off those that
soon will would save next to nothing.

Invariant: what a neighbour answers changes nothing unless it is the one that was asked.
"""

from __future__ import annotations

from math import inf

import msgspec

from whispurrnet.base.errors import ProtocolError
from whispurrnet.gossip.cache import Cache
from whispurrnet.gossip.spread_events import Rng
from whispurrnet.wire.items import ID_BYTES
from whispurrnet.wire.reconcile import Reconciler

ROUNDS_MAX = 32
"""After so many answers a comparison ends, finished or not."""

FIRST_SYNC_S = 2.0
"""How soon we compare with a new neighbour, at most, in seconds."""

OURS_BYTES = 16
_PAD = bytes(ID_BYTES - OURS_BYTES)


class Compared(msgspec.Struct, frozen=True):
    """What came of an answer."""

    query: bytes | None
    """What to ask next; None when all is known."""
    have: list[bytes]
    """Ids that only we hold."""
    need: list[bytes]
    """Ids that only the neighbour holds, or says so."""


class Repair:
    """The comparisons of one node.

    Args:
        cache: What it holds.
    """

    def __init__(self, cache: Cache) -> None:
        self.peer: int | None = None
        """Who is being asked."""
        self._cache = cache
        self._ours: Reconciler | None = None

    def begin(self, peer: int) -> bytes:
        """Ask a neighbour; a comparison with another ends. Return the first query."""
        self.peer = peer
        self._ours = Reconciler(self._cache.items, rounds_max=ROUNDS_MAX)
        return self._ours.initiate()

    def stop(self) -> None:
        """Ask nobody any more."""
        self.peer = self._ours = None

    def answer(self, query: bytes) -> bytes:
        """The answer to a neighbour's query.

        Raises:
            ProtocolError: The query is malformed.
        """
        return Reconciler(self._cache.items).answer(query)

    def take(self, peer: int, answer: bytes) -> Compared | None:
        """Read an answer; None if nobody asked that neighbour.

        Raises:
            ProtocolError: The answer is malformed; nothing is asked of this neighbour any more.
        """
        if self._ours is None or peer != self.peer:
            return None
        self._ours.items = self._cache.items
        try:
            query, have, need = self._ours.continue_(answer)
        except ProtocolError:
            self.stop()
            raise
        if query is None:
            self.stop()
        return Compared(query, _short(have), _short(need))


def _short(ids: list[bytes]) -> list[bytes]:
    """Our ids; whatever else a neighbour named is left out."""
    return [id[:OURS_BYTES] for id in ids if id.endswith(_PAD)]


class Rounds:
    """When to compare, and with whom: with each new neighbour soon, then with any now and then.

    A new neighbour may have been in another part of the mesh, so each has to be asked.

    Args:
        every_s: How often, give or take a fifth, in seconds.
        rng: Chance.
    """

    def __init__(self, every_s: float, rng: Rng) -> None:
        self.deadline = inf
        """When the next comparison begins; infinite without neighbours."""
        self._every_s = every_s
        self._rng = rng
        self._new: dict[int, None] = {}
        self._known: dict[int, None] = {}

    def add(self, peer: int, now: float) -> None:
        """A neighbour came."""
        self._new[peer] = None
        self.deadline = min(self.deadline, now + FIRST_SYNC_S * self._rng.random())

    def remove(self, peer: int) -> None:
        """It went."""
        self._new.pop(peer, None)
        self._known.pop(peer, None)
        if not self._new and not self._known:
            self.deadline = inf

    def next(self, now: float) -> int | None:
        """Whom to compare with now, if it is time."""
        if self.deadline > now:
            return None
        chance = self._rng.random
        if self._new:
            peer = next(iter(self._new))
            del self._new[peer]
            self._known[peer] = None
        else:
            peer = list(self._known)[int(chance() * len(self._known))]
        wait_s = FIRST_SYNC_S * chance() if self._new else self._every_s * (0.8 + 0.4 * chance())
        self.deadline = now + wait_s
        return peer
