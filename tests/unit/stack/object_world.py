"""Whole stacks that exchange objects in the simulator, each with a shelf that is a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from random import Random
from typing import Any

from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events, object_events
from whispurrnet.stack.config import Config
from whispurrnet.store import sync_events, transfer_config
from whispurrnet.store import transfer_events as moves
from whispurrnet.store.object import CHUNK_LOG2, Header, Mode, small_id
from whispurrnet.store.outline import Outline
from whispurrnet.store.sync_messages import Entry
from whispurrnet.wire.ids import ObjectId

CHUNK = 1 << CHUNK_LOG2
QUICK = transfer_config.Config(hopeless_wait_s=1.0, source_wait_s=5.0)
QUIET = Config(beacon_on=False, transfer=QUICK)


def some(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


class Shelves:
    """Nodes in a world; what they keep is bytes by id."""

    def __init__(self, *names: str, config: Config = QUIET, seed: int = 1) -> None:
        self.kept: dict[str, dict[ObjectId, bytes]] = defaultdict(dict)
        self.roots: dict[str, dict[ObjectId, tuple[bytes, ...]]] = defaultdict(dict)
        self.news: dict[str, list[Any]] = defaultdict(list)
        self.outlines: dict[bytes, Outline] = {}
        self.coming: dict[tuple[str, ObjectId], dict[int, bytes]] = defaultdict(dict)
        self.world = World(seed, Wire(), self._observe)
        for name in names:
            self.world.add(name, config)

    # What tests do

    def add(self, name: str, data: bytes, *roots: bytes) -> ObjectId:
        """A node has an object, below these roots."""
        header = Header(Mode.FIXED, CHUNK_LOG2, len(data))
        outline = Outline.of(header, data)
        oid = small_id(header, data) if header.inline else outline.id
        self.outlines[oid] = outline
        self.kept[name][oid] = data
        self.roots[name][oid] = roots
        return oid

    def meet(self, one: str, other: str) -> tuple[int, int]:
        """Connect two; the number of the second at the first, and the other way round."""
        self.world.connect(one, other)
        self.run(5.0)
        return self.peer(one, other), self.peer(other, one)

    def peer(self, at: str, who: str) -> int:
        """The number of a peer that is connected."""
        return next(peer for name, peer in self.world.sessions(at) if name == who)

    def tell(self, name: str, event: events.Event, wait_s: float = 3.0) -> None:
        self.world.inject(name, event)
        self.run(wait_s)

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def fetch(self, name: str, oid: ObjectId, *peers: int, wait_s: float = 10.0) -> bool:
        """Fetch an object; whether it has come."""
        self.tell(name, moves.Fetch(oid=oid, sources=peers), wait_s)
        return oid in self.kept[name]

    def cap(self, name: str, root: bytes) -> Any:
        """Share a root by capability."""
        self.tell(name, object_events.Share(root, object_events_holder()), 0.1)
        return self.of(name, object_events.SharedBy)[-1].cap

    def of(self, name: str, kind: type) -> list[Any]:
        """The news of one kind that a node told."""
        return [one for one in self.news[name] if isinstance(one, kind)]

    def entries(self, name: str, oids: Iterable[ObjectId], time_s: int = 5) -> tuple[Entry, ...]:
        return tuple(Entry(time_s, oid, len(self.kept[name][oid]), False) for oid in oids)

    # The shelf

    def _observe(self, now: float, name: str, effect: Any) -> None:
        self.news[name].append(effect)
        answer = self._answer(name, effect)
        if answer is not None:
            self.world.inject(name, answer)

    def _answer(self, name: str, effect: Any) -> Any:
        kept = self.kept[name]
        match effect:
            case moves.Look(ticket, _, oid):
                if oid not in kept:
                    return object_events.ObjectLooked(ticket, None, ())
                header = Header(Mode.FIXED, CHUNK_LOG2, len(kept[oid]))
                found = moves.Found(header, True, ())
                return object_events.ObjectLooked(ticket, found, (oid, *self.roots[name][oid]))
            case moves.ReadPage(ticket, oid, page):
                return moves.Paged(ticket, self.outlines[oid].page(page))
            case moves.Read(ticket, oid, index, count):
                at = [(i * CHUNK, (i + 1) * CHUNK) for i in range(index, index + count)]
                return moves.ReadDone(ticket, [kept[oid][a:b] for a, b in at])
            case moves.ReadSmall(ticket, _, oids):
                found = [
                    (oid, Header(Mode.FIXED, CHUNK_LOG2, len(kept[oid])), kept[oid])
                    for oid in oids
                    if oid in kept
                ]
                known = tuple((*one, (one[0], *self.roots[name][one[0]])) for one in found)
                return object_events.SmallLooked(ticket, known)
            case moves.Store(oid, index, data):
                self.coming[name, oid][index] = data
                return moves.Stored(oid, (index,))
            case moves.Done(oid, _):
                parts = self.coming.pop((name, oid))
                self._have(name, oid, b"".join(parts[i] for i in sorted(parts)))
            case moves.StoreSmall(ticket, _, objects):
                for oid, _, data in objects:
                    self._have(name, oid, data)
                return moves.SmallStored(ticket)
        return None

    def _have(self, name: str, oid: ObjectId, data: bytes) -> None:
        self.kept[name][oid] = data
        self.roots[name].setdefault(oid, ())
        for set, entry in self._waiting(name, oid):
            self.roots[name][oid] = (*self.roots[name][oid], set)
            self.world.inject(name, object_events.PutInSet(set, (entry,)))

    def _waiting(self, name: str, oid: ObjectId) -> list[tuple[bytes, Entry]]:
        needs = self.of(name, sync_events.Need)
        return [(need.set, one) for need in needs for one in need.entries if one.oid == oid]


def object_events_holder() -> Any:
    """Whoever holds the capability."""
    from whispurrnet.store import access

    return access.Holder()
