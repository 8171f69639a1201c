"""A few sync cores with links between them, and whom they ask: on one heap of times.

Messages are encoded and decoded as on the wire; they arrive in order, or not at all when the
session is cut. Fetching takes a moment, and works if the source has the object.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.store.sync import Sync
from whispurrnet.store.sync_events import (
    Added,
    Arrived,
    Config,
    Down,
    Drop,
    Effect,
    Ended,
    Event,
    Failed,
    Fault,
    Follow,
    Join,
    Need,
    Retime,
    Send,
    Source,
    Synced,
    Up,
)
from whispurrnet.store.sync_messages import Entry, SyncMessage
from whispurrnet.wire.codec import Codec
from whispurrnet.wire.items import Items

SET = b"s" * 32
DELAY_S = 0.02
FETCH_S = 0.05
MESSAGE_MAX = 24_000

CODEC: Codec[SyncMessage] = Codec(SyncMessage)


def entry(n: int, time_s: int = 0, *, size: int = 1024) -> Entry:
    """An object of a number."""
    return Entry(time_s or 1_000_000 + n, Random(n).randbytes(32), size)


class Node:
    """A core, what it has, and what came of it."""

    def __init__(self, net: Net, name: int, config: Config) -> None:
        self.net = net
        self.name = name
        self.core = Sync(config, self, Random(name))
        self.index: dict[bytes, dict[bytes, Entry]] = {}
        self.banned: dict[int, None] = {}
        self.key = b""
        self.proven: dict[int, None] = {}
        self.fetching: dict[bytes, dict[int, None]] = {}
        self.fetching_max = 0
        self.fetched: Counter[bytes] = Counter()
        self.ended: list[Ended] = []
        self.faults: list[Fault] = []
        self.synced = 0
        self.looked = 0
        """How many ids were looked up in the index."""
        self.objections: list[str] = []
        """What its core found in messages of others."""

    # Whom the core asks

    def entries(self, set: bytes, oids: Sequence[bytes]) -> list[Entry]:
        assert len(oids) <= 512
        self.looked += len(oids)
        index = self.index.get(set, {})
        return [index[oid] for oid in oids if oid in index]

    def prove(self, peer: int, set: bytes) -> bytes:
        return self.key

    def admit(self, peer: int, set: bytes, proof: bytes) -> bool:
        if self.key and proof == self.key:
            self.proven[peer] = None
        return self.allowed(peer, set)

    def allowed(self, peer: int, set: bytes) -> bool:
        return peer not in self.banned and (not self.key or peer in self.proven)

    # What happens to it

    @property
    def has(self) -> dict[bytes, Entry]:
        return self.index[SET]

    def join(self, entries: Iterable[Entry] = (), sources: Iterable[int] = ()) -> None:
        index = self.index[SET] = {one.oid: one for one in entries}
        items = Items((one.time_s, one.oid) for one in index.values())
        self.handle(Join(SET, items, tuple(sources)))

    def add(self, one: Entry) -> None:
        self.has[one.oid] = one
        self.handle(Added(SET, one))

    def handle(self, event: Event) -> None:
        try:
            effects = self.core.handle(event, self.net.now)
        except ProtocolError as error:
            assert isinstance(event, Arrived)
            self.objections.append(str(error))
            return
        if self.net.watch:
            self.core.check_invariants()
        for effect in effects:
            self.perform(effect)
        self.net.tick_at(self)

    def perform(self, effect: Effect) -> None:
        match effect:
            case Send(peer, message):
                self.net.send(self.name, peer, message)
            case Need(peer, set, entries):
                for one in entries:
                    assert one.oid not in self.index[set], "it is here"
                    assert one.oid not in self.fetching, "it is being fetched"
                    self.fetching[one.oid] = {peer: None}
                    self.net.after(FETCH_S, lambda one=one: self.fetch(set, one))
                self.fetching_max = max(self.fetching_max, len(self.fetching))
            case Source(peer, _, oids):
                for oid in oids:
                    self.fetching[oid][peer] = None
            case Drop(_, oids):
                for oid in oids:
                    del self.fetching[oid]
            case Retime(set, oid, time_s):
                old = self.index[set][oid]
                assert time_s < old.time_s
                self.index[set][oid] = Entry(time_s, oid, old.size, old.collection)
            case Ended():
                self.ended.append(effect)
            case Fault():
                self.faults.append(effect)
            case Synced():
                self.synced += 1

    def fetch(self, set: bytes, one: Entry) -> None:
        for peer in list(self.fetching.get(one.oid, ())):
            if one.oid in self.net.nodes[peer].index.get(set, ()):
                del self.fetching[one.oid]
                self.fetched[one.oid] += 1
                self.index[set][one.oid] = one
                self.handle(Added(set, one))
                return
            self.fetching[one.oid].pop(peer, None)
            if not self.fetching[one.oid]:
                del self.fetching[one.oid]
            self.handle(Failed(set, one.oid, peer))
            if one.oid not in self.fetching:
                return

    def hear(self, peer: int, message: SyncMessage) -> None:
        """A message came; liars do something else with it."""
        self.handle(Arrived(peer, message))


class Net:
    """The links, and time."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = Random(seed)
        self.now = 100.0
        self.nodes: list[Node] = []
        self.watch = True
        """Whether to look at all invariants after each event."""
        self.sessions: dict[tuple[int, int], int] = {}
        self.messages = 0
        self.bytes = 0
        self.cut_after: int | None = None
        """Cut all links when so many messages were sent."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._ticks: dict[int, float] = {}

    def node(self, config: Config | None = None, kind: type[Node] = Node) -> Node:
        made = kind(self, len(self.nodes), config or Config())
        self.nodes.append(made)
        return made

    def after(self, wait_s: float, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (self.now + wait_s, self._order, what))

    def tick_at(self, node: Node) -> None:
        due = node.core.deadline
        if due is not None and due < self._ticks.get(node.name, float("inf")):
            self._ticks[node.name] = due
            self.after(max(0.0, due - self.now), lambda: self._tick(node, due))

    def _tick(self, node: Node, due: float) -> None:
        if self._ticks.get(node.name) == due:
            del self._ticks[node.name]
            node.handle(Tick())
            self.tick_at(node)

    def link(self, a: Node, b: Node) -> None:
        for one, other in ((a, b), (b, a)):
            self.sessions[one.name, other.name] = self._order
        for one, other in ((a, b), (b, a)):
            one.handle(Up(other.name))

    def cut(self, a: Node, b: Node) -> None:
        for one, other in ((a, b), (b, a)):
            self.sessions.pop((one.name, other.name), None)
        for one, other in ((a, b), (b, a)):
            one.handle(Down(other.name))

    def send(self, sender: int, to: int, message: SyncMessage) -> None:
        session = self.sessions.get((sender, to))
        body = CODEC.encode_all([message])
        assert len(body) <= MESSAGE_MAX
        if session is None:
            return
        self.messages += 1
        self.bytes += len(body)
        if self.messages == self.cut_after:
            pairs = [(self.nodes[a], self.nodes[b]) for a, b in self.sessions if a < b]
            self.sessions.clear()
            for a, b in pairs:
                self.after(0.0, lambda a=a, b=b: self.cut(a, b))
                self.after(1.0, lambda a=a, b=b: self.link(a, b))
            return
        (heard,) = CODEC.decode_all(body)
        assert heard == message

        def arrive() -> None:
            if self.sessions.get((sender, to)) == session:
                self.nodes[to].hear(sender, heard)

        self.after(DELAY_S, arrive)

    def run(self, for_s: float) -> None:
        end = self.now + for_s
        while self._heap and self._heap[0][0] <= end:
            self.now, _, what = heapq.heappop(self._heap)
            what()
        self.now = end


def follow(a: Node, b: Node) -> None:
    """The one follows the other."""
    a.handle(Follow(SET, b.name))
