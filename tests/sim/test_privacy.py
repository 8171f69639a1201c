"""What an observer in the middle of the mesh can tell: whole nodes, and an honest-looking one.

The observer is a member of the realm and relays like everybody; it holds none of the keys of the
private topics. What it is asked: which of twenty topics is a message about?
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from random import Random
from statistics import mean
from typing import NamedTuple

import pytest
from tests.sim.meshes import Hand, Mesh, config, rings
from tests.sim.overlay import Plain
from tests.sim.overlay import body as plain_body

from whispurrnet.base.machine import Tick
from whispurrnet.gossip import spread, stem
from whispurrnet.gossip.envelope import Envelope, parse, realm_key
from whispurrnet.gossip.ladder import SLOT_BYTES, SLOTS, feature_key, features, slot
from whispurrnet.gossip.spread_frames import IHAVE, PUSH, ids
from whispurrnet.stack.checker import STAMP_BYTES
from whispurrnet.stack.overlay import STEM
from whispurrnet.wire import frame

TOPICS = 20
EACH = 24
INTENTS = [f"topic{n}/part{n % 3}/deep#tag{n % 4}" for n in range(TOPICS)]

Guess = Callable[["Sight"], int | None]


class Sight(NamedTuple):
    """One message as the observer saw it first."""

    envelope: Envelope
    hop: int
    peer: int
    gap_s: float
    """How long after the message before."""


class Show(NamedTuple):
    """What was said, and what the observer saw of it."""

    mesh: Mesh
    private: list[tuple[Sight, int]]
    public: list[tuple[Sight, int]]
    frames: list[bytes]


@cache
def show() -> Show:
    """Twelve nodes speak about private and public topics, in any order, and one observes."""
    mesh = Mesh(1, config(walk=True))
    names = [f"n{number}" for number in range(12)]
    observer = Hand()
    for name in names:
        mesh.add(name, None, observer if name == "n0" else None)
    for caller, target in rings(names, 1, 2, 5):
        mesh.call(caller, target)
    mesh.run(8.0)
    rng = Random(2)
    keys = [rng.randbytes(32) for _ in INTENTS]
    plan = [(topic, keys[topic]) for topic in range(TOPICS) for _ in range(EACH)]
    plan += [(topic, None) for topic in range(TOPICS) for _ in range(3)]
    rng.shuffle(plan)
    said: dict[int, tuple[int, bool]] = {}
    mesh.captured = []
    for topic, key in plan:
        data = rng.randbytes(20 + 6 * topic)  # each topic has its own length
        number = mesh.resonate(rng.choice(names[1:]), INTENTS[topic], key, data)
        said[number] = topic, key is not None
        mesh.run(rng.expovariate(2.0))
    mesh.run(60.0)
    truth = {mesh.ids[number]: what for number, what in said.items()}
    private: list[tuple[Sight, int]] = []
    public: list[tuple[Sight, int]] = []
    known: dict[bytes, None] = {}
    before = 0.0
    for at, peer, type, body in observer.told:
        if type != frame.GOSSIP or body[1] not in (PUSH, STEM):
            continue
        start = 3 if body[1] == PUSH else 2
        envelope = parse(body[start + STAMP_BYTES :])
        if envelope.id in known or envelope.id not in truth:
            continue
        known[envelope.id] = None
        topic, is_private = truth[envelope.id]
        hop = body[2] if body[1] == PUSH else -1
        (private if is_private else public).append((Sight(envelope, hop, peer, at - before), topic))
        before = at
    assert len(private) >= 0.99 * TOPICS * EACH, "it is in the middle, and sees nearly all"
    mesh.check()
    return Show(mesh, private, public, [body for _, body in mesh.captured])


# A classifier that learns


def traits(sight: Sight) -> list[tuple[object, ...]]:
    """What it looks at: sizes, times, whence, every slot as a whole, and bytes at their places."""
    raw = sight.envelope.raw
    found: list[tuple[object, ...]] = [
        ("size", len(raw)),
        ("hop", sight.hop),
        ("peer", sight.peer),
        ("gap", round(math.log2(sight.gap_s + 0.001))),
        ("expiry", sight.envelope.expiry_s % 60),
        ("shard", sight.envelope.shard),
    ]
    found += [("slot", value) for value in sight.envelope.slots]
    found += [(at, raw[at]) for at in (*range(119), *range(119, len(raw), 5))]
    return found


class Bayes:
    """Naive Bayes: which topic makes what was seen most likely, from examples of each."""

    def __init__(self, examples: Iterable[tuple[Sight, int]]) -> None:
        self._counts: dict[int, Counter[tuple[object, ...]]] = defaultdict(Counter)
        self._total: Counter[int] = Counter()
        for sight, topic in examples:
            self._counts[topic].update(traits(sight))
            self._total[topic] += 1

    def __call__(self, sight: Sight) -> int:
        seen = traits(sight)

        def likely(topic: int) -> float:
            counts, total = self._counts[topic], self._total[topic]
            return sum(math.log((counts[each] + 0.02) / (total + 1.0)) for each in seen)

        return max(sorted(self._counts), key=likely)


def score(guess: Guess, sights: Iterable[tuple[Sight, int]]) -> tuple[int, int]:
    """How many it names right, of how many."""
    results = [guess(sight) == topic for sight, topic in sights]
    return sum(results), len(results)


def by_chance(count: int, chance: float, risk: float = 0.001) -> int:
    """So many right guesses are not exceeded by chance, but for a small risk."""
    left, right = 1.0, -1
    while left > risk:
        right += 1
        left -= math.comb(count, right) * chance**right * (1 - chance) ** (count - right)
    return right


def halves(
    sights: list[tuple[Sight, int]],
) -> tuple[list[tuple[Sight, int]], list[tuple[Sight, int]]]:
    """To learn from, and to be asked about: of each topic the same number."""
    by_topic: dict[int, list[tuple[Sight, int]]] = defaultdict(list)
    for sight, topic in sights:
        by_topic[topic].append((sight, topic))
    learn = [each for some in by_topic.values() for each in some[: len(some) // 2]]
    asked = [each for some in by_topic.values() for each in some[len(some) // 2 :]]
    return learn, asked


def test_what_passes_by_does_not_tell_which_private_topic_it_is_about() -> None:
    learn, asked = halves(show().private)
    right, count = score(Bayes(learn), asked)
    assert count >= 230
    assert right <= by_chance(count, 1 / TOPICS)


def test_the_classifier_finds_what_there_is_to_find() -> None:
    """The control: with tags that are a fixed hash of the topic, as in the seeds, it names all."""

    def fixed(sight: Sight, topic: int) -> tuple[Sight, int]:
        raw = sight.envelope.raw
        tag = slot(feature_key(b"fixed", INTENTS[topic]), b"")
        at = raw.index(sight.envelope.slots[5])
        return sight._replace(envelope=parse(raw[:at] + tag + raw[at + SLOT_BYTES :])), topic

    learn, asked = halves([fixed(*each) for each in show().private])
    right, count = score(Bayes(learn), asked)
    assert right > 0.8 * count


# A dictionary


def dictionary(base: bytes) -> Guess:
    """Tries all topics under one base key."""
    names = [[feature_key(base, name) for name, _ in features(intent)] for intent in INTENTS]

    def guess(sight: Sight) -> int | None:
        there = frozenset(sight.envelope.slots)
        for topic, keys in enumerate(names):
            if all(slot(key, sight.envelope.nonce) in there for key in keys):
                return topic
        return None

    return guess


def test_a_dictionary_says_nothing_about_private_topics() -> None:
    """Even if it holds every name: without the key of the topic no guess can be tested."""
    base = show().mesh.world.nodes["n0"].gossiping.realm.base
    assert score(dictionary(base), show().private)[0] == 0
    assert score(dictionary(realm_key(None)), show().private)[0] == 0


def test_a_dictionary_names_public_topics() -> None:
    """The control, and what members of the realm must know: a public topic can be guessed."""
    base = show().mesh.world.nodes["n0"].gossiping.realm.base
    right, count = score(dictionary(base), show().public)
    assert count >= 50
    assert right == count


# What must not be there at all


def test_no_two_messages_share_a_slot() -> None:
    for sights in (show().private, show().public):
        slots = [value for sight, _ in sights for value in sight.envelope.slots]
        assert len(slots) == len(sights) * SLOTS
        assert len(set(slots)) == len(slots)


def test_nothing_passes_in_the_clear() -> None:
    """No frame of gossip holds a name of a topic, or who anybody is."""
    shown = show()
    secrets = [part.encode() for intent in INTENTS for part in intent.replace("#", "/").split("/")]
    for name, stack in shown.mesh.world.nodes.items():
        identity = stack.shared.identity
        address = shown.mesh.world.address(name).encode()
        secrets += [identity.id, identity.proof.static_key, identity.proof.signing_key, address]
    everything = b"\x00".join(shown.frames)
    assert len(everything) > 1_000_000
    assert not [secret for secret in secrets if len(secret) > 4 and secret in everything]


# Who wrote it: the real cores together


class Cores:
    """Stems and spreadings as a node puts them together, and listeners that pool what they hear.

    The estimator is that of `test_first_spy`, which has a model in the place of the spreading.
    """

    def __init__(self, seed: int, nodes: int, spies: float, *, walk: bool) -> None:
        self.rng = Random(seed)
        self.heap: list[tuple[float, int, int, int, bytes]] = []
        self.order = 0
        self.now = 0.0
        self.writers: dict[bytes, int] = {}
        self.guesses: dict[bytes, int] = {}
        self.reached: Counter[bytes] = Counter()
        checker = Plain()
        settings = spread.Config(sync_s=1e9)
        self.checker = checker
        self.spreads = [
            spread.Spread(settings, checker, Random(self.rng.random())) for _ in range(nodes)
        ]
        self.stems = [
            stem.Stem(stem.Config(on=walk), Random(self.rng.random())) for _ in range(nodes)
        ]
        self.spies = frozenset(self.rng.sample(range(nodes), round(nodes * spies)))
        self.honest = [node for node in range(nodes) if node not in self.spies]
        self.due = [math.inf] * nodes
        linked: list[dict[int, None]] = [{} for _ in range(nodes)]
        for node in range(nodes):
            for peer in self.rng.sample([one for one in range(nodes) if one != node], 4):
                if peer not in linked[node]:
                    linked[node][peer] = linked[peer][node] = None
                    for one, other, outbound in ((node, peer, True), (peer, node, False)):
                        self.stems[one].handle(stem.Add(other, outbound), 0.0)
                        self.spreads[one].handle(spread.Add(other), 0.0)
        self.run(10.0)

    def later(self, delay_s: float, node: int, source: int, data: bytes) -> None:
        self.order += 1
        heapq.heappush(self.heap, (self.now + delay_s, self.order, node, source, data))

    def post(self, node: int, peer: int, data: bytes) -> None:
        self.later(0.051 * math.exp(0.5 * self.rng.gauss(0, 1)), peer, node, data)

    def write(self) -> None:
        """Some honest node writes a message."""
        id, node = self.rng.randbytes(16), self.rng.choice(self.honest)
        self.writers[id] = node
        body = plain_body(id, self.now + 300.0)
        self.walk(node, self.stems[node].handle(stem.Own(id, body, self.now + 300.0), self.now))
        self.watch(node)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.heap and self.heap[0][0] <= until:
            self.now, _, node, source, data = heapq.heappop(self.heap)
            if source < 0:
                self.tick(node)
                continue
            if node in self.spies and source not in self.spies:
                self.listen(source, data)
            if data[0] != STEM:
                self.flow(node, self.spreads[node].handle(spread.Arrived(source, data), self.now))
            elif not self.spreads[node].has(data[1:17]):
                event = stem.Arrived(source, data[1:17], data[1:], self.now + 290.0)
                self.walk(node, self.stems[node].handle(event, self.now))
            self.watch(node)
        self.now = until

    def listen(self, source: int, data: bytes) -> None:
        if data[0] == IHAVE:
            heard = ids(data, 2) or []
        else:
            start = {PUSH: 2, STEM: 1}.get(data[0], len(data))
            heard = [data[start : start + 16]]
        for id in heard:
            self.guesses.setdefault(id, source)

    def tick(self, node: int) -> None:
        if self.due[node] > self.now:
            return
        self.due[node] = math.inf
        for core, take in ((self.spreads[node], self.flow), (self.stems[node], self.walk)):
            if core.deadline is not None and core.deadline <= self.now:
                take(node, core.handle(Tick(), self.now))
        self.watch(node)

    def watch(self, node: int) -> None:
        dues = (self.spreads[node].deadline, self.stems[node].deadline)
        due = min((each for each in dues if each is not None), default=math.inf)
        if due < self.due[node]:
            self.due[node] = due
            self.later(max(0.0, due - self.now), node, -1, b"")

    def walk(self, node: int, effects: Iterable[stem.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, stem.Relay):
                self.post(node, effect.peer, bytes((STEM,)) + effect.body)
            else:
                self.flow(node, self.spreads[node].handle(spread.Publish(effect.body), self.now))

    def flow(self, node: int, effects: Iterable[spread.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, spread.Send):
                self.post(node, effect.peer, effect.data)
            elif isinstance(effect, spread.Deliver):
                self.reached[effect.item.id] += 1
                self.stems[node].handle(stem.Fluffed(effect.item.id), self.now)


def named(seed: int, nodes: int, messages: int, *, walk: bool) -> float:
    """In how many of the cases the listeners, a tenth of the nodes, name who wrote it."""
    cores = Cores(seed, nodes, 0.1, walk=walk)
    for _ in range(messages):
        cores.write()
        cores.run(6.0)
    cores.run(60.0)
    assert mean(cores.reached[id] for id in cores.writers) > 0.999 * nodes
    return mean(cores.guesses.get(id) == writer for id, writer in cores.writers.items())


def test_the_walk_hides_the_writer_of_what_real_cores_spread() -> None:
    """A quick form of the one below, on every run."""
    hidden, plain = named(1, 200, 150, walk=True), named(1, 200, 100, walk=False)
    assert hidden <= 0.25
    assert plain > 0.30


@pytest.mark.soak
def test_of_five_hundred_nodes_fifty_listeners_seldom_name_the_writer() -> None:
    assert named(1, 500, 300, walk=True) <= 0.25
    assert named(1, 500, 150, walk=False) > 0.40
