"""Who lies about objects, and what a disk can do to them: a clear error, and an intact store.

Real processes and real sessions: what is changed is what a peer sends once it was let in, and the
files of a node that does not run. What is refused below that is tested closer to where it happens;
`docs/protocol/objects.md` says where.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.interop.object_lab import MIB, Keeper, Place, digest_of, random_file, settings

LIAR = "object_liar"
CUT_OFF = "the connection to it ended|it stalled"
"""Who breaks the protocol loses its session each time, and what it sends is read more slowly."""

WORDS = {
    "wrong chunk": "a chunk is not what it should be",
    "too short": "a chunk is not as long as it should be",
    "too long": "a chunk is not as long as it should be",
    "nothing in it": "a chunk is not as long as it should be",
    "another chunk": CUT_OFF,
    "endless": CUT_OFF,
    "wrong page": "a page is wrong",
    "stall": "it stalled",
}


def play(story: Callable[[Place], Awaitable[None]], limit_s: float = 60) -> None:
    async def timed() -> None:
        async with asyncio.timeout(limit_s), Place() as place:
            await story(place)

    asyncio.run(timed())


async def get(taker: Keeper, oid: str, *givers: Keeper, cap: str = "") -> dict[str, Any]:
    """Fetch an object; what came of it."""
    await taker.order("fetch", tickets=[one.ticket for one in givers], oid=oid, cap=cap)
    async with asyncio.timeout(30):
        return await taker.order("arrived")


async def verified(taker: Keeper, count: int) -> None:
    """Wait until so many bytes are here."""
    while (await taker.order("report"))["verified"] < count:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def right(taker: Keeper, oid: str, to: Path, digest: str) -> bool:
    """Whether an object is what it should be."""
    await taker.order("export", oid=oid, to=str(to))
    return digest_of(to) == digest


SOME = ("wrong chunk", "too short", "endless")


@pytest.mark.parametrize("lies", [SOME, pytest.param(tuple(WORDS), marks=pytest.mark.soak)])
def test_liars_are_found_and_the_store_stays_intact(tmp_path: Path, lies: tuple[str, ...]) -> None:
    """Alone, a liar ends the fetch with a word; beside who is honest, it changes nothing."""

    async def story(place: Place) -> None:
        honest = await place.keeper(settings())
        taker = await place.keeper(settings(tmp_path / "taker"), program=LIAR)
        for n, how in enumerate(lies):
            liar = await place.keeper(settings(), program=LIAR)
            film = tmp_path / how
            digest = random_file(film, 5 * MIB + 300, n)
            oid = (await honest.order("add", path=str(film)))["oid"]
            await liar.order("add", path=str(film))
            await liar.order("lie", how=how)
            came = await get(taker, oid, liar)
            assert came.get("kind") == "NetworkError", (how, came)
            assert re.search(WORDS[how], came["why"]), (how, came)
            came = await get(taker, oid, honest, liar)
            assert came.get("complete"), (how, came)
            assert await right(taker, oid, film.with_name(f"{how}.out"), digest)
            await liar.kill()
        report = await taker.order("report")
        assert report["notes"] == []
        assert report["peak_mb"] < 150

    play(story)


def test_an_object_that_no_disk_can_hold(tmp_path: Path) -> None:
    """Its id is honest: it is as large as an object may be, and made of zeros. We fetch no such."""

    async def story(place: Place) -> None:
        liar = await place.keeper(settings(), program=LIAR)
        taker = await place.keeper(settings(tmp_path / "taker"), program=LIAR)
        oid = (await liar.order("endless"))["oid"]
        came = await get(taker, oid, liar)
        assert "the limit is" in came["why"], came
        assert (await taker.order("list"))["objects"] == []
        small = tmp_path / "small"
        digest = random_file(small, MIB)
        oid = (await liar.order("add", path=str(small)))["oid"]
        assert (await get(taker, oid, liar)).get("complete")
        assert await right(taker, oid, tmp_path / "out", digest)

    play(story)


def test_without_the_capability_the_name_of_an_object_is_worth_nothing(tmp_path: Path) -> None:
    async def story(place: Place) -> None:
        giver = await place.keeper(settings(), program=LIAR)
        taker = await place.keeper(settings(tmp_path / "taker"), program=LIAR)
        digest = random_file(tmp_path / "film", 2 * MIB)
        added = await giver.order("add", path=str(tmp_path / "film"), to="cap")
        why = {}
        for name, oid, cap in (
            ("none", added["oid"], ""),
            ("wrong", added["oid"], "11" * 32),
            ("nothing there", "ab" * 32, ""),
        ):
            came = await get(taker, oid, giver, cap=cap)
            assert came.get("kind") == "NetworkError", (name, came)
            why[name] = came["why"]
        assert why["none"] == why["nothing there"], "it is told that there is something"
        assert (await taker.order("list"))["objects"] == []
        assert (await get(taker, added["oid"], giver, cap=added["cap"])).get("complete")
        assert await right(taker, added["oid"], tmp_path / "out", digest)

    play(story)


@pytest.mark.netns
def test_a_disk_that_gets_full_ends_the_fetch_and_loses_nothing(tmp_path: Path) -> None:
    """The taker's disk has 120 MiB, of which 64 are to stay free, and then suddenly 20."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=120m none {disk} && exec "$@"'

    async def resize(taker: Keeper, size: str) -> None:
        inside = ("nsenter", "-t", str(taker.process.pid), "-m")
        mounting = ("mount", "-o", f"remount,size={size}", str(disk))
        assert await (await asyncio.create_subprocess_exec(*inside, *mounting)).wait() == 0

    async def story(place: Place) -> None:
        giver = await place.keeper(settings(upload_bps=6e6))
        taker = await place.keeper(
            settings(disk / "taker"), "unshare", "-m", "sh", "-c", mount, "sh", program=LIAR
        )
        seen = Path(f"/proc/{taker.process.pid}/root{disk}")
        digests, oids = [], []
        for n, size in enumerate((5 * MIB, 24 * MIB, 90 * MIB)):
            digests.append(random_file(tmp_path / f"film {n}", size, n))
            oids.append((await giver.order("add", path=str(tmp_path / f"film {n}")))["oid"])
        first, second, third = oids
        assert (await get(taker, first, giver)).get("complete")
        came = await get(taker, third, giver)
        assert "no room" in came["why"], came
        await taker.order("fetch", tickets=[giver.ticket], oid=second)
        await verified(taker, 6 * MIB)
        await resize(taker, "20m")
        came = await taker.order("arrived")
        assert "make room" in came.get("why", ""), came
        assert str(disk) in came["why"]
        await resize(taker, "120m")
        assert await right(taker, first, seen / "out", digests[0])
        (seen / "out").unlink()
        await taker.order("fetch", tickets=[giver.ticket], oid=second)
        assert (await taker.order("arrived")).get("complete")
        assert await right(taker, second, seen / "second", digests[1])

    play(story)


def spoil(path: Path, rng: Random, times: int = 1) -> None:
    """Turn bits of a file over, at random."""
    data = bytearray(path.read_bytes())
    for _ in range(times):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def test_a_store_that_was_damaged_is_repaired_from_who_has_it(tmp_path: Path) -> None:
    """One object is whole, one half, when the process is killed. Bits are turned over in both.

    Then in the database."""
    rng = Random(os.getpid())
    store = tmp_path / "taker"

    async def story(place: Place) -> None:
        giver = await place.keeper(settings())
        digests, oids = [], []
        for n, size in enumerate((3 * MIB, 24 * MIB)):
            digests.append(random_file(tmp_path / f"film {n}", size, n))
            oids.append((await giver.order("add", path=str(tmp_path / f"film {n}")))["oid"])
        whole, half = oids
        taker = await place.keeper(settings(store))
        assert (await get(taker, whole, giver)).get("complete")
        await giver.order("limit", up=16e6)
        await taker.order("fetch", tickets=[giver.ticket], oid=half)
        await verified(taker, 6 * MIB)
        await taker.kill()
        await giver.order("limit", up=None)
        (large,) = (store / "objects").glob("*/*")
        (part,) = (store / "parts").iterdir()
        for damaged in ((large, part), (store / "index.sqlite",)):
            for path in damaged:
                spoil(path, rng, 1 if path is large else 100)
            taker = await place.keeper(settings(store))
            said = list(taker.notes)
            for oid, digest in zip(oids, digests, strict=True):
                came = await get(taker, oid, giver)
                if "was damaged" in came.get("why", ""):  # found when it was looked at
                    said.append(came["why"])
                    came = await get(taker, oid, giver)
                assert came.get("complete"), came
                try:
                    await taker.order("export", oid=oid, to=str(tmp_path / "out"))
                except AssertionError as error:  # damage that shows only when it is read
                    said.append(str(error))
                    assert not (tmp_path / "out").exists()
                    assert (await get(taker, oid, giver)).get("complete")
                    await taker.order("export", oid=oid, to=str(tmp_path / "out"))
                assert digest_of(tmp_path / "out") == digest
                (tmp_path / "out").unlink()
            assert any("spoiled" in words for words in said), said
            await taker.end()  # so that all is in the database, and not in its log

    play(story)
