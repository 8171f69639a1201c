"""Random walks over the attempts at better paths; the core asserts its invariants at each step.

The walk keeps its own account of what runs, so it would see two attempts for one peer, an attempt
for a peer that needs none, one too many at a time, and one that begins too early.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from whispurrnet.base.machine import Tick
from whispurrnet.nat import punch
from whispurrnet.nat.punch import Attempt, Config, Direct, Punch

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 80
ADDRESSES = ["/a", "/b", "/c"]
KINDS = ["relayed", "settled", "changed", "try", "good", "bad", "noted", "tick", "jump"]


class World:
    """What a stack sees of one core."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.now = 0.0
        self.config = Config(
            on=rng.random() < 0.9,
            at_once=rng.randrange(1, 4),
            history=rng.randrange(1, 5),
            peers_max=rng.randrange(1, 5),
            attempt_s=rng.choice([1.0, 45.0]),
        )
        self.core = Punch(self.config, rng)
        self.relayed: dict[int, bool] = {}
        """Who is carried, and whether anything can be tried."""
        self.running: dict[int, float] = {}

    def tell(self, event: punch.Event) -> None:
        """Hand over an event, and look at what comes of it."""
        for effect in self.core.handle(event, self.now):
            assert effect.peer not in self.running, "one attempt for each peer"
            assert self.relayed.get(effect.peer), "nothing to try"
            if isinstance(effect, Direct):
                assert effect.addresses
            self.running[effect.peer] = self.now
        self.running = {p: at for p, at in self.running.items() if self.core.tries(p) is not None}
        assert len(self.running) == self.core.running <= self.config.at_once
        for peer in range(6):
            assert len(self.core.attempts(peer)) <= self.config.history
            due = self.core.next_at(peer)
            assert due is None or due <= self.now + 2 * 300 * (1 + self.config.jitter)
        due = self.core.deadline
        assert due is None or due >= self.now or not isinstance(event, Tick), "time stands still"

    def step(self, kind: str) -> None:
        rng, peer = self.rng, self.rng.randrange(6)
        match kind:
            case "relayed":
                addresses = tuple(rng.sample(ADDRESSES, rng.randrange(4)))
                webrtc = rng.random() < 0.5
                if peer in self.relayed or len(self.relayed) < self.config.peers_max:
                    self.relayed[peer] = self.relayed.get(peer, False) or bool(addresses or webrtc)
                self.tell(punch.Relayed(peer, addresses, webrtc, rng.random() < 0.5))
            case "settled":
                self.relayed.pop(peer, None)
                self.running.pop(peer, None)
                self.tell(punch.Settled(peer))
            case "changed":
                self.tell(punch.Changed())
            case "try":
                self.tell(punch.Try(peer))
            case "good" | "bad":
                done = self.running.pop(peer, None)
                before = len(self.core.attempts(peer))
                self.tell(punch.Ended(peer, kind == "good", "no answer " * 100))
                if done is not None:
                    assert len(self.core.attempts(peer)) in (before + 1, self.config.history)
                    assert len(self.core.attempts(peer)[-1].reason) <= punch.TEXT_MAX
            case "noted":
                self.tell(punch.Noted(peer, Attempt("relay", "", True, "", 0.0, self.now)))
            case "tick" | "jump":
                due = self.core.deadline
                if kind == "jump":
                    self.now += rng.expovariate(0.02)
                elif due is not None:
                    self.now = max(self.now, due)
                for one, at in list(self.running.items()):
                    if self.now >= at + self.config.attempt_s:
                        del self.running[one]
                self.tell(Tick())


@pytest.mark.parametrize("part", range(4))
def test_walk(part: int) -> None:
    for seed in range(part * RUNS // 4, (part + 1) * RUNS // 4):
        rng = Random(seed)
        world = World(rng)
        odds = [rng.random() for _ in KINDS]
        for kind in rng.choices(KINDS, odds, k=STEPS):
            try:
                world.step(kind)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {kind}: {error}") from error
