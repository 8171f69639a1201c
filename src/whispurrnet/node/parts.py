"""A part of an object: which of its chunks hold the bytes that are wanted.

The id says nothing of how an object is cut, so the first page is fetched before any chunk. Where
content decides on the cuts, only pages that are here tell where a chunk lies: the first 512.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from whispurrnet.base.errors import UsageError
from whispurrnet.store.object import PAGE_LEAVES, Mode
from whispurrnet.store.outline import Growing
from whispurrnet.store.runs import Runs
from whispurrnet.store.transfer_events import Known

if TYPE_CHECKING:
    from whispurrnet.disk.shelf import Shelf
    from whispurrnet.wire.ids import ObjectId

Only: TypeAlias = tuple[tuple[int, int], ...] | None
"""Which chunks are wanted; see `store.transfer_events.Fetch`."""

END_MAX: Final = 1 << 63


class Part(msgspec.Struct, frozen=True):
    """Bytes of an object.

    Raises:
        UsageError: There can be no such bytes.
    """

    start: int
    n: int

    def __post_init__(self) -> None:
        if not (0 <= self.start < END_MAX and 0 < self.n < END_MAX):
            raise UsageError(
                f"there is no part of {self.n} bytes from {self.start}; "
                "name the first byte, from 0, and how many"
            )

    def chunks(self, oid: ObjectId, known: Known) -> Chunks:
        """The chunks that hold them.

        Args:
            oid: The object.
            known: What is here of it: its header at least, and a page if it has one.

        Raises:
            UsageError: They lie beyond the end, or beyond what is known of the cuts.
        """
        header, end = known.header, min(self.start + self.n, known.header.size)
        if self.start >= end:
            raise UsageError(f"the object has {header.size} bytes, and none at {self.start}")
        if header.mode is Mode.CDC:
            offsets, count = _cuts(oid, known)
            if end > offsets[-1]:
                raise UsageError(
                    f"where the chunks of this object lie is known up to byte {offsets[-1]}; "
                    "fetch an earlier part, or all of it"
                )
            first = bisect.bisect_right(offsets, self.start) - 1
            last = bisect.bisect_left(offsets, end) - 1
            n = offsets[last + 1] - offsets[first]
        else:
            count = header.chunks
            first, last = self.start >> header.chunk_log2, (end - 1) >> header.chunk_log2
            n = sum(header.length(index) for index in {first, last})
            n += max(0, last - first - 1) << header.chunk_log2
        here, wanted = Runs(), last + 1 - first
        for at, many in known.runs:
            here.add(at, at + many)
        missing = first not in here or here.stop(first) <= last
        here.add(first, last + 1)
        whole = here.spans() == [(0, count)]
        return Chunks(None if whole else ((first, wanted),), n, missing=missing)


class Chunks(msgspec.Struct, frozen=True):
    """Chunks of an object."""

    only: Only
    """The first, and how many; None: with them all of the object is here."""
    n: int
    """How many bytes they are."""
    missing: bool
    """Whether one of them is not here."""

    @property
    def done(self) -> bool:
        """Whether there is nothing to fetch, nor to put together."""
        return not self.missing and self.only is not None


def chunks(part: Part | None, oid: ObjectId, known: Known | None) -> Chunks:
    """What to fetch of an object next.

    Args:
        part: What is wanted; None is all.
        oid: The object.
        known: What is here of it.

    Raises:
        UsageError: There is no such part.
    """
    if part is None:
        return Chunks(None, 0, missing=True)
    if known is None:
        return Chunks((), 0, missing=True)  # first of all, how it is cut
    return part.chunks(oid, known)


def known(shelf: Shelf, oid: ObjectId) -> Known | None:
    """What is here of an object on its way."""
    entry = shelf.entry(oid)
    if entry is None:
        return None
    if entry.header.inline and not entry.have:
        return Known(header=entry.header)  # its page is made of its bytes
    pages = (shelf.page(oid, index) for index in range(-(-entry.chunks // PAGE_LEAVES)))
    found = tuple(page for page in pages if page is not None)
    return Known(header=entry.header, pages=found, runs=entry.have)


def _cuts(oid: ObjectId, known: Known) -> tuple[list[int], int]:
    """Where the chunks begin and the last one ends, as far as pages from the first on tell."""
    growing = Growing(oid)
    for page in known.pages:
        growing.put(known.header.pack(), page)
    offsets, index = [0], 0
    while growing.knows(index):
        offsets.append(sum(growing.bounds(index)))
        index += 1
    return offsets, growing.chunks
