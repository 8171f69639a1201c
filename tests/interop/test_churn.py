"""Ten processes, a fifth of which is always being killed and restarted: no broadcast is lost.

Every node is told of one other only, so that the mesh has to form by itself: the tenth knows the
first, the first the second, and so on. Two at a time, at random, are killed with SIGKILL and come
back as strangers at their old addresses. Meanwhile nodes at random broadcast, a few times a
second. Whoever was there from before a broadcast was made until it expired has it exactly once,
if who made it stayed as long; nobody has anything twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from bench.common import free_port
from tests.interop.lab import HERE, ROOT

NODES, VICTIMS = 10, 2
PER_S = 4.0
TTL_S = 10.0
"""An expiry is a multiple of 10 s: a broadcast lives for 10 to 20 s."""

DOWN_S = (2.0, 6.0)
"""How long a place stays empty."""

MEET_S = 60.0
"""How long a node may take to start and to find a neighbour."""

FORMED = 3
"""More neighbours than the ring gives."""

HISTORY_MAX = 30
SOAK_S = float(os.environ.get("CHURN_S", "300"))


class Member:
    """One node, from its start to its end; who is restarted is another one.

    Attributes:
        name: Its place and how often that was taken before, such as `3.1`.
        heard: When it got which broadcasts, and how often.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.id = ""
        self.ended = False
        """Whether the test needs it no longer."""
        self.joined_at = float("inf")
        self.died_at = float("inf")
        self.joined = asyncio.Event()
        self.formed = asyncio.Event()
        self.heard: dict[int, list[float]] = {}
        self.neighbours: dict[str, None] = {}
        self.history: list[tuple[float, str, str]] = []
        self.reported: asyncio.Future[dict[str, Any]] | None = None

    @property
    def alive(self) -> bool:
        return self.died_at == float("inf")

    def order(self, **what: Any) -> None:
        """Tell it to do something; one that is dead does nothing."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what).encode() + b"\n")

    async def kill(self) -> None:
        """End it, without a word to anybody."""
        self.died_at = time.monotonic()
        self.process.kill()
        await self.process.wait()

    async def end(self) -> None:
        """The test is over; it is not as if it had died."""
        self.ended = True
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def changed(self, at: float, event: str, peer: str) -> None:
        """Somebody became its neighbour, or is none any more."""
        self.history.append((at, event, peer))
        if event == "neighbour":
            self.neighbours[peer] = None
        else:
            self.neighbours.pop(peer, None)
        if self.neighbours and not self.joined.is_set():
            self.joined_at = at
            self.joined.set()
        if len(self.neighbours) >= FORMED:
            self.formed.set()


class Broadcast:
    """One message, and from when until when it lives."""

    def __init__(self, n: int, author: Member, at: float) -> None:
        self.n = n
        self.author = author
        self.at = at
        self.expires_at: float | None = None
        """None if the author died before it had handed it to the mesh."""
        self.beside: list[str] = []
        self.published = asyncio.Event()

    def due(self, member: Member) -> bool:
        """Whether this node must get it."""
        return (
            self.expires_at is not None
            and member is not self.author
            and member.joined_at <= self.at
            and min(member.died_at, self.author.died_at) > self.expires_at
        )


class Mesh:
    """The ten places, who is at each, who was, and what was broadcast."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.ports = [free_port() for _ in range(NODES)]
        self.places: list[Member | None] = [None] * NODES
        self.members: list[Member] = []
        self.broadcasts: list[Broadcast] = []
        self.names: dict[str, str] = {}
        self.lacking: set[tuple[int, str]] = set()
        self.complete = asyncio.Event()
        self.kills = 0
        self._starts = [count() for _ in range(NODES)]

    # Nodes

    def settings(self, place: int) -> dict[str, Any]:
        other = self.ports[(place + 1) % NODES]
        return {
            "listen": [f"/ip4/127.0.0.1/tcp/{self.ports[place]}"],
            "bootstrap": [f"/ip4/127.0.0.1/tcp/{other}"],
            "network_secret": "the cats of the lighthouse",
            "lan": {"enabled": False},
            "gateway": {"enabled": False},
            "port": 0,
        }

    async def start(self, place: int, tasks: asyncio.TaskGroup) -> Member:
        """Start a node."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "churn_actor.py"),
            json.dumps(self.settings(place)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            limit=1 << 24,
        )
        member = Member(f"{place}.{next(self._starts[place])}", process)
        self.places[place] = member
        self.members.append(member)
        tasks.create_task(self.listen(member))
        return member

    async def listen(self, member: Member) -> None:
        """Take what a node tells, until it ends."""
        assert member.process.stdout is not None
        async for line in member.process.stdout:
            if line.endswith(b"\n"):  # or it was killed in the middle of it
                self.take(member, json.loads(line))
        assert member.ended or not member.alive, f"{member.name} ended by itself; seed {self.seed}"

    def take(self, member: Member, said: dict[str, Any]) -> None:
        """One thing that a node tells."""
        match said["event"]:
            case "up":
                member.id = said["id"]
                self.names[member.id] = member.name
            case "heard":
                member.heard.setdefault(said["n"], []).append(said["at"])
                self.lacking.discard((said["n"], member.name))
                if not self.lacking:
                    self.complete.set()
            case "published":
                made = self.broadcasts[said["n"]]
                made.expires_at, made.beside = said["expires_at"], said["neighbours"]
                made.published.set()
            case "report":
                assert member.reported is not None
                member.reported.set_result(said)
            case event:
                member.changed(said["at"], event, said["peer"])

    def living(self) -> list[Member]:
        """Who is there, and in the mesh."""
        there = (member for member in self.places if member is not None)
        return [member for member in there if member.alive and member.joined.is_set()]

    # What happens

    async def form(self, tasks: asyncio.TaskGroup) -> None:
        """Start all, and wait until each has more neighbours than it was told of."""
        for place in range(NODES):
            await self.start(place, tasks)
        async with asyncio.timeout(MEET_S):
            for member in self.members:
                await member.formed.wait()

    async def churn(self, until: float, tasks: asyncio.TaskGroup) -> None:
        """Kill and restart one at a time."""
        while time.monotonic() < until:
            victim = self.chance.choice(self.living())
            await victim.kill()
            self.kills += 1
            await asyncio.sleep(self.chance.uniform(*DOWN_S))
            again = await self.start(self.places.index(victim), tasks)
            async with asyncio.timeout(MEET_S):
                await again.joined.wait()

    async def broadcast(self, until: float) -> None:
        """Let somebody broadcast, again and again."""
        while time.monotonic() < until:
            author = self.chance.choice(self.living())
            made = Broadcast(len(self.broadcasts), author, time.monotonic())
            self.broadcasts.append(made)
            author.order(do="publish", n=made.n, ttl_s=TTL_S)
            await asyncio.sleep(self.chance.expovariate(PER_S))

    def due(self) -> list[tuple[Broadcast, Member]]:
        """Who must have what."""
        return [
            (made, member)
            for made in self.broadcasts
            for member in self.members
            if made.due(member)
        ]

    async def settle(self) -> None:
        """Wait until everybody has everything, or until what lacks has expired."""
        async with asyncio.timeout(MEET_S):
            for made in self.broadcasts:
                if made.author.alive:
                    await made.published.wait()
        self.lacking = {(made.n, who.name) for made, who in self.due() if made.n not in who.heard}
        lives = [made.expires_at for made in self.broadcasts if made.expires_at is not None]
        if self.lacking:
            self.complete.clear()
            try:
                async with asyncio.timeout(max(lives) - time.monotonic()):
                    await self.complete.wait()
            except TimeoutError:
                pass  # what is lacking is told with all that is known about it

    async def run(self, last_s: float) -> None:
        """Form the mesh, shake it, and let it settle."""
        async with asyncio.TaskGroup() as tasks:
            await self.form(tasks)
            until = time.monotonic() + last_s
            async with asyncio.TaskGroup() as work:
                for _ in range(VICTIMS):
                    work.create_task(self.churn(until, tasks))
                work.create_task(self.broadcast(until))
            await self.settle()
            await self.ask()
            for member in self.members:
                await member.end()

    # What came of it

    async def ask(self) -> None:
        """Let those who lack something tell what they know."""
        for name in sorted({name for _, name in self.lacking}):
            member = next(member for member in self.members if member.name == name)
            if member.alive:
                member.reported = asyncio.get_running_loop().create_future()
                member.order(do="report")
                async with asyncio.timeout(10):
                    await member.reported

    def named(self, ids: list[str]) -> list[str]:
        return [self.names.get(id, id[:8]) for id in ids]

    def story(self, member: Member, since: float, until: float) -> list[str]:
        """Who came to a node and left it in a time, in seconds after its beginning."""
        return [
            f"{at - since:+.2f} {'+' if event == 'neighbour' else '-'}{self.named([peer])[0]}"
            for at, event, peer in member.history
            if since - 5 < at < until
        ][:HISTORY_MAX]

    def lost(self) -> list[str]:
        """What was lost, where, and what was around it."""
        lines = []
        for made, member in self.due():
            if made.n in member.heard:
                continue
            got = [who.name for who in self.members if made.n in who.heard]
            said = member.reported.result() if member.reported is not None else None
            assert made.expires_at is not None
            lines.append(
                f"{made.n} of {made.author.name} not at {member.name}"
                f"\n    the author had {self.named(made.beside)}, its changes "
                f"{self.story(made.author, made.at, made.expires_at)}"
                f"\n    others that got it: {got}"
                f"\n    who lost it has {self.named(list(member.neighbours))}, its changes "
                f"{self.story(member, made.at, made.expires_at)}"
                f"\n    it says {said}"
            )
        return lines

    def figures(self) -> str:
        """How much was shown, in a line."""
        due = self.due()
        delays = sorted(
            member.heard[made.n][0] - made.at for made, member in due if made.n in member.heard
        )
        parts = [
            f"seed {self.seed}: {self.kills} killed, {len(self.members)} nodes in all",
            f"{len(self.broadcasts)} broadcasts",
            f"{len({made.n for made, _ in due})} by those who stayed",
            f"{len(due)} deliveries due, {len(due) - len(delays)} lost",
        ]
        if delays:
            p50, p99 = (delays[int(len(delays) * part)] for part in (0.5, 0.99))
            parts.append(f"delays p50 {p50:.2f} s, p99 {p99:.2f} s, at most {delays[-1]:.2f} s")
        return "; ".join(parts)


@asynccontextmanager
async def mesh(seed: int) -> AsyncIterator[Mesh]:
    """A mesh none of whose processes is left behind."""
    made = Mesh(seed)
    try:
        yield made
    finally:
        for member in made.members:
            await member.end()


async def shake(last_s: float) -> Mesh:
    """Ten nodes under churn for so long, in seconds."""
    seed = int(os.environ.get("CHURN_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    async with mesh(seed) as made:
        await made.run(last_s)
        return made


def check(made: Mesh) -> None:
    figures = made.figures()
    sys.stdout.write(figures + "\n")
    lost = made.lost()
    assert not lost, "\n".join([figures, *lost[:10]])
    for member in made.members:
        for n, times in member.heard.items():
            assert len(times) == 1, f"{n} came {len(times)} times to {member.name}; {figures}"
            assert made.broadcasts[n].author is not member, f"{member.name} heard itself; {figures}"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_under_churn_nothing_is_lost_among_those_who_stay() -> None:
    made = asyncio.run(shake(40.0))
    check(made)
    assert made.kills >= 6
    assert len(made.due()) > 100, made.figures()


@pytest.mark.soak
@pytest.mark.timeout(SOAK_S + 240)
def test_under_churn_for_long_nothing_is_lost_among_those_who_stay() -> None:
    made = asyncio.run(shake(SOAK_S))
    check(made)
    assert made.kills >= SOAK_S / 10
    assert len(made.due()) > SOAK_S * PER_S / 4, made.figures()
