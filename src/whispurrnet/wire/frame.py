"""Frames, the units inside a record, and the fragments of what is larger than one.

    frame    = type u8 | length u16 BE | body
    record   = frame* | zeros             type 0 ends the frames: what follows is padding
    FRAGMENT = type u8 | number u32 BE | offset u32 BE | total u32 BE | part

A frame's type says whose it is. A message that does not fit one frame is cut into FRAGMENT frames
of its own `number`; those of two messages may be mixed, those of one come in order.

Invariants:
    - a message in assembly holds no more memory than the bytes of it that arrived;
    - messages in assembly, and their bytes together, are bounded;
    - one that never ends is forgotten, and what still comes of it is counted and dropped.
"""

from __future__ import annotations

import struct

import msgspec

from whispurrnet.base.errors import ProtocolError, UsageError

# The registry of frame types.
PADDING = 0
CONTROL = 1
FRAGMENT = 2
STREAM = 3
DIRECT = 4
PEER = 5
RETIRED = 6  # once the interests of peers; now no subscription is told to anybody
GOSSIP = 7
VIEW = 8
RENDEZVOUS = 9
OBJECT = 10
RELAY = 11
SIGNAL = 12

PROTOCOLS = {
    PADDING: "padding",
    CONTROL: "control",
    FRAGMENT: "fragment",
    STREAM: "stream",
    DIRECT: "direct",
    PEER: "peer",
    RETIRED: "retired",
    GOSSIP: "gossip",
    VIEW: "view",
    RENDEZVOUS: "rendezvous",
    OBJECT: "object",
    RELAY: "relay",
    SIGNAL: "signal",
}
"""The names of the frame types, for documents and for `debug`."""

HEADER_BYTES = 3
FRAME_MAX = 65535
"""The longest body a length can name, in bytes."""

MESSAGE_MAX = 1024 * 1024 + 4096
"""The longest message fragments may carry, in bytes: a body of 1 MiB and what describes it."""

_FRAGMENT = struct.Struct(">BIII")
FRAGMENT_HEADER_BYTES = _FRAGMENT.size


def encode(type: int, body: bytes) -> bytes:
    """One frame; `header` and the body as two parts save a copy where they are joined anyway.

    Raises:
        UsageError: The body is longer than `FRAME_MAX`; `split` it.
    """
    if len(body) > FRAME_MAX:
        raise UsageError(f"a frame body of {len(body)} bytes; `split` what exceeds {FRAME_MAX}")
    return (type << 16 | len(body)).to_bytes(HEADER_BYTES, "big") + body


def header(type: int, length: int) -> bytes:
    """What stands before a body of `length` bytes, at most `FRAME_MAX`."""
    assert length <= FRAME_MAX, "`split` longer bodies"
    return (type << 16 | length).to_bytes(HEADER_BYTES, "big")


def parse(plaintext: bytes) -> list[tuple[int, bytes]]:
    """The frames of one record, each as its type and body; padding is left out.

    Raises:
        ProtocolError: A frame reaches beyond the end.
    """
    frames = []
    position, end = 0, len(plaintext)
    while position < end and (type := plaintext[position]):
        start = position + HEADER_BYTES
        if start > end:
            raise ProtocolError("a record ends inside the header of a frame")
        position = start + (plaintext[start - 2] << 8 | plaintext[start - 1])
        if position > end:
            raise ProtocolError("a frame reaches beyond the end of its record")
        frames.append((type, plaintext[start:position]))
    return frames


def split(type: int, body: bytes, max: int, *, number: int = 0) -> list[bytes]:
    """Cut a message into the bodies of FRAGMENT frames.

    Args:
        type: The frame type the message would have in one piece.
        body: The message; at most `MESSAGE_MAX` bytes.
        max: The longest body wanted, in bytes; at least `FRAGMENT_HEADER_BYTES` + 1.
        number: Tells messages apart whose fragments are mixed; u32, and free to be used again
            once the last fragment of a message was sent.

    Raises:
        UsageError: The message is longer than `MESSAGE_MAX`.
    """
    room = max - FRAGMENT_HEADER_BYTES
    assert room > 0, "a fragment carries at least one byte"
    total = len(body)
    if total > MESSAGE_MAX:
        raise UsageError(
            f"a message of {total} bytes; the most is {MESSAGE_MAX}: use a stream for more"
        )
    view = memoryview(body)
    return [
        b"".join((_FRAGMENT.pack(type, number, offset, total), view[offset : offset + room]))
        for offset in range(0, total or 1, room)
    ]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one peer may have in assembly."""

    messages_max: int = 16
    """How many messages at once."""

    bytes_max: int = 4 * 1024 * 1024
    """How many bytes of them together."""

    message_max: int = MESSAGE_MAX
    """How long one may be, in bytes."""

    timeout_s: float = 60.0
    """A message of which nothing came for so long is forgotten, in seconds."""


class _Partial:
    """A message of which some fragments came."""

    __slots__ = ("body", "heard_at", "total", "type")

    def __init__(self, type: int, total: int) -> None:
        self.type = type
        self.total = total
        self.body = bytearray()
        self.heard_at = 0.0


class Reassembler:
    """Joins the fragments of one peer back into messages."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.dropped = 0
        """How many fragments came of messages that were forgotten."""
        self._partials: dict[int, _Partial] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._partials)

    @property
    def deadline(self) -> float | None:
        """When the message silent for longest is to be forgotten, in seconds."""
        if not self._partials:
            return None
        return min(p.heard_at for p in self._partials.values()) + self.limits.timeout_s

    def add(self, body: bytes, now: float) -> tuple[int, bytes] | None:
        """Take the body of one FRAGMENT frame; return the message it completes, or None.

        Raises:
            ProtocolError: The fragment contradicts itself or an earlier one, or a limit is passed.
        """
        if len(body) < FRAGMENT_HEADER_BYTES:
            raise ProtocolError("a fragment is shorter than its header")
        type, number, offset, total = _FRAGMENT.unpack_from(body)
        part = memoryview(body)[FRAGMENT_HEADER_BYTES:]
        if type in (PADDING, CONTROL, FRAGMENT):
            raise ProtocolError(f"a frame of type {type} came in fragments")
        if total > self.limits.message_max or offset + len(part) > total:
            raise ProtocolError("a fragment reaches beyond its message, or its message is too long")
        if not part and total:
            raise ProtocolError("a fragment is empty")
        partial = self._partials.get(number)
        if partial is None:
            if offset:
                self.dropped += 1
                return None
            if len(part) == total:
                return type, bytes(part)
            if len(self._partials) >= self.limits.messages_max:
                raise ProtocolError("too many messages in fragments at once")
            partial = _Partial(type, total)
        elif (type, offset, total) != (partial.type, len(partial.body), partial.total):
            raise ProtocolError("a fragment contradicts the one before it")
        if self._bytes + len(part) > self.limits.bytes_max:
            raise ProtocolError("too many bytes in fragments at once")
        return self._append(number, partial, part, now)

    def expire(self, now: float) -> None:
        """Forget the messages of which nothing came for too long."""
        for number, partial in list(self._partials.items()):
            if partial.heard_at + self.limits.timeout_s <= now:
                self._forget(number)

    def _append(
        self, number: int, partial: _Partial, part: memoryview, now: float
    ) -> tuple[int, bytes] | None:
        self._partials[number] = partial
        self._bytes += len(part)
        partial.body += part
        partial.heard_at = now
        if len(partial.body) < partial.total:
            return None
        self._forget(number)
        return partial.type, bytes(partial.body)

    def _forget(self, number: int) -> None:
        self._bytes -= len(self._partials.pop(number).body)
        assert self._bytes >= 0
