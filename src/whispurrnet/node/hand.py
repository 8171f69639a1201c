"""A thread that works for the loop, batch by batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

Wanted = TypeVar("Wanted")
Came = TypeVar("Came")


class Hand(Generic[Wanted, Came]):
    """A thread that does what is wanted, in order and as much at a time as there is.

    Lighter than an executor, which makes two futures for each batch.

    Args:
        name: Of the thread.
        work: Called in the thread.
        came: Called in the loop with what came of it.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Wanted]], Came],
        came: Callable[[Came], None],
    ) -> None:
        self.waiting: list[Wanted] = []
        """What the thread does next."""
        self._work, self._came = work, came
        self._loop = asyncio.get_running_loop()
        self._batches: SimpleQueue[list[Wanted] | None] = SimpleQueue()
        self._busy = self._closed = False
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, wanted: Wanted) -> None:
        """Have something done, after all that was wanted before."""
        self.waiting.append(wanted)
        self._go_on()

    def close(self) -> None:
        """Finish what was begun; what waits stays undone."""
        self._closed = True
        self._batches.put(None)
        self._thread.join()

    def _go_on(self) -> None:
        if self.waiting and not self._busy and not self._closed:
            self._busy = True
            batch, self.waiting = self.waiting, []
            self._batches.put(batch)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                done = partial(self._done, self._work(batch))
            except Exception as error:  # noqa: BLE001 - the loop is told, and the thread lives on
                done = partial(self._failed, error)
            self._loop.call_soon_threadsafe(done)

    def _done(self, result: Came) -> None:
        self._busy = False
        if not self._closed:
            self._came(result)
        self._go_on()

    def _failed(self, error: Exception) -> None:
        self._busy = False
        self._go_on()
        raise error
