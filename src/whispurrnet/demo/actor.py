"""One node of the demonstration, in a process of its own.

It takes commands as lines of JSON on its standard input and tells what happens as lines of JSON
on its standard output; all else is the public API of the package.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
from typing import Any

import whispurrnet
from whispurrnet.errors import WhispurrError
from whispurrnet.node.stream import Stream


def tell(event: str, **facts: Any) -> None:
    """Tell the director."""
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def rows(node: whispurrnet.Node) -> list[dict[str, Any]]:
    """Who is connected, by which path and suite."""
    return [
        {"name": peer.name, "path": peer.path, "suite": peer.suite, "level": peer.level}
        for peer in node.peers
    ]


async def hear_whispers(node: whispurrnet.Node) -> None:
    """Tell of every whisper that arrives."""
    async for message in node.messages():
        tell("heard", sender=message.sender.name, text=message.body.decode())


async def hear_streams(node: whispurrnet.Node) -> None:
    """Read every stream to its end, and tell its length and hash."""
    async for stream in node.streams():
        digest, size = hashlib.sha256(), 0
        async for chunk in stream:
            digest.update(chunk)
            size += len(chunk)
        tell("streamed", size=size, sha256=digest.hexdigest())


async def watch(node: whispurrnet.Node) -> None:
    """Tell when peers come, go, or change their identity."""
    async for event in node.events():
        if event["type"] in {"peer_up", "peer_down"}:
            tell("peers", peers=rows(node))
        elif event["type"] in {"rotated", "peer_rotated"}:
            tell(event["type"])


async def whisper(node: whispurrnet.Node, to: str, text: str) -> None:
    """Whisper, and tell when the other side has it."""
    clock = asyncio.get_running_loop().time
    started = clock()
    try:
        await node.whisper(to, text.encode())
    except WhispurrError as error:
        tell("failed", text=text, why=str(error))
    else:
        tell("acknowledged", text=text, ms=round((clock() - started) * 1000, 2))


async def stream(node: whispurrnet.Node, to: str, chunks: int, rotate_at: int) -> None:
    """Send a stream, and take a new identity in the middle of it."""
    sending: Stream = await node.peer(to).open_stream("demo")
    digest, size = hashlib.sha256(), 0
    for n in range(chunks):
        if n == rotate_at:
            node.rotate()
        chunk = hashlib.sha256(n.to_bytes(4, "big")).digest() * 1024
        digest.update(chunk)
        size += len(chunk)
        await sending.write(chunk)
    sending.finish()
    tell("sent_stream", size=size, sha256=digest.hexdigest())


async def obey(node: whispurrnet.Node, line: bytes, tasks: asyncio.TaskGroup) -> None:
    """Carry out one command."""
    order = json.loads(line)
    match order.pop("do"):
        case "whisper":
            tasks.create_task(whisper(node, **order))
        case "stream":
            tasks.create_task(stream(node, **order))
        case unknown:
            tell("failed", text=unknown, why="no such command")


async def main() -> None:
    """Run a node with the settings on the command line until standard input ends."""
    settings = whispurrnet.Settings().replace(**json.loads(sys.argv[1]))
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    async with whispurrnet.open(settings) as node, asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(hear_whispers(node)),
            tasks.create_task(hear_streams(node)),
            tasks.create_task(watch(node)),
        ]
        tell("up", name=node.name, ticket=node.ticket.text, listening=node.listeners)
        while line := await reader.readline():
            await obey(node, line, tasks)
        for task in background:
            task.cancel()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
