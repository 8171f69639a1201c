"""From the stack's news to what applications hold: peers, receipts, answers, streams, feeds.

Nothing here waits. Whoever waits for something has left a future or a feed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, get_args

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import HostError, NetworkError, WhispurrError
from whispurrnet.base.log import get
from whispurrnet.node.feed import Feed
from whispurrnet.node.paths import shown_path
from whispurrnet.node.peer import Message, Peer, Receipt, Request
from whispurrnet.node.spread_news import SpreadNews, shown
from whispurrnet.node.stream import Stream
from whispurrnet.stack import events, object_events
from whispurrnet.store import transfer_events

if TYPE_CHECKING:
    from whispurrnet.node.node import Node

log = get(__name__)

OBJECTS = (
    *get_args(transfer_events.Effect),
    *get_args(object_events.SetEffect),
    object_events.StorageTold,
)
"""What is for `node.objects`."""

HANDLED_BYTES_MAX = 32 << 20
"""Bytes of requests of one peer that handlers may hold at a time; more are turned away."""

RECEIPTS_MAX = 10_000
"""Receipts kept after the message was received, in case it is read."""


class News(SpreadNews):
    """Takes the stack's news.

    Args:
        node: Whose news it is.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.receipts: dict[int, Receipt] = {}
        self.received: LruDict[int, Receipt] = LruDict(RECEIPTS_MAX)
        self.connects: dict[int, asyncio.Future[Peer]] = {}
        self.answers: dict[int, asyncio.Future[bytes]] = {}
        self.pings: dict[int, list[asyncio.Future[float]]] = {}
        self.streams: dict[tuple[int, int], Stream] = {}
        self.handlers: dict[str, Callable[[Request], Any]] = {}
        self.handling: dict[tuple[int, int], asyncio.Task[Any]] = {}
        self.handled_bytes: Counter[int] = Counter()
        self.kinds: dict[int, Feed[Message]] = {}
        self.incoming: Feed[Stream] | None = None
        self.away: dict[int, tuple[str, float]] = {}
        self._routes: dict[type, Callable[[Any], None]] = {
            events.Delivered: self._delivered,
            events.Progress: self._progress,
            events.Asked: self._asked,
            events.Answered: self._answered,
            events.Abandoned: self._abandoned,
            events.StreamData: self._stream_data,
            events.StreamWritable: self._stream_writable,
            events.StreamOpened: self._stream_opened,
            events.StreamFinished: self._stream_finished,
            events.StreamClosed: self._stream_closed,
            events.StreamReset: self._stream_reset,
            events.PeerUp: self._peer_up,
            events.PeerDown: self._peer_down,
            events.PathChanged: self._path_changed,
            events.PeerRenamed: self._peer_renamed,
            events.PeerPresence: self._peer_presence,
            events.PeerForgotten: self._peer_forgotten,
            events.Connected: self._connected,
            events.ConnectFailed: self._connect_failed,
            **self.spread_routes,
            events.Placed: lambda effect: self.tell("relayed", places=len(effect.addresses)),
            events.RoundTrip: self._round_trip,
            events.Rotated: self._rotated,
            events.PinsChanged: lambda _: self._try("the pins cannot be kept", node.keep),
            events.MembershipChanged: self._membership_changed,
            events.Warned: self._warned,
            events.RtcEnded: self._rtc_ended,
            events.Rested: lambda effect: self.tell("sleep", asleep=effect.asleep),
            **dict.fromkeys(OBJECTS, node.objects.perform),
        }

    def __call__(self, effect: events.Effect) -> None:
        """Take one piece of news."""
        self._routes[type(effect)](effect)

    def close(self) -> None:
        """Nothing will arrive any more: whoever waits for something hears so."""
        for waiter in self.connects.values():
            if not waiter.done():
                waiter.set_exception(NetworkError("the node was closed"))
        for sending in self.spread.values():
            if not sending.done():
                sending.set_exception(NetworkError("the node was closed"))
        for receipt in self.receipts.values():
            receipt.advance("failed")
        for receipt in self.received.values():
            receipt.give_up()
        feeds: list[Feed[Any]] = [*self.inbox, *self.watchers, *self.kinds.values()]
        for joined in self.topics.values():
            feeds += joined
        if self.incoming is not None:
            feeds.append(self.incoming)
        for feed in feeds:
            feed.close()

    # Messages

    def _delivered(self, effect: events.Delivered) -> None:
        sender = self.peers[effect.peer]
        now_ms = int(time.time() * 1000)
        self._node.counters["received"] += len(effect.whispers)
        kinds = self.kinds
        messages = [
            Message(w.body, sender, w.kind, None, w.lane, 1.0, now_ms, w.seq)
            for w in effect.whispers
        ]
        if kinds:
            for message in messages:
                if message.kind_number in kinds:
                    self._give([message], [kinds[message.kind_number]], sender)
            messages = [message for message in messages if message.kind_number not in kinds]
        self._give(messages, self.inbox, sender)
        if self.watchers:
            for message in messages:
                self.tell("message", **shown(message))

    def _give(self, messages: list[Message], feeds: list[Feed[Message]], sender: Peer) -> None:
        if not feeds:
            self.early.put(messages)
            return
        for feed in feeds:
            feed.put(messages)
            if feed.full:
                self._node.hold(sender)

    def _progress(self, effect: events.Progress) -> None:
        id, state = effect.id, effect.state
        receipt = self.receipts.get(id)
        if state == "received":
            if receipt is not None:
                del self.receipts[id]
                self.received.put(id, receipt)
        elif state in {"expired", "failed"}:
            self.receipts.pop(id, None)
        elif receipt is None:
            receipt = self.received.get(id)
        if receipt is not None:
            receipt.advance(state)

    # Requests

    def _asked(self, effect: events.Asked) -> None:
        handler = self.handlers.get(effect.name)
        if handler is None:
            self._answer(effect, b"", f"no handler is called {effect.name!r} there")
            return
        if self.handled_bytes[effect.peer] > HANDLED_BYTES_MAX:
            self._answer(effect, b"", "too many requests of yours are being handled; wait for some")
            return
        request = Request(effect.name, effect.body, self.peers[effect.peer], effect.timeout_s)
        try:
            answer = handler(request)
        except WhispurrError as error:
            self._answer(effect, b"", str(error))
            return
        except Exception:  # whatever an application raises must not stop the node
            log.exception("a request handler failed")
            self._answer(effect, b"", "the handler failed")
            return
        if isinstance(answer, bytes):
            self._answer(effect, answer, "")
        else:
            self.handled_bytes[effect.peer] += len(effect.body)
            task = self._node.spawn(self._finish(effect, answer))
            self.handling[effect.peer, effect.id] = task
            task.add_done_callback(lambda task: self._handled(effect, answer, task))

    def _handled(self, effect: events.Asked, answer: Any, task: asyncio.Task[Any]) -> None:
        """A request is done with; also when the peer gave it up before its handler began."""
        key = (effect.peer, effect.id)
        if self.handling.get(key) is task:
            del self.handling[key]
        self.handled_bytes[effect.peer] -= len(effect.body)
        if self.handled_bytes[effect.peer] <= 0:
            del self.handled_bytes[effect.peer]
        if asyncio.iscoroutine(answer):
            answer.close()  # nothing happens unless it never began

    async def _finish(self, effect: events.Asked, answer: Any) -> None:
        body, error = b"", ""
        try:
            async with asyncio.timeout(effect.timeout_s):
                body = await answer
            if not isinstance(body, bytes):
                body, error = b"", "the handler did not answer with bytes"
        except TimeoutError:
            error = "the handler took too long"
        except WhispurrError as known:
            error = str(known)
        except Exception:  # whatever an application raises must not stop the node
            log.exception("a request handler failed")
            error = "the handler failed"
        self._answer(effect, body, error)

    def _answer(self, effect: events.Asked, body: bytes, error: str) -> None:
        try:
            self._node.submit(events.Answer(effect.peer, effect.id, body, error))
        except WhispurrError as reason:
            self._node.submit(events.Answer(effect.peer, effect.id, b"", str(reason)))

    async def work_through(
        self, feed: Feed[Message], handler: Callable[[Message], Coroutine[Any, Any, None]]
    ) -> None:
        """Give a handler one message after the other, until the feed is closed."""
        async for message in feed:
            try:
                await handler(message)
            except Exception:  # whatever an application raises must not stop the node
                log.exception("an extension failed")

    def _answered(self, effect: events.Answered) -> None:
        waiter = self.answers.pop(effect.id, None)
        if waiter is None or waiter.done():
            return
        if effect.error:
            waiter.set_exception(NetworkError(effect.error))
        else:
            waiter.set_result(effect.body)

    def _abandoned(self, effect: events.Abandoned) -> None:
        task = self.handling.pop((effect.peer, effect.id), None)
        if task is not None:
            task.cancel()

    # Streams

    def _stream_opened(self, effect: events.StreamOpened) -> None:
        peer = self.peers[effect.peer]
        stream = Stream(self._node, peer, effect.stream, effect.name)
        if self.incoming is None or self.incoming.full:
            self._node.submit(events.ResetStream(effect.peer, effect.stream))
            return
        self.streams[effect.peer, effect.stream] = stream
        self.incoming.put((stream,))

    def _stream_data(self, effect: events.StreamData) -> None:
        stream = self.streams.get((effect.peer, effect.stream))
        if stream is not None:
            stream.feed(effect.data)

    def _stream_writable(self, effect: events.StreamWritable) -> None:
        stream = self.streams.get((effect.peer, effect.stream))
        if stream is not None:
            stream.writable()

    def _stream_finished(self, effect: events.StreamFinished) -> None:
        stream = self.streams.get((effect.peer, effect.stream))
        if stream is not None:
            stream.feed_end()

    def _stream_closed(self, effect: events.StreamClosed) -> None:
        stream = self.streams.pop((effect.peer, effect.stream), None)
        if stream is not None:
            stream.writable()  # what was written is sent, whoever still waits for that

    def _stream_reset(self, effect: events.StreamReset) -> None:
        stream = self.streams.pop((effect.peer, effect.stream), None)
        if stream is not None:
            stream.fail(effect.reason)

    # Peers

    def _peer_up(self, effect: events.PeerUp) -> None:
        record = self._node.stack.roster.get(effect.peer)
        assert record is not None
        peer = self.peers.get(effect.peer)
        if peer is None:
            peer = self.peers[effect.peer] = Peer(self._node, record)
        self.away.pop(effect.peer, None)
        log.info("peer up")
        self.tell("peer_up", peer=peer.id, name=peer.name, path=peer.path, suite=peer.suite)

    def _peer_down(self, effect: events.PeerDown) -> None:
        peer = self.peers[effect.peer]
        self.away[effect.peer] = (effect.reason, self._node.now())
        for waiter in self.pings.pop(effect.peer, []):
            if not waiter.done():
                waiter.set_exception(NetworkError(f"{peer.name} is gone: {effect.reason}"))
        for key in [key for key in self.streams if key[0] == effect.peer]:
            self.streams.pop(key).fail(effect.reason)
        self._node.release(peer)
        self._node.look_for_room()
        log.info("peer down")
        self.tell("peer_down", peer=peer.id, name=peer.name, reason=effect.reason)

    def _path_changed(self, effect: events.PathChanged) -> None:
        peer = self.peers[effect.peer]
        self._node.moved(peer)
        log.info("path changed from %s to %s", effect.before, effect.path)
        before = shown_path(effect.before)
        self.tell("path_changed", peer=peer.id, name=peer.name, before=before, path=peer.path)

    def _peer_renamed(self, effect: events.PeerRenamed) -> None:
        peer = self.peers[effect.peer]
        self.tell("peer_rotated", old=effect.old.hex(), peer=effect.new.hex(), name=peer.name)

    def _peer_presence(self, effect: events.PeerPresence) -> None:
        peer = self.peers[effect.peer]
        self.tell("presence", peer=peer.id, name=peer.name, state=effect.state, note=effect.note)

    def _peer_forgotten(self, effect: events.PeerForgotten) -> None:
        self.peers.pop(effect.peer, None)
        self.away.pop(effect.peer, None)

    def _connected(self, effect: events.Connected) -> None:
        self._node.bootstrap.reached(effect.ref)
        self._node.relays.reached(effect.ref)
        waiter = self.connects.pop(effect.ref, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(self.peers[effect.peer])

    def _connect_failed(self, effect: events.ConnectFailed) -> None:
        waiter = self.connects.pop(effect.ref, None)
        if waiter is not None and not waiter.done():
            waiter.set_exception(effect.error)

    def _round_trip(self, effect: events.RoundTrip) -> None:
        peer = self.peers.get(effect.peer)
        if peer is not None:
            peer.rtt_s = effect.seconds
        for waiter in self.pings.pop(effect.peer, []):
            if not waiter.done():
                waiter.set_result(effect.seconds)

    def _membership_changed(self, effect: events.MembershipChanged) -> None:
        self.tell("membership", role=self._node.membership.role)
        self._try("the membership cannot be kept", self._node.keep)

    def _rtc_ended(self, effect: events.RtcEnded) -> None:
        log.info("webrtc %s", "up" if effect.ok else effect.reason)
        peer = self.peers.get(effect.peer)
        if peer is not None:
            self.tell("webrtc", peer=peer.id, name=peer.name, ok=effect.ok, reason=effect.reason)

    def _warned(self, effect: events.Warned) -> None:
        log.warning("%s", effect.text)
        self._node.warnings[effect.text] = None

    def _rotated(self, effect: events.Rotated) -> None:
        log.info("identity rotated")
        self.tell("rotated", old=effect.old.hex(), id=effect.new.hex())
        self._try("the certificate cannot be renewed", self._node.rotated)

    def _try(self, what: str, work: Callable[[], None]) -> None:
        """Do what the disk may refuse: the session that led to it is not to suffer from that."""
        try:
            work()
        except HostError as error:
            log.warning("%s", what)
            self._node.failures[what] = str(error)
        else:
            self._node.failures.pop(what, None)
