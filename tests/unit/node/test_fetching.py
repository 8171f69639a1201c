"""One fetch: sources that come and go, several who wait, stopping, going on later, collections."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.node.object_lab import (
    ALONE,
    MIB,
    at,
    hasty,
    met,
    nodes,
    play,
    read,
    some,
    tree,
    until,
)

import whispurrnet
from whispurrnet.base.errors import HostError, LimitError, NetworkError, UsageError, WhispurrError
from whispurrnet.store import manifest
from whispurrnet.store.manifest import Entry, Kind
from whispurrnet.wire.ids import ObjectId

__all__ = ["hasty"]


def test_two_sources_share_the_work() -> None:
    async def story() -> None:
        async with nodes(3) as (anna, ben, cora):
            data = some(8 * MIB)
            for node in (anna, ben):
                info = await node.objects.add(data)
                node.objects.share(info.oid, "everyone")
                node.objects.limit(up=8 * MIB)
            sources = [(await met(cora, node))[0] for node in (anna, ben)]
            fetching = cora.objects.fetch(info.oid, sources=sources)
            seen: dict[str, None] = {}
            async for progress in fetching.progress():
                seen |= dict.fromkeys(name for name, _ in progress.sources)
                assert progress.verified <= progress.total or progress.total == 0
            assert len(seen) == 2
            assert (await fetching).complete
            assert await cora.objects.get(info.oid) == data

    play(story)


def test_a_source_goes_away_and_another_comes() -> None:
    async def story() -> None:
        async with nodes(2) as (ben, cora):
            data = some(8 * MIB)
            async with whispurrnet.open(**ALONE) as anna:
                info = await anna.objects.add(data)
                anna.objects.share(info.oid, "everyone")
                anna.objects.limit(up=4 * MIB)
                fetching = cora.objects.fetch(info.oid, sources=[(await met(cora, anna))[0]])
                await until(lambda: fetching.now.verified > MIB)
            before = fetching.now.verified
            assert not fetching.over
            await ben.objects.add(data)
            ben.objects.share(info.oid, "everyone")
            fetching.add((await met(cora, ben))[0])
            assert (await fetching).complete
            assert cora.objects.fetched_bytes <= len(data) + 3 * MIB
            assert before > 0

    play(story)


@pytest.mark.usefixtures("hasty")
def test_when_nobody_is_left_it_says_so() -> None:
    async def story() -> None:
        async with nodes(1) as (cora,):
            async with whispurrnet.open(**ALONE) as anna:
                info = await anna.objects.add(some(8 * MIB))
                anna.objects.share(info.oid, "everyone")
                anna.objects.limit(up=2 * MIB)
                fetching = cora.objects.fetch(info.oid, sources=[(await met(cora, anna))[0]])
                await until(lambda: fetching.now.verified > 0)
            with pytest.raises(NetworkError) as error:
                await fetching
            assert len(str(error.value)) > 10

    play(story)


def test_several_wait_for_one_object_and_one_of_them_stops() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            anna.objects.limit(up=8 * MIB)
            info = await anna.objects.add(some(3 * MIB))
            folder = await anna.objects.wrap({"a": info.oid, "b": info.oid})
            anna.objects.share(folder.oid, "everyone")
            waiting = [ben.objects.fetch(info.oid, sources=[here]) for _ in range(3)]
            waiting.append(ben.objects.fetch(folder.oid, sources=[here], collection=True))
            await until(lambda: waiting[0].now.verified > 0)
            waiting[0].stop()
            with pytest.raises(NetworkError, match="stopped"):
                await waiting[0]
            infos = [await one for one in waiting[1:]]
            assert [one.oid for one in infos] == [info.oid, info.oid, folder.oid]
            assert ben.objects.fetched_bytes < 3 * MIB + 1000
            assert ben.objects.transfers() == ()

    play(story)


def test_stopped_and_begun_again_nothing_comes_twice() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            anna.objects.limit(up=8 * MIB)
            info = await anna.objects.add(some(8 * MIB))
            anna.objects.share(info.oid, "everyone")
            first = ben.objects.fetch(info.oid, sources=[here])
            await until(lambda: first.now.verified > 2 * MIB)
            first.stop()
            first.stop()
            assert first.over
            assert not (await ben.objects.info(info.oid)).complete
            anna.objects.limit()
            assert (await ben.objects.fetch(info.oid, sources=[here])).complete
            assert ben.objects.fetched_bytes <= 9 * MIB

    play(story)


def test_it_goes_on_after_the_node_was_closed(tmp_path: Path) -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            data = some(8 * MIB)
            info = await anna.objects.add(data)
            anna.objects.share(info.oid, "everyone")
            anna.objects.limit(up=8 * MIB)
            async with whispurrnet.open(**at(tmp_path)) as ben:
                here, _ = await met(ben, anna)
                fetching = ben.objects.fetch(info.oid, sources=[here])
                await until(lambda: fetching.now.verified >= 3 * MIB)
            with pytest.raises(HostError, match="closed"):
                await fetching
            anna.objects.limit()
            async with whispurrnet.open(**at(tmp_path)) as ben:
                assert not (await ben.objects.info(info.oid)).complete
                here, _ = await met(ben, anna)
                await ben.objects.fetch(info.oid, sources=[here])
                assert ben.objects.fetched_bytes <= 6 * MIB
                assert await ben.objects.get(info.oid) == data

    play(story)


def test_what_is_here_needs_nobody() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            info = await anna.objects.add(some(MIB))
            folder = await anna.objects.wrap({"a": info.oid})
            assert (await anna.objects.fetch(info.oid)).complete
            fetching = anna.objects.fetch(folder.oid, collection=True)
            assert (await fetching).collection
            assert fetching.over
            said = [progress async for progress in fetching.progress()]
            assert said[-1].verified == said[-1].total == MIB + folder.size

    play(story)


def test_a_folder_of_many_small_files(tmp_path: Path) -> None:
    names = [f"f{n % 7}/{n}.txt" for n in range(400)]

    async def story() -> None:
        async with nodes(3) as (anna, ben, cora):
            info = await anna.objects.add_folder(tree(tmp_path / "in", names))
            cap = anna.objects.share(info.oid)
            here, _ = await met(ben, anna)
            fetching = ben.objects.fetch(info.oid, sources=[here], cap=cap, collection=True)
            verified = [now.verified async for now in fetching.progress()]
            assert verified == sorted(verified)
            assert (await fetching).collection
            await ben.objects.export(info.oid, tmp_path / "out")
            assert read(tmp_path / "out") == {name: name.encode() for name in names}
            ben.objects.share(info.oid, "everyone")
            anna.objects.share(info.oid, "everyone")
            both = [(await met(cora, node))[0] for node in (anna, ben)]
            await cora.objects.fetch(info.oid, sources=both, collection=True)
            assert len(await cora.objects.list(limit=2000)) == 408

    play(story)


@pytest.mark.parametrize("others", [1, 4])
def test_small_files_that_some_sources_lack_come_from_the_others(
    others: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches, as they would have come; one at a time only after three have been asked."""
    whole: list[ObjectId] = []

    async def story() -> None:
        async with nodes(2 + others) as (anna, cora, *empty):
            names = [f"{n}.txt" for n in range(200)]
            info = await anna.objects.add_folder(tree(tmp_path / "in", names))
            anna.objects.share(info.oid, "everyone")
            sources = [(await met(cora, node))[0] for node in (*empty, anna)]
            fetching = cora.objects.fetch(info.oid, sources=sources, collection=True)
            fetch = fetching._fetch

            def noted(oid: ObjectId, *more: Any) -> object:
                whole.append(oid)
                return fetch(oid, *more)

            monkeypatch.setattr(fetching, "_fetch", noted)
            assert (await fetching).complete
            assert len(await cora.objects.list()) == 201
            assert not fetching._tried and not cora.objects.transfers()

    play(story)
    assert len(whole) <= (1 if others == 1 else 150)  # 1: the folder itself


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("size", [9, MIB])
def test_a_file_that_nobody_has_ends_the_folder(size: int) -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            there = await anna.objects.add(some(size))
            made = [
                Entry("gone", b"\1" * 32, size, Kind.FILE),
                Entry("there", bytes.fromhex(there.oid), size, Kind.FILE),
            ]
            root = await anna.objects.add(manifest.encode(made))
            anna.objects.share(root.oid, "everyone")
            fetching = ben.objects.fetch(root.oid, sources=[here], collection=True)
            with pytest.raises(WhispurrError, match="01010101"):
                await fetching
            assert ben.objects.transfers() == ()

    play(story)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no folder at all", "not a collection"),
        (manifest.MAGIC + b"\x90nonsense", "malformed|not written"),
        (b"", "not a collection"),
    ],
)
def test_what_is_no_folder_is_refused(data: bytes, said: str) -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(data)
            anna.objects.share(info.oid, "everyone")
            with pytest.raises(WhispurrError, match=said):
                await ben.objects.fetch(info.oid, sources=[here], collection=True)

    play(story)


@pytest.mark.parametrize(
    "name", ["../up", "/root", "a\0b", "..", "con", "a/b", "a\\b", "x.", "C:", "\u202egpj.exe"]
)
def test_hostile_names_are_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            file = await anna.objects.add(b"evil")
            built = [Entry(name, bytes.fromhex(file.oid), 4, Kind.FILE)]
            data = msgspec.msgpack.encode(("WNDIR", 1, built))
            info = await anna.objects.add(data)
            anna.objects.share(info.oid, "everyone")
            with pytest.raises(WhispurrError):
                await ben.objects.fetch(info.oid, sources=[here], collection=True)
            await ben.objects.fetch(info.oid, sources=[here])  # as what it is: bytes
            with pytest.raises(WhispurrError):
                await ben.objects.export(info.oid, tmp_path / "out")

    play(story)
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_is_a_lie_ends_it() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            file = await anna.objects.add(some(MIB))
            lie = [Entry("a", bytes.fromhex(file.oid), 77, Kind.FILE)]
            info = await anna.objects.add(manifest.encode(lie))
            anna.objects.share(info.oid, "everyone")
            with pytest.raises(WhispurrError):
                await ben.objects.fetch(info.oid, sources=[here], collection=True)

    play(story)


def test_what_does_not_fit_the_quota_ends_in_a_clear_error() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,), nodes(1, objects={"quota_bytes": MIB}) as (ben,):
            here, _ = await met(ben, anna)
            large = await anna.objects.add(some(3 * MIB))
            many = [await anna.objects.add(some(15_000, seed)) for seed in range(100)]
            folder = await anna.objects.wrap({str(n): one.oid for n, one in enumerate(many)})
            for info in (large, folder):
                anna.objects.share(info.oid, "everyone")
                fetching = ben.objects.fetch(info.oid, sources=[here], collection=info is folder)
                with pytest.raises(WhispurrError, match="quota"):
                    await fetching
            with pytest.raises(LimitError, match="quota"):
                await ben.objects.add(some(2 * MIB))
            assert (await ben.objects.metrics()).bytes <= MIB

    play(story)


@pytest.mark.usefixtures("hasty")
def test_a_file_that_changed_is_not_served(tmp_path: Path) -> None:
    file = tmp_path / "diary"
    file.write_bytes(some(3 * MIB))

    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(file)
            assert info.reference
            anna.objects.share(info.oid, "everyone")
            file.write_bytes(some(3 * MIB, 2))
            with pytest.raises(NetworkError) as error:
                await ben.objects.fetch(info.oid, sources=[here])
            assert "diary" not in str(error.value), "a peer does not learn what it is called"
            with pytest.raises(HostError, match="diary"):
                await anna.objects.read(info.oid, 0, 10)

    play(story)


def test_ids_that_are_none() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            for wrong in ("", "abc", "zz" * 32, "ab" * 33):
                with pytest.raises(UsageError):
                    anna.objects.fetch(wrong)
            with pytest.raises(UsageError, match="priority"):
                await anna.objects.fetch("ab" * 32, priority=9)
            assert anna.objects.transfers() == ()

    play(story)


def test_a_disk_that_fails_at_the_very_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(some(MIB))
            anna.objects.share(info.oid, "everyone")
            shelf = ben.objects.disk.shelf

            def fail(oid: ObjectId) -> None:
                raise HostError("the disk is full")

            with monkeypatch.context() as patch:
                patch.setattr(shelf, "finish", fail)
                fetching = ben.objects.fetch(info.oid, sources=[here])
                with pytest.raises((HostError, NetworkError), match="full"):
                    await asyncio.wait_for(asyncio.shield(_wait(fetching)), 5)
            assert (await ben.objects.fetch(info.oid, sources=[here])).complete

    play(story)


async def _wait(fetching: object) -> None:
    await fetching  # type: ignore[misc]
