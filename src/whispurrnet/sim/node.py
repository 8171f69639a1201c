"""A node of a simulation: the whole stack, under observation, and honest or not.

`Node` is the `Stack` of `whispurrnet.stack`, unchanged, with three places to look in from: each
event before it is handled, each frame that a session yields, and all effects of one turn. An
`Adversary` that sits there may change, drop or add; a `Watch` only sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from whispurrnet.stack import events
from whispurrnet.stack.config import Config
from whispurrnet.stack.live import Live
from whispurrnet.stack.stack import Stack


class Watch(Protocol):
    """Sees what the nodes of a world do."""

    def frame(self, node: str, live: Live, type: int, body: bytes, now: float) -> None:
        """A session of `node` yielded a frame, in the clear."""
        ...

    def turn(self, node: str, stack: Stack, now: float) -> None:
        """`node` has handled an event."""
        ...


class Filter(Protocol):
    """What an adversary does at the three places (see `sim.adversary.Adversary`)."""

    def on_event(self, event: events.Event, now: float) -> Sequence[events.Event]:
        """What the stack gets to handle instead of `event`."""
        ...

    def on_frame(
        self, live: Live, type: int, body: bytes, now: float
    ) -> Sequence[tuple[int, bytes]]:
        """Which frames, by type and body, the cores see instead of the one that arrived."""
        ...

    def on_effects(self, effects: list[events.Effect], now: float) -> list[events.Effect]:
        """What is done instead of what the stack wants done."""
        ...


class Node(Stack):
    """One node of a world.

    Args:
        config: Its settings.
        name: What it is called in this world.
        watch: Sees its frames and turns.
        adversary: Sits in it, or None: it is honest.
        more: As for `Stack`.
    """

    def __init__(
        self,
        config: Config,
        *,
        name: str,
        watch: Watch,
        adversary: Filter | None = None,
        **more: Any,
    ) -> None:
        super().__init__(config, **more)
        self.name = name
        self._watch = watch
        self._adversary = adversary

    def handle(self, event: events.Event, now: float) -> list[events.Effect]:
        """Take one event; return its effects."""
        adversary = self._adversary
        if adversary is None:
            effects = super().handle(event, now)
        else:
            effects = []
            for given in adversary.on_event(event, now):
                effects += super().handle(given, now)
            effects = adversary.on_effects(effects, now)
        self._watch.turn(self.name, self, now)
        return effects

    def _on_frame(self, live: Live, type_: int, body: bytes, now: float) -> None:
        self._watch.frame(self.name, live, type_, body, now)
        if self._adversary is None:
            super()._on_frame(live, type_, body, now)
            return
        for kind, given in self._adversary.on_frame(live, type_, body, now):
            super()._on_frame(live, kind, given, now)
