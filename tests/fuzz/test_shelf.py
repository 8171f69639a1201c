"""Random walks: a shelf beside a model of it, with kills between, and a part on its way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from whispurrnet.base.errors import HostError, LimitError, WhispurrError
from whispurrnet.disk import shelf_files, shelf_index, shelf_parts
from whispurrnet.disk.shelf import Report, Shelf
from whispurrnet.store.object import CHUNK_LOG2, Header, Mode
from whispurrnet.store.outline import Outline
from whispurrnet.wire.ids import ObjectId

RUNS = max(3, int(os.environ.get("FUZZ_RUNS", "1000")) // 50)
STEPS = 25
CHUNK = 1 << CHUNK_LOG2
SIZES = [0, 5, 60_000, 70_000, CHUNK + 1, 3 * CHUNK]
HOUR = 3_600_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a kill leaves does not depend on what was forced to the disk."""
    monkeypatch.setattr(shelf_files, "sync", lambda file: None)
    monkeypatch.setattr(shelf_files, "_sync_folder", lambda folder: None)
    opened = shelf_index.Index._open

    def without_sync(index: shelf_index.Index) -> object:
        base = opened(index)
        base.execute("PRAGMA synchronous = OFF")
        return base

    monkeypatch.setattr(shelf_index.Index, "_open", without_sync)


class World:
    """A shelf and what must be true of it."""

    def __init__(self, folder: Path, rng: Random) -> None:
        self.folder, self.rng, self.now_ms = folder, rng, 10**12
        self.data: dict[ObjectId, bytes] = {}
        self.outlines: dict[ObjectId, Outline] = {}
        for size in SIZES:
            data = rng.randbytes(size)
            outline = Outline.of(Header(Mode.FIXED, CHUNK_LOG2, size), data)
            self.data[outline.id], self.outlines[outline.id] = data, outline
        self.whole: set[ObjectId] = set()
        self.parts: dict[ObjectId, set[int]] = {}
        self.pinned: set[ObjectId] = set()
        self.collected = False
        self.stack = ExitStack()
        self.shelf = self.open(folder)

    def open(self, folder: Path) -> Shelf:
        shelf = Shelf(folder, quota_bytes=7 * CHUNK, wall_ms=lambda: self.now_ms)
        self.stack.callback(shelf.close)
        collect = shelf._stock.collect

        def collected(now_ms: int, need: int = 0) -> Report:
            self.collected = True
            return collect(now_ms, need)

        shelf._stock.collect = collected  # type: ignore[method-assign]
        return shelf

    def chunk(self, oid: ObjectId, index: int) -> bytes:
        return self.data[oid][index * CHUNK : (index + 1) * CHUNK]

    def step(self) -> None:
        rng, shelf = self.rng, self.shelf
        oid = rng.choice(list(self.data))
        outline = self.outlines[oid]
        match rng.choice(["add", "write", "write", "write", "finish", *_RARE]):
            case "add":
                shelf.add_bytes(self.data[oid])
                self.parts.pop(oid, None)
                self.whole.add(oid)
            case "write":
                shelf.begin(oid, outline.header)
                if oid not in self.whole:
                    self.parts.setdefault(oid, set())
                shelf.put_page(oid, outline.header, outline.page(0))
                index = rng.randrange(outline.chunks)
                shelf.write(oid, index, self.chunk(oid, index))
                if oid not in self.whole:
                    self.parts[oid].add(index)
            case "finish":
                shelf.finish(oid)
                self.parts.pop(oid, None)
                self.whole.add(oid)
            case "abandon":
                shelf.abandon(oid)
                self.parts.pop(oid, None)
            case "pin":
                shelf.pin(oid)
                self.pinned.add(oid)
            case "unpin":
                shelf.unpin(oid)
                self.pinned.discard(oid)
            case "gc":
                shelf.gc(self.now_ms)
            case "later":
                self.now_ms += rng.choice([HOUR // 2, 2 * HOUR, 15 * 24 * HOUR])
            case "sync":
                shelf._parts.sync(oid)
            case _:
                self.kill()

    def look(self) -> None:
        """After a collection: what is pinned is there, what is gone was not."""
        there = {oid for _, oid in self.shelf.ids()}
        before = self.whole | {oid for oid in self.parts if oid in there}
        assert self.pinned & self.whole <= there <= before
        self.whole &= there
        for oid in list(self.parts):
            if self.shelf.entry(oid) is None:
                assert oid not in self.pinned
                del self.parts[oid]

    def kill(self) -> None:
        after = self.folder.with_name(self.folder.name + "x")
        shutil.copytree(self.folder, after)
        self.stack.close()
        shutil.rmtree(self.folder)
        after.rename(self.folder)
        self.shelf = self.open(self.folder)
        assert self.shelf.notes == []
        for oid, have in list(self.parts.items()):
            if self.outlines[oid].header.inline:  # waits in memory only
                del self.parts[oid]
            elif len(have) == self.outlines[oid].chunks:  # finishes itself
                del self.parts[oid]
                self.whole.add(oid)

    def check(self) -> None:
        if self.collected:
            self.look()
            self.collected = False
        for oid in self.data:
            entry = self.shelf.entry(oid)
            assert (entry is not None) == (oid in self.whole or oid in self.parts)
            if entry is not None:
                assert entry.complete == (oid in self.whole)
                have = {i for start, n in entry.have for i in range(start, start + n)}
                chunks = self.outlines[oid].chunks
                assert have == (set(range(chunks)) if entry.complete else self.parts[oid])
                for index in have:
                    assert self.shelf._reading.chunks(oid, index, 1) == [self.chunk(oid, index)]
        metrics = self.shelf.metrics()
        assert metrics.objects == len(self.whole)
        assert metrics.parts == len(self.parts)
        reserved = [oid for oid in self.parts if not self.outlines[oid].header.inline]
        total = sum(len(self.data[oid]) for oid in [*self.whole, *reserved])
        assert self.shelf._stock._bytes == total <= 7 * CHUNK
        assert {path.name for path in (self.folder / "parts").iterdir()} == {
            oid.hex() for oid in reserved
        }


_RARE = ["abandon", "pin", "unpin", "gc", "later", "sync", "kill"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_what_was_taken_is_there_whatever_happens(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_parts, "SYNC_S", 1e9)
    refused = 0
    for seed in range(RUNS):
        world = World(folder / str(seed), Random(seed))
        try:
            for _ in range(STEPS):
                try:
                    world.step()
                except LimitError:
                    refused += 1
                except HostError as error:
                    raise AssertionError(seed) from error
                except WhispurrError:
                    pass
                world.check()
        finally:
            world.stack.close()
        shutil.rmtree(folder / str(seed))
    assert refused or RUNS < 10
