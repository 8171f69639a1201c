"""A Python node in a process of its own, for tests in JavaScript: orders and news are JSON lines.

    python browser/test/python_node.py '{"listen": ["/ip4/127.0.0.1/tcp/0/ws"], ...}'

It uses nothing but the public API.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from typing import Any

import whispurrnet


def tell(**facts: Any) -> None:
    """Say something to the test."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def listen(node: whispurrnet.Node) -> None:
    """Tell what arrives; long bodies by their hash."""
    async for message in node.messages():
        body = message.body
        tell(
            event="whisper",
            size=len(body),
            text=body.decode("latin-1") if len(body) < 200 else "",
            sha256=hashlib.sha256(body).hexdigest(),
        )
        message.mark_read()


topics: list[asyncio.Task[None]] = []


async def hear(topic: whispurrnet.Topic) -> None:
    """Tell what resonates."""
    async for message in topic:
        tell(event="resonance", text=message.body.decode(), strength=message.strength)


async def watch(node: whispurrnet.Node) -> None:
    """Tell of peers."""
    async for event in node.events(limit=100_000):
        if event["type"].startswith(("peer", "path")):
            tell(event=event["type"])


async def obey(node: whispurrnet.Node, order: dict[str, Any]) -> dict[str, Any]:
    """Carry out one order."""
    match order["do"]:
        case "whisper":
            body = order["text"].encode() * order.get("times", 1)
            receipt = node.whisper(node.peers[-1], body)
            async with asyncio.timeout(20):
                await receipt.received()
            return {"sha256": hashlib.sha256(body).hexdigest()}
        case "ask":
            answer = await node.peers[-1].request(
                order["name"], order["text"].encode(), timeout_s=5
            )
            return {"text": answer.decode()}
        case "connect":
            peer = await node.connect(order["ticket"], timeout_s=20)
            return {"path": peer.path}
        case "stream":
            try:
                async with asyncio.timeout(5):
                    stream = await node.peers[-1].open_stream("x")
                    await stream.write(b"hello")
                    return {"got": (await stream.read()).decode()}
            except whispurrnet.errors.WhispurrError as error:
                return {"error": str(error)}
        case "join":
            topic = node.join(
                order["intent"], key=bytes.fromhex(order["key"]) if "key" in order else None
            )
            topics.append(asyncio.create_task(hear(topic)))
            return {}
        case "resonate":
            key = bytes.fromhex(order["key"]) if "key" in order else None
            await node.resonate(order["intent"], order["text"].encode(), key=key, signed=True)
            return {}
        case "emergency":
            await node.emergency(order["text"].encode())
            return {}
        case "register":
            node.register(order["name"])
            return {}
        case "ticket":
            return {"ticket": node.ticket.text}
        case "rotate":
            node.rotate()
            return {}
        case "drop":
            for peer in list(node.peers):
                await peer.disconnect()
            return {}
        case "paths":
            return {"paths": [peer.path for peer in node.peers]}
        case "report":
            sessions = node.debug()["sessions"]
            return {
                "sessions": json.loads(json.dumps(sessions, default=str)),
                "peers": len(node.peers),
            }
    return {"error": "no such order"}


async def main() -> None:
    """Run until standard input ends."""
    settings = whispurrnet.Settings().replace(**json.loads(sys.argv[1]))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with whispurrnet.open(settings) as node:
        node.on_request("shout", lambda request: request.body.upper())
        tasks = [asyncio.create_task(listen(node)), asyncio.create_task(watch(node))]
        tell(
            event="up",
            ticket=node.ticket.text,
            id=node.id.hex() if isinstance(node.id, bytes) else str(node.id),
        )
        while line := await reader.readline():
            try:
                tell(event="done", **await obey(node, json.loads(line)))
            except Exception as error:  # noqa: BLE001 - the test is to see what went wrong
                tell(event="done", error=f"{type(error).__name__}: {error}")
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
