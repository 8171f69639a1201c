"""`whispurr send` and `whispurr receive`, killed with SIGKILL at random: nothing comes twice.

As in `test_object_kills`, the kernel counts what passes in a namespace that holds nothing else:
the two commands, and the meeting place at which they find each other again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.interop.object_lab import MIB, Place, digest_of, figures, random_file

pytestmark = pytest.mark.netns

TWICE = 0.05
LOOK_EVERY_S = 0.002
FOLDERS = ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")


class Machine:
    """One person's machine: a home, a folder to work in, and the one command that runs there."""

    def __init__(self, place: Place, home: Path) -> None:
        self.place = place
        self.work = home / "work"
        self.said: list[dict[str, Any]] = []
        self.process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WHISPURRNET_")}
        for name in FOLDERS:
            (home / name.lower()).mkdir(mode=0o700, parents=True)
            self.env[name] = str(home / name.lower())
        self.env["WHISPURRNET_LISTEN"] = "/ip4/127.0.0.1/tcp/0"
        self.env["WHISPURRNET_LAN_ENABLED"] = "false"
        self.work.mkdir()

    async def start(self, *tokens: str, code: str = "") -> None:
        """Run a command, after the former has ended."""
        words = self.place.inside(sys.executable, "-m", "whispurrnet", *tokens, "--output", "json")
        self.said = []
        self.process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=self.env | ({"WHISPURRNET_CODE": code} if code else {}),
            cwd=self.work,
        )
        self._listening = asyncio.create_task(self._listen(self.process, self.said))

    async def _listen(
        self, process: asyncio.subprocess.Process, said: list[dict[str, Any]]
    ) -> None:
        assert process.stdout is not None
        while (line := await process.stdout.readline()).endswith(b"\n"):
            said.append(json.loads(line))  # the last may be cut off: it was killed

    async def heard(self, kind: str, limit_s: float = 120) -> dict[str, Any]:
        """Wait until it has said something of a kind."""
        async with asyncio.timeout(limit_s):
            while True:
                for line in self.said:
                    if line["type"] == kind:
                        return line
                assert self.process is not None
                assert self.process.returncode is None, f"it ended: {self.said[-3:]}"
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """End it without a word, if it runs."""
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()
        if self._listening is not None:
            await self._listening


class Handing:
    """One file on its way from one person to another.

    Args:
        place: Where all of them are.
        folder: For their homes.
        seed: Of what is left to chance.
    """

    def __init__(self, place: Place, folder: Path, seed: int) -> None:
        self.here, self.there, self.meeting = (
            Machine(place, folder / name) for name in ("here", "there", "meeting")
        )
        self.place = place
        self.chance = Random(seed)
        self.killed = {"send": 0, "receive": 0}
        self.via = ""
        self.limit: tuple[str, ...] = ()

    def sent(self) -> int:
        assert self.meeting.process is not None
        return self.place.bytes_sent(self.meeting.process.pid)

    async def send(self) -> None:
        await self.here.start("send", "film", "--via", self.via, *self.limit)

    async def receive(self, code: str = "") -> None:
        await self.there.start("receive", "--yes", "--via", self.via, code=code)

    async def reach(self, sent: float, limit_s: float = 60.0) -> None:
        """Wait until so many bytes were sent."""
        until = time.monotonic() + limit_s
        while self.sent() < sent:
            said = self.here.said[-2:], self.there.said[-2:]
            assert time.monotonic() < until, f"it stands still: {said}"
            await asyncio.sleep(LOOK_EVERY_S)

    async def kill_one(self) -> None:
        """Kill one of them, and run the same command again."""
        who = self.chance.choice(["send", "receive"])
        self.killed[who] += 1
        if who == "send":
            await self.here.kill()
            await self.send()
        else:
            await self.there.kill()
            await self.receive()

    async def run(self, size: int, kills: int) -> float:
        """Hand a file over with so many kills; how many times its size was sent in all."""
        digest = random_file(self.here.work / "film", size, os.getpid())
        await self.meeting.start("up", "--port", "0")
        self.via = (await self.meeting.heard("up"))["ticket"]
        await self.send()
        await self.receive((await self.here.heard("offer"))["code"])
        base = self.sent()
        for share in sorted(self.chance.uniform(0.02, 0.95) for _ in range(kills)):
            await self.reach(base + share * size)
            await self.kill_one()
        assert (await self.there.heard("received"))["told"]
        await self.here.heard("arrived")
        assert digest_of(self.there.work / "film") == digest
        assert [path.name for path in self.there.work.iterdir()] == ["film"]
        return (self.sent() - base) / size


def hand_over(folder: Path, size: int, kills: int, limit: tuple[str, ...] = ()) -> float:
    seed = os.getpid()

    async def story() -> float:
        async with Place("send") as place, AsyncExitStack() as exits:
            handing = Handing(place, folder, seed)
            handing.limit = limit
            for machine in (handing.meeting, handing.here, handing.there):
                exits.push_async_callback(machine.kill)
            ratio = await handing.run(size, kills)
            figures(f"killed {handing.killed}, sent {ratio:.4f} times the size; seed {seed}")
            return ratio

    return asyncio.run(story())


def test_a_file_is_handed_over_while_both_ends_are_killed(tmp_path: Path) -> None:
    ratio = hand_over(tmp_path, 160 * MIB, 3, ("--limit", "60"))
    assert 1.0 < ratio < 1 + TWICE


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_large_file_is_handed_over_while_both_ends_are_killed_ten_times(tmp_path: Path) -> None:
    ratio = hand_over(tmp_path, 1024 * MIB, 10)
    assert 1.0 < ratio < 1 + TWICE
