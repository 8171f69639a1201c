"""Two links joined to one: what comes on each is written to the other, unread.

A relay does this for pairs of peers. Bytes are neither looked at nor kept: what one side does not
take, the other side may not send (`pause_reading`), so a pair holds no more than the two buffers of
its links. A rate is kept by not reading for a while.

Measured on uvloop, both ends and the copying on two cores: 0.45 to 0.6 s of processor time a GB,
and 680 to 1,040 MB/s. Reading into a buffer of our own takes as much; `splice(2)` through a pipe of
the kernel 0.36 to 0.41 s, and is not faster (510 to 820 MB/s), for TCP alone: so bytes are copied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from whispurrnet.transport.link import Link

SWEEP_S = 15.0
"""How often pairs that say nothing are looked for, in seconds."""

BURST_S = 0.25
"""So much of a second's bytes may pass at once, before the rate holds them back."""


class _Half:
    """The handler of one link of a pair: what comes there goes to `other`."""

    __slots__ = ("_due", "_holds", "_link", "_splice", "lost", "other")

    def __init__(self, splice: Splice, link: Link) -> None:
        self._splice = splice
        self._link = link
        self._holds = 0
        self._due = 0.0
        self.other: _Half
        self.lost = False

    def link_data(self, link: Link, data: bytes) -> None:
        """Copy."""
        del link
        size = len(data)
        splice = self._splice
        splice.bytes += size
        if splice.bytes_max and splice.bytes > splice.bytes_max:
            splice.close()
            return
        self.other.write(data)
        if splice.bytes_per_s:
            self._ration(size / splice.bytes_per_s)

    def link_lost(self, link: Link, reason: str) -> None:
        """The other one ends too, once it has sent what it holds."""
        del link, reason
        self.lost = True
        self.other.close()
        self._splice.half_ended()

    def link_paused(self, link: Link) -> None:
        """It takes no more: read no more from the other."""
        del link
        self.other.hold()

    def link_resumed(self, link: Link) -> None:
        """It takes more."""
        del link
        self.other.release()

    def write(self, data: bytes) -> None:
        """Send on this link."""
        self._link.write(data)

    def close(self) -> None:
        """Send what was written, then close."""
        self._link.close()

    def abort(self) -> None:
        """Close at once."""
        self._link.abort()

    def hold(self) -> None:
        """One reason more not to read."""
        self._holds += 1
        self._link.pause_reading()

    def release(self) -> None:
        """One reason less."""
        self._holds -= 1
        if not self._holds and not self.lost:
            self._link.resume_reading()

    def _ration(self, cost_s: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._due = max(self._due, now) + cost_s
        if self._due - now > BURST_S:
            self.hold()
            loop.call_later(self._due - now - BURST_S / 2, self.release)


class Splice:
    """A pair of links.

    Args:
        first: One link.
        second: The other.
        bytes_per_s: What passes each way a second; 0: as fast as it goes.
        bytes_max: What passes in all; then both are closed. 0: without end.
        ended: Called once, with all bytes that passed, when both links are gone.
    """

    __slots__ = ("_ended", "_halves", "bytes", "bytes_max", "bytes_per_s", "idle_s", "swept")

    def __init__(
        self,
        first: Link,
        second: Link,
        *,
        bytes_per_s: int = 0,
        bytes_max: int = 0,
        idle_s: float = 0.0,
        ended: Callable[[int], None],
    ) -> None:
        self.bytes = 0
        """How many passed, both ways."""
        self.bytes_per_s = bytes_per_s
        self.bytes_max = bytes_max
        self.idle_s = idle_s
        self.swept: tuple[int, float] = (0, 0.0)
        """How many had passed, and for how many seconds no more did, at the last sweep."""
        self._ended = ended
        one, two = _Half(self, first), _Half(self, second)
        one.other, two.other = two, one
        self._halves = one, two
        first.handler, second.handler = one, two

    def begin(self, word: bytes) -> None:
        """Say this on both links, and let them speak."""
        for half in self._halves:
            half.write(word)

    def close(self) -> None:
        """End it: nothing more is copied."""
        for half in self._halves:
            half.abort()

    def half_ended(self) -> None:
        """One of the links is gone."""
        if all(half.lost for half in self._halves):
            self._ended(self.bytes)


class Splicer:
    """All pairs of one node, by number; those that are silent for too long are ended."""

    def __init__(self) -> None:
        self._splices: dict[int, Splice] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._splices)

    @property
    def bytes(self) -> int:
        """What passed through the pairs that there are."""
        return sum(splice.bytes for splice in self._splices.values())

    def add(self, number: int, splice: Splice) -> None:
        """Take a pair in."""
        self._splices[number] = splice
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def cut(self, number: int) -> None:
        """End a pair; it is still to be told of its end."""
        splice = self._splices.get(number)
        if splice is not None:
            splice.close()

    def remove(self, number: int) -> None:
        """A pair is no more."""
        self._splices.pop(number, None)

    def close(self) -> None:
        """End all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for splice in list(self._splices.values()):
            splice.close()

    def _sweep(self) -> None:
        for splice in list(self._splices.values()):
            passed, silent_s = splice.swept
            silent_s = silent_s + SWEEP_S if passed == splice.bytes else 0.0
            splice.swept = (splice.bytes, silent_s)
            if splice.idle_s and silent_s >= splice.idle_s:
                splice.close()
        self._timer = None
        if self._splices:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
