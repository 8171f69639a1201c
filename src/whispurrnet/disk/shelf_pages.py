"""The pages of objects that have files: their leaves, and where their chunks lie."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import HostError, ProtocolError
from whispurrnet.disk.shelf_index import Index
from whispurrnet.store.object import CUTS_HEAD, HASH_BYTES, PAGE_LEAVES, Header, Mode, Page
from whispurrnet.store.outline import Growing, Outline
from whispurrnet.wire.ids import ObjectId

_CACHED_MAX = 256
"""How many pages are kept at hand: about 4 MiB."""


class Pages:
    """The pages, in the database and the last used ones at hand. Whoever puts one has proven it."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._cache: LruDict[tuple[ObjectId, int], Page] = LruDict(_CACHED_MAX)

    def put(self, oid: ObjectId, page: Page) -> None:
        """Keep one page, in a transaction of its own."""
        with self._index.change() as base:
            base.execute("INSERT OR REPLACE INTO page VALUES (?, ?, ?, ?, ?)", _row(oid, page))
            self._cache.put((oid, page.index), page)

    def drop_if_damaged(self, oid: ObjectId, header: Header, number: int) -> None:
        """Prove a page again, and forget it if the database is wrong: then it is asked for anew."""
        page = self.get(oid, number)
        try:
            if page is not None:
                Growing(oid).put(header.pack(), page)
        except ProtocolError:
            with self._index.change() as base:
                base.execute("DELETE FROM page WHERE oid = ? AND number = ?", (oid, number))
                self._cache.pop((oid, number))

    @staticmethod
    def rows(outline: Outline) -> Iterator[tuple[bytes, int, bytes, bytes, bytes]]:
        """All pages of an object, for who adds it in a transaction."""
        for index in range(outline.pages):
            yield _row(outline.id, outline.page(index))

    def get(self, oid: ObjectId, number: int) -> Page | None:
        """One page, or None where it is not known."""
        with self._index.lock:
            page = self._cache.get((oid, number))
            if page is None:
                row = self._index.row(
                    "SELECT leaves, lengths, proof FROM page WHERE oid = ? AND number = ?",
                    (oid, number),
                )
                if row is None:
                    return None
                page = Page(number, *row)
                self._cache.put((oid, number), page)
            return page

    def leaf(self, oid: ObjectId, index: int) -> bytes | None:
        """The hash of a chunk, or None where its page is not known."""
        page = self.get(oid, index // PAGE_LEAVES)
        at = index % PAGE_LEAVES * HASH_BYTES
        return page.leaves[at : at + HASH_BYTES] or None if page is not None else None

    def leaves(self, oid: ObjectId) -> bytes:
        """All leaves, as far as they are known without a gap."""
        rows = self._index.rows(
            "SELECT number, leaves FROM page WHERE oid = ? ORDER BY number", (oid,)
        )
        return b"".join(leaves for i, (number, leaves) in enumerate(rows) if i == number)

    def bounds(self, oid: ObjectId, header: Header, index: int) -> tuple[int, int]:
        """Where a chunk begins, and its length.

        Raises:
            HostError: Mode CDC, and its page is not there.
        """
        if header.mode is not Mode.CDC:
            return index << header.chunk_log2, header.length(index)
        page = self.get(oid, index // PAGE_LEAVES)
        if page is None:
            raise HostError(f"page {index // PAGE_LEAVES} of object {oid.hex()} is not there")
        _, offset = CUTS_HEAD.unpack_from(page.lengths)
        before = index % PAGE_LEAVES
        lengths = struct.unpack_from(f">{before + 1}I", page.lengths, CUTS_HEAD.size)
        return offset + sum(lengths[:-1]), lengths[-1]

    def forget(self, oid: ObjectId) -> None:
        """Drop what is at hand of an object; the database is for who removes it there."""
        with self._index.lock:
            for key in self._cache:
                if key[0] == oid:
                    self._cache.pop(key)


def chunks_said(header: Header, page: Page) -> int:
    """How many chunks the object has, as a proven page says it."""
    if header.mode is Mode.CDC:
        count, _ = CUTS_HEAD.unpack_from(page.lengths)
        return int(count)
    return header.chunks


def _row(oid: ObjectId, page: Page) -> tuple[bytes, int, bytes, bytes, bytes]:
    return oid, page.index, page.leaves, page.lengths, page.proof


def small_page(header: Header, data: bytes) -> Page:
    """The only page of an object without a file."""
    lengths = (len(data),) if header.mode is Mode.CDC else ()
    return Outline.of(header, data, lengths).page(0)
