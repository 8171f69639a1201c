"""A node with its gateway, in a thread of its own, for tests that block."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import whispurrnet
from whispurrnet.gateway.server import Gateway


class Served:
    """One; `port` is that of its gateway.

    Args:
        settings: Of the node.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._live()))

    def __enter__(self) -> Any:
        self.thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(20)
        assert not self.thread.is_alive()

    async def _live(self) -> None:
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        async with whispurrnet.open(**self._settings) as self.node:
            gateway = Gateway(self.node, self.node.settings)
            await gateway.start()
            self.port = gateway.port
            self._ready.set()
            await self.stop.wait()
            await gateway.stop()
