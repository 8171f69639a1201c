"""The stem: who gets what, for how long it is held, and when it is spread instead."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from whispurrnet.base.errors import ConfigError
from whispurrnet.gossip.stem import (
    Add,
    Arrived,
    Config,
    Effect,
    Event,
    Fluff,
    Fluffed,
    Own,
    Relay,
    Remove,
    Stem,
    Tick,
)

LATER = 300.0
"""When messages expire, unless a test says otherwise."""


class Node:
    """A stem with peers and a clock."""

    def __init__(self, *, outbound: int = 4, inbound: int = 4, seed: int = 0, **config: object):
        settings = {"fluff": 0.0, **config}
        settings.setdefault("relayed_per_s", 1e9)
        settings.setdefault("relayed_burst", 1e9)
        self.stem = Stem(Config(**settings), random.Random(seed))  # type: ignore[arg-type]
        self.now = 0.0
        self.outbound = list(range(outbound))
        self.inbound = list(range(100, 100 + inbound))
        for peer in self.outbound:
            assert not self.do(Add(peer, True))
        for peer in self.inbound:
            assert not self.do(Add(peer, False))
        self.sent = 0

    def do(self, event: Event) -> list[Effect]:
        return self.stem.handle(event, self.now)

    def own(self, expires_at: float | None = None) -> Effect:
        self.sent += 1
        body = b"own %d" % self.sent
        [effect] = self.do(Own(body, body, self.now + LATER if expires_at is None else expires_at))
        assert effect.body == body
        return effect

    def arrive(self, peer: int) -> Effect:
        self.sent += 1
        body = b"message %d" % self.sent
        [effect] = self.do(Arrived(peer, body, body, self.now + LATER))
        assert effect.body == body
        return effect

    def route(self, peer: int | None) -> int:
        """Where a message of ours, or of a peer, goes."""
        effect = self.own() if peer is None else self.arrive(peer)
        assert isinstance(effect, Relay)
        self.do(Fluffed(effect.body))
        return effect.peer

    def routes(self) -> dict[int | None, int]:
        return {peer: self.route(peer) for peer in (None, *self.outbound, *self.inbound)}

    def wait(self) -> list[Effect]:
        """Let the next embargo end."""
        assert self.stem.deadline is not None
        self.now = self.stem.deadline
        return self.do(Tick())


# Routes


def test_each_peer_has_one_of_two_successors() -> None:
    node = Node()
    routes = node.routes()
    assert len(set(routes.values()) & set(node.outbound)) == len(set(routes.values())) == 2
    assert all(node.routes() == routes for _ in range(20)), "fixed for the epoch"


def test_both_successors_are_used_alike() -> None:
    to_first = 0
    for seed in range(400):
        node = Node(seed=seed)
        low, _ = sorted(set(node.routes().values()))
        to_first += node.route(None) == low
    assert 150 < to_first < 250


def test_every_peer_we_called_can_be_a_successor() -> None:
    """Who connected first after the start is not preferred."""
    chosen = Counter(Node(seed=seed).route(None) for seed in range(400))
    assert set(chosen) == {0, 1, 2, 3}
    assert min(chosen.values()) > 60


def test_an_epoch_brings_new_successors_and_a_new_coin() -> None:
    node = Node(fluff=0.5)
    seen, coins = set(), set()
    for epoch in range(40):
        node.now = epoch * 630.0
        seen.add(node.route(None))
        coins.add(isinstance(node.arrive(100), Fluff))
    assert seen == {0, 1, 2, 3}
    assert coins == {True, False}


def test_an_epoch_lasts_as_long_as_it_should() -> None:
    lengths = []
    for seed in range(30):
        node = Node(seed=seed, outbound=200)
        before = node.route(None)
        while node.route(None) == before:
            node.now += 1.0
        lengths.append(node.now)
    assert 600 <= min(lengths) < 610
    assert 620 < max(lengths) <= 631


def test_nothing_goes_back_where_it_came_from() -> None:
    for seed in range(50):
        node = Node(outbound=3, seed=seed)
        assert all(source != to for source, to in node.routes().items())


def test_the_only_one_we_called_gets_its_own_messages_not_back() -> None:
    node = Node(outbound=1, inbound=2)
    assert node.routes() == {None: 0, 0: node.route(0), 100: 0, 101: 0}
    assert node.route(0) in (100, 101)
    alone = Node(outbound=1, inbound=0)
    assert alone.route(None) == 0
    assert alone.arrive(0) == Fluff(b"message 2", "alone")


def test_a_dead_successor_is_replaced_at_once() -> None:
    node = Node()
    before = node.routes()
    dead = node.route(None)
    node.do(Remove(dead))
    node.outbound.remove(dead)
    after = node.routes()
    assert len(set(after.values())) == 2
    assert dead not in after.values()
    for source, to in before.items():
        if to != dead and source != dead:
            assert after[source] == to, "the others stay"


def test_a_peer_that_comes_back_is_a_stranger() -> None:
    node = Node(outbound=8)
    routes = set()
    for _ in range(40):
        node.do(Remove(100))
        node.do(Add(100, False))
        routes.add(node.route(100))
    assert len(routes) == 2


def test_without_peers_that_we_called_any_will_do_for_the_time_being() -> None:
    node = Node(outbound=0)
    makeshift = node.route(None)
    assert makeshift in node.inbound
    assert {node.route(None) for _ in range(10)} == {makeshift}
    node.do(Add(7, True))
    assert node.route(None) == node.route(100) == 7
    node.do(Add(8, True))
    node.do(Add(9, True))
    assert node.route(None) == 7, "the first two stay for the epoch"


def test_a_peer_whose_direction_is_learnt_anew() -> None:
    node = Node(outbound=1, inbound=1)
    assert node.route(None) == 0
    node.do(Add(0, False))
    node.do(Add(100, True))
    assert node.route(None) == 100
    node.do(Add(100, True))
    assert node.route(None) == 100


def test_without_peers_it_is_spread_at_once() -> None:
    node = Node(outbound=0, inbound=0)
    assert node.own() == Fluff(b"own 1", "alone")
    assert node.stem.deadline is None


def test_what_a_stranger_hands_on_is_spread_at_once() -> None:
    node = Node()
    assert node.arrive(555) == Fluff(b"message 1", "stranger")
    node.do(Remove(555))


# The coin


def test_the_coin_is_for_the_messages_of_others() -> None:
    node = Node(fluff=1.0)
    assert node.arrive(100) == Fluff(b"message 1", "coin")
    assert isinstance(node.own(), Relay), "or each message of ours would name us"


def test_the_coin_falls_as_often_as_it_should() -> None:
    spread = [isinstance(Node(fluff=0.2, seed=seed).arrive(100), Fluff) for seed in range(1000)]
    assert 160 < sum(spread) < 240


def test_it_can_be_switched_off() -> None:
    node = Node(on=False)
    assert node.own() == Fluff(b"own 1", "off")
    assert node.arrive(100) == Fluff(b"message 2", "off")


# The embargo


def test_seen_in_the_open_in_time() -> None:
    node = Node()
    node.own()
    assert b"own 1" in node.stem
    assert node.stem.deadline is not None
    assert not node.do(Fluffed(b"own 1"))
    assert not node.do(Fluffed(b"own 1"))
    assert node.stem.deadline is None
    assert len(node.stem) == 0


@pytest.mark.parametrize("mine", [True, False])
def test_not_seen_in_the_open_in_time(mine: bool) -> None:
    node = Node()
    body = (node.own() if mine else node.arrive(100)).body
    assert node.stem.deadline is not None
    assert node.stem.deadline >= 2.0
    assert not node.do(Tick()), "too early"
    assert node.wait() == [Fluff(body, "embargo")]
    assert node.stem.deadline is None


def test_embargoes_are_as_long_as_they_should_be() -> None:
    node = Node(held_max=5000)
    lengths = []
    for _ in range(4000):
        id = node.own().body
        assert node.stem.deadline is not None
        lengths.append(node.stem.deadline - node.now)
        node.do(Fluffed(id))
    assert 2.0 <= min(lengths) < 2.02
    assert 9.6 < sum(lengths) / len(lengths) < 10.4
    assert 0.33 < sum(length > 10 for length in lengths) / len(lengths) < 0.41  # e^-1


def test_the_embargo_leaves_half_of_a_short_life() -> None:
    node = Node()
    for _ in range(500):
        node.own(expires_at=node.now + 8.0)
    left = []
    while node.stem.deadline is not None:
        [effect] = node.wait()
        assert isinstance(effect, Fluff)
        left.append(8.0 - node.now)
    assert len(left) == 500
    assert min(left) >= 4.0
    assert max(left) <= 6.0


def test_what_has_expired_is_neither_handed_on_nor_spread() -> None:
    node = Node()
    assert not node.do(Own(b"id", b"body", 0.0))
    assert not node.do(Arrived(100, b"id", b"body", -1.0))
    node.own(expires_at=20.0)
    node.now = 20.0  # the machine slept
    assert not node.do(Tick())
    assert len(node.stem) == 0


def test_without_embargo_it_is_lost() -> None:
    """The mutant of the simulator."""
    node = Node(embargo=False)
    node.own()
    assert node.stem.deadline == LATER
    assert not node.wait()
    assert len(node.stem) == 0


# Loops and limits


@pytest.mark.parametrize("mine", [True, False])
def test_a_loop_ends_where_it_is_noticed(mine: bool) -> None:
    node = Node()
    id = (node.own() if mine else node.arrive(100)).body
    [effect] = node.do(Arrived(101, id, b"the same with another stamp", LATER))
    assert effect == Fluff(id, "loop"), "as it was when it first came"
    assert node.stem.deadline is None


def test_own_again_is_ignored() -> None:
    node = Node()
    node.own()
    assert not node.do(Own(b"own 1", b"own 1", LATER))


def test_too_many_are_spread_early_oldest_first_ours_last() -> None:
    node = Node(held_max=3)
    node.own()
    node.arrive(100)
    node.arrive(100)
    effects = node.do(Arrived(101, b"new", b"new", LATER))
    assert effects[0] == Fluff(b"message 2", "full")
    assert isinstance(effects[1], Relay) and len(effects) == 2
    node = Node(held_max=2)
    node.own()
    node.own()
    assert node.do(Own(b"new", b"new", LATER))[0] == Fluff(b"own 1", "full")
    assert len(node.stem) == 2


def test_too_many_bytes_are_spread_early() -> None:
    node = Node(held_bytes_max=1000)
    for name in (b"a", b"b", b"c"):
        node.do(Arrived(100, name, name * 300, LATER))
    *full, last = node.do(Arrived(100, b"d", b"d" * 500, LATER))
    assert full == [Fluff(b"a" * 300, "full"), Fluff(b"b" * 300, "full")]
    assert isinstance(last, Relay)
    *full, last = node.do(Arrived(100, b"e", b"e" * 5000, LATER))
    assert [len(each.body) for each in full] == [300, 500]
    assert isinstance(last, Relay)
    node.do(Fluffed(b"e"))
    assert isinstance(node.own(), Relay)
    assert len(node.stem) == 1


@pytest.mark.parametrize("wrong", [{"fluff": 1.5}, {"successors": 0}, {"held_max": 0}])
def test_settings_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Config(**wrong)  # type: ignore[arg-type]


# Pace


def test_our_own_messages_wait_for_their_turn_and_none_is_lost_or_spread_by_us() -> None:
    node = Node(relayed_per_s=2.0, relayed_burst=3.0)
    bodies = [b"%d" % n for n in range(10)]
    sent: list[Effect] = []
    for body in bodies:
        sent += node.do(Own(body, body, LATER))
    assert [effect.body for effect in sent] == bodies[:3]
    for body in bodies[:3]:
        node.do(Fluffed(body))
    while len(sent) < 10:
        due = node.stem.deadline
        assert due is not None
        assert due <= 5.0
        node.now = due
        new = node.do(Tick())
        sent += new
        for effect in new:
            node.do(Fluffed(effect.body))
    assert [effect.body for effect in sent] == bodies
    assert all(isinstance(effect, Relay) for effect in sent)
    assert node.now >= 3.0


def test_what_others_hand_on_beyond_the_pace_is_spread_at_once() -> None:
    node = Node(outbound=1, inbound=1, relayed_per_s=1.0, relayed_burst=2.0)
    effects = [node.arrive(100) for _ in range(5)]
    assert [type(effect) for effect in effects] == [Relay, Relay, Fluff, Fluff, Fluff]
    assert {effect.why for effect in effects if isinstance(effect, Fluff)} == {"full"}
