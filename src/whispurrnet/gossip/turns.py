"""Turns: a message for any one of those who listen, so that work spreads over equals.

Nobody knows who listens, so nobody can be chosen. Each listener waits a while of its own; who is
the first to be done takes the message, and says so to the others, who let go of it. The waits are
drawn so that the first comes soon and seldom has company, however many listen:

    wait = window * (1 + log_n(x))    x uniform in (0, 1], n the number of listeners provided for

It is a lottery: more than one may take it when two are done within the time that the word needs to
get around, and when a listener is cut off. So the work must bear to be done twice.

Source: Nonnenmacher and Biersack, "Optimal multicast feedback", INFOCOM 1998 (exponential timers).

Invariants:
    - a message is taken here once at most, and not after another said that it has it;
    - what waits, and what was taken by others, is bounded.
"""

from __future__ import annotations

from math import log
from typing import Generic, Protocol, TypeVar

import msgspec

from whispurrnet.base.bounded import LruDict

Item = TypeVar("Item")


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the lottery; the same everywhere in a realm."""

    window_s: float = 4.0
    """The longest wait, in seconds: many times what a message needs to get around."""

    listeners: int = 1024
    """For how many listeners the waits are drawn; more of them only means more company."""

    waiting_max: int = 4096
    """How many messages wait, and how many are remembered as taken."""


class Rng(Protocol):
    """Chance: `random.Random` is one."""

    def random(self) -> float:
        """A number from 0 to 1, without 1."""
        ...


class Turns(Generic[Item]):
    """The messages that wait for their turn at one node.

    Args:
        config: Settings.
        rng: Chance.
    """

    def __init__(self, config: Config, rng: Rng) -> None:
        self.config = config
        self._rng = rng
        self._waiting: dict[bytes, tuple[float, Item]] = {}
        self._taken: LruDict[bytes, None] = LruDict(config.waiting_max)

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    @property
    def deadline(self) -> float | None:
        """When the next turn comes, in seconds."""
        return min(due for due, _ in self._waiting.values()) if self._waiting else None

    def wait(self, id: bytes, item: Item, now: float) -> None:
        """A message for any one of us came; the oldest makes room when too many wait."""
        if id in self._taken or id in self._waiting:
            return
        if len(self._waiting) >= self.config.waiting_max:
            del self._waiting[next(iter(self._waiting))]
        chance = 1.0 - self._rng.random()
        share = max(0.0, 1.0 + log(chance) / log(max(2, self.config.listeners)))
        self._waiting[id] = (now + self.config.window_s * share, item)

    def taken(self, id: bytes) -> None:
        """Another one has it."""
        self._taken.put(id, None)
        self._waiting.pop(id, None)

    def due(self, now: float) -> list[tuple[bytes, Item]]:
        """Those whose turn it is: they are ours now; tell the others."""
        ours = [(id, item) for id, (due, item) in self._waiting.items() if due <= now]
        for id, _ in ours:
            self.taken(id)
        return ours
