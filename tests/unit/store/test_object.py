"""Objects: headers, ids, and a tree written a second time, slowly."""

from __future__ import annotations

import blake3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.store import object as objects
from whispurrnet.store.object import HEADER_BYTES, OBJECT_MAX, Header, Mode, small_id
from whispurrnet.store.outline import Outline


def slow(context: str, data: bytes) -> bytes:
    return blake3.blake3(data, derive_key_context=f"whispurrnet obj {context} v1").digest()


def slow_root(level: list[bytes]) -> bytes:
    """By halves, the left one the largest power of two: another way to the same tree."""
    if len(level) == 1:
        return level[0]
    split = 1 << (len(level) - 1).bit_length() - 1
    return slow("node", slow_root(level[:split]) + slow_root(level[split:]))


def slow_id(mode: int, chunk_log2: int, chunks: list[bytes]) -> bytes:
    size = sum(map(len, chunks))
    level = [slow("leaf", chunk) for chunk in chunks]
    if mode == 1:
        at, cuts = 0, []
        for hashed, chunk in zip(level, chunks, strict=True):
            cuts.append(slow("cut", hashed + at.to_bytes(8, "big") + len(chunk).to_bytes(4, "big")))
            at += len(chunk)
        root = slow("cuts", len(chunks).to_bytes(4, "big") + slow_root(cuts))
    else:
        root = slow_root(level)
    return slow("root", bytes([1, mode, chunk_log2]) + size.to_bytes(8, "big") + root)


@given(
    st.integers(0, 20_000), st.sampled_from([Mode.FIXED, Mode.SEALED]), st.sampled_from([10, 11])
)
def test_an_id_is_what_the_tree_says(size: int, mode: Mode, chunk_log2: int) -> None:
    data = bytes(i * i % 251 for i in range(size))
    step = 1 << chunk_log2
    chunks = [data[i : i + step] for i in range(0, max(1, size), step)]
    header = Header(mode, chunk_log2, size)
    assert Outline.of(header, data).id == slow_id(mode, chunk_log2, chunks)
    assert header.chunks == len(chunks)
    assert [header.length(i) for i in range(len(chunks))] == [len(chunk) for chunk in chunks]
    if len(chunks) == 1:
        assert small_id(header, data) == Outline.of(header, data).id


@pytest.mark.parametrize("count", [1, 2, 3, 511, 512, 513, 1024, 1025, 1537])
def test_pages_do_not_change_the_tree(count: int) -> None:
    chunks = [bytes([i % 256]) * (256 + i % 7) for i in range(count)]
    header = Header(Mode.CDC, 10, sum(map(len, chunks)))
    outline = Outline.of(header, b"".join(chunks), [len(chunk) for chunk in chunks])
    assert outline.id == slow_id(1, 10, chunks)
    fixed = [bytes([i % 256]) * 1024 for i in range(count)]
    outline = Outline.of(Header(Mode.FIXED, 10, 1024 * count), b"".join(fixed))
    assert outline.id == slow_id(0, 10, fixed)


def test_one_chunk_by_content_has_one_id() -> None:
    header = Header(Mode.CDC, 18, 5)
    assert small_id(header, b"hello") == slow_id(1, 18, [b"hello"])


def test_the_same_bytes_have_another_id_in_another_mode_or_size_of_chunks() -> None:
    ids = {
        small_id(Header(mode, chunk_log2, 5), b"hello")
        for mode in Mode
        for chunk_log2 in (10, 18, 20)
    }
    assert len(ids) == 9
    assert small_id(Header(Mode.FIXED, 18, 0), b"") != small_id(Header(Mode.FIXED, 18, 1), b"\0")


def test_a_node_is_not_taken_for_a_leaf() -> None:
    left, right = objects.leaf(b"a" * 1024), objects.leaf(b"b" * 1024)
    assert objects.leaf(left + right) != objects.parent(left, right)


@given(st.sampled_from(Mode), st.integers(10, 20), st.integers(0, 1 << 36))
def test_a_header_is_read_as_it_was_packed(mode: Mode, chunk_log2: int, size: int) -> None:
    header = Header(mode, chunk_log2, size)
    assert len(header.pack()) == HEADER_BYTES == 11
    assert Header.unpack(header.pack()) == header


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes(11),
        bytes([2, 0, 18]) + bytes(8),
        bytes([1, 3, 18]) + bytes(8),
        bytes([1, 0, 9]) + bytes(8),
        bytes([1, 0, 21]) + bytes(8),
        bytes([1, 0, 18]) + (OBJECT_MAX + 1).to_bytes(8, "big"),
        bytes([1, 0, 10]) + (1 << 43).to_bytes(8, "big"),  # 2^33 chunks
        bytes([1, 0, 18]) + bytes(9),
    ],
)
def test_headers_that_cannot_be_are_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match="header"):
        Header.unpack(raw)


def test_a_header_of_ours_that_cannot_be_is_a_bug_of_the_caller() -> None:
    with pytest.raises(UsageError, match="largest"):
        Header(Mode.FIXED, 18, OBJECT_MAX + 1)
    assert Header(Mode.FIXED, 18, OBJECT_MAX).chunks == objects.CHUNKS_MAX


def test_small_ids_are_of_one_chunk_that_is_as_long_as_said() -> None:
    for size, data in ((4, b"hello"), (6, b"hello")):
        with pytest.raises(ProtocolError, match="5 bytes"):
            small_id(Header(Mode.FIXED, 18, size), data)
    with pytest.raises(ProtocolError):
        small_id(Header(Mode.FIXED, 10, 1025), bytes(1025))
