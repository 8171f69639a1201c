"""Who sent it: listeners among the nodes guess the writer of each message, with and without a stem.

The estimator is first-spy: the guess is whoever was the first to send the message, or to announce
it, to any of the listeners. They pool what they hear, and keep the protocol. The same world shows
that nothing is lost when the nodes on the way swallow messages, and that it is the embargo which
sees to it.

The spreading is a model of `gossip.spread` (flood by the first, then push to three, announce to the
rest, ask for what is missing), and can be replaced: see `Spreading`. Links take 51 ms in the
median, log-normally distributed. MESH.md 1.3 has the table that this repeats.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from random import Random
from statistics import median

import msgspec
import pytest

from whispurrnet.base.machine import Tick
from whispurrnet.gossip.stem import (
    Add,
    Arrived,
    Config,
    Effect,
    Fluff,
    Fluffed,
    Own,
    Relay,
    Stem,
)

NODES = 500
MESSAGES = 400
CALLED = 4  # by each node; as many call it, on average
LATENCY_S = 0.051
TTL_S = 300.0
PAUSE_S = 6.0  # from one message to the next: the walk of 400 takes four epochs

PUSH, ANNOUNCE, ASK, STEM, TICK, WRITE = range(6)


class Spreading(msgspec.Struct, frozen=True):
    """How a message goes on in the open: to whom at once, and to whom as an announcement."""

    next: Callable[[Random, list[int], int, int], tuple[list[int], list[int]]]
    """Chance, candidates, hop (0 by who begins), whom it came from: those pushed to, those told."""


def push_three(rng: Random, peers: list[int], hop: int, source: int) -> tuple[list[int], list[int]]:
    others = [peer for peer in peers if peer != source]
    if hop == 0:
        return others, []
    rng.shuffle(others)
    return (others[:3], others[3:]) if hop < 10 else ([], others)


def flood(rng: Random, peers: list[int], hop: int, source: int) -> tuple[list[int], list[int]]:
    return [peer for peer in peers if peer != source], []


class Message:
    """What became of one message."""

    def __init__(self, writer: int, at: float) -> None:
        self.writer = writer
        self.at = at
        self.seen: dict[int, float] = {}
        """Who saw it in the open, and when."""
        self.guess: int | None = None
        self.why: list[str] = []
        """What made each of those spread it who did."""


class World:
    """A mesh of stems and a model of what spreads."""

    def __init__(
        self,
        seed: int,
        *,
        config: Config | None = None,
        nodes: int = NODES,
        spies: float = 0.0,
        holes: float = 0.0,
        spreading: Spreading | None = None,
    ) -> None:
        self.rng = Random(seed)
        self.spreading = spreading or Spreading(push_three)
        self.count = nodes
        config = config or Config()
        self.stems = [Stem(config, Random(self.rng.random())) for _ in range(nodes)]
        self.peers: list[list[int]] = [[] for _ in range(nodes)]
        shuffled = self.rng.sample(range(nodes), nodes)
        self.spies = set(shuffled[: round(spies * nodes)])
        """They listen, keep the protocol, and pool what they hear."""
        self.holes = set(shuffled[len(self.spies) :][: round(holes * nodes)])
        """They swallow what is handed on to them."""
        self.honest = [node for node in range(nodes) if node not in self.spies | self.holes]
        self.heap: list[tuple[float, int, int, int, int, int, int]] = []
        self.order = 0
        self.now = 0.0
        self.messages: list[Message] = []
        self.due = [math.inf] * nodes
        self.connect()

    def connect(self) -> None:
        calls = [dict.fromkeys(self.peers[node]) for node in range(self.count)]
        for node in range(self.count):
            mine = 0
            while mine < CALLED:
                peer = self.rng.randrange(self.count)
                if peer != node and peer not in calls[node]:
                    mine += 1
                    calls[node][peer] = calls[peer][node] = None
                    self.stems[node].handle(Add(peer, True), 0.0)
                    self.stems[peer].handle(Add(node, False), 0.0)
        self.peers = [list(each) for each in calls]

    # Driving

    def later(self, delay_s: float, kind: int, node: int, source: int, n: int, hop: int) -> None:
        self.order += 1
        heapq.heappush(self.heap, (self.now + delay_s, self.order, kind, node, source, n, hop))

    def post(self, kind: int, node: int, source: int, n: int, hop: int) -> None:
        self.later(LATENCY_S * math.exp(0.5 * self.rng.gauss(0, 1)), kind, node, source, n, hop)

    def run(self, messages: int = MESSAGES) -> None:
        for n in range(messages):
            writer = self.rng.choice(self.honest)
            self.messages.append(Message(writer, n * PAUSE_S))
            self.later(n * PAUSE_S, WRITE, writer, -1, n, 0)
        while self.heap:
            self.now, _, kind, node, source, n, hop = heapq.heappop(self.heap)
            if kind == TICK:
                self.tick(node)
                continue
            message = self.messages[n]
            if node in self.spies and kind in (PUSH, ANNOUNCE, STEM) and source not in self.spies:
                message.guess = source if message.guess is None else message.guess
            if kind == PUSH:
                self.spread(node, source, n, hop)
            elif kind == ANNOUNCE and node not in message.seen:
                self.later(0.4, ASK, node, source, n, hop)
            elif kind == ASK and node not in message.seen:
                self.post(PUSH, node, source, n, 5)
            elif kind == STEM and node not in message.seen and node not in self.holes:
                id = n.to_bytes(16, "big")
                self.perform(node, Arrived(source, id, id, message.at + TTL_S))
            elif kind == WRITE:
                id = n.to_bytes(16, "big")
                self.perform(node, Own(id, id, message.at + TTL_S))

    def tick(self, node: int) -> None:
        due = self.stems[node].deadline
        if due is not None and due <= self.now:
            self.perform(node, Tick())
        elif due is not None and due < self.due[node]:
            self.watch(node)

    def perform(self, node: int, event: Own | Arrived | Tick) -> None:
        effects = self.stems[node].handle(event, self.now)
        self.due[node] = math.inf
        self.watch(node)
        for effect in effects:
            self.do(node, effect)

    def watch(self, node: int) -> None:
        due = self.stems[node].deadline
        if due is not None and due < self.due[node]:
            self.due[node] = due
            self.later(due - self.now, TICK, node, -1, 0, 0)

    def do(self, node: int, effect: Effect) -> None:
        n = int.from_bytes(effect.body, "big")
        match effect:
            case Relay(peer):
                self.post(STEM, peer, node, n, 0)
            case Fluff(_, why):
                message = self.messages[n]
                message.why.append(why)
                self.spread(node, -1, n, -1)

    def spread(self, node: int, source: int, n: int, hop: int) -> None:
        """What `gossip.spread` does: once for each message; `hop` is -1 where it begins."""
        seen = self.messages[n].seen
        if node in seen:
            return
        seen[node] = self.now
        self.stems[node].handle(Fluffed(n.to_bytes(16, "big")), self.now)
        peers, told = self.spreading.next(self.rng, self.peers[node], hop + 1, source)
        for peer in told:
            if peer not in seen or peer in self.spies:
                self.post(ANNOUNCE, peer, node, n, hop + 1)
        for peer in peers:
            if peer not in seen or peer in self.spies:  # a duplicate changes nothing
                self.post(PUSH, peer, node, n, hop + 1)

    # What came of it

    def named(self) -> float:
        """How many of the messages had their writer named, from 0 to 1."""
        right = sum(message.guess == message.writer for message in self.messages)
        return right / len(self.messages)

    def lost(self) -> int:
        """How many messages nobody but their holders saw."""
        return sum(not message.seen for message in self.messages)

    def impatient(self) -> int:
        """How many messages were spread because an embargo ended: early, where nothing is lost."""
        return sum("embargo" in message.why for message in self.messages)

    def delivered(self) -> float:
        """How many of the nodes saw a message, on average, from 0 to 1."""
        seen = sum(len(message.seen) for message in self.messages)
        return seen / len(self.messages) / self.count

    def first_seen_s(self) -> list[float]:
        """How long after it was written each message came into the open."""
        return [min(each.seen.values()) - each.at for each in self.messages if each.seen]

    def median_s(self) -> float:
        """How long after it was written a message is seen, in the median of nodes and messages."""
        return median(at - each.at for each in self.messages for at in each.seen.values())


def world(seed: int, messages: int = MESSAGES, **kinds: object) -> World:
    made = World(seed, **kinds)  # type: ignore[arg-type]
    made.run(messages)
    return made


def table(shares: Iterable[float], seeds: Iterable[int], config: Config) -> list[str]:
    """The table of MESH.md 1.3, for the documentation: share, named, each seed's, median, early."""
    lines = []
    for share in shares:
        runs = [world(seed, config=config, spies=share) for seed in seeds]
        named = [round(100 * each.named(), 1) for each in runs]
        seen_s = median(each.median_s() for each in runs)
        early = sum(each.impatient() for each in runs)
        mean = sum(named) / len(named)
        lines.append(f"{share:.0%}: {mean:.1f} % {named}, {seen_s:.3f} s, {early} early")
    return lines


@pytest.mark.slow
def test_the_stem_hides_the_writer() -> None:
    hidden = world(1, spies=0.1)
    assert hidden.named() <= 0.25
    assert hidden.delivered() > 0.999
    assert hidden.impatient() <= 4


@pytest.mark.slow
def test_without_the_stem_the_writer_is_found() -> None:
    """The control: the listeners are good at it."""
    plain = world(1, spies=0.1, config=Config(on=False))
    assert plain.named() > 0.4


@pytest.mark.parametrize("spreading", [push_three, flood])
def test_it_hides_less_well_but_still_in_a_small_mesh(
    spreading: Callable[[Random, list[int], int, int], tuple[list[int], list[int]]],
) -> None:
    """A quick form of the two above, on every run, and with another way of spreading."""
    way = Spreading(spreading)
    hidden = world(2, 150, nodes=100, spies=0.1, spreading=way)
    plain = world(2, 150, nodes=100, spies=0.1, spreading=way, config=Config(on=False))
    assert hidden.named() <= 0.3
    assert plain.named() > 0.4


def test_black_holes_swallow_nothing_for_good() -> None:
    """A third of the nodes drop what is handed on to them: the embargo spreads it in time."""
    holes = world(3, nodes=150, holes=0.33)
    assert holes.lost() == 0
    assert holes.delivered() > 0.999
    assert holes.impatient() > 100
    waits_s = holes.first_seen_s()
    assert max(waits_s) < 60
    assert sorted(waits_s)[int(0.9 * len(waits_s))] < 15


def test_without_embargo_black_holes_swallow_some() -> None:
    """The mutant is killed."""
    holes = world(3, nodes=150, holes=0.33, config=Config(embargo=False))
    assert holes.lost() > 40


def test_black_holes_all_around() -> None:
    """Every successor swallows: the writer itself spreads it in the end."""
    holes = World(4, nodes=60, holes=0.0)
    holes.holes = set(holes.honest)
    holes.run(50)
    assert holes.lost() == 0
    assert all(message.why == ["embargo"] for message in holes.messages)


def test_embargoes_seldom_end_early() -> None:
    """Where nobody swallows anything, the message is in the open before anybody loses patience."""
    calm = world(5, nodes=300)
    assert calm.lost() == 0
    assert calm.impatient() <= 4
    assert calm.delivered() > 0.999


def test_the_same_seed_gives_the_same_walk() -> None:
    one, other = (world(6, 40, nodes=50, spies=0.2, holes=0.1) for _ in range(2))
    assert [m.guess for m in one.messages] == [m.guess for m in other.messages]
    assert [m.seen for m in one.messages] == [m.seen for m in other.messages]
