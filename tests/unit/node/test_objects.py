"""What is shared with whom, and fetched from whom, between whole nodes on loopback."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.node.object_lab import ALONE, MIB, at, hasty, met, nodes, play, some, until

import whispurrnet
from whispurrnet.base.errors import HostError, NetworkError, UsageError
from whispurrnet.node.fetching import Fetching
from whispurrnet.node.node import Node

__all__ = ["hasty"]

DATA = some(3 * MIB + 5)


async def failures(*fetchings: Fetching) -> list[str]:
    """What each of them says, as they all fail."""
    ended = await asyncio.gather(*fetchings, return_exceptions=True)
    assert all(isinstance(one, NetworkError) for one in ended)
    return list(map(str, ended))


def test_a_capability_opens_an_object_and_no_other_does() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(DATA)
            cap = anna.objects.share(info.oid)
            assert cap is not None and len(cap) == 32
            assert anna.objects.share(info.oid) == cap
            got = await ben.objects.fetch(info.oid, sources=[here], cap=bytes(cap))
            assert (got.oid, got.size, got.complete) == (info.oid, len(DATA), True)
            assert await ben.objects.get(info.oid) == DATA

    play(story)


@pytest.mark.parametrize("size", [0, 1, 5_000, 16_385, 65_536, 65_537, 2 * MIB])
def test_objects_of_every_size_arrive(size: int) -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(some(size))
            anna.objects.share(info.oid, "everyone")
            assert (await ben.objects.fetch(info.oid, sources=[here])).size == size
            assert await ben.objects.get(info.oid) == some(size)

    play(story)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_without_the_right_capability_there_is_a_clear_error(size: int) -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(some(size))
            other = await anna.objects.add(some(size, 2))
            anna.objects.share(info.oid)
            key = anna.objects.share(other.oid)
            wrong = (None if size < MIB else b"x" * 32, bytes(key or b""))
            said = await failures(
                *(ben.objects.fetch(info.oid, sources=[here], cap=cap) for cap in wrong)
            )
            assert all(re.search("not .*for us|does not have|do not have", one) for one in said)
            with pytest.raises(UsageError, match="not here"):
                await ben.objects.info(info.oid)

    play(story)


@pytest.mark.usefixtures("hasty")
def test_what_is_not_shared_and_what_is_not_there_look_alike() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            there = (await anna.objects.add(DATA)).oid
            said = await failures(
                *(ben.objects.fetch(oid, sources=[here]) for oid in (there, "ab" * 32))
            )
            assert said[0] == said[1]

    play(story)


@pytest.mark.usefixtures("hasty")
def test_shared_with_a_peer_and_with_a_persona(tmp_path: Path) -> None:
    known = {**ALONE, "identity": {"long_term": True, "state_dir": str(tmp_path)}}

    async def story() -> None:
        async with nodes(2) as (anna, ben), whispurrnet.open(**known) as cora:
            _, ben_there = await met(ben, anna)
            _, cora_there = await met(cora, anna)
            for_ben = (await anna.objects.add(DATA)).oid
            for_cora = (await anna.objects.add(DATA + b"c")).oid
            assert anna.objects.share(for_ben, ben_there) is None
            assert cora_there.persona is not None
            assert anna.objects.share(for_cora, cora_there.persona) is None
            assert (await ben.objects.fetch(for_ben, sources=ben.peers)).complete
            assert (await cora.objects.fetch(for_cora, sources=cora.peers)).complete
            swapped = ((ben, for_cora), (cora, for_ben))
            await failures(*(node.objects.fetch(oid, sources=node.peers) for node, oid in swapped))

    play(story)


@pytest.mark.parametrize("to", ["somebody", "ab" * 31, ""])
def test_with_whom_must_be_somebody(to: str) -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            info = await anna.objects.add(DATA)
            with pytest.raises(UsageError):
                anna.objects.share(info.oid, to)

    play(story)


@pytest.mark.usefixtures("hasty")
def test_unshared_while_it_is_served_no_more_of_it_is_sent() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            anna.objects.limit(up=4 * MIB)
            info = await anna.objects.add(some(16 * MIB))
            cap = anna.objects.share(info.oid)
            fetching = ben.objects.fetch(info.oid, sources=[here], cap=cap)
            await until(lambda: fetching.now.verified > 0)
            anna.objects.unshare(info.oid)
            with pytest.raises(NetworkError):
                await fetching
            got = await ben.objects.info(info.oid)
            assert not got.complete
            assert 0 < fetching.now.verified < 12 * MIB

    play(story)


@pytest.mark.usefixtures("hasty")
def test_taking_back_one_grant_leaves_the_others() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, there = await met(ben, anna)
            info = await anna.objects.add(DATA)
            anna.objects.share(info.oid, "everyone")
            anna.objects.share(info.oid, there)
            anna.objects.unshare(info.oid, "everyone")
            assert (await ben.objects.fetch(info.oid, sources=[here])).complete
            await ben.objects.remove(info.oid)
            anna.objects.unshare(info.oid, there)
            with pytest.raises(NetworkError):
                await ben.objects.fetch(info.oid, sources=[here])

    play(story)


@pytest.mark.usefixtures("hasty")
def test_a_node_that_serves_nobody() -> None:
    async def story() -> None:
        async with nodes(1, objects={"serve": False}) as (anna,), nodes(1) as (ben,):
            here, _ = await met(ben, anna)
            infos = [await anna.objects.add(some(size)) for size in (10, 3 * MIB)]
            for info in infos:
                anna.objects.share(info.oid, "everyone")
            await failures(*(ben.objects.fetch(info.oid, sources=[here]) for info in infos))

    play(story)


def test_what_is_shared_is_remembered(tmp_path: Path) -> None:
    async def story() -> None:
        async with nodes(1) as (ben,):
            async with whispurrnet.open(**at(tmp_path)) as anna:
                info = await anna.objects.add(DATA)
                cap = anna.objects.share(info.oid)
                assert cap is not None
            async with whispurrnet.open(**at(tmp_path)) as anna:
                here, _ = await met(ben, anna)
                assert (await ben.objects.fetch(info.oid, sources=[here], cap=cap)).complete
                anna.objects.unshare(info.oid)
            async with whispurrnet.open(**at(tmp_path)) as anna:
                assert anna.objects.share(info.oid) != cap

    play(story)


def test_who_has_fetched_shares_with_an_adopted_capability() -> None:
    async def story() -> None:
        async with nodes(3) as (anna, ben, cora):
            await met(ben, anna)
            ben_at_cora, _ = await met(cora, ben)
            info = await anna.objects.add(DATA)
            cap = anna.objects.share(info.oid)
            assert cap is not None
            await ben.objects.fetch(info.oid, sources=ben.peers, cap=cap)
            ben.objects.adopt(info.oid, cap)
            await cora.objects.fetch(info.oid, sources=[ben_at_cora], cap=cap)
            assert await cora.objects.get(info.oid) == DATA

    play(story)


def test_what_a_folder_that_is_shared_names_is_shared(tmp_path: Path) -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            inner = await anna.objects.add(DATA)
            folder = await anna.objects.wrap({"inner.bin": inner.oid})
            above = await anna.objects.wrap({"folder": folder.oid})
            cap = anna.objects.share(above.oid)
            got = await ben.objects.fetch(above.oid, sources=[here], cap=cap, collection=True)
            assert got.collection
            assert [entry.name for entry in await ben.objects.entries(above.oid)] == ["folder"]
            (path,) = await ben.objects.export(above.oid, tmp_path / "out")
            assert path == tmp_path / "out" / "folder" / "inner.bin"
            assert path.read_bytes() == DATA

    play(story)


def test_how_fast(tmp_path: Path) -> None:
    async def story() -> None:
        async with nodes(2, objects={"upload_bps": 4e6}) as (anna, ben):
            here, _ = await met(ben, anna)
            info = await anna.objects.add(some(3 * MIB))
            anna.objects.share(info.oid, "everyone")
            began = ben.now()
            await ben.objects.fetch(info.oid, sources=[here])
            assert 0.3 < ben.now() - began < 3
            anna.objects.limit()
            await ben.objects.remove(info.oid)
            began = ben.now()
            await ben.objects.fetch(info.oid, sources=[here])
            assert ben.now() - began < 0.6

    play(story)


def test_closing_ends_what_is_being_fetched() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            async with whispurrnet.open(**ALONE) as ben:
                here, _ = await met(ben, anna)
                anna.objects.limit(up=MIB)
                info = await anna.objects.add(some(8 * MIB))
                folder = await anna.objects.wrap({"a": info.oid})
                anna.objects.share(folder.oid, "everyone")
                fetching = ben.objects.fetch(folder.oid, sources=[here], collection=True)
                fresh = ben.objects.fetch("ab" * 32, sources=[here])
                await until(lambda: fetching.now.verified > 0)
                assert len(ben.objects.transfers()) == 2
            for one in (fetching, fresh):
                with pytest.raises(HostError, match="closed"):
                    await one

    play(story)


def test_events_tell_of_objects_and_name_no_files(tmp_path: Path) -> None:
    (tmp_path / "secret-plan.txt").write_bytes(some(MIB))

    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            seen = ben.events()
            info = await anna.objects.add_folder(tmp_path)
            anna.objects.share(info.oid, "everyone")
            await ben.objects.fetch(info.oid, sources=[here], collection=True)
            said: list[dict[str, Any]] = []
            async for event in seen:
                if event["type"] in {"object", "transfer"}:
                    said.append(event)
                    if event.get("state") == "done":
                        break
            stored = {event["oid"] for event in said if event["type"] == "object"}
            assert info.oid in stored and len(stored) == 2
            moved = [event for event in said if event["type"] == "transfer"]
            assert moved[-1]["verified"] == moved[-1]["total"] > MIB
            assert moved[-1]["oid"] == info.oid
            assert "secret-plan" not in repr(said)
            added = await ben.objects.add(b"mine")
            event = await anext(seen)
            assert (event["type"], event["oid"], event["came"]) == ("object", added.oid, "here")

    play(story)


def test_progress_is_told_at_most_four_times_a_second() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            seen = ben.events()
            anna.objects.limit(up=4 * MIB)
            infos = [await anna.objects.add(some(MIB, seed)) for seed in range(5)]
            root = await anna.objects.wrap({str(n): one.oid for n, one in enumerate(infos)})
            anna.objects.share(root.oid, "everyone")
            began = ben.now()
            await ben.objects.fetch(root.oid, sources=[here], collection=True)
            taken = ben.now() - began
            moved = [event for event in seen.take_all() if event["type"] == "transfer"]
            assert 2 <= len(moved) <= taken * 4 + 3

    play(story)


@pytest.mark.usefixtures("hasty")
def test_a_fetch_that_fails_says_so_in_the_feed() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            seen = anna.events()
            with pytest.raises(NetworkError):
                await anna.objects.fetch("ab" * 32)
            said = [one for one in seen.take_all() if one["type"] == "transfer"]
            assert [one["state"] for one in said].count("failed") == 1
            assert (said[-1]["state"], bool(said[-1]["reason"])) == ("failed", True)

    play(story)


def test_nothing_is_opened_before_it_is_needed() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            assert not anna.objects.opened
            assert anna.objects.transfers() == ()
            assert anna.objects.notes == []
            await anna.objects.add(b"x")
            assert anna.objects.opened

    play(story)


def test_a_damaged_list_of_what_is_shared_says_what_to_do(tmp_path: Path) -> None:
    async def spoil(node: Node) -> None:
        node.objects.disk.shelf.keep("grants", b"nonsense")

    async def story() -> None:
        async with whispurrnet.open(**at(tmp_path)) as anna:
            await spoil(anna)
        with pytest.raises(HostError, match="share again"):
            async with whispurrnet.open(**at(tmp_path)):
                pass

    play(story)


def test_two_nodes_cannot_use_one_folder(tmp_path: Path) -> None:
    async def story() -> None:
        async with whispurrnet.open(**at(tmp_path)):
            with pytest.raises(HostError):
                async with whispurrnet.open(**at(tmp_path)):
                    pass
        async with whispurrnet.open(**at(tmp_path)) as anna:
            assert await asyncio.wait_for(anna.objects.list(), 5) == []

    play(story)
