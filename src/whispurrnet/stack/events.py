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
from whispurrnet.gossip.contact import Contact
from whispurrnet.stack import object_events, relay_events, rtc_events
from whispurrnet.stack.relay_events import (
    AcceptCircuit,
    CircuitReady,
    CutSplice,
    ForgetCircuit,
    NoCircuit,
    OpenCircuit,
    Placed,
    Splice,
    SpliceEnded,
)
from whispurrnet.stack.rtc_events import (
    RtcAccept,
    RtcCandidate,
    RtcDescription,
    RtcEnded,
    RtcFailed,
    RtcFound,
    RtcOpened,
    RtcStart,
    RtcStop,
    TryWebrtc,
)
from whispurrnet.store import transfer_events
from whispurrnet.wire.ids import PeerId

__all__ = [
    "Abandon",
    "Abandoned",
    "AcceptCircuit",
    "Announce",
    "Answer",
    "Answered",
    "Ask",
    "Asked",
    "Broadcast",
    "CircuitReady",
    "Close",
    "Connect",
    "ConnectFailed",
    "Connected",
    "Consumed",
    "CutSplice",
    "Datagram",
    "Delivered",
    "Dial",
    "DialFailed",
    "Disconnect",
    "Effect",
    "Event",
    "Farewell",
    "FindName",
    "FinishStream",
    "Flush",
    "ForgetCircuit",
    "FoundName",
    "Gossiped",
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
    "Neighbour",
    "NoCircuit",
    "OpenCircuit",
    "OpenStream",
    "PathChanged",
    "PeerDown",
    "PeerForgotten",
    "PeerPresence",
    "PeerRenamed",
    "PeerUp",
    "PingPeer",
    "PinsChanged",
    "Placed",
    "Post",
    "Progress",
    "Register",
    "ResetStream",
    "Resonate",
    "Resonated",
    "Rested",
    "RotateIdentity",
    "Rotated",
    "RoundTrip",
    "RtcAccept",
    "RtcCandidate",
    "RtcDescription",
    "RtcEnded",
    "RtcFailed",
    "RtcFound",
    "RtcOpened",
    "RtcStart",
    "RtcStop",
    "SetPresence",
    "Sleep",
    "Solve",
    "Solved",
    "Splice",
    "SpliceEnded",
    "StopWaiting",
    "StreamData",
    "StreamFinished",
    "StreamOpened",
    "StreamReady",
    "StreamReset",
    "StreamWritable",
    "Suspended",
    "Tick",
    "TryPath",
    "TryWebrtc",
    "Unlisten",
    "Wake",
    "Warned",
    "Withdraw",
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
    keep: bool = True
    """Whether it is wanted for itself; otherwise it may go when the mesh has other neighbours."""
    relay: bool = False
    """Whether it is a relay, at which we want a place."""


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


class TryPath(msgspec.Struct, frozen=True):
    """Try for a better path to a peer that a relay carries, whatever wait is left."""

    peer: int


class PingPeer(msgspec.Struct, frozen=True):
    """Measure the round trip; the answer is `RoundTrip`."""

    peer: int


class Anchors(msgspec.Struct, frozen=True):
    """These were good neighbours in an earlier run: they are called before all others."""

    contacts: tuple[Contact, ...]


class Listen(msgspec.Struct, frozen=True):
    """Messages that resonate with this intent are wanted."""

    intent: str
    key: bytes | None = None
    """The 32-byte key of a private topic, or None: whoever can guess the intent may listen."""
    threshold: float = 0.5
    """How strongly they must resonate, 0 to 1."""


class Unlisten(msgspec.Struct, frozen=True):
    """They are no longer."""

    intent: str
    key: bytes | None = None


class Resonate(msgspec.Struct, frozen=True):
    """Spread a message to whoever listens to an intent; the answer is `Resonated`."""

    ref: int
    intent: str
    payload: bytes
    strength: float = 1.0
    priority: int = 5
    ttl_s: float = 300.0
    key: bytes | None = None
    """That of a private topic."""
    signed: bool = False
    """Whether listeners are to know who sent it."""
    one_of: bool = False
    """Whether any one of the listeners is enough (see `gossip.turns`)."""


class Broadcast(msgspec.Struct, frozen=True):
    """Spread a message to everyone in the realm; the answer is `Resonated`."""

    ref: int
    payload: bytes
    urgent: bool = False
    """An emergency: it overtakes everything, and goes by no detour that would hide its origin."""
    ttl_s: float = 300.0
    signed: bool = False


class Solved(msgspec.Struct, frozen=True):
    """The answer to a `Solve`."""

    ref: int
    value: bytes


class Register(msgspec.Struct, frozen=True):
    """Be found under a name from now on, at the peers that are meeting places."""

    name: str


class Withdraw(msgspec.Struct, frozen=True):
    """Be found under it no longer."""

    name: str


class FindName(msgspec.Struct, frozen=True):
    """Look who is registered under a name; `FoundName` comes as often as somebody answers."""

    ref: int
    name: str


class RotateIdentity(msgspec.Struct, frozen=True):
    """Take a new ephemeral identity now."""


class SetPresence(msgspec.Struct, frozen=True):
    """Tell the peers how we are doing: `online`, `away`, `busy` or `asleep`, and a note."""

    state: str
    note: str = ""


class Sleep(msgspec.Struct, frozen=True):
    """Speak seldom from now on, and tell the peers so (see `stack.resting`)."""

    for_s: float | None = None
    """For so long; None: until the application does something."""
    note: str = ""


class Wake(msgspec.Struct, frozen=True):
    """Be awake again."""


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
    | TryPath
    | Anchors
    | Listen
    | Unlisten
    | Resonate
    | Broadcast
    | Solved
    | Register
    | Withdraw
    | FindName
    | RotateIdentity
    | Invite
    | SetPresence
    | Sleep
    | Wake
    | Farewell
    | object_events.Event
    | transfer_events.Event
    | rtc_events.Event
    | relay_events.Event
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


class PathChanged(msgspec.Struct, frozen=True):
    """A session goes on over another path: nothing of it was lost."""

    peer: int
    before: str
    """What the path was: `relay`, `tcp`, ... as in `LinkUp`."""
    path: str


class PeerDown(msgspec.Struct, frozen=True):
    """A peer's session ended, and every stream in it."""

    peer: int
    reason: str


class PeerRenamed(msgspec.Struct, frozen=True):
    """A peer took a new ephemeral identity inside its session."""

    peer: int
    old: PeerId
    new: PeerId


class PeerPresence(msgspec.Struct, frozen=True):
    """A peer says how it is doing."""

    peer: int
    state: str
    note: str


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


class Gossiped(msgspec.Struct, frozen=True):
    """A message that was spread arrived, and is for us."""

    kind: int
    """RESONANCE, BROADCAST or EMERGENCY of `stack.protocols`."""
    intent: str
    """The one of ours that it resonates with; empty if it is for everyone."""
    strength: float
    payload: bytes
    priority: int
    author: bytes | None
    """The id of the node that signed it; None: nobody says who sent it."""
    peer: int | None
    """The author, if it is a peer of ours."""
    hop: int
    id: bytes
    key: bytes | None = None
    """That of the private topic it came by."""


class Resonated(msgspec.Struct, frozen=True):
    """A message of ours is on its way."""

    ref: int
    id: bytes
    neighbours: int
    """How many we have; with none it waits, until it expires, for the first."""


class Solve(msgspec.Struct, frozen=True):
    """Find the stamp of a message of ours (see `gossip.stamp`), and answer with `Solved`."""

    ref: int
    id: bytes
    expiry_s: int
    bits: int


class FoundName(msgspec.Struct, frozen=True):
    """Nodes that are registered under a name."""

    ref: int
    contacts: tuple[tuple[bytes, tuple[str, ...], int], ...]
    """The static key and the addresses of each, and until when that holds, in unix seconds."""
    done: bool
    """Nobody else will answer."""


class Neighbour(msgspec.Struct, frozen=True):
    """A peer became a neighbour in the mesh, or is none any more."""

    peer: int
    active: bool


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


class Rested(msgspec.Struct, frozen=True):
    """This node fell asleep, or woke."""

    asleep: bool


class PinsChanged(msgspec.Struct, frozen=True):
    """What is pinned changed: keep it, if anything is kept."""


class MembershipChanged(msgspec.Struct, frozen=True):
    """We became a member of our closed realm, or for longer: keep it, if anything is kept."""


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
    | PathChanged
    | PeerDown
    | PeerRenamed
    | PeerForgotten
    | PeerPresence
    | Connected
    | ConnectFailed
    | Delivered
    | Progress
    | Asked
    | Abandoned
    | Answered
    | Gossiped
    | Resonated
    | Solve
    | FoundName
    | Neighbour
    | StreamReady
    | StreamOpened
    | StreamData
    | StreamFinished
    | StreamClosed
    | StreamReset
    | StreamWritable
    | RoundTrip
    | Rotated
    | Rested
    | Invited
    | PinsChanged
    | MembershipChanged
    | Warned
    | object_events.Effect
    | object_events.SetEffect
    | transfer_events.Effect
    | rtc_events.Effect
    | relay_events.Effect
)
