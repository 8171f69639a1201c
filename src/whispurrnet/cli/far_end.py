"""The far end of `whispurr bench`: a node in a process of its own that counts and answers.

`python -m whispurrnet.cli.far_end LEVEL` tells its ticket on a line, and ends with its input.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from whispurrnet.node.node import open as open_node
from whispurrnet.node.peer import Request
from whispurrnet.node.settings import Settings

HANDSHAKES_PER_S = 100_000


def settings(level: int) -> Settings:
    """A node on loopback, alone: no other node sees or hears it."""
    return Settings().replace(
        listen=("/ip4/127.0.0.1/tcp/0",),
        lan={"enabled": False},
        gossip={"enabled": False},
        session={
            "level": level,
            "min_level": min(3, level),
            "handshakes_per_s_max": HANDSHAKES_PER_S,
        },
    )


def loop_factory() -> Any:
    """The loop that `whispurr up` takes."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def serve(level: int) -> None:
    """Count messages and bytes, and answer, until nobody is at the other end of the input."""
    messages = size = 0
    async with open_node(settings(level)) as node:
        loop = asyncio.get_running_loop()

        async def take_messages() -> None:
            nonlocal messages
            async for _ in node.messages():
                messages += 1

        async def take_streams() -> None:
            nonlocal size
            async for stream in node.streams():
                async for chunk in stream:
                    size += len(chunk)

        def counted(_: Request) -> bytes:
            return b"%d %d" % (messages, size)

        node.on_request("echo", lambda request: request.body)
        node.on_request("counted", counted)
        tasks = [asyncio.ensure_future(take_messages()), asyncio.ensure_future(take_streams())]
        print(node.ticket.text, flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(int(sys.argv[1])))
