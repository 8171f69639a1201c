"""The messages of a reconciliation (see `wire.reconcile`), to bytes and back.

    message = 0x61 | range*            the rest, up to infinity, is skipped
    range   = bound | mode varint | payload
    bound   = time varint (0: infinity; else 1 + what it is more than the last) | n varint | n bytes
    mode    = 0 skip: nothing | 1 fingerprint: 16 bytes | 2 ids: count varint | 32 bytes each

A range begins where the one before it ends, the first at time 0 and an id of zeros. The bytes of a
bound are how its id begins; the rest of it is zeros.

Source: hoytech/negentropy, `docs/negentropy-protocol-v1.md`, "Varint" to "Bound".

Invariants:
    - what `parse` returns is whole and in order, and took a time in proportion to the message;
    - a message that is written is never longer than it may be, if its writer asks for `room`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from whispurrnet.base.errors import ProtocolError
from whispurrnet.wire.items import FINGERPRINT_BYTES, ID_BYTES, KEY_BYTES, TIME_MAX, varint

VERSION = 0x61
MESSAGE_MAX = 65_536
"""The longest message that is read, in bytes."""

SKIP, FINGERPRINT, IDS = range(3)
"""The modes of a range."""

START: Final = bytes(KEY_BYTES)
INFINITY: Final = b"\xff" * 8 + bytes(ID_BYTES)

_VARINT_BYTES_MAX = 10
BOUND_BYTES_MAX = _VARINT_BYTES_MAX + 1 + ID_BYTES
"""The longest bound, in bytes."""


class Range(NamedTuple):
    """One range of a message, from where the one before it ended."""

    bound: bytes
    """Where it ends: a key of 40 bytes, not within it."""
    mode: int
    fingerprint: bytes
    ids: tuple[bytes, ...]


class Writer:
    """A message while it is written. Ranges that are skipped one after the other become one."""

    def __init__(self, size: int) -> None:
        self._out = bytearray((VERSION,))
        self._size = size
        self._time = 0  # of the last bound that was written
        self._bound = START  # up to where is settled what was written
        self._skipped = START  # and up to where is skipped after it

    @property
    def room(self) -> int:
        """How many more bytes may be written."""
        return self._size - len(self._out)

    @property
    def empty(self) -> bool:
        """Whether all is skipped so far."""
        return len(self._out) == 1

    def skip(self, bound: bytes) -> None:
        """Up to here is nothing to say."""
        self._skipped = max(bound, self._skipped)

    def fingerprint(self, bound: bytes, fingerprint: bytes) -> None:
        """From the last bound to this one, our items have this fingerprint."""
        self._begin(bound, FINGERPRINT)
        self._out += fingerprint

    def ids(self, bound: bytes, ids: list[bytes]) -> None:
        """From the last bound to this one, these are the ids of our items."""
        self._begin(bound, IDS)
        self._out += varint(len(ids))
        self._out += b"".join(ids)

    def message(self) -> bytes:
        """What was written."""
        assert len(self._out) <= self._size, "what is written was seen to fit"
        return bytes(self._out)

    def _begin(self, bound: bytes, mode: int) -> None:
        if self._skipped > self._bound:
            self._put(self._skipped)
            self._out += varint(SKIP)
        self._put(bound)
        self._out += varint(mode)
        self._bound = self._skipped = bound

    def _put(self, bound: bytes) -> None:
        if bound == INFINITY:
            self._out += varint(0) + varint(0)
            return
        time = int.from_bytes(bound[:8], "big")
        prefix = bound[8:].rstrip(b"\0")
        self._out += varint(1 + time - self._time) + varint(len(prefix)) + prefix
        self._time = time


def parse(message: bytes) -> list[Range]:
    """The ranges of a message, in order.

    Raises:
        ProtocolError: It is malformed, of another version, or longer than `MESSAGE_MAX`.
    """
    if not message or message[0] != VERSION or len(message) > MESSAGE_MAX:
        raise ProtocolError("a message of a reconciliation is of another version, or too long")
    reader, ranges, last = _Reader(message), list[Range](), START
    while not reader.done:
        read = reader.range()
        if read.bound < last:
            raise ProtocolError("the ranges of a reconciliation are not in order")
        last = read.bound
        ranges.append(read)
    return ranges


class _Reader:
    """A message while it is read; everything it asks for is there, or the message is malformed."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._at = 1
        self._time = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._message)

    def varint(self) -> int:
        """Source: negentropy V1, "Varint": "with as few digits as possible"."""
        message, at, value = self._message, self._at, 0
        for byte in message[at : at + _VARINT_BYTES_MAX]:
            at += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                self._at = at
                return value
            if not value:
                break
        raise ProtocolError("a number in a message of a reconciliation is malformed")

    def take(self, n: int) -> bytes:
        part = self._message[self._at : self._at + n]
        if len(part) != n:
            raise ProtocolError("a message of a reconciliation ends too early")
        self._at += n
        return part

    def bound(self) -> bytes:
        time, size = self.varint(), self.varint()
        if size > ID_BYTES:
            raise ProtocolError("a bound of a reconciliation is longer than an id")
        prefix = self.take(size)
        if not time:
            if size:
                raise ProtocolError("a bound of a reconciliation is beyond infinity")
            return INFINITY
        self._time += time - 1
        if self._time > TIME_MAX:
            raise ProtocolError("a bound of a reconciliation is later than time goes")
        return key(self._time, prefix)

    def range(self) -> Range:
        bound, mode = self.bound(), self.varint()
        match mode:
            case 0:
                return Range(bound, mode, b"", ())
            case 1:
                return Range(bound, mode, self.take(FINGERPRINT_BYTES), ())
            case 2:
                ids = self.take(self.varint() * ID_BYTES)
                parts = range(0, len(ids), ID_BYTES)
                return Range(bound, mode, b"", tuple(ids[at : at + ID_BYTES] for at in parts))
            case _:
                raise ProtocolError("a range of a reconciliation has an unknown mode")


def key(time: int, prefix: bytes = b"") -> bytes:
    """The key of a time and of an id that begins like this and goes on with zeros; 40 bytes."""
    return time.to_bytes(8, "big") + prefix + bytes(ID_BYTES - len(prefix))
