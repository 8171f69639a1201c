"""Random walks over one membership with hostile peers, and over a few that are honest.

The first is fed any event and any body, and a model of its own says what may come out. The others
are joined by sessions that come and go at any moment; when all is quiet, both ends of each place in
an active view agree. See `test_plumtree` for why the worlds are so small.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from random import Random

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.gossip.contact import Contact
from whispurrnet.gossip.membership import (
    Active,
    Arrived,
    Ban,
    Config,
    Consider,
    Dial,
    Down,
    Event,
    Failed,
    Graft,
    Inactive,
    Me,
    Membership,
    Release,
    Send,
    Tick,
    Up,
)
from whispurrnet.gossip.neighbours import (
    ForwardJoin,
    Join,
    Message,
    Neighbor,
    NeighborReply,
    Prune,
    Shuffle,
    ShuffleReply,
    codec,
)

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 100
WALL_S = 1_760_000_000
CODEC = codec()
SMALL = Config(active=4, outbound_min=2, passive=5, per_inviter=2, dials_max=2, acts_burst=30)
PEERS = range(1, 9)


def key_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def contact_of(number: int, expires_s: int = WALL_S + 86_400) -> Contact:
    return Contact(key_of(number), (f"/memory/n{number}",), expires_s)


class Hostile:
    """One membership, peers that say anything, and a model of what it may do."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.core = Membership(SMALL, Random(seed), lambda: WALL_S + int(self.now))
        self.up: dict[int, Up] = {}
        self.active: set[int] = set()
        self.dialling: dict[bytes, Contact] = {}
        self.told: deque[bytes] = deque(maxlen=20)
        self.feed(Me(key_of(0), contact_of(0)))

    def feed(self, event: Event) -> None:
        before = self.views()
        try:
            effects = self.core.handle(event, self.now)
        except ProtocolError:
            assert isinstance(event, Arrived)
            assert before == self.views(), "a lie changes nothing"
            return
        for effect in effects:
            match effect:
                case Send(peer, body):
                    assert peer in self.up
                    assert len(CODEC.decode_all(body)) == 1
                    self.told.append(body)
                case Dial(contact):
                    assert contact.key not in self.dialling
                    assert contact.key not in {one.key for one in self.up.values()}
                    assert contact.key != key_of(0)
                    assert contact.expires_s > WALL_S + int(self.now)
                    self.dialling[contact.key] = contact
                case Active(peer):
                    assert peer in self.up and peer not in self.active
                    self.active.add(peer)
                case Inactive(peer):
                    self.active.remove(peer)
                case Release(peer):
                    assert self.up[peer].outbound and peer not in self.active
        assert set(self.core.active) == self.active
        strangers = [self.up[peer] for peer in self.core.active if not self.up[peer].friend]
        assert len(strangers) <= SMALL.active
        assert sum(not one.outbound for one in strangers) <= SMALL.active - SMALL.outbound_min
        for prefix in "pq":
            assert sum(one.prefix == prefix for one in strangers) <= SMALL.per_prefix
        assert len(self.core.passive) <= SMALL.passive
        if self.core.deadline is not None:
            assert self.core.deadline > self.now - 1e-9 or not isinstance(event, Tick)

    def views(self) -> tuple[object, ...]:
        wall_s = WALL_S + int(self.now)
        return self.core.active, [one for one in self.core.passive if one.expires_s > wall_s]

    def some_contact(self) -> Contact:
        addresses = self.rng.choice(
            (("/memory/a",), ("?",), ("/ip4/198.50.100.7/tcp/1", "/ip4/10.0.0.1/tcp/1"))
        )
        lives_s = self.rng.choice((-5, 3, 100, 86_400, 2**30))
        return Contact(key_of(self.rng.randrange(12)), addresses, WALL_S + lives_s)

    def some_message(self, peer: int) -> Message:
        rng = self.rng
        some = tuple(self.some_contact() for _ in range(rng.randrange(5)))
        me = rng.choice((None, contact_of(peer), contact_of(peer), self.some_contact()))
        return rng.choice(
            (
                Join(me),
                ForwardJoin(self.some_contact(), rng.randrange(17)),
                Neighbor(rng.random() < 0.5, me),
                NeighborReply(rng.random() < 0.7, me, some[:4]),
                Prune(some[:4], rng.choice((0, 1, 60, 3600))),
                Shuffle(rng.randrange(9), rng.randrange(17), some),
                ShuffleReply(rng.randrange(9), some),
            )
        )

    # Steps

    def rise(self) -> None:
        peer = self.rng.choice(PEERS)
        if peer in self.up and self.rng.random() < 0.7:
            return
        key = key_of(peer)
        if self.rng.random() < 0.05:
            key = key_of(self.rng.choice(PEERS))
        for other, one in list(self.up.items()):
            if other != peer and one.key == key:
                del self.up[other]
        up = Up(
            peer,
            key,
            self.rng.choice((None, contact_of(int.from_bytes(key, "big")))),
            self.rng.random() < 0.5,
            self.rng.choice(("", "p", "q")),
            self.rng.random() < 0.1,
            self.rng.choice((b"", b"i")),
        )
        self.up[peer] = up
        self.dialling.pop(key, None)
        self.feed(up)

    def answer_dial(self) -> None:
        if not self.dialling:
            return
        key = self.rng.choice(list(self.dialling))
        del self.dialling[key]
        peer = int.from_bytes(key, "big")
        if self.rng.random() < 0.5 and peer in PEERS and peer not in self.up:
            self.up[peer] = Up(peer, key, None, True, "", False)
            self.feed(self.up[peer])
        else:
            self.feed(Failed(key))

    def fall(self) -> None:
        if self.up:
            peer = self.rng.choice(list(self.up))
            gone = self.up[peer]
            self.feed(Down(peer))
            assert peer not in self.active
            assert self.up.pop(peer) is gone

    def say(self) -> None:
        peer = self.rng.choice(PEERS)
        self.feed(Arrived(peer, CODEC.encode_all([self.some_message(peer)])))

    def garble(self) -> None:
        peer = self.rng.choice(PEERS)
        body = bytearray(self.rng.choice(self.told) if self.told else b"")
        if self.rng.random() < 0.5:
            body = bytearray(CODEC.encode_all([self.some_message(peer)]))
        for _ in range(self.rng.randrange(4)):
            if body:
                body[self.rng.randrange(len(body))] = self.rng.randrange(256)
        if self.rng.random() < 0.2:
            body = body[: self.rng.randrange(len(body) + 1)]
        if self.rng.random() < 0.05:
            body = bytearray(self.rng.randbytes(self.rng.choice((3, 40, 17_000))))
        self.feed(Arrived(peer, bytes(body)))

    def ban(self) -> None:
        self.feed(Ban(self.rng.choice(PEERS)))

    def consider(self) -> None:
        first, shared = self.rng.random() < 0.3, self.rng.random() < 0.5
        self.feed(Consider(self.some_contact(), first, shared))

    def graft(self) -> None:
        self.feed(Graft(tuple(self.rng.choices(range(10), k=self.rng.randrange(4)))))

    def change(self) -> None:
        self.feed(Me(key_of(0), self.rng.choice((None, contact_of(0)))))

    def fail(self) -> None:
        key = key_of(self.rng.randrange(12))
        self.dialling.pop(key, None)
        self.feed(Failed(key))

    def wait(self) -> None:
        self.now += self.rng.choice((0.01, 0.5, 4.0, 30.0))
        due = self.core.deadline
        if due is not None and due <= self.now:
            # What is being called longer than that has failed, whatever the caller thinks.
            self.dialling.clear()
            self.feed(Tick())


HOSTILE_STEPS = (
    Hostile.rise,
    Hostile.rise,
    Hostile.answer_dial,
    Hostile.fall,
    Hostile.say,
    Hostile.say,
    Hostile.garble,
    Hostile.ban,
    Hostile.consider,
    Hostile.graft,
    Hostile.change,
    Hostile.fail,
    Hostile.wait,
    Hostile.wait,
)


def hostile(seed: int) -> None:
    world = Hostile(seed)
    odds = [world.rng.random() ** 3 for _ in HOSTILE_STEPS]
    for step in world.rng.choices(HOSTILE_STEPS, odds, k=STEPS):
        step(world)


class Few:
    """A few honest memberships; frames keep their order and get lost with their session only."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        config = Config(active=4, outbound_min=2, passive=8, evict_burst=100, evict_s=0.1)
        self.count = self.rng.randrange(2, 9)
        self.cores = [
            Membership(config, Random(self.rng.random()), lambda: WALL_S) for _ in range(self.count)
        ]
        self.active: list[set[int]] = [set() for _ in self.cores]
        self.sessions: dict[tuple[int, int], None] = {}
        self.wires: dict[tuple[int, int], deque[bytes]] = {}
        self.dials: list[tuple[int, int]] = []
        for number in range(self.count):
            self.feed(number, Me(key_of(number), contact_of(number)))

    def feed(self, number: int, event: Event) -> None:
        for effect in self.cores[number].handle(event, self.now):
            match effect:
                case Send(peer, body):
                    self.wires[number, peer].append(body)
                case Dial(contact):
                    self.dials.append((number, int.from_bytes(contact.key, "big")))
                case Active(peer):
                    self.active[number].add(peer)
                case Inactive(peer):
                    self.active[number].remove(peer)
                case Release():
                    pass  # others need it, or will hang up later

    def connect(self, a: int, b: int) -> None:
        if (min(a, b), max(a, b)) in self.sessions:
            return
        self.sessions[min(a, b), max(a, b)] = None
        self.wires[a, b], self.wires[b, a] = deque(), deque()
        ends = [(a, b, True), (b, a, False)]
        self.rng.shuffle(ends)
        for here, there, outbound in ends:
            self.feed(here, Up(there, key_of(there), None, outbound, "", False))

    def dial(self) -> None:
        if self.dials:
            a, b = self.dials.pop(self.rng.randrange(len(self.dials)))
            if self.rng.random() < 0.3:
                self.feed(a, Failed(key_of(b)))
            else:
                self.connect(a, b)

    def meet(self) -> None:
        a, b = self.rng.sample(range(self.count), 2)
        self.connect(a, b)

    def cut(self) -> None:
        if self.sessions:
            a, b = self.rng.choice(list(self.sessions))
            del self.sessions[a, b]
            del self.wires[a, b], self.wires[b, a]
            for here, there in self.rng.sample([(a, b), (b, a)], 2):
                self.feed(here, Down(there))

    def carry(self) -> None:
        ready = [wire for wire, frames in self.wires.items() if frames]
        if ready:
            a, b = self.rng.choice(ready)
            self.feed(b, Arrived(a, self.wires[a, b].popleft()))

    def ban(self) -> None:
        number = self.rng.randrange(self.count)
        if self.active[number]:
            self.feed(number, Ban(self.rng.choice(sorted(self.active[number]))))

    def graft(self) -> None:
        number = self.rng.randrange(self.count)
        self.feed(number, Graft(tuple(sorted(self.active[number]))))

    def wait(self) -> None:
        self.now += self.rng.choice((0.1, 1.0, 5.0, 30.0))
        self.tick()

    def tick(self) -> None:
        for number, core in enumerate(self.cores):
            if core.deadline is not None and core.deadline <= self.now:
                self.feed(number, Tick())

    def finish(self) -> None:
        """Let everything arrive, and all timeouts pass; then both ends agree."""
        for _ in range(20):
            for _ in range(400):
                self.carry()
            for frames in self.wires.values():
                while frames:
                    self.carry()
            self.check()
            self.now += 10
            self.tick()

    def check(self) -> None:
        for number, active in enumerate(self.active):
            for peer in active:
                assert number in self.active[peer], f"{number} has {peer} but not the reverse"


FEW_STEPS = (
    Few.dial,
    Few.dial,
    Few.meet,
    Few.cut,
    Few.carry,
    Few.carry,
    Few.carry,
    Few.ban,
    Few.graft,
    Few.wait,
)


def few(seed: int) -> None:
    world = Few(seed)
    odds = [world.rng.random() ** 2 for _ in FEW_STEPS]
    for step in world.rng.choices(FEW_STEPS, odds, k=STEPS):
        step(world)
    world.finish()


def run(one: Callable[[int], None], seed: int, runs: int) -> None:
    for n in range(runs):
        try:
            one(seed + n)
        except BaseException as error:
            error.add_note(f"{one.__name__}({seed + n})")
            raise


@pytest.mark.parametrize("seed", [0])
def test_hostile_peers(seed: int) -> None:
    run(hostile, seed, RUNS)


@pytest.mark.parametrize("seed", [0])
def test_both_ends_agree(seed: int) -> None:
    run(few, seed, max(1, RUNS // 4))
