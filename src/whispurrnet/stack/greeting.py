"""What two nodes say of themselves once the channel is up: hello, and a new identity.

The first frame of a session, each way, is a `Hello`. It may prove a long-term identity, bound to
this very channel by the handshake hash; nothing else is read before it. A `Rotate` moves the
session to a new ephemeral identity, which the old one signs. In a closed realm members show that
they are (`trust.chain`): who called first, the other only to a member.

Source: DECISIONS section 2; the persona proof is decision 0001 of `docs/decisions`,
membership 0013.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from whispurrnet.base.errors import ProtocolError
from whispurrnet.identity.persona import PersonaProof
from whispurrnet.trust.chain import CHAIN_BYTES_MAX
from whispurrnet.wire.codec import Codec

VERSION = 1
ADDRESSES_MAX = 8
ADDRESS_BYTES_MAX = 255
PRESENCE_STATES = ("online", "away", "busy", "asleep")
PRESENCE_NOTE_MAX = 120
PRESENT = ("online", "")
"""What is taken for granted of who says nothing."""

INITIATOR, RESPONDER = 0, 1

# Capabilities
GOSSIPS, SHARED, KEEP, MEETS, CLOSED_REALM, OBJECTS, MAPPED = 1, 2, 4, 8, 16, 32, 64
RELAYS, WEBRTC = 128, 256
"""It takes part in gossip; its address may be told to others; it wants this very session to last
(a person asked for it); others may meet under a name through it; all that only with members;
it speaks of objects; it may be named in maps of the local network; it carries links of others to
each other; it can make links over WebRTC."""

# Why a session ends, in a GOODBYE
CLOSED, SHUTTING_DOWN, DUPLICATE, FULL, REVOKED, PRUNED, LATER = range(7)
REASONS = {
    CLOSED: "the peer said goodbye",
    SHUTTING_DOWN: "the peer is shutting down",
    DUPLICATE: "another connection to this peer took over",
    FULL: "the peer has as many connections as it takes",
    REVOKED: "the peer does not talk to us",
    PRUNED: "the peer has neighbours enough",
    LATER: "the peer does not change the path now; it may later",
}

Text = Annotated[str, msgspec.Meta(max_length=ADDRESS_BYTES_MAX)]
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The first message of a session, each way."""

    version: Annotated[int, msgspec.Meta(ge=1, le=255)]
    profile: Annotated[str, msgspec.Meta(max_length=16)]
    capabilities: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
    heartbeat_ms: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
    addresses: Annotated[tuple[Text, ...], msgspec.Meta(max_length=ADDRESSES_MAX)]
    """Where to call back; told to peers only, inside the channel."""
    persona: PersonaProof | None


class Rotate(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """From now on this session belongs to a new ephemeral identity."""

    proof: Annotated[bytes, msgspec.Meta(min_length=240, max_length=240)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
    """The old identity names the new one."""
    consent: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
    """The new identity names the old one, or anybody could become anybody whose proof it saw."""


class Presence(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """How the other side is doing; each replaces the one before. Told to peers only."""

    state: Annotated[str, msgspec.Meta(max_length=16)]
    """`online`, `away`, `busy`, `asleep`, or what a later version says."""
    note: Annotated[str, msgspec.Meta(max_length=PRESENCE_NOTE_MAX)]


class Belong(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """I am a member of the realm: see `trust.chain`."""

    chain: Annotated[bytes, msgspec.Meta(max_length=CHAIN_BYTES_MAX)]
    """From the founder to me; that of the founder is empty."""
    signature: Signature
    """For this channel, under the last key of the chain."""


class Apply(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """I have an invite of yours: make me a member."""

    key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    signature: Signature
    """For this channel, under that key."""
    invite: Annotated[bytes, msgspec.Meta(max_length=32)]
    """Empty if the invite opened this session; otherwise `trust.chain.invite_mac`."""


class Grant(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """You are a member from now on."""

    chain: Annotated[bytes, msgspec.Meta(max_length=CHAIN_BYTES_MAX)]
    """From the founder to you; no bytes at all: I cannot make you one."""


class Asleep(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """So long may pass from now on without a word of mine: I sleep. What can wait, let it wait."""

    heartbeat_ms: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
    """0: I am awake again."""


class Moves(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """This link is to be another path of a session that lives; the other side says the same.

    Who called says it with its hello; who was called says it then, or goodbye. See `stack.moving`.
    """

    session: Annotated[bytes, msgspec.Meta(max_length=32)]
    """Which session; in the answer, no bytes at all: a new session, and the older one ends."""


class Moved(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """On the old path: nothing comes here any more. On the new one: I have all of that; go on."""


Greeting: TypeAlias = Hello | Rotate | Presence | Belong | Apply | Grant | Asleep | Moves | Moved

_CODEC: Codec[Greeting] = Codec(Greeting)


def encode(*messages: Greeting) -> bytes:
    """The body of a PEER frame."""
    return _CODEC.encode_all(messages)


def decode(body: bytes) -> list[Greeting]:
    """Read the body of a PEER frame; messages of a later version are skipped.

    Raises:
        ProtocolError: It is malformed.
    """
    messages = _CODEC.decode_all(body)
    if len(messages) > ADDRESSES_MAX:
        raise ProtocolError(f"{len(messages)} greetings in one frame")
    return messages
