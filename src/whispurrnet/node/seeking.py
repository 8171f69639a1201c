"""Reaching those who are registered under a name, again and again.

Whoever crashed has left its name and a place where nobody answers behind, so all who are found are
tried at the same time, each by one attempt at a time, and nobody waits for those who do not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from whispurrnet.base.errors import WhispurrError
from whispurrnet.node.feed import Feed

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer
    from whispurrnet.wire.ticket import Ticket

TRIED_MAX: Final = 16
"""How many are tried at the same time."""

CONNECT_S: Final = 15.0
"""How long to try to reach one of them."""


class Seeker:
    """Looks for those under one name.

    Args:
        node: Who looks.
        name: What for.
    """

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self._name = name
        self._reached: Feed[tuple[bytes, Peer]] = Feed(TRIED_MAX, lossy=True)
        self._trying: dict[bytes, None] = {}
        self._looking = False

    async def next(self, wait_s: float) -> tuple[bytes, Peer] | None:
        """Look again, and wait so long for one who is reached; the same may come again.

        Returns:
            The static key and the peer, or None.
        """
        if not self._looking:
            self._looking = True
            self._node.spawn(self._look())
        try:
            async with asyncio.timeout(wait_s):
                return await anext(self._reached)
        except TimeoutError:
            return None

    async def _look(self) -> None:
        try:
            async for ticket in self._node.find(self._name):
                key = ticket.static_key
                if key not in self._trying and len(self._trying) < TRIED_MAX:
                    self._trying[key] = None
                    self._node.spawn(self._reach(ticket))
        except WhispurrError:
            return  # too much is being looked for; it is tried again
        finally:
            self._looking = False

    async def _reach(self, ticket: Ticket) -> None:
        try:
            peer = await reached(self._node, ticket)
            if peer is not None:
                self._reached.put(((ticket.static_key, peer),))
        finally:
            del self._trying[ticket.static_key]


async def reached(node: Node, ticket: Ticket) -> Peer | None:
    """The peer of a ticket, connected, or None if it is not to be reached now."""
    for peer in node.peers:
        if peer.record.static_key == ticket.static_key:
            return peer
    with contextlib.suppress(WhispurrError):
        return await node.connect(ticket, timeout_s=CONNECT_S)
    return None
