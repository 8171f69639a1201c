"""What travels in RELAY frames: a place at a relay, and circuits through it.

A body is a MessagePack array of at most 8 of these (see `wire.codec`). A relay learns two ephemeral
ids, when they meet, and how much they say; what they say is sealed between the two.

Source: libp2p, `specs/relay/circuit-v2.md`, for reservations and what a relay refuses; the links
themselves are joined by tokens here, so that nothing is sealed twice (`docs/protocol/relay.md`).
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import ProtocolError
from whispurrnet.wire.codec import Codec

TOKEN_BYTES = 32
"""What a link of a circuit begins with."""

ID_BYTES = 32
TEXT_CHARS_MAX = 200
MESSAGES_MAX = 8
BODY_BYTES_MAX = 4096

READY: Final = b"\x01"
"""What a relay says on both links of a circuit when they are joined."""

NOBODY, TOO_MANY, NO_RELAY, POLICY = 1, 2, 3, 4
"""Why something is refused: nobody with that id has a place here; a limit is reached, later may
help; this node is no relay; it does not carry links for this peer."""

Nonce: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Token: TypeAlias = Annotated[bytes, Meta(min_length=TOKEN_BYTES, max_length=TOKEN_BYTES)]
Id: TypeAlias = Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Bytes: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Reserve(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Keep a place for me: let others ask you for a link to me."""


class Reserved(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """You have one. Ask again before it ends; it ends with the session too."""

    expires_in_s: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    bytes_per_s: Bytes
    """What each way of a circuit carries; 0: no limit."""
    bytes_max: Bytes
    """What a circuit carries in all, both ways; 0: no limit."""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """No."""

    nonce: Nonce
    """That of the `Connect`; 0: the reservation."""
    code: Annotated[int, Meta(ge=0, le=255)]
    """An unknown one is like `POLICY`."""
    text: Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]
    """For people."""


class Connect(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Join me to the peer with this id."""

    nonce: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    id: Id


class Granted(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Open another link to me and begin it with this token; wait there for `READY`."""

    nonce: Nonce
    token: Token


class Incoming(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Somebody wants to be joined to you: open another link to me and begin it with this token."""

    token: Token
    id: Id
    """Who the caller is, as the relay knows it; the handshake shows whether that is true."""


class Release(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """I need my place no more."""


Message: TypeAlias = Reserve | Reserved | Refused | Connect | Granted | Incoming | Release
Asking: TypeAlias = Reserve | Connect | Release
"""What is said to a relay."""
Answering: TypeAlias = Reserved | Refused | Granted | Incoming
"""What a relay says."""

_CODEC: Codec[Message] = Codec(Message)


def encode(*messages: Message) -> bytes:
    """The body of a RELAY frame."""
    return _CODEC.encode_all(messages)


def decode(body: bytes) -> list[Message]:
    """The messages of a body; those of a later version are left out.

    Raises:
        ProtocolError: It is malformed, too long, or of too many messages.
    """
    if len(body) > BODY_BYTES_MAX:
        raise ProtocolError(f"a relay frame is longer than {BODY_BYTES_MAX} bytes")
    messages = _CODEC.decode_all(body)
    if len(messages) > MESSAGES_MAX:
        raise ProtocolError(f"a relay frame has more than {MESSAGES_MAX} messages")
    return messages
