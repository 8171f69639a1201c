"""The outline of an object: all its leaves, as who has it knows them and as who wants it learns.

`Outline` is made of all leaves and gives pages with their proofs. `Growing` takes pages in any
order, from anybody, and believes none that does not lead to the object's id.

In mode CDC each chunk's place is part of the tree, so that one page is enough to know where its
chunks lie. Two pages that are proven and do not fit each other show a malformed object.

Invariants of `Growing`:
    - nothing is kept that was not proven;
    - the first proven page fixes the header and the count of chunks;
    - a page that is refused changes nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.object import (
    CUTS_HEAD,
    HASH_BYTES,
    PAGE_LEAVES,
    PROOF_MAX,
    BadObject,
    Data,
    Header,
    Mode,
    Page,
    cut,
    leaf,
    level_above,
    object_id,
    parent,
    top,
)
from whispurrnet.wire.ids import ObjectId

_LENGTHS_MAX = CUTS_HEAD.size + 4 * PAGE_LEAVES


class Outline:
    """All of an object but its bytes.

    Args:
        header: Of the object.
        leaves: 32 bytes for each chunk, in order.
        lengths: Of each chunk, in mode CDC only.

    Raises:
        BadObject: Leaves or lengths that do not fit the header.
    """

    def __init__(self, header: Header, leaves: bytes, lengths: Sequence[int] = ()) -> None:
        self.header = header
        self.leaves = leaves
        self.chunks = len(leaves) // HASH_BYTES
        self.lengths = tuple(lengths)
        self._offsets: list[int] = []
        if len(leaves) % HASH_BYTES or not leaves:
            raise BadObject("an object has at least one leaf, and each has 32 bytes")
        if header.mode is Mode.CDC:
            self._place()
        elif self.chunks != header.chunks or self.lengths:
            raise BadObject(f"{self.chunks} leaves for {header.chunks} chunks")
        pages = [top(self._bottom(page)) for page in range(self.pages)]
        self._levels = [pages]  # of nodes, from the roots of the pages up
        while len(self._levels[-1]) > 1:
            self._levels.append(level_above(self._levels[-1]))
        self.id = object_id(header, self._levels[-1][0], self.chunks)

    @classmethod
    def of(cls, header: Header, data: Data, lengths: Sequence[int] = ()) -> Outline:
        """The outline of an object that is at hand as a whole."""
        view = memoryview(data)
        step = header.chunk_bytes
        if header.mode is Mode.CDC:
            ends = [0]
            for length in lengths:
                ends.append(ends[-1] + length)
            cuts = list(pairwise(ends))
        else:
            cuts = [(at, at + step) for at in range(0, max(1, len(view)), step)]
        return cls(header, b"".join(leaf(view[start:end]) for start, end in cuts), lengths)

    @property
    def pages(self) -> int:
        """How many pages, at least one."""
        return -(-self.chunks // PAGE_LEAVES)

    def page(self, index: int) -> Page:
        """One page with its proof; `index` is below `pages`."""
        first = index * PAGE_LEAVES
        leaves = self.leaves[first * HASH_BYTES : (first + PAGE_LEAVES) * HASH_BYTES]
        lengths = b""
        if self._offsets:
            mine = self.lengths[first : first + PAGE_LEAVES]
            head = CUTS_HEAD.pack(self.chunks, self._offsets[first])
            lengths = head + struct.pack(f">{len(mine)}I", *mine)
        proof = []
        for height, level in enumerate(self._levels):
            beside = (index >> height) ^ 1
            if beside < len(level):
                proof.append(level[beside])
        return Page(index, leaves, lengths, b"".join(proof))

    def leaf(self, index: int) -> bytes:
        """The hash of a chunk."""
        return self.leaves[index * HASH_BYTES : (index + 1) * HASH_BYTES]

    def bounds(self, index: int) -> tuple[int, int]:
        """Where a chunk begins in the object, and its length; in bytes."""
        if self._offsets:
            return self._offsets[index], self.lengths[index]
        return index << self.header.chunk_log2, self.header.length(index)

    def check(self, index: int, chunk: Data) -> None:
        """Whether this is the chunk.

        Raises:
            ProtocolError: It is not, or there is no such chunk.
        """
        if not 0 <= index < self.chunks or leaf(chunk) != self.leaf(index):
            raise ProtocolError(f"chunk {index} is not what the object says")

    def _place(self) -> None:
        """Where the chunks of mode CDC begin."""
        if len(self.lengths) != self.chunks:
            raise BadObject(f"{len(self.lengths)} lengths for {self.chunks} chunks")
        offset = 0
        for length in self.lengths:
            self._offsets.append(offset)
            offset += length
        _check_lengths(self.header, self.chunks, 0, 0, self.lengths)

    def _bottom(self, page: int) -> list[bytes]:
        """What the tree stands on, in one page."""
        first = page * PAGE_LEAVES
        count = min(PAGE_LEAVES, self.chunks - first)
        leaves = [self.leaf(first + i) for i in range(count)]
        if self._offsets:
            return [cut(hashed, *self.bounds(first + i)) for i, hashed in enumerate(leaves)]
        return leaves


class Growing:
    """What is proven of an object that is on its way.

    Args:
        oid: The object's id: all that is believed at first.
    """

    def __init__(self, oid: ObjectId) -> None:
        self.oid = oid
        self.header: Header | None = None
        """Known with the first page."""

        self.chunks = 0
        """How many there are; 0 before the first page."""

        self._pages: dict[int, Page] = {}
        self._offsets: dict[int, list[int]] = {}  # mode CDC: of each page's chunks, and of its end

    @property
    def pages(self) -> int:
        """How many pages there are; 0 before the first one is here."""
        return -(-self.chunks // PAGE_LEAVES)

    @property
    def complete(self) -> bool:
        """Whether all pages are here."""
        return self.chunks > 0 and len(self._pages) == self.pages

    def put(self, header: bytes, page: Page) -> None:
        """Take a page, once it is proven.

        Args:
            header: The 11 bytes of the object's header, as sent with the page.
            page: From anybody.

        Raises:
            ProtocolError: It does not lead to the id. Nothing is changed.
            BadObject: It does, and what it says cannot be.
        """
        found = Header.unpack(header)
        if self.header is not None and found != self.header:
            raise ProtocolError("the header is not the one that is proven")
        count, offset, lengths = _read_lengths(found, page)
        leaves = _read_leaves(page, count)
        bottom = leaves
        offsets: list[int] = []
        if found.mode is Mode.CDC:
            at, bottom = offset, []
            for hashed, length in zip(leaves, lengths, strict=True):
                offsets.append(at)
                bottom.append(cut(hashed, at, length))
                at += length
            offsets.append(at)
        root = _climb(top(bottom), page, -(-count // PAGE_LEAVES))
        if object_id(found, root, count) != self.oid:
            raise ProtocolError("the page does not belong to the object")
        if offsets:
            self._check_cuts(found, page.index, offsets, lengths, count)
        self.header, self.chunks = found, count
        self._pages[page.index] = page
        if offsets:
            self._offsets[page.index] = offsets

    def has_page(self, index: int) -> bool:
        """Whether this page is here."""
        return index in self._pages

    def page(self, index: int) -> Page | None:
        """A proven page, for those who ask us in turn."""
        return self._pages.get(index)

    def knows(self, index: int) -> bool:
        """Whether the leaf of this chunk is here."""
        return 0 <= index < self.chunks and index // PAGE_LEAVES in self._pages

    def leaf(self, index: int) -> bytes:
        """The hash of a chunk whose page is here."""
        at = index % PAGE_LEAVES * HASH_BYTES
        return self._pages[index // PAGE_LEAVES].leaves[at : at + HASH_BYTES]

    def bounds(self, index: int) -> tuple[int, int]:
        """Where a chunk begins in the object, and its length; its page is here."""
        assert self.header is not None
        if self.header.mode is Mode.CDC:
            offsets = self._offsets[index // PAGE_LEAVES]
            at = index % PAGE_LEAVES
            return offsets[at], offsets[at + 1] - offsets[at]
        return index << self.header.chunk_log2, self.header.length(index)

    def length(self, index: int) -> int:
        """The length of a chunk whose page is here, in bytes."""
        return self.bounds(index)[1]

    def check(self, index: int, chunk: Data) -> None:
        """Whether this is the chunk.

        Raises:
            ProtocolError: It is not, or its page is not here.
        """
        if not self.knows(index) or leaf(chunk) != self.leaf(index):
            raise ProtocolError(f"chunk {index} is not what the object says")

    def outline(self) -> Outline:
        """The whole, once it is `complete`."""
        assert self.complete and self.header is not None
        pages = [self._pages[i] for i in range(self.pages)]
        lengths: list[int] = []
        for page in pages:
            lengths += _lengths(page)
        return Outline(self.header, b"".join(page.leaves for page in pages), lengths)

    def _check_cuts(
        self, header: Header, page: int, offsets: list[int], lengths: Sequence[int], count: int
    ) -> None:
        """What is proven must be possible: lengths in bounds, and pages that fit."""
        _check_lengths(header, count, page * PAGE_LEAVES, offsets[0], lengths)
        before, after = self._offsets.get(page - 1), self._offsets.get(page + 1)
        if (before and before[-1] != offsets[0]) or (after and after[0] != offsets[-1]):
            raise BadObject("two pages of the object do not fit each other")


def _lengths(page: Page) -> tuple[int, ...]:
    """The lengths that a page of mode CDC holds."""
    raw = page.lengths[CUTS_HEAD.size :]
    return struct.unpack(f">{len(raw) // 4}I", raw)


def _read_lengths(header: Header, page: Page) -> tuple[int, int, tuple[int, ...]]:
    """How many chunks the object has; where the page begins and its lengths, in mode CDC."""
    if header.mode is not Mode.CDC:
        if page.lengths:
            raise ProtocolError("lengths are for objects that are cut by content")
        return header.chunks, 0, ()
    size = len(page.lengths)
    if not CUTS_HEAD.size < size <= _LENGTHS_MAX or (size - CUTS_HEAD.size) % 4:
        raise ProtocolError("the lengths of a page are malformed")
    count, offset = CUTS_HEAD.unpack_from(page.lengths)
    lengths = _lengths(page)
    if not 1 <= count <= header.chunks_max or offset + sum(lengths) > header.size:
        raise ProtocolError("a page says more than the object can hold")
    return count, offset, lengths


def _read_leaves(page: Page, count: int) -> list[bytes]:
    """The leaves of a page, as many as there must be."""
    expected = min(PAGE_LEAVES, count - page.index * PAGE_LEAVES)
    if page.index < 0 or expected <= 0:
        raise ProtocolError(f"the object has no page {page.index}")
    size = len(page.lengths)
    if len(page.leaves) != expected * HASH_BYTES or (
        size and size != CUTS_HEAD.size + 4 * expected
    ):
        raise ProtocolError(f"page {page.index} has {expected} leaves, no more and no fewer")
    return [page.leaves[i : i + HASH_BYTES] for i in range(0, len(page.leaves), HASH_BYTES)]


def _climb(node: bytes, page: Page, pages: int) -> bytes:
    """From the root of a page to the top of the tree, by the page's proof."""
    proof = page.proof
    at, index = 0, page.index
    if len(proof) > PROOF_MAX * HASH_BYTES:
        raise ProtocolError("the proof of a page is too long")
    while pages > 1:
        if index ^ 1 < pages:
            beside = proof[at : at + HASH_BYTES]
            node = parent(beside, node) if index & 1 else parent(node, beside)
            at += HASH_BYTES
        index >>= 1
        pages = -(-pages // 2)
    if at != len(proof):
        raise ProtocolError("the proof of a page is too long or too short")
    return node


def _check_lengths(
    header: Header, count: int, first: int, offset: int, lengths: Sequence[int]
) -> None:
    """The lengths of chunks that begin with `first`, at `offset`.

    Raises:
        BadObject: A chunk that is too short or too long, or chunks that do not make up the whole.
    """
    last = first + len(lengths) == count
    shortest = header.chunk_bytes_min
    for i, length in enumerate(lengths):
        is_last = last and i == len(lengths) - 1
        if length > header.chunk_bytes_max or (length < shortest and not is_last):
            raise BadObject(f"a chunk of {length} bytes")
        if not length and count > 1:
            raise BadObject("an empty chunk")
    if (first == 0) != (offset == 0) or (last and offset + sum(lengths) != header.size):
        raise BadObject("the chunks do not make up the object")
