"""The pool against a network that comes and goes, on virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

import pytest

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
    Want,
)


class Network:
    """Answers dials after a while; `up(target, now)` says whether there is an answer."""

    def __init__(self, seed: int, up: Callable[[bytes, float], bool], **config: float) -> None:
        self.rng = Random(seed)
        self.pool = Pool(Config(**config), self.rng)  # type: ignore[arg-type]
        self.up = up
        self.now = 0.0
        self.heap: list[tuple[float, int, Event]] = []
        self.order = 0
        self.dials: dict[bytes, int] = {}
        self.dialled: list[tuple[float, bytes]] = []
        self.connected: set[bytes] = set()
        self.given_up: list[bytes] = []
        self.most = 0

    def later(self, delay_s: float, event: Event) -> None:
        self.order += 1
        heapq.heappush(self.heap, (self.now + delay_s, self.order, event))

    def do(self, event: Event) -> None:
        match event:
            case Connected(target) | Failed(target):
                if self.dials.pop(target, None) is None:
                    return  # it was stopped
        if isinstance(event, Connected):
            self.connected.add(event.target)
        elif isinstance(event, Lost):
            self.connected.discard(event.target)
        for effect in self.pool.handle(event, self.now):
            match effect:
                case Dial(target, addresses):
                    self.dials[target] = 1
                    self.dialled.append((self.now, target))
                    self.most = max(self.most, len(self.dials))
                    if self.up(target, self.now):
                        self.later(self.rng.random(), Connected(target, addresses[0]))
                    elif self.rng.random() < 0.8:
                        self.later(3 * self.rng.random(), Failed(target))
                case Stop(target):
                    self.dials.pop(target, None)
                case GaveUp(target):
                    self.given_up.append(target)

    def run(self, until: float) -> None:
        while True:
            times = [self.heap[0][0]] if self.heap else []
            if self.pool.deadline is not None:
                times.append(self.pool.deadline)
            if not times or min(times) > until:
                self.now = until
                return
            self.now = max(self.now, min(times))
            if self.heap and self.heap[0][0] <= self.now:
                self.do(heapq.heappop(self.heap)[2])
            else:
                self.do(Tick())


def targets(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_everyone_who_is_up_is_reached(seed: int) -> None:
    net = Network(seed, lambda target, _: int(target) % 3 != 0)
    for target in targets(60):
        net.do(Want(target, (f"/{int(target)}",), persistent=int(target) % 2 == 0))
    net.run(until=150.0)
    assert net.connected == {target for target in targets(60) if int(target) % 3}
    assert net.most == 8
    net.run(until=400.0)
    assert set(net.given_up) == {t for t in targets(60) if int(t) % 3 == 0 and int(t) % 2}


@pytest.mark.parametrize("seed", range(5))
def test_a_cable_pulled_for_a_minute(seed: int) -> None:
    """All sessions end at once; a minute later all come back, and not in one instant."""
    net = Network(seed, lambda _, now: not 100.0 <= now < 160.0)
    for target in targets(40):
        net.do(Want(target, (f"/{int(target)}",), persistent=True))
    net.run(until=100.0)
    assert len(net.connected) == 40
    for target in targets(40):
        net.do(Lost(target))
    net.run(until=160.0)
    assert not net.connected
    assert len(net.dialled) - 40 <= 40 * 8  # the backoff held them
    net.run(until=160.0 + 60.0 + 40.0)
    assert len(net.connected) == 40
    assert net.given_up == []
    assert net.most <= 8


def test_a_peer_back_after_a_day_is_found_within_the_longest_wait() -> None:
    net = Network(1, lambda _, now: now >= 86_400.0)
    net.do(Want(b"0", ("/0",), persistent=True))
    net.run(until=86_400.0)
    assert 1_000 < len(net.dialled) < 2_900
    net.run(until=86_400.0 + 60.0 + 30.0 + 2.0)
    assert net.connected == {b"0"}


def test_same_seed_same_run() -> None:
    def run(seed: int) -> list[tuple[float, bytes]]:
        net = Network(seed, lambda target, now: (int(target) + int(now)) % 4 == 0)
        for target in targets(30):
            net.do(Want(target, ("/shared", f"/{int(target)}"), persistent=True))
        net.run(until=600.0)
        return net.dialled

    assert run(7) == run(7)
    assert run(7) != run(8)
