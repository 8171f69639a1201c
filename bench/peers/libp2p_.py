"""py-libp2p 0.8.1 on trio: TCP, Noise and Yamux; never its default list, which ends in plaintext.

One-way messages and bulk are writes on one stream. Requests go back and forth on streams that
stay open, one for each that is in flight, which is faster than its one stream a request.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_pair
from libp2p.custom_types import TProtocol
from libp2p.io.utils import read_exactly
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise

from bench.common import (
    BODY,
    IN_FLIGHT,
    answer_questions,
    far_end,
    p50,
    result,
    say,
    scaled,
)

COUNT, ECHO = TProtocol("/bench/count/1"), TProtocol("/bench/echo/1")
HANDSHAKES, MESSAGES, ONE_AT_A_TIME, REQUESTS = 20, 3_000, 500, 3_000
BULK_BYTES = 64 << 20
WRITE_BYTES = 256 * 1024
"""The size of writes it is fastest with."""


def make_host() -> Any:
    """A host with Noise and nothing else."""
    pair = create_new_key_pair()
    noise = Noise(pair, noise_privkey=create_noise_pair().private_key)
    return new_host(key_pair=pair, sec_opt={NOISE: noise}, muxer_preference="YAMUX")


async def serve() -> None:
    """Count what comes on one protocol and echo what comes on the other."""
    host = make_host()
    got = {"bytes": 0}

    async def count(stream: Any) -> None:
        while data := await stream.read(WRITE_BYTES):
            got["bytes"] += len(data)

    async def echo(stream: Any) -> None:
        while True:
            await stream.write(await read_exactly(stream, len(BODY)))

    host.set_stream_handler(COUNT, count)
    host.set_stream_handler(ECHO, echo)
    async with host.run([multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        say({"address": str(host.get_addrs()[0])})
        threading.Thread(
            target=answer_questions, args=({"bytes": lambda: got["bytes"]},), daemon=True
        ).start()
        await trio.sleep_forever()


@asynccontextmanager
async def near() -> AsyncIterator[tuple[Any, Any, Any]]:
    """Our host, the far peer and its process."""
    with far_end("bench.peers.libp2p_") as far:
        host = make_host()
        async with host.run([]):
            yield host, info_from_p2p_addr(multiaddr.Multiaddr(far.address["address"])), far


async def handshake() -> dict[str, Any]:
    """Connect, one at a time; leaving, which takes it 0.2 s, is not counted."""
    async with near() as (host, peer, _):
        count = scaled(HANDSHAKES)
        taken = 0.0
        for _ in range(count):
            started = time.perf_counter()
            await host.connect(peer)
            taken += time.perf_counter() - started
            await host.disconnect(peer.peer_id)
        return {"handshake": result(count / taken, count, "its 0.2 s to disconnect left out")}


async def write(body: bytes, count: int) -> float:
    """How many seconds it takes until the far end has read so many writes on one stream."""
    async with near() as (host, peer, far):
        await host.connect(peer)
        stream = await host.new_stream(peer.peer_id, [COUNT])
        started = time.perf_counter()
        for _ in range(count):
            await stream.write(body)
        while await trio.to_thread.run_sync(far.ask, "bytes") < count * len(body):
            await trio.sleep(0.001)
        return time.perf_counter() - started


async def oneway() -> dict[str, Any]:
    """Messages on one stream, with their length in front."""
    count = scaled(MESSAGES)
    taken = await write(len(BODY).to_bytes(4, "big") + BODY, count)
    return {"oneway": result(count / taken, count)}


async def bulk() -> dict[str, Any]:
    """One stream, written in pieces."""
    count = scaled(BULK_BYTES // WRITE_BYTES)
    size = count * WRITE_BYTES
    return {"bulk": result(size / await write(bytes(WRITE_BYTES), count) / 1e6, size)}


async def rpc() -> dict[str, Any]:
    """Requests on open streams, one at a time and with 64 in flight."""
    async with near() as (host, peer, _):
        await host.connect(peer)

        async def request(stream: Any) -> None:
            await stream.write(BODY)
            assert await read_exactly(stream, len(BODY)) == BODY

        stream = await host.new_stream(peer.peer_id, [ECHO])
        times = []
        for _ in range(scaled(ONE_AT_A_TIME)):
            started = time.perf_counter()
            await request(stream)
            times.append(time.perf_counter() - started)
        each = scaled(REQUESTS) // IN_FLIGHT + 1
        streams = [await host.new_stream(peer.peer_id, [ECHO]) for _ in range(IN_FLIGHT)]

        async def worker(stream: Any) -> None:
            for _ in range(each):
                await request(stream)

        started = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for stream in streams:
                nursery.start_soon(worker, stream)
        count = each * IN_FLIGHT
        rate = count / (time.perf_counter() - started)
        return {"rpc_p50": p50(times), "rpc_64": result(rate, count)}


FIGURES = {"handshake": handshake, "oneway": oneway, "rpc": rpc, "bulk": bulk}

if __name__ == "__main__":
    if sys.argv[1] == "serve":
        trio.run(serve)
    else:
        say(trio.run(FIGURES[sys.argv[1]]))
