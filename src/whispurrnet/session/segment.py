"""Segments: the bodies of STREAM frames, of which a mux is made.

STREAM frame = kind u8 | stream u32 BE | rest
OPEN 1       priority u8 | name, UTF-8, at most 255 bytes
DATA 2       1 byte or more
END 3        0 bytes or more: the last DATA
RESET 4      code u32 BE: nothing more in either direction
CREDIT 5     limit u64 BE: send up to this byte; stream 0 means all streams together
"""

from __future__ import annotations

import struct
from enum import IntEnum

from whispurrnet.base.errors import ProtocolError, UsageError

PRIORITY_MAX = 10
NAME_BYTES_MAX = 255
STREAM_ID_MAX = 2**32 - 1

REFUSED = 1
"""The RESET code for a stream that was not accepted."""

_HEADER = struct.Struct(">BI")
_CREDIT = struct.Struct(">BIQ")
_RESET = struct.Struct(">BII")

HEADER_BYTES = _HEADER.size
CREDIT_BYTES = _CREDIT.size


class Kind(IntEnum):
    """The kinds of segments."""

    OPEN = 1
    DATA = 2
    END = 3
    RESET = 4
    CREDIT = 5


def header(kind: Kind, stream: int) -> bytes:
    """What stands before the data of a DATA or an END."""
    return _HEADER.pack(kind, stream)


def open_(stream: int, priority: int, name: str) -> bytes:
    """An OPEN.

    Raises:
        UsageError: The name or the priority is out of bounds.
    """
    text = name.encode()
    if len(text) > NAME_BYTES_MAX or not 0 <= priority <= PRIORITY_MAX:
        raise UsageError(
            f"a stream with a name of {len(text)} bytes and priority {priority}; "
            f"take at most {NAME_BYTES_MAX} bytes, and 0 to {PRIORITY_MAX}"
        )
    return _HEADER.pack(Kind.OPEN, stream) + bytes((priority,)) + text


def reset(stream: int, code: int) -> bytes:
    """A RESET."""
    return _RESET.pack(Kind.RESET, stream, code & 0xFFFFFFFF)


def credit(stream: int, limit: int) -> bytes:
    """A CREDIT."""
    return _CREDIT.pack(Kind.CREDIT, stream, limit)


def parse(body: bytes) -> tuple[Kind, int]:
    """The kind and the stream of a segment; its length fits its kind.

    Raises:
        ProtocolError: It does not, or there is no such kind.
    """
    length = len(body)
    if length >= HEADER_BYTES:
        kind, stream = _HEADER.unpack_from(body)
        least, most = _LENGTHS.get(kind, (length + 1, 0))
        if least <= length <= most:
            return Kind(kind), stream
    raise ProtocolError(f"a stream frame of {length} bytes and no known shape")


def parse_open(body: bytes) -> tuple[int, str]:
    """The priority and the name in an OPEN.

    Raises:
        ProtocolError: They are out of bounds.
    """
    priority = body[HEADER_BYTES]
    if priority > PRIORITY_MAX:
        raise ProtocolError(f"a stream was opened with priority {priority}")
    try:
        return priority, body[HEADER_BYTES + 1 :].decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("a stream was opened with a name that is not UTF-8") from error


def parse_reset(body: bytes) -> int:
    """The code in a RESET."""
    code: int = _RESET.unpack(body)[2]
    return code


def parse_credit(body: bytes) -> int:
    """The limit in a CREDIT."""
    limit: int = _CREDIT.unpack(body)[2]
    return limit


_UNBOUNDED = 2**32
_LENGTHS = {
    Kind.OPEN: (HEADER_BYTES + 1, HEADER_BYTES + 1 + NAME_BYTES_MAX),
    Kind.DATA: (HEADER_BYTES + 1, _UNBOUNDED),
    Kind.END: (HEADER_BYTES, _UNBOUNDED),
    Kind.RESET: (_RESET.size, _RESET.size),
    Kind.CREDIT: (_CREDIT.size, _CREDIT.size),
}
