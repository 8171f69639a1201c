"""Silence: found when much arrives and half of the neighbours bring nothing, and only then."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from whispurrnet.gossip.silence import Config, Silence


class Rig:
    """Neighbours of whom some speak; a second at a time."""

    def __init__(self, config: Config | None = None, peers: int = 8) -> None:
        self.now = 0.0
        self.core = Silence(config)
        self.found: list[tuple[float, tuple[int, ...]]] = []
        self.scores = {peer: peer / 1000 for peer in range(peers)}
        for peer in range(peers):
            self.core.enter(peer, 0.0)

    def run(self, seconds: float, speakers: tuple[int, ...], per_s: int = 1) -> Rig:
        until = self.now + seconds
        while self.now < until:
            self.now += 1.0
            for peer in speakers:
                self.core.spoke(peer, self.now)
            for _ in range(per_s):
                self.core.useful(self.now)
            if self.core.deadline is not None and self.core.deadline <= self.now:
                silent = self.core.judge(self.scores.__getitem__, self.now)
                if silent:
                    self.found.append((self.now, silent))
        return self


def test_half_are_silent_the_worst_first() -> None:
    rig = Rig().run(100, (4, 5, 6, 7))
    [(at, silent)] = rig.found
    assert silent == (0, 1, 2, 3)
    assert 60 <= at <= 80


def test_those_who_come_instead_are_given_as_long() -> None:
    rig = Rig().run(300, (6, 7))
    times = [at for at, _ in rig.found]
    assert len(times) >= 3
    assert min(b - a for a, b in itertools.pairwise(times)) >= 60


@pytest.mark.parametrize(
    ("speakers", "per_s", "score"),
    [
        ((4, 5, 6, 7), 0, 0.0),  # nothing arrives
        ((3, 4, 5, 6, 7), 5, 0.0),  # more than half speak
        ((6, 7), 1, 0.05),  # the median is good
    ],
)
def test_nobody_is_silent(speakers: tuple[int, ...], per_s: int, score: float) -> None:
    rig = Rig()
    rig.scores = dict.fromkeys(rig.scores, score)
    assert rig.run(600, speakers, per_s).found == []


def test_too_few_messages_say_nothing() -> None:
    assert Rig(Config(enough=61)).run(600, (7,), 1).found == []
    assert Rig(Config(enough=60)).run(600, (7,), 1).found


def test_too_few_neighbours_are_kept() -> None:
    assert Rig(peers=3).run(600, (), 5).found == []


def test_switched_off_it_is_never_awake() -> None:
    rig = Rig(Config(on=False)).run(600, ())
    assert rig.core.deadline is None
    assert rig.found == []


def test_a_quiet_mesh_wakes_nobody() -> None:
    rig = Rig().run(10, (0,))
    assert rig.core.deadline is not None
    rig.run(90, (), per_s=0)
    assert rig.core.deadline is None


def test_who_left_is_not_named_and_who_is_unknown_says_nothing() -> None:
    rig = Rig()
    rig.run(59, (5, 6, 7))
    rig.core.leave(0)
    rig.core.spoke(99, rig.now)
    rig.run(60, (5, 6, 7))
    assert rig.found and all(0 not in silent and 99 not in silent for _, silent in rig.found)


def test_walks() -> None:
    """Whatever happens: only neighbours are named, who stand for a minute and were not heard."""
    for seed in range(200):
        rng = Random(seed)
        core, now = Silence(Config(enough=rng.choice((1, 30)))), 0.0
        here: dict[int, float] = {}
        for _ in range(400):
            now += rng.choice((0.1, 1.0, 10.0))
            peer = rng.randrange(9)
            match rng.randrange(8):
                case 0:
                    core.enter(peer, now)
                    here[peer] = now
                case 1 if rng.random() < 0.2:
                    core.leave(peer)
                    here.pop(peer, None)
                case 2 | 3:
                    core.spoke(peer % 3, now)
                    if peer % 3 in here:
                        here[peer % 3] = now
                case _:
                    core.useful(now)
            if core.deadline is not None and core.deadline <= now:
                silent = core.judge(lambda peer: peer / 1000, now)
                assert all(here[peer] <= now - 60 for peer in silent)
                if silent:
                    assert 2 * len(silent) >= len(here) >= 4
                assert core.deadline is None or core.deadline > now
