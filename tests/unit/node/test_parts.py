"""A part of an object is fetched, and no chunk more; and which chunks those are."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.node.object_lab import MIB, hasty, met, nodes, play, some, until

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.node.parts import Part
from whispurrnet.store.object import CHUNK_LOG2, Header, Mode
from whispurrnet.store.transfer_events import Known
from whispurrnet.wire.ids import ObjectId

__all__ = ["hasty"]

CHUNK = 1 << CHUNK_LOG2
OID = ObjectId(b"o" * 32)


def known(size: int, *runs: tuple[int, int]) -> Known:
    return Known(header=Header(Mode.FIXED, CHUNK_LOG2, size), runs=runs)


def test_which_chunks() -> None:
    size = 10 * CHUNK + 5
    for start, n, only, count in (
        (0, 1, ((0, 1),), CHUNK),
        (CHUNK - 1, 2, ((0, 2),), 2 * CHUNK),
        (CHUNK, CHUNK, ((1, 1),), CHUNK),
        (10 * CHUNK, 1, ((10, 1),), 5),
        (9 * CHUNK, 99 * CHUNK, ((9, 2),), CHUNK + 5),
        (0, size, None, size),
    ):
        chunks = Part(start, n).chunks(OID, known(size))
        assert (chunks.only, chunks.n, chunks.missing) == (only, count, True)


def test_the_last_ones_that_are_missing_make_it_whole() -> None:
    size = 4 * CHUNK
    chunks = Part(CHUNK, 1).chunks(OID, known(size, (0, 1), (2, 2)))
    assert (chunks.only, chunks.missing) == (None, True)
    chunks = Part(CHUNK, CHUNK).chunks(OID, known(size, (1, 2)))
    assert (chunks.only, chunks.missing) == (((1, 1),), False)


@given(st.integers(1, 20 * CHUNK), st.data())
@settings(max_examples=200)
def test_they_hold_the_bytes_and_none_is_too_many(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(start + 1, size))
    chunks = Part(start, end - start).chunks(OID, known(size))
    first, count = chunks.only[0] if chunks.only else (0, -(-size // CHUNK))
    assert first * CHUNK <= start < (first + 1) * CHUNK
    assert (first + count - 1) * CHUNK < end <= (first + count) * CHUNK
    assert chunks.n == min(size, (first + count) * CHUNK) - first * CHUNK


@pytest.mark.parametrize("part", [(-1, 5), (0, 0), (5, -1), (1 << 63, 1), (0, 1 << 63)])
def test_what_cannot_be(part: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="no part"):
        Part(*part)


def test_beyond_the_end() -> None:
    with pytest.raises(UsageError, match="has 5 bytes"):
        Part(5, 1).chunks(OID, known(5))
    with pytest.raises(UsageError, match="has 0 bytes"):
        Part(0, 1).chunks(OID, known(0))


DATA = some(4 * MIB + 7)


def test_only_the_chunks_of_the_part_come() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(DATA)
            anna.objects.share(info.oid, "everyone")
            fetching = ben.objects.fetch(info.oid, sources=[here], part=(MIB + 5, MIB // 2))
            got = await fetching
            assert not got.complete
            assert (
                await ben.objects.read(info.oid, MIB + 5, MIB // 2)
                == DATA[MIB + 5 : MIB + 5 + MIB // 2]
            )
            assert ben.objects.fetched_bytes == 3 * CHUNK
            assert (fetching.now.verified, fetching.now.total) == (3 * CHUNK, 3 * CHUNK)
            for start in (MIB - 1, MIB + MIB // 2 + CHUNK):
                with pytest.raises(HostError, match="not here yet"):
                    await ben.objects.read(info.oid, start, 1)
            assert not (await ben.objects.fetch(info.oid, part=(MIB, 1))).complete  # it is here
            assert ben.objects.fetched_bytes == 3 * CHUNK
            whole = await ben.objects.fetch(info.oid, sources=[here])
            assert whole.complete
            assert ben.objects.fetched_bytes == len(DATA)
            assert await ben.objects.get(info.oid) == DATA
            assert (await ben.objects.fetch(info.oid, part=(0, 9))).complete

    play(story)


def test_parts_one_after_the_other_make_it_whole() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(DATA)
            anna.objects.share(info.oid, "everyone")
            with contextlib.closing(ben.events()) as feed:
                got = info
                for start in range(0, len(DATA), MIB):
                    before = ben.objects.fetched_bytes
                    got = await ben.objects.fetch(info.oid, sources=[here], part=(start, MIB))
                    assert ben.objects.fetched_bytes <= before + MIB
                assert got.complete
                while (event := await anext(feed))["type"] != "object":
                    assert event["type"] != "transfer" or event["state"] != "failed"
            assert ben.objects.fetched_bytes == len(DATA)
            assert await ben.objects.get(info.oid) == DATA

    play(story)


def test_several_who_want_different_parts_and_all_at_a_time() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(DATA)
            anna.objects.share(info.oid, "everyone")
            anna.objects.limit(up=8 * MIB)
            parts = [
                ben.objects.fetch(info.oid, sources=[here], part=(start, 1))
                for start in (0, 4 * MIB, 2 * MIB, 0, 3 * MIB)
            ]
            whole = ben.objects.fetch(info.oid, sources=[here])
            stopped = ben.objects.fetch(info.oid, sources=[here], part=(MIB, 1))
            stopped.stop()
            for one in parts:
                await one
            assert (await whole).complete
            assert ben.objects.fetched_bytes == len(DATA)
            await until(lambda: not ben.objects.transfers())

    play(story)


@pytest.mark.parametrize("size", [1, 5_000, 65_536, 65_537, CHUNK])
def test_of_a_small_object_all_comes(size: int) -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(some(size))
            anna.objects.share(info.oid, "everyone")
            assert (await ben.objects.fetch(info.oid, sources=[here], part=(0, 1))).complete
            assert await ben.objects.get(info.oid) == some(size)

    play(story)


@pytest.mark.usefixtures("hasty")
def test_a_part_that_is_not_there_is_a_clear_error() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(DATA)
            anna.objects.share(info.oid, "everyone")
            with pytest.raises(UsageError, match=f"has {len(DATA)} bytes"):
                await ben.objects.fetch(info.oid, sources=[here], part=(len(DATA), 1))
            with pytest.raises(UsageError, match="no part"):
                ben.objects.fetch(info.oid, sources=[here], part=(0, 0))
            with pytest.raises(UsageError, match="no parts"):
                ben.objects.fetch(info.oid, sources=[here], part=(0, 1), collection=True)
            assert ben.objects.fetched_bytes == 0
            assert not ben.objects.transfers()

    play(story)


def test_where_content_decides_on_the_cuts() -> None:
    pytest.importorskip("fastcdc.fastcdc_cy")

    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(DATA, mode="cdc")
            anna.objects.share(info.oid, "everyone")
            await ben.objects.fetch(info.oid, sources=[here], part=(2 * MIB, 10))
            assert await ben.objects.read(info.oid, 2 * MIB, 10) == DATA[2 * MIB : 2 * MIB + 10]
            assert 0 < ben.objects.fetched_bytes < len(DATA) // 2
            await ben.objects.fetch(info.oid, sources=[here], part=(0, len(DATA)))
            assert await ben.objects.get(info.oid) == DATA
            assert ben.objects.fetched_bytes == len(DATA)

    play(story)
