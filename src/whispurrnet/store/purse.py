"""What all fetches share: memory, the limit of the bandwidth, and what is held against peers.

Invariant: `used` is what is asked for and not stored, in bytes, over all fetches.
"""

from __future__ import annotations

from whispurrnet.base.bounded import LruDict
from whispurrnet.store.throttle import Pacer
from whispurrnet.store.transfer_config import Config, Rng

FAULTS_MAX = 1024


class Purse:
    """What a fetch spends when it asks.

    Args:
        config: The settings.
        rng: Chance.
    """

    __slots__ = ("_faults", "config", "down", "hungry", "rng", "used")

    def __init__(self, config: Config, rng: Rng) -> None:
        self.config = config
        self.rng = rng
        self.down = Pacer()
        self.used = 0
        self.hungry = False
        """Whether a fetch had to wait for one of the others, or for the limit."""
        self._faults: LruDict[int, int] = LruDict(FAULTS_MAX)

    @property
    def paced(self) -> bool:
        """Whether there is a limit."""
        return self.down.rate is not None

    def allows(self, now: float) -> bool:
        """Whether more may be asked for; if not, it is remembered that somebody wanted to."""
        allowed = self.used < self.config.memory_bytes and self.down.ready(now)
        self.hungry = self.hungry or not allowed
        return allowed

    def spend(self, n: int, now: float) -> None:
        """So many bytes are asked for."""
        self.used += n
        self.down.spend(n, now)

    def blame(self, peer: int) -> int:
        """A peer has lied; return how much that weighs."""
        times = (self._faults.get(peer) or 0) + 1
        self._faults.put(peer, times)
        return min(times, 2)
