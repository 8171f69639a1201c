"""What do you have that I lack? Reconciling two sets of ids in few round trips and bytes.

One side asks, the other answers, until the asker knows. Both cut the order of items (see
`wire.items`) into ranges: of a long one a fingerprint is sent, of a short one its ids. A range
whose fingerprint the other side has too is settled; any other is cut into 16. The messages are
those of `wire.ranges`.

Of two sets of 100,000 that differ in ten, 14 KB and 2 round trips; of a million, 19 KB and 3.

Source: hoytech/negentropy, `docs/negentropy-protocol-v1.md` (protocol version 1); A. Meyer,
"Range-Based Set Reconciliation", 2023. It says what is sent; what to do when a message would be
too long is left open: here the answer ends with one fingerprint of all the rest, and the asker
asks again for those parts of it that it had asked for.

Invariants:
    - the asker has one list of ranges to ask about and one of ranges asked about, both in order and
      without overlaps; what is in neither is settled and never looked at again;
    - a message of ours is at most `frame_max` bytes long, and each settles something;
    - a message that is malformed changes nothing;
    - the sets may change while it goes on: what changed may be missed, and is found next time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from whispurrnet.base.errors import UsageError
from whispurrnet.wire.items import FINGERPRINT_BYTES, ID_BYTES, KEY_BYTES, TIME_MAX, Items
from whispurrnet.wire.ranges import (
    BOUND_BYTES_MAX,
    FINGERPRINT,
    IDS,
    INFINITY,
    MESSAGE_MAX,
    SKIP,
    VERSION,
    Range,
    Writer,
    key,
    parse,
)

__all__ = ["Items", "Reconciler"]

FRAME_MIN = 4096
"""The least that `frame_max` may be, so that each message gets somewhere."""

BRANCHES = 16
"""Into how many parts a range is cut that both sides have differently."""

IDS_MAX = 31
"""Of a range of at most so many items the ids are sent."""

_VERSION_MASK = 0xF0
_RANGE_BYTES_MAX: Final = BOUND_BYTES_MAX + 1 + FINGERPRINT_BYTES
_ROOM: Final = (BRANCHES + 4) * _RANGE_BYTES_MAX + IDS_MAX * ID_BYTES
"""What a range takes at most, cut or as ids, with what stands around it; 2.2 KB."""


class _Open(NamedTuple):
    """A range the asker has to ask about."""

    low: bytes
    high: bytes
    differs: bool
    """Whether its fingerprints are known to differ, so that it has to be cut."""


class Reconciler:
    """One reconciliation for the side that asks; the side that answers needs one for all.

        asker = Reconciler(ours)                    asked = Reconciler(theirs)
        query = asker.initiate()
        while query is not None:
            query, have, need = asker.continue_(asked.answer(query))

    Args:
        items: Our set. It may change between messages.
        frame_max: The longest message we send, in bytes: 4096 to 65,536.
        rounds_max: After so many answers the asker stops, finished or not (see `complete`).
        since: Only items of this time and later are asked about.
        until: Only items of times before this are asked about; None: all.

    Raises:
        UsageError: `frame_max` is out of range.
    """

    def __init__(
        self,
        items: Items,
        frame_max: int = 60_000,
        *,
        rounds_max: int = 1024,
        since: int = 0,
        until: int | None = None,
    ) -> None:
        if not FRAME_MIN <= frame_max <= MESSAGE_MAX:
            raise UsageError(f"`frame_max` is {FRAME_MIN} to {MESSAGE_MAX}, not {frame_max}")
        self.items = items
        self.frame_max = frame_max
        self.rounds_left = rounds_max
        """How many more answers will be read."""
        low = key(min(max(since, 0), TIME_MAX))
        high = INFINITY if until is None or until > TIME_MAX else key(max(until, 0))
        self._window = low, max(low, high)
        self._asked: list[tuple[bytes, bytes]] = []
        """The ranges of the last query, in order."""
        self._open: list[_Open] = []
        """The ranges still to be asked about, in order: a stack, the first range last."""
        self._query_max = frame_max
        """The longest query, in bytes; less when their answers to longer ones were full."""
        self.complete = False
        """Whether all differences have been found."""

    # The side that asks

    def initiate(self) -> bytes:
        """The first query."""
        self._open = [_Open(*self._window, differs=True)]
        return self._query()

    def continue_(self, message: bytes) -> tuple[bytes | None, list[bytes], list[bytes]]:
        """Read an answer.

        Returns:
            The next query, or None when all is known (or `rounds_max` is reached: `complete` tells
            which); the ids that we have and they lack; the ids that they have and we lack. Both
            are only what this answer told. The first is at most as long as our set, the second at
            most 2047.

        Raises:
            ProtocolError: The answer is malformed; nothing has changed.
        """
        have: list[bytes] = []
        need: list[bytes] = []
        reopened: list[_Open] = []
        at, start, full = 0, self._window[0], False
        for part in parse(message):
            at, touched = self._touched(at, start, part.bound)
            full |= part.mode == FINGERPRINT and len(touched) > 1
            if touched and part.mode == IDS:
                low, high = touched[0][0], touched[-1][1]
                _compare(self._ids(low, high), part.ids, have, need)
            elif touched and part.mode == FINGERPRINT:
                reopened += self._differing(touched, start, part)
            start = max(start, part.bound)
        self._open += reversed(reopened)
        self._query_max = (
            max(self._query_max // 2, FRAME_MIN)
            if full
            else min(self._query_max * 2, self.frame_max)
        )
        self.rounds_left -= 1
        self.complete = not self._open
        done = self.complete or self.rounds_left <= 0
        return None if done else self._query(), have, need

    def _query(self) -> bytes:
        """Ask about what is open, from the first range on, as far as there is room."""
        writer = Writer(self._query_max)
        self._asked = []
        while self._open and writer.room >= _ROOM:
            low, high, differs = self._open.pop()
            first, last = self.items.rank(low), self.items.rank(high)
            writer.skip(low)
            if differs:
                bounds = self._divide(first, last, high, writer)
            else:
                writer.fingerprint(high, self.items.fingerprint(first, last))
                bounds = [high]
            self._asked += zip([low, *bounds], bounds, strict=False)
        return writer.message()

    def _touched(self, at: int, low: bytes, high: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
        """What was asked about of a range; `at`: where to look from, and the next time."""
        asked = self._asked
        touched: list[tuple[bytes, bytes]] = []
        while at < len(asked) and asked[at][0] < high:
            one = max(asked[at][0], low), min(asked[at][1], high)
            if one[0] < one[1]:
                touched.append(one)
            if asked[at][1] > high:
                break
            at += 1
        return at, touched

    def _differing(
        self, touched: list[tuple[bytes, bytes]], start: bytes, part: Range
    ) -> list[_Open]:
        """What of a range to ask about again, given their fingerprint of it.

        If it is more than one range we asked about, then their message was full, and nothing is
        known of any of them alone.
        """
        items = self.items
        ours = items.fingerprint(items.rank(start), items.rank(part.bound))
        if ours == part.fingerprint:
            return []
        alone = touched == [(start, part.bound)]
        return [_Open(low, high, differs=alone) for low, high in touched]

    def _ids(self, low: bytes, high: bytes) -> list[bytes]:
        return self.items.ids(self.items.rank(low), self.items.rank(high))

    # The side that answers

    def answer(self, query: bytes) -> bytes:
        """The answer to a query of any version; nothing is remembered of it.

        Costs at most about 20 ms for 100,000 items and 40 ms for a million, however the query is
        made: a frame of output, 3,500 ranges and two passes over the sums of all items.

        Raises:
            ProtocolError: The query is malformed.
        """
        if query and query[0] != VERSION and query[0] & _VERSION_MASK == VERSION & _VERSION_MASK:
            return bytes((VERSION,))  # we speak no other: let them ask again
        items, writer = self.items, Writer(self.frame_max)
        ranges = parse(query)
        low = 0
        for bound, mode, fingerprint, _ in ranges:
            high = items.rank(bound)
            if mode == SKIP or (
                mode == FINGERPRINT and items.fingerprint(low, high) == fingerprint
            ):
                writer.skip(bound)
                low = high
                continue
            fitting = (writer.room - _ROOM) // ID_BYTES
            if mode == IDS and 0 <= fitting < high - low:
                cut = items.key(low + fitting)
                writer.ids(cut, items.ids(low, low + fitting))
                low, fitting = low + fitting, -1
            if fitting < 0:
                end = ranges[-1].bound
                writer.fingerprint(end, items.fingerprint(low, items.rank(end)))
                break
            if mode == IDS:
                writer.ids(bound, items.ids(low, high))
            else:
                self._divide(low, high, bound, writer)
            low = high
        return writer.message()

    # Both

    def _divide(self, low: int, high: int, bound: bytes, writer: Writer) -> list[bytes]:
        """Write our ids between two ranks, or the fingerprints of 16 parts; return the bounds."""
        items, count = self.items, high - low
        if count <= IDS_MAX:
            writer.ids(bound, items.ids(low, high))
            return [bound]
        bounds: list[bytes] = []
        first = low
        for part in range(1, BRANCHES + 1):
            end = first + count * part // BRANCHES
            upper = bound if end == high else _between(items.key(end - 1), items.key(end))
            writer.fingerprint(upper, items.fingerprint(low, end))
            bounds.append(upper)
            low = end
        return bounds


def _compare(
    ours: list[bytes], theirs: tuple[bytes, ...], have: list[bytes], need: list[bytes]
) -> None:
    named = dict.fromkeys(theirs)
    known = frozenset(ours)
    have += [id for id in ours if id not in named]
    need += [id for id in named if id not in known]


def _between(before: bytes, after: bytes) -> bytes:
    """The shortest bound after one key and not after the next."""
    size = 8
    if before[:8] == after[:8]:
        while before[size] == after[size]:
            size += 1
        size += 1
    return after[:size] + bytes(KEY_BYTES - size)
