"""Outlines: pages from all leaves, and what a receiver believes of them."""

from __future__ import annotations

import struct
from random import Random

import msgspec
import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.object import (
    CUTS_HEAD,
    PAGE_LEAVES,
    BadObject,
    Header,
    Mode,
    Page,
    cut,
    leaf,
    object_id,
    top,
)
from whispurrnet.store.outline import Growing, Outline

FRAME_MAX = 24_000


def fixed(chunks: int, mode: Mode = Mode.FIXED) -> tuple[Outline, bytes]:
    data = Random(chunks).randbytes(1024 * chunks - 5)
    return Outline.of(Header(mode, 10, len(data)), data), data


def by_content(lengths: list[int]) -> tuple[Outline, bytes]:
    data = Random(len(lengths)).randbytes(sum(lengths))
    return Outline.of(Header(Mode.CDC, 10, len(data)), data, lengths), data


def some_lengths(count: int) -> list[int]:
    rng = Random(count)
    return [rng.randint(256, 4096) for _ in range(count)]


def malformed(lengths: list[int], offsets: list[int], size: int) -> tuple[bytes, list[Page], bytes]:
    """An object by content whose author chose what its tree says of places."""
    count = len(lengths)
    header = Header(Mode.CDC, 10, size)
    leaves = [leaf(bytes([i % 256])) for i in range(count)]
    bottom = [cut(*said) for said in zip(leaves, offsets, lengths, strict=True)]
    blocks = [bottom[i : i + PAGE_LEAVES] for i in range(0, count, PAGE_LEAVES)]
    tops = [top(block) for block in blocks]
    assert len(tops) <= 2
    pages = []
    for i in range(len(blocks)):
        part = slice(i * PAGE_LEAVES, (i + 1) * PAGE_LEAVES)
        said = CUTS_HEAD.pack(count, offsets[part.start])
        said += struct.pack(f">{len(lengths[part])}I", *lengths[part])
        proof = tops[1 - i] if len(tops) == 2 else b""
        pages.append(Page(i, b"".join(leaves[part]), said, proof))
    return header.pack(), pages, object_id(header, top(tops), count)


@pytest.mark.parametrize("chunks", [1, 2, 511, 512, 513, 1300, 2049])
@pytest.mark.parametrize("mode", Mode)
def test_pages_in_any_order_grow_to_the_whole(chunks: int, mode: Mode) -> None:
    outline, data = by_content(some_lengths(chunks)) if mode is Mode.CDC else fixed(chunks, mode)
    growing = Growing(outline.id)
    assert not growing.complete
    assert not growing.knows(0)
    order = list(range(outline.pages))
    Random(1).shuffle(order)
    for number in order:
        page = outline.page(number)
        assert len(msgspec.msgpack.encode(page)) < FRAME_MAX
        growing.put(outline.header.pack(), page)
        assert growing.has_page(number)
        assert growing.page(number) == page
    assert growing.complete
    assert growing.header == outline.header
    assert (growing.chunks, growing.pages) == (outline.chunks, outline.pages)
    at = 0
    for index in range(chunks):
        assert growing.bounds(index) == outline.bounds(index)
        offset, length = growing.bounds(index)
        assert offset == at
        at += length
        growing.check(index, memoryview(data)[offset:at])
        outline.check(index, data[offset:at])
    assert at == len(data)
    assert growing.outline().id == outline.id


def test_a_late_page_is_enough_to_know_where_its_chunks_are() -> None:
    outline, data = by_content(some_lengths(1100))
    growing = Growing(outline.id)
    growing.put(outline.header.pack(), outline.page(2))
    offset, length = growing.bounds(1050)
    growing.check(1050, data[offset : offset + length])
    assert growing.knows(1050)
    assert not growing.knows(5)
    with pytest.raises(ProtocolError, match="chunk 5"):
        growing.check(5, data[:300])


@pytest.mark.parametrize("mode", [Mode.FIXED, Mode.CDC])
def test_every_byte_of_a_page_its_proof_and_the_header_counts(mode: Mode) -> None:
    outline, _ = by_content(some_lengths(513 + 4)) if mode is Mode.CDC else fixed(517)
    page, header = outline.page(1), outline.header.pack()
    growing = Growing(outline.id)
    for name in ("leaves", "lengths", "proof"):
        whole = getattr(page, name)
        for at in range(len(whole)):
            spoilt = bytearray(whole)
            spoilt[at] ^= 1
            with pytest.raises(ProtocolError):
                growing.put(header, msgspec.structs.replace(page, **{name: bytes(spoilt)}))
        for other in (whole[:-1], whole[32:], whole + bytes(32), whole + whole):
            if other != whole:
                with pytest.raises(ProtocolError):
                    growing.put(header, msgspec.structs.replace(page, **{name: other}))
    for at in range(len(header)):
        for bit in range(8):
            other = bytearray(header)
            other[at] ^= 1 << bit
            with pytest.raises(ProtocolError):
                growing.put(bytes(other), page)
    for index in (-1, 0, 2, 3, 1 << 31):
        with pytest.raises(ProtocolError):
            growing.put(header, msgspec.structs.replace(page, index=index))
    assert growing.header is None
    assert not growing.has_page(1)
    growing.put(header, page)
    assert growing.header == outline.header


def test_every_byte_of_a_chunk_counts() -> None:
    outline, data = fixed(3)
    growing = Growing(outline.id)
    growing.put(outline.header.pack(), outline.page(0))
    chunk = bytearray(data[1024:2048])
    growing.check(1, chunk)
    for at in range(0, 1024, 7):
        chunk[at] ^= 0x40
        with pytest.raises(ProtocolError, match="chunk 1"):
            growing.check(1, chunk)
        chunk[at] ^= 0x40
    for wrong in (chunk[:-1], chunk + b"\0", b"", data[:1024]):
        with pytest.raises(ProtocolError):
            growing.check(1, wrong)
    for index in (-1, 3, 1 << 40):
        with pytest.raises(ProtocolError):
            growing.check(index, chunk)


def test_a_second_header_is_the_same() -> None:
    outline, _ = fixed(600)
    growing = Growing(outline.id)
    growing.put(outline.header.pack(), outline.page(1))
    other = Header(Mode.FIXED, 10, outline.header.size - 1).pack()
    with pytest.raises(ProtocolError, match="header"):
        growing.put(other, outline.page(0))


def test_the_page_of_another_object_is_refused() -> None:
    (one, _), (other, _) = fixed(600), fixed(601)
    with pytest.raises(ProtocolError, match="does not belong"):
        Growing(one.id).put(other.header.pack(), other.page(0))


@pytest.mark.parametrize(
    ("lengths", "offsets", "size"),
    [
        ([300, 300, 300], [0, 300, 601], 900),  # within a page nobody hears of the offsets
        ([300, 300, 300], [1, 301, 601], 901),
        ([300, 300, 300], [0, 300, 600], 1000),
        ([300, 100, 300], [0, 300, 400], 700),
        ([300, 5000, 300], [0, 300, 5300], 5600),
        ([300, 300, 0], [0, 300, 600], 600),
    ],
)
def test_an_object_that_its_author_made_impossible_is_found(
    lengths: list[int], offsets: list[int], size: int
) -> None:
    header, pages, oid = malformed(lengths, offsets, size)
    growing = Growing(oid)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError):
        growing.put(header, pages[0])
    assert growing.chunks == 0


def test_pages_that_overlap_are_found_whichever_comes_first() -> None:
    lengths = [300] * 600
    offsets = [i * 300 + (100 if i >= 512 else 0) for i in range(600)]
    header, pages, oid = malformed(lengths, offsets, 600 * 300 + 100)
    for first, second in ((0, 1), (1, 0)):
        growing = Growing(oid)  # type: ignore[arg-type]
        growing.put(header, pages[first])
        with pytest.raises(BadObject, match="do not fit"):
            growing.put(header, pages[second])
        assert not growing.has_page(second)


def test_an_empty_object_has_one_empty_chunk() -> None:
    for mode, lengths in ((Mode.FIXED, []), (Mode.CDC, [0])):
        outline = Outline.of(Header(mode, 18, 0), b"", lengths)
        growing = Growing(outline.id)
        growing.put(outline.header.pack(), outline.page(0))
        growing.check(0, b"")
        assert growing.bounds(0) == (0, 0)


@pytest.mark.parametrize("leaves", [b"", bytes(31), bytes(64)])
def test_leaves_that_do_not_fit_the_header_make_no_outline(leaves: bytes) -> None:
    with pytest.raises(BadObject):
        Outline(Header(Mode.FIXED, 18, 5), leaves)
    with pytest.raises(BadObject):
        Outline(Header(Mode.CDC, 18, 5), bytes(32), [4])
    with pytest.raises(BadObject):
        Outline(Header(Mode.CDC, 18, 5), bytes(32), [])
