"""Random walks over a standing, against a slow model that keeps every deed and adds them up."""

from __future__ import annotations

import os
from random import Random

import pytest

from whispurrnet.gossip.standing import FAULTS, FORGOTTEN, Config, Standing, Verdict

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 100
PEERS = 5
KEYS = [b"%d" % n * 32 for n in range(4)]
PREFIXES = ("", "192.0.2", "198.51.100")


class World:
    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.config = Config(
            per_prefix=self.rng.choice((1, 2)),
            messages_per_s=self.rng.choice((0.0, 20.0)),
            messages_burst=self.rng.choice((1.0, 100.0)),
            bytes_burst=self.rng.choice((100.0, 2.0**20)),
        )
        self.standing = Standing(self.config)
        self.now = 0.0
        self.keys: dict[int, tuple[bytes, str]] = {}
        """Who is there."""
        self.entered: dict[int, float] = {}
        """Who is in the view and since when, first come first."""
        self.merits: dict[int, list[float]] = {}
        self.faults: dict[int, list[tuple[str, float]]] = {}
        self.past: dict[bytes, list[tuple[str, float]]] = {}
        self.grey: dict[bytes, float] = {}

    # The model

    def faded(self, faults: list[tuple[str, float]], group: str) -> float:
        counts = [
            FAULTS[kind][1] * 0.97 ** (self.now - at)
            for kind, at in faults
            if FAULTS[kind][0] == group
        ]
        return sum(counts) if sum(counts) >= FORGOTTEN else 0.0

    def score(self, peer: int) -> float:
        if peer not in self.keys:
            return 0.0
        first = min(sum(0.97 ** (self.now - at) for at in self.merits[peer]), 100)
        minutes = (self.now - self.entered[peer]) / 60 if peer in self.entered else 0.0
        prefix = self.keys[peer][1]
        surplus = 0
        if peer in self.entered and prefix:
            row = [each for each in self.entered if self.keys[each][1] == prefix]
            surplus = max(0, row.index(peer) + 1 - self.config.per_prefix)
        faults = self.faults[peer]
        return (
            0.5 * first / 100
            + 0.2 * min(minutes, 60) / 60
            - 10 * self.faded(faults, "invalid") ** 2
            - self.faded(faults, "unserved") ** 2 / 16
            - 5 * surplus**2
            - 5 * self.faded(faults, "penalty") ** 2
        )

    def check(self) -> None:
        standing = self.standing
        assert len(standing) == len(self.keys)
        for peer in range(PEERS):
            score = standing.score(peer, self.now)
            assert score <= 0.7 + 1e-9
            assert score == pytest.approx(self.score(peer), abs=1e-6)
            verdict = standing.verdict(peer, self.now)
            if peer not in self.keys:
                assert verdict == Verdict.KEEP
            elif self.grey.get(self.keys[peer][0], 0.0) > self.now or score < -40:
                assert verdict == Verdict.CLOSE
            else:
                assert verdict == (score < 0) + (score < -10)
        for key in KEYS:
            assert standing.greylisted(key, self.now) == (self.grey.get(key, 0.0) > self.now)
        scores = [standing.score(peer, self.now) for peer in range(3)]
        assert standing.median((0, 1, 2), self.now) == sorted(scores)[1]

    # Steps

    def add(self) -> None:
        peer, key, prefix = self.peer(), self.rng.choice(KEYS), self.rng.choice(PREFIXES)
        if any(other[0] == key for each, other in self.keys.items() if each != peer):
            return  # one link a key: a second one takes the place of the first
        self.gone(peer)
        self.standing.add(peer, key, prefix, self.now)
        self.keys[peer] = key, prefix
        self.merits[peer] = []
        self.faults[peer] = self.past.pop(key, [])

    def remove(self) -> None:
        peer = self.peer()
        self.gone(peer)
        self.standing.remove(peer, self.now)

    def gone(self, peer: int) -> None:
        if peer in self.keys:
            faults = self.faults.pop(peer)
            self.entered.pop(peer, None)
            groups = ("invalid", "unserved", "penalty")
            felt = any(self.faded(faults, group) for group in groups)
            self.past[self.keys.pop(peer)[0]] = faults if felt else []

    def enter(self) -> None:
        peer = self.peer()
        self.standing.entered(peer, self.now)
        if peer in self.keys:
            self.entered.setdefault(peer, self.now)

    def leave(self) -> None:
        peer = self.peer()
        self.standing.left(peer)
        self.entered.pop(peer, None)

    def useful(self) -> None:
        peer = self.peer()
        for _ in range(self.rng.choice((1, 60))):
            self.standing.useful(peer, self.now)
            if peer in self.keys:
                self.merits[peer].append(self.now)

    def fault(self) -> None:
        peer, kind = self.peer(), self.rng.choice(list(FAULTS))
        self.standing.fault(peer, kind, self.now)
        self.blame(peer, kind)

    def blame(self, peer: int, kind: str) -> None:
        if peer in self.keys:
            self.faults[peer].append((kind, self.now))
            if self.score(peer) < -40:
                self.grey[self.keys[peer][0]] = self.now + 3600

    def allow(self) -> None:
        peer, size = self.peer(), self.rng.choice((0, 60, 2**14, 2**21))
        for _ in range(self.rng.choice((1, 30))):
            messages = self.rng.choice((0, 1))
            if self.standing.allow(peer, size, self.now, messages=messages):
                assert peer in self.keys
                assert size <= self.config.bytes_burst
            else:
                self.blame(peer, "flood")

    def wait(self) -> None:
        self.now += self.rng.choice((0.01, 1.0, 30.0, 120.0, 1800.0))

    def peer(self) -> int:
        return self.rng.randrange(PEERS)


STEPS_OF_A_WALK = (
    World.add,
    World.add,
    World.remove,
    World.enter,
    World.enter,
    World.leave,
    World.useful,
    World.fault,
    World.allow,
    World.wait,
)


def walk(seed: int) -> None:
    world = World(seed)
    odds = [world.rng.random() ** 2 for _ in STEPS_OF_A_WALK]
    for n, step in enumerate(world.rng.choices(STEPS_OF_A_WALK, odds, k=STEPS)):
        step(world)
        if n % 4 == 0:
            world.check()
    world.check()


@pytest.mark.parametrize("seed", [0])
def test_every_deed_counts(seed: int) -> None:
    for n in range(RUNS):
        try:
            walk(seed + n)
        except BaseException as error:
            error.add_note(f"walk({seed + n})")
            raise
