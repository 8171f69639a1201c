"""WhispurrNet's objects in the benchmark: processes on loopback, the public API of `Node`.

`python -m bench.ours_objects FIGURE LEVEL` measures once and prints one JSON object;
`python -m bench.ours_objects serve LEVEL KIND SIZE [LIMIT]` is a far end, which it starts itself.
What is sent is made of random bytes and lies in the folder for passing files; so does what arrives.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import whispurrnet
from bench.common import BODY, SCALE, result, scaled
from bench.ours import Results, run, settings

OBJECT_BYTES = 1 << 30
FOUR_BYTES = 1 << 28
FOUR_LIMIT = 20_000_000
SMALL_COUNT, SMALL_BYTES = 100_000, 1024
WHISPERS = 400
WHISPER_EVERY_S = 0.005


def random_file(folder: str, size: int) -> Path:
    """A file of random bytes."""
    path = Path(folder) / "source"
    with path.open("wb") as file:
        for _ in range(-(-size // (1 << 20))):
            file.write(os.urandom(min(1 << 20, size - file.tell())))
    return path


async def serve(level: int, kind: str, size: int, limit: int) -> None:
    """A far end that has one object, or a set of small ones, for everyone."""
    with tempfile.TemporaryDirectory() as folder:
        async with whispurrnet.open(settings(level)) as node:
            if kind == "one":
                path = random_file(folder, size)
                if limit:
                    seed = Path(folder) / "source"
                    with seed.open("wb") as file:  # all four have the same
                        for n in range(-(-size // (1 << 20))):
                            block = n.to_bytes(8, "big") * (1 << 17)
                            file.write(block[: size - file.tell()])
                    node.objects.limit(up=limit)
                name = (await node.objects.add(path)).oid
                node.objects.share(name, "everyone")
            else:
                shared = await node.objects.sets.new()
                name = shared.name
                oids = []
                for start in range(0, size, 1000):
                    part = [os.urandom(SMALL_BYTES) for _ in range(min(1000, size - start))]
                    oids += await node.objects.add_many(part)
                await node.objects.sets.put(name, *oids)
                node.objects.share(name, "everyone")
            node.on_request("echo", lambda request: request.body)
            print(json.dumps({"ticket": node.ticket.text, "name": name}), flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


@asynccontextmanager
async def served(
    level: int, kind: str, size: int, limit: int = 0, sources: int = 1
) -> AsyncIterator[tuple[whispurrnet.Node, list[whispurrnet.Peer], str]]:
    """A node here, connected to those that have it, and the name of what they have."""
    with tempfile.TemporaryDirectory() as folder:  # what they leave behind is gone with it
        far = [
            subprocess.Popen(  # noqa: ASYNC220 - there is nothing yet that it could hold up
                [sys.executable, "-m", "bench.ours_objects", "serve"]  # noqa: RUF005 - one a line
                + [str(level), kind, str(size), str(limit)],
                env=os.environ | {"TMPDIR": folder},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(sources)
        ]
        try:
            told: list[dict[str, str]] = []
            for process in far:
                assert process.stdout is not None
                told.append(json.loads(process.stdout.readline()))
            async with whispurrnet.open(settings(level)) as node:
                peers = [await node.connect(one["ticket"]) for one in told]
                yield node, peers, told[0]["name"]
        finally:
            for process in far:
                process.kill()
                process.wait()


async def object_one(level: int) -> Results:
    """Megabytes a second of one object from one source, until it is stored and whole."""
    size = scaled(OBJECT_BYTES, 1 << 20)
    async with served(level, "one", size) as (node, peers, oid):
        started = time.perf_counter()
        info = await node.objects.fetch(oid, sources=peers)
        taken = time.perf_counter() - started
        assert info.size == size and info.complete
        return {"object_one": result(size / taken / 1e6, size)}


async def object_four(level: int) -> Results:
    """Megabytes a second from four sources, each of which sends 20 MB/s at most."""
    size = scaled(FOUR_BYTES, 1 << 22)
    async with served(level, "one", size, FOUR_LIMIT, sources=4) as (node, peers, oid):
        started = time.perf_counter()
        await node.objects.fetch(oid, sources=peers)
        return {"object_four": result(size / (time.perf_counter() - started) / 1e6, size)}


async def object_sync(level: int) -> Results:
    """Seconds until 100,000 objects of 1 KiB are here too."""
    count = scaled(SMALL_COUNT, 100)
    async with served(level, "set", count) as (node, peers, name):
        started = time.perf_counter()
        shared = await node.objects.sets.follow(name, sources=peers)
        await shared.until(count)
        return {"object_sync": result(time.perf_counter() - started, count)}


async def object_whisper(level: int) -> Results:
    """Milliseconds by which the p99 of an acknowledged whisper is worse while an object comes."""

    async def p99(peer: whispurrnet.Peer, count: int) -> float:
        times = []
        for _ in range(count):
            started = time.perf_counter()
            await peer.whisper(BODY)
            times.append(time.perf_counter() - started)
            await asyncio.sleep(WHISPER_EVERY_S)
        return sorted(times)[int(len(times) * 0.99)] * 1e3

    count, size = scaled(WHISPERS, 20), scaled(4 * OBJECT_BYTES, 1 << 24)
    async with served(level, "one", size) as (node, peers, oid):
        before = await p99(peers[0], count)
        fetching = node.objects.fetch(oid, sources=peers)
        during = await p99(peers[0], count)
        note = "" if not fetching.over or SCALE < 1 else "the object came before the last whisper"
        fetching.stop()
        return {"object_whisper": result(during - before, count, note)}


FIGURES: dict[str, Any] = {
    "object_one": object_one,
    "object_four": object_four,
    "object_sync": object_sync,
    "object_whisper": object_whisper,
}

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", level_text, kind, size_text, limit_text]:
            run(serve(int(level_text), kind, int(size_text), int(limit_text)))
        case [figure, level_text]:

            async def main() -> None:
                print(json.dumps(await FIGURES[figure](int(level_text))))

            run(main())
        case _:
            sys.exit("say `python -m bench.ours_objects FIGURE LEVEL`")
