"""Sleep, piece by piece; whole nodes that sleep are in tests/sim/test_sleep.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from whispurrnet.base.errors import LimitError, ProtocolError
from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events, greeting, resting
from whispurrnet.stack.config import Config
from whispurrnet.stack.live import Live
from whispurrnet.stack.resting import ACTIVITY, HELD_BYTES_MAX, URGENT
from whispurrnet.wire import frame

QUIET = Config(beacon_on=False)


class Two:
    """Two nodes that are connected; the second sleeps."""

    def __init__(self) -> None:
        self.world = World(5, Wire(), lambda *_: None)
        for name in ("awake", "sleeper"):
            self.world.add(name, QUIET)
        self.world.run(0.1)
        self.world.connect("awake", "sleeper")
        self.world.run(20.0)
        self.world.inject("sleeper", events.Sleep())
        self.world.run(40.0)
        self.stack = self.world.nodes["awake"]
        (self.record,) = self.stack.roster
        assert self.record.live is not None
        self.live: Live = self.record.live
        self.now = self.world.now
        self.live.free_at = self.now + 5.0

    def holds(self) -> bool:
        return self.stack.resting.holds(self.live, self.now)


def test_what_waits_has_its_time() -> None:
    two = Two()
    assert two.holds()
    assert two.stack.deadline is not None
    assert two.stack.deadline <= two.now + 5.0
    two.now += 5.0
    assert not two.holds()


def test_who_has_just_spoken_listens() -> None:
    two = Two()
    two.live.channel.heartbeat.heard_at = two.now - resting.ANSWER_S / 2
    assert not two.holds()
    two.live.channel.heartbeat.heard_at = two.now - resting.ANSWER_S
    assert two.holds()


@pytest.mark.parametrize(("priority", "waits"), [(0, True), (URGENT - 1, True), (URGENT, False)])
def test_what_is_urgent_does_not_wait(priority: int, waits: bool) -> None:
    two = Two()
    two.live.gossip.put(frame.GOSSIP, b"x", priority)
    assert two.holds() is waits
    two = Two()
    two.stack.courier.post_unacknowledged(two.live.peer, 1, b"x", priority)
    assert two.holds() is waits


def test_much_does_not_wait() -> None:
    two = Two()
    two.live.gossip.put(frame.GOSSIP, bytes(HELD_BYTES_MAX), 5)
    assert two.holds()
    two.live.gossip.put(frame.GOSSIP, b"x", 5)
    assert not two.holds()
    two = Two()
    for _ in range(resting.HELD_MAX):
        assert two.holds()
        two.stack.courier.post_unacknowledged(two.live.peer, 1, b"x", 5)
    assert not two.holds()


def test_where_somebody_waits_at_the_other_end_nothing_is_held() -> None:
    two = Two()
    two.live.objects = SimpleNamespace(waits=lambda: True)  # type: ignore[assignment]
    assert not two.holds()
    two = Two()
    two.live.fragments[5] = SimpleNamespace()  # type: ignore[assignment]
    assert not two.holds()


def test_who_is_asked_for_is_told_apart() -> None:
    two = Two()
    assert two.stack.resting.sleeps(two.live.peer)
    assert not two.stack.resting.sleeps(None)
    assert not two.stack.resting.sleeps(99)
    assert two.world.nodes["sleeper"].resting.sleeps(None)


def test_a_word_of_sleep_has_its_place_and_its_bound() -> None:
    two = Two()
    word = greeting.Asleep(1000)
    while two.record.news.take(1, two.now):
        pass
    with pytest.raises(LimitError):
        two.stack.resting.told(two.record, word, two.now)
    two.record.live = None
    with pytest.raises(ProtocolError):
        two.stack.resting.told(two.record, word, two.now)


def test_a_sleeper_is_what_presence_says_and_what_it_was_comes_back() -> None:
    world = World(6, Wire(), lambda *_: None)
    stack = world.add("alone", QUIET)
    stack.handle(events.SetPresence("busy", "digging"), 1.0)
    (rested,) = stack.handle(events.Sleep(note="good night"), 2.0)
    assert rested == events.Rested(True)
    assert stack.shared.presence == ("asleep", "good night")
    assert stack.handle(events.Sleep(), 3.0) == [], "it sleeps already"
    assert events.Rested(False) in stack.handle(events.Register("our garden"), 4.0)
    assert stack.shared.presence == ("busy", "digging")
    assert stack.handle(events.Wake(), 5.0) == []


def test_what_wakes_is_what_the_application_does() -> None:
    assert {events.Post, events.Ask, events.Connect, events.Resonate} <= ACTIVITY
    reactions: set[Any] = {events.Answer, events.LinkData, events.Tick, events.Consumed}
    assert not reactions & ACTIVITY
