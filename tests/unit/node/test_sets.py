"""Sets that nodes keep in step, between whole nodes on loopback."""

from __future__ import annotations

import asyncio
import functools
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.unit.node.object_lab import (
    ALONE,
    MIB,
    at,
    met,
    nodes,
    play,
    read,
    some,
    tree,
    until,
)

import whispurrnet
from whispurrnet.base.errors import UsageError
from whispurrnet.node import build
from whispurrnet.node.node import Node
from whispurrnet.node.sets import SharedSet
from whispurrnet.store import transfer_config


async def pair(anna: Node, ben: Node) -> tuple[SharedSet, SharedSet]:
    """A set of anna's that ben follows."""
    here, _ = await met(ben, anna)
    ours = await anna.objects.sets.new()
    cap = anna.objects.share(ours.name)
    theirs = await ben.objects.sets.follow(ours.name, sources=[here], cap=cap)
    return ours, theirs


async def ids(node: Node, shared: SharedSet) -> set[str]:
    return {entry.oid.hex() for entry in await node.objects.sets.entries(shared.name)}


def test_what_is_in_it_comes_and_what_is_new_as_soon_as_it_is_put_there() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            before = await anna.objects.add_many([b"%d" % n for n in range(700)])
            ours = await anna.objects.sets.new()
            await anna.objects.sets.put(ours.name, *before)
            here, _ = await met(ben, anna)
            cap = anna.objects.share(ours.name)
            theirs = await ben.objects.sets.follow(ours.name, sources=[here], cap=cap)
            await theirs.until(700)
            coming = aiter(theirs)
            first = asyncio.ensure_future(anext(coming))
            await asyncio.sleep(0)
            large = await anna.objects.add(some(3 * MIB))
            await anna.objects.sets.put(ours.name, large.oid, before[0])
            assert await asyncio.wait_for(first, 10) == large.oid
            assert await ben.objects.get(large.oid) == some(3 * MIB)
            assert await ids(ben, theirs) == {*before, large.oid}
            assert ours.count == theirs.count == 701
            progress = theirs.progress
            assert progress is not None and (progress.objects, progress.wanted) == (701, 0)

    play(story)


@pytest.mark.parametrize("silent", ["stays", "goes"])
def test_what_one_source_does_not_give_comes_from_another(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small and large ones; the first source announces everything, and gives nothing."""
    hasty = functools.partial(transfer_config.Config, stall_s=1.0, page_wait_s=0.5)
    monkeypatch.setattr(build.transfer_config, "Config", hasty)

    async def story() -> None:
        async with nodes(2) as (anna, cora), AsyncExitStack() as own:
            ben = await own.enter_async_context(whispurrnet.open(**ALONE))
            ours = await anna.objects.sets.new()
            caps = anna.objects.share(ours.name)
            assert caps is not None
            data = [*(b"%d" % n for n in range(50)), some(MIB)]
            for node in (anna, ben):
                held = ours if node is anna else await ben.objects.sets.follow(ours.name, cap=caps)
                oids = [(await node.objects.add(one)).oid for one in data]
                await node.objects.sets.put(held.name, *oids)
            ben.objects.disk.read = lambda wanted: None  # type: ignore[method-assign]
            stalls, _ = await met(cora, ben)
            gives, _ = await met(cora, anna)
            theirs = await cora.objects.sets.follow(ours.name, sources=[stalls], cap=caps)
            await until(lambda: theirs.progress is not None and theirs.progress.wanted == 51)
            await cora.objects.sets.follow(ours.name, sources=[gives], cap=caps)
            if silent == "goes":
                await asyncio.sleep(0.2)
                await own.aclose()
            await theirs.until(51)
            assert await ids(cora, theirs) == set(oids)

    play(story)


def test_both_follow_each_other_and_end_with_the_same() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            ours, theirs = await pair(anna, ben)
            (there,) = anna.peers
            cap = anna.objects.share(ours.name)
            await anna.objects.sets.follow(ours.name, sources=[there], cap=cap)
            for n in range(5):
                for node, shared in ((anna, ours), (ben, theirs)):
                    info = await node.objects.add(b"%d of %s" % (n, node.name.encode()))
                    await node.objects.sets.put(shared.name, info.oid)
            await ours.until(10)
            await theirs.until(10)
            assert await ids(anna, ours) == await ids(ben, theirs)
            assert ours.count == theirs.count == 10

    play(story)


def test_it_goes_on_from_one_to_the_next() -> None:
    async def story() -> None:
        async with nodes(3) as (anna, ben, cora):
            ours, _ = await pair(anna, ben)
            cap = anna.objects.share(ours.name)
            here, _ = await met(cora, ben)
            last = await cora.objects.sets.follow(ours.name, sources=[here], cap=cap)
            info = await anna.objects.add(some(MIB))
            await anna.objects.sets.put(ours.name, info.oid)
            await last.until(1)
            assert await cora.objects.get(info.oid) == some(MIB)

    play(story)


@pytest.mark.parametrize("many", [1, 50])
def test_a_folder_comes_after_what_it_names(tmp_path: Path, many: int) -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            ours, theirs = await pair(anna, ben)
            coming = aiter(theirs)
            first = asyncio.ensure_future(anext(coming))
            await asyncio.sleep(0)
            names = ["a.txt", "deep/er/b.txt", "deep/c.txt"]
            tree(tmp_path / "in", names)
            (tmp_path / "in" / "large").write_bytes(some(2 * MIB))
            anna.objects.limit(up=8 * MIB)
            info = await anna.objects.add_folder(tmp_path / "in")
            await anna.objects.sets.put(ours.name, *[info.oid] * many)
            assert await asyncio.wait_for(first, 20) == info.oid
            await ben.objects.export(info.oid, tmp_path / "out")
            assert read(tmp_path / "out") == read(tmp_path / "in")

    play(story)


def test_without_the_capability_nobody_follows_and_is_told_so() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            ours = await anna.objects.sets.new()
            anna.objects.share(ours.name)
            info = await anna.objects.add(b"secret")
            await anna.objects.sets.put(ours.name, info.oid)
            theirs = await ben.objects.sets.follow(ours.name, sources=[here], cap=b"n" * 32)
            await until(lambda: theirs.problems)
            assert list(theirs.problems) == [anna.name]
            assert all(theirs.problems.values())
            assert theirs.count == 0

    play(story)


def test_the_sets_are_there_again_after_a_start(tmp_path: Path) -> None:
    async def story() -> None:
        async with whispurrnet.open(**at(tmp_path / "a")) as anna:
            ours = await anna.objects.sets.new()
            cap = anna.objects.share(ours.name)
            info = await anna.objects.add(some(100_000))
            await anna.objects.sets.put(ours.name, info.oid)
        async with (
            whispurrnet.open(**at(tmp_path / "a")) as anna,
            whispurrnet.open(**at(tmp_path / "b")) as ben,
        ):
            (again,) = anna.objects.sets.list()
            assert (again.name, again.count) == (ours.name, 1)
            here, _ = await met(ben, anna)
            theirs = await ben.objects.sets.follow(ours.name, sources=[here], cap=cap)
            await theirs.until(1)
        async with (
            whispurrnet.open(**at(tmp_path / "a")) as anna,
            whispurrnet.open(**at(tmp_path / "b")) as ben,
        ):
            (theirs,) = ben.objects.sets.list()
            assert theirs.count == 1
            more = await anna.objects.add(b"more")
            await anna.objects.sets.put(ours.name, more.oid)
            here, _ = await met(ben, anna)
            await ben.objects.sets.follow(ours.name, sources=[here], cap=cap)
            await theirs.until(2)
            assert await ids(ben, theirs) == {info.oid, more.oid}

    play(story)


def test_left_is_left(tmp_path: Path) -> None:
    async def story() -> None:
        async with whispurrnet.open(**at(tmp_path)) as ben, nodes(1) as (anna,):
            ours, theirs = await pair(anna, ben)
            info = await anna.objects.add(b"x")
            await anna.objects.sets.put(ours.name, info.oid)
            await theirs.until(1)
            await ben.objects.sets.leave(theirs.name)
            assert ben.objects.sets.list() == []
            assert theirs.progress is None
            with pytest.raises(UsageError, match="no set"):
                await ben.objects.sets.entries(theirs.name)
            more = await anna.objects.add(b"y")
            await anna.objects.sets.put(ours.name, more.oid)
        async with whispurrnet.open(**at(tmp_path)) as ben:
            assert ben.objects.sets.list() == []

    play(story)


def test_what_is_in_a_set_is_kept_and_is_seen_by_who_may_see_the_set() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(some(MIB), pin=False)
            ours = await anna.objects.sets.new()
            await anna.objects.sets.put(ours.name, info.oid)
            anna.objects.share(ours.name, "everyone")
            assert (await ben.objects.fetch(info.oid, sources=[here])).complete

    play(story)


def test_wrong_uses() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            sets = anna.objects.sets
            ours = await sets.new()
            with pytest.raises(UsageError, match="not here"):
                await sets.put(ours.name, "ab" * 32)
            for call in (sets.put("ab" * 32), sets.entries("ab" * 32), sets.leave("ab" * 32)):
                with pytest.raises(UsageError, match="no set"):
                    await call
            with pytest.raises(UsageError):
                await sets.follow("nonsense")
            info = await anna.objects.add(b"x")
            await sets.put(ours.name, info.oid, info.oid)
            await sets.put(ours.name, info.oid)
            assert ours.count == 1
            again = await sets.follow(ours.name)
            assert again is ours

    play(story)


def test_a_source_comes_back_and_it_goes_on(tmp_path: Path) -> None:
    """The session ends while a large object is on its way; nothing is lost when it stands again."""

    async def story() -> None:
        async with whispurrnet.open(**at(tmp_path)) as anna, nodes(1) as (ben,):
            ours, theirs = await pair(anna, ben)
            anna.objects.limit(up=8 * MIB)
            info = await anna.objects.add(some(4 * MIB))
            await anna.objects.sets.put(ours.name, info.oid)
            await until(lambda: ben.objects.fetched_bytes > MIB)
            (there,) = anna.peers
            await anna.disconnect(there)
            await until(lambda: not ben.peers)
            assert theirs.count == 0
            anna.objects.limit()
            await met(ben, anna)
            await asyncio.wait_for(theirs.until(1), 20)
            assert await ben.objects.get(info.oid) == some(4 * MIB)

    play(story)
