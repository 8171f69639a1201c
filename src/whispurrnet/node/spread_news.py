"""News of what is spread, for those who listen; and what all news has in common: who hears it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from whispurrnet.gossip import stamp
from whispurrnet.node.feed import Feed
from whispurrnet.node.peer import Message, Peer, weigh
from whispurrnet.node.spreading import Sent
from whispurrnet.stack import events, protocols
from whispurrnet.wire.ticket import Ticket

if TYPE_CHECKING:
    from whispurrnet.node.node import Node

EARLY_MAX, EARLY_BYTES_MAX = 1_000, 16 << 20
"""Messages kept while nobody consumes any, and their bytes; the oldest goes first."""


class SpreadNews:
    """Takes the stack's news of what is spread.

    Args:
        node: Whose news it is.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.peers: dict[int, Peer] = {}
        self.inbox: list[Feed[Message]] = []
        self.topics: dict[tuple[str, bytes | None], list[Feed[Message]]] = {}
        self.spread: dict[int, asyncio.Future[Sent]] = {}
        self.finds: dict[int, Feed[Ticket]] = {}
        self.watchers: list[Feed[dict[str, Any]]] = []
        self.early: Feed[Message] = Feed(
            EARLY_MAX, lossy=True, weigh=weigh, weight_max=EARLY_BYTES_MAX
        )
        self.spread_routes: dict[type, Callable[[Any], None]] = {
            events.Gossiped: self._gossiped,
            events.Resonated: self._resonated,
            events.Solve: self._solve,
            events.Neighbour: self._neighbour,
            events.FoundName: self._found_name,
        }

    def tell(self, type: str, **facts: Any) -> None:
        """Put an event into the feeds of those who watch."""
        if self.watchers:
            event = {"type": type, "time_ms": int(time.time() * 1000), **facts}
            for feed in self.watchers:
                feed.put((event,))

    def _gossiped(self, effect: events.Gossiped) -> None:
        message = Message(
            effect.payload,
            self.peers.get(effect.peer) if effect.peer is not None else None,
            effect.kind,
            effect.intent or None,
            effect.priority,
            effect.strength,
            int(time.time() * 1000),
            author=effect.author.hex() if effect.author is not None else "",
            id=effect.id.hex(),
        )
        self._node.counters["received"] += 1
        feeds = self.topics.get((effect.intent, effect.key), []) if effect.intent else self.inbox
        if not feeds and not effect.intent:
            self.early.put((message,))
        for feed in feeds:
            # nobody can be made to wait for it; emergencies have room of their own
            urgent = effect.kind == protocols.EMERGENCY and len(feed) < 2 * feed.limit
            if feed.full and not urgent:
                self._node.counters["dropped"] += 1
            else:
                feed.put((message,))
        if self.watchers:
            self.tell("resonance" if effect.intent else "broadcast", **shown(message))

    def _resonated(self, effect: events.Resonated) -> None:
        waiter = self.spread.pop(effect.ref, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(Sent(effect.id.hex(), effect.neighbours))

    def _solve(self, effect: events.Solve) -> None:
        self._node.spawn(self._find_stamp(effect))

    async def _find_stamp(self, effect: events.Solve) -> None:
        value = await asyncio.to_thread(stamp.solve, effect.id, effect.expiry_s, effect.bits)
        self._node.submit(events.Solved(effect.ref, value))

    def _found_name(self, effect: events.FoundName) -> None:
        feed = self.finds.get(effect.ref)
        if feed is not None:
            feed.put(
                Ticket(static_key=key, addresses=addresses, expires_s=until)
                for key, addresses, until in effect.contacts
            )
            if effect.done:
                del self.finds[effect.ref]
                feed.close()

    def _neighbour(self, effect: events.Neighbour) -> None:
        peer = self.peers.get(effect.peer)
        if peer is not None:
            kind = "neighbour" if effect.active else "neighbour_gone"
            self.tell(kind, peer=peer.id, name=peer.name)


def shown(message: Message) -> dict[str, Any]:
    """A message as a JSON-ready event; a body that is not text is given in hexadecimal."""
    try:
        body, encoding = message.body.decode(), "text"
    except UnicodeDecodeError:
        body, encoding = message.body.hex(), "hex"
    return {
        "sender": message.sender.id if message.sender is not None else message.author,
        "name": message.sender_name,
        "kind": message.kind,
        "topic": message.topic,
        "priority": message.priority,
        "strength": message.strength,
        "received_ms": message.received_ms,
        "encoding": encoding,
        "body": body,
    }
