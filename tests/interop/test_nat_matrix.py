"""Two nodes behind NATs of every kind find the best path there is, and call it by its name.

They know each other by a relay alone, and both homes have the same private addresses. The first
whisper goes through the relay; then the path becomes direct where the NATs allow it, and TURN
(coturn) where not. A relay that is killed loses nothing if there is a second.
"""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path
from typing import Any

import pytest
from tests.interop.lab import Actor
from tests.interop.nat_lab import (
    KINDS,
    PORT,
    RELAY,
    RELAY_2,
    STUN_2,
    TURN,
    TURN_SECRET,
    NatLab,
    needs_coturn,
)

from whispurrnet.nat.behaviour import can_meet

pytestmark = [pytest.mark.netns, pytest.mark.slow]

PAIRS = [
    *(("full", "full"), ("full", "port"), ("full", "sym")),
    *(("port", "port"), ("port", "sym"), ("sym", "sym")),
]
OWN_HELP_ONLY = ("port", "port")
"""This pair has no server set: its relay alone tells both where they are seen."""

QUIET: dict[str, Any] = {
    "lan": {"enabled": False},
    "gateway": {"enabled": False},
    "gossip": {"enabled": False},
}
AT_ONCE = 1
"""Laboratories at a time: two at once slow each other down, and what is measured with them."""

FIRST_S, DIRECT_S = 1.0, 5.0
"""What the first whisper may take, and the way to the better path: the medians."""


class Homes:
    """Two nodes in their homes, and a public host with relays."""

    def __init__(self, lab: NatLab) -> None:
        self.lab = lab
        self.relays: list[Actor] = []
        self.tickets: list[str] = []
        self.ids: list[str] = []

    async def relay(self, host: str, **nat: Any) -> None:
        """Start a relay on the public host."""
        settings = {**QUIET, "host": host, "listen": [f"/ip4/{host}/tcp/{PORT}"]}
        actor = await self.lab.actor("pub", {**settings, "nat": {"relay": True, **nat}})
        up = await actor.hear()
        self.relays.append(actor)
        self.tickets.append(up["ticket"])
        self.ids.append(up["id"])

    async def node(self, side: str, **nat: Any) -> Actor:
        """Start a node at home."""
        settings = {**QUIET, "listen": [f"/ip4/0.0.0.0/tcp/{PORT}"]}
        actor = await self.lab.actor(side, {**settings, "nat": {"relays": self.tickets, **nat}})
        await actor.hear()
        await actor.order("relays", ids=self.ids)
        return actor


async def path_of(actor: Actor) -> str:
    """How a node says that it reaches the other."""
    return str((await actor.order("path", unlike="-", timeout_s=0))["path"])


async def cell(kinds: tuple[str, str], folder: Path) -> dict[str, Any]:
    """One pair of NATs: what was reached how, and after how long."""
    async with NatLab(*kinds) as lab:
        homes = Homes(lab)
        await asyncio.gather(
            lab.coturn(folder), homes.relay(RELAY, stun_port=3478, stun_alternate=STUN_2)
        )
        servers = [] if kinds == OWN_HELP_ONLY else [f"turn:{TURN}:3478"]
        a, b = await asyncio.gather(
            *(homes.node(side, ice_servers=servers, turn_secret=TURN_SECRET) for side in "ab")
        )
        ticket = (await a.order("placed", relays=1, timeout_s=10))["ticket"]
        first = await b.order("first", ticket=ticket)
        better = await b.order("path", unlike="relay", timeout_s=30)
        await b.order("post", count=20)
        said = await asyncio.gather(path_of(a), path_of(b))
        heard = (await a.order("report"))["heard"]
        assert heard == ["first", *map(str, range(20))]
        return {"first": first, "better": better, "said": said, "kinds": kinds}


def test_every_pair_of_nats_finds_the_best_path_there_is(tmp_path: Path) -> None:
    needs_coturn()
    few = asyncio.Semaphore(AT_ONCE)
    folders = {kinds: tmp_path / "-".join(kinds) for kinds in PAIRS}
    for folder in folders.values():
        folder.mkdir()

    async def one(kinds: tuple[str, str]) -> dict[str, Any]:
        async with few:
            return await cell(kinds, folders[kinds])

    async def test() -> list[dict[str, Any]]:
        async with asyncio.TaskGroup() as tasks:
            cells = [tasks.create_task(one(kinds)) for kinds in PAIRS]
        return [task.result() for task in cells]

    found = asyncio.run(test())
    for one_cell in found:
        a, b = (KINDS[kind] for kind in one_cell["kinds"])
        wanted = "direct webrtc" if can_meet(a, b) else f"turn (via {TURN})"  # type: ignore[arg-type]
        assert one_cell["said"] == [wanted, wanted], one_cell
        assert one_cell["first"]["path"].startswith("relay (via "), one_cell
        tried = [(one["method"], one["ok"]) for one in one_cell["better"]["attempts"]]
        assert tried[0] == ("relay", True), one_cell
        assert tried[-1] == ("webrtc", True), one_cell
    first_s = [one["first"]["seconds"] for one in found]
    direct_s = [one["better"]["seconds"] for one in found]
    assert statistics.median(first_s) < FIRST_S, first_s
    assert statistics.median(direct_s) < DIRECT_S, direct_s


def test_without_turn_it_stays_with_the_relay_and_says_why() -> None:
    async def test() -> None:
        async with NatLab("port", "sym") as lab:
            homes = Homes(lab)
            await homes.relay(RELAY, stun_port=3478, stun_alternate=STUN_2)
            a, b = await asyncio.gather(*(homes.node(side) for side in "ab"))
            ticket = (await a.order("placed", relays=1, timeout_s=10))["ticket"]
            await b.order("first", ticket=ticket)
            reached = (await b.order("reach", method="stun"))["reached"]
            assert not reached["ok"]
            assert reached["path"].startswith("relay (via ")
            assert "stays with relay" in reached["verdict"]
            (tried,) = reached["attempts"]
            assert (tried["method"], tried["ok"]) == ("stun", False)
            assert tried["reason"]
            relayed = (await b.order("reach", method="relay"))["reached"]
            assert relayed["ok"]
            reports = await asyncio.gather(*(actor.order("probe") for actor in (a, b)))
            assert [one["report"]["kind"] for one in reports] == [KINDS["port"], KINDS["sym"]]
            await b.order("post", count=20)
            assert len((await a.order("report"))["heard"]) == 21

    asyncio.run(test())


@pytest.mark.parametrize("loop", ["asyncio"])
def test_a_killed_relay_loses_nothing(loop: str) -> None:
    """1,000 acknowledged whispers, and the relay that carries them dies in the middle."""

    async def test() -> None:
        async with NatLab("sym", "sym") as lab:
            homes = Homes(lab)
            await homes.relay(RELAY)
            await homes.relay(RELAY_2)
            a, b = await asyncio.gather(*(homes.node(side, webrtc="off") for side in "ab"))
            ticket = (await a.order("placed", relays=2, timeout_s=10))["ticket"]
            first = await b.order("first", ticket=ticket)
            used = await carrying(homes)
            posting = asyncio.create_task(b.order("post", count=1000, pace=200))
            await asyncio.sleep(1.0)
            homes.relays[used].process.kill()
            done = await asyncio.wait_for(posting, 60)
            heard = (await a.order("report"))["heard"]
            assert heard == ["first", *map(str, range(1000))], (first, done)
            assert (await path_of(b)).startswith("relay (via "), "by the other one"

    async def carrying(homes: Homes) -> int:
        """Which relay carries the two."""
        reports = [await relay.order("report") for relay in homes.relays]
        joined = [report["counters"]["circuits"] for report in reports]
        assert sum(joined) == 1
        return joined.index(1)

    asyncio.run(test())
