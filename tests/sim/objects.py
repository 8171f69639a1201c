"""Whole nodes that keep, share, fetch and sync objects, on virtual time, with hostile ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from random import Random
from typing import Any

from whispurrnet.crypto.keys import Secret
from whispurrnet.sim.adversary import Adversary
from whispurrnet.sim.node import Node
from whispurrnet.sim.shelf import Shelf
from whispurrnet.sim.wire import Cuts, Wire
from whispurrnet.sim.world import EPOCH_MS, World
from whispurrnet.stack import events, object_events
from whispurrnet.stack.config import Config
from whispurrnet.stack.live import Live
from whispurrnet.stack.stack import Stack
from whispurrnet.store import manifest, messages, sync_events, sync_messages, walk
from whispurrnet.store import transfer_events as moves
from whispurrnet.store.access import Holder
from whispurrnet.store.manifest import Kind
from whispurrnet.store.object import SMALL_MAX, Header
from whispurrnet.store.sync_messages import Entry
from whispurrnet.wire import frame
from whispurrnet.wire.ids import ObjectId

DISK_S = 0.002
AGAIN_S = 5.0


class Keeper:
    """What an application does with the objects of one node; `node.objects` in few words.

    Args:
        play: The world.
        name: The node.
        shelf: What it has; outlives a crash.
        caps: The capabilities it holds, by root.
        wants: Objects to fetch.
        sets: Sets to keep in step.
        sources: The nodes it takes objects from.
    """

    def __init__(
        self,
        play: Play,
        name: str,
        shelf: Shelf,
        *,
        caps: dict[bytes, bytes] | None = None,
        wants: Iterable[ObjectId] = (),
        sets: Iterable[bytes] = (),
        sources: Iterable[str] = (),
    ) -> None:
        self.play = play
        self.name = name
        self.shelf = shelf
        self.caps = {root: Secret(cap) for root, cap in (caps or {}).items()}
        self.wants = tuple(wants)
        self.sources = frozenset(sources)
        self.index: dict[bytes, dict[bytes, Entry]] = {set: {} for set in sets}
        self.peers: dict[int, str] = {}
        self.fetching: dict[ObjectId, None] = {}
        self.walks: dict[ObjectId, walk.Walk] = {}
        self.coming: dict[ObjectId, dict[bytes, Entry]] = {}
        self.has: dict[ObjectId, dict[int, None]] = {}
        self.blamed: dict[str, int] = {}
        self.failed: list[str] = []

    def start(self) -> None:
        """Take up what there is, and what is wanted; after a crash, too."""
        for state in (self.peers, self.fetching, self.walks, self.coming, self.has):
            state.clear()
        for root, cap in self.caps.items():
            self.give(object_events.Share(root, Holder(), cap))
        for set, index in self.index.items():
            self.give(object_events.JoinSet(set, tuple(index.values())))
        for oid in self.wants:
            self.fetch(oid)

    def give(self, event: Any, delay_s: float = 0.0) -> None:
        self.play.world.inject(self.name, event, delay_s)

    def fetch(self, oid: ObjectId) -> None:
        if oid not in self.fetching and not self.shelf.has(oid):
            self.fetching[oid] = None
            known = self.shelf.known(oid)
            self.give(moves.Fetch(oid=oid, sources=tuple(self.peers), known=known))

    def put(self, set: bytes, *oids: ObjectId) -> None:
        """Put objects that are here into a set."""
        time_s = EPOCH_MS // 1000 + int(self.play.world.now)
        self._put(set, [self._entry(time_s, oid) for oid in oids])

    def _entry(self, time_s: int, oid: ObjectId) -> Entry:
        data = self.shelf.kept[oid].data
        return Entry(time_s, oid, len(data), manifest.is_manifest(data))

    def _put(self, set: bytes, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.index[set][entry.oid] = entry
            self.shelf.put_below(set, entry.oid)
        self.give(object_events.PutInSet(set, tuple(entries)))

    # What the stack tells

    def told(self, effect: events.Effect) -> None:
        answers = self.shelf.perform(effect)
        if answers is not None:
            for answer in answers:
                self.give(answer, DISK_S)
            if isinstance(effect, moves.StoreSmall):
                for oid, _, _ in effect.objects:
                    self._came(oid)
            elif isinstance(effect, moves.Done):
                self._came(effect.oid)
            return
        match effect:
            case events.PeerUp(peer):
                self._up(peer)
            case events.PeerDown(peer):
                self.peers.pop(peer, None)
            case moves.Missing(peer, oids):
                self._missing(peer, oids)
            case moves.Failed(oid, reason):
                self._failed(oid, reason)
            case moves.Blame(peer, _, _, weight):
                known = self.peers.get(peer, "?")
                self.blamed[known] = self.blamed.get(known, 0) + weight
            case sync_events.Need(peer, set, entries):
                self._need(peer, set, entries)
            case sync_events.Source(peer, _, oids):
                for oid in map(ObjectId, oids):
                    self.has.setdefault(oid, {})[peer] = None
                    self.give(moves.AddSource(oid, peer))
            case sync_events.Drop(_, oids):
                for oid in oids:
                    self.coming.pop(ObjectId(oid), None)
                    if self.fetching.pop(ObjectId(oid), 0) is None:
                        self.give(moves.Stop(ObjectId(oid)))
            case _:
                pass

    def _up(self, peer: int) -> None:
        names = {handle: name for name, handle in self.play.world.sessions(self.name)}
        name = names.get(peer, "")
        if name not in self.sources:
            return
        self.peers[peer] = name
        for root, cap in self.caps.items():
            self.give(object_events.HoldCap(peer, root, cap))
        for oid in self.fetching:
            self.give(moves.AddSource(oid, peer))
        for set in self.index:
            self.give(sync_events.Follow(set, peer))

    def _need(self, peer: int, set: bytes, entries: Sequence[Entry]) -> None:
        small: list[ObjectId] = []
        for entry in entries:
            oid = ObjectId(entry.oid)
            waiting = self.coming.setdefault(oid, {})
            first = not waiting
            waiting[set] = entry
            self.has.setdefault(oid, {})[peer] = None
            if entry.collection:
                if oid not in self.walks:
                    self.walks[oid] = walk.Walk(oid)
                    self._walked(oid, self.walks[oid].handle(walk.Begin()))
            elif self.shelf.has(oid):
                self._came(oid)
            elif first and entry.size <= SMALL_MAX:
                small.append(oid)
            elif first:
                self.fetch(oid)
        if small:
            self.give(moves.FetchSmall(peer, tuple(small)))

    def _came(self, oid: ObjectId) -> None:
        self.fetching.pop(oid, None)
        data = self.shelf.kept[oid].data
        for root, each in list(self.walks.items()):
            event: walk.Event = walk.Have(oid, len(data))
            if manifest.is_manifest(data):
                event = walk.Listed(oid, len(data), walk.listing(data))
            self._walked(root, each.handle(event))
        waiting = self.coming.get(oid, {})
        for set, entry in list(waiting.items()):
            if not entry.collection:
                del waiting[set]
                self._put(set, [entry])
        if not waiting:
            self.coming.pop(oid, None)

    def _walked(self, root: ObjectId, effects: list[walk.Effect]) -> None:
        for effect in effects:
            match effect:
                case walk.Need(oid):
                    if self.shelf.has(oid):
                        self._came(oid)
                    else:
                        self.fetch(oid)
                case walk.Complete(oid) if oid == root:
                    self.walks.pop(root, None)
                    for set, entry in self.coming.pop(root, {}).items():
                        self._put(set, [entry])
                case walk.Failed():
                    self.walks.pop(root, None)
                    self._lost(root)
                case _:
                    pass

    def _missing(self, peer: int, oids: Sequence[ObjectId]) -> None:
        """Small ones: ask the next who has it."""
        for oid in oids:
            sources = self.has.get(oid, {})
            sources.pop(peer, None)
            for set in self.coming.get(oid, {}):
                self.give(sync_events.Failed(set, oid, peer))
            if sources and oid in self.coming:
                self.give(moves.FetchSmall(next(iter(sources)), (oid,)))
            else:
                self.coming.pop(oid, None)

    def _lost(self, oid: ObjectId) -> None:
        for set in self.coming.pop(oid, {}):
            for peer in self.has.get(oid, {}):
                self.give(sync_events.Failed(set, oid, peer))

    def _failed(self, oid: ObjectId, reason: str) -> None:
        self.failed.append(reason)
        self.fetching.pop(oid, None)
        for root, each in list(self.walks.items()):
            self._walked(root, each.handle(walk.Lost(oid, reason)))
        self._lost(oid)
        if oid in self.wants:
            self.play.world.later(AGAIN_S, lambda: self._again(oid))

    def _again(self, oid: ObjectId) -> None:
        if self.name in self.play.world.nodes:
            self.fetch(oid)


# Those that are not honest


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1]) if data else data


class LyingShelf(Shelf):
    """Gives out what is not what it should be."""

    def read(self, oid: ObjectId, index: int, count: int, *, packs: bool) -> list[bytes] | None:
        chunks = super().read(oid, index, count, packs=packs)
        return None if chunks is None else [type(chunk)(flip(chunk)) for chunk in chunks]

    def small(self, oids: Sequence[ObjectId]) -> tuple[tuple[ObjectId, Header, bytes, Any], ...]:
        whole = super().small(oids)
        return tuple((oid, header, flip(data), roots) for oid, header, data, roots in whole)


class StallingShelf(Shelf):
    """Says that it has everything, and gives nothing."""

    def perform(self, effect: events.Effect) -> list[events.Event] | None:
        if isinstance(effect, moves.Read | moves.ReadSmall | moves.ReadPage):
            return []
        return super().perform(effect)


class Thief(Adversary):
    """Asks for what it may not have, and shows proofs that were shown to it."""

    kind = "thief"
    oids: tuple[ObjectId, ...] = ()
    set = b""

    def begin(self) -> None:
        self._proofs: list[messages.Message] = []
        self._ref = 1 << 20
        self.every(2.0, self.ask)

    def on_frame(
        self, live: Live, type: int, body: bytes, now: float
    ) -> Sequence[tuple[int, bytes]]:
        if type == frame.OBJECT and body[:1] == b"\0":
            for message in messages.decode(body):
                if isinstance(message, messages.Access | sync_messages.SyncOpen):
                    self._proofs.append(message)
        return () if type == frame.OBJECT else ((type, body),)

    def ask(self) -> None:
        for live in self.lives:
            self._ref += 1
            proofs = self._proofs[-8:]
            told: list[messages.Message] = [
                *proofs,
                messages.Access(self.set, self.rng.randbytes(32)),
                sync_messages.SyncOpen(self.set, 1, 1, 5, self.rng.randbytes(32)),
                messages.AskSmall(self.oids),
            ]
            for oid in self.oids:
                self._ref += 1
                told += [
                    messages.Request(self._ref, oid, ((0, 4),), 4, True),
                    messages.AskPage(self._ref, oid, 0),
                ]
            self.send(live, frame.OBJECT, messages.encode(*told[:64]))


class Asker(Adversary):
    """Floods everybody with requests, for what there is and for what there is not."""

    kind = "asker"
    oids: tuple[ObjectId, ...] = ()

    def begin(self) -> None:
        self._ref = 0
        self.every(1.0, self.ask)

    def on_frame(
        self, live: Live, type: int, body: bytes, now: float
    ) -> Sequence[tuple[int, bytes]]:
        return () if type == frame.OBJECT else ((type, body),)

    def ask(self) -> None:
        rng = self.rng
        for live in self.lives:
            told: list[messages.Message] = []
            for _ in range(16):
                self._ref += 1
                oid = rng.choice((*self.oids, ObjectId(rng.randbytes(32))))
                runs = tuple((rng.randrange(200), 4) for _ in range(8))
                told.append(messages.Request(self._ref, oid, runs, 4))
            some = tuple(ObjectId(rng.randbytes(32)) for _ in range(64))
            told.append(messages.AskSmall(some))
            self.send(live, frame.OBJECT, messages.encode(*told))


class Play:
    """A world of nodes with objects, and what was seen in it.

    Args:
        seed: The only source of chance.
        wire: How links are.
    """

    def __init__(self, seed: int, wire: Wire) -> None:
        self.world = World(seed, wire, self._observe, self._refused)
        self.cuts = Cuts()
        self.world.severed = self.cuts
        self.rng = Random(f"objects {seed}")
        self.keepers: dict[str, Keeper] = {}
        self.seen: dict[str, dict[str, int]] = {}
        """What came to each node in OBJECT frames, counted by kind."""
        self.refused: list[str] = []

    def add(self, keeper: Keeper, adversary: Adversary | None = None) -> None:
        name = keeper.name
        self.keepers[name] = keeper
        make = partial(Node, name=name, watch=self, adversary=adversary)
        stack = self.world.add(name, Config(beacon_on=False), make)
        if adversary is not None:
            adversary.enter(self.world, name, stack)
        keeper.start()

    def restart(self, name: str) -> None:
        make = partial(Node, name=name, watch=self, adversary=None)
        self.world.add(name, Config(beacon_on=False), make)
        self.keepers[name].start()

    def frame(self, node: str, live: Live, type: int, body: bytes, now: float) -> None:
        if type != frame.OBJECT:
            return
        seen = self.seen.setdefault(node, {})
        kinds = [("messages", "data", "small", "packed")[body[0]]] if body[0] in range(1, 4) else []
        if body[:1] == b"\0":
            kinds = [message.__class__.__name__ for message in messages.decode(body)]
        for kind in kinds:
            seen[kind] = seen.get(kind, 0) + 1

    def turn(self, node: str, stack: Stack, now: float) -> None:
        """Nothing to note."""

    def _observe(self, now: float, node: str, effect: events.Effect) -> None:
        self.keepers[node].told(effect)

    def _refused(self, node: str, event: events.Event, error: Exception) -> None:
        self.refused.append(f"{node} {type(event).__name__}: {error}")


def folder(shelf: Shelf, files: dict[str, bytes]) -> ObjectId:
    """Put files into a collection."""
    entries = [
        manifest.Entry(name, shelf.add(data), len(data), Kind.FILE) for name, data in files.items()
    ]
    return shelf.add(manifest.encode(entries))
