"""What waits in a lane and what is on its way: parcels, their numbers, and how much it all is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import inf

import msgspec

from whispurrnet.direct.messages import STREAM_BYTES, TTL_MS_MAX, Whisper


class Load:
    """How much waits for one peer, in all its lanes."""

    __slots__ = ("bytes", "count")

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0

    def add(self, size: int) -> None:
        """One more message waits."""
        self.count += 1
        self.bytes += size

    def drop(self, size: int) -> None:
        """One message waits no more."""
        self.count -= 1
        self.bytes -= size


class Parcel(msgspec.Struct, frozen=True, gc=False):
    """A whisper that waits, with what its sender has to know of it."""

    id: int
    kind: int
    body: bytes
    expires_at: float
    acknowledged: bool

    def whisper(self, lane: int, seq: int, now: float) -> Whisper:
        """The message that carries it, with the time that is left."""
        ttl_ms = 0
        if self.expires_at < inf:
            ttl_ms = max(1, min(int((self.expires_at - now) * 1000), TTL_MS_MAX))
        return Whisper(self.kind, seq, ttl_ms, lane, self.body)


class Stream:
    """The numbers one incarnation of a lane gives out.

    They start anywhere, so that a number of one stream is hardly ever one of another.
    """

    __slots__ = ("base", "bytes", "flight", "id", "next_seq", "unread")

    def __init__(self, entropy: Callable[[int], bytes], unread_max: int) -> None:
        self.id = entropy(STREAM_BYTES)
        self.next_seq = 1 + (int.from_bytes(entropy(4), "big") >> 1)
        self.base = self.next_seq
        self.flight: dict[int, Parcel | None] = {}
        """None stands for one that expired."""
        self.bytes = 0
        self.unread: deque[tuple[int, int]] = deque(maxlen=unread_max)
        """Number and id of what was received and not yet reported as read."""

    def land(self, received: int) -> Iterator[Parcel]:
        """Let go of what was received, up to and including a number; each that had not expired."""
        for seq in range(self.base, received + 1):
            parcel = self.flight.pop(seq)
            self.base = seq + 1
            if parcel is not None:
                self.bytes -= len(parcel.body)
                self.unread.append((seq, parcel.id))
                yield parcel

    def bury(self, seq: int) -> Parcel | None:
        """Leave a hole in the flight; return what was there."""
        parcel = self.flight[seq]
        self.flight[seq] = None
        if parcel is not None:
            self.bytes -= len(parcel.body)
        return parcel

    def trim(self) -> None:
        """Let go of holes at the start of the flight."""
        while self.base < self.next_seq and self.flight[self.base] is None:
            del self.flight[self.base]
            self.base += 1

    def hole_end(self, seq: int) -> int:
        """The last number of the hole that starts at `seq`."""
        while seq + 1 < self.next_seq and self.flight[seq + 1] is None:
            seq += 1
        return seq

    def check_invariants(self) -> None:
        """Assert what must be true; for tests."""
        assert list(self.flight) == list(range(self.base, self.next_seq))
        assert self.bytes == sum(len(parcel.body) for parcel in self.flight.values() if parcel)
