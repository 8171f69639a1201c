"""STUN messages: what a binding request asks, and what comes back.

Only the method Binding is read, and of the attributes those that tell where somebody is seen:

    header        2 B kind, 2 B length of the rest, 4 B magic cookie, 12 B transaction
    attribute     2 B type, 2 B length, the value, zeros up to a multiple of 4

A message is at most `MESSAGE_BYTES_MAX` long and has at most `ATTRIBUTES_MAX` attributes. A
FINGERPRINT must be right where there is one. Attributes that have to be understood and are not are
listed in `Message.unknown`: a server answers them with error 420, a client drops the answer.
SOFTWARE is never sent: what runs here is nobody's business.

Source: RFC 8489, sections 5, 6.3, 14; RFC 5780, section 7; RFC 5769 has the test vectors.
"""

from __future__ import annotations

import ipaddress
import struct
import zlib
from typing import Final

import msgspec

from whispurrnet.base.errors import ProtocolError

COOKIE: Final = 0x2112A442
TRANSACTION_BYTES: Final = 12
HEADER_BYTES: Final = 20
MESSAGE_BYTES_MAX: Final = 548
"""What fits any path of IPv4, RFC 8489, section 6.1."""
ATTRIBUTES_MAX: Final = 24
UNKNOWN_MAX: Final = 8
REASON_BYTES_MAX: Final = 763
"""RFC 8489, section 14.8."""

REQUEST, INDICATION, RESPONSE, ERROR = 0x0001, 0x0011, 0x0101, 0x0111
KINDS: Final = (REQUEST, INDICATION, RESPONSE, ERROR)
UNKNOWN_ATTRIBUTE: Final = 420

MAPPED_ADDRESS, CHANGE_REQUEST, USERNAME, MESSAGE_INTEGRITY = 0x0001, 0x0003, 0x0006, 0x0008
ERROR_CODE, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS = 0x0009, 0x000A, 0x0020
FINGERPRINT, RESPONSE_ORIGIN, OTHER_ADDRESS = 0x8028, 0x802B, 0x802C
MESSAGE_INTEGRITY_SHA256: Final = 0x001C
FIRST_OPTIONAL: Final = 0x8000
"""Attributes from here on may be passed over by who does not know them."""

_FINGERPRINT_XOR: Final = 0x5354554E
_CHANGE_IP, _CHANGE_PORT = 4, 2
_CREDENTIALS: Final = (USERNAME, MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256)
"""Who asks nothing for credentials ignores them."""
_HEADER: Final = struct.Struct("!HHI12s")
_ATTRIBUTE: Final = struct.Struct("!HH")


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """An IP address and a UDP port."""

    host: str
    """Canonical, without a zone."""
    port: int

    def __str__(self) -> str:
        """For people: `192.0.2.1:3478`, `[2001:db8::1]:3478`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message, with what of it concerns us."""

    kind: int
    """REQUEST, INDICATION, RESPONSE or ERROR."""
    transaction: bytes
    """12 bytes."""
    mapped: Endpoint | None = None
    """Where the server saw the request come from."""
    origin: Endpoint | None = None
    """Where the server says that it answers from."""
    other: Endpoint | None = None
    """Its other address and port, for RFC 5780."""
    change_ip: bool = False
    change_port: bool = False
    """Answer from the other address, from the other port."""
    error: int = 0
    """300 to 699 in an ERROR."""
    reason: str = ""
    unknown: tuple[int, ...] = ()
    """Attributes that must be understood and are not: those found here, when it was decoded; in an
    ERROR that is to be encoded, those to tell of."""
    fingerprint: bool = False
    """Whether it ends in a FINGERPRINT."""


def encode(message: Message) -> bytes:
    """The bytes of a message; where somebody was seen goes as XOR-MAPPED-ADDRESS."""
    assert len(message.transaction) == TRANSACTION_BYTES, "a transaction has 12 bytes"
    parts: list[bytes] = []
    if message.change_ip or message.change_port:
        flags = _CHANGE_IP * message.change_ip + _CHANGE_PORT * message.change_port
        parts.append(_attribute(CHANGE_REQUEST, flags.to_bytes(4, "big")))
    if message.error:
        code = bytes((0, 0, message.error // 100, message.error % 100))
        parts.append(_attribute(ERROR_CODE, code + message.reason.encode()[:REASON_BYTES_MAX]))
        if message.unknown:
            kinds = b"".join(kind.to_bytes(2, "big") for kind in message.unknown[:UNKNOWN_MAX])
            parts.append(_attribute(UNKNOWN_ATTRIBUTES, kinds))
    if message.mapped is not None:
        mask = _mask(message.transaction)
        parts.append(_attribute(XOR_MAPPED_ADDRESS, _pack(message.mapped, mask)))
    for kind, place in ((RESPONSE_ORIGIN, message.origin), (OTHER_ADDRESS, message.other)):
        if place is not None:
            parts.append(_attribute(kind, _pack(place, bytes(18))))
    body = b"".join(parts)
    length = len(body) + 8 * message.fingerprint
    data = _HEADER.pack(message.kind, length, COOKIE, message.transaction) + body
    if message.fingerprint:
        data += _attribute(FINGERPRINT, (zlib.crc32(data) ^ _FINGERPRINT_XOR).to_bytes(4, "big"))
    return data


def decode(data: bytes) -> Message:
    """Read a message.

    Raises:
        ProtocolError: It is not a STUN message of the method Binding, or malformed.
    """
    if not HEADER_BYTES <= len(data) <= MESSAGE_BYTES_MAX:
        raise ProtocolError(f"a datagram of {len(data)} bytes is no STUN message we read")
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if cookie != COOKIE or kind not in KINDS:
        raise ProtocolError("not a STUN message of the method Binding")
    if length != len(data) - HEADER_BYTES or length % 4:
        raise ProtocolError(f"the length says {length}, there are {len(data) - HEADER_BYTES} bytes")
    found = _Found(transaction)
    at = HEADER_BYTES
    for _ in range(ATTRIBUTES_MAX):
        if at == len(data):
            break
        name, size = _ATTRIBUTE.unpack_from(data, at)
        value = data[at + 4 : at + 4 + size]
        if len(value) < size:
            raise ProtocolError("an attribute goes beyond the end")
        found.take(name, value, data[:at])
        at += 4 + size + -size % 4
    if at != len(data):
        raise ProtocolError("too many attributes")
    return found.message(kind)


class _Found:
    """What was read of one message so far."""

    def __init__(self, transaction: bytes) -> None:
        self._transaction = transaction
        self._places: dict[int, Endpoint] = {}
        self._unknown: list[int] = []
        self._change = 0
        self._error = 0
        self._reason = ""
        self._sealed = False
        self._ended = False

    def take(self, name: int, value: bytes, before: bytes) -> None:
        """Take one attribute; `before` is the message up to it."""
        if self._ended:
            raise ProtocolError("something follows the FINGERPRINT")
        if name == FINGERPRINT:
            # The CRC is over all before it, the length in the header counting it in (14.7).
            crc = (zlib.crc32(before) ^ _FINGERPRINT_XOR).to_bytes(4, "big")
            if value != crc:
                raise ProtocolError("the FINGERPRINT is wrong")
            self._ended = True
            return
        # "Note that agents MUST ignore all attributes that follow MESSAGE-INTEGRITY", 14.5
        if self._sealed:
            return
        self._sealed = name in (MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256)
        mask = _mask(self._transaction) if name == XOR_MAPPED_ADDRESS else bytes(18)
        if name in (XOR_MAPPED_ADDRESS, MAPPED_ADDRESS, RESPONSE_ORIGIN, OTHER_ADDRESS):
            self._places.setdefault(name, _unpack(value, mask))
        elif name == CHANGE_REQUEST:
            if len(value) != 4:
                raise ProtocolError("a CHANGE-REQUEST has 4 bytes")
            self._change = value[3]
        elif name == ERROR_CODE:
            self._take_error(value)
        elif (
            name < FIRST_OPTIONAL
            and name not in (*_CREDENTIALS, UNKNOWN_ATTRIBUTES)
            and len(self._unknown) < UNKNOWN_MAX
        ):
            self._unknown.append(name)

    def _take_error(self, value: bytes) -> None:
        if not 4 <= len(value) <= 4 + REASON_BYTES_MAX or not 3 <= value[2] & 7 <= 6:
            raise ProtocolError("the ERROR-CODE is none")
        if value[3] > 99:
            raise ProtocolError("the ERROR-CODE is none")
        self._error = (value[2] & 7) * 100 + value[3]
        self._reason = value[4:].decode(errors="replace")

    def message(self, kind: int) -> Message:
        """Everything that was read."""
        places = self._places
        if kind == ERROR and not self._error:
            raise ProtocolError("an error without its code")
        return Message(
            kind=kind,
            transaction=self._transaction,
            mapped=places.get(XOR_MAPPED_ADDRESS, places.get(MAPPED_ADDRESS)),
            origin=places.get(RESPONSE_ORIGIN),
            other=places.get(OTHER_ADDRESS),
            change_ip=bool(self._change & _CHANGE_IP),
            change_port=bool(self._change & _CHANGE_PORT),
            error=self._error,
            reason=self._reason,
            unknown=tuple(self._unknown),
            fingerprint=self._ended,
        )


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _mask(transaction: bytes) -> bytes:
    """What an address is XORed with: for the port, then for the address (section 14.2)."""
    cookie = COOKIE.to_bytes(4, "big")
    return cookie[:2] + cookie + transaction


def _pack(place: Endpoint, mask: bytes) -> bytes:
    ip = ipaddress.ip_address(place.host)
    plain = place.port.to_bytes(2, "big") + ip.packed
    family = 1 if ip.version == 4 else 2
    return bytes((0, family)) + bytes(a ^ b for a, b in zip(plain, mask, strict=False))


def _unpack(value: bytes, mask: bytes) -> Endpoint:
    if len(value) < 2 or len(value) != {1: 8, 2: 20}.get(value[1]):
        raise ProtocolError("an address of no known family")
    plain = bytes(a ^ b for a, b in zip(value[2:], mask, strict=False))
    return Endpoint(str(ipaddress.ip_address(plain[2:])), int.from_bytes(plain[:2], "big"))
