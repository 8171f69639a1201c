"""Two couriers over a link with delay and bandwidth, on virtual time: cut, replaced, restarted."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

import pytest

from whispurrnet.direct.courier import (
    Answer,
    Answered,
    Arrived,
    Ask,
    Asked,
    Courier,
    Delivered,
    Down,
    Event,
    Post,
    Progress,
    Tick,
    Up,
)

DELAY_S = 0.1
BYTES_PER_S = 1_000_000
ROOM = 16_000
PEER = 1


class Link:
    """Two ends, each with a courier; frames take their time, in order, and a cut loses them."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.order = 0
        self.session = 0
        self.couriers = [Courier(entropy=self.rng.randbytes) for _ in range(2)]
        self.free_at = [0.0, 0.0]
        self.up = False
        self.delivered: list[list[tuple[float, bytes]]] = [[], []]
        self.states: dict[int, str] = {}
        self.answers: list[Answered] = []
        self.bytes = 0

    def at(self, time: float, act: Callable[[], None]) -> None:
        self.order += 1
        heapq.heappush(self.agenda, (time, self.order, act))

    def run(self, until: float) -> None:
        while True:
            due = min(
                self.agenda[0][0] if self.agenda else until,
                *(courier.deadline or until for courier in self.couriers),
            )
            if due >= until:
                break
            self.now = max(self.now, due)
            while self.agenda and self.agenda[0][0] <= self.now:
                heapq.heappop(self.agenda)[2]()
            for end, courier in enumerate(self.couriers):
                if courier.deadline is not None and courier.deadline <= self.now:
                    self.handle(end, Tick())
        self.now = until

    def handle(self, end: int, event: Event) -> None:
        courier = self.couriers[end]
        for effect in (*courier.handle(event, self.now), *courier.drain()):
            match effect:
                case Delivered(_, whispers):
                    self.delivered[end] += ((self.now, whisper.body) for whisper in whispers)
                case Progress(_, id, state):
                    self.states[id] = state
                case Asked(peer, id, _, body):
                    self.handle(end, Answer(peer, id, body))
                case Answered():
                    self.answers.append(effect)
        self.send(end)

    def send(self, end: int) -> None:
        """Send one frame if the line is free, and go on when it is free again."""
        if not self.up or self.free_at[end] > self.now:
            return
        body = self.couriers[end].pull(PEER, ROOM, self.now)
        if body is None:
            return
        self.bytes += len(body)
        self.free_at[end] = self.now + len(body) / BYTES_PER_S
        session = self.session
        self.at(self.free_at[end], lambda: self.send(end))
        arrives_at = self.free_at[end] + DELAY_S
        self.at(arrives_at, lambda: self.arrive(1 - end, body, session))

    def arrive(self, end: int, body: bytes, session: int) -> None:
        if self.up and session == self.session:
            self.handle(end, Arrived(PEER, body))

    def connect(self) -> None:
        self.session += 1
        self.up = True
        self.free_at = [self.now, self.now]
        for end in (0, 1):
            self.handle(end, Up(PEER))

    def cut(self) -> None:
        self.up = False
        self.session += 1
        for end in (0, 1):
            self.handle(end, Down(PEER))


def post_all(link: Link, count: int, over_s: float, size: int = 60) -> list[bytes]:
    bodies = [b"%d " % n + bytes(size) for n in range(count)]
    for n, body in enumerate(bodies):
        post = Post(PEER, n, 1, body)
        link.at(over_s * n / count, lambda post=post: link.handle(0, post))
    return bodies


def bodies_of(link: Link, end: int) -> list[bytes]:
    return [body for _, body in link.delivered[end]]


@pytest.mark.parametrize("seed", range(3))
def test_ten_thousand_whispers_through_cuts_and_a_pulled_cable(seed):
    link = Link(seed)
    bodies = post_all(link, 10_000, over_s=60.0)
    link.at(0.0, link.connect)
    for _ in range(20):
        link.at(link.rng.random() * 55, link.connect)  # another session takes its place
    link.at(56.0, link.cut)
    link.at(116.0, link.connect)
    link.run(200.0)
    assert bodies_of(link, 1) == bodies
    assert set(link.states.values()) == {"received"}
    sent_once = sum(len(body) for body in bodies)
    assert link.bytes < 1.6 * sent_once, "only what was lost is sent again"


def test_a_receiver_that_restarts_gets_the_rest():
    link = Link(1)
    bodies = post_all(link, 1_000, over_s=10.0)
    link.at(0.0, link.connect)
    link.at(5.0, link.cut)
    link.at(6.0, lambda: link.couriers.__setitem__(1, Courier(entropy=link.rng.randbytes)))
    link.at(7.0, link.connect)
    link.run(60.0)
    got = bodies_of(link, 1)
    assert list(dict.fromkeys(got)) == bodies
    assert len(got) - len(bodies) < 60, "twice only what was not acknowledged in time"


def test_urgent_ones_overtake_a_thousand_others():
    link = Link(1)
    link.at(0.0, link.connect)
    for n in range(1000):
        post = Post(PEER, n, 1, bytes(4000), 2)
        link.at(0.1, lambda post=post: link.handle(0, post))
    link.at(1.0, lambda: link.handle(0, Post(PEER, 5000, 1, b"stop", 10)))
    link.run(60.0)
    arrived_at = next(time for time, body in link.delivered[1] if body == b"stop")
    assert arrived_at < 1.0 + DELAY_S + 2 * ROOM / BYTES_PER_S
    assert len(link.delivered[1]) == 1001


def test_what_is_of_no_use_any_more_is_not_sent():
    link = Link(1)
    link.at(0.0, lambda: link.handle(0, Post(PEER, 1, 1, b"soon", 5, 10.0)))
    link.at(0.0, lambda: link.handle(0, Post(PEER, 2, 1, b"late", 5, 100.0)))
    link.at(50.0, link.connect)
    link.run(51.0)
    assert bodies_of(link, 1) == [b"late"]
    assert link.states == {1: "expired", 2: "received"}


def test_requests_take_one_round_trip_and_end_with_the_session():
    link = Link(1)
    link.at(0.0, link.connect)
    for n in range(100):
        link.at(1.0, lambda n=n: link.handle(0, Ask(PEER, n, "echo", b"%d" % n)))
    link.run(1.0 + 2 * DELAY_S + 0.05)
    assert sorted(answer.id for answer in link.answers) == list(range(100))
    assert all(answer.body == b"%d" % answer.id and not answer.error for answer in link.answers)
    link.at(2.0, lambda: link.handle(0, Ask(PEER, 100, "echo", b"")))
    link.at(2.05, link.cut)
    link.run(3.0)
    assert link.answers[-1].error == "connection lost"
