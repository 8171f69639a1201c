"""Whole nodes that sleep: they speak seldom, stay connected, and get what is for them."""

from __future__ import annotations

import msgspec
import pytest

from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events, greeting, resting
from whispurrnet.stack.config import Config, GossipConfig, RestConfig
from whispurrnet.stack.stack import Stack

CHUM = Config(profile="chum", channel=msgspec.structs.replace(Config().channel, heartbeat_s=10.0))


class Counted(Stack):
    """A node whose sends are counted: each is a time that a radio is on."""

    writes = announcements = 0

    def handle(self, event: events.Event, now: float) -> list[events.Effect]:
        effects = super().handle(event, now)
        self.writes += sum(isinstance(effect, events.Write) for effect in effects)
        self.announcements += sum(isinstance(effect, events.Announce) for effect in effects)
        return effects

    def take(self) -> tuple[int, int]:
        """What was sent since the last time: records, and beacons."""
        sent = self.writes, self.announcements
        self.writes = self.announcements = 0
        return sent


class House:
    """A sensor, and some who know it."""

    def __init__(self, *others: str, config: Config = CHUM, seed: int = 3) -> None:
        self.heard: list[tuple[float, str, bytes]] = []
        self.news: list[tuple[float, str, events.Effect]] = []
        self.world = World(seed, Wire(), self._observe)
        for name in ("sensor", *others):
            self.world.add(name, config, make=Counted)
        self.world.run(0.1)
        for name in others:
            self.world.connect("sensor", name)
        self.world.run(60.0)
        assert len(list(self.world.sessions("sensor"))) == len(others)
        self.news.clear()  # two that call each other at once end one session

    def _observe(self, now: float, node: str, effect: events.Effect) -> None:
        self.news.append((now, node, effect))
        if isinstance(effect, events.Delivered):
            self.heard += [(now, node, whisper.body) for whisper in effect.whispers]

    def node(self, name: str) -> Counted:
        stack = self.world.nodes[name]
        assert isinstance(stack, Counted)
        return stack

    def run(self, for_s: float) -> None:
        self.world.run(self.world.now + for_s)

    def whisper(self, source: str, target: str, body: bytes, priority: int = 5) -> None:
        handle = next(handle for name, handle in self.world.sessions(source) if name == target)
        id = len(self.heard) + 100 + hash(body) % 10_000
        post = events.Post(peer=handle, id=id, kind=1, body=body, priority=priority, ttl_s=600.0)
        self.world.inject(source, post)

    def downs(self) -> list[str]:
        return [node for _, node, effect in self.news if isinstance(effect, events.PeerDown)]


def sends(seconds: float, names: str, *, asleep: bool) -> tuple[int, int]:
    """Records and beacons that the sensor sends."""
    house = House(*names)
    if asleep:
        house.world.inject("sensor", events.Sleep())
        house.run(130.0)
    house.node("sensor").take()
    house.run(seconds)
    assert not house.downs()
    assert len(list(house.world.sessions("sensor"))) == len(names)
    return house.node("sensor").take()


def test_who_sleeps_speaks_seldom() -> None:
    awake = sends(480.0, "abc", asleep=False)
    asleep = sends(480.0, "abc", asleep=True)
    assert asleep[0] * 5 < awake[0]
    assert asleep[1] * 10 < awake[1]


@pytest.mark.soak
def test_fifty_minutes_of_sleep() -> None:
    """With five peers; these are the figures of docs/how-to/chum.md."""
    awake = sends(3000.0, "abcde", asleep=False)
    asleep = sends(3000.0, "abcde", asleep=True)
    print(f"records, beacons: awake {awake}, asleep {asleep}")  # noqa: T201 - what -s is for
    assert sum(asleep) * 10 < sum(awake)


def test_what_can_wait_comes_together_and_what_is_urgent_at_once() -> None:
    house = House("a")
    house.world.inject("sensor", events.Sleep())
    house.run(30.0)
    house.whisper("a", "sensor", b"the first comes at once: nothing came for long")
    house.run(2.0)
    assert [body[:9] for _, _, body in house.heard] == [b"the first"]
    house.heard.clear()
    house.node("a").take()
    began = house.world.now
    for n in range(5):
        house.whisper("a", "sensor", b"%d" % n)
        house.run(1.0)
    assert not house.heard
    assert house.node("a").take()[0] == 0
    house.whisper("a", "sensor", b"fire", priority=resting.URGENT)
    house.run(0.5)
    assert [body for _, _, body in house.heard] == [b"fire", b"0", b"1", b"2", b"3", b"4"]
    house.heard.clear()
    house.run(2.0)
    house.whisper("a", "sensor", b"late")
    house.run(RestConfig().hold_s + 1.0)
    ((when, _, _),) = house.heard
    assert 5.5 < when - began < 5.5 + RestConfig().hold_s + 1.0
    assert not house.downs()


def test_without_sleep_nothing_waits() -> None:
    """The control of the test above."""
    house = House("a")
    for n in range(5):
        house.whisper("a", "sensor", b"%d" % n)
        house.run(1.0)
        assert len(house.heard) == n + 1


def test_a_question_to_who_sleeps_is_answered() -> None:
    house = House("a")
    house.world.inject("sensor", events.Sleep())
    house.run(30.0)
    house.whisper("a", "sensor", b"its radio is on for a while")
    house.run(3.0)
    handle = next(handle for _, handle in house.world.sessions("a"))
    asked = house.world.now
    ask = events.Ask(peer=handle, id=1, name="how", body=b"", priority=5, timeout_s=30.0)
    house.world.inject("a", ask)
    questions: list[events.Asked] = []
    while not questions:
        house.run(0.1)
        questions = [effect for _, _, effect in house.news if isinstance(effect, events.Asked)]
    came = house.world.now - asked
    assert 1.0 < came <= RestConfig().hold_s
    (ours,) = (r.live for r in house.node("sensor").roster)
    assert ours is not None
    ours.free_at = house.world.now + RestConfig().hold_s
    house.world.inject("sensor", events.Answer(questions[0].peer, questions[0].id, b"well", ""))
    house.run(0.5)
    answers = [effect for _, _, effect in house.news if isinstance(effect, events.Answered)]
    assert [answer.body for answer in answers] == [b"well"], "at once: who asked listens"
    assert house.node("sensor").resting.asleep, "an answer is no doing of one's own"


def test_whoever_does_something_wakes() -> None:
    house = House("a", "b")
    house.world.inject("sensor", events.SetPresence("busy", "measuring"))
    house.run(1.0)
    house.world.inject("sensor", events.Sleep(note="good night"))
    house.run(1.0)
    for name in ("a", "b"):
        record = next(r for r in house.node(name).roster if r.presence[0] == "asleep")
        assert record.presence == ("asleep", "good night")
        assert record.live is not None
        assert record.live.sleeps_s == RestConfig().heartbeat_s
        assert record.live.channel.heartbeat.interval_s == RestConfig().heartbeat_s
    house.whisper("sensor", "a", b"up again")
    house.run(1.0)
    assert [body for _, _, body in house.heard] == [b"up again"]
    rested = [effect.asleep for _, _, effect in house.news if isinstance(effect, events.Rested)]
    assert rested == [True, False]
    for name in ("a", "b"):
        record = next(r for r in house.node(name).roster if r.presence[0] == "busy")
        assert record.presence == ("busy", "measuring")
        assert record.live is not None
        assert record.live.hold_s == record.live.sleeps_s == 0
        assert record.live.channel.heartbeat.interval_s == CHUM.channel.heartbeat_s
    house.run(600.0)
    assert not house.downs()


def test_it_wakes_at_its_time_and_falls_asleep_by_itself() -> None:
    config = msgspec.structs.replace(CHUM, rest=RestConfig(after_s=300.0))
    house = House("a", config=config)
    stack = house.node("sensor")
    house.world.inject("sensor", events.Sleep(60.0))
    house.run(50.0)
    assert stack.resting.asleep
    house.run(20.0)
    assert not stack.resting.asleep
    house.run(200.0)
    house.whisper("sensor", "a", b"still at work")
    house.run(300.0)
    assert not stack.resting.asleep
    house.run(400.0)
    assert stack.resting.asleep
    assert not house.downs()


def test_what_is_posted_the_short_way_wakes_too() -> None:
    house = House("a")
    stack = house.node("sensor")
    house.world.inject("sensor", events.Sleep())
    house.run(30.0)
    ((_, handle),) = house.world.sessions("sensor")
    record = stack.roster.get(handle)
    assert record is not None
    assert record.live is not None
    stack.post_unacknowledged(record.live, 1, b"now", 5)
    house.world.inject("sensor", events.Flush())
    house.run(1.0)
    assert [body for _, _, body in house.heard] == [b"now"]
    assert not stack.resting.asleep


@pytest.mark.parametrize("seed", range(4))
def test_sleepers_and_sleepless_lose_nothing(seed: int) -> None:
    """Everybody falls asleep and wakes; each whisper comes once and in order, and in time."""
    house = House("a", "b", seed=seed)
    rng = house.world._rng
    sent: dict[tuple[str, str], list[bytes]] = {}
    for n in range(60):
        name = rng.choice(["sensor", "a", "b"])
        if rng.random() < 0.4:
            house.world.inject(name, events.Sleep(rng.choice([None, 5.0, 100.0])))
        target = "sensor" if name != "sensor" else rng.choice(["a", "b"])
        body = b"%s>%s %d" % (name.encode(), target.encode(), n)
        house.whisper(name, target, body)
        sent.setdefault((name, target), []).append(body)
        house.run(rng.choice([1.0, 10.0, 40.0]))
    house.run(RestConfig().hold_s + 5.0)
    for (name, target), bodies in sent.items():
        mark = f"{name}>{target} ".encode()
        assert [body for _, _, body in house.heard if body.startswith(mark)] == bodies
    assert not house.downs()


def test_a_sleeper_that_is_gone_is_noticed_in_the_end() -> None:
    house = House("a")
    house.world.inject("sensor", events.Sleep())
    house.run(30.0)
    house.world.crash("sensor", silent=True)
    house.run(4 * CHUM.channel.heartbeat_s)
    assert not house.downs(), "awake it would be taken for dead by now"
    house.run(3 * RestConfig().heartbeat_s)
    assert house.downs() == ["a"]


def test_who_wakes_takes_nobody_for_dead() -> None:
    """Nobody spoke for longer than an awake node would bear."""
    house = House("a", config=msgspec.structs.replace(CHUM, gossip=GossipConfig(on=False)))
    house.world.inject("sensor", events.Sleep())
    house.run(110.0)
    house.world.inject("sensor", events.Wake())
    house.run(60.0)
    assert not house.downs()
    assert not house.node("sensor").resting.asleep


def test_who_says_that_it_sleeps_for_ever_is_believed_five_minutes() -> None:
    house = House("a")
    ((_, handle),) = house.world.sessions("sensor")
    record = house.node("sensor").roster.get(handle)
    assert record is not None
    assert record.live is not None
    house.node("sensor").links._whisper(record.live, greeting.Asleep(0xFFFFFFFF))
    house.world.inject("sensor", events.Flush())
    house.run(1.0)
    (other,) = house.node("a").roster
    assert other.live is not None
    assert other.live.sleeps_s == resting.HEARTBEAT_MAX_S


def test_who_falls_asleep_and_wakes_without_end_is_cut_off() -> None:
    house = House("a")
    ((_, handle),) = house.world.sessions("sensor")
    record = house.node("sensor").roster.get(handle)
    assert record is not None
    assert record.live is not None
    for _ in range(40):
        house.node("sensor").links._whisper(record.live, greeting.Asleep(1000))
    house.world.inject("sensor", events.Flush())
    house.run(1.0)
    assert "a" in house.downs()


def test_a_new_peer_is_told_that_we_sleep() -> None:
    house = House("a")
    house.world.inject("sensor", events.Sleep())
    house.run(30.0)
    house.world.add("b", CHUM, make=Counted)
    house.run(1.0)
    house.world.connect("b", "sensor")
    house.run(20.0)
    sleeper = next(r for r in house.node("b").roster if r.presence[0] == "asleep")
    assert sleeper.live is not None
    assert sleeper.live.sleeps_s == RestConfig().heartbeat_s


def test_a_broadcast_reaches_who_sleeps_and_an_emergency_at_once() -> None:
    house = House("a", "b")
    house.world.inject("sensor", events.Sleep())
    house.run(60.0)
    began = house.world.now
    house.world.inject("a", events.Broadcast(1, b"fire", urgent=True, ttl_s=60.0, signed=False))
    house.run(1.5)

    def came(payload: bytes) -> list[float]:
        return [
            when
            for when, node, effect in house.news
            if node == "sensor" and isinstance(effect, events.Gossiped)
            and effect.payload == payload
        ]  # fmt: skip

    assert came(b"fire")
    house.world.inject("a", events.Broadcast(2, b"tea", urgent=False, ttl_s=120.0, signed=False))
    house.run(90.0)
    assert came(b"tea")
    assert house.world.now - began < 100.0
