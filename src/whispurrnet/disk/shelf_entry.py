"""What the shelf tells of its objects, and which chunks of an object are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from whispurrnet.base.errors import HostError
from whispurrnet.store.object import Header
from whispurrnet.wire.ids import ObjectId


class NotHere(HostError):  # noqa: N818 - what it is
    """The object, or this chunk of it, is not on the shelf."""


class Changed(HostError):  # noqa: N818 - what happened
    """A file that is kept by reference is not what it was, or is gone."""


Runs = tuple[tuple[int, int], ...]
"""Chunks that are there: where each run begins, and how many there are in it."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One object of the shelf."""

    oid: ObjectId
    header: Header
    chunks: int
    """How many it has; 0 while nobody told (mode CDC, on its way)."""

    complete: bool
    have: Runs
    reference: bool
    """Kept where the user has it: the file is the user's, and may change."""

    public: bool
    added_ms: int
    """Unix milliseconds; when it was added or its transfer began."""

    used_ms: int
    lease_ms: int
    """Until when it is kept though nobody pinned it."""


class Report(msgspec.Struct, frozen=True):
    """What a collection of garbage did."""

    removed: int
    freed_bytes: int
    over_bytes: int
    """By how much the rest is still over the quota."""


class Metrics(msgspec.Struct, frozen=True):
    """How full the shelf is; none of it names an object."""

    objects: int
    bytes: int
    """Of whole objects and of the parts that arrived, without what is kept by reference."""

    parts: int
    quota: int | None
    free_bytes: int
    """Of the disk that the shelf is on; 0 where nothing stays."""

    pinned: int


class Bitmap:
    """Which chunks are there; one bit each.

    Args:
        raw: As `raw` gave it; grows as chunks are set.
    """

    def __init__(self, raw: bytes = b"") -> None:
        self._bits = bytearray(raw)
        self.count = int.from_bytes(self._bits).bit_count()
        """How many are there."""

    @property
    def raw(self) -> bytes:
        """As it is kept: the first chunk is the lowest bit of the first byte."""
        return bytes(self._bits)

    def __contains__(self, index: int) -> bool:
        at = index >> 3
        return at < len(self._bits) and bool(self._bits[at] >> (index & 7) & 1)

    def set(self, index: int) -> None:
        """This chunk is there."""
        if index not in self:
            at = index >> 3
            if at >= len(self._bits):
                self._bits.extend(bytes(at + 1 - len(self._bits)))
            self._bits[at] |= 1 << (index & 7)
            self.count += 1

    def clear(self, index: int) -> None:
        """This chunk is not there any more."""
        if index in self:
            self._bits[index >> 3] &= ~(1 << (index & 7))
            self.count -= 1

    def fill(self, count: int) -> None:
        """All of the first `count` chunks are there, and no other."""
        self._bits = bytearray(((1 << count) - 1).to_bytes(-(-count // 8), "little"))
        self.count = count

    def runs(self) -> Runs:
        """The chunks that are there, in order."""
        return tuple(_merged(self._pieces()))

    def _pieces(self) -> Iterator[tuple[int, int]]:
        for at, byte in enumerate(self._bits):
            if byte == 0xFF:
                yield at << 3, 8
            elif byte:
                for bit in range(8):
                    if byte >> bit & 1:
                        yield (at << 3) + bit, 1


def _merged(pieces: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Pieces in order, with those that touch made one."""
    start, length = 0, 0
    for at, count in pieces:
        if length and at == start + length:
            length += count
        else:
            if length:
                yield start, length
            start, length = at, count
    if length:
        yield start, length
