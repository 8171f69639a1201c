"""bench: how fast two nodes on this machine are, measured now, in some ten seconds.

Two processes on loopback, the same public API that programs use. What is counted has arrived: the
far end says how much it has, and the clock stops then. One short run on a machine that does other
things too; docs/performance.md has the careful ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from whispurrnet.cli.context import current
from whispurrnet.cli.far_end import loop_factory, settings
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import note, say, show_json, table
from whispurrnet.node.node import Node
from whispurrnet.node.node import open as open_node
from whispurrnet.node.peer import Peer
from whispurrnet.version import VERSION

BODY = bytes(100)
CHUNK = bytes(256 * 1024)
IN_FLIGHT = 64
BATCH = 256
START_S, WAIT_S = 20.0, 30.0


class Figure(msgspec.Struct, frozen=True):
    """One measurement."""

    name: str
    value: float
    unit: str
    count: int
    """How many there were in the time."""
    seconds: float
    how: str


class Measured(msgspec.Struct, frozen=True):
    """All of them, and on what."""

    version: str
    python: str
    loop: str
    cores: int
    load: float | None
    """What else the machine did in the last minute: processes that wanted to run."""
    level: int
    figures: tuple[Figure, ...]


def run(
    *,
    seconds: Annotated[float, Parameter(help="How long in all, about.")] = 10.0,
    level: Annotated[Literal[1, 3, 5], Parameter(help="The security level.")] = 3,
) -> int:
    """How fast two nodes on this machine are: handshakes, messages, requests, bytes."""
    if not 0.5 <= seconds <= 600:
        raise Fault("That cannot be", "--seconds is from 0.5 to 600", "try 10", Exit.USAGE)
    if not current.json:
        note(f"  two nodes in two processes on loopback, about {seconds:g} s")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        measured = runner.run(measure(seconds, level))
    if current.json:
        show_json(measured)
    else:
        for line in lines(measured):
            say(line)
    return Exit.DONE


def lines(measured: Measured) -> list[str]:
    """The measurements, for people."""
    rows = [
        (
            one.name,
            f"{one.value:,.0f}" if one.value >= 100 else f"{one.value:.1f}",
            one.unit,
            one.how,
        )
        for one in measured.figures
    ]
    load = f", load {measured.load:.1f}" if measured.load is not None else ""
    about = f"whispurr {measured.version}, Python {measured.python}, {measured.loop}"
    return [
        *table(("figure", "value", "unit", "how"), rows),
        f"  {about}, {measured.cores} cores{load}, level {measured.level}",
        "  one short run on loopback: a network adds its own latency, and other programs disturb",
    ]


async def measure(seconds: float, level: int) -> Measured:
    """Measure everything, about as long as asked."""
    each_s = seconds / 5
    async with _far_end(level) as ticket, open_node(settings(level).replace(listen=())) as node:
        figures = [await _handshakes(node, ticket, each_s)]
        peer = await node.connect(ticket)
        figures.append(await _latency(peer, each_s / 2))
        figures.append(await _requests(peer, each_s))
        figures.append(await _oneway(peer, each_s))
        figures.append(await _bulk(peer, each_s))
    loads = os.getloadavg() if hasattr(os, "getloadavg") else None
    return Measured(
        version=VERSION,
        python=platform.python_version(),
        loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
        cores=os.cpu_count() or 1,
        load=round(loads[0], 2) if loads else None,
        level=level,
        figures=tuple(figures),
    )


@contextlib.asynccontextmanager
async def _far_end(level: int) -> AsyncIterator[str]:
    """Another node in another process; gives its ticket."""
    command = (sys.executable, "-m", "whispurrnet.cli.far_end", str(level))
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin and process.stdout
    try:
        try:
            async with asyncio.timeout(START_S):
                ticket = (await process.stdout.readline()).decode().strip()
        except TimeoutError:
            ticket = ""
        if not ticket:
            raise Fault("The far end did not start", "", "see `whispurr doctor`")
        yield ticket
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _repeat(work: Callable[[], Awaitable[object]], seconds: float) -> tuple[int, float]:
    """How often in that time, and how long it truly took."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        await work()
        count += 1
    return count, time.perf_counter() - started


async def _handshakes(node: Node, ticket: str, seconds: float) -> Figure:
    async def once() -> None:
        peer = await node.connect(ticket)
        await peer.close()

    count, took_s = await _repeat(once, seconds)
    return _figure("handshake", count, took_s, "1/s", "one at a time: connect, greet, leave")


async def _latency(peer: Peer, seconds: float) -> Figure:
    spans: list[float] = []

    async def once() -> None:
        started = time.perf_counter()
        await peer.request("echo", BODY)
        spans.append(time.perf_counter() - started)

    count, took_s = await _repeat(once, seconds)
    middle = statistics.median(spans) * 1e6
    return Figure("rpc latency", middle, "µs", count, took_s, "median of requests one at a time")


async def _requests(peer: Peer, seconds: float) -> Figure:
    async def worker() -> int:
        return (await _repeat(lambda: peer.request("echo", BODY), seconds))[0]

    started = time.perf_counter()
    counts = await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    took_s = time.perf_counter() - started
    return _figure("rpc", sum(counts), took_s, "1/s", f"100 bytes, {IN_FLIGHT} in flight")


async def _oneway(peer: Peer, seconds: float) -> Figure:
    async def batch() -> None:
        for _ in range(BATCH):
            await peer.send(BODY)

    before = (await _counted(peer))[0]
    started = time.perf_counter()
    count = (await _repeat(batch, seconds))[0] * BATCH
    await _until(peer, lambda counted: counted[0] - before >= count)
    took_s = time.perf_counter() - started
    return _figure("oneway", count, took_s, "1/s", "100 bytes, no receipts, until all arrived")


async def _bulk(peer: Peer, seconds: float) -> Figure:
    before = (await _counted(peer))[1]
    stream = await peer.open_stream("bulk")
    started = time.perf_counter()
    sent = (await _repeat(lambda: stream.write(CHUNK), seconds))[0] * len(CHUNK)
    stream.finish()
    await _until(peer, lambda counted: counted[1] - before >= sent)
    took_s = time.perf_counter() - started
    return Figure(
        "bulk", sent / took_s / 1e6, "MB/s", sent, took_s, "one stream, until all arrived"
    )


async def _counted(peer: Peer) -> tuple[int, int]:
    """How many messages and bytes of streams have arrived there."""
    messages, size = (await peer.request("counted", timeout_s=WAIT_S)).split()
    return int(messages), int(size)


async def _until(peer: Peer, true: Callable[[tuple[int, int]], bool]) -> None:
    ends = time.monotonic() + WAIT_S
    while not true(await _counted(peer)):
        if time.monotonic() > ends:
            raise Fault("Not all arrived", f"{WAIT_S:g} s passed", "see `whispurr doctor`")
        await asyncio.sleep(0.001)


def _figure(name: str, count: int, seconds: float, unit: str, how: str) -> Figure:
    return Figure(name, count / seconds, unit, count, seconds, how)
