"""Silence: neighbours who bring nothing, while others bring much.

A score says what a neighbour did; the score of one who swallows all and says nothing is like that
of an honest one in a quiet mesh. What tells them apart is what the others bring in the same minute.
So half of our neighbours, or more, are found to be silent only if, all at once:

- at least `enough` messages were first brought by neighbours within `window_s`;
- the median of the neighbours' scores has been below `median_below` for as long;
- each of them stands for as long, and neither pushed, announced nor walked a message to us.

Nobody is silent in a quiet mesh, because too little arrives to tell; nor for long in a busy one,
where whoever has a message announces it to all who have not announced it themselves.

Source: MESH.md 1.4, "Median of active < 0.05 for 60 s: graft 2 above the median", after the
opportunistic grafting of GossipSub v1.1; docs/decisions/0012 says what differs, and why.

Invariants:
    - what is remembered is one time a neighbour, and a count a step;
    - without messages there is no deadline.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median

import msgspec

__all__ = ["Config", "Silence"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of when neighbours are found to be silent."""

    on: bool = True
    """Whether they ever are."""

    median_below: float = 0.05
    """A median score that is as high is good enough; one who stands 15 minutes has it by that."""

    window_s: float = 60.0
    """How long silence lasts, and a low median, in seconds."""

    steps: int = 6
    """How often that is looked at in a window."""

    enough: int = 30
    """So many messages must have come in a window: with fewer, silence says nothing."""

    neighbours_min: int = 4
    """With fewer neighbours than this we look for more anyway, and can do without none."""


class Silence:
    """What the neighbours of one overlay bring.

    Args:
        config: Settings.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.deadline: float | None = None
        """When `judge` is wanted, in monotonic seconds."""
        self._heard_at: dict[int, float] = {}
        """When each neighbour last brought anything, or came."""
        self._counts: deque[int] = deque(maxlen=self.config.steps)
        self._count = 0
        self._low_since: float | None = None

    def enter(self, peer: int, now: float) -> None:
        """A peer became a neighbour, at this monotonic time in seconds."""
        self._heard_at[peer] = now

    def leave(self, peer: int) -> None:
        """It is none any more."""
        self._heard_at.pop(peer, None)

    def spoke(self, peer: int, now: float) -> None:
        """A peer pushed or announced a message, new or not, or sent it on a walk."""
        if peer in self._heard_at:
            self._heard_at[peer] = now

    def useful(self, now: float) -> None:
        """A neighbour was the first to bring a message."""
        self._count += 1
        if self.deadline is None and self.config.on:
            self.deadline = now + self.config.window_s / self.config.steps

    def judge(self, score: Callable[[int], float], now: float) -> tuple[int, ...]:
        """Who is silent, the worst first; nobody, unless it is half of the neighbours.

        Call it when `deadline` has come.

        Args:
            score: What a neighbour is worth.
            now: Monotonic time in seconds.
        """
        config = self.config
        self._counts.append(self._count)
        self._count = 0
        if not any(self._counts):
            self.deadline = self._low_since = None
            return ()
        self.deadline = now + config.window_s / config.steps
        scores = {peer: score(peer) for peer in self._heard_at}
        if len(scores) < config.neighbours_min or median(scores.values()) >= config.median_below:
            self._low_since = None
            return ()
        if self._low_since is None:
            self._low_since = now
        since = now - config.window_s
        if self._low_since > since or sum(self._counts) < config.enough:
            return ()
        silent = [peer for peer, heard_at in self._heard_at.items() if heard_at <= since]
        if 2 * len(silent) < len(scores):
            return ()
        self._low_since = None  # those who come in their places are given as long
        return tuple(sorted(silent, key=lambda peer: scores[peer]))
