"""A feed: what arrives waits here, bounded, for one consumer that iterates over it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from whispurrnet.base.errors import UsageError

Item = TypeVar("Item")


class Feed(Generic[Item]):
    """An asynchronous iterator over what is put into it, for one task at a time.

    A lossy feed drops the oldest items when it is full, and counts them in `dropped`. Any other
    says that it is full, and whoever fills it stops until `on_room` is called.

    Cancelling an iteration is safe: nothing is lost.

    Args:
        limit: How many items may wait.
        lossy: Drop the oldest rather than be full.
        weigh: How heavy an item is; without it, only their number is bounded.
        weight_max: How heavy the items that wait may be together.
        on_room: Called when a feed that was full is half empty.
        on_close: Called once, when the consumer is done.
    """

    def __init__(
        self,
        limit: int,
        *,
        lossy: bool = False,
        weigh: Callable[[Item], int] = lambda _: 0,
        weight_max: int = 1,
        on_room: Callable[[], None] | None = None,
        on_close: Callable[[Feed[Item]], None] | None = None,
    ) -> None:
        self.limit = limit
        self.dropped = 0
        self._items: deque[Item] = deque()
        self._lossy = lossy
        self._weigh = weigh
        self._weight = 0
        self._weight_max = weight_max
        self._on_room = on_room
        self._on_close = on_close
        self._full = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether as many items wait as may, or as heavy ones."""
        return self._full

    def put(self, items: Iterable[Item]) -> None:
        """Add items; check `full` afterwards."""
        waiting, weigh = self._items, self._weigh
        for item in items:
            waiting.append(item)
            self._weight += weigh(item)
        if len(waiting) > self.limit or self._weight > self._weight_max:
            if self._lossy:
                while len(waiting) > self.limit or self._weight > self._weight_max:
                    self._weight -= weigh(waiting.popleft())
                    self.dropped += 1
            else:
                self._full = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def take_all(self) -> list[Item]:
        """All that waits, at once."""
        items = list(self._items)
        self._items.clear()
        self._weight = 0
        return items

    def close(self) -> None:
        """No more items will come; those that wait are still given out."""
        if not self._closed:
            self._closed = True
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
            if self._on_close is not None:
                self._on_close(self)
            if self._full and self._on_room is not None:
                self._on_room()  # or whoever waits for room would wait for ever

    def __aiter__(self) -> Feed[Item]:
        return self

    async def __anext__(self) -> Item:
        items = self._items
        while not items:
            if self._closed:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise UsageError("another task waits for this feed; ask the node for a second one")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        item = items.popleft()
        self._weight -= self._weigh(item)
        if self._full and len(items) * 2 <= self.limit and self._weight * 2 <= self._weight_max:
            self._full = False
            if self._on_room is not None:
                self._on_room()
        return item
