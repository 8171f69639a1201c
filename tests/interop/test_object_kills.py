"""A file goes over while both ends are killed at random, and next to nothing is sent twice.

What was sent is counted by the kernel, on the loopback of a namespace in which there is nothing
else: handshakes, headers and whatever a killed process had on its way are all in it. The same with
the commands `whispurr send` and `receive`, also in short, is in `test_send_kills`.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from random import Random

import pytest
from tests.interop.object_lab import MIB, Keeper, Place, digest_of, figures, random_file, settings

pytestmark = pytest.mark.netns

TWICE = 0.05
"""How much of the file may be sent twice."""

LOOK_EVERY_S = 0.002


class Pair:
    """One that has a file, one that gets it, and who of them is killed when.

    Args:
        place: Where they are.
        folder: Where their objects are, and the file.
        size: Of the file, in bytes.
        limit_bps: How fast it is sent, in bytes a second, so that kills fall into it; 0: no limit.
        seed: Of what is left to chance.
    """

    def __init__(self, place: Place, folder: Path, size: int, limit_bps: float, seed: int) -> None:
        self.place = place
        self.folder = folder
        self.size = size
        self.limit_bps = limit_bps
        self.chance = Random(seed)
        self.oid = ""
        self.killed = {"giver": 0, "taker": 0}
        self.giver: Keeper
        self.taker: Keeper

    async def start_giver(self) -> None:
        more = {"upload_bps": self.limit_bps} if self.limit_bps else {}
        self.giver = await self.place.keeper(settings(self.folder / "giver", **more))

    async def start_taker(self) -> None:
        self.taker = await self.place.keeper(settings(self.folder / "taker"))
        await self.taker.order("fetch", tickets=[self.giver.ticket], oid=self.oid)

    async def begin(self) -> str:
        """Start both; the digest of the file."""
        digest = random_file(self.folder / "film", self.size, os.getpid())
        await self.start_giver()
        self.oid = (await self.giver.order("add", path=str(self.folder / "film")))["oid"]
        await self.start_taker()
        return digest

    def sent(self) -> int:
        """How many bytes have passed between all that ever lived."""
        return self.place.bytes_sent(self.giver.process.pid)

    async def reach(self, sent: float, limit_s: float = 60.0) -> None:
        """Wait until so many bytes were sent."""
        until = time.monotonic() + limit_s
        while self.sent() < sent:
            assert time.monotonic() < until, f"it stands still: {await self.taker.order('report')}"
            await asyncio.sleep(LOOK_EVERY_S)

    async def kill_one(self) -> None:
        """Kill one of them, and start it again."""
        who = self.chance.choice(["giver", "taker"])
        self.killed[who] += 1
        if who == "giver":
            await self.giver.kill()
            await self.start_giver()
            await self.taker.order("source", ticket=self.giver.ticket)
        else:
            await self.taker.kill()
            await self.start_taker()

    async def run(self, kills: int) -> float:
        """Send the file with so many kills; how many times its size was sent in all."""
        digest = await self.begin()
        base = self.sent()
        for share in sorted(self.chance.uniform(0.02, 0.95) for _ in range(kills)):
            await self.reach(base + share * self.size)
            await self.kill_one()
        async with asyncio.timeout(300):
            came = await self.taker.order("arrived")
        assert came.get("complete"), came
        ratio = (self.sent() - base) / self.size
        await self.taker.order("export", oid=self.oid, to=str(self.folder / "out"))
        assert digest_of(self.folder / "out") == digest
        for one in (self.giver, self.taker):
            assert (await one.order("report"))["notes"] == []
        return ratio


def kill(tmp_path: Path, size: int, kills: int, limit_bps: float = 0.0) -> float:
    seed = os.getpid()

    async def story() -> float:
        async with Place("kills") as place:
            pair = Pair(place, tmp_path, size, limit_bps, seed)
            ratio = await pair.run(kills)
            figures(f"killed {pair.killed}, sent {ratio:.4f} times the size; seed {seed}")
            return ratio

    return asyncio.run(story())


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_large_file_goes_over_while_both_ends_are_killed_ten_times(tmp_path: Path) -> None:
    ratio = kill(tmp_path, 1024 * MIB, 10)
    assert 1.0 < ratio < 1 + TWICE
