"""A sliding window that accepts each counter once, for datagrams that may come out of order.

The links of this version keep their order, so records need no window (their counter is implicit);
it is for those that do not.

Source: RFC 6479: a ring of 64-bit blocks, so that moving on clears whole blocks and shifts nothing.
"""

from __future__ import annotations

from whispurrnet.base.errors import UsageError

_BLOCK = 64


class ReplayWindow:
    """Remembers which of the last `size` counters have come."""

    __slots__ = ("_blocks", "_newest", "counter_max", "size")

    def __init__(self, size: int = 8192) -> None:
        if size <= 0 or size % _BLOCK:
            raise UsageError(f"a replay window holds a multiple of {_BLOCK} counters, not {size}")
        self.size = size
        self.counter_max = 2**64 - size - 1
        self._blocks = [0] * (size // _BLOCK + 1)  # one more: the newest block is only partly used
        self._newest = -1

    def accept(self, counter: int) -> bool:
        """Whether this counter is new; from then on it is not.

        Call it only after the packet proved authentic, or a forger moves the window.

        Args:
            counter: 0 to 2**64 - `size` - 1; beyond, nothing is accepted and the key must change.
        """
        if not 0 <= counter <= self.counter_max or counter <= self._newest - self.size:
            return False
        blocks = self._blocks
        index = counter // _BLOCK
        if counter > self._newest:
            newest_index = max(self._newest, 0) // _BLOCK
            for passed in range(newest_index + 1, min(index, newest_index + len(blocks)) + 1):
                blocks[passed % len(blocks)] = 0
            self._newest = counter
        bit = 1 << counter % _BLOCK
        slot = index % len(blocks)
        if blocks[slot] & bit:
            return False
        blocks[slot] |= bit
        return True
