"""What travels in RENDEZVOUS frames: notices under names that only their keys are known of.

A body is a MessagePack array of at most 8 of these (see `wire.codec`). The point where they are
left learns neither a name nor what is said under it: it sees `name_key` and what is sealed.

    name_key = HMAC-SHA-256(realm key, "WN1 rendezvous name" | name)
    contact  = nonce 24 | XChaCha20-Poly1305(length u16 BE | contact | zeros, AD = name_key)
    its key  = HMAC-SHA-256(realm key, "WN1 rendezvous seal" | name)

A sealed contact is 256 or 1024 bytes long. Whoever knows the name and is of the realm can read it
and make one; that it is true is for the contact to prove.

Source: libp2p, `specs/rendezvous/README.md`, for the registrations and the cookie; sealed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import AuthError, ProtocolError, UsageError
from whispurrnet.crypto.aead import TAG_BYTES, XNONCE_BYTES, xopen, xseal
from whispurrnet.crypto.hash import hmac_sha256
from whispurrnet.wire.codec import Codec

NAME_KEY_BYTES = 32
SEALED_SIZES: Final = (256, 1024)
"""How long a sealed contact may be, in bytes."""

CONTACT_BYTES_MAX = SEALED_SIZES[-1] - XNONCE_BYTES - TAG_BYTES - 2
"""The longest contact: 982 bytes."""

NAME_CHARS_MAX = 256
TTL_S_MIN = 60
TTL_S_MAX = 7200
ENTRIES_MAX = 32
COOKIE_BYTES_MAX = 16
MESSAGES_MAX = 8
BODY_BYTES_MAX = 40_960
"""The longest body: 32 contacts of 1024 bytes, and some more."""

FULL, TOO_MANY, BUSY, NO_POINT = 1, 2, 3, 4
"""Why something is refused: no room under this name or at all; too many of this peer; too often;
this node keeps no registrations."""

NameKey: TypeAlias = Annotated[bytes, Meta(min_length=NAME_KEY_BYTES, max_length=NAME_KEY_BYTES)]
Sealed: TypeAlias = Annotated[bytes, Meta(min_length=1, max_length=SEALED_SIZES[-1])]
Cookie: TypeAlias = Annotated[bytes, Meta(max_length=COOKIE_BYTES_MAX)]
TtlS: TypeAlias = Annotated[int, Meta(ge=TTL_S_MIN, le=TTL_S_MAX)]


class Register(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Keep this contact under this name; the one before it is forgotten. Silence means yes."""

    name_key: NameKey
    contact: Sealed
    ttl_s: TtlS


class Unregister(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Forget my contact under this name."""

    name_key: NameKey


class Discover(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Who is there under this name? With a cookie: who came since."""

    name_key: NameKey
    limit: Annotated[int, Meta(ge=1, le=ENTRIES_MAX)]
    cookie: Cookie


class Registrations(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Contacts under a name, oldest first; if as many as asked for, the cookie leads to more."""

    name_key: NameKey
    entries: Annotated[tuple[Sealed, ...], Meta(max_length=ENTRIES_MAX)]
    cookie: Cookie


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """No. `asked` is the tag of what was refused: 1 or 3; an unknown reason is one like `BUSY`."""

    name_key: NameKey
    asked: Annotated[int, Meta(ge=1, le=255)]
    reason: Annotated[int, Meta(ge=0, le=255)]


Message: TypeAlias = Register | Unregister | Discover | Registrations | Refused


class NoticeCodec:
    """Bodies to messages and back, with the bounds above."""

    def __init__(self) -> None:
        self._codec: Codec[Message] = Codec(Message)

    def encode(self, message: Message) -> bytes:
        """A body of one message."""
        return self._codec.encode_all([message])

    def decode(self, body: bytes) -> list[Message]:
        """The messages of a body.

        Raises:
            ProtocolError: It is malformed, too long, or of too many messages.
        """
        if len(body) > BODY_BYTES_MAX:
            raise ProtocolError(f"a body of notices is longer than {BODY_BYTES_MAX} bytes")
        messages = self._codec.decode_all(body)
        if len(messages) > MESSAGES_MAX:
            raise ProtocolError(f"a body has more than {MESSAGES_MAX} notices")
        return messages


class Name:
    """A name and what follows from it.

    Raises:
        UsageError: It is empty, too long, or not Unicode text.
    """

    __slots__ = ("_seal", "key", "text")

    def __init__(self, realm_key: bytes, text: str) -> None:
        try:
            raw = text.encode()
        except UnicodeEncodeError:
            raw = b""
        if not raw or len(text) > NAME_CHARS_MAX:
            raise UsageError(f"a name has 1 to {NAME_CHARS_MAX} characters; {text[:40]!r} has not")
        self.text = text
        self.key = hmac_sha256(realm_key, b"WN1 rendezvous name", raw)
        """What a rendezvous point knows of the name."""
        self._seal = hmac_sha256(realm_key, b"WN1 rendezvous seal", raw)

    def seal(self, contact: bytes, entropy: Callable[[int], bytes]) -> bytes:
        """Seal a contact of at most 982 bytes.

        Raises:
            UsageError: It is longer.
        """
        if len(contact) > CONTACT_BYTES_MAX:
            raise UsageError(
                f"a contact of {len(contact)} bytes; at most {CONTACT_BYTES_MAX} can be registered"
            )
        room = [size - XNONCE_BYTES - TAG_BYTES for size in SEALED_SIZES]
        body = len(contact).to_bytes(2, "big") + contact
        body = body.ljust(next(size for size in room if len(body) <= size), b"\0")
        nonce = entropy(XNONCE_BYTES)
        return nonce + xseal(self._seal, nonce, body, self.key)

    def open(self, sealed: bytes) -> bytes | None:
        """The contact, or None if it was not sealed by one who knows the name."""
        try:
            body = xopen(self._seal, sealed[:XNONCE_BYTES], sealed[XNONCE_BYTES:], self.key)
        except AuthError:
            return None
        end = 2 + int.from_bytes(body[:2], "big")
        return body[2:end] if 2 <= end <= len(body) and len(body) >= 2 else None
