"""A message for any one of the listeners, in whole nodes."""

from __future__ import annotations

from collections import Counter

from whispurrnet.gossip import stamp, stem
from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events
from whispurrnet.stack.config import Config, GossipConfig

GOSSIP = GossipConfig(stamp=stamp.Config(base_bits=4), stem=stem.Config(on=False))
QUIET = Config(beacon_on=False, gossip=GOSSIP)
WORKERS = 12


def take(one_of: bool, seed: int) -> Counter[bytes]:
    """How many of twelve equal workers took each of ten jobs."""
    taken: Counter[bytes] = Counter()

    def observe(now: float, node: str, effect: events.Effect) -> None:
        if isinstance(effect, events.Gossiped):
            taken[effect.payload] += 1

    world = World(seed, Wire(), observe)
    world.add("boss", QUIET)
    for n in range(WORKERS):
        world.add(f"w{n}", QUIET)
        world.connect(f"w{n}", "boss" if n < 4 else f"w{n - 4}", keep=False)
        world.inject(f"w{n}", events.Listen("jobs/paint"))
    world.run(20.0)
    for n in range(10):
        job = events.Resonate(n, "jobs/paint/red", b"%d" % n, one_of=one_of)
        world.inject("boss", job, float(n))
    world.run(60.0)
    return taken


def test_one_of_many_equal_listeners_takes_a_job_and_seldom_two() -> None:
    taken = take(one_of=True, seed=1)
    assert sorted(taken) == sorted(b"%d" % n for n in range(10))
    assert sum(taken.values()) <= 20
    assert max(taken.values()) <= 4


def test_the_control_all_of_them_do_otherwise() -> None:
    assert take(one_of=False, seed=1) == {b"%d" % n: WORKERS for n in range(10)}
