"""iroh 1.2.0 by its Python binding: QUIC with TLS 1.3, direct, without relays.

A message of one-way traffic is one `write_all` on one stream, with its length in front; a request
is a stream of its own, which is how iroh's own protocols ask.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import iroh

from bench.common import (
    BODY,
    IN_FLIGHT,
    WRITE_BYTES,
    answer_questions,
    far_end,
    p50,
    result,
    say,
    scaled,
)

ALPN = b"whispurrnet-bench"
HANDSHAKES, MESSAGES, ONE_AT_A_TIME, REQUESTS = 150, 10_000, 1_000, 6_000
BULK_BYTES = 16 << 20
READ_BYTES = 1 << 20
HEAD = len(BODY).to_bytes(4, "big")


async def bind() -> iroh.Endpoint:
    """An endpoint on loopback, which knows nobody."""
    iroh.iroh_ffi.uniffi_set_event_loop(asyncio.get_running_loop())
    return await iroh.Endpoint.bind(
        iroh.EndpointOptions(
            preset=iroh.preset_minimal(),
            bind_addr="127.0.0.1:0",
            alpns=[ALPN],
            relay_mode=iroh.RelayMode.disabled(),
        )
    )


async def serve() -> None:
    """Count what comes on one-way streams and echo what comes on the others."""
    endpoint = await bind()
    got = {"bytes": 0}

    async def count(stream: Any) -> None:
        while data := await stream.read(READ_BYTES):
            got["bytes"] += len(data)

    async def counts(connection: Any) -> None:
        while True:
            tasks.create_task(count(await connection.accept_uni()))

    async def echo(both: Any) -> None:
        await both.send().write_all(await both.recv().read_to_end(READ_BYTES))
        await both.send().finish()

    async def take(connection: Any) -> None:
        counting = asyncio.create_task(counts(connection))
        try:
            while True:
                tasks.create_task(echo(await connection.accept_bi()))
        except iroh.IrohError:
            counting.cancel()  # the near end has left

    async with asyncio.TaskGroup() as tasks:
        say({"id": str(endpoint.id()), "addresses": endpoint.bound_sockets()})
        threading.Thread(
            target=answer_questions, args=({"bytes": lambda: got["bytes"]},), daemon=True
        ).start()
        while (incoming := await endpoint.accept_next()) is not None:
            connection = await (await incoming.accept()).connect()
            tasks.create_task(take(connection))


@asynccontextmanager
async def near() -> AsyncIterator[tuple[Any, Any, Any]]:
    """Our endpoint, the far one's address, and the far process."""
    with far_end("bench.peers.iroh_") as far:
        address = iroh.EndpointAddr(
            iroh.EndpointId.from_string(far.address["id"]), None, far.address["addresses"]
        )
        yield await bind(), address, far


async def handshake() -> dict[str, Any]:
    """Connect and close, one at a time."""
    async with near() as (endpoint, address, _):
        count = scaled(HANDSHAKES)
        started = time.perf_counter()
        for _ in range(count):
            connection = await endpoint.connect(address, ALPN)
            connection.close(0, b"")
        return {"handshake": result(count / (time.perf_counter() - started), count)}


async def until(far: Any, wanted: int) -> None:
    """Wait until the far end has read that many bytes."""
    while await asyncio.to_thread(far.ask, "bytes") < wanted:
        await asyncio.sleep(0.001)


async def oneway() -> dict[str, Any]:
    """Messages on one stream."""
    async with near() as (endpoint, address, far):
        connection = await endpoint.connect(address, ALPN)
        stream = await connection.open_uni()
        count = scaled(MESSAGES)
        started = time.perf_counter()
        for _ in range(count):
            await stream.write_all(HEAD + BODY)
        await until(far, count * len(HEAD + BODY))
        return {"oneway": result(count / (time.perf_counter() - started), count)}


async def rpc() -> dict[str, Any]:
    """Requests, each on a stream of its own."""
    async with near() as (endpoint, address, _):
        connection = await endpoint.connect(address, ALPN)

        async def request() -> None:
            both = await connection.open_bi()
            await both.send().write_all(BODY)
            await both.send().finish()
            assert await both.recv().read_to_end(READ_BYTES) == BODY

        times = []
        for _ in range(scaled(ONE_AT_A_TIME)):
            started = time.perf_counter()
            await request()
            times.append(time.perf_counter() - started)
        each = scaled(REQUESTS) // IN_FLIGHT + 1

        async def worker() -> None:
            for _ in range(each):
                await request()

        started = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        count = each * IN_FLIGHT
        rate = count / (time.perf_counter() - started)
        return {"rpc_p50": p50(times), "rpc_64": result(rate, count)}


async def bulk() -> dict[str, Any]:
    """One stream, written in pieces."""
    async with near() as (endpoint, address, far):
        connection = await endpoint.connect(address, ALPN)
        stream = await connection.open_uni()
        data = bytes(WRITE_BYTES)
        count = scaled(BULK_BYTES // WRITE_BYTES)
        started = time.perf_counter()
        for _ in range(count):
            await stream.write_all(data)
        await until(far, count * WRITE_BYTES)
        size = count * WRITE_BYTES
        return {"bulk": result(size / (time.perf_counter() - started) / 1e6, size)}


FIGURES = {"handshake": handshake, "oneway": oneway, "rpc": rpc, "bulk": bulk}

if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        say(asyncio.run(FIGURES[sys.argv[1]]()))
