"""Random walks over the pool in a tiny world; the core asserts its invariants at each step.

The walk keeps its own account: which dials are under way, when each wait began, which addresses
were given leave to be tried while their circuit was half-open.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

from whispurrnet.base.errors import LimitError
from whispurrnet.base.machine import Tick
from whispurrnet.session.pool import (
    Config,
    Connected,
    Dial,
    Event,
    Failed,
    GaveUp,
    Lost,
    Pool,
    Stop,
    Unwant,
    Want,
)

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 60
TARGETS = [b"alice", b"bob", b"carol", b"dave"]
ADDRESSES = ["/a", "/b", "/c"]
KINDS = ["want", "unwant", "connected", "lost", "failed", "failed all", "tick", "jump"]


class World:
    """What a driver sees of one pool."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.config = Config(
            peers_max=rng.randrange(1, 4),
            targets_max=rng.randrange(1, 5),
            addresses_max=rng.randrange(1, 4),
            dial_concurrency=rng.randrange(1, 3),
            dial_timeout_s=rng.choice([0.3, 3.0, 30.0]),
            backoff_min_s=0.5,
            backoff_max_s=rng.choice([0.5, 4.0, 60.0]),
            breaker_failures=rng.randrange(1, 4),
            breaker_s=rng.choice([1.0, 10.0]),
            retries_max=rng.randrange(4),
            breaker_addresses_max=3,
        )
        self.pool = Pool(self.config, rng)
        self.now = 0.0
        self.dials: dict[bytes, dict[str, None]] = {}
        self.persistent: set[bytes] = set()
        self.failures: Counter[str] = Counter()
        self.open_until: dict[str, float] = {}
        self.probes: set[str] = set()

    def event(self, kind: str) -> Event:
        rng = self.rng
        target = rng.choice(list(self.dials) or TARGETS if rng.random() < 0.5 else TARGETS)
        dialled = list(self.dials.get(target, ()))
        match kind:
            case "want":
                addresses = tuple(rng.choices(ADDRESSES, k=rng.randrange(4)))
                return Want(target, addresses, persistent=rng.random() < 0.4)
            case "unwant":
                return Unwant(target)
            case "connected":
                return Connected(target, rng.choice([*dialled, ""]))
            case "lost":
                return Lost(target)
            case "failed":
                return Failed(target, rng.choice(dialled or ADDRESSES))
            case "failed all":
                return Failed(target)
            case "jump":
                self.now += rng.choice([0.1, 1.0, 100.0])
                return Tick()
            case _:
                self.now = max(self.now, self.pool.deadline or self.now)
                return Tick()

    def step(self, event: Event) -> None:
        before = self.pool.deadline
        try:
            effects = self.pool.handle(event, self.now)
        except LimitError:
            assert isinstance(event, Connected)
            assert self.pool.deadline == before
            return
        self._account(event)
        for effect in effects:
            match effect:
                case Dial(target, addresses):
                    self._dialled(target, addresses)
                case Stop(target):
                    # A dial that ran out of time counts against its addresses.
                    counts = isinstance(event, Tick)
                    for address in self.dials.pop(target, {}):
                        if counts:
                            self._failed(address)
                        self.probes.discard(address)
                case GaveUp(target, reason):
                    self.dials.pop(target, None)
                    assert not (target in self.persistent and reason == "unreachable")
                    self.persistent.discard(target)
        self._compare()

    def _account(self, event: Event) -> None:
        match event:
            case Want(target, _, persistent):
                if persistent:
                    self.persistent.add(target)
            case Unwant(target):
                self.persistent.discard(target)
            case Connected(target, address):
                dialled = self.dials.pop(target, {})
                self.probes -= dialled.keys()
                for one in dialled if not address else [address]:
                    self.failures[one] = 0
                    self.open_until.pop(one, None)
                    self.probes.discard(one)
            case Failed(target, address):
                dialled = self.dials.get(target, {})
                for one in [address] if address else list(dialled):
                    if one in dialled:
                        del dialled[one]
                        self._failed(one)
                if not dialled:
                    self.dials.pop(target, None)
            case _:
                pass

    def _failed(self, address: str) -> None:
        self.probes.discard(address)
        self.failures[address] += 1
        if self.failures[address] >= self.config.breaker_failures:
            self.open_until[address] = self.now + self.config.breaker_s

    def _dialled(self, target: bytes, addresses: tuple[str, ...]) -> None:
        assert target not in self.dials, "dialled twice at a time"
        assert 0 < len(addresses) <= self.config.addresses_max
        self.dials[target] = dict.fromkeys(addresses)
        assert len(self.dials) <= self.config.dial_concurrency
        for address in addresses:
            if address in self.open_until:
                assert self.now >= self.open_until[address], "an open circuit was dialled"
                assert address not in self.probes, "two attempts on a half-open circuit"
                self.probes.add(address)

    def _compare(self) -> None:
        pool, config = self.pool, self.config
        assert pool.dialling == len(self.dials) <= config.dial_concurrency
        assert pool.connected + pool.dialling <= config.peers_max
        for address in ADDRESSES:
            assert pool.is_open(address) == (address in self.open_until)
        for target in TARGETS:
            due_at = pool.next_dial_at(target)
            if due_at is not None:
                longest = max(config.backoff_max_s, config.breaker_s)
                assert due_at <= self.now + longest + config.backoff_min_s


def walk(seed: int) -> None:
    rng = Random(seed)
    world = World(rng)
    odds = [rng.random() ** 3 for _ in KINDS]
    for kind in rng.choices(KINDS, odds, k=STEPS):
        world.now += rng.random() * rng.choice([0.0, 0.1, 2.0])
        world.step(world.event(kind))


def test_walks() -> None:
    for seed in range(RUNS):
        try:
            walk(seed)
        except BaseException as error:
            error.add_note(f"walk({seed})")
            raise
