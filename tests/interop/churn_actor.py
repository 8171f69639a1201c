"""One node of the mesh that is killed and restarted, in a process of its own; see `test_churn`.

    python tests/interop/churn_actor.py '{"listen": [...], "bootstrap": [...], ...}'

It takes orders as lines of JSON and tells what happens as such; nearly all else is the public API.
Times are those of the clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import whispurrnet
from whispurrnet.gossip.envelope import expiry

EVENTS_MAX = 10_000


def tell(event: str, **facts: Any) -> None:
    """Say something to the test."""
    sys.stdout.write(json.dumps({"event": event, "at": time.monotonic(), **facts}) + "\n")
    sys.stdout.flush()


async def hear(node: whispurrnet.Node) -> None:
    """Tell of every broadcast."""
    async for message in node.messages():
        assert message.kind == "BROADCAST", message
        tell("heard", n=json.loads(message.body)["n"])


async def watch(node: whispurrnet.Node) -> None:
    """Tell who becomes a neighbour, and who is none any more."""
    async for event in node.events(limit=EVENTS_MAX):
        if event["type"] in {"neighbour", "neighbour_gone"}:
            tell(event["type"], peer=event["peer"])


async def publish(node: whispurrnet.Node, n: int, ttl_s: float) -> None:
    """Broadcast a number."""
    beside = [neighbour.peer.id for neighbour in node.neighbours()]
    sent = await node.broadcast(json.dumps({"n": n}).encode(), ttl_s=ttl_s)
    left_s = expiry(time.time(), ttl_s) - time.time()
    tell("published", n=n, id=sent.id, neighbours=beside, expires_at=time.monotonic() + left_s)


def report(node: whispurrnet.Node) -> None:
    """Tell what helps to find out why something was lost."""
    stats = [overlay.spread.stats for overlay in node.stack.gossiping.overlays.values()]
    counters = node.debug()["stats"]["counters"]
    tell(
        "report",
        neighbours=[neighbour.peer.id for neighbour in node.neighbours()],
        spread=stats,
        counters={name: n for name, n in counters.items() if n},
    )


async def main() -> None:
    """Run until standard input ends."""
    settings = whispurrnet.Settings().replace(**json.loads(sys.argv[1]))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with whispurrnet.open(settings) as node, asyncio.TaskGroup() as tasks:
        background = [tasks.create_task(hear(node)), tasks.create_task(watch(node))]
        tell("up", id=node.id)
        while line := await reader.readline():
            match json.loads(line):
                case {"do": "publish", "n": n, "ttl_s": ttl_s}:
                    tasks.create_task(publish(node, n, ttl_s))
                case {"do": "report"}:
                    report(node)
                case unknown:
                    raise AssertionError(unknown)
        for task in background:
            task.cancel()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
