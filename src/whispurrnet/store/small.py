"""Small objects, whole: many of them in one frame, so that a hundred thousand take seconds.

Both sides: `Counter` hands them out to one peer, `Errand` gets them from one peer.

Invariants:
    - at most 2048 are asked for and not answered, or not stored, on either side;
    - an object is handed on only if its bytes and its header make its id.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.messages import (
    SMALL_ASK_MAX,
    SMALL_ASKED_MAX,
    SMALL_HEADER_BYTES,
    AskSmall,
    Whole,
    small_parts,
)
from whispurrnet.store.object import Header, small_id
from whispurrnet.wire import frame
from whispurrnet.wire.ids import ObjectId

READ_AT_ONCE = 128
"""How many are read from the disk at a time."""
READY_MAX = 256
"""With so many read and not sent, no more are read."""


class Counter:
    """What one peer asked for and is to get.

    Args:
        peer: Who.
    """

    __slots__ = ("_asked", "_ready", "peer", "reading")

    def __init__(self, peer: int) -> None:
        self.peer = peer
        self.reading: tuple[ObjectId, ...] = ()
        """What is being read."""
        self._asked: deque[ObjectId] = deque()
        self._ready: deque[Whole] = deque()

    @property
    def sendable(self) -> bool:
        """Whether there is something to send."""
        return bool(self._ready)

    def ask(self, oids: Iterable[bytes]) -> None:
        """The peer wants these.

        Raises:
            ProtocolError: It wants too many at a time; nothing has changed.
        """
        asked = [ObjectId(oid) for oid in oids]
        waiting = len(self._asked) + len(self._ready) + len(self.reading)
        if waiting + len(asked) > SMALL_ASKED_MAX:
            raise ProtocolError(f"more than {SMALL_ASKED_MAX} small objects are asked for")
        self._asked.extend(asked)

    def next(self) -> tuple[ObjectId, ...]:
        """What to read now; nothing while something is being read, or enough is there."""
        if self.reading or len(self._ready) > READY_MAX or not self._asked:
            return ()
        n = min(READ_AT_ONCE, len(self._asked))
        self.reading = tuple(self._asked.popleft() for _ in range(n))
        return self.reading

    def read(self, objects: Iterable[Whole]) -> tuple[ObjectId, ...]:
        """What could be read; return what could not."""
        found = {oid: (oid, header, data) for oid, header, data in objects}
        missing = tuple(oid for oid in self.reading if oid not in found)
        self._ready.extend(found[oid] for oid in self.reading if oid in found)
        self.reading = ()
        return missing

    def pull(self, room: int) -> tuple[bytes, ...]:
        """A frame of as many as fit, in parts; none if not even one does."""
        room = min(room, frame.FRAME_MAX) - frame.HEADER_BYTES - 1
        objects: list[Whole] = []
        size = 1
        while self._ready:
            needed = SMALL_HEADER_BYTES + len(self._ready[0][2])
            if size + needed > room:
                break
            objects.append(self._ready.popleft())
            size += needed
        if not objects:
            return ()
        return frame.header(frame.OBJECT, size), *small_parts(objects)


class Errand:
    """What one peer was asked for.

    Args:
        peer: Who.
        now: Monotonic time in seconds.
    """

    __slots__ = ("_asked", "_late", "_queue", "_storing", "heard_at", "peer")

    def __init__(self, peer: int, now: float) -> None:
        self.peer = peer
        self.heard_at = now
        self._queue: dict[ObjectId, None] = {}
        self._asked: dict[ObjectId, None] = {}
        self._storing: dict[int, tuple[ObjectId, ...]] = {}
        self._late: LruDict[ObjectId, None] = LruDict(2 * SMALL_ASKED_MAX)

    def __len__(self) -> int:
        return len(self._queue) + len(self._asked)

    @property
    def waiting(self) -> bool:
        """Whether the peer owes us something."""
        return bool(self._asked)

    def want(self, oids: Iterable[ObjectId]) -> None:
        """Get these, too."""
        asked = self._asked
        self._queue.update((oid, None) for oid in oids if oid not in asked)

    def ask(self, now: float) -> list[AskSmall]:
        """What to send now."""
        asks = []
        storing = sum(map(len, self._storing.values()))
        while self._queue and len(self._asked) + storing <= SMALL_ASKED_MAX - SMALL_ASK_MAX:
            if not self._asked:
                self.heard_at = max(self.heard_at, now)
            oids = list(islice(self._queue, SMALL_ASK_MAX))
            for oid in oids:
                del self._queue[oid]
                self._asked[oid] = None
            asks.append(AskSmall(tuple(oids)))
        return asks

    def take(self, objects: list[Whole], now: float) -> tuple[list[Whole], list[ObjectId]]:
        """Objects came; return those that are right and the ids of those that are not.

        Raises:
            ProtocolError: Nobody asked for one of them; nothing has changed.
        """
        for oid, _, _ in objects:
            if oid not in self._asked and oid not in self._late:
                raise ProtocolError("a peer sends a small object that nobody asked for")
        right: list[Whole] = []
        wrong: list[ObjectId] = []
        for whole in objects:
            oid, header, data = whole
            if oid not in self._asked:
                self._late.pop(oid)
                continue
            del self._asked[oid]
            if _is(oid, header, data):
                right.append(whole)
            else:
                wrong.append(oid)
        self.heard_at = now
        return right, wrong

    def lacks(self, oids: Iterable[bytes], now: float) -> tuple[ObjectId, ...]:
        """The peer does not have these; return those that were asked for."""
        missing = tuple(oid for oid in map(ObjectId, oids) if oid in self._asked)
        for oid in missing:
            del self._asked[oid]
        self.heard_at = now
        return missing

    def storing(self, ticket: int, objects: list[Whole]) -> None:
        """These are being written."""
        self._storing[ticket] = tuple(oid for oid, _, _ in objects)

    def stored(self, ticket: int) -> tuple[ObjectId, ...]:
        """They are; return their ids."""
        return self._storing.pop(ticket, ())

    @property
    def idle(self) -> bool:
        """Whether nothing is wanted, nor being written."""
        return not (self._queue or self._asked or self._storing)

    def give_up(self) -> tuple[ObjectId, ...]:
        """Nothing more is wanted; return what did not come."""
        for oid in self._asked:
            self._late.put(oid, None)
        missing = (*self._asked, *self._queue)
        self._asked.clear()
        self._queue.clear()
        return missing

    def check_invariants(self) -> None:
        """Assert what must be true."""
        storing = sum(map(len, self._storing.values()))
        assert len(self._asked) + storing <= SMALL_ASKED_MAX
        assert not self._asked.keys() & self._queue.keys()


def _is(oid: ObjectId, header: Header, data: bytes) -> bool:
    """Whether these are the bytes of an object."""
    try:
        return small_id(header, data) == oid
    except ProtocolError:
        return False
