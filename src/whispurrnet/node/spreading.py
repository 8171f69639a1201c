"""What a node spreads: resonances to whoever listens, broadcasts and emergencies to everyone.

The part of `Conversation` that talks to the mesh instead of to a peer.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from math import inf
from typing import TYPE_CHECKING

import msgspec

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import LimitError, UsageError, WhispurrError
from whispurrnet.gossip.resonance import normalise
from whispurrnet.node.feed import Feed
from whispurrnet.node.latency import Figures
from whispurrnet.node.membership import Membership, snapshot
from whispurrnet.node.peer import INBOX_BYTES_MAX, Message, Peer, weigh
from whispurrnet.node.topic import Topic
from whispurrnet.stack import events, protocols
from whispurrnet.stack.greeting import PRESENCE_NOTE_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from whispurrnet.node.driver import Driver
    from whispurrnet.node.news import News
    from whispurrnet.node.settings import Settings
    from whispurrnet.stack.stack import Stack
    from whispurrnet.wire.ticket import Ticket


INBOX_MAX = 20_000
"""Messages that wait for a consumer before the peers who send more are made to wait."""


CROWDED_BYTES = 1 << 20
"""With more gossip than this waiting for one neighbour, `resonate` and `broadcast` wait."""

PRESENCES_PER_S, PRESENCES_BURST = 0.4, 16
"""How often the presence may change: a little less than peers put up with (`stack.roster`)."""

SLEEP_TOKENS = 4
"""What falling asleep costs of that: two words to each peer, and two on waking."""

FOUND_MAX = 1024
"""Nodes found under a name that wait for whoever looks for them."""


class Sent(msgspec.Struct, frozen=True):
    """A message that is on its way through the mesh."""

    id: str
    """32 hexadecimal characters: the same wherever it arrives."""
    neighbours: int
    """How many neighbours this node has now; with none it waits for the first."""


class Neighbour(msgspec.Struct, frozen=True, eq=False):
    """A peer with whom this node gossips."""

    peer: Peer
    outbound: bool
    """Whether we called it: nobody else chose it for us."""
    friend: bool
    """Whether one side wants this very peer; friends come on top of `gossip.neighbours`."""
    score: float
    """What its gossip was worth to us: at most 0.7, below 0 for faults. Nobody is told."""
    since_s: float
    """For how long it has been one, in seconds."""


class Spreading:
    """The part of a node that talks to the mesh; `Node` brings what it needs."""

    settings: Settings
    stack: Stack
    loop: asyncio.AbstractEventLoop
    counters: dict[str, int]
    _driver: Driver
    _news: News

    def __init__(self) -> None:
        self._refs = itertools.count(1)
        self._presences = TokenBucket(PRESENCES_PER_S, PRESENCES_BURST)
        self._crowd: list[asyncio.Future[None]] = []
        """Who waits until neighbours have less to read."""

    def inbox(
        self,
        limit: int = INBOX_MAX,
        *,
        lossy: bool = False,
        on_close: Callable[[Feed[Message]], None] | None = None,
    ) -> Feed[Message]:
        """A feed of messages; peers who were made to wait for it are read from again in time."""
        return Feed(
            limit,
            lossy=lossy,
            weigh=weigh,
            weight_max=INBOX_BYTES_MAX,
            on_room=self.release_all,
            on_close=on_close,
        )

    def release_all(self) -> None:
        """Read again from peers who were made to wait."""

    @property
    def processing(self) -> Figures | None:
        """How long it takes to deal with what arrives; None before anything did."""
        return self._driver.latency.figures()

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which this node is to be found."""
        return self.stack.meeting.names

    @property
    def meeting_places(self) -> int:
        """How many connected peers keep names for others; at most 8 are made use of."""
        return self.stack.meeting.places

    def register(self, name: str) -> None:
        """Be found under a name, from now on, by those of the realm who know it (see `find`).

        Raises:
            UsageError: The name is empty or has more than 256 characters.
            LimitError: So many names are registered that one has to be withdrawn first.
        """
        self._driver.submit(events.Register(name))

    def withdraw(self, name: str) -> None:
        """Be found under it no longer."""
        self._driver.submit(events.Withdraw(name))

    def find(self, name: str) -> Feed[Ticket]:
        """Tickets of nodes that are registered under a name; ends when all who were asked answered.

        The peers of this node are asked. They do not learn the name, only that somebody looks for
        the same one.

        Raises:
            UsageError: The name is empty or has more than 256 characters.
            LimitError: So many names are being looked for that one has to end first.
        """
        ref = next(self._refs)
        feed = self._news.finds[ref] = Feed(FOUND_MAX, lossy=True)
        try:
            self._driver.submit(events.FindName(ref, name))
        except WhispurrError:
            del self._news.finds[ref]
            raise
        return feed

    @property
    def membership(self) -> Membership:
        """What this node is in its realm, which may be a closed one."""
        return snapshot(self.stack, int(time.time() * 1000))

    @property
    def presence(self) -> tuple[str, str]:
        """How this node says it is doing, and its note."""
        return self.stack.shared.presence

    def set_presence(self, state: str, note: str = "") -> None:
        """Tell the peers how this node is doing: `online`, `away`, `busy` or `asleep`.

        Raises:
            UsageError: There is no such state, or the note is too long.
            LimitError: It changes so often that peers would end their sessions.
        """
        if (state, note) == self.presence:
            return
        if not self._presences.take(1, self.now()):
            raise LimitError("the presence changes too often; wait some seconds")
        self._driver.submit(events.SetPresence(state, note))

    @property
    def asleep(self) -> bool:
        """Whether this node sleeps."""
        return self.stack.resting.asleep

    def sleep(self, for_s: float | None = None, note: str = "") -> None:
        """Speak seldom from now on: peers are told, and let wait what can (see `stack.resting`).

        Args:
            for_s: For how long; None: until something wakes it. `wake` does, and so does all that
                the application does: to send, to ask, to connect.
            note: What the peers are told to that.

        Raises:
            UsageError: The time or the note cannot be.
            LimitError: It falls asleep and wakes too often.
        """
        if for_s is not None and not 0 < for_s < inf:
            raise UsageError(f"a node sleeps for some seconds, not for {for_s}; or until it wakes")
        if len(note) > PRESENCE_NOTE_MAX:
            raise UsageError(f"a note has at most {PRESENCE_NOTE_MAX} characters")
        if not self.asleep and not self._presences.take(SLEEP_TOKENS, self.now()):
            raise LimitError("the node falls asleep and wakes too often; wait some seconds")
        self._driver.submit(events.Sleep(for_s, note))

    def wake(self) -> None:
        """Be awake again; nothing happens if the node is."""
        self._driver.submit(events.Wake())

    def neighbours(self) -> tuple[Neighbour, ...]:
        """The peers with whom this node gossips, those it called first."""
        gossiping, now = self.stack.gossiping, self.now()
        found: dict[int, Neighbour] = {}
        for overlay in gossiping.overlays.values():
            for handle in overlay.neighbours:
                peer = self._news.peers.get(handle)
                live = peer.record.live if peer is not None else None
                if peer is not None and live is not None:
                    since = overlay.membership.since(handle)
                    found[handle] = Neighbour(
                        peer,
                        outbound=live.initiator,
                        friend=live.friend,
                        score=round(gossiping.standing.score(handle, now), 3),
                        since_s=0.0 if since is None else now - since,
                    )
        return tuple(sorted(found.values(), key=lambda one: not one.outbound))

    def now(self) -> float:
        """The node's clock: monotonic seconds."""
        return time.monotonic()

    async def resonate(
        self,
        intent: str,
        payload: bytes,
        *,
        strength: float = 1.0,
        priority: int = protocols.PRIORITY_DEFAULT,
        key: bytes | None = None,
        signed: bool = False,
        one_of: bool = False,
        ttl_s: float | None = None,
    ) -> Sent:
        """Spread a message to whoever listens to an intent, anywhere in the mesh.

        Nobody on the way learns the intent, the payload, or who sent it.

        Args:
            intent: A path with tags, such as `health/sensor/heart#urgent`.
            payload: At most 15360 bytes.
            strength: How much it is meant, 0 to 1; listeners have a threshold.
            priority: 0 to 10; a word to the listener: all gossip travels alike.
            key: The 32-byte key of a private topic; without it whoever guesses the intent hears.
            signed: Tell listeners who sent it.
            one_of: Any one of the listeners is enough: after some seconds one takes it, seldom two.
            ttl_s: How long it is of use, at most 300; by default `message_ttl`.

        Raises:
            UsageError: The intent, the payload, the strength or the key cannot be.
            LimitError: Too many messages wait for their stamps.
        """
        ref = next(self._refs)
        event = events.Resonate(
            ref, intent, payload, strength, priority, self._ttl_s(ttl_s), key, signed, one_of
        )
        return await self._spread(ref, event)

    async def broadcast(
        self, payload: bytes, *, signed: bool = False, ttl_s: float | None = None
    ) -> Sent:
        """Spread a message to everyone in the realm; it comes in their `messages`.

        Raises:
            UsageError: The payload is too long.
            LimitError: Too many messages wait for their stamps.
        """
        ref = next(self._refs)
        event = events.Broadcast(
            ref, payload, urgent=False, ttl_s=self._ttl_s(ttl_s), signed=signed
        )
        return await self._spread(ref, event)

    async def emergency(
        self, payload: bytes, *, signed: bool = False, ttl_s: float | None = None
    ) -> Sent:
        """Alert everyone in the realm: it overtakes all other traffic.

        It takes no detour that would hide where it comes from: neighbours can tell.

        Raises:
            UsageError: The payload is too long.
            LimitError: Too many messages wait for their stamps.
        """
        ref = next(self._refs)
        event = events.Broadcast(ref, payload, urgent=True, ttl_s=self._ttl_s(ttl_s), signed=signed)
        return await self._spread(ref, event)

    def _ttl_s(self, ttl_s: float | None) -> float:
        return self.settings.message_ttl if ttl_s is None else ttl_s

    async def _spread(self, ref: int, event: events.Event) -> Sent:
        if not (isinstance(event, events.Broadcast) and event.urgent):
            await self._uncrowded()
        waiter: asyncio.Future[Sent] = self.loop.create_future()
        self._news.spread[ref] = waiter
        try:
            self._driver.submit(event)
            sent = await waiter
        finally:
            self._news.spread.pop(ref, None)
        self.counters["sent"] += 1
        return sent

    async def _uncrowded(self) -> None:
        """Wait while a neighbour has much to read: what is too much would be dropped."""
        while self._is_crowded():
            waiter: asyncio.Future[None] = self.loop.create_future()
            self._crowd.append(waiter)
            self._driver.soon()
            await waiter

    def _is_crowded(self) -> bool:
        return any(
            record.live is not None and record.live.gossip.bytes > CROWDED_BYTES
            for record in self.stack.roster
        )

    def let_in(self) -> None:
        """Records were sealed, or a peer is gone: look whether neighbours have less to read."""
        if self._crowd and not self._is_crowded():
            waiting, self._crowd = self._crowd, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)

    def join(self, intent: str, *, key: bytes | None = None, threshold: float = 0.5) -> Topic:
        """Listen to an intent; nobody is told.

        Args:
            intent: What to hear about; a message that matches in part is heard above `threshold`.
            key: The 32-byte key of a private topic.
            threshold: Above 0, at most 1.

        Raises:
            UsageError: The intent, the key or the threshold cannot be.
            LimitError: The node listens to as many intents as it may.
        """
        where = (normalise(intent), key)
        feeds = self._news.topics

        def leave(feed: Feed[Message]) -> None:
            feeds[where].remove(feed)
            if not feeds[where]:
                del feeds[where]
                self._driver.submit(events.Unlisten(*where))

        feed = self.inbox(on_close=leave)
        self._driver.submit(events.Listen(where[0], key, threshold))
        feeds.setdefault(where, []).append(feed)
        return Topic(self, where[0], key, feed)
