"""Tickets for objects: what is offered, what opens it, and where the node is that has it.

    WNO1- | base32( offered | ticket of the node | check 4 )
    offered = version 1 | flags 1 | root 32 | [cap 32] | size u64 | label length u8 | label UTF-8

`offered` alone is also what a pairing by words carries. The ticket of the node is the inside of
its own text (see `wire.ticket`), check included. Numbers are big endian.

Invariants:
    - one ticket has one text;
    - the label is text of somebody else: it is shown, and checked before it becomes a name of a
      file; it is never a path.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.hash import hkdf, sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.wire import ticket as tickets
from whispurrnet.wire.ids import OBJECT_ID_BYTES, ObjectId
from whispurrnet.wire.ticket import Ticket

PREFIX: Final = "WNO1-"
CAP_BYTES: Final = 32
LABEL_BYTES_MAX: Final = 255
SIZE_MAX: Final = 2**64 - 1
TEXT_MAX: Final = 4_096

_VERSION: Final = 1
_HAS_CAP, _IS_COLLECTION = 1, 2
_CHECK_BYTES: Final = 4
_FIXED_BYTES: Final = 2 + OBJECT_ID_BYTES
_TAG_BYTES: Final = 16


class Offered(msgspec.Struct, frozen=True):
    """An object that somebody offers.

    Raises:
        UsageError: A field is out of its bounds.
    """

    root: ObjectId
    cap: Secret | None
    """32 bytes that open it; None: who is in the realm may have it."""

    label: str
    """What to call it; at most 255 bytes."""

    size: int
    """Bytes, all files together; told by who offers, not proved."""

    collection: bool
    """Whether it is a folder, or several files."""

    def __post_init__(self) -> None:
        if len(self.root) != OBJECT_ID_BYTES:
            raise UsageError(f"an object's id has {OBJECT_ID_BYTES} bytes, not {len(self.root)}")
        if self.cap is not None and len(self.cap) != CAP_BYTES:
            raise UsageError(f"a capability has {CAP_BYTES} bytes, not {len(self.cap)}")
        if not 0 <= self.size <= SIZE_MAX:
            raise UsageError(f"an object cannot have {self.size} bytes")
        _label_bytes(self.label)

    @property
    def meeting(self) -> str:
        """The name under which those who hold the capability, or the id, meet again."""
        key = hkdf(self.cap or b"", salt=self.root, info=b"WN1 object meeting", n=32)
        return f"object/{key.hex()}"

    @property
    def tag(self) -> bytes:
        """16 bytes by which one who holds it is told from others; it opens nothing."""
        tag = hkdf(self.cap or b"", salt=self.root, info=b"WN1 object tag", n=_TAG_BYTES)
        return bytes(tag)

    def pack(self) -> bytes:
        """As bytes."""
        label = _label_bytes(self.label)
        flags = _HAS_CAP * (self.cap is not None) | _IS_COLLECTION * self.collection
        parts = (
            bytes((_VERSION, flags)),
            self.root,
            self.cap or b"",
            self.size.to_bytes(8, "big"),
            bytes((len(label),)),
            label,
        )
        return b"".join(parts)

    @classmethod
    def unpack(cls, data: bytes) -> Offered:
        """From bytes, all of them.

        Raises:
            UsageError: They are not an offer.
        """
        offered, used = _read(data)
        if used != len(data):
            raise _damaged("something follows after its end")
        return offered


class ObjectTicket(msgspec.Struct, frozen=True):
    """An object, and a node that has it; its text is a secret if it holds a capability."""

    offered: Offered
    node: Ticket

    @classmethod
    def parse(cls, text: str) -> ObjectTicket:
        """Read one from its text; case and white space do not matter.

        Raises:
            UsageError: It is not one, or a character of it was changed.
        """
        if len(text) > 2 * TEXT_MAX:
            raise _damaged(f"{len(text)} characters are too many")
        letters = "".join(text.split()).upper()
        if not letters.startswith(PREFIX):
            raise _damaged(f"it begins with {letters[:8]!r}")
        letters = letters[len(PREFIX) :]
        try:
            raw = base64.b32decode(letters + "=" * (-len(letters) % 8))
        except (binascii.Error, ValueError):
            raise _damaged("a character is missing, or does not occur in one") from None
        body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
        if _text(raw) != letters or check != _check(body):
            raise _damaged("its check does not match")
        offered, used = _read(body)
        return cls(offered, Ticket.parse(tickets.PREFIX + _text(body[used:])))

    @property
    def text(self) -> str:
        """`WNO1-` and upper-case letters and digits, for a QR code in alphanumeric mode."""
        inside = self.node.text.removeprefix(tickets.PREFIX)
        body = self.offered.pack() + base64.b32decode(inside + "=" * (-len(inside) % 8))
        return PREFIX + _text(body + _check(body))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<ticket of an object of {self.offered.size} bytes>"


def is_object_ticket(text: str) -> bool:
    """Whether a text looks like one."""
    return text.strip()[: len(PREFIX)].upper() == PREFIX


def _text(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=")


def _check(body: bytes) -> bytes:
    return sha256(b"WN1 object ticket", body)[:_CHECK_BYTES]


def _label_bytes(label: str) -> bytes:
    try:
        raw = label.encode()
    except UnicodeEncodeError:
        raw = b""
    if not 0 < len(raw) <= LABEL_BYTES_MAX:
        raise UsageError(f"a label has 1 to {LABEL_BYTES_MAX} bytes; shorten {label[:40]!r}")
    return raw


def _read(data: bytes) -> tuple[Offered, int]:
    """What is offered, and how many bytes said so."""
    if len(data) < _FIXED_BYTES:
        raise _damaged("it ends too early")
    version, flags = data[0], data[1]
    if version != _VERSION or flags & ~(_HAS_CAP | _IS_COLLECTION):
        raise UsageError(
            f"this ticket of an object has version {version} and flags {flags:#x}, which this "
            "program does not know; bring both sides to the same release"
        )
    at = _FIXED_BYTES + CAP_BYTES * bool(flags & _HAS_CAP)
    if len(data) < at + 9 or len(data) < at + 9 + data[at + 8]:
        raise _damaged("it ends too early")
    end = at + 9 + data[at + 8]
    try:
        label = data[at + 9 : end].decode()
    except UnicodeDecodeError:
        raise _damaged("its label is not text") from None
    offered = Offered(
        root=ObjectId(data[2:_FIXED_BYTES]),
        cap=Secret(data[_FIXED_BYTES:at]) if flags & _HAS_CAP else None,
        label=label,
        size=int.from_bytes(data[at : at + 8], "big"),
        collection=bool(flags & _IS_COLLECTION),
    )
    return offered, end


def _damaged(reason: str) -> UsageError:
    return UsageError(
        f"not a ticket of an object: {reason}; it begins with {PREFIX} and is copied whole"
    )
