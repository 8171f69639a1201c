"""Random walks over one spreading core among hostile neighbours, and a plain account beside it.

The account knows which messages were delivered, who is there and what each was told; the core
asserts its own invariants at each step.
"""

from __future__ import annotations

import os
from random import Random

from tests.sim.overlay import Plain, body

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.gossip.spread import (
    Add,
    Arrived,
    Config,
    Deliver,
    Effect,
    Event,
    Fault,
    Publish,
    Remove,
    Send,
    Spread,
    Sync,
    Useful,
)
from whispurrnet.gossip.spread_frames import PUSH, SYNC, SYNCED, ids, ihave, iwant, push

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 60
PEERS = range(5)
KINDS = [
    *("add", "remove", "push", "push", "forged", "ihave", "ihave", "iwant", "sync", "synced"),
    *("garbage", "publish", "compare", "tick", "tick", "jump"),
]


class World:
    """What a driver sees of one core."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.config = Config(
            fanout=rng.randrange(4),
            hops_max=rng.randrange(5, 11),
            eager_bytes_max=rng.choice([50, 4096]),
            announce_s=rng.choice([0.0, 0.05, 1.0]),
            announce_ids=rng.randrange(1, 5),
            want_tries=rng.randrange(1, 4),
            asked_max=rng.randrange(1, 4),
            announced_max=rng.randrange(1, 6),
            cache_bytes=rng.choice([100, 500, 10**6]),
            served_bytes_per_s=rng.choice([100.0, 10**6]),
            sync_s=rng.choice([1.0, 60.0]),
        )
        self.checker = Plain()
        self.core = Spread(self.config, self.checker, rng)
        self.other = Spread(Config(), Plain(), rng)  # who answers comparisons properly
        self.other.handle(Add(0), 0.0)
        self.now = rng.choice([10.0, 1e6])
        self.peers: dict[int, None] = {}
        self.bodies: list[bytes] = []
        self.delivered: dict[bytes, None] = {}
        self.asked: dict[tuple[int, bytes], None] = {}

    def body(self) -> bytes:
        rng = self.rng
        if not self.bodies or rng.random() < 0.4:
            life = rng.choice([-1.0, 0.5, 20.0, 300.0, 330.0, 400.0])
            text = body(
                rng.randbytes(16),
                self.now + life,
                urgent=rng.random() < 0.2,
                size=rng.choice([40, 64, 120]),
            )
            self.bodies.append(text)
        return rng.choice(self.bodies)

    def ids(self) -> list[bytes]:
        rng = self.rng
        return [
            self.body()[:16] if rng.random() < 0.7 else rng.randbytes(16)
            for _ in range(rng.randrange(1, 5))
        ]

    def event(self, kind: str) -> Event:
        rng = self.rng
        peer = rng.choice(PEERS)
        match kind:
            case "add":
                return Add(peer)
            case "remove":
                return Remove(peer)
            case "push":
                return Arrived(peer, push(rng.randrange(12), self.body()))
            case "forged":
                return Arrived(peer, push(0, self.body()[:29] + b"forged" + bytes(20)))
            case "ihave":
                return Arrived(peer, ihave(rng.randrange(3), self.ids()))
            case "iwant":
                return Arrived(peer, iwant(self.ids()))
            case "sync":
                self.other.handle(Publish(body(rng.randbytes(16), self.now + 300)), self.now)
                query = self.other.handle(Sync(0), self.now)[0]
                assert isinstance(query, Send)
                return Arrived(peer, query.data)
            case "synced":
                return Arrived(peer, bytes((SYNCED,)) + rng.randbytes(rng.randrange(40)))
            case "garbage":
                return Arrived(peer, rng.randbytes(rng.randrange(60)))
            case "publish":
                return Publish(self.body())
            case "compare":
                return Sync(peer)
            case "jump":
                self.now += rng.choice([0.01, 0.3, 5.0, 100.0, 301.0])
                return Tick()
            case _:
                self.now = max(self.now, self.core.deadline or self.now)
                return Tick()

    def step(self, event: Event) -> None:
        if isinstance(event, Publish):
            try:
                self.checker.inspect(event.body, self.now)
            except ProtocolError:
                return
        match event:
            case Add(peer):
                self.peers[peer] = None
            case Remove(peer):
                self.peers.pop(peer, None)
        effects = self.core.handle(event, self.now)
        self.core.check_invariants()
        for effect in effects:
            self.account(event, effect)
        if isinstance(event, Tick):
            due = self.core.deadline
            assert due is None or due > self.now or self.config.announce_s == 0, "a tick settles"

    def account(self, event: Event, effect: Effect) -> None:
        match effect:
            case Send(peer, data, _):
                assert peer in self.peers
                self.sent(event, peer, data)
            case Deliver(text, hop, item):
                assert item.id not in self.delivered, "twice"
                assert item.expires_at > self.now
                assert 0 <= hop <= self.config.hops_max
                assert text in self.bodies, "forged"
                assert self.core.has(item.id)
                self.delivered[item.id] = None
            case Useful(peer):
                assert isinstance(event, Arrived) and event.peer == peer
            case Fault(peer, kind):
                assert peer in self.peers
                assert kind == "unserved" or (isinstance(event, Arrived) and event.peer == peer)

    def sent(self, event: Event, peer: int, data: bytes) -> None:
        match data[0]:
            case 1:  # a push
                item = self.checker.inspect(data[2:], self.now)
                assert item.expires_at > self.now
                assert data[1] <= self.config.hops_max
                assert self.core.has(item.id)
                if isinstance(event, Arrived) and event.data[0] == PUSH:
                    assert event.peer != peer, "nothing goes back"
                    assert len(data) - 2 <= self.config.eager_bytes_max
            case 2:  # an announcement
                names = ids(data, 2)
                assert names and len(names) <= self.config.announce_ids
                assert all(self.core.has(id) for id in names)
            case 3:  # a question
                names = ids(data, 1)
                assert names and len(names) <= self.config.announce_ids
                assert not any(self.core.has(id) for id in names), "why ask"
            case _:
                assert data[0] in (SYNC, SYNCED)


def walk(seed: int) -> World:
    rng = Random(seed)
    world = World(rng)
    weights = [rng.random() ** 2 for _ in KINDS]
    for peer in PEERS:
        world.step(Add(peer))
    for kind in rng.choices(KINDS, weights, k=STEPS):
        world.step(world.event(kind))
    return world


def test_random_walks() -> None:
    counts: dict[str, int] = {}
    for seed in range(RUNS):
        world = walk(seed)
        for name, count in world.core.stats.items():
            counts[name] = counts.get(name, 0) + count
    assert all(counts.values()), f"a walk that never gets there proves nothing: {counts}"
