"""Memberships alone, on virtual time: they join through one, lose a third, and meet attackers.

The sessions are those of a simple stack: a dial succeeds if the other lives, both ends go up,
frames take their time and keep their order, and whoever is told `Release` hangs up.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.gossip.contact import Contact, prefix_of_host
from whispurrnet.gossip.membership import (
    Active,
    Arrived,
    Config,
    Consider,
    Dial,
    Down,
    Effect,
    Event,
    Failed,
    Inactive,
    Me,
    Membership,
    Release,
    Send,
    Tick,
    Up,
)
from whispurrnet.gossip.neighbours import (
    Join,
    Message,
    Neighbor,
    NeighborReply,
    Prune,
    Shuffle,
    codec,
)

WALL_S = 1_760_000_000
DEAD_DIAL_S = 3.0
CODEC = codec()


def contact_of(number: int, host: str = "") -> Contact:
    host = host or f"100.{128 + number // 250}.{number % 250}.9"
    return Contact(number.to_bytes(32, "big"), (f"/ip4/{host}/tcp/9000",), WALL_S + 86_400)


class Node:
    def __init__(self, world: World, number: int, config: Config, host: str = "") -> None:
        self.number = number
        self.contact = contact_of(number, host)
        self.prefix = prefix_of_host(self.contact.addresses[0].split("/")[2])
        self.core = Membership(config, Random(world.rng.random()), lambda: WALL_S + int(world.now))
        self.alive = True
        self.links: set[int] = set()
        self.active: dict[int, None] = {}
        self.tick_at: float | None = None
        self.errors = 0


class World:
    """Nodes by number; a number is also the handle of a peer and, in 32 bytes, its key."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.order = 0
        self.nodes: dict[int, Node] = {}
        self.sessions: dict[tuple[int, int], int] = {}
        self.free_at: dict[tuple[int, int], float] = {}
        self.trace = hashlib.sha256()
        self.dials = self.frames = self.sent_bytes = 0

    def at(self, time: float, act: Callable[[], None]) -> None:
        self.order += 1
        heapq.heappush(self.agenda, (time, self.order, act))

    def run(self, until: float) -> None:
        while self.agenda and self.agenda[0][0] <= until:
            self.now, _, act = heapq.heappop(self.agenda)
            act()
        self.now = until

    def add(self, number: int, config: Config, host: str = "", *, consents: bool = True) -> Node:
        node = self.nodes[number] = Node(self, number, config, host)
        self.handle(node, Me(node.contact.key, node.contact if consents else None))
        return node

    def handle(self, node: Node, event: Event) -> None:
        if not node.alive:
            return
        try:
            effects = node.core.handle(event, self.now)
        except ProtocolError:
            node.errors += 1
            return
        for effect in effects:
            text = effect.body if isinstance(effect, Send) else repr(effect).encode()
            self.trace.update(b"%d %.6f %s" % (node.number, self.now, text))
            self.perform(node, effect)
        self.arm(node)

    def arm(self, node: Node) -> None:
        due = node.core.deadline
        if node.alive and due is not None and (node.tick_at is None or due < node.tick_at):
            node.tick_at = due
            self.at(max(due, self.now), lambda: self.tick(node, due))

    def tick(self, node: Node, due: float) -> None:
        if node.tick_at == due:
            node.tick_at = None
            wanted = node.core.deadline
            if wanted is not None and wanted <= self.now:
                self.handle(node, Tick())
            self.arm(node)

    def perform(self, node: Node, effect: Effect) -> None:
        match effect:
            case Send(peer, body):
                self.send(node.number, peer, body)
            case Dial(contact):
                self.dials += 1
                self.dial(node.number, int.from_bytes(contact.key, "big"))
            case Release(peer):
                self.at(self.now + 1.0, lambda: self.hang_up(node, peer))
            case Active(peer):
                assert peer not in node.active
                node.active[peer] = None
            case Inactive(peer):
                del node.active[peer]

    def latency(self) -> float:
        return self.rng.lognormvariate(-3.0, 0.5)

    def send(self, a: int, b: int, body: bytes) -> None:
        session = self.sessions.get((min(a, b), max(a, b)))
        if session is None:
            return
        self.frames += 1
        self.sent_bytes += len(body)
        arrives_at = max(self.now + self.latency(), self.free_at.get((a, b), 0.0))
        self.free_at[a, b] = arrives_at

        def arrive() -> None:
            if self.sessions.get((min(a, b), max(a, b))) == session:
                self.handle(self.nodes[b], Arrived(a, body))

        self.at(arrives_at, arrive)

    def dial(self, a: int, b: int) -> None:
        node, other = self.nodes[a], self.nodes.get(b)

        def reach() -> None:
            if other is None or not other.alive:
                self.handle(node, Failed(contact_of(b).key))
            elif node.alive and (min(a, b), max(a, b)) not in self.sessions:
                self.order += 1
                self.sessions[min(a, b), max(a, b)] = self.order
                node.links.add(b)
                other.links.add(a)
                self.handle(other, Up(a, node.contact.key, None, False, node.prefix, False))
                self.handle(node, Up(b, other.contact.key, None, True, other.prefix, False))

        dead = other is None or not other.alive
        self.at(self.now + (DEAD_DIAL_S if dead else 3 * self.latency()), reach)

    def hang_up(self, node: Node, peer: int) -> None:
        """Unless it is needed again, here or there."""
        if peer not in node.active and node.number not in self.nodes[peer].active:
            self.cut(node.number, peer)

    def cut(self, a: int, b: int) -> None:
        if self.sessions.pop((min(a, b), max(a, b)), None) is not None:
            for one, other in ((a, b), (b, a)):
                self.nodes[one].links.discard(other)
                self.handle(self.nodes[one], Down(other))

    def crash(self, number: int) -> None:
        """It falls silent; its peers notice after a while."""
        self.nodes[number].alive = False
        for other in sorted(self.nodes[number].links):
            self.at(self.now + 5 * self.rng.random(), partial(self.cut, number, other))

    # What can be seen from above

    @property
    def living(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.alive]

    def components(self) -> int:
        """How many parts the overlay has; an edge counts only if both ends agree."""
        left = {node.number for node in self.living}
        parts = 0
        while left:
            parts += 1
            edge = [left.pop()]
            while edge:
                node = self.nodes[edge.pop()]
                for peer in node.active:
                    if peer in left and node.number in self.nodes[peer].active:
                        left.remove(peer)
                        edge.append(peer)
        return parts

    def lopsided(self) -> set[tuple[int, int]]:
        """Places in active views that the other end does not know of."""
        return {
            (node.number, peer)
            for node in self.living
            for peer in node.active
            if not self.nodes[peer].alive or node.number not in self.nodes[peer].active
        }

    def check(self) -> None:
        """All hang together, everybody has enough and nobody too much, and both ends agree."""
        assert self.components() == 1
        degrees = self.degrees()
        assert degrees[0] >= 4 and degrees[-1] <= 8
        assert not any(node.errors for node in self.nodes.values())
        before = self.lopsided()
        self.run(self.now + 2)
        assert not before & self.lopsided(), "what differs is under way"

    def degrees(self) -> list[int]:
        return sorted(len(node.active) for node in self.living)


def overlay(seed: int, count: int, *, gap_s: float = 0.1) -> World:
    """So many nodes that join through the first, one after another."""
    world = World(seed)
    world.add(0, Config())

    def join(number: int) -> None:
        world.add(number, Config())
        world.dial(number, 0)

    for number in range(1, count):
        world.at(number * gap_s, partial(join, number))
    return world


def heals(seed: int, count: int) -> None:
    world = overlay(seed, count)
    world.run(count / 10 + 30)
    world.check()
    assert sum(world.degrees()) >= 6.5 * count
    for number in world.rng.sample(range(count), count * 3 // 10):  # perhaps the first, too
        world.crash(number)
    world.run(world.now + 60)
    world.check()
    dials = world.dials
    world.run(world.now + 300)
    world.check()
    assert world.dials - dials < 4 * count, "it comes to rest"
    assert max(len(node.links) for node in world.living) < 20, "nor do sessions pile up"


def test_300_join_through_one_and_heal_after_the_crash_of_a_third() -> None:
    heals(0, 300)


@pytest.mark.parametrize("seed", range(1, 6))
def test_40_join_and_heal(seed: int) -> None:
    heals(seed, 40)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 20))
def test_1000_join_and_heal(seed: int) -> None:
    heals(seed, 1000)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_few_all_know_one_another(count: int) -> None:
    world = overlay(count, count)
    world.run(60)
    assert world.degrees() == [count - 1] * count
    dials = world.dials
    world.run(3600)
    assert world.dials == dials, "there is nobody left to call"


def test_who_does_not_consent_is_not_told_of_and_finds_neighbours_all_the_same() -> None:
    world = overlay(7, 30)
    world.run(20)
    shy = world.add(99, Config(), consents=False)
    world.dial(99, 0)
    world.run(200)
    assert len(shy.active) >= 4
    for node in world.living:
        assert shy.contact.key not in {contact.key for contact in node.core.passive}
    world.check()


def test_the_same_seed_gives_the_same_trace() -> None:
    def trace(seed: int) -> str:
        world = overlay(seed, 40)
        world.run(30)
        for number in range(5, 15):
            world.crash(number)
        world.run(60)
        return world.trace.hexdigest()

    assert trace(3) == trace(3) != trace(4)


# Attackers: what they send is made here, and what they are sent goes nowhere.


CAPS_OFF = Config(outbound_min=0, per_prefix=1000, per_inviter=1000)
EVIL = range(1000, 1200)


def eclipse(config: Config) -> tuple[int, int]:
    """200 Sybils from 5 networks call a node that has just started, and never let go.

    Returns:
        The most evil neighbours there ever were, and how many honest ones at the end.
    """
    world = overlay(11, 40)
    world.run(60)
    victim = world.add(500, config)
    worst = 0

    def attack(evil: int, message: Message) -> None:
        nonlocal worst
        world.handle(victim, Arrived(evil, CODEC.encode_all([message])))
        worst = max(worst, sum(peer in EVIL for peer in victim.active))

    for evil in EVIL:
        prefix = f"203.0.{evil % 5}.0/24"
        world.handle(victim, Up(evil, contact_of(evil).key, None, False, prefix, False))
        attack(evil, Join(contact_of(evil, f"203.0.{evil % 5}.{evil % 200}")))
    for number in range(0, 40, 2):
        world.handle(victim, Consider(world.nodes[number].contact))
    for _ in range(60):
        world.run(world.now + 10)
        for evil in EVIL:
            attack(evil, Neighbor(True, None))
            lies = tuple(contact_of(world.rng.choice(EVIL)) for _ in range(4))
            attack(evil, NeighborReply(True, None, lies))
    return worst, sum(peer not in EVIL for peer in victim.active)


def test_eclipse_fails() -> None:
    worst, honest = eclipse(Config())
    assert worst <= 4
    assert honest >= 4


def test_eclipse_succeeds_without_the_caps() -> None:
    worst, honest = eclipse(CAPS_OFF)
    assert worst == 8
    assert honest == 0


def flap(config: Config) -> tuple[int, int]:
    """A peer goes into the view and out of it as fast as it can; the changes, and the errors."""
    core = Membership(config, Random(1), lambda: WALL_S)
    core.handle(Me(contact_of(0).key, contact_of(0)), 0)
    core.handle(Up(1, contact_of(1).key, None, False, "", False), 0)
    changes = errors = 0
    for step in range(200):
        message: Message = Neighbor(True, None) if step % 2 == 0 else Prune((), 0)
        try:
            effects = core.handle(Arrived(1, CODEC.encode_all([message])), step * 0.01)
            changes += sum(isinstance(effect, Active | Inactive) for effect in effects)
        except ProtocolError:
            errors += 1
    return changes, errors


def test_flapping_is_bounded_and_breaks_the_protocol() -> None:
    changes, errors = flap(Config())
    assert changes <= 8
    assert errors >= 190


def test_flapping_goes_on_without_the_bound() -> None:
    assert flap(Config(acts_burst=1e9, messages_burst=1e9)) == (200, 0)


def push_out(config: Config) -> tuple[int, int]:
    """Neighbours stand for an hour; then 200 newcomers in need come within a minute.

    Returns:
        How many old neighbours are left of 4, and how many were pruned, old or new.
    """
    core = Membership(config, Random(1), lambda: WALL_S)
    core.handle(Me(contact_of(0).key, contact_of(0)), 0)
    join = CODEC.encode_all([Join(None)])
    for old in range(1, 5):
        core.handle(Up(old, contact_of(old).key, None, False, "", False), old)
        core.handle(Arrived(old, join), old)
    assert core.active == (1, 2, 3, 4)
    pruned = 0
    for evil in EVIL:
        now = 3600 + (evil - EVIL[0]) * 0.3
        core.handle(Up(evil, contact_of(evil).key, None, False, f"{evil}", False), now)
        effects = core.handle(Arrived(evil, join), now)
        pruned += sum(isinstance(effect, Inactive) for effect in effects)
    return sum(peer < 5 for peer in core.active), pruned


def test_a_crowd_in_need_pushes_out_few_and_never_those_who_stand_long() -> None:
    left, pruned = push_out(Config())
    assert left >= 2
    assert pruned <= 4 + 60 / 10


def test_a_crowd_in_need_pushes_out_one_another_without_the_bound() -> None:
    left, pruned = push_out(Config(evict_s=1e-3, evict_burst=1e9))
    assert left == 2, "the older half stays"
    assert pruned == 200


def flood(config: Config, message: Message) -> int:
    """How many of 1000 messages within ten seconds break the protocol."""
    core = Membership(config, Random(1), lambda: WALL_S)
    core.handle(Me(contact_of(0).key, contact_of(0)), 0)
    core.handle(Up(1, contact_of(1).key, None, False, "", False), 0)
    core.handle(Arrived(1, CODEC.encode_all([Join(None)])), 0)
    errors = 0
    for step in range(1000):
        try:
            core.handle(Arrived(1, CODEC.encode_all([message])), step * 0.01)
        except ProtocolError:
            errors += 1
    return errors


def test_storms_end_in_errors() -> None:
    assert flood(Config(), Join(contact_of(1))) == 1000
    assert flood(Config(), Neighbor(True, None)) > 990
    assert flood(Config(), Prune((), 60)) > 990
    assert flood(Config(), NeighborReply(True, None, ())) == 1000
    lies = tuple(contact_of(number) for number in range(20, 28))
    assert flood(Config(), Shuffle(1, 3, lies)) > 350
    loose = Config(acts_burst=1e9, messages_burst=1e9)
    assert flood(loose, Neighbor(True, None)) == 0
    assert flood(loose, Shuffle(1, 3, lies)) == 0


def test_a_liar_gets_but_a_share_of_the_passive_view() -> None:
    core = Membership(Config(), Random(1), lambda: WALL_S)
    core.handle(Me(contact_of(0).key, contact_of(0)), 0)
    for number in range(2, 42):
        core.handle(Consider(contact_of(number)), 0)
    core.handle(Up(1, contact_of(1).key, None, False, "", False), 0)
    core.handle(Arrived(1, CODEC.encode_all([Join(None)])), 0)
    for step in range(200):
        lies = tuple(contact_of(100 + step * 8 + n) for n in range(8))
        core.handle(Arrived(1, CODEC.encode_all([Shuffle(step, 0, lies)])), 10.0 * step)
    known = [int.from_bytes(contact.key, "big") for contact in core.passive]
    assert sum(number < 100 for number in known) == 40
    assert sum(number >= 100 for number in known) == 16
