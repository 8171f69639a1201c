"""Random walks over one stem, with peers who come, go, repeat themselves and make things up.

The model is a dictionary: what was handed on is held, and leaves it by one of three doors: it is
seen in the open, we spread it, or it expires. See `test_courier` for why the world is so small.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from whispurrnet.gossip.stem import (
    Add,
    Arrived,
    Config,
    Event,
    Fluff,
    Fluffed,
    Own,
    Relay,
    Remove,
    Stem,
    Tick,
)

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 150
PEERS = 6
IDS = [bytes([n]) * 16 for n in range(12)]


class World:
    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.config = Config(
            epoch_s=self.rng.choice((5.0, 60.0)),
            epoch_jitter_s=self.rng.choice((0.0, 3.0)),
            successors=self.rng.choice((1, 2, 3)),
            fluff=self.rng.choice((0.0, 0.2, 0.8)),
            relayed_per_s=1e9,  # pacing has tests of its own
            relayed_burst=1e9,
            embargo_mean_s=self.rng.choice((0.1, 8.0)),
            held_max=self.rng.choice((1, 3, 100)),
            held_bytes_max=self.rng.choice((40, 10**6)),
            on=self.rng.random() < 0.95,
            embargo=self.rng.random() < 0.9,
        )
        self.stem = Stem(self.config, Random(seed))
        self.now = self.rng.choice((0.0, 1e6))
        self.peers: dict[int, bool] = {}
        self.held: dict[bytes, tuple[bytes, float, bool, float]] = {}
        """What must be held: body, when it expires, whether it is ours, since when."""
        self.routes: dict[tuple[int | None, int], float] = {}
        """From whom to whom something went, and when that began."""
        self.count = 0

    def feed(self, event: Event) -> None:
        subject = event.id if isinstance(event, Own | Arrived | Fluffed) else None
        source = event.peer if isinstance(event, Arrived) else None
        was_held = subject in self.held
        first = True
        for effect in self.stem.handle(event, self.now):
            match effect:
                case Relay(peer, body):
                    assert isinstance(event, Own | Arrived) and not was_held
                    assert peer in self.peers and peer != source
                    assert self.config.on and event.expires_at > self.now and body == event.body
                    called = [p for p, ours in self.peers.items() if ours and p != source]
                    assert not called or self.peers[peer], "one that we called, if there is any"
                    own = isinstance(event, Own)
                    self.held[event.id] = (body, event.expires_at, own, self.now)
                    first = False
                case Fluff(body, why):
                    assert first, "first room is made, then it is used"
                    self.spread(event, body, why)
        if isinstance(event, Fluffed):
            self.held.pop(event.id, None)
        self.check()

    def spread(self, event: Event, body: bytes, why: str) -> None:
        match event, why:
            case (Own() | Arrived(), "full"):
                [(id, gone)] = [(id, held) for id, held in self.held.items() if held[0] == body]
                better = [held for held in self.held.values() if not held[2]]
                older = [held for held in better or self.held.values() if held[3] < gone[3]]
                assert not older and (not gone[2] or not better)
                del self.held[id]
            case (Arrived(), "loop"):
                assert self.held.pop(event.id)[0] == body
            case (Arrived(), "coin" | "stranger" | "alone" | "off") | (Own(), "alone" | "off"):
                assert event.id not in self.held and event.body == body
                assert event.expires_at > self.now
                assert (why == "off") == (not self.config.on)
                assert why != "coin" or self.config.fluff > 0
                if why == "stranger":
                    assert isinstance(event, Arrived) and event.peer not in self.peers
                if why == "alone":
                    source = event.peer if isinstance(event, Arrived) else None
                    assert not [peer for peer in self.peers if peer != source]
            case (Tick(), "embargo"):
                [(id, gone)] = [(id, held) for id, held in self.held.items() if held[0] == body]
                assert self.config.embargo and gone[1] > self.now
                assert self.now >= gone[3] + min(self.config.embargo_min_s, (gone[1] - gone[3]) / 4)
                del self.held[id]
            case _:
                raise AssertionError((event, why))

    def check(self) -> None:
        for id in IDS:
            if id in self.stem and id in self.held:
                continue
            assert id not in self.stem
            if id in self.held:  # it left without a word: only what has expired does
                assert self.held.pop(id)[1] <= self.now
        assert len(self.stem) == len(self.held)
        deadline = self.stem.deadline
        assert (deadline is None) == (not self.held)
        if deadline is not None:
            assert deadline <= min(held[1] for held in self.held.values())

    # Steps

    def add(self) -> None:
        peer, outbound = self.rng.randrange(PEERS), self.rng.random() < 0.5
        self.peers[peer] = outbound
        self.feed(Add(peer, outbound))

    def remove(self) -> None:
        peer = self.rng.randrange(PEERS)
        self.peers.pop(peer, None)
        self.feed(Remove(peer))

    def message(self) -> tuple[bytes, bytes, float]:
        self.count += 1
        body = b"%d" % self.count + bytes(self.rng.choice((0, 10, 50)))
        return self.rng.choice(IDS), body, self.now + self.rng.choice((-1.0, 0.0, 1.0, 20.0, 300.0))

    def own(self) -> None:
        self.feed(Own(*self.message()))

    def arrive(self) -> None:
        self.feed(Arrived(self.rng.randrange(PEERS), *self.message()))

    def fluffed(self) -> None:
        self.feed(Fluffed(self.rng.choice(IDS)))

    def wait(self) -> None:
        self.now += self.rng.choice((0.01, 1.0, 10.0, 400.0))

    def tick(self) -> None:
        due = self.stem.deadline
        if due is not None and self.rng.random() < 0.7:
            self.now = max(self.now, due)
        self.feed(Tick())

    def finish(self) -> None:
        """In the end nothing is held, and nothing was lost: `spread` and `check` saw it go."""
        while (due := self.stem.deadline) is not None:
            self.now = max(self.now, due)
            self.feed(Tick())
        assert not self.held


STEPS_OF_A_WALK = (
    World.add,
    World.add,
    World.remove,
    World.own,
    World.arrive,
    World.arrive,
    World.fluffed,
    World.wait,
    World.tick,
)


def walk(seed: int) -> None:
    world = World(seed)
    odds = [world.rng.random() ** 2 for _ in STEPS_OF_A_WALK]
    for step in world.rng.choices(STEPS_OF_A_WALK, odds, k=STEPS):
        step(world)
    world.finish()


@pytest.mark.parametrize("seed", [0])
def test_nothing_handed_on_is_lost(seed: int) -> None:
    for n in range(RUNS):
        try:
            walk(seed + n)
        except BaseException as error:
            error.add_note(f"walk({seed + n})")
            raise


def line(seed: int) -> None:
    """Within one epoch and one set of peers, each of them has one route, over few successors."""
    rng = Random(seed)
    stem = Stem(Config(fluff=0.0, relayed_per_s=1e9, relayed_burst=1e9), Random(seed))
    peers = {peer: rng.random() < 0.5 for peer in range(rng.randrange(2, 9))}
    for peer, outbound in peers.items():
        stem.handle(Add(peer, outbound), 0.0)
    routes: dict[int | None, int] = {}
    for n in range(60):
        source = rng.choice((None, *peers))
        id = b"%d" % n
        own = Own(id, id, 300.0)
        [effect] = stem.handle(own if source is None else Arrived(source, id, id, 300.0), 1.0)
        assert isinstance(effect, Relay)
        assert routes.setdefault(source, effect.peer) == effect.peer
        assert effect.peer != source
    called = [peer for peer, outbound in peers.items() if outbound]
    used = {to for to in routes.values() if peers[to]}
    assert len(used) <= 2
    if called:
        assert all(peers[to] for source, to in routes.items() if called != [source])


@pytest.mark.parametrize("seed", [0])
def test_routes_hold_for_an_epoch(seed: int) -> None:
    for n in range(RUNS):
        line(seed + n)
