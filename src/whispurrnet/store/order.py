"""What one peer has asked for of one object: what waits, what is being read, what is being sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.messages import ASKED_MAX
from whispurrnet.store.object import Header, Mode
from whispurrnet.store.packing import Packed
from whispurrnet.store.runs import EVER, Runs
from whispurrnet.store.transfer_events import Found
from whispurrnet.wire.ids import ObjectId


class Order:
    """Chunks of one object for one peer, in the order in which they were asked for.

    Args:
        ref: The number that the peer gave it.
        oid: The object.
        priority: How urgent it is among what this peer wants.
    """

    __slots__ = (
        "charged",
        "chunks",
        "complete",
        "current",
        "deficit",
        "dropped",
        "fresh",
        "have",
        "header",
        "oid",
        "pages",
        "pages_pending",
        "pending",
        "priority",
        "public",
        "queued",
        "reading",
        "ready",
        "ref",
        "unpacks",
        "waiting",
    )

    def __init__(self, ref: int, oid: ObjectId, priority: int) -> None:
        self.ref = ref
        self.oid = oid
        self.priority = priority
        self.header: Header | None = None
        """None until it is known that the peer may have it."""
        self.unpacks = False
        """Whether the peer can unpack chunks."""
        self.public = False
        self.complete = False
        self.chunks = EVER
        self.have = Runs()
        self.fresh: list[int] = []
        """Chunks that are stored and that the peer was not told of."""
        self.pages: deque[int] = deque()
        """Pages that are asked for and not read yet."""
        self.pages_pending = 0
        """How many are asked for and not sent."""
        self.waiting: deque[tuple[int, int]] = deque()
        """Runs of chunks, each its first and how many."""
        self.pending = 0
        """How many chunks are asked for and not sent in full."""
        self.reading: dict[int, tuple[int, int]] = {}
        """What is being read, by its ticket: the first chunk, and how many."""
        self.dropped: dict[int, None] = {}
        """Chunks that are not wanted any more, but are being read."""
        self.ready: deque[tuple[int, bytes]] = deque()
        self.current: tuple[int, bytes, int] | None = None
        """The chunk that is being sent, as it is sent, and how much of it was."""
        self.charged = 0
        """How much memory is counted for it, in bytes."""
        self.queued = False
        """Whether it stands in the queue of what may be sent."""
        self.deficit = 0
        """How many bytes it may send before it is another's turn."""

    @property
    def held(self) -> int:
        """How many chunks of it are in memory, or will be."""
        reading = sum(count for _, count in self.reading.values())
        return len(self.ready) + reading + (self.current is not None)

    @property
    def packs(self) -> bool:
        """Whether its chunks are packed."""
        return self.public and self.unpacks

    @property
    def sendable(self) -> bool:
        """Whether there is something to send."""
        return self.header is not None and (self.current is not None or bool(self.ready))

    def found(self, found: Found) -> None:
        """The object is here, and the peer may have it."""
        self.header = found.header
        self.complete = found.complete
        self.public = found.public
        if found.header.mode is not Mode.CDC:
            self.chunks = found.header.chunks
        for start, count in found.runs:
            self.have.add(start, start + count)

    def ask(self, runs: Iterable[tuple[int, int]]) -> None:
        """The peer wants these chunks.

        Raises:
            ProtocolError: It wants too many at a time; nothing has changed.
        """
        runs = list(runs)
        count = sum(count for _, count in runs)
        if self.pending + count > ASKED_MAX:
            raise ProtocolError(f"more than {ASKED_MAX} chunks are asked for at a time")
        self.waiting.extend(runs)
        self.pending += count

    def sift(self) -> list[tuple[int, int]]:
        """Take out what is waited for and is not here; return it, as runs."""
        missing: list[tuple[int, int]] = []
        kept: deque[tuple[int, int]] = deque()
        for start, count in self.waiting:
            at, stop = start, start + count
            while at < stop:
                here = self._has(at)
                end = at + 1
                while end < stop and self._has(end) == here:
                    end += 1
                (kept if here else missing).append((at, end - at))
                at = end
        self.waiting = kept
        self.pending -= sum(count for _, count in missing)
        return missing

    def _has(self, index: int) -> bool:
        return index < self.chunks and (self.complete or index in self.have)

    def next_run(self, most: int) -> tuple[int, int]:
        """The next chunks to read, at most so many: the first, and how many."""
        start, count = self.waiting.popleft()
        if count > most:
            self.waiting.appendleft((start + most, count - most))
            count = most
        return start, count

    def read(self, ticket: int, chunks: Iterable[bytes]) -> None:
        """Chunks were read."""
        first, _ = self.reading.pop(ticket)
        for index, chunk in enumerate(chunks, first):
            if index in self.dropped:
                del self.dropped[index]
            else:
                self.ready.append((index, chunk))

    def cancel(self, start: int, stop: int) -> None:
        """The peer does not want these any more."""
        waiting: deque[tuple[int, int]] = deque()
        for first, count in self.waiting:
            end = first + count
            for low, high in ((first, min(end, start)), (max(first, stop), end)):
                if low < high:
                    waiting.append((low, high - low))
        ready = deque(item for item in self.ready if not start <= item[0] < stop)
        gone = sum(count for _, count in self.waiting) - sum(count for _, count in waiting)
        gone += len(self.ready) - len(ready)
        for first, count in self.reading.values():
            for index in range(max(first, start), min(first + count, stop)):
                if index not in self.dropped:
                    self.dropped[index] = None
                    gone += 1
        if self.current is not None and start <= self.current[0] < stop:
            self.current = None
            gone += 1
        self.waiting, self.ready = waiting, ready
        self.pending -= gone

    @property
    def rest(self) -> int:
        """How much there is to send of the chunk whose turn it is, in bytes; it is `sendable`."""
        if self.current is None:
            return len(self.ready[0][1])
        return len(self.current[1]) - self.current[2]

    def part(self, room: int) -> tuple[int, int, int, memoryview]:
        """The next part of a chunk: at most `room` bytes of it.

        Returns:
            Its index, its offset, how long the whole is if it is packed, or 0, and the bytes.
        """
        if self.current is None:
            self.current = *self.ready.popleft(), 0
        index, chunk, offset = self.current
        stop = min(len(chunk), offset + room)
        if stop == len(chunk):
            self.current = None
            self.pending -= 1
        else:
            self.current = index, chunk, stop
        packed = len(chunk) if isinstance(chunk, Packed) else 0
        return index, offset, packed, memoryview(chunk)[offset:stop]

    def check_invariants(self) -> None:
        """Assert what must be true."""
        waiting = sum(count for _, count in self.waiting)
        assert 0 <= self.pending <= ASKED_MAX
        assert self.pending == waiting + self.held - len(self.dropped)
