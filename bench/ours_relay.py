"""WhispurrNet through its own relay in the benchmark: both ends and the relay are processes.

`python -m bench.ours_relay FIGURE LEVEL` measures once and prints one JSON object;
`python -m bench.ours_relay relay|ends LEVEL [RELAY]` are the other processes, which it starts.
The two ways of bulk are measured in turn, three times each: their ratio is that of the sums of
their times.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import whispurrnet
from bench.common import result, scaled
from bench.ours import Results, has_place, pair, rss_kib, run, send_many, settings, stream_much

ROUNDS = 3
PAIRS = 1_000
"""Two thousand nodes, each of which knows the relay and one other."""


def _relay_settings(level: int) -> whispurrnet.Settings:
    """A relay that is held up by nothing but the machine."""
    return settings(level).replace(
        max_peers=3 * PAIRS,
        nat={"relay": True, "relay_bytes_per_s": 0, "relay_connects_per_minute": 100_000.0},
    )


async def relay(level: int) -> None:
    """The relay: prints its ticket, and for each line it reads how much memory it has, in KiB."""
    async with whispurrnet.open(_relay_settings(level)) as node:
        print(node.ticket.text, flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(rss_kib(), flush=True)
    os._exit(0)


async def ends(level: int, count: int, at: str) -> None:
    """Nodes that can be reached through a relay only; prints their tickets."""
    async with AsyncExitStack() as nodes:
        for _ in range(count):
            node = await nodes.enter_async_context(whispurrnet.open(_quiet(level, at)))
            await has_place(node)
            print(node.ticket.text, flush=True)
        print(flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        os._exit(0)


def _quiet(level: int, at: str) -> whispurrnet.Settings:
    """Nodes that say nothing to each other by themselves."""
    return settings(level, at).replace(gossip={"enabled": False}, port=0)


def _started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.ours_relay", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@asynccontextmanager
async def relayed(level: int) -> AsyncIterator[tuple[subprocess.Popen[str], str]]:
    """A relay in another process, and its ticket."""
    process = _started("relay", str(level))
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


async def relay_bulk(level: int) -> Results:
    """Megabytes a second over one stream through the relay, and as a share of a direct one."""
    spent = {"direct": 0.0, "relay": 0.0}
    size = 0
    async with relayed(level) as (_, ticket):
        for _ in range(ROUNDS):
            for way, at in (("direct", ""), ("relay", ticket)):
                async with pair(level, at) as (_node, peer, _ticket):
                    assert peer.path.startswith(way), peer.path
                    done = await stream_much(peer)
                    assert peer.path.startswith(way), peer.path
                size = done["count"]
                spent[way] += size / done["value"]
    return {
        "relay_bulk": result(ROUNDS * size / spent["relay"], ROUNDS * size),
        "relay_share": result(spent["direct"] / spent["relay"], ROUNDS * size),
    }


async def relay_oneway(level: int) -> Results:
    """Messages of 100 bytes a second through the relay."""
    async with relayed(level) as (_, ticket), pair(level, ticket) as (_node, peer, _ticket):
        sent = await send_many(peer)
        assert peer.path.startswith("relay"), peer.path
        return {"relay_oneway": sent}


async def relay_pairs(level: int) -> Results:
    """Megabytes of a relay that holds a thousand pairs who say nothing."""
    count = scaled(PAIRS, 2)
    async with relayed(level) as (process, ticket), AsyncExitStack() as nodes:
        far = _started("ends", str(level), str(count), ticket)
        try:
            assert far.stdout is not None
            tickets = list(iter(lambda: far.stdout.readline().strip(), ""))  # type: ignore[union-attr]
            for one in tickets:
                node = await nodes.enter_async_context(whispurrnet.open(_quiet(level, ticket)))
                peer = await node.connect(one, timeout_s=30)
                assert peer.path.startswith("relay"), peer.path
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            kib = int(process.stdout.readline())
        finally:
            far.kill()
            far.wait()
        return {"relay_pairs": result(kib * 1024 / 1e6, count)}


FIGURES: dict[str, Callable[[int], Awaitable[Results]]] = {
    "relay_bulk": relay_bulk,
    "relay_oneway": relay_oneway,
    "relay_pairs": relay_pairs,
}

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["relay", level_text]:
            run(relay(int(level_text)))
        case ["ends", level_text, count_text, relay_ticket]:
            run(ends(int(level_text), int(count_text), relay_ticket))
        case [figure, level_text]:

            async def main() -> None:
                print(json.dumps(await FIGURES[figure](int(level_text))))

            run(main())
        case _:
            sys.exit("say `python -m bench.ours_relay FIGURE LEVEL`")
