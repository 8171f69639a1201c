"""What happens to a node, and what it wants done: the language between the stack and its shell.

Peers, links, dials and references are small integers that hold for one run of one node.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from whispurrnet.base.errors import WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.keys import Secret
from whispurrnet.direct.courier import (
    Abandon,
    Abandoned,
    Answer,
    Answered,
    Ask,
    Asked,
    Delivered,
    MarkRead,
    Post,
    Progress,
)
from whispurrnet.wire.ids import PeerId

__all__ = [
    "Abandon",
    "Abandoned",
    "Announce",
    "Answer",
    "Answered",
    "Ask",
    "Asked",
    "Close",
    "Connect",
    "ConnectFailed",
    "Connected",
    "Consumed",
    "Datagram",
    "Delivered",
    "Dial",
    "DialFailed",
    "Disconnect",
    "Effect",
    "Event",
    "Farewell",
    "FinishStream",
    "Flush",
    "Hold",
    "Invite",
    "Invited",
    "LinkData",
    "LinkDown",
    "LinkPaused",
    "LinkResumed",
    "LinkUp",
    "Listen",
    "Listening",
    "MarkRead",
    "OpenStream",
    "PeerDown",
    "PeerForgotten",
    "PeerRenamed",
    "PeerUp",
    "PingPeer",
    "PinsChanged",
    "Post",
    "Progress",
    "ResetStream",
    "Resonance",
    "Resonate",
    "Resonated",
    "RotateIdentity",
    "Rotated",
    "RoundTrip",
    "StopWaiting",
    "StreamData",
    "StreamFinished",
    "StreamOpened",
    "StreamReady",
    "StreamReset",
    "StreamWritable",
    "Suspended",
    "Tick",
    "Unlisten",
    "Warned",
    "Write",
    "WriteStream",
]

# From the shell: links


class LinkUp(msgspec.Struct, frozen=True):
    """A link is open: inbound, or the answer to a `Dial`."""

    link: int
    address: str
    path: str
    """`tcp`, `ws`, ...: for people to see."""
    dial: int | None
    binding: bytes
    """33 bytes; the certificate of the outer TLS, or zeros."""


class LinkData(msgspec.Struct, frozen=True, gc=False):
    """Bytes arrived, in order."""

    link: int
    data: bytes


class LinkDown(msgspec.Struct, frozen=True):
    """A link is gone."""

    link: int
    reason: str


class LinkPaused(msgspec.Struct, frozen=True):
    """The link's buffer is full: write nothing more."""

    link: int


class LinkResumed(msgspec.Struct, frozen=True):
    """The link's buffer has room again."""

    link: int


class DialFailed(msgspec.Struct, frozen=True):
    """None of the addresses answered."""

    dial: int
    reason: str


class Datagram(msgspec.Struct, frozen=True):
    """Something was announced on the local network."""

    data: bytes


class Flush(msgspec.Struct, frozen=True):
    """Seal and send what waits; follows any event after which `wants_flush` holds."""


class Suspended(msgspec.Struct, frozen=True):
    """The shell reads no more from this peer's link for now (or reads again)."""

    peer: int
    on: bool


# From the application


class Connect(msgspec.Struct, frozen=True, kw_only=True):
    """Reach a peer; the answer is `Connected` or `ConnectFailed` with the same `ref`."""

    ref: int
    static_key: bytes | None
    addresses: tuple[str, ...]
    expected_id: PeerId | None = None
    persona: bytes | None = None
    psk: Secret | None = None
    persistent: bool = False
    """Keep trying for ever, with backoff."""


class StopWaiting(msgspec.Struct, frozen=True):
    """Nobody waits for the answer to a `Connect` any more."""

    ref: int


class Disconnect(msgspec.Struct, frozen=True):
    """Say goodbye to a peer and stop calling it."""

    peer: int


class Listening(msgspec.Struct, frozen=True):
    """These are the addresses at which others reach us."""

    addresses: tuple[str, ...]


class OpenStream(msgspec.Struct, frozen=True):
    """Open a stream; the answer is `StreamReady` with the same `ref`, at once."""

    peer: int
    ref: int
    name: str
    priority: int


class WriteStream(msgspec.Struct, frozen=True, gc=False):
    """Send bytes on a stream."""

    peer: int
    stream: int
    data: bytes


class FinishStream(msgspec.Struct, frozen=True):
    """No more bytes will follow on this stream."""

    peer: int
    stream: int


class ResetStream(msgspec.Struct, frozen=True):
    """Give a stream up."""

    peer: int
    stream: int


class Consumed(msgspec.Struct, frozen=True):
    """The application took `size` bytes of a stream: the peer may send as many more."""

    peer: int
    stream: int
    size: int


class PingPeer(msgspec.Struct, frozen=True):
    """Measure the round trip; the answer is `RoundTrip`."""

    peer: int


class Listen(msgspec.Struct, frozen=True):
    """Resonances with this intent are wanted."""

    intent: str


class Unlisten(msgspec.Struct, frozen=True):
    """They are no longer."""

    intent: str


class Resonate(msgspec.Struct, frozen=True):
    """Send to the direct peers that listen to an intent; the answer is `Resonated`, at once."""

    ref: int
    intent: str
    payload: bytes
    strength: float
    priority: int
    ttl_s: float


class RotateIdentity(msgspec.Struct, frozen=True):
    """Take a new ephemeral identity now."""


class Invite(msgspec.Struct, frozen=True):
    """Make a single-use secret; the answer is `Invited`, at once."""

    ref: int


class Farewell(msgspec.Struct, frozen=True):
    """Say goodbye to everyone: the node is closing."""


Event: TypeAlias = (
    LinkData
    | Flush
    | Post
    | Ask
    | Answer
    | Abandon
    | MarkRead
    | WriteStream
    | Consumed
    | LinkUp
    | LinkDown
    | LinkPaused
    | LinkResumed
    | DialFailed
    | Datagram
    | Suspended
    | Connect
    | StopWaiting
    | Disconnect
    | Listening
    | OpenStream
    | FinishStream
    | ResetStream
    | PingPeer
    | Listen
    | Unlisten
    | Resonate
    | RotateIdentity
    | Invite
    | Farewell
    | Tick
)

# Effects for the shell


class Write(msgspec.Struct, frozen=True, gc=False):
    """Write these bytes to a link."""

    link: int
    data: bytes


class Dial(msgspec.Struct, frozen=True):
    """Open a link to the first of these addresses that answers."""

    dial: int
    addresses: tuple[str, ...]


class Close(msgspec.Struct, frozen=True):
    """Close a link; with `abort`, what is unsent is dropped."""

    link: int
    abort: bool = False


class Hold(msgspec.Struct, frozen=True):
    """Read nothing more from this link for so long."""

    link: int
    seconds: float


class Announce(msgspec.Struct, frozen=True):
    """Send this datagram to the local network."""

    data: bytes


# News for the application


class PeerUp(msgspec.Struct, frozen=True):
    """A peer is connected, authenticated, and has greeted."""

    peer: int


class PeerDown(msgspec.Struct, frozen=True):
    """A peer's session ended, and every stream in it."""

    peer: int
    reason: str


class PeerRenamed(msgspec.Struct, frozen=True):
    """A peer took a new ephemeral identity inside its session."""

    peer: int
    old: PeerId
    new: PeerId


class PeerForgotten(msgspec.Struct, frozen=True):
    """A peer's record made room for another."""

    peer: int


class Connected(msgspec.Struct, frozen=True):
    """A `Connect` succeeded."""

    ref: int
    peer: int


class ConnectFailed(msgspec.Struct, frozen=True):
    """A `Connect` failed."""

    ref: int
    error: WhispurrError


class Resonance(msgspec.Struct, frozen=True):
    """A resonance whose intent is listened to arrived."""

    peer: int
    intent: str
    strength: float
    payload: bytes
    lane: int
    seq: int


class Resonated(msgspec.Struct, frozen=True):
    """To how many direct listeners a resonance goes."""

    ref: int
    peers: tuple[int, ...]


class StreamReady(msgspec.Struct, frozen=True):
    """The number of a stream that was asked for."""

    peer: int
    ref: int
    stream: int


class StreamOpened(msgspec.Struct, frozen=True):
    """The peer opened a stream."""

    peer: int
    stream: int
    name: str
    priority: int


class StreamData(msgspec.Struct, frozen=True, gc=False):
    """Bytes of a stream arrived."""

    peer: int
    stream: int
    data: bytes


class StreamFinished(msgspec.Struct, frozen=True):
    """The peer will send no more on a stream."""

    peer: int
    stream: int


class StreamClosed(msgspec.Struct, frozen=True):
    """Both sides have finished: nothing more will be heard of a stream."""

    peer: int
    stream: int


class StreamReset(msgspec.Struct, frozen=True):
    """The peer gave a stream up."""

    peer: int
    stream: int
    reason: str


class StreamWritable(msgspec.Struct, frozen=True):
    """A stream's buffer has run low: write more."""

    peer: int
    stream: int


class RoundTrip(msgspec.Struct, frozen=True):
    """A round trip was measured."""

    peer: int
    seconds: float


class Rotated(msgspec.Struct, frozen=True):
    """This node took a new ephemeral identity."""

    old: PeerId
    new: PeerId


class Invited(msgspec.Struct, frozen=True):
    """A single-use secret for a ticket."""

    ref: int
    psk: Secret


class PinsChanged(msgspec.Struct, frozen=True):
    """What is pinned changed: keep it, if anything is kept."""


class Warned(msgspec.Struct, frozen=True):
    """Something a person should know; holds no key, body, id or address."""

    text: str


Effect: TypeAlias = (
    Write
    | Dial
    | Close
    | Hold
    | Announce
    | PeerUp
    | PeerDown
    | PeerRenamed
    | PeerForgotten
    | Connected
    | ConnectFailed
    | Delivered
    | Progress
    | Asked
    | Abandoned
    | Answered
    | Resonance
    | Resonated
    | StreamReady
    | StreamOpened
    | StreamData
    | StreamFinished
    | StreamClosed
    | StreamReset
    | StreamWritable
    | RoundTrip
    | Rotated
    | Invited
    | PinsChanged
    | Warned
)
