"""What a node has of objects: adding, reading, writing out, keeping."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.node.object_lab import MIB, at, nodes, play, read, some, tree

import whispurrnet
from whispurrnet.base.errors import HostError, LimitError, UsageError
from whispurrnet.node import holdings


def test_bytes_and_files(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(some(MIB))

    async def story() -> None:
        async with nodes(1) as (anna,):
            own = anna.objects
            told: list[int] = []
            info = await own.add(file, progress=told.append)
            assert (info.size, info.chunks, info.mode) == (MIB, 4, "fixed")
            assert (info.reference, info.pinned, info.complete) == (True, True, True)
            assert told[-1] == MIB
            same = await own.add(some(MIB), pin=False)
            assert same.oid == info.oid
            copied = await own.add(str(file), copy=True)
            assert copied.oid == info.oid
            assert (await own.add(b"")).size == 0
            assert await own.read(info.oid, 1000, 10) == some(MIB)[1000:1010]
            assert await own.read(info.oid, MIB - 5) == some(MIB)[-5:]
            assert await own.read(info.oid, MIB + 5) == b""
            assert await own.read(info.oid, 0, -7) == b""
            with pytest.raises(UsageError):
                await own.read(info.oid, -1, 7)
            with pytest.raises(UsageError):
                await own.add(tmp_path / "none")
            for wrong in ("sealed", "nonsense"):  # to seal takes a key, and is not done by a word
                with pytest.raises(UsageError, match="cdc"):
                    await own.add(b"secret", mode=wrong)  # type: ignore[arg-type]
            with pytest.raises(UsageError):
                await own.info("ab" * 32)

    play(story)


def test_get_gives_what_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "GET_MAX", 1000)

    async def story() -> None:
        async with nodes(1) as (anna,):
            info = await anna.objects.add(some(1001))
            with pytest.raises(UsageError, match="export"):
                await anna.objects.get(info.oid)
            assert len(await anna.objects.read(info.oid)) == 1000

    play(story)


def test_a_stream_of_parts(tmp_path: Path) -> None:
    async def story() -> None:
        async with whispurrnet.open(**at(tmp_path)) as anna:

            async def parts(count: int) -> object:
                for n in range(count):
                    yield some(300_000, n)

            info = await anna.objects.add_stream(parts(5))
            assert info.size == 1_500_000 and not info.reference and info.pinned
            assert await anna.objects.get(info.oid) == b"".join(some(300_000, n) for n in range(5))
            with pytest.raises(LimitError, match="more than 1000000 bytes"):
                await anna.objects.add_stream(parts(9), size_max=1_000_000)

            async def broken() -> object:
                yield b"x"
                raise ValueError

            with pytest.raises(ValueError):  # noqa: PT011
                await anna.objects.add_stream(broken())
            small = await anna.objects.add_stream(parts(0), pin=False)
            assert (small.size, small.pinned) == (0, False)

    play(story)
    assert not list(tmp_path.rglob("new-*")), "nothing is left of what was given up"


def test_many_at_once() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            oids = await anna.objects.add_many([b"%d" % n for n in range(300)])
            assert len(set(oids)) == 300
            assert await anna.objects.get(oids[7]) == b"7"
            with pytest.raises(UsageError):
                await anna.objects.add_many([b"ok", bytes(MIB)])
            assert len(await anna.objects.list()) == 300

    play(story)


def test_the_list_comes_in_pages() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            oids = sorted(await anna.objects.add_many([b"%d" % n for n in range(25)]))
            first = await anna.objects.list(limit=10)
            second = await anna.objects.list(after=first[-1].oid, limit=20)
            assert [one.oid for one in (*first, *second)] == oids

    play(story)


def test_folders_and_exports(tmp_path: Path) -> None:
    tree(tmp_path / "in", ["a", "b/c"])

    async def story() -> None:
        async with nodes(1) as (anna,):
            info = await anna.objects.add_folder(tmp_path / "in")
            assert info.collection
            told: list[int] = []
            paths = await anna.objects.export(info.oid, tmp_path / "out", progress=told.append)
            assert {path.name for path in paths} == {"a", "c"}
            assert read(tmp_path / "out") == read(tmp_path / "in")
            assert told[-1] == 4
            with pytest.raises(UsageError, match="there already"):
                await anna.objects.export(info.oid, tmp_path / "out")
            with pytest.raises(UsageError, match="not here"):
                await anna.objects.export("ab" * 32, tmp_path / "x")

    play(story)


def test_what_is_kept_and_what_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            own = anna.objects
            kept = await own.add(b"kept")
            gone = await own.add(b"gone")
            below = await own.add(b"below", pin=False)
            folder = await own.wrap({"below": below.oid})
            passing = await own.add(b"passing", pin=False)
            for one in (kept, gone, folder):
                await own.unpin(one.oid)
            assert not (await own.info(kept.oid)).pinned
            await own.pin(kept.oid)
            assert (await own.gc()).removed == 0, "not within the hour"
            hours = [2]
            began = holdings.time.time_ns()
            monkeypatch.setattr(
                holdings.time, "time_ns", lambda: began + hours[0] * 3_600_000_000_000
            )
            await own.list()  # to look at things does not keep them
            assert (await own.gc()).removed == 3
            for one in (gone, below, folder):
                with pytest.raises(UsageError):
                    await own.info(one.oid)
            assert (await own.metrics()).objects == 2
            hours[0] = 15 * 24
            assert (await own.gc()).removed == 1
            with pytest.raises(UsageError):
                await own.info(passing.oid)
            await own.remove(kept.oid)
            assert (await own.metrics()).bytes == 0

    play(story)


def test_a_quota_and_a_folder_that_cannot_be(tmp_path: Path) -> None:
    async def story() -> None:
        async with whispurrnet.open(**at(tmp_path / "a", quota_bytes=MIB)) as anna:
            with pytest.raises(LimitError, match="quota"):
                await anna.objects.add(some(MIB + 1))
            await anna.objects.add(some(MIB))
            assert (await anna.objects.metrics()).quota == MIB
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(HostError):
            async with whispurrnet.open(**at(tmp_path / "file")):
                pass

    play(story)


def test_a_file_that_changed_says_so(tmp_path: Path) -> None:
    file = tmp_path / "diary"
    file.write_bytes(some(MIB))

    async def story() -> None:
        async with nodes(1) as (anna,):
            info = await anna.objects.add(file)
            file.write_bytes(some(MIB, 2))
            with pytest.raises(HostError, match="diary"):
                await anna.objects.get(info.oid)
            file.unlink()
            with pytest.raises(HostError, match="diary"):
                await anna.objects.get(info.oid)

    play(story)
