"""A node behind a NAT, for the laboratory: orders and news are lines of JSON.

    python tests/interop/nat_actor.py '{"nat": {...}}' asyncio

It uses nothing but the public API. Its messages are counted, and that they are in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

import msgspec

import whispurrnet
from whispurrnet.errors import WhispurrError


class Actor:
    """A node, and what it was told and asked."""

    def __init__(self, node: whispurrnet.Node) -> None:
        self.node = node
        self.heard: list[bytes] = []
        self.receipts: list[Any] = []
        self.paths: list[tuple[float, str]] = []

    def tell(self, event: str, **facts: Any) -> None:
        """Say something to the test."""
        sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
        sys.stdout.flush()

    async def listen(self) -> None:
        """Keep what arrives."""
        async for message in self.node.messages():
            self.heard.append(message.body)

    async def watch(self) -> None:
        """Keep how peers are reached, and since when."""
        async for event in self.node.events(limit=100_000):
            if event["type"] in {"peer_up", "path_changed", "peer_down"}:
                self.paths.append((time.monotonic(), event.get("path") or event["type"]))

    async def placed(self, relays: int, timeout_s: float) -> dict[str, Any]:
        """Wait until this node can be reached through so many relays; its ticket."""
        async with asyncio.timeout(timeout_s):
            while sum("/relay/" in text for text in self.node.ticket.addresses) < relays:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return {"ticket": self.node.ticket.text, "addresses": list(self.node.ticket.addresses)}

    async def first(self, ticket: str) -> dict[str, Any]:
        """Reach a stranger and whisper to it; how long it took until it had the words."""
        began = time.monotonic()
        peer = await self.node.connect(ticket, timeout_s=20)
        path = peer.path
        await peer.whisper(b"first").received()
        return {"seconds": time.monotonic() - began, "path": path}

    async def path(self, unlike: str, timeout_s: float) -> dict[str, Any]:
        """Wait until the one peer is reached otherwise; the path, and what was tried."""
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.peer.path.startswith(unlike):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        return {"path": self.peer.path, "seconds": time.monotonic() - began, **self.tried()}

    def tried(self) -> dict[str, Any]:
        """What was tried for the one peer."""
        attempts = self.node.stack.paths.attempts(self.peer.handle)
        tries = self.node.stack.paths.tries(self.peer.handle)
        return {"attempts": [msgspec.to_builtins(one) for one in attempts], "tries": tries}

    @property
    def peer(self) -> whispurrnet.Peer:
        """The one peer that is no relay."""
        (peer,) = (one for one in self.node.known_peers if one.id not in self.relays)
        return peer

    relays: tuple[str, ...] = ()

    async def post(self, count: int, pace: int = 0) -> dict[str, Any]:
        """Whisper numbers to the one peer, `pace` a second; how long until it had them all."""
        began = time.monotonic()
        receipts = []
        for n in range(count):
            receipts.append(self.peer.whisper(b"%d" % n, ttl_s=600))
            if pace and n % 10 == 9:
                await asyncio.sleep(10 / pace)
        await asyncio.gather(*(receipt.received() for receipt in receipts))
        return {"seconds": time.monotonic() - began}

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one order; the answer."""
        try:
            match order.pop("do"):
                case "placed":
                    return await self.placed(**order)
                case "first":
                    return await self.first(**order)
                case "path":
                    return await self.path(**order)
                case "post":
                    return await self.post(**order)
                case "relays":
                    self.relays = tuple(order["ids"])
                    return {}
                case "reach":
                    peer = self.peer
                    found = await self.node.nat.reach(peer, order["method"], timeout_s=15)
                    return {"reached": msgspec.to_builtins(found)}
                case "probe":
                    found = await self.node.nat.probe()
                    return {"report": msgspec.to_builtins(found)}
                case "report":
                    return {
                        "heard": [body.decode() for body in self.heard],
                        "paths": self.paths,
                        "peers": [(peer.name, peer.path) for peer in self.node.known_peers],
                        "counters": self.node.debug()["stats"]["counters"],
                    }
                case unknown:
                    return {"error": f"no such order: {unknown}"}
        except (WhispurrError, TimeoutError) as error:
            return {"error": f"{type(error).__name__}: {error}"}


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
        actor.tell("up", id=node.id, ticket=node.ticket.text)
        while line := await reader.readline():
            actor.tell("done", **await actor.obey(json.loads(line)))
        for task in background:
            task.cancel()


if __name__ == "__main__":
    if sys.argv[2] == "uvloop":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
