"""What a node says to its peers and hears of them: whispers, requests and streams.

The half of `Node` that talks; `node.node` has the half that lives, listens and knows its peers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from whispurrnet.base.errors import NetworkError, UsageError
from whispurrnet.node.feed import Feed
from whispurrnet.node.peer import Message, Peer, Receipt, Request
from whispurrnet.node.spreading import INBOX_MAX, Spreading
from whispurrnet.node.stream import Stream
from whispurrnet.stack import events, protocols
from whispurrnet.stack.events import Effect, Event

if TYPE_CHECKING:
    pass

Answer = TypeVar("Answer", bound=Effect)
Handler: TypeAlias = Callable[[Request], bytes | Awaitable[bytes]]

BACKLOG_MAX, BACKLOG_BYTES_MAX = 2_048, 4 << 20
"""Messages that wait for one peer, and their bytes, before `Peer.send` waits."""

STREAMS_WAITING_MAX = 256
"""Streams opened by peers that wait for the application."""


class Conversation(Spreading):
    """The talking half of a node; `Node` brings what it needs."""

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[int, int] = {}
        self._room: dict[int, list[asyncio.Future[None]]] = {}

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The peers that are connected."""
        return tuple(peer for peer in self._news.peers.values() if peer.connected)

    def tell(self, type: str, **facts: Any) -> None:
        """Put an event of a part of this node before those who watch it."""
        self._news.tell(type, **facts)

    @property
    def known_peers(self) -> tuple[Peer, ...]:
        """The peers met in this run, connected or not."""
        return tuple(self._news.peers.values())

    def peer(self, ref: str) -> Peer:
        """The peer with this name, id, or beginning of an id.

        Raises:
            UsageError: There is none, or more than one.
        """
        known = self.known_peers
        wanted = ref.strip().casefold()
        found = [p for p in known if wanted in (p.name, p.id, p.persona)]
        if not found and len(wanted) >= 4:
            found = [p for p in known if p.id.startswith(wanted)]
        if len(found) > 1:
            raise UsageError(f"{ref!r} may be any of {len(found)} peers; give more of the id")
        if not found:
            names = ", ".join(p.name for p in known[:8]) or "nobody yet"
            raise UsageError(f"no peer is called {ref[:70]!r}; known are: {names}")
        return found[0]

    def why_away(self, peer: Peer) -> str:
        """Why a peer is not connected."""
        away = self._news.away.get(peer.handle)
        return away[0] if away else ""

    def queued(self, peer: Peer) -> int:
        """Messages that wait for a peer or for its receipt."""
        return self.stack.courier.queued(peer.handle)

    def away_s(self, peer: Peer) -> float:
        """For how long a peer has been away, in seconds."""
        away = self._news.away.get(peer.handle)
        return self.now() - away[1] if away else 0.0

    def submit(self, event: Event) -> None:
        """Hand an event to the stack."""
        self._driver.submit(event)

    def ask(self, event: Event, answer: type[Answer]) -> Answer:
        """Hand over an event whose answer comes at once."""
        return self._driver.ask(event, answer)

    def peer_of(self, handle: int) -> Peer | None:
        """The peer with this number in the stack."""
        return self._news.peers.get(handle)

    # Messages

    def whisper(
        self,
        peer: Peer | str,
        body: bytes,
        *,
        kind: str = "WHISPER",
        priority: int | None = None,
        ttl_s: float | None = None,
    ) -> Receipt:
        """Send a message that is kept until the peer has it, or its time is over.

        Await the receipt to know that the peer has it. Whispers of one priority arrive in order
        and once; those of a higher one overtake.

        Args:
            peer: A peer, or what `peer()` takes.
            body: At most 1 MiB.
            kind: Any kind that travels as a direct message.
            priority: 0 to 10; by default that of the kind.
            ttl_s: How long it is kept; by default `message_ttl`.

        Raises:
            UsageError: No such peer or kind; the body is too long.
            LimitError: Too many messages wait for this peer.
        """
        target = self.peer(peer) if isinstance(peer, str) else peer
        known = protocols.sendable(kind)
        receipt = Receipt(next(self._refs))
        post = events.Post(
            peer=target.handle,
            id=receipt.id,
            kind=known.number,
            body=body,
            priority=known.priority if priority is None else priority,
            ttl_s=self.settings.message_ttl if ttl_s is None else ttl_s,
            acknowledged=True,
        )
        self._news.receipts[receipt.id] = receipt
        try:
            self.submit(post)
        except BaseException:
            del self._news.receipts[receipt.id]
            raise
        self.counters["sent"] += 1
        return receipt

    def send_nowait(self, peer: Peer, body: bytes, priority: int) -> None:
        """See `Peer.send_nowait`."""
        live = peer.record.live
        if live is None:
            raise NetworkError(f"{peer.name} is not connected; a whisper would wait for it")
        self.stack.post_unacknowledged(live, protocols.WHISPER, body, priority)
        self.counters["sent"] += 1
        self._driver.soon()

    def has_room(self, peer: Peer) -> bool:
        """Whether few messages wait for a peer."""
        return self.stack.courier.has_room(peer.handle, BACKLOG_MAX, BACKLOG_BYTES_MAX)

    async def wait_room(self, peer: Peer) -> None:
        """Wait until few messages wait for a peer, or it is gone."""
        while peer.connected and not self.has_room(peer):
            waiter: asyncio.Future[None] = self.loop.create_future()
            self._room.setdefault(peer.handle, []).append(waiter)
            self._driver.soon()
            await waiter

    def look_for_room(self) -> None:
        """Records were sealed, or a peer is gone: whoever waits for room need not any more."""
        self.let_in()
        for handle in list(self._room):
            peer = self._news.peers.get(handle)
            if peer is None or not peer.connected or self.has_room(peer):
                for waiter in self._room.pop(handle):
                    if not waiter.done():
                        waiter.set_result(None)

    def messages(self, *, lossy: bool = False, limit: int = INBOX_MAX) -> Feed[Message]:
        """The whispers that arrive from now on, and those that came before anybody asked.

        Iterate over it with `async for`, and `close` it when you stop. While it is full, peers who
        send more are made to wait; a lossy one drops the oldest instead.
        """
        news = self._news
        feed = self.inbox(limit, lossy=lossy, on_close=news.inbox.remove)
        feed.put(news.early.take_all())
        news.inbox.append(feed)
        return feed

    def mark_read(self, peer: Peer, message: Message) -> None:
        """Tell a peer that a message of its was read, and all before it."""
        if self.settings.direct.read_receipts and message.seq:
            self.submit(events.MarkRead(peer.handle, message.priority, message.seq))

    def hold(self, peer: Peer) -> None:
        """Read no more from a peer until there is room."""
        live = peer.record.live
        if live is not None and peer.handle not in self._held:
            self._held[peer.handle] = live.link
            self._driver.hold(live.link)
            self.submit(events.Suspended(peer.handle, True))

    def release(self, peer: Peer) -> None:
        """Read from a peer again."""
        number = self._held.pop(peer.handle, None)
        if number is not None:
            self._driver.read_on(number)
            self.submit(events.Suspended(peer.handle, False))

    def moved(self, peer: Peer) -> None:
        """A peer has another path: if it is made to wait, it is there from now on."""
        live, before = peer.record.live, self._held.get(peer.handle)
        if live is not None and before is not None and before != live.link:
            self._held[peer.handle] = live.link
            self._driver.hold(live.link)
            self._driver.read_on(before)
            self.submit(events.Suspended(peer.handle, True))

    def release_all(self) -> None:
        """Read again from peers who were made to wait."""
        for handle in list(self._held):
            self.release(self._news.peers[handle])

    # Requests

    def on_request(self, name: str, handler: Handler) -> None:
        """Answer requests called `name`; the handler may be a coroutine function.

        A WhispurrError that it raises is told to the peer; any other error is not.
        """
        self._news.handlers[name] = handler

    async def request(
        self,
        peer: Peer,
        name: str,
        body: bytes = b"",
        *,
        timeout_s: float = 30.0,
        priority: int = protocols.PRIORITY_DEFAULT,
    ) -> bytes:
        """Ask a peer and wait for the answer. Cancelling is safe: the peer is told.

        Raises:
            NetworkError: The peer is not connected, was lost, did not answer in time, or
                answered with an error.
            LimitError: Too many requests wait already.
        """
        if not peer.connected:
            raise NetworkError(f"{peer.name} is not connected: {self.why_away(peer)}")
        id = next(self._refs)
        waiter: asyncio.Future[bytes] = self.loop.create_future()
        self._news.answers[id] = waiter
        try:
            self.submit(
                events.Ask(
                    peer=peer.handle,
                    id=id,
                    name=name,
                    body=body,
                    priority=priority,
                    timeout_s=timeout_s,
                )
            )
            return await waiter
        except asyncio.CancelledError:
            self.submit(events.Abandon(peer.handle, id))
            raise
        finally:
            self._news.answers.pop(id, None)

    # Streams

    def open_stream(self, peer: Peer, name: str, priority: int) -> Stream:
        """See `Peer.open_stream`."""
        event = events.OpenStream(peer.handle, next(self._refs), name, priority)
        number = self._driver.ask(event, events.StreamReady).stream
        stream = Stream(self, peer, number, name)
        self._news.streams[peer.handle, number] = stream
        return stream

    def streams(self) -> Feed[Stream]:
        """The streams that peers open from now on; until this is called they are refused."""
        if self._news.incoming is None:
            self._news.incoming = Feed(STREAMS_WAITING_MAX, on_close=self._refuse_streams)
        return self._news.incoming

    def _refuse_streams(self, feed: Feed[Stream]) -> None:
        """Nobody takes streams any more: refuse those to come, and give up those that wait."""
        self._news.incoming = None
        for stream in feed.take_all():
            stream.reset()

    def write_stream(self, stream: Stream, data: bytes) -> None:
        """See `Stream.write`."""
        self.submit(events.WriteStream(stream.peer.handle, stream.number, data))

    def unsent(self, stream: Stream) -> int:
        """Bytes written to a stream that are not sealed yet."""
        live = stream.peer.record.live
        return live.mux.buffered(stream.number) if live is not None else 0

    def consumed(self, stream: Stream, size: int) -> None:
        """The application took bytes of a stream."""
        self.submit(events.Consumed(stream.peer.handle, stream.number, size))

    def finish_stream(self, stream: Stream) -> None:
        """See `Stream.finish`."""
        self.submit(events.FinishStream(stream.peer.handle, stream.number))

    def reset_stream(self, stream: Stream) -> None:
        """See `Stream.reset`."""
        self._news.streams.pop((stream.peer.handle, stream.number), None)
        self.submit(events.ResetStream(stream.peer.handle, stream.number))
