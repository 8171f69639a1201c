"""What a stranger may do to the ports of a real node: anything, and it hears nothing.

Random bytes, half a handshake, one byte at a time, nothing at all: on the mesh port not one byte
comes back, the WebSocket says nothing but HTTP, honest peers are served all the while, and what
the strangers cost in memory is given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import uvloop
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

import whispurrnet
from whispurrnet.crypto.kex import X25519Key
from whispurrnet.errors import NetworkError
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.session import handshake
from whispurrnet.wire.address import Address, parse

RUNS = max(2_000, min(int(os.environ.get("FUZZ_RUNS", "2000")), 20_000))
AT_ONCE = 150
TIMEOUT_S = 0.4
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
QUIET = {"lan": {"enabled": False}, "port": 0}
PLACES = ("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws")


def hello(rng: Random, key: bytes | None) -> bytes:
    """A true first message, for the holder of a key or (None) for anybody."""
    own = Ephemeral.generate(rng.randbytes, time.time_ns() // 10**6)
    caller = handshake.Initiator(
        handshake.Config(),
        own,
        remote_key=key,
        expected_id=None,
        psk=None,
        binding=bytes(33),
        entropy=rng.randbytes,
        wall=lambda: time.time_ns() // 10**6,
    )
    (write,) = caller.handle(handshake.Begin(), 0.0)
    assert isinstance(write, handshake.Write)
    return write.data


def pieces(rng: Random, wrong: list[bytes]) -> list[bytes]:
    """What a stranger sends, and in which pieces."""
    head = [
        b"",
        b"",
        b"\x01\x03\x01\0",
        b"\x01\x05\x02\0",
        b"\x02\0\0\0",
        b"\x16\x03\x01",
        b"GET / HT",
    ]
    data = rng.choice(
        [
            b"",
            rng.choice(head) + rng.randbytes(rng.choice([0, 1, 60, 512, 1312, 1600])),
            rng.choice(head) + rng.randbytes(rng.choice([5_000, 200_000])),
            rng.choice(wrong),
            rng.choice(wrong)[: rng.randrange(1300)],
            rng.choice(wrong) + rng.randbytes(3000),
        ]
    )
    if rng.random() < 0.2 and data:
        step = max(1, len(data) // 20)
        return [data[start : start + step] for start in range(0, len(data), step)]
    return [data]


async def raw(address: Address, parts: list[bytes], *, patient: bool) -> bytes:
    """Send bytes to a port; everything that comes back until it is closed."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    heard = b""
    try:
        # uvloop raises a RuntimeError when the other side has closed in between
        with contextlib.suppress(OSError, RuntimeError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                if len(parts) > 1:
                    await asyncio.sleep(0.01)
            if patient:
                async with asyncio.timeout(10 * TIMEOUT_S + 5):
                    heard = await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return heard


async def framed(address: Address, parts: list[bytes]) -> bytes:
    """Send bytes inside WebSocket messages; every message that comes back."""
    heard = b""
    url = f"ws://{address.host}:{address.port}/ws"
    with contextlib.suppress(WebSocketException, OSError, EOFError):
        async with connect(url, compression=None, proxy=None, ping_interval=None) as socket:
            for part in parts:
                await socket.send(part)
            async for message in socket:
                heard += message if isinstance(message, bytes) else message.encode()
    return heard


def resident() -> int:
    """The memory of this process, in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Siege:
    """A node, an honest peer, and strangers."""

    def __init__(self, node: whispurrnet.Node, seed: int) -> None:
        self.node = node
        self.rng = Random(seed)
        self.tcp, self.ws = (parse(text) for text in node.listeners)
        other = X25519Key.generate(self.rng.randbytes).public
        self.wrong = [hello(self.rng, other), hello(self.rng, None)]
        self.met: Counter[str] = Counter()

    async def stranger(self, gate: asyncio.Semaphore) -> None:
        async with gate:
            parts = pieces(self.rng, self.wrong)
            kind = self.rng.choice(["raw", "raw", "hasty", "framed", "http"])
            self.met[kind] += 1
            match kind:
                case "raw":
                    assert await raw(self.tcp, parts, patient=True) == b"", (
                        "a stranger was answered"
                    )
                case "hasty":
                    assert await raw(self.tcp, parts, patient=False) == b""
                case "framed":
                    assert await framed(self.ws, parts) == b"", "a stranger was answered"
                case "http":
                    heard = await raw(self.ws, parts, patient=False)
                    assert heard[:5] in {b"", b"HTTP/"}

    async def round(self, count: int) -> int:
        """So many strangers; what the process holds afterwards."""
        gate = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(count):
                tasks.create_task(self.stranger(gate))
        async with asyncio.timeout(10):
            while self.node.debug()["links"] > 1:  # noqa: ASYNC110 - the honest peer's remains
                await asyncio.sleep(0.05)
        return resident()


async def siege(seed: int, count: int) -> None:
    session = {"handshake_timeout_s": TIMEOUT_S}
    async with (
        whispurrnet.open(listen=PLACES, session=session, **QUIET) as node,
        whispurrnet.open(listen=(), **QUIET) as friend,
        whispurrnet.open(listen=(), **QUIET) as late,
    ):
        peer = await friend.connect(node.ticket, timeout_s=10)
        under = Siege(node, seed)
        before = await under.round(count // 3)
        rounds = asyncio.create_task(under.round(count - count // 3))
        served = 0
        while not rounds.done():
            await asyncio.wait_for(peer.whisper(b"%d" % served).received(), 10)
            served += 1
            await asyncio.sleep(0.02)
        after = await rounds
        assert served > 20, "the honest peer was hardly served"
        assert after - before < 24 << 20, f"{(after - before) >> 10} KiB were not given back"
        assert node.state.value == "Listening"
        ticket = node.ticket
        for place in node.ticket.addresses:  # a newcomer is welcome at both ports
            one = whispurrnet.Ticket(
                static_key=ticket.static_key, addresses=(place,), expires_s=ticket.expires_s
            )
            known = await late.connect(one, timeout_s=10)
            await asyncio.wait_for(known.whisper(b"hello").received(), 10)
            await known.close()
        assert all(under.met[kind] for kind in ("raw", "hasty", "framed", "http"))


@pytest.mark.parametrize("loop", LOOPS)
def test_strangers_hear_nothing_and_cost_nothing(loop: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(siege(1, RUNS))


def test_who_knows_the_key_is_answered() -> None:
    """The control: the same sender, with the right key, does get bytes back."""

    async def main() -> None:
        async with whispurrnet.open(listen=PLACES[:1], **QUIET) as node:
            (text,) = node.listeners
            address = parse(text)
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(hello(Random(2), node.ticket.static_key))
            assert await asyncio.wait_for(reader.read(1), 10)
            writer.close()
            await writer.wait_closed()
            with pytest.raises(NetworkError):  # nobody there
                async with whispurrnet.open(listen=(), **QUIET) as other:
                    await other.connect("/ip4/127.0.0.1/tcp/1", timeout_s=2)

    asyncio.run(main())
