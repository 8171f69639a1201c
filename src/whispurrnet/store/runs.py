"""Runs of chunks: which of an object's are there, in a few numbers however many they are.

Invariant: the spans of `Runs` are in order, do not touch each other and are at most `limit`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

EVER = 1 << 32
"""No object has so many chunks."""


class Runs:
    """A set of numbers, kept as spans.

    Args:
        limit: How many spans; what would make more of them is left out.
    """

    __slots__ = ("_starts", "_stops", "limit")

    def __init__(self, limit: int = 4096) -> None:
        self.limit = limit
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._starts, index) - 1
        return at >= 0 and index < self._stops[at]

    def __len__(self) -> int:
        return len(self._starts)

    def spans(self) -> list[tuple[int, int]]:
        """Each span as its first number and the one after its last."""
        return list(zip(self._starts, self._stops, strict=True))

    def stop(self, index: int) -> int:
        """The end of the span that `index` is in."""
        return self._stops[bisect_right(self._starts, index) - 1]

    def add(self, start: int, stop: int) -> None:
        """Take in the numbers from `start` to before `stop`."""
        starts, stops = self._starts, self._stops
        low = bisect_right(stops, start - 1)
        high = bisect_right(starts, stop)
        if low == high and len(starts) >= self.limit:
            return
        if low < high:
            start, stop = min(start, starts[low]), max(stop, stops[high - 1])
        starts[low:high] = [start]
        stops[low:high] = [stop]

    def remove(self, start: int, stop: int) -> None:
        """Leave out the numbers from `start` to before `stop`."""
        starts, stops = self._starts, self._stops
        low = bisect_right(stops, start)
        high = bisect_left(starts, stop)
        if low >= high:
            return
        rest = [(starts[low], start), (stop, stops[high - 1])]
        rest = [span for span in rest if span[0] < span[1]]
        if len(starts) - (high - low) + len(rest) > self.limit:
            rest.pop()
        starts[low:high] = [first for first, _ in rest]
        stops[low:high] = [end for _, end in rest]


def pack(indexes: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as runs, each its first and how many, in the order in which they come."""
    runs: list[tuple[int, int]] = []
    start = count = 0
    for index in indexes:
        if count and index == start + count:
            count += 1
            continue
        if count:
            runs.append((start, count))
        start, count = index, 1
    if count:
        runs.append((start, count))
    return runs
