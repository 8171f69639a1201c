"""Random walks over one sync core among peers who say anything, and a plain account beside it.

The account knows what is in the sets, what is being fetched and who may see what.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from random import Random

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
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
    Leave,
    Need,
    Removed,
    Retime,
    Send,
    Source,
    Synced,
    Unfollow,
    Up,
)
from whispurrnet.store.sync_messages import (
    Entry,
    SyncAnnounce,
    SyncAnswer,
    SyncClose,
    SyncDescribe,
    SyncEnd,
    SyncMessage,
    SyncOpen,
    SyncOpened,
    SyncQuery,
    SyncRefused,
)
from whispurrnet.wire.items import Items
from whispurrnet.wire.reconcile import Reconciler

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 50
PEERS = range(3)
SETS = [bytes([n]) * 32 for n in range(2)]
OIDS = [bytes([n]) * 32 for n in range(40)]
KINDS = [
    *("up", "up", "down", "join", "follow", "unfollow", "leave", "add", "remove"),
    *("got", "got", "failed", "grant", "open", "opened", "opened", "refused", "query", "answer"),
    *("answer", "garbage", "describe", "announce", "announce", "end", "close", "tick", "jump"),
]


class World:
    """What a driver sees of one core."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.config = Config(
            wanted_max=rng.choice([2, 10, 2048]),
            announced_max=rng.choice([1, 5, 4096]),
            announced_per_s=rng.choice([1.0, 2000.0]),
            queries_per_s=rng.choice([1.0, 64.0]),
            described_per_s=rng.choice([10.0, 20_000.0]),
            failures_max=rng.choice([1, 64]),
            round_s=rng.choice([1.0, 300.0]),
            sets_max=rng.choice([2, 9]),
            sources_max=rng.choice([1, 9]),
        )
        self.core = Sync(self.config, self, rng)
        self.now = rng.choice([10.0, 1e6])
        self.up: dict[int, None] = {}
        self.index: dict[bytes, dict[bytes, Entry]] = {}
        self.wanted: dict[tuple[bytes, bytes], tuple[Entry, dict[int, None]]] = {}
        self.granted: dict[tuple[int, bytes], None] = {}
        self.queries: dict[tuple[int, bytes], bytes] = {}
        """The last query that each peer was asked."""
        self.counts: dict[str, int] = {}

    # Whom the core asks

    def entries(self, set: bytes, oids: Sequence[bytes]) -> list[Entry]:
        assert len(oids) <= 512
        return [self.index[set][oid] for oid in oids if oid in self.index[set]]

    def prove(self, peer: int, set: bytes) -> bytes:
        assert peer in self.up
        return b""

    def admit(self, peer: int, set: bytes, proof: bytes) -> bool:
        return (peer, set) in self.granted

    def allowed(self, peer: int, set: bytes) -> bool:
        return (peer, set) in self.granted

    # What happens

    def entry(self) -> Entry:
        rng = self.rng
        return Entry(rng.randrange(1, 5), rng.choice(OIDS), 9, rng.random() < 0.1)

    def others(self) -> Items:
        """What some peer has."""
        return Items((one.time_s, one.oid) for one in (self.entry() for _ in range(12)))

    def event(self, kind: str) -> Event | None:
        rng = self.rng
        peer, set = rng.choice(PEERS), rng.choice(SETS)
        match kind:
            case "up":
                return Up(peer)
            case "down":
                return Down(peer)
            case "join":
                index = {one.oid: one for one in (self.entry() for _ in range(rng.randrange(30)))}
                items = Items((one.time_s, one.oid) for one in index.values())
                self.joining = index
                return Join(set, items, tuple(rng.sample(PEERS, rng.randrange(3))))
            case "follow":
                return Follow(set, peer)
            case "unfollow":
                return Unfollow(set, peer)
            case "leave":
                return Leave(set)
            case "add":
                one = self.entry()
                known = set not in self.index or one.oid in self.index[set]
                return None if known else Added(set, one)
            case "got" if self.wanted:
                key = rng.choice(list(self.wanted))
                return Added(key[0], self.wanted[key][0])
            case "remove" if self.index.get(set):
                return Removed(set, rng.choice(list(self.index[set].values())))
            case "failed" if self.wanted:
                key = rng.choice(list(self.wanted))
                return Failed(*key, rng.choice([None, *self.wanted[key][1], peer]))
            case "grant":
                if (peer, set) in self.granted:
                    del self.granted[peer, set]
                else:
                    self.granted[peer, set] = None
                return None
            case "jump":
                self.now += rng.choice([0.01, 1.0, 30.0, 1000.0])
                return Tick()
            case "tick":
                self.now = max(self.now, self.core.deadline or self.now)
                return Tick()
            case _:
                message = self.message(kind, peer, set)
                return None if message is None else Arrived(peer, message)

    def message(self, kind: str, peer: int, set: bytes) -> SyncMessage | None:
        rng = self.rng
        match kind:
            case "open":
                return SyncOpen(
                    set, rng.choice([0, 1, 1, 2]), rng.choice([1, 1, 9]), rng.randrange(2**53)
                )
            case "opened":
                return SyncOpened(set, rng.choice([1, 1, 1, 1, 2]))
            case "refused":
                return SyncRefused(set, rng.randrange(5), "no")
            case "query":
                return SyncQuery(set, Reconciler(self.others()).initiate())
            case "answer":
                query = self.queries.get((peer, set))
                if query is None:
                    return None
                return SyncAnswer(set, Reconciler(self.others()).answer(query))
            case "garbage":
                made = rng.choice([SyncQuery, SyncAnswer])
                return made(set, b"\x61" + rng.randbytes(rng.randrange(9)))
            case "describe":
                return SyncDescribe(set, tuple(rng.choices(OIDS, k=rng.randrange(9))))
            case "announce":
                return SyncAnnounce(set, tuple(self.entry() for _ in range(rng.randrange(6))))
            case "end":
                return SyncEnd(set, rng.random() < 0.5)
            case "close":
                return SyncClose(set)
            case _:
                return None

    def step(self, event: Event) -> None:
        """Take one event; what the driver does before and after it."""
        match event:
            case Added(set, entry):
                self.index[set][entry.oid] = entry
                self.wanted.pop((set, entry.oid), None)
            case Up(peer):
                self.up[peer] = None
        sets = self.core.sets()
        try:
            effects = self.core.handle(event, self.now)
        except ProtocolError:
            assert isinstance(event, Arrived)
            self.count("objection")
            self.core.check_invariants()
            return
        except (UsageError, LimitError):
            assert self.core.sets() == sets
            assert isinstance(event, Join | Follow | Unfollow | Leave)
            return
        self.after(event)
        for effect in effects:
            self.account(event, effect)
        self.core.check_invariants()
        progress = [self.core.progress(set) for set in self.index]
        assert all(one is not None for one in progress)
        objects = [0 if one is None else one.objects for one in progress]
        assert objects == [len(index) for index in self.index.values()]
        if isinstance(event, Tick):
            due = self.core.deadline
            assert due is None or due > self.now, "a tick settles"

    def after(self, event: Event) -> None:
        match event:
            case Down(peer):
                self.up.pop(peer, None)
                for wanted in self.wanted.values():
                    wanted[1].pop(peer, None)
            case Join(set):
                self.index[set] = self.joining
            case Leave(set):
                del self.index[set]
            case Removed(set, entry):
                del self.index[set][entry.oid]
            case Failed(set, oid, peer):
                sources = self.wanted[set, oid][1]
                if peer is not None:
                    sources.pop(peer, None)
                if peer is None or not sources:
                    del self.wanted[set, oid]
            case Unfollow(set, peer):
                for (other, _), wanted in self.wanted.items():
                    if other == set:
                        wanted[1].pop(peer, None)

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def account(self, event: Event, effect: Effect) -> None:
        self.count(type(effect).__name__)
        match effect:
            case Send(peer, message):
                assert peer in self.up or (isinstance(event, Down) and event.peer == peer)
                self.count(type(message).__name__)
                self.sent(peer, message)
            case Need(peer, set, entries):
                assert peer in self.up and entries
                for one in entries:
                    assert one.oid not in self.index[set] and (set, one.oid) not in self.wanted
                    self.wanted[set, one.oid] = one, {peer: None}
            case Source(peer, set, oids):
                for oid in oids:
                    assert peer not in self.wanted[set, oid][1]
                    self.wanted[set, oid][1][peer] = None
            case Drop(set, oids):
                for oid in oids:
                    del self.wanted[set, oid]
                if isinstance(event, Leave):
                    assert not any(key[0] == set for key in self.wanted)
            case Retime(set, oid, time_s):
                assert time_s < self.index[set][oid].time_s
                self.index[set][oid] = Entry(time_s, oid, 9)
            case Ended(peer) | Fault(peer) | Synced(peer):
                assert peer in self.up

    def sent(self, peer: int, message: SyncMessage) -> None:
        match message:
            case SyncAnnounce(set, entries):
                assert (peer, set) in self.granted, "access is checked at each step"
                assert entries
                assert all(one.oid in self.index[set] for one in entries)
            case SyncAnswer(set) | SyncOpened(set):
                assert (peer, set) in self.granted
            case SyncQuery(set, query):
                self.queries[peer, set] = query
            case SyncDescribe(_, oids):
                assert 0 < len(oids) <= 512


def walk(seed: int) -> World:
    rng = Random(seed)
    world = World(rng)
    weights = [rng.random() ** 2 for _ in KINDS]
    for peer in PEERS:
        world.step(Up(peer))
        world.granted |= {(peer, set): None for set in SETS if rng.random() < 0.8}
    begin = [*["join"] * 4, *["follow"] * 4, *["open", "opened"] * 6]
    for kind in [*begin, *rng.choices(KINDS, weights, k=STEPS)]:
        event = world.event(kind)
        if event is not None:
            world.step(event)
    return world


def test_random_walks() -> None:
    counts: dict[str, int] = {}
    for seed in range(RUNS):
        for name, count in walk(seed).counts.items():
            counts[name] = counts.get(name, 0) + count
    happened = {kind.__name__ for kind in (Need, Source, Drop, Retime, Ended, Fault, Synced)}
    happened |= {"SyncAnnounce", "SyncAnswer", "SyncEnd", "SyncDescribe", "objection"}
    assert counts.keys() >= happened, f"a walk that never gets there proves nothing: {counts}"
