"""Attempts among many, over a lossy network, with nodes that crash: what is sent arrives once.

Whoever can begins at any time, so both sides of many pairs do at once.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import msgspec
import pytest
from tests.sim.rtc import Rtc

from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events
from whispurrnet.stack.config import Config

RUNS = 40 if os.environ.get("SOAK") else 2
ABLE = Config(beacon_on=False, webrtc=True)


class Crowd:
    """Five nodes, each connected with each."""

    def __init__(self, seed: int, works: float) -> None:
        self.rng = Random(seed)
        self.got: Counter[bytes] = Counter()
        self.order: dict[tuple[str, bytes], int] = {}
        self.rtc = Rtc(seed, works)
        loss = self.rng.choice([0.0, 0.02, 0.1])
        self.world = World(seed, Wire(loss=loss), self.rtc.observe(self.observe))
        self.rtc.world = self.world
        self.names = [f"n{n}" for n in range(5)]
        for name in self.names:
            self.world.add(name, ABLE)
        for n, name in enumerate(self.names):
            for other in self.names[:n]:
                self.world.connect(name, other)
        self.world.run(30.0)
        self.sent = 0

    def observe(self, now: float, node: str, effect: events.Effect) -> None:
        if isinstance(effect, events.Delivered):
            for whisper in effect.whispers:
                source, number = whisper.body.split()
                self.got[node.encode() + whisper.body] += 1
                assert self.order.get((node, source), -1) < int(number), "out of order"
                self.order[node, source] = int(number)

    def step(self) -> None:
        name = self.rng.choice(self.names)
        sessions = list(self.world.sessions(name))
        if not sessions:
            return
        _, handle = self.rng.choice(sessions)
        if self.rng.random() < 0.3:
            self.world.inject(name, events.TryWebrtc(handle))
        else:
            self.sent += 1
            body = b"%s %d" % (name.encode(), self.sent)
            self.world.inject(
                name, events.Post(handle, self.sent, kind=1, body=body, priority=5, ttl_s=600.0)
            )

    def attempts(self) -> int:
        return sum(node.signalling._core.attempts for node in self.world.nodes.values())


@pytest.mark.parametrize("works", [1.0, 0.5])
def test_sessions_move_and_nothing_is_lost_or_doubled(works: float) -> None:
    moved = 0
    for seed in range(RUNS):
        crowd = Crowd(seed, works)
        for _ in range(150):
            crowd.step()
            crowd.world.run(crowd.world.now + crowd.rng.choice([0.01, 0.3, 2.0]))
        crowd.world.run(crowd.world.now + 120.0)
        assert crowd.attempts() == 0
        assert sum(crowd.got.values()) == crowd.sent
        assert max(crowd.got.values()) == 1
        assert crowd.rtc.starts == sum(len(crowd.rtc.ended(name)) for name in crowd.names)
        moved += sum(one.ok for name in crowd.names for one in crowd.rtc.ended(name))
        errors = [node.shared.meter.get("protocol_errors") for node in crowd.world.nodes.values()]
        assert errors == [0] * 5
    assert moved > RUNS


def test_a_liar_who_offers_all_the_time_is_held_off() -> None:
    rtc = Rtc(1, works=0.0)
    world = rtc.world = World(1, Wire(), rtc.observe())
    eager = msgspec.structs.replace(
        ABLE, signal=msgspec.structs.replace(ABLE.signal, timeout_s=0.3)
    )
    world.add("liar", eager)
    world.add("b", ABLE)
    world.connect("liar", "b")
    world.run(10.0)
    ((_, handle),) = world.sessions("liar")
    for _ in range(200):
        world.inject("liar", events.TryWebrtc(handle))
        world.run(world.now + 0.5)
    begun = len([one for one in rtc.news["b"] if isinstance(one, events.RtcStart)])
    assert begun <= 4 + 0.1 * 100 + 1
    assert len(list(world.sessions("b"))) == 1
