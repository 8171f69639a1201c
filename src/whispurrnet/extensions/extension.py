"""What an extension is: it takes the messages of its kinds, and lives as long as it is installed.

    class Journal(Extension):
        name = "journal"
        kinds = ("DREAMSPACE",)

        async def on_message(self, message):
            ...

    async with Journal().on(node):
        ...

The lifecycle is initialize, any number of messages, cleanup (C10).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import ClassVar

from whispurrnet.base.errors import UsageError
from whispurrnet.node.node import Node
from whispurrnet.node.peer import Message

LEAVING_S = 5.0
"""How long the messages that wait may take to be handled when an extension leaves."""


class Extension:
    """The base of every extension; override what is needed."""

    name: ClassVar[str] = ""
    """Unique on one node, shown in its statistics."""

    kinds: ClassVar[tuple[str, ...]] = ()
    """The kinds of messages it takes, such as `FILE_SYNC`; nobody else gets them then."""

    node: Node
    """The node it is installed on, from `initialize` to `cleanup`."""

    async def initialize(self) -> None:
        """Called once, before the first message."""

    async def on_message(self, message: Message) -> None:
        """Called for each message of its kinds; an error here is logged, no more."""

    async def cleanup(self) -> None:
        """Called once, after the last message."""

    @asynccontextmanager
    async def on(self, node: Node) -> AsyncGenerator[Extension]:
        """Install it on a node for as long as the block lasts.

        Raises:
            UsageError: It has no name, is installed already, or another one takes its kinds.
        """
        if not self.name or self.name in node.extensions:
            raise UsageError(f"an extension needs a name of its own, not {self.name!r}")
        ready = asyncio.Event()

        async def take(message: Message) -> None:
            await ready.wait()
            await self.on_message(message)

        workers: dict[str, asyncio.Task[None]] = {}
        try:
            for kind in self.kinds:
                workers[kind] = node.on_kind(kind, take)
            self.node = node
            node.extensions.append(self.name)
            await self.initialize()
            ready.set()
            try:
                yield self
            finally:
                await _finish(node, workers, LEAVING_S)
                await self.cleanup()
        finally:
            await _finish(node, workers, 0.0)
            if self.name in node.extensions:
                node.extensions.remove(self.name)


async def _finish(node: Node, workers: dict[str, asyncio.Task[None]], timeout_s: float) -> None:
    """Take no more messages, and let those that wait be handled for a while."""
    while workers:
        kind, worker = workers.popitem()
        node.off_kind(kind)
        await asyncio.wait([worker], timeout=timeout_s)
        worker.cancel()
