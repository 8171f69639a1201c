"""Chunks that are asked of two sources: those that are slow, and the last ones.

While there are other chunks to ask for, a slow source is only helped out if it has gone silent:
what it still sends would be lost. At the end everybody waits for the slowest, so there each chunk
that takes three times the median, and the last eight in any case, are asked of a second source.

Invariant: a chunk in `twice` is asked of at most two sources, one in `urgent` of one.
"""

from __future__ import annotations

from collections import deque
from statistics import median

from whispurrnet.store.picking import Picker
from whispurrnet.store.source import Source
from whispurrnet.store.sources import Sources
from whispurrnet.store.transfer_config import Config

SLOW_S_MIN = 0.5
"""A chunk is never called slow before this time, in seconds."""
TIMES_KEPT = 64


class Doubling:
    """Which chunks of one object are worth asking for twice.

    Args:
        config: Its settings.
        sources: The sources of the object.
    """

    __slots__ = ("_config", "_sources", "_times", "twice", "urgent")

    def __init__(self, config: Config, sources: Sources) -> None:
        self.urgent: dict[int, None] = {}
        """Chunks that somebody else should be asked for."""
        self.twice: dict[int, None] = {}
        """Chunks that two were asked for."""
        self._config = config
        self._sources = sources
        self._times: deque[float] = deque(maxlen=TIMES_KEPT)

    def took(self, time_s: float) -> None:
        """A chunk took this long, in seconds."""
        self._times.append(time_s)

    def forget(self, index: int) -> bool:
        """A chunk is here, or asked of one source fewer; return whether it concerned others."""
        self.urgent.pop(index, None)
        return index in self.twice and self.twice.pop(index) is None

    def look(self, picker: Picker, now: float) -> None:
        """Find the chunks that take too long."""
        config = self._config
        if not config.double or not self._times or len(self._sources) < 2:
            return
        slow_s = max(config.slow_factor * median(self._times), SLOW_S_MIN)
        for source in self._sources:
            silent = now - source.heard_at > slow_s
            if picker.free and not silent:
                continue
            for index, asked in source.asked.items():
                if now - asked.at > slow_s and index not in self.twice:
                    self.urgent[index] = None

    def pick(self, source: Source) -> int | None:
        """A chunk that another source is slow with, for this one, or none."""
        for index in self.urgent:
            if index not in source.asked and index not in source.late and source.has(index):
                del self.urgent[index]
                self.twice[index] = None
                return index
        return None

    def endgame(self, source: Source, picker: Picker) -> int | None:
        """The one of the last chunks that was asked for first, of another source; or none."""
        config = self._config
        if picker.left > config.endgame or picker.chunks <= 4 * config.endgame or not config.double:
            return None
        best: int | None = None
        best_at = float("inf")
        for other in self._sources:
            for index, asked in other.asked.items():
                if (
                    asked.at < best_at
                    and other is not source
                    and index not in self.twice
                    and index not in source.late
                    and source.has(index)
                ):
                    best, best_at = index, asked.at
        if best is not None:
            self.urgent.pop(best, None)
            self.twice[best] = None
        return best

    def check_invariants(self) -> None:
        """Assert what must be true."""
        assert not self.urgent.keys() & self.twice.keys()
        for source in self._sources:
            for index in source.asked:
                holders = sum(index in other.asked for other in self._sources)
                assert holders <= 1 + (index in self.twice)
