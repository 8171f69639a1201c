"""Named deadlines for a core, kept in a heap.

Invariant: the heap holds at most twice as many entries as there are pending keys, and a few more;
a deadline that is moved at every message does not make it grow.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

STALE_MAX: Final = 64  # entries beside the pending ones that are not worth a sweep


class Timers(Generic[Key]):
    """At most one pending deadline per key; setting a key again moves its deadline.

    Cancelled and moved entries stay in the heap until their time or a sweep comes, so `cancel` is
    O(1) and `set` is O(log n) on average.
    """

    def __init__(self) -> None:
        self._due_at: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = 0  # breaks ties, so equal deadlines fire in the order they were set

    def __len__(self) -> int:
        return len(self._due_at)

    def __contains__(self, key: Key) -> bool:
        return key in self._due_at

    @property
    def deadline(self) -> float | None:
        """Time of the next expiry in seconds, or None."""
        while self._heap:
            due_at, _, key = self._heap[0]
            if self._due_at.get(key) == due_at:
                return due_at
            heapq.heappop(self._heap)
        return None

    def set(self, key: Key, due_at: float) -> None:
        """Arm `key` for time `due_at`, in seconds."""
        self._due_at[key] = due_at
        self._order += 1
        heapq.heappush(self._heap, (due_at, self._order, key))
        if len(self._heap) > 2 * len(self._due_at) + STALE_MAX:
            self._sweep()

    def cancel(self, key: Key) -> None:
        """Forget `key`; unknown keys are ignored."""
        self._due_at.pop(key, None)

    def expire(self, now: float) -> Iterator[Key]:
        """Yield and forget every key due at or before `now`, earliest first."""
        while (due_at := self.deadline) is not None and due_at <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._due_at[key]
            yield key

    def _sweep(self) -> None:
        """Throw out what is no longer pending."""
        due_at = self._due_at
        self._heap = [entry for entry in self._heap if due_at.get(entry[2]) == entry[0]]
        heapq.heapify(self._heap)
