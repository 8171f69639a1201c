"""One node of the demonstration, in a process of its own.

It takes commands as lines of JSON on its standard input and tells what happens as lines of JSON
on its standard output; all else is the public API of the package, except for the question whether
a message that was not for this node passed through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
from typing import Any

import whispurrnet
from whispurrnet.demo import hands
from whispurrnet.demo.hands import Hands
from whispurrnet.errors import WhispurrError
from whispurrnet.node.peer import Receipt
from whispurrnet.node.stream import Stream
from whispurrnet.node.topic import Topic

RECEIPTS: list[Receipt] = []
"""Of the whispers of a backlog."""

HANDS: list[Hands] = []
"""Those of this node."""


def tell(event: str, **facts: Any) -> None:
    """Tell the director."""
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def rows(node: whispurrnet.Node) -> list[dict[str, Any]]:
    """Who is connected, by which path and suite."""
    return [
        {"id": peer.id, "name": peer.name, "path": peer.path, "suite": peer.suite}
        | {"level": peer.level}
        for peer in node.peers
    ]


async def hear(node: whispurrnet.Node) -> None:
    """Tell of every whisper that arrives, and of what is for everyone, in the order they come."""
    async for message in node.messages():
        text = message.body.rstrip(b"\0").decode()
        if message.kind == "WHISPER":
            tell("heard", sender=message.sender_name, text=text)
        else:
            tell("told", by=message.kind, text=text)


async def listen(topic: Topic) -> None:
    """Tell of everything that resonates."""
    async for message in topic:
        tell("told", by=message.topic, text=message.body.decode())


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
        elif event["type"] == "rotated":
            tell("rotated", id=node.id)
        if event["type"] in {"neighbour", "neighbour_gone", "peer_rotated"}:
            tell("neighbours", ids=[near.peer.id for near in node.neighbours()])


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


async def spread(node: whispurrnet.Node, do: str, text: str, intent: str = "") -> None:
    """Spread a message, and tell its id and how many whispers waited here when it left."""
    body = text.encode()
    match do:
        case "resonate":
            sent = await node.resonate(intent, body)
        case "broadcast":
            sent = await node.broadcast(body)
        case _:
            sent = await node.emergency(body)
    queued = sum(receipt.state == "queued" for receipt in RECEIPTS)
    tell("spread", text=text, id=sent.id, neighbours=sent.neighbours, queued=queued)


def report(node: whispurrnet.Node, ids: list[str]) -> None:
    """Tell which of these messages were in the open here."""
    overlay = node.stack.gossiping.overlays[0]
    tell("report", carried=[id for id in ids if overlay.spread.has(bytes.fromhex(id))])


async def obey(
    node: whispurrnet.Node, line: bytes, tasks: asyncio.TaskGroup
) -> asyncio.Task[None] | None:
    """Carry out one command; the task that goes on until the end, if it began one."""
    order = json.loads(line)
    match order.pop("do"):
        case "whisper":
            tasks.create_task(whisper(node, **order))
        case "stream":
            tasks.create_task(stream(node, **order))
        case "backlog":
            peer, size = node.peer(order["to"]), order["size"]
            RECEIPTS.extend(
                peer.whisper(str(n).encode().ljust(size, b"\0")) for n in range(order["count"])
            )
        case "join":
            return tasks.create_task(listen(node.join(order["intent"])))
        case "resonate" | "broadcast" | "emergency" as do:
            tasks.create_task(spread(node, do, **order))
        case "give" | "take" | "go_on" as do:
            tasks.create_task(hands.order(HANDS[0], do, order))
        case "limit":
            node.objects.limit(up=order["up"])
        case "report":
            report(node, order["ids"])
        case unknown:
            tell("failed", text=unknown, why="no such command")
    return None


async def main() -> None:
    """Run a node with the settings on the command line until standard input ends."""
    settings = whispurrnet.Settings().replace(**json.loads(sys.argv[1]))
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    async with whispurrnet.open(settings) as node, asyncio.TaskGroup() as tasks:
        HANDS.append(Hands(node, tell))
        background = [
            tasks.create_task(hear(node)),
            tasks.create_task(hear_streams(node)),
            tasks.create_task(watch(node)),
        ]
        tell("up", id=node.id, name=node.name, ticket=node.ticket.text, listening=node.listeners)
        while line := await reader.readline():
            begun = await obey(node, line, tasks)
            if begun is not None:
                background.append(begun)
        for task in background:
            task.cancel()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
