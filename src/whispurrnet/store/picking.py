"""Which chunk to ask for next: the rarest first, from whoever has it.

Chunks that equally many sources have make a segment; within one they are asked for in order, which
disks like. With more than one source the order begins at a place of our own choosing, so that those
who fetch the same object at the same time have something to give each other.

Invariant: `free` counts the chunks in state FREE, `left` those that are not yet verified.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from whispurrnet.store.object import PAGE_LEAVES
from whispurrnet.store.source import Source

FREE, ASKED, VERIFIED, STORED = 0, 1, 2, 3
"""The states of a chunk; what is not wanted counts as stored."""

_FREE = re.compile(bytes((FREE,)) + b"+")

PAGES_AHEAD = 2
"""How many pages that are not here are passed over in the search for a chunk."""


class Picker:
    """The states of an object's chunks.

    Args:
        chunks: How many.
        only: The chunks that are wanted, as their first and how many; None is all.
        stored: Those that are here, in the same way.
    """

    def __init__(
        self,
        chunks: int,
        only: Iterable[tuple[int, int]] | None,
        stored: Iterable[tuple[int, int]],
    ) -> None:
        self.chunks = chunks
        self.state = bytearray(chunks)
        if only is not None:
            self.state = bytearray((STORED,)) * chunks
            self._paint(only, FREE)
        self.all = [(0, chunks)] if only is None else free_runs(self.state)
        """What is wanted, as runs."""
        self._paint(stored, STORED)
        self.free = self.left = self.state.count(FREE)
        self.unstored = 0
        """How many are verified and not stored yet."""
        self._segments: list[tuple[int, int, int]] = []
        """How many sources have it, its first chunk, and the one after its last."""
        self._stale = True
        self._origin = 0

    def begin_at(self, index: int) -> None:
        """Where to begin among chunks that are equally rare."""
        self._origin = index
        self._stale = True

    def changed(self) -> None:
        """What the sources have is not what it was."""
        self._stale = True

    def take(self, index: int) -> None:
        """A chunk is being asked for."""
        assert self.state[index] == FREE
        self.state[index] = ASKED
        self.free -= 1

    def give_back(self, index: int) -> None:
        """Nobody is asked for it any more."""
        if self.state[index] == ASKED:
            self.state[index] = FREE
            self.free += 1
            self._stale = True

    def verified(self, index: int) -> None:
        """It is here."""
        assert self.state[index] == ASKED
        self.state[index] = VERIFIED
        self.left -= 1
        self.unstored += 1

    def stored(self, index: int) -> bool:
        """It is written; return whether it was waiting for that."""
        if not 0 <= index < self.chunks or self.state[index] != VERIFIED:
            return False
        self.state[index] = STORED
        self.unstored -= 1
        return True

    def next(
        self,
        source: Source,
        sources: Iterable[Source],
        has_page: Callable[[int], bool],
        lacking: dict[int, None],
    ) -> int | None:
        """A chunk to ask this source for, or None.

        Args:
            source: Who is to be asked.
            sources: All of them.
            has_page: Whether a page is here; a chunk without it could not be verified.
            lacking: Is told the pages that are not here and whose chunks would have been next.
        """
        if not self.free:
            return None
        if self._stale:
            self._rebuild(sources)
        full = []
        found = None
        for segment in self._segments:
            _, start, stop = segment
            first = self.state.find(FREE, start, stop)
            if first < 0:
                full.append(segment)
            elif source.has(start):
                found = self._search(first, stop, has_page, lacking)
                if found is not None or len(lacking) >= PAGES_AHEAD:
                    break
        for segment in full:
            self._segments.remove(segment)
        return found

    def check_invariants(self) -> None:
        """Assert what must be true."""
        counts = [self.state.count(state) for state in (FREE, ASKED, VERIFIED)]
        assert self.free == counts[0]
        assert self.left == counts[0] + counts[1]
        assert self.unstored == counts[2]

    def _search(
        self, at: int, stop: int, has_page: Callable[[int], bool], lacking: dict[int, None]
    ) -> int | None:
        while at >= 0 and len(lacking) < PAGES_AHEAD:
            page = at // PAGE_LEAVES
            if has_page(page):
                return at
            lacking[page] = None
            at = self.state.find(FREE, (page + 1) * PAGE_LEAVES, stop)
        return None

    def _rebuild(self, sources: Iterable[Source]) -> None:
        """Cut the object where what the sources have begins and ends."""
        self._stale = False
        steps: dict[int, int] = {0: 0, self._origin: 0}
        for source in sources:
            for start, stop in source.spans(self.chunks):
                if start < self.chunks:
                    steps[start] = steps.get(start, 0) + 1
                    steps[stop] = steps.get(stop, 0) - 1
        edges = [edge for edge in sorted(steps) if edge < self.chunks]
        count = 0
        segments = []
        for edge, after in zip(edges, [*edges[1:], self.chunks], strict=True):
            count += steps[edge]
            if count and self.state.find(FREE, edge, after) >= 0:
                segments.append((count, edge, after))
        origin, chunks = self._origin, self.chunks
        segments.sort(key=lambda segment: (segment[0], (segment[1] - origin) % chunks))
        self._segments = segments

    def _paint(self, runs: Iterable[tuple[int, int]], state: int) -> None:
        for start, count in runs:
            stop = min(start + count, self.chunks)
            if start < stop:
                self.state[start:stop] = bytes((state,)) * (stop - start)


def free_runs(state: bytearray) -> list[tuple[int, int]]:
    """The chunks in state FREE: the first and how many; quick for millions of them."""
    return [(found.start(), len(found.group())) for found in _FREE.finditer(state)]
