"""CONTROL frames, the channel's own: their kinds, and those that wait for the next record.

    CONTROL = kind u8 | rest

Invariant: at most one frame waits for the end of a record, SWITCH or GOODBYE.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from whispurrnet.wire.frame import CONTROL, encode

TOKEN_BYTES = 8
"""What a PING holds and its PONG repeats."""

PONGS_MAX = 8
"""How many answers to PINGs wait for the next record at most."""


class Control(IntEnum):
    """The kinds of CONTROL frames; the number is the first byte of the body."""

    PING = 1
    PONG = 2
    REKEY1 = 3
    REKEY2 = 4
    SWITCH = 5
    GOODBYE = 6


SWITCH_BODY = bytes((Control.SWITCH,))


class Pending:
    """What goes into the next record besides the frames of the stack."""

    __slots__ = ("_first", "_last", "bytes", "ping", "pongs", "switch")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """All of it was sealed."""
        self.bytes = 0
        """How many bytes the frames have together; 0 when there are none."""
        self.ping = False
        """Whether a PING is among them."""
        self.pongs = 0
        """How many PONGs are among them."""
        self.switch = False
        """Whether the record ends its epoch."""
        self._first: list[bytes] = []
        self._last = b""

    def put(self, kind: Control, rest: bytes) -> None:
        """One frame before those of the stack."""
        frame = encode(CONTROL, bytes((kind,)) + rest)
        self._first.append(frame)
        self.bytes += len(frame)
        self.ping |= kind is Control.PING
        self.pongs += kind is Control.PONG

    def put_last(self, kind: Control, rest: bytes = b"") -> None:
        """The frame after those of the stack; it replaces one that waits there."""
        frame = encode(CONTROL, bytes((kind,)) + rest)
        self.bytes += len(frame) - len(self._last)
        self._last = frame
        self.switch = kind is Control.SWITCH

    def around(self, frames: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
        """All frames of the next record, in order."""
        return [*self._first, *frames, self._last]
