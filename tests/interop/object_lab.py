"""What the tests of objects over real sessions have in common: files, actors, places of their own.

A place is a network namespace with nothing but loopback in it, so that every byte that passes can
be counted by the kernel, also those that a killed process had on its way.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

from tests.interop.lab import Actor, process, sh

MB = 1_000_000
MIB = 1 << 20
QUIET: dict[str, Any] = {"lan": {"enabled": False}, "gateway": {"enabled": False}, "port": 0}


def random_file(path: Path, size: int, seed: int = 0) -> str:
    """Make a file that no file system and no compression makes smaller; its SHA-256."""
    rng, digest = Random(f"{seed} {size}"), hashlib.sha256()
    block = bytearray(rng.randbytes(MIB))
    with path.open("wb") as file:
        for n in range(-(-size // MIB)):
            block[:8] = n.to_bytes(8, "big")
            part = bytes(block[: size - n * MIB])
            digest.update(part)
            file.write(part)
    return digest.hexdigest()


def figures(text: str) -> None:
    """Say what was measured; `pytest -s` shows it."""
    sys.stdout.write(text + "\n")


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def settings(folder: Path | str = "", listen: str = "", **more: Any) -> dict[str, Any]:
    """Those of a quiet node.

    Args:
        folder: Where its objects are; without, in a passing one.
        listen: Its address; any port of loopback without.
        more: Other settings of objects.
    """
    return {
        **QUIET,
        "listen": [listen or "/ip4/127.0.0.1/tcp/0"],
        "objects": {"folder": str(folder), **more},
    }


class Keeper(Actor):
    """The handle of a node that has and fetches objects."""

    ticket = ""
    notes: tuple[str, ...] = ()

    async def up(self) -> Keeper:
        """Wait until it has started."""
        said = await self.hear()
        self.ticket, self.notes = said["ticket"], tuple(said["notes"])
        return self

    async def say(self, do: str, **what: Any) -> None:
        """Give an order without waiting for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
        await self.process.stdin.drain()

    async def end(self) -> None:
        """Let it end by itself."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(20):
            await self.process.wait()

    async def kill(self) -> None:
        """SIGKILL, without a word to anybody."""
        self.process.kill()
        await self.process.wait()


class Place:
    """A namespace with loopback alone, or this machine as it is.

    Args:
        name: What it is for; the empty one stands for this machine.
    """

    def __init__(self, name: str = "") -> None:
        self._name = f"wn-{name}-{os.getpid()}" if name else ""
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Place:
        if self._name:
            sh("ip", "netns", "add", self._name)
            self._exits.callback(sh, "ip", "netns", "delete", self._name)
            sh("ip", "-n", self._name, "link", "set", "lo", "up")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    def inside(self, *words: str) -> tuple[str, ...]:
        """How a command is run in it."""
        return ("ip", "netns", "exec", self._name, *words) if self._name else words

    async def keeper(
        self,
        config: dict[str, Any],
        *before: str,
        program: str = "object_actor",
    ) -> Keeper:
        """Start a node.

        Args:
            config: Its settings.
            before: A command that runs it.
            program: Which of our actors it is.
        """
        actor = (sys.executable, "-m", f"tests.interop.{program}", json.dumps(config))
        words = self.inside(*before, *actor)
        started = await self._exits.enter_async_context(process(*words))
        return await Keeper(started).up()

    def bytes_sent(self, pid: int) -> int:
        """How many bytes have passed through the loopback that a process sees."""
        for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == "lo":
                return int(numbers.split()[0])
        raise AssertionError("no loopback")


async def fetched(
    taker: Keeper, giver: Keeper, path: Path, timeout_s: float = 60.0
) -> dict[str, Any]:
    """Add a file at one, and get it at the other; what came of it."""
    oid = (await giver.order("add", path=str(path)))["oid"]
    await taker.order("fetch", tickets=[giver.ticket], oid=oid)
    async with asyncio.timeout(timeout_s):
        return await taker.order("arrived")
