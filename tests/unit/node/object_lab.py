"""Nodes on loopback that exchange objects, for the tests of `node.objects`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

import whispurrnet
from whispurrnet.node import build
from whispurrnet.node.node import Node
from whispurrnet.node.peer import Peer
from whispurrnet.store import transfer_config

MIB = 1 << 20
ALONE: dict[str, Any] = {
    "listen": ("/ip4/127.0.0.1/tcp/0",),
    "lan": {"enabled": False},
    "gateway": {"enabled": False},
}
Open = Callable[..., Awaitable[Node]]


def some(size: int, seed: int = 1) -> bytes:
    """Bytes that do not repeat."""
    return Random(seed).randbytes(size)


def play(story: Callable[[], Awaitable[None]], limit_s: float = 40) -> None:
    """Run a story on real sockets."""

    async def timed() -> None:
        async with asyncio.timeout(limit_s):
            await story()

    asyncio.run(timed())


@asynccontextmanager
async def nodes(count: int, **settings: Any) -> AsyncIterator[list[Node]]:
    """So many nodes that keep nothing, and know nobody."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(whispurrnet.open(**{**ALONE, **settings}))
            for _ in range(count)
        ]


def at(folder: Path, **objects: Any) -> dict[str, Any]:
    """The settings of a node that keeps its objects."""
    return {**ALONE, "objects": {"folder": str(folder), **objects}}


async def met(one: Node, other: Node) -> tuple[Peer, Peer]:
    """Connect two; how each is called by the other: `other` at `one`, then `one` at `other`."""
    there = await one.connect(other.ticket)
    async for _ in _looking():
        here = [peer for peer in other.peers if peer.id == one.id]
        if here:
            return there, here[0]
    raise AssertionError


async def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    async for _ in _looking():
        if true():
            return


async def _looking() -> AsyncIterator[None]:
    while True:
        yield
        await asyncio.sleep(0.01)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that soon give up on an object that nobody has."""
    quick = functools.partial(
        transfer_config.Config, hopeless_wait_s=0.2, source_wait_s=0.4, stall_s=1.0
    )
    monkeypatch.setattr(build.transfer_config, "Config", quick)


def tree(folder: Path, names: Iterable[str]) -> Path:
    """A folder with files whose content is their name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def read(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
