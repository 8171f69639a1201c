"""A peer that one object is fetched from: what it has, what it was asked, how much to ask.

The window follows the product of bandwidth and delay, as BBR's does: the best rate of the last
seconds times the shortest wait for a first byte, a quarter more, and two chunks. So a path of
100 ms is kept full, and on the same machine little is on its way when somebody pulls the plug.
Now and then the window shrinks for one round, to see what the delay is without a queue of ours.

Source: Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016.
"""

from __future__ import annotations

from collections import deque
from math import inf

from whispurrnet.base.bounded import LruDict, TokenBucket
from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.runs import EVER, Runs

RATE_S = 1.0
"""The best rate is that of this time and the one before, in seconds."""
PROBE_S = 10.0
"""How often the delay is measured anew, in seconds."""
GAIN = 1.25
START_GAIN = 2.0
"""The gain at first, on a path with a delay of at least `FAR_S`, until the rate grows no more."""
FAR_S = 0.01
FIRST_CHUNKS = 4
"""The window before anything is known."""
LATE_MAX = 1024
CHANGES_PER_S, CHANGES_BURST = 8, 100
"""How often a source may say what it has, or has not."""
UNIT_BYTES = 256 * 1024
SMOOTH_S = 2.0
"""Over how long the rate that is shown is measured, in seconds."""


class Asked:
    """A chunk that a source was asked for."""

    __slots__ = ("alone", "at", "before", "got", "length", "packed", "parts")

    def __init__(self, length: int, at: float, before: int, *, alone: bool) -> None:
        self.length = length
        self.at = at
        self.before = before
        """How many bytes the source had sent when it was asked."""
        self.alone = alone
        """Whether next to nothing else was on its way."""
        self.got = 0
        """How much of it came, as it came."""
        self.packed = 0
        """How long it is packed; 0 if it is not, or nothing came yet."""
        self.parts: list[memoryview] = []

    @property
    def left(self) -> int:
        """How many bytes of it are still to come, at most."""
        return (self.packed or self.length) - self.got

    def take(self, offset: int, packed: int, part: memoryview) -> int | None:
        """A part came; return how much of the chunk that makes in bytes, or None if it is wrong.

        Args:
            offset: Where it belongs.
            packed: How long the chunk is packed, or 0.
            part: The bytes.
        """
        n, got = len(part), self.got
        if not got:
            self.packed = packed
        # What is packed is shorter: so it never takes more room than the chunk.
        wrong = packed != self.packed or packed >= max(1, self.length) or offset != got
        if wrong or n > self.left or (not n and self.length):
            return None
        self.parts.append(part)
        self.got += n
        if not packed:
            return n
        return self.length * self.got // packed - self.length * got // packed


class Source:
    """One peer, for one object.

    Args:
        peer: Who.
        ref: The number of the object in the session with it.
        now: Monotonic time in seconds.
    """

    __slots__ = (
        "_best",
        "_best_before",
        "_changes",
        "_probe_at",
        "_probing",
        "_rate_from",
        "_start_at",
        "_start_rate",
        "_starting",
        "_sums",
        "asked",
        "complete",
        "have",
        "heard_at",
        "inflight",
        "late",
        "pages",
        "peer",
        "received",
        "ref",
        "rtt_s",
        "told",
    )

    def __init__(self, peer: int, ref: int, now: float) -> None:
        self.peer = peer
        self.ref = ref
        self.complete = False
        self.have = Runs()
        self.told = False
        """Whether it has said what it has."""
        self.asked: dict[int, Asked] = {}
        self.pages: dict[int, float] = {}
        """The pages it was asked for, and when."""
        self.late: LruDict[int, int] = LruDict(LATE_MAX)
        """What it need not send any more, and how many bytes of it may still come."""
        self.inflight = 0
        """Bytes asked for."""
        self.received = 0
        self.heard_at = now
        self.rtt_s = inf
        self._changes = TokenBucket(CHANGES_PER_S, CHANGES_BURST)
        self._best = self._best_before = 0.0
        self._rate_from = now
        self._probe_at = now + PROBE_S
        self._probing = False
        self._starting = True
        self._start_rate = 0.0
        self._start_at = now
        self._sums: deque[tuple[float, int]] = deque()

    def changes(self, now: float) -> None:
        """It says that what it has is not what it had.

        Raises:
            ProtocolError: It does so too often: each time it is thought over what to ask whom for.
        """
        if not self._changes.take(1, now):
            raise ProtocolError("a peer says too often what it has of an object")

    def has(self, index: int) -> bool:
        """Whether it says that it has a chunk."""
        return self.complete or index in self.have

    def spans(self, chunks: int) -> list[tuple[int, int]]:
        """What it has, of an object of so many chunks."""
        return [(0, chunks)] if self.complete else self.have.spans()

    def lacks(self, start: int, stop: int) -> None:
        """It says that it does not have these."""
        if self.complete:
            self.complete = False
            self.have.add(0, EVER)
        self.have.remove(start, stop)

    def window(self, chunk_bytes: int, least: int, most: int) -> int:
        """How many bytes may be asked for in all.

        Args:
            chunk_bytes: How long a chunk is, about.
            least: How many chunks at least.
            most: How many at most, of 256 KiB.
        """
        rate = max(self._best, self._best_before)
        if self._probing:
            return least * chunk_bytes
        if not rate:
            return FIRST_CHUNKS * chunk_bytes
        gain = START_GAIN if self._starting and self.rtt_s >= FAR_S else GAIN
        target = gain * rate * self.rtt_s + max(2 * chunk_bytes, UNIT_BYTES)
        return max(least * chunk_bytes, min(int(target), most * UNIT_BYTES))

    def ask(self, index: int, length: int, now: float) -> None:
        """It is asked for a chunk."""
        if not self.asked:
            self.heard_at = max(self.heard_at, now)
        self.asked[index] = Asked(length, now, self.received, alone=len(self.asked) <= 1)
        self.inflight += length
        if now >= self._probe_at:
            self._probing = True
            self._probe_at = now + PROBE_S

    def begun(self, asked: Asked, now: float) -> None:
        """The first byte of a chunk is here."""
        wait_s = max(now - asked.at, 1e-6)
        if self._probing and asked.alone:
            self._probing = False
            self.rtt_s = wait_s
        elif wait_s < self.rtt_s:
            self.rtt_s = wait_s

    def arrived(self, n: int, now: float) -> None:
        """So many bytes came."""
        self.received += n
        self.heard_at = now

    def finished(self, index: int, now: float) -> Asked:
        """A chunk is here in full; return it."""
        asked = self.asked.pop(index)
        self.inflight -= asked.length
        rate = (self.received - asked.before) / max(now - asked.at, 1e-6)
        if now - self._rate_from > max(RATE_S, 8 * self.rtt_s):
            self._rate_from = now
            self._best, self._best_before = rate, self._best
        elif rate > self._best:
            self._best = rate
        if self._starting:
            self._start(rate, now)
        return asked

    def _start(self, rate: float, now: float) -> None:
        """Whether the rate still grows by a quarter in three rounds."""
        if rate > 1.25 * self._start_rate:
            self._start_rate, self._start_at = rate, now
        elif now - self._start_at > 3 * self.rtt_s:
            self._starting = False

    def cancel(self, index: int) -> int:
        """A chunk is not wanted from it any more; return its length."""
        asked = self.asked.pop(index)
        self.inflight -= asked.length
        self.late.put(index, asked.left)
        return asked.length

    def rate(self, now: float) -> float:
        """How fast it sent in the last two seconds, in bytes a second."""
        sums = self._sums
        sums.append((now, self.received))
        while len(sums) > 2 and sums[0][0] < now - SMOOTH_S:
            sums.popleft()
        span_s = now - sums[0][0]
        return (self.received - sums[0][1]) / span_s if span_s > 0 else 0.0

    def check_invariants(self) -> None:
        """Assert what must be true."""
        assert self.inflight == sum(asked.length for asked in self.asked.values())
        for asked in self.asked.values():
            assert asked.got == sum(map(len, asked.parts)) <= asked.length
