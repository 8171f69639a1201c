"""Shelves for tests, what they hold, and how to bring an object from one to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from whispurrnet.disk.shelf import Entry, Shelf
from whispurrnet.store.object import CHUNK_LOG2, PAGE_LEAVES, Header, Mode, small_id
from whispurrnet.store.outline import Growing
from whispurrnet.wire.ids import ObjectId

CHUNK = 1 << CHUNK_LOG2
HOUR = 3_600_000
DAY = 24 * HOUR


class Clock:
    """Unix milliseconds as the test has them."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@contextmanager
def shelf(
    folder: Path | None, clock: Clock | None = None, quota_bytes: int | None = None
) -> Iterator[Shelf]:
    opened = Shelf(folder, quota_bytes=quota_bytes, wall_ms=clock or Clock())
    try:
        yield opened
    finally:
        opened.close()


def some(size: int, seed: int = 0) -> bytes:
    return Random(seed * 1_000_003 + size).randbytes(size)


def small(data: bytes) -> tuple[ObjectId, Header, bytes]:
    header = Header(Mode.FIXED, CHUNK_LOG2, len(data))
    return small_id(header, data), header, data


def pages(source: Shelf, entry: Entry, target: Shelf) -> Growing:
    """Bring the outline of an object from one shelf to another, as a transfer does."""
    growing = Growing(entry.oid)
    target.begin(entry.oid, entry.header)
    for number in range(-(-entry.chunks // PAGE_LEAVES)):
        page = source.page(entry.oid, number)
        assert page is not None
        growing.put(entry.header.pack(), page)
        target.put_page(entry.oid, entry.header, page)
    return growing


def bring(source: Shelf, entry: Entry, target: Shelf, chunks: list[int] | None = None) -> None:
    """Bring some chunks, or all and the end."""
    growing = pages(source, entry, target)
    for index in range(entry.chunks) if chunks is None else chunks:
        (chunk,) = source.read(entry.oid, index)
        growing.check(index, chunk)
        target.write(entry.oid, index, chunk)
    if chunks is None:
        assert target.finish(entry.oid).complete


def whole(shelf: Shelf, oid: ObjectId) -> bytes:
    entry = shelf.entry(oid)
    assert entry is not None
    assert entry.complete
    return b"".join(shelf.read(oid, 0, entry.chunks))
