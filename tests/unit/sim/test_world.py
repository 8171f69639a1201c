from __future__ import annotations

from typing import Any

import pytest

from whispurrnet.base.errors import UsageError, WhispurrError
from whispurrnet.sim.wire import Cuts
from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events
from whispurrnet.stack.config import Config

QUIET = Config(beacon_on=False)
SMALL_FLUSH = Config(beacon_on=False, flush_bytes=8192)


class Pair:
    """Two nodes, connected."""

    def __init__(self, config: Config = QUIET, **wire: Any) -> None:
        self.news: list[tuple[float, str, events.Effect]] = []
        self.refused: list[WhispurrError] = []
        self.world = World(1, Wire(**wire), self._observe, self._refused)
        for name in ("a", "b"):
            self.world.add(name, config)
        self.world.run(0.1)
        self.world.connect("a", "b")
        self.world.run(10.0)
        assert [other for other, _ in self.world.sessions("a")] == ["b"]

    def _observe(self, now: float, node: str, effect: events.Effect) -> None:
        self.news.append((now, node, effect))

    def _refused(self, node: str, event: events.Event, error: WhispurrError) -> None:
        self.refused.append(error)

    def post(self, number: int, size: int = 100, priority: int = 5) -> None:
        ((_, handle),) = self.world.sessions("a")
        body = number.to_bytes(size, "big")
        post = events.Post(peer=handle, id=number, kind=1, body=body, priority=priority)
        self.world.inject("a", post)

    def arrived(self) -> list[tuple[float, int]]:
        return [
            (now, int.from_bytes(whisper.body, "big"))
            for now, node, effect in self.news
            if node == "b" and isinstance(effect, events.Delivered)
            for whisper in effect.whispers
        ]

    def down_at(self, name: str) -> list[float]:
        news = self.news
        return [at for at, node, e in news if node == name and isinstance(e, events.PeerDown)]


def test_a_narrow_link_takes_its_time_and_what_is_urgent_overtakes() -> None:
    pair = Pair(SMALL_FLUSH, bandwidth_bytes_per_s=200_000.0, buffer_bytes=16_384)
    for number in range(1000):
        pair.post(number, 2000)
    pair.world.run(11.0)
    pair.post(999, 100, priority=10)
    pair.world.run(40.0)
    arrived = pair.arrived()
    assert len(arrived) == 1001
    assert arrived[-1][0] == pytest.approx(20.5, abs=1.0)
    at_s = next(at for at, number in arrived if number == 999)
    assert at_s < 12.5, "what the buffer held stood before it, and no more"


def test_without_a_limit_the_same_takes_no_time() -> None:
    pair = Pair()
    for number in range(100):
        pair.post(number, 2000)
    pair.world.run(11.0)
    assert len(pair.arrived()) == 100


def test_a_process_that_dies_is_noticed_at_once_and_a_machine_by_its_silence() -> None:
    for silent, least_s, most_s in ((False, 0.0, 0.2), (True, 20.0, 125.0)):
        pair = Pair(cut_after_s=20.0)
        pair.world.crash("b", silent=silent)
        pair.world.run(200.0)
        assert not list(pair.world.sessions("a"))
        (at_s,) = pair.down_at("a")
        assert least_s <= at_s - 10.0 <= most_s


def test_who_is_not_heard_loses_its_links_though_it_hears() -> None:
    pair = Pair(cut_after_s=20.0)
    cuts = Cuts()
    pair.world.severed = cuts
    cuts.cut(["b"], one_way=True)
    pair.post(1)
    pair.world.run(12.0)
    assert [number for _, number in pair.arrived()] == [1]
    pair.world.run(100.0)
    assert pair.down_at("a")
    assert not list(pair.world.sessions("a"))


def test_a_deadline_that_was_moved_wakes_nobody() -> None:
    pair = Pair()
    before = pair.world.steps
    for number in range(200):
        pair.post(number)
        pair.world.run(pair.world.now + 0.5)
    woken = pair.world.steps - before
    assert woken < 200 * 7, "a post, three flushes, two records, and some heartbeats"


def test_what_a_node_refuses_is_told_or_raised() -> None:
    pair = Pair()
    ((_, handle),) = pair.world.sessions("a")
    long = bytes(2**21)
    pair.world.inject("a", events.Post(peer=handle, id=1, kind=1, body=long))
    pair.world.run(11.0)
    assert [type(error) for error in pair.refused] == [UsageError]
    world = World(1, Wire(), lambda *_: None)
    world.add("a", QUIET)
    world.inject("a", events.WriteStream(1, 1, b""))
    with pytest.raises(WhispurrError):
        world.run(1.0)


def test_who_comes_again_is_not_given_what_was_for_the_one_before() -> None:
    pair = Pair()
    ((_, handle),) = pair.world.sessions("a")
    pair.world.inject("a", events.Disconnect(handle), 5.0)
    pair.world.crash("a")
    pair.world.add("a", QUIET)
    assert pair.world.life("a") == 2
    pair.world.run(20.0)
    assert not pair.refused


def test_everybody_has_an_address_of_its_own_and_some_a_chosen_one() -> None:
    world = World(1, Wire(), lambda *_: None)
    world.place("n5", "11.0.0.7")
    addresses = [world.address(f"n{n}") for n in range(70_000)]
    assert len(set(addresses)) == 70_000
    assert addresses[5] == "/ip4/11.0.0.7/tcp/9000"
    assert all(int(part) < 256 for part in addresses[-1].split("/")[2].split("."))


def test_datagrams_stay_on_their_lan() -> None:
    heard: list[str] = []
    world = World(1, Wire(), lambda *_: None)
    for name in ("a", "b", "c"):
        stack = world.add(name, Config())
        handle = stack.handle

        def hearing(event: events.Event, now: float, name: str = name, handle: Any = handle) -> Any:
            heard.extend([name] * isinstance(event, events.Datagram))
            return handle(event, now)

        stack.handle = hearing  # type: ignore[method-assign]
    world.same_lan = lambda a, b: "c" not in {a, b}
    world.run(120.0)
    assert {"a", "b"} == set(heard)
