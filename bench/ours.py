"""WhispurrNet's side of the benchmark: two processes, TCP on loopback, the public API of `Node`.

`python -m bench.ours FIGURE LEVEL` measures once and prints one JSON object;
`python -m bench.ours serve LEVEL` is the far end, which it starts itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import whispurrnet
from bench.common import BODY, IN_FLIGHT, SCALE, WRITE_BYTES, p50, result, scaled

HANDSHAKES, ONEWAY, ACKED, REQUESTS = 300, 400_000, 60_000, 60_000
ONE_AT_A_TIME = 3_000
BULK_BYTES = 1 << 30
IMPORTS = 5
CONNECTIONS = 50
IDLE_PEERS, IDLE_S = 20, 10.0
SETTLE_S = 2.0

Results = dict[str, dict[str, Any]]


def run(main: Awaitable[object]) -> None:
    """Run on uvloop, as `whispurr up` does, or on asyncio where there is none."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)  # type: ignore[arg-type]
    else:
        uvloop.run(main)  # type: ignore[arg-type]


# fmt: off
def settings(level: int, relay: str = "") -> whispurrnet.Settings:
    """A node as the benchmark needs it: reachable on loopback, alone on the local network.

    Given the ticket of a relay, it is reachable through that one only.
    """
    return whispurrnet.Settings().replace(
        **{"listen": () if relay else ("/ip4/127.0.0.1/tcp/0",), "lan.enabled": False,
           "session.level": level, "session.min_level": min(3, level), "max_peers": 200,
           "session.handshakes_per_s_max": 100_000,
           "nat.relays": (relay,) if relay else (), "nat.upgrade": False}
    )
# fmt: on


def rss_kib() -> int:
    """Resident memory of this process, now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("this system does not tell VmRSS")


async def serve(level: int, relay: str = "") -> None:
    """The far end: counts, answers, and tells what it is asked; perhaps only through a relay."""
    counts = {"messages": 0, "bytes": 0}
    async with whispurrnet.open(settings(level, relay)) as node:

        async def take_messages() -> None:
            async for _ in node.messages():
                counts["messages"] += 1

        async def take(stream: object) -> None:
            async for chunk in stream:  # type: ignore[attr-defined]
                counts["bytes"] += len(chunk)
            stream.finish()  # type: ignore[attr-defined]

        async def take_streams() -> None:
            async for stream in node.streams():
                tasks.create_task(take(stream))

        async def wait_count(request: object) -> bytes:
            wanted = int(request.body)  # type: ignore[attr-defined]
            while counts["messages"] < wanted:
                await asyncio.sleep(0.001)
            return b"%d" % counts["messages"]

        node.on_request("echo", lambda request: request.body)
        node.on_request("count", wait_count)
        node.on_request("cpu", lambda _: repr(time.process_time()).encode())
        node.on_request("rss", lambda _: b"%d" % rss_kib())
        await has_place(node)
        print(node.ticket.text, flush=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(take_messages())
            tasks.create_task(take_streams())
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
            os._exit(0)


async def has_place(node: whispurrnet.Node) -> None:
    """Wait until the node can be reached: at once, unless that goes through a relay."""
    while not node.ticket.addresses:
        await asyncio.sleep(0.01)


@asynccontextmanager
async def pair(
    level: int, relay: str = ""
) -> AsyncIterator[tuple[whispurrnet.Node, whispurrnet.Peer, str]]:
    """A node here, connected to one in another process, and the ticket of that one.

    Args:
        level: Of security.
        relay: The ticket of the relay through which they meet, if they do not directly.
    """
    far = subprocess.Popen(  # noqa: ASYNC220 - there is nothing yet that it could hold up
        [sys.executable, "-m", "bench.ours", "serve", str(level), *([relay] if relay else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert far.stdout is not None
    ticket = far.stdout.readline().strip()
    try:
        async with whispurrnet.open(settings(level, relay)) as node:
            yield node, await node.connect(ticket), ticket
    finally:
        far.kill()
        far.wait()


async def handshake(level: int) -> Results:
    """Handshakes a second, one at a time: connect, greet, leave."""
    async with pair(level) as (node, first, ticket):
        await first.close()
        count = scaled(HANDSHAKES)
        started = time.perf_counter()
        for _ in range(count):
            peer = await node.connect(ticket)
            await peer.close()
        return {"handshake": result(count / (time.perf_counter() - started), count)}


async def oneway(level: int) -> Results:
    """Messages of 100 bytes a second, without receipts, until the far end has counted all."""
    async with pair(level) as (_, peer, _ticket):
        return {"oneway": await send_many(peer)}


async def send_many(peer: whispurrnet.Peer) -> dict[str, Any]:
    """How many a second."""
    count = scaled(ONEWAY)
    started = time.perf_counter()
    for _ in range(count):
        await peer.send(BODY)
    got = int(await peer.request("count", b"%d" % count, timeout_s=60.0))
    assert got == count, f"{got} of {count} arrived"
    return result(count / (time.perf_counter() - started), count)


async def many(total: int, work: Callable[[], Awaitable[object]]) -> dict[str, Any]:
    """How many a second, with 64 in flight."""
    each = total // IN_FLIGHT + 1

    async def worker() -> None:
        for _ in range(each):
            await work()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(IN_FLIGHT):
            tasks.create_task(worker())
    count = each * IN_FLIGHT
    return result(count / (time.perf_counter() - started), count)


async def acked(level: int) -> Results:
    """Whispers a second, each acknowledged, 64 in flight."""
    async with pair(level) as (_, peer, _ticket):

        async def whisper() -> None:
            await peer.whisper(BODY)

        return {"acked": await many(scaled(ACKED), whisper)}


async def rpc(level: int) -> Results:
    """Requests: the median of one at a time in microseconds, and how many a second with 64."""
    async with pair(level) as (_, peer, _ticket):
        times = []
        for _ in range(scaled(ONE_AT_A_TIME)):
            started = time.perf_counter()
            await peer.request("echo", BODY)
            times.append(time.perf_counter() - started)
        rate = await many(scaled(REQUESTS), lambda: peer.request("echo", BODY))
        return {"rpc_p50": p50(times), "rpc_64": rate}


async def bulk(level: int) -> Results:
    """Megabytes a second over one stream, until the far end has read all."""
    async with pair(level) as (_, peer, _ticket):
        return {"bulk": await stream_much(peer)}


async def stream_much(peer: whispurrnet.Peer) -> dict[str, Any]:
    """How many megabytes a second."""
    data = os.urandom(WRITE_BYTES)
    stream = await peer.open_stream("bulk")
    count = scaled(BULK_BYTES // WRITE_BYTES)
    started = time.perf_counter()
    for _ in range(count):
        await stream.write(data)
    stream.finish()
    assert await stream.read() == b""
    size = count * WRITE_BYTES
    return result(size / (time.perf_counter() - started) / 1e6, size)


async def import_(level: int) -> Results:
    """Seconds of `import whispurrnet` over those of a bare interpreter, the best of five.

    With bytecode, as pip installs it: sources that are compiled anew each time (where
    PYTHONDONTWRITEBYTECODE is set) would take more than twice as long.
    """

    count = scaled(IMPORTS)

    def best(code: str) -> float:
        times = []
        for _ in range(count + 1):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=env)
            times.append(time.perf_counter() - started)
        return min(times[1:])  # the first wrote the bytecode

    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        return {"import": result(best("import whispurrnet") - best("pass"), count)}


async def rss(level: int) -> Results:
    """Megabytes of an idle node process, and kilobytes of each further connection to it."""
    async with pair(level) as (_, peer, ticket):
        before = int(await peer.request("rss"))
        count = scaled(CONNECTIONS)
        async with asyncio.TaskGroup() as tasks:
            done = asyncio.Event()
            up = []

            async def guest() -> None:
                async with whispurrnet.open(settings(level)) as other:
                    await other.connect(ticket)
                    up.append(other)
                    await done.wait()

            for n in range(count):
                tasks.create_task(guest())
                while len(up) <= n:
                    await asyncio.sleep(0.005)
            after = int(await peer.request("rss"))
            done.set()
        return {
            "rss": result(before * 1024 / 1e6, 1),
            "rss_link": result((after - before) * 1024 / 1e3 / count, count),
        }


async def idle(level: int) -> Results:
    """Percent of one core that a node with 20 idle peers uses."""
    async with pair(level) as (_, peer, ticket), asyncio.TaskGroup() as tasks:
        done = asyncio.Event()

        async def guest() -> None:
            async with whispurrnet.open(settings(level)) as other:
                await other.connect(ticket)
                await done.wait()

        count = scaled(IDLE_PEERS, 2)
        for _ in range(count - 1):
            tasks.create_task(guest())
        await asyncio.sleep(SETTLE_S * min(1.0, SCALE))
        before = float(await peer.request("cpu"))
        idle_s = max(0.1, IDLE_S * min(1.0, SCALE))
        await asyncio.sleep(idle_s)  # the figure is what happens while nothing happens
        after = float(await peer.request("cpu"))
        done.set()
        return {"idle": result((after - before) / idle_s * 100, count)}


FIGURES: dict[str, Callable[[int], Awaitable[Results]]] = {
    "handshake": handshake,
    "oneway": oneway,
    "acked": acked,
    "rpc": rpc,
    "bulk": bulk,
    "import": import_,
    "rss": rss,
    "idle": idle,
}

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", level_text, *relay_tickets]:
            run(serve(int(level_text), *relay_tickets))
        case [figure, level_text]:

            async def main() -> None:
                print(json.dumps(await FIGURES[figure](int(level_text))))

            run(main())
        case _:
            sys.exit("say `python -m bench.ours FIGURE LEVEL`")
