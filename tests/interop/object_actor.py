"""One node that has and fetches objects, in a process of its own: it speaks in lines of JSON.

    python -m tests.interop.object_actor '{"listen": [...], "objects": {"folder": ...}, ...}'

It uses nothing but the public API. It can be killed at any moment; an answer
to an order means that it is carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import whispurrnet
from whispurrnet.errors import WhispurrError
from whispurrnet.node.fetching import Fetching

WHISPER_EVERY_S = 0.01


def tell(**facts: Any) -> None:
    """Say something to the test."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def peak_mb() -> float:
    """The most memory this process ever had, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


class Actor:
    """A node, and what it fetches."""

    def __init__(self, node: whispurrnet.Node) -> None:
        self.node = node
        self.fetching: Fetching | None = None
        self.began = 0.0

    async def add(self, path: str, to: str = "everyone") -> dict[str, Any]:
        """Keep a file where it is, and share it."""
        began = time.perf_counter()
        info = await self.node.objects.add(Path(path))
        cap = self.node.objects.share(info.oid, to)
        seconds = time.perf_counter() - began
        return {"oid": info.oid, "cap": cap.hex() if cap else "", "seconds": seconds}

    async def fetch(
        self, tickets: list[str], oid: str, cap: str = "", timeout_s: float = 30.0
    ) -> dict[str, Any]:
        """Begin to get an object from those nodes."""
        peers = [await self.node.connect(text, timeout_s=timeout_s) for text in tickets]
        self.began = time.perf_counter()
        self.fetching = self.node.objects.fetch(oid, sources=peers, cap=bytes.fromhex(cap) or None)
        return {}

    async def source(self, ticket: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """Get it from this node, too."""
        assert self.fetching is not None
        self.fetching.add(await self.node.connect(ticket, timeout_s=timeout_s))
        return {}

    async def pace(self, skip_s: float, for_s: float) -> dict[str, Any]:
        """How fast the object comes, in bytes a second, once it has come for a while."""
        assert self.fetching is not None
        seen: list[tuple[float, int]] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(skip_s + for_s):
                async for now in self.fetching.progress():
                    at = time.perf_counter()
                    if at - self.began >= skip_s:
                        seen.append((at, now.verified))
        if len(seen) < 2:
            return {"bps": 0.0}
        (from_s, first), (to_s, last) = seen[0], seen[-1]
        return {"bps": (last - first) / (to_s - from_s), "seconds": to_s - from_s}

    async def arrived(self) -> dict[str, Any]:
        """Wait until the fetch is over; how long it took, or why it failed."""
        assert self.fetching is not None
        try:
            info = await self.fetching
        except WhispurrError as error:
            return {"kind": type(error).__name__, "why": str(error)}
        taken = time.perf_counter() - self.began
        return {"seconds": taken, "size": info.size, "complete": info.complete}

    async def whispers(self, count: int, peer: int = 0) -> dict[str, Any]:
        """Whisper one after the other and wait for each; the times in milliseconds, sorted."""
        times = []
        for _ in range(count):
            began = time.perf_counter()
            await self.node.peers[peer].whisper(b"x" * 100)
            times.append((time.perf_counter() - began) * 1e3)
            await asyncio.sleep(WHISPER_EVERY_S)
        return {"times": sorted(times)}

    def report(self) -> dict[str, Any]:
        """How it is doing."""
        objects, now = self.node.objects, self.fetching.now if self.fetching else None
        return {
            "peak_mb": peak_mb(),
            "verified": now.verified if now else 0,
            "waiting": now.waiting if now else "",
            "blamed": len(now.blamed) if now else 0,
            "over": self.fetching.over if self.fetching else True,
            "notes": objects.notes,
            "peers": len(self.node.peers),
        }

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one order; the answer."""
        objects = self.node.objects
        match order.pop("do"):
            case "add":
                return await self.add(**order)
            case "fetch":
                return await self.fetch(**order)
            case "source":
                return await self.source(**order)
            case "arrived":
                return await self.arrived()
            case "whispers":
                return await self.whispers(**order)
            case "pace":
                return await self.pace(**order)
            case "report":
                return self.report()
            case "stop":
                assert self.fetching is not None
                self.fetching.stop()
            case "limit":
                objects.limit(**order)
            case "export":
                await objects.export(order["oid"], order["to"])
            case "list":
                return {"objects": [[one.oid, one.complete] for one in await objects.list()]}
            case unknown:
                raise AssertionError(unknown)
        return {}


async def main(made: type[Actor] = Actor) -> None:
    """Run until standard input ends."""
    settings = whispurrnet.Settings().replace(**json.loads(sys.argv[1]))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with whispurrnet.open(settings) as node:
        actor = made(node)
        tell(event="up", ticket=node.ticket.text, notes=node.objects.notes)
        while line := await reader.readline():
            try:
                tell(event="done", **await actor.obey(json.loads(line)))
            except WhispurrError as error:
                tell(error=str(error), kind=type(error).__name__)
        if actor.fetching is not None:
            actor.fetching.stop()
            with contextlib.suppress(WhispurrError):
                await actor.fetching


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
