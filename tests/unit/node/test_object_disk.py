"""The two threads of the disk: what is read does not wait for what is written, and all is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.unit.node.object_lab import MIB, play, some, until

from whispurrnet.base.errors import HostError
from whispurrnet.disk.shelf import Shelf
from whispurrnet.node.object_disk import ObjectDisk
from whispurrnet.stack import object_events
from whispurrnet.store import manifest
from whispurrnet.store import transfer_events as moves
from whispurrnet.store.object import CHUNK_LOG2, Header, Mode, small_id
from whispurrnet.store.outline import Outline
from whispurrnet.wire.ids import ObjectId

CHUNK = 1 << CHUNK_LOG2


class Disk:
    """One, and what it told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.stored: list[Any] = []
        shelf = Shelf(None, quota_bytes=4 * MIB, wall_ms=lambda: 1_700_000_000_000)
        self.shelf = shelf
        self.disk = ObjectDisk(shelf, self.told.append, self.stored.extend)

    async def read(self, wanted: Any) -> Any:
        before = len(self.told)
        self.disk.read(wanted)
        await until(lambda: len(self.told) > before)
        return self.told[-1]


@asynccontextmanager
async def disks() -> AsyncIterator[Disk]:
    one = Disk()
    yield one
    one.disk.close()


def cut(data: bytes) -> tuple[Outline, list[bytes]]:
    chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    return Outline.of(Header(Mode.FIXED, CHUNK_LOG2, len(data)), data), chunks


def test_an_object_comes_chunk_by_chunk() -> None:
    data = some(MIB + 7)
    outline, chunks = cut(data)
    oid, header = outline.id, outline.header

    async def story() -> None:
        async with disks() as one:
            one.disk.write(moves.Begin(oid, header))
            one.disk.write(moves.StorePage(oid, header, outline.page(0)))
            for index in (1, 0, 3, 2, 4):
                one.disk.write(moves.Store(oid, index, chunks[index]))
            one.disk.write(moves.Done(oid, True))
            await until(lambda: one.stored)
            assert one.stored == [moves.Done(oid, True)]
            indexes = [i for told in one.told for i in told.indexes]
            assert indexes == [1, 0, 3, 2, 4], "in the order in which they came"
            assert len(one.told) < 5, "those that waited were written together"
            assert one.shelf.read_range(oid, 0, len(data)) == data
            found = await one.read(moves.Look(1, 9, oid))
            assert found == object_events.ObjectLooked(
                1, moves.Found(header, True, ((0, 5),)), (oid,)
            )
            assert await one.read(moves.ReadPage(2, oid, 0)) == moves.Paged(2, outline.page(0))
            assert await one.read(moves.ReadPage(3, oid, 7)) == moves.Paged(3, None)
            got = await one.read(moves.Read(4, oid, 3, 2))
            assert got == moves.ReadDone(4, chunks[3:])

    play(story)


def test_small_ones_come_together_with_the_roots_above_them() -> None:
    header = Header(Mode.FIXED, CHUNK_LOG2, 5)
    oid = small_id(header, b"small")

    async def story() -> None:
        async with disks() as one:
            one.disk.write(moves.StoreSmall(7, 9, ((oid, header, b"small"),)))
            await until(lambda: one.stored)
            assert one.told == [moves.SmallStored(7)]
            assert one.stored == [moves.Done(oid, True)]
            entry = manifest.Entry("x", oid, 5)
            root = one.shelf.add_bytes(manifest.encode([entry])).oid
            wanted = (oid, ObjectId(b"\1" * 32))
            answer = await one.read(moves.ReadSmall(8, 9, wanted))
            assert answer.ticket == 8
            ((got, its, data, roots),) = answer.objects
            assert (got, its, data) == (oid, header, b"small")
            assert set(roots) == {oid, root}

    play(story)


def test_what_cannot_be_read_is_told_as_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    oid = ObjectId(b"\1" * 32)

    def fail(*_: object) -> None:
        raise HostError("the disk is broken; its name is secret")

    async def story() -> None:
        async with disks() as one:
            for name in ("entry", "page", "read", "read_small"):
                monkeypatch.setattr(one.shelf, name, fail)
            assert (await one.read(moves.Look(1, 9, oid))).found is None
            assert (await one.read(moves.ReadPage(2, oid, 0))).page is None
            done = await one.read(moves.Read(3, oid, 0, 1))
            assert done.chunks is None and done.text
            assert (await one.read(moves.ReadSmall(4, 9, (oid,)))).objects == ()

    play(story)


def test_what_cannot_be_written_is_told() -> None:
    outline, chunks = cut(some(8 * MIB))
    oid, header = outline.id, outline.header
    small = some(20_000)
    its = Header(Mode.FIXED, CHUNK_LOG2, len(small))

    async def story() -> None:
        async with disks() as one:
            one.disk.write(moves.Begin(oid, header))  # more than the quota
            await until(lambda: one.told)
            assert isinstance(one.told[0], moves.StoreFailed)
            assert "quota" in one.told[0].text
            one.disk.write(moves.Store(oid, 0, chunks[0]))  # never begun
            await until(lambda: len(one.told) == 2)
            assert isinstance(one.told[1], moves.StoreFailed)
            one.disk.write(moves.Done(oid, True))
            await until(lambda: one.stored)
            assert isinstance(one.stored[0], moves.Failed) and one.stored[0].reason
            full = one.shelf.add_bytes(some(4 * MIB - 10))
            assert full.complete
            one.disk.write(moves.StoreSmall(7, 9, ((small_id(its, small), its, small),)))
            await until(lambda: len(one.told) == 3)
            assert "quota" in one.told[2].text

    play(story)


def test_what_waits_of_a_fetch_that_failed_does_not_end_the_next_one() -> None:
    """In the same batch as what failed, and in the queue behind it; others are written."""
    outline, chunks = cut(some(2 * CHUNK))
    oid = outline.id
    other, its = cut(some(CHUNK + 1))
    gate = threading.Event()

    async def story() -> None:
        async with disks() as one:
            write_many, tried = one.shelf.write_many, list[ObjectId]()

            def full(wanted: ObjectId, given: list[tuple[int, bytes]]) -> None:
                tried.append(wanted)
                gate.wait(10)
                if wanted == oid:
                    raise HostError("the disk is full; make room")
                write_many(wanted, given)

            one.shelf.write_many = full  # type: ignore[method-assign]
            one.disk.write(moves.Begin(other.id, other.header))
            one.disk.write(moves.StorePage(other.id, other.header, other.page(0)))
            one.disk.write(moves.Store(oid, 0, chunks[0]))
            one.disk.write(moves.Store(other.id, 0, its[0]))
            one.disk.write(moves.Store(oid, 1, chunks[1]))
            await until(lambda: tried)
            one.disk.write(moves.Store(oid, 1, chunks[1]))
            one.disk.write(moves.Store(other.id, 1, its[1]))
            gate.set()
            await until(lambda: moves.Stored(other.id, (1,)) in one.told)
            failed = [told for told in one.told if isinstance(told, moves.StoreFailed)]
            assert failed == [moves.StoreFailed(oid, "the disk is full; make room")]
            assert tried == [oid, other.id, other.id]

    play(story)


def test_a_slow_disk_that_writes_does_not_hold_up_what_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outline, chunks = cut(some(CHUNK))
    gate = threading.Event()

    async def story() -> None:
        async with disks() as one:
            known = one.shelf.add_bytes(b"known").oid
            monkeypatch.setattr(one.shelf, "write_many", lambda *_: gate.wait(10))
            one.disk.write(moves.Store(outline.id, 0, chunks[0]))
            assert (await one.read(moves.Look(1, 9, known))).found is not None
            assert not any(isinstance(told, moves.Stored) for told in one.told)
            gate.set()
            await until(lambda: any(isinstance(told, moves.Stored) for told in one.told))

    play(story)


def test_closing_writes_what_waits_and_tells_nobody() -> None:
    outline, chunks = cut(some(2 * CHUNK))
    oid, header = outline.id, outline.header

    async def story() -> None:
        one = Disk()
        wrote: list[int] = []
        write_many = one.shelf.write_many

        def note(oid: ObjectId, given: list[tuple[int, bytes]]) -> None:
            wrote.extend(index for index, _ in given)
            write_many(oid, given)

        one.shelf.write_many = note  # type: ignore[method-assign]
        one.disk.write(moves.Begin(oid, header))
        one.disk.write(moves.StorePage(oid, header, outline.page(0)))
        for index in (0, 1):
            one.disk.write(moves.Store(oid, index, chunks[index]))
        one.disk.close()
        assert wrote == [0, 1]
        await asyncio.sleep(0)
        assert one.told == []
        one.disk.write(moves.Store(oid, 0, chunks[0]))
        one.disk.read(moves.Look(1, 9, oid))
        await asyncio.sleep(0.01)
        assert one.told == []

    play(story)
