"""The receiving half of a lane: each whisper once, in order, through any number of sessions.

A lane accepts only the number it expects. Every session opens a lane with a `Resume`, which names
the sender's stream: the same stream goes on where it was, another one (the sender restarted, or
two records of it became one) starts at its own first number. What arrives out of order is dropped,
never kept: the sender sends it again. So nothing here grows, whatever a peer sends.

Invariants:
    - `expected` of one stream never goes back;
    - before the `Resume` of a session nothing numbered is taken, and nothing is acknowledged;
    - `read` stays below `expected`.
"""

from __future__ import annotations

import msgspec

from whispurrnet.direct.messages import Ack, Resume, Skip, Whisper

PAST_MAX = 4
"""How many earlier streams of a lane are remembered."""


class Position(msgspec.Struct, frozen=True):
    """How far a stream came."""

    expected: int
    read: int


class ReceiverLane(msgspec.Struct):
    """What is known of one lane of one peer. Copied, changed and put back as a whole."""

    stream: bytes = b""
    live: bool = False
    """Whether this session has opened the lane."""
    expected: int = 1
    read: int = 0
    past: tuple[tuple[bytes, Position], ...] = ()
    """Earlier streams, the oldest first."""

    def take(self, whisper: Whisper) -> bool:
        """Whether the whisper is the next one; then the one after it is expected."""
        if not self.live or whisper.seq != self.expected:
            return False
        self.expected += 1
        return True

    def advance(self, message: Resume | Skip) -> None:
        """Open the lane where the sender says, or pass over what expired if it comes next."""
        if isinstance(message, Resume):
            if message.stream != self.stream:
                self._switch(message.stream)
            self.expected = max(self.expected, message.first)
            self.live = True
        elif self.live and message.first <= self.expected:
            self.expected = max(self.expected, message.last + 1)

    def mark_read(self, seq: int) -> bool:
        """Note that the application read up to `seq`; whether that is news of this stream."""
        if not self.read < seq < self.expected:
            return False
        self.read = seq
        return True

    def ack(self, lane: int) -> Ack:
        """Where we are."""
        return Ack(lane, self.stream, self.expected - 1, self.read)

    def merged(self, other: ReceiverLane) -> ReceiverLane:
        """This lane with what `other`, of the same peer, knew; it stays on its own stream."""
        positions = dict(other.past)
        for stream, position in ((other.stream, other.position), *self.past):
            positions[stream] = _further(position, positions.get(stream))
        here = _further(self.position, positions.pop(self.stream, None))
        positions.pop(b"", None)
        past = tuple(positions.items())[-PAST_MAX:]
        return ReceiverLane(self.stream, self.live, here.expected, here.read, past)

    @property
    def position(self) -> Position:
        """How far the current stream came."""
        return Position(self.expected, self.read)

    def _switch(self, stream: bytes) -> None:
        positions = dict(self.past)
        if self.stream:
            positions[self.stream] = self.position
        here = positions.pop(stream, Position(1, 0))
        self.stream, self.expected, self.read = stream, here.expected, here.read
        self.past = tuple(positions.items())[-PAST_MAX:]


def _further(one: Position, other: Position | None) -> Position:
    if other is None:
        return one
    return Position(max(one.expected, other.expected), max(one.read, other.read))
