"""Through relays that are processes of their own: by TCP and WebSocket; killed, and looked into."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.interop.lab import HERE, ROOT, Actor, process

import whispurrnet
from whispurrnet.errors import NetworkError
from whispurrnet.wire.address import parse

STAY: dict[str, Any] = {"upgrade": False, "webrtc": "off"}
"""Nobody looks for a better path here."""

QUIET: dict[str, Any] = {
    "lan": {"enabled": False},
    "port": 0,
    "gossip": {"enabled": False},
    "nat": STAY,
}
LIMIT_S = 60
PLACES = {
    "tcp": "/ip4/127.0.0.1/tcp/0",
    "tls": "/ip4/127.0.0.1/tcp/0/tls",
    "ws": "/ip4/127.0.0.1/tcp/0/ws",
    "wss": "/ip4/127.0.0.1/tcp/0/wss",
}
EVERYWHERE = tuple(PLACES.values())
MARKER = b"nobody-but-bob-reads-this:"


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test under one deadline."""

    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await test()

    asyncio.run(limited())


@contextlib.asynccontextmanager
async def relay(*listen: str, **nat: Any) -> AsyncIterator[tuple[Actor, whispurrnet.Ticket]]:
    """A relay in a process of its own, and its ticket."""
    settings = QUIET | {
        "listen": list(listen or (PLACES["tcp"],)),
        "nat": {"relay": True, "relay_connects_per_minute": 1000} | nat,
    }
    actor = str(HERE / "actor.py")
    async with process(sys.executable, actor, json.dumps(settings), "uvloop", limit_s=5) as child:
        made = Actor(child)
        yield made, whispurrnet.Ticket.parse((await made.hear())["ticket"])


def by(ticket: whispurrnet.Ticket, transport: str) -> str:
    """The same ticket, with one of its addresses only."""
    (address,) = [text for text in ticket.addresses if parse(text).transport == transport]
    return whispurrnet.Ticket(
        static_key=ticket.static_key, addresses=(address,), expires_s=ticket.expires_s
    ).text


@contextlib.asynccontextmanager
async def reached_by(*relays: str, **more: Any) -> AsyncIterator[whispurrnet.Node]:
    """A node that listens nowhere, once it has its places."""
    nat = STAY | {"relays": relays} | more
    async with whispurrnet.open(listen=(), **QUIET | {"nat": nat}) as node:
        with contextlib.closing(node.events()) as feed:
            if len(node.stack.relaying.client.placed) < len(relays):
                async for event in feed:
                    if event["type"] == "relayed" and event["places"] >= len(relays):
                        break
        yield node


async def numbers(node: whispurrnet.Node, count: int) -> list[int]:
    """The next whispers, which are numbers."""
    found: list[int] = []
    async for message in node.messages():
        found.append(int(message.body))
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize(("near", "far"), [("tcp", "ws"), ("ws", "tcp"), ("wss", "tls")])
def test_tcp_and_websockets_meet_in_a_relay(near: str, far: str) -> None:
    async def test() -> None:
        async with (
            relay(*EVERYWHERE) as (_, ticket),
            reached_by(by(ticket, far)) as bob,
            whispurrnet.open(listen=(), **QUIET) as alice,
        ):
            way = next(t for t in bob.ticket.addresses if parse(t).transport == far)
            place = next(t for t in ticket.addresses if parse(t).transport == near)
            addressed = parse(place).through(ticket.static_key, bytes.fromhex(bob.id))
            assert parse(way).relay == ticket.static_key.hex()
            direct = whispurrnet.Ticket(
                static_key=bob.ticket.static_key, addresses=(str(addressed),)
            )
            peer = await alice.connect(direct)
            assert peer.path.startswith("relay")
            peer.whisper(b"1")
            assert await numbers(bob, 1) == [1]
            streams = bob.streams()
            stream = await peer.open_stream("bulk")
            body = bytes(range(256)) * 4096
            writing = asyncio.create_task(stream.write(body))
            async for got in streams:
                read = b""
                while len(read) < len(body):
                    read += await anext(got)
                assert read == body
                break
            await writing

    run(test)


def test_killing_the_relay_loses_no_whisper_while_there_is_another() -> None:
    async def test() -> None:
        async with (
            relay() as (one, first),
            relay() as (two, second),
            reached_by(first.text, second.text) as bob,
            whispurrnet.open(listen=(), **QUIET) as alice,
        ):
            peer = await alice.connect(bob.ticket)
            live = peer.record.live
            assert live is not None
            used = one if parse(live.address).relay == first.static_key.hex() else two
            reading = asyncio.create_task(numbers(bob, 1000))
            receipts = []
            for n in range(1000):
                receipts.append(peer.whisper(b"%d" % n, ttl_s=600))
                if n % 20 == 19:
                    await asyncio.sleep(0.01)
                if n == 500:
                    used.process.kill()
            assert await reading == list(range(1000))
            await asyncio.gather(*receipts)
            assert peer.path.startswith("relay")
            assert {receipt.state for receipt in receipts} == {"received"}

    run(test)


def test_who_is_not_there_any_more_is_said_by_the_relay() -> None:
    async def test() -> None:
        once = {"session": {"max_retries": 0}}
        async with (
            relay() as (_, ticket),
            whispurrnet.open(listen=(), **QUIET, **once) as alice,
        ):
            async with reached_by(ticket.text) as bob:
                gone = bob.ticket
            with pytest.raises(NetworkError, match="the relay 127.0.0.1:.*no place there"):
                await alice.connect(gone, timeout_s=20)

    run(test)


def test_a_quota_ends_a_circuit_and_a_new_one_goes_on() -> None:
    async def test() -> None:
        async with (
            relay(relay_bytes_max=400_000) as (_, ticket),
            reached_by(ticket.text) as bob,
            whispurrnet.open(listen=(), **QUIET) as alice,
        ):
            peer = await alice.connect(bob.ticket)
            receipts = [peer.whisper(b"%08d" % n * 125) for n in range(600)]
            found: list[int] = []
            async for message in bob.messages():
                found.append(int(message.body[:8]))
                if len(found) == 600:
                    break
            assert found == list(range(600))
            await asyncio.gather(*receipts)

    run(test)


def writable_memory(pid: int | str) -> bytes:
    """What a process holds in its writable memory."""
    found: list[bytes] = []
    maps = Path(f"/proc/{pid}/maps").read_text()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps.splitlines():
            place = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if place is None:
                continue
            start, end = (int(text, 16) for text in place.groups())
            with contextlib.suppress(OSError):
                memory.seek(start)
                while start < end and (part := memory.read(min(1 << 24, end - start))):
                    found.append(part)
                    start += len(part)
    return b"".join(found)


def what_stands_in(log: Path) -> bytes:
    """A log file."""
    return log.read_bytes()


def secrets_of(node: whispurrnet.Node) -> dict[str, bytes]:
    """What only the pair may know of its session, and what names it."""
    (record,) = [r for r in node.stack.roster if r.live and r.live.path == "relay"]
    assert record.live is not None
    keys = record.live.keys
    found: dict[str, bytes] = {
        "send": keys.send,
        "receive": keys.receive,
        "exporter": keys.exporter,
        "hash": keys.hash,
    }
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_relay_holds_nothing_of_what_it_carried(tmp_path: Path) -> None:
    """After 10,000 whispers its memory and its log hold no word, no key and no name of the pair."""

    async def test() -> None:
        log = tmp_path / "log"
        words = ["--set", "log.level=debug", "--set", "gateway.enabled=false"]
        with log.open("wb") as errors:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "whispurrnet", "--output", "json"),
                *("relay", "--listen", PLACES["tcp"], *words),
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
            )
            try:
                ticket: str = (await Actor(child).hear())["ticket"]
                await look(ticket, child.pid, log)
            finally:
                child.kill()
                await child.wait()

    async def look(ticket: str, pid: int, log: Path) -> None:
        async with (
            reached_by(ticket) as bob,
            whispurrnet.open(listen=(), **QUIET) as alice,
        ):
            peer = await alice.connect(bob.ticket)
            count = 0
            for n in range(10_000):
                peer.whisper(MARKER + b"%d" % n)
            async for message in bob.messages():
                assert message.body.startswith(MARKER)
                count += 1
                if count == 10_000:
                    break
            looked_for = {"marker": MARKER}
            for node in (alice, bob):
                own = node.stack.shared.identity
                for name, value in secrets_of(node).items():
                    looked_for[f"{node.name} {name}"] = value
                private = own.static._private.private_bytes_raw()
                looked_for[f"{node.name} secret"] = private
            memory, text = writable_memory(pid), what_stands_in(log)
            assert bytes.fromhex(alice.id) in memory  # the control: it knows whom it joins,
            assert MARKER in writable_memory("self")  # and what is there is found
            for what, value in looked_for.items():
                assert value not in memory, f"{what} in the memory of the relay"
                assert value not in text, f"{what} in the log of the relay"
            for node in (alice, bob):
                assert node.name.encode() not in text
                for known in (node.id, node.identity.static_key):
                    assert known.encode() not in text
                    assert bytes.fromhex(known) not in text
            assert b"127.0.0.1" not in text

    run(test)
