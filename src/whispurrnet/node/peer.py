"""What an application holds in its hands: peers, messages, receipts and requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from whispurrnet.base.errors import NetworkError
from whispurrnet.identity.instance import capability_names
from whispurrnet.node.paths import path_of
from whispurrnet.node.words import name_of
from whispurrnet.stack import protocols
from whispurrnet.wire.ids import PeerId

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from whispurrnet.node.node import Node
    from whispurrnet.node.stream import Stream
    from whispurrnet.stack.roster import Record

TRUST_WORDS = {-1: "revoked", 0: "unknown", 1: "seen", 2: "introduced", 3: "verified"}


INBOX_BYTES_MAX = 64 << 20
"""Bytes of messages that wait for a consumer before the peers who send more are made to wait."""


ROOM_EVERY, SMALL_BYTES = 32, 1024
"""`Peer.send` looks for room at every so many small messages, and at each that is larger."""


class Message(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One message that arrived."""

    body: bytes
    sender: Peer | None
    """Who sent it; None for what was spread and is not signed by a peer of ours."""
    kind_number: int = protocols.WHISPER
    topic: str | None = None
    """The intent it came by, or None for a whisper."""
    priority: int = protocols.PRIORITY_DEFAULT
    strength: float = 1.0
    received_ms: int = 0
    """Unix time in milliseconds at which it arrived here."""
    seq: int = 0
    """Its place in the sender's order, or 0 if it wanted no receipt."""
    author: str = ""
    """Of what was spread: the id of the node that signed it, 64 hexadecimal characters, if any."""
    id: str = ""
    """Of what was spread: 32 hexadecimal characters, the same everywhere."""

    @property
    def sender_name(self) -> str:
        """A name for people; `somebody` when nobody says who sent it."""
        if self.sender is not None:
            return self.sender.name
        return name_of(PeerId(bytes.fromhex(self.author))) if self.author else "somebody"

    @property
    def kind(self) -> str:
        """What kind of message it is, such as `WHISPER`."""
        return protocols.name_of(self.kind_number)

    def mark_read(self) -> None:
        """Tell the sender that a person read it; nothing happens if it wanted no receipt."""
        if self.seq and self.sender is not None:
            self.sender.mark_read(self)


def weigh(message: Message) -> int:
    """What a message that waits costs: its body, and a little for the rest."""
    return len(message.body) + 200


class Receipt:
    """What became of a whisper; awaiting it waits until the peer has it.

    `state` is one of `queued`, `sent`, `received`, `read`, `expired`, `failed`.
    """

    __slots__ = ("_waiters", "id", "state")

    ORDER = ("queued", "sent", "received", "read")

    def __init__(self, id: int) -> None:
        self.id = id
        self.state = "queued"
        self._waiters: list[tuple[str, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"<Receipt {self.state}>"

    def __await__(self) -> Generator[None, None, Receipt]:
        return self.received().__await__()

    async def received(self) -> Receipt:
        """Wait until the peer's node has it. Cancelling is safe: it is sent all the same.

        Raises:
            NetworkError: Its time ran out first, or the node closed.
        """
        return await self._reach("received")

    async def read(self) -> Receipt:
        """Wait until the peer says that it was read.

        Raises:
            NetworkError: Its time ran out first, or the node closed.
        """
        return await self._reach("read")

    async def _reach(self, state: str) -> Receipt:
        order = self.ORDER
        if self.state in order and order.index(self.state) < order.index(state):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((state, waiter))
            await waiter
            if self.state in order and order.index(self.state) < order.index(state):
                raise NetworkError(f"the node closed before it heard that this was {state}")
        if self.state == "expired":
            raise NetworkError("the whisper expired before the peer could be reached")
        if self.state == "failed":
            raise NetworkError("the whisper was given up: the node closed or forgot the peer")
        return self

    def advance(self, state: str) -> None:
        """The node has news of it."""
        self.state = state
        if not self._waiters:
            return
        order = self.ORDER
        still: list[tuple[str, asyncio.Future[None]]] = []
        for wanted, waiter in self._waiters:
            if state in order and order.index(state) < order.index(wanted):
                still.append((wanted, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._waiters = still

    def give_up(self) -> None:
        """The node will have no more news of it."""
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters = []


class Request(msgspec.Struct, frozen=True, eq=False):
    """A question from a peer."""

    name: str
    body: bytes
    sender: Peer
    timeout_s: float
    """How long the peer waits for the answer, in seconds."""


class Peer:
    """Another node, connected or not; stays the same object across its reconnections."""

    __slots__ = ("_name", "_node", "_sends", "handle", "record", "rtt_s")

    def __init__(self, node: Node, record: Record) -> None:
        self._node = node
        self.record = record
        """What the stack knows of it; for this package only."""
        self._name = name_of(PeerId(record.persona or record.id))
        self.handle = record.handle
        self._sends = 0
        self.rtt_s: float | None = None

    def __repr__(self) -> str:
        state = "connected" if self.connected else "away"
        return f"<Peer {self._name} {state}>"

    @property
    def id(self) -> str:
        """Its current ephemeral id: 64 hexadecimal characters."""
        return self.record.id.hex()

    @property
    def name(self) -> str:
        """A name for people, made from the first id seen; neither unique nor chosen by it."""
        return self._name

    @property
    def connected(self) -> bool:
        """Whether there is a session now."""
        return self.record.live is not None

    @property
    def path(self) -> str:
        """How it is reached: `direct tcp`, `relay (via NAME)`, ..., or `none`."""
        return path_of(self._node, self.record.live)

    @property
    def suite(self) -> str:
        """The cryptography truly in use, in Noise's words; empty when not connected."""
        live = self.record.live
        return live.suite if live is not None else ""

    @property
    def level(self) -> int:
        """1, 3 or 5: the strength of the post-quantum part; 0 when not connected."""
        live = self.record.live
        return live.level if live is not None else 0

    @property
    def persona(self) -> str | None:
        """Its long-term identity, if it proved one: 64 hexadecimal characters."""
        persona = self.record.persona
        return persona.hex() if persona is not None else None

    @property
    def trust(self) -> str:
        """`unknown`, `seen`, `introduced`, `verified` or `revoked`."""
        return TRUST_WORDS.get(self._node.trust_of(self), "unknown")

    @property
    def presence(self) -> tuple[str, str]:
        """How it says it is doing, and its note; `offline` when it is not connected."""
        return self.record.presence if self.connected else ("offline", "")

    @property
    def profile(self) -> str:
        """The profile it says it runs with."""
        return self.record.profile

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it says that it can do (`identity.instance.CAPABILITIES`)."""
        return capability_names(self.record.capabilities)

    @property
    def rtt_ms(self) -> float | None:
        """The last round trip in milliseconds, if one was measured."""
        return None if self.rtt_s is None else round(self.rtt_s * 1000, 3)

    @property
    def since_s(self) -> float | None:
        """For how long the session has held, in seconds."""
        live = self.record.live
        return None if live is None else max(0.0, self._node.now() - live.since_s)

    @property
    def bytes_sent(self) -> int:
        """Bytes sent in this session, sealed."""
        live = self.record.live
        return live.channel.bytes_sent if live is not None else 0

    @property
    def bytes_received(self) -> int:
        """Bytes received in this session, sealed."""
        live = self.record.live
        return live.channel.bytes_received if live is not None else 0

    @property
    def queued(self) -> int:
        """Messages that wait for it or for its receipt."""
        return self._node.queued(self)

    def whisper(
        self,
        body: bytes,
        *,
        kind: str = "WHISPER",
        priority: int | None = None,
        ttl_s: float | None = None,
    ) -> Receipt:
        """Send a message that is kept until the peer has it; see `Node.whisper`."""
        return self._node.whisper(self, body, kind=kind, priority=priority, ttl_s=ttl_s)

    def send_nowait(self, body: bytes, *, priority: int = protocols.PRIORITY_DEFAULT) -> None:
        """Send a message without a receipt; lost if the connection is.

        Raises:
            NetworkError: The peer is not connected.
            LimitError: Its queue is full; `await send` waits for room instead.
        """
        self._node.send_nowait(self, body, priority)

    async def send(self, body: bytes, *, priority: int = protocols.PRIORITY_DEFAULT) -> None:
        """Send a message without a receipt, waiting while the peer's queue is full.

        Raises:
            NetworkError: The peer is not connected.
        """
        self._sends += 1
        if (self._sends % ROOM_EVERY == 0 or len(body) > SMALL_BYTES) and (
            not self._node.has_room(self)
        ):
            await self._node.wait_room(self)
        self._node.send_nowait(self, body, priority)

    def request(
        self,
        name: str,
        body: bytes = b"",
        *,
        timeout_s: float = 30.0,
        priority: int = protocols.PRIORITY_DEFAULT,
    ) -> Coroutine[Any, Any, bytes]:
        """Ask the peer's handler `name`; await the answer. See `Node.request`."""
        return self._node.request(self, name, body, timeout_s=timeout_s, priority=priority)

    async def open_stream(self, name: str, *, priority: int = protocols.PRIORITY_DEFAULT) -> Stream:
        """Open a stream of bytes, both ways, with flow control.

        Raises:
            NetworkError: The peer is not connected.
        """
        return self._node.open_stream(self, name, priority)

    async def ping(self, *, timeout_s: float = 10.0) -> float:
        """Measure the round trip, in seconds.

        Raises:
            NetworkError: No answer came in time.
        """
        return await self._node.ping(self, timeout_s=timeout_s)

    async def close(self) -> None:
        """Say goodbye, and call it no more."""
        await self._node.disconnect(self)

    def safety_number(self) -> str:
        """Sixty digits to compare with the peer's over another channel.

        Raises:
            UsageError: One of the two has no long-term identity.
        """
        return self._node.safety_number(self)

    def mark_read(self, message: Message) -> None:
        """Tell the peer that a message of its was read, and all before it."""
        self._node.mark_read(self, message)
