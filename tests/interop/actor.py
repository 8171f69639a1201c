"""One node in a process of its own, for tests: orders and news are lines of JSON.

    python tests/interop/actor.py '{"listen": [...], ...}' asyncio|uvloop

It uses nothing but the public API.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from typing import Any

import whispurrnet
from whispurrnet.errors import WhispurrError
from whispurrnet.node.peer import Receipt


class Actor:
    """A node, and what it was told and asked."""

    def __init__(self, node: whispurrnet.Node) -> None:
        self.node = node
        self.heard = 0
        self.wrong: list[str] = []
        self.events: list[str] = []
        self.reasons: list[str] = []
        self.receipts: list[Receipt] = []
        self.peer: whispurrnet.Peer | None = None
        self.digest = hashlib.sha256()
        self.posting = asyncio.Lock()

    def tell(self, event: str, **facts: Any) -> None:
        """Say something to the test."""
        sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
        sys.stdout.flush()

    async def listen(self) -> None:
        """Check that what arrives is 0, 1, 2, ..."""
        async for message in self.node.messages():
            if message.body != b"%d" % self.heard and len(self.wrong) < 5:
                self.wrong.append(f"{message.body[:20]!r} instead of {self.heard}")
            self.digest.update(message.body + b",")
            self.heard += 1

    async def watch(self) -> None:
        """Count what happens to peers, and keep why sessions ended."""
        async for event in self.node.events(limit=100_000):
            if event["type"] != "message":
                self.events.append(event["type"])
            if event["type"] == "peer_down":
                self.reasons.append(event["reason"])

    async def post(self, first: int, count: int, every_s: float, burst: int) -> None:
        """Whisper numbers to the one peer, `burst` of them each `every_s`."""
        (peer,) = self.node.known_peers
        async with self.posting:  # one after the other: the numbers are the order
            for n in range(first, first + count):
                self.receipts.append(peer.whisper(b"%d" % n, ttl_s=3600))
                if every_s and n % burst == burst - 1:
                    await asyncio.sleep(every_s)

    def report(self) -> dict[str, Any]:
        """Everything that the test asserts on."""
        states: dict[str, int] = {}
        for receipt in self.receipts:
            states[receipt.state] = states.get(receipt.state, 0) + 1
        debug = self.node.debug()
        return {
            "heard": self.heard,
            "wrong": self.wrong,
            "digest": self.digest.hexdigest(),
            "states": states,
            "posted": len(self.receipts),
            "connected": len(self.node.peers),
            "known": len(self.node.known_peers),
            "counters": debug["stats"]["counters"],
            "epochs": [session["epoch"] for session in debug["sessions"]],
            "rtts": [peer.rtt_ms for peer in self.node.peers],
            "reasons": self.reasons,
            "events": {name: self.events.count(name) for name in set(self.events)},
            "loop": debug["loop"],
        }

    async def obey(self, order: dict[str, Any], tasks: asyncio.TaskGroup) -> dict[str, Any]:
        """Carry out one order; the answer."""
        match order.pop("do"):
            case "connect":
                try:
                    await self.node.connect(order["ticket"], timeout_s=order["timeout_s"])
                except WhispurrError as error:
                    return {"error": str(error)}
            case "post":
                tasks.create_task(self.post(**order))
            case "rotate":
                self.node.rotate()
            case "report":
                return self.report()
            case unknown:
                return {"error": f"no such order: {unknown}"}
        return {}


async def main() -> None:
    """Run until standard input ends."""
    settings = whispurrnet.Settings().replace(**json.loads(sys.argv[1]))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with whispurrnet.open(settings) as node, asyncio.TaskGroup() as tasks:
        actor = Actor(node)
        background = [tasks.create_task(actor.listen()), tasks.create_task(actor.watch())]
        actor.tell("up", ticket=node.ticket.text)
        while line := await reader.readline():
            actor.tell("done", **await actor.obey(json.loads(line), tasks))
        for task in background:
            task.cancel()


if __name__ == "__main__":
    if sys.argv[2] == "uvloop":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
