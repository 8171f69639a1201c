"""Batches: one announcement at once, those that follow it together."""

from __future__ import annotations

from math import inf

from whispurrnet.gossip.batch import Batch, Batches
from whispurrnet.gossip.spread_events import Effect, Send
from whispurrnet.gossip.spread_frames import CONTROL, ONLY_ANNOUNCED, URGENT, ihave

ONE, TWO, THREE = (bytes((n,)) * 16 for n in (1, 2, 3))


class World:
    def __init__(self, ids_max: int = 64) -> None:
        self.gone: list[bytes] = []
        self.batch = Batch(7)
        self.batches = Batches(0.05, ids_max, lambda name, now: name not in self.gone)

    def announce(
        self, id: bytes, now: float, *, flags: int = 0, urgent: bool = False
    ) -> list[Effect]:
        effects: list[Effect] = []
        self.batches.announce([self.batch], id, flags, urgent, now, effects)
        self.batches.check_invariants([self.batch])
        return effects

    def tick(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        self.batches.tick(now, effects)
        return effects


def test_the_first_goes_at_once_and_the_next_together() -> None:
    world = World()
    assert world.batches.deadline == inf
    assert world.announce(ONE, 1.0) == [Send(7, ihave(0, [ONE]), CONTROL)]
    assert world.announce(TWO, 1.02) == []
    assert world.announce(THREE, 1.03) == []
    assert world.batches.deadline == 1.07
    assert world.tick(1.06) == []
    assert world.tick(1.07) == [Send(7, ihave(0, [TWO, THREE]), CONTROL)]
    assert world.announce(ONE, 1.08) == [], "the batch was a moment ago"
    assert world.tick(1.2) == [Send(7, ihave(0, [ONE]), CONTROL)]
    assert world.announce(ONE, 1.3) != []


def test_flags_are_kept() -> None:
    world = World()
    world.announce(ONE, 1.0)
    world.announce(ONE, 1.01, flags=ONLY_ANNOUNCED)
    world.announce(TWO, 1.01)
    assert world.tick(2.0) == [
        Send(7, ihave(0, [TWO]), CONTROL),
        Send(7, ihave(ONLY_ANNOUNCED, [ONE]), CONTROL),
    ]


def test_what_is_urgent_does_not_wait() -> None:
    world = World()
    world.announce(ONE, 1.0)
    world.announce(TWO, 1.0)
    assert world.announce(THREE, 1.0, urgent=True) == [Send(7, ihave(0, [THREE]), URGENT)]


def test_a_full_batch_goes() -> None:
    world = World(ids_max=2)
    world.announce(THREE, 1.0)
    assert world.announce(ONE, 1.0) == []
    assert world.announce(TWO, 1.0) == [Send(7, ihave(0, [ONE, TWO]), CONTROL)]
    assert world.tick(2.0) == []


def test_what_is_gone_is_not_announced() -> None:
    world = World()
    for id in (ONE, TWO, THREE):
        world.announce(id, 1.0)
    world.gone = [TWO]
    assert world.tick(2.0) == [Send(7, ihave(0, [THREE]), CONTROL)]
    world.announce(TWO, 2.0)
    assert world.tick(3.0) == []


def test_to_who_is_gone_nothing_is_sent() -> None:
    world = World()
    world.announce(ONE, 1.0)
    world.announce(TWO, 1.0)
    world.batch.open = False
    assert world.tick(2.0) == []
