"""The demonstration: six nodes, six processes, and what must happen between them.

Every step waits for what it names to truly happen, as the nodes themselves report it, and fails
when it does not happen in time. The exit code is 0 only if all of it did.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

MULTICAST = ("alice", "bob", "carol", "dave")
BOOTSTRAPPED = ("erin", "frank")
RING = (("alice", "bob"), ("bob", "carol"), ("carol", "dave"), ("dave", "alice"),
        ("alice", "erin"), ("erin", "alice"), ("frank", "alice"))  # fmt: skip
WHISPERS = 50
QUEUED = 25
CHUNKS = 1024
STEP_S = 60.0
"""How long one step may take."""

NEXT = """\
Your turn. On two terminals, or two machines of one network:
  whispurr up            starts a node; it prints a ticket and finds others by itself
  whispurr status        who is there, by which path and suite
  whispurr chat NAME     talk to one of them"""


class DemoError(Exception):
    """A step did not happen."""


class Done(msgspec.Struct, frozen=True):
    """One step that happened."""

    step: str
    detail: str
    seconds: float


class Cast:
    """One node process, and what it has told so far."""

    def __init__(self, label: str, settings: dict[str, Any]) -> None:
        self.label = label
        self.settings = settings
        self.name = ""
        self.ticket = ""
        self.alive = False
        self.peers: list[dict[str, Any]] = []
        self.heard: list[str] = []
        self.acknowledged: dict[str, float] = {}
        self.failed: list[str] = []
        self.rotations = 0
        self.streams: list[dict[str, Any]] = []
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process; `read` takes what it tells."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "whispurrnet.demo.actor",
            json.dumps(self.settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def read(self, changed: asyncio.Event) -> None:
        """Take what the node tells, until it ends."""
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            self._take(json.loads(line))
            changed.set()
        self.alive, self.peers = False, []
        changed.set()

    def _take(self, fact: dict[str, Any]) -> None:
        match fact["event"]:
            case "up":
                self.name, self.ticket, self.alive = fact["name"], fact["ticket"], True
            case "peers":
                self.peers = fact["peers"]
            case "heard":
                self.heard.append(fact["text"])
            case "acknowledged":
                self.acknowledged[fact["text"]] = fact["ms"]
            case "failed":
                self.failed.append(f"{fact['text']}: {fact['why']}")
            case "rotated":
                self.rotations += 1
            case "streamed" | "sent_stream":
                self.streams.append(fact)
            case _:
                pass

    def order(self, do: str, **facts: Any) -> None:
        """Give the node a command."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **facts}).encode() + b"\n")

    def kill(self) -> None:
        """End the process as a power cut does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """Let the node say goodbye, or end it if it does not."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(5.0):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class Stage:
    """The nodes, and the steps they take."""

    def __init__(self, console: Console, folder: Path) -> None:
        self._console = console
        self._changed = asyncio.Event()
        self.done: list[Done] = []
        self.now = "starting six nodes"
        group = {
            "network_secret": secrets.token_hex(16),
            "listen": ("/ip4/127.0.0.1/tcp/0",),
            "lan.multicast_port": 20_000 + secrets.randbelow(20_000),
            "lan.interval_s": 1.0,
            "identity.long_term": False,
        }
        self.casts = {label: Cast(label, dict(group)) for label in (*MULTICAST, *BOOTSTRAPPED)}
        self.casts["carol"].settings |= {
            "identity.long_term": True,
            "identity.state_dir": str(folder / "carol"),
        }
        for label in BOOTSTRAPPED:
            self.casts[label].settings["lan.enabled"] = False

    # What happens

    async def play(self, tasks: asyncio.TaskGroup) -> None:
        """Every step, in order."""
        await self._step("start four nodes", self._start(tasks, MULTICAST))
        await self._step("find each other by multicast", self._meet())
        for label in BOOTSTRAPPED:
            self.casts[label].settings["bootstrap"] = (self.casts["alice"].ticket,)
        await self._step("start two more, which know only alice", self._start(tasks, BOOTSTRAPPED))
        await self._step("reach her by her ticket", self._reach())
        await self._step("whispers go round", self._whisper_round())
        await self._step("kill carol (SIGKILL)", self._kill())
        await self._step("queue whispers for her", self._queue())
        await self._step("carol comes back", self._return(tasks))
        await self._step("what was queued arrives", self._drain())
        await self._step("rotate an identity in a stream", self._rotate())

    async def _step(self, name: str, work: Any) -> None:
        self.now = name
        started = time.perf_counter()
        try:
            async with asyncio.timeout(STEP_S):
                detail = await work
        except TimeoutError:
            raise DemoError(f"{name}: did not happen within {STEP_S:g} s") from None
        self.done.append(Done(name, detail, time.perf_counter() - started))
        if not self._console.is_terminal:
            self._console.print(f"  done  {name}: {detail}", highlight=False, soft_wrap=True)
        self._changed.set()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def _start(self, tasks: asyncio.TaskGroup, labels: tuple[str, ...]) -> str:
        for label in labels:
            await self.casts[label].start()
            tasks.create_task(self.casts[label].read(self._changed))
        await self._until(lambda: all(self.casts[label].alive for label in labels))
        return f"{len(labels)} processes"

    def _knows(self, one: str, other: str) -> bool:
        name = self.casts[other].name
        return any(peer["name"] == name for peer in self.casts[one].peers)

    async def _meet(self) -> str:
        pairs = [(a, b) for a in MULTICAST for b in MULTICAST if a != b]
        await self._until(lambda: all(self._knows(a, b) for a, b in pairs))
        return f"{len(pairs) // 2} pairs, no address was given to anybody"

    async def _reach(self) -> str:
        await self._until(
            lambda: all(
                self._knows("alice", label) and self._knows(label, "alice")
                for label in BOOTSTRAPPED
            )
        )
        return "erin and frank are connected to alice"

    async def _whisper_round(self) -> str:
        for sender, target in RING:
            for n in range(WHISPERS):
                text = f"{sender} to {target} {n}"
                self.casts[sender].order("whisper", to=self.casts[target].name, text=text)
        wanted = {
            target: [f"{s} to {t} {n}" for s, t in RING if t == target for n in range(WHISPERS)]
            for _, target in RING
        }
        await self._until(
            lambda: (
                all(len(self.casts[t].heard) >= len(texts) for t, texts in wanted.items())
                and all(
                    f"{s} to {t} {n}" in self.casts[s].acknowledged
                    for s, t in RING
                    for n in range(WHISPERS)
                )
            )
        )
        for target, texts in wanted.items():
            heard = self.casts[target].heard
            if sorted(heard) != sorted(texts):
                raise DemoError(f"{target} heard something twice, or something else")
            for sender in {s for s, t in RING if t == target}:
                mine = [text for text in heard if text.startswith(f"{sender} ")]
                if mine != [f"{sender} to {target} {n}" for n in range(WHISPERS)]:
                    raise DemoError(f"whispers from {sender} to {target} came out of order")
        if not self._console.is_terminal:
            self._console.print(self.table())
        times = sorted(ms for cast in self.casts.values() for ms in cast.acknowledged.values())
        median = times[len(times) // 2]
        return f"{len(times)} sent, acknowledged, in order, once; median {median:.1f} ms"

    async def _kill(self) -> str:
        self.casts["carol"].kill()
        await self._until(
            lambda: not self.casts["carol"].alive and not self._knows("alice", "carol")
        )
        return "the others noticed"

    async def _queue(self) -> str:
        for n in range(QUEUED):
            self.casts["alice"].order("whisper", to=self.casts["carol"].name, text=f"queued {n}")
        return f"{QUEUED} wait at alice"

    async def _return(self, tasks: asyncio.TaskGroup) -> str:
        self.casts["carol"].heard.clear()
        before = self.casts["carol"].name
        await self._start(tasks, ("carol",))
        if self.casts["carol"].name != before:
            raise DemoError("carol came back as somebody else")
        return "same long-term identity, new ephemeral one"

    async def _drain(self) -> str:
        wanted = [f"queued {n}" for n in range(QUEUED)]
        alice, carol = self.casts["alice"], self.casts["carol"]
        await self._until(
            lambda: len(carol.heard) >= QUEUED and all(t in alice.acknowledged for t in wanted)
        )
        if carol.heard != wanted:
            raise DemoError("what was queued came twice or out of order")
        return f"{QUEUED} of {QUEUED}, in order, once"

    async def _rotate(self) -> str:
        alice, bob = self.casts["alice"], self.casts["bob"]
        alice.order("stream", to=bob.name, chunks=CHUNKS, rotate_at=CHUNKS // 2)
        await self._until(lambda: bool(alice.streams and bob.streams))
        sent, got = alice.streams[0], bob.streams[0]
        if (sent["size"], sent["sha256"]) != (got["size"], got["sha256"]):
            raise DemoError("the stream arrived changed")
        if alice.rotations != 1:
            raise DemoError("the identity did not rotate")
        return f"{got['size'] / 2**20:.0f} MiB, same hash, one rotation in the middle"

    # What is seen

    def table(self) -> Table:
        """Who is connected to whom, by which path and suite."""
        table = Table(box=None, pad_edge=False)
        for title in ("node", "as", "connected to", "path"):
            table.add_column(title)
        labels = {cast.name: cast.label for cast in self.casts.values()}
        for cast in self.casts.values():
            known = [peer for peer in cast.peers if peer["name"] in labels]
            table.add_row(
                cast.label,
                cast.name if cast.alive else "away",
                " ".join(sorted(labels[peer["name"]] for peer in known)),
                ", ".join(sorted({peer["path"] for peer in known})),
            )
        suites = {peer["suite"] for cast in self.casts.values() for peer in cast.peers}
        table.caption = " ".join(["suite:", *sorted(suites)])
        return table

    def view(self) -> Group:
        """What a terminal shows: the connections, the steps done, and the one under way."""
        steps = [Text(f"  done  {done.step}: {done.detail}") for done in self.done]
        return Group(self.table(), Text(), *steps, Text(f"  ....  {self.now}"))


async def _perform(console: Console, folder: Path) -> tuple[Stage, str]:
    """Play, and say what went wrong, if anything did."""
    stage = Stage(console, folder)
    wrong = ""
    async with asyncio.TaskGroup() as tasks:
        try:
            if console.is_terminal:
                with Live(console=console, get_renderable=stage.view, refresh_per_second=8):
                    await stage.play(tasks)
            else:
                await stage.play(tasks)
        except DemoError as error:
            wrong = str(error)
        finally:
            for cast in stage.casts.values():
                await cast.stop()
    return stage, wrong


def run() -> int:
    """Show it; 0 if all of it truly happened, 1 if not."""
    console = Console()
    started = time.perf_counter()
    console.print("Six nodes, six processes, one network secret; nothing is scripted to succeed.\n")
    with tempfile.TemporaryDirectory(prefix="whispurr-demo-") as folder:
        stage, wrong = asyncio.run(_perform(console, Path(folder)))
    table = Table(title="What happened")
    for title in ("step", "what was seen", "seconds"):
        table.add_column(title, justify="right" if title == "seconds" else "left")
    for done in stage.done:
        table.add_row(done.step, done.detail, f"{done.seconds:.2f}")
    if wrong:
        table.add_row(stage.now, f"FAILED: {wrong}", "")
    console.print()
    console.print(table)
    console.print(f"{len(stage.done)} steps in {time.perf_counter() - started:.1f} s", end="\n\n")
    console.print(NEXT if not wrong else f"The demonstration failed: {wrong}", highlight=False)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run())
