"""Comparing with one neighbour, now and then, all that both hold.

It finds what neither a push nor an announcement brought: what was sent while this node was away,
or while the mesh was in two parts. One comparison goes on at a time, and lasts a few messages.

Source: MESH.md 1.4, "Anti-entropy"; the messages are those of `wire.reconcile`.

Invariant: what a neighbour answers changes nothing unless it is the one that was asked.
"""

from __future__ import annotations

import msgspec

from whispurrnet.base.errors import ProtocolError
from whispurrnet.gossip.cache import Cache
from whispurrnet.wire.items import ID_BYTES
from whispurrnet.wire.reconcile import Reconciler

ROUNDS_MAX = 32
"""After so many answers a comparison ends, finished or not."""

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
