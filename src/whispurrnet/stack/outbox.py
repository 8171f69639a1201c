"""What waits to be sent to one peer besides whispers and streams: gossip, by priority.

Like every source of a session it is pulled when a record has room, so what is urgent overtakes.
It is bounded: when a peer reads too slowly, the oldest of the least urgent is dropped, and
anti-entropy brings it later.
"""

from __future__ import annotations

from collections import deque

from whispurrnet.wire import frame

BYTES_MAX = 8 << 20
FRAMES_MAX = 16_384
LANES = 11


class Outbox:
    """Whole frames for one peer, in lanes 0 to 10."""

    __slots__ = ("_count", "_filled", "_lanes", "bytes", "dropped")

    def __init__(self) -> None:
        self._lanes: dict[int, deque[tuple[int, bytes]]] = {}
        self._filled = 0  # bit n: lane n is not empty
        self.bytes = 0
        """How many bytes wait."""
        self._count = 0
        self.dropped = 0
        """How many frames made room for others."""

    def __len__(self) -> int:
        return self._count

    def put(self, type: int, body: bytes, priority: int) -> int:
        """Let a frame wait; return how many frames made room for it."""
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = deque()
        lane.append((type, body))
        self._filled |= 1 << priority
        self.bytes += len(body)
        self._count += 1
        before = self.dropped
        while self.bytes > BYTES_MAX or self._count > FRAMES_MAX:
            self._pop(next(lane for lane in range(LANES) if self._filled >> lane & 1))
            self.dropped += 1
        return self.dropped - before

    def priority(self) -> int | None:
        """How urgent the most urgent frame is, or None if there is none."""
        return self._filled.bit_length() - 1 if self._filled else None

    def pull(self, room: int) -> tuple[bytes, ...]:
        """The most urgent frame in parts, if it fits."""
        number = self._filled.bit_length() - 1
        if number < 0 or len(self._lanes[number][0][1]) + frame.HEADER_BYTES > room:
            return ()
        type, body = self._pop(number)
        return frame.header(type, len(body)), body

    def pull_all(self, room: int) -> list[bytes]:
        """All frames that fit, the most urgent first, in parts; it ends at one that does not."""
        parts: list[bytes] = []
        while taken := self.pull(room):
            parts += taken
            room -= frame.HEADER_BYTES + len(taken[1])
        return parts

    def _pop(self, number: int) -> tuple[int, bytes]:
        lane = self._lanes[number]
        type, body = lane.popleft()
        if not lane:
            self._filled &= ~(1 << number)
        self.bytes -= len(body)
        self._count -= 1
        return type, body
