"""Sealed objects: nothing opens that was changed, moved or cut off."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import AuthError, ProtocolError, UsageError
from whispurrnet.store.object import CHUNK_LOG2
from whispurrnet.store.sealing import (
    CONTENT_BYTES,
    SEGMENT_BYTES,
    Box,
    new_key,
    padded,
    seal,
    sealed_size,
    unseal,
)

KEY = new_key(lambda n: b"k" * n)
EDGES = [0, 1, 247, 248, 249, CONTENT_BYTES - 8, CONTENT_BYTES - 7, 3 * CONTENT_BYTES, 400_000]


def data(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(size))


def segments(sealed: bytes) -> list[bytes]:
    return [sealed[i : i + SEGMENT_BYTES] for i in range(0, len(sealed), SEGMENT_BYTES)]


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("block", [1000, 65_520, 1 << 20])
def test_what_is_sealed_opens(size: int, block: int) -> None:
    plain = data(size)
    blocks = [plain[i : i + block] for i in range(0, size, block)]
    sealed = b"".join(seal(KEY, size, blocks))
    assert len(sealed) == sealed_size(size)
    assert plain[:40] not in sealed or size < 8
    assert b"".join(unseal(KEY, len(sealed), segments(sealed))) == plain
    assert Box(KEY, len(sealed)).data_size(segments(sealed)[0]) == size


def test_a_chunk_that_is_verified_opens_alone() -> None:
    assert 1 << CHUNK_LOG2 == 4 * SEGMENT_BYTES
    plain = data(400_000)
    sealed = segments(b"".join(seal(KEY, len(plain), [plain])))
    box = Box(KEY, sum(map(len, sealed)))
    for start, n in ((0, 1), (65_511, 3), (262_000, 90_000), (399_999, 1)):
        first, count = box.covering(start, n)
        assert box.range(start, n, sealed[first : first + count]) == plain[start : start + n]
    with pytest.raises(UsageError, match="2 segments"):
        box.range(65_511, 3, sealed[:1])


def test_nothing_opens_that_was_changed_moved_or_cut_off() -> None:
    plain = data(200_000)
    sealed = b"".join(seal(KEY, len(plain), [plain]))
    parts = segments(sealed)
    box = Box(KEY, len(sealed))
    for at in (0, 1, 30_000, 65_519, 65_535):
        changed = bytearray(parts[1])
        changed[at] ^= 1
        with pytest.raises(AuthError):
            box.open(1, bytes(changed))
    for index, segment in ((0, parts[1]), (1, parts[0]), (4, parts[0]), (-1, parts[0])):
        with pytest.raises(AuthError):
            box.open(index, segment)
    with pytest.raises(AuthError):
        Box(new_key(lambda n: b"o" * n), len(sealed)).open(0, parts[0])
    with pytest.raises(AuthError):  # cut at the end of a segment: the last one says that it is
        Box(KEY, 2 * SEGMENT_BYTES).open(1, parts[1])
    with pytest.raises(ProtocolError):
        list(unseal(KEY, 2 * SEGMENT_BYTES, parts[:2]))
    with pytest.raises(ProtocolError, match="too early"):
        list(unseal(KEY, len(sealed), parts[:-1]))


def test_a_size_that_does_not_fit_the_padding_is_refused() -> None:
    box = Box(KEY, sealed_size(1000))
    lying = box.seal(0, (5).to_bytes(8, "big") + bytes(padded(1008) - 8))
    with pytest.raises(ProtocolError, match="does not fit"):
        box.data_size(lying)


@pytest.mark.parametrize("size", [0, 16, 271, SEGMENT_BYTES + 16])
def test_sizes_that_no_sealed_object_has_are_refused(size: int) -> None:
    with pytest.raises(ProtocolError, match="no sealed object"):
        Box(KEY, size)


def test_what_is_announced_is_what_must_be_given() -> None:
    for size in (4, 6):
        with pytest.raises(UsageError, match="announced"):
            list(seal(KEY, size, [b"hello"]))


@given(st.integers(0, 1 << 44))
def test_padding_adds_little_and_tells_little(n: int) -> None:
    assert n <= padded(n) <= max(256, n * 1.12)
    assert padded(padded(n)) == padded(n)


def test_few_sizes_are_left() -> None:
    sizes = sorted({padded(n) for n in range(256, 1 << 16)})
    assert len(sizes) < 150
    assert all(b - a <= a * 0.12 for a, b in pairwise(sizes))
