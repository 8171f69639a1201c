"""Sets of objects that are kept in step: `node.objects.sets`.

A set has a name of 32 random bytes. Whoever it is shared with can follow it: what is in it comes by
itself, what is new as soon as it is put there. Who follows has a set of the same name, which others
can follow in turn.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from whispurrnet.base.errors import UsageError, WhispurrError
from whispurrnet.base.log import get
from whispurrnet.crypto.keys import Secret
from whispurrnet.disk.shelf import Shelf
from whispurrnet.node import folders
from whispurrnet.node.feed import Feed
from whispurrnet.node.peer import Peer
from whispurrnet.stack import object_events
from whispurrnet.store import manifest, sync_events, transfer_events
from whispurrnet.store.object import SMALL_MAX
from whispurrnet.store.sync import Progress
from whispurrnet.store.sync_messages import Entry
from whispurrnet.wire.ids import ObjectId, parse_object_id

if TYPE_CHECKING:
    from whispurrnet.node.objects import Objects

log = get(__name__)

LOOKED_AT_ONCE = 1000
"""Of how many objects that are put into a set the small ones are in memory together."""
ENTRIES_WAITING_MAX = 100_000
"""New objects of a set that wait for whoever iterates over it; the oldest are dropped."""


class SharedSet:
    """One set of this node: it can be watched, and waited for."""

    def __init__(self, sets: Sets, name: bytes, count: int) -> None:
        self._sets = sets
        self.id = name
        """32 bytes."""
        self._feeds: list[Feed[Entry]] = []
        self._changed = asyncio.Event()
        self.count = count
        """How many objects are in it here."""
        self.problems: dict[str, str] = {}
        """By the name of each peer that does not let us follow: why not."""

    @property
    def name(self) -> str:
        """64 hexadecimal characters."""
        return self.id.hex()

    @property
    def progress(self) -> Progress | None:
        """How it is doing."""
        return self._sets.progress(self.id)

    async def until(self, count: int) -> None:
        """Wait until so many objects are in it."""
        while self.count < count:
            self._changed.clear()
            await self._changed.wait()

    async def __aiter__(self) -> AsyncIterator[str]:
        """The ids of objects that come into it from now on."""
        feed: Feed[Entry] = Feed(ENTRIES_WAITING_MAX, lossy=True, on_close=self._feeds.remove)
        self._feeds.append(feed)
        async for entry in feed:
            yield entry.oid.hex()

    def came(self, entries: Sequence[Entry]) -> None:
        """These are in it now."""
        self.count += len(entries)
        for feed in self._feeds:
            feed.put(entries)
        self._changed.set()


class Sets:
    """The sets of one node.

    Args:
        objects: Its objects.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._sets: dict[bytes, SharedSet] = {}
        self._to_keep: dict[bytes, list[Entry]] = {}
        """By set, what is stored and is to be written into its index."""
        self._coming: dict[ObjectId, dict[bytes, Entry]] = {}
        """Objects that are being fetched, and the sets they are for."""
        self._sources: dict[ObjectId, dict[int, None]] = {}
        """Who has each of them, as far as that is known and was not wrong."""

    def progress(self, name: bytes) -> Progress | None:
        """How a set is doing."""
        return self._objects.node.stack.exchange.sets.progress(name)

    async def load(self) -> None:
        """Take up the sets of before."""
        for name in await self._objects.disk.do(self._objects.disk.shelf.sets.names):
            await self._join(name, ())

    async def new(self) -> SharedSet:
        """A new set, empty."""
        return await self._join(secrets.token_bytes(32), ())

    async def put(self, name: str, *oids: str) -> None:
        """Put objects that are here into a set.

        Raises:
            UsageError: There is no such set, or no such object.
        """
        shared, disk = self._set(name), self._objects.disk
        wanted = [parse_object_id(oid) for oid in oids]

        def work() -> list[Entry]:
            made = [
                one
                for at in range(0, len(wanted), LOOKED_AT_ONCE)
                for one in _described(disk.shelf, wanted[at : at + LOOKED_AT_ONCE])
            ]
            disk.shelf.sets.put(shared.id, made)
            return made

        self._put(shared.id, await disk.do(work))

    async def entries(self, name: str) -> Sequence[Entry]:
        """What is in a set.

        Raises:
            UsageError: There is no such set.
        """
        shared = self._set(name)
        return await self._objects.disk.do(lambda: self._objects.disk.shelf.sets.entries(shared.id))

    async def follow(
        self, name: str, *, sources: Sequence[Peer] = (), cap: bytes | None = None
    ) -> SharedSet:
        """Keep a set in step with that of other nodes, and with others that are named later.

        Args:
            name: 64 hexadecimal characters.
            sources: Whom to follow.
            cap: The capability by which it is shared, if that is how. Whoever has it can follow
                us, too.
        """
        id = parse_object_id(name)
        if cap is not None:
            for peer in sources:
                self._submit(object_events.HoldCap(peer.handle, id, Secret(cap)))
            self._objects.adopt(name, cap)
        shared = self._sets.get(id)
        if shared is None:
            return await self._join(id, tuple(peer.handle for peer in sources))
        for peer in sources:
            self._submit(sync_events.Follow(id, peer.handle))
        return shared

    async def leave(self, name: str) -> None:
        """Keep a set, and what is in it, no longer.

        Raises:
            UsageError: There is no such set.
        """
        shared = self._set(name)
        self._submit(sync_events.Leave(shared.id))
        del self._sets[shared.id]
        await self._objects.disk.do(lambda: self._objects.disk.shelf.sets.leave(shared.id))

    def list(self) -> Sequence[SharedSet]:
        """Those that are kept."""
        return list(self._sets.values())

    # From the stack

    def perform(self, effect: object_events.SetEffect) -> None:
        """Do what the core wants done."""
        match effect:
            case sync_events.Need(peer, set, entries):
                self._need(peer, set, entries)
            case sync_events.Source(peer, _, oids):
                self._also([ObjectId(oid) for oid in oids], peer)
            case sync_events.Drop(set, oids):
                for oid in oids:
                    self._drop(set, ObjectId(oid))
            case sync_events.Retime(set, oid, time_s):
                self._objects.node.spawn(self._retime(set, oid, time_s))
            case sync_events.Synced(peer, set):
                self._problem(peer, set, "")
            case sync_events.Ended(peer, set, _, text):
                self._problem(peer, set, text)

    def stored(self, oids: Sequence[ObjectId], *, whole: bool = True) -> None:
        """These are here; of collections also all that they name, if they are `whole`."""
        made: dict[bytes, list[Entry]] = {}
        for oid in oids:
            waiting = self._coming.get(oid, {})
            for set, entry in list(waiting.items()):
                if whole or not entry.collection:
                    made.setdefault(set, []).append(waiting.pop(set))
            if not waiting:
                self._forget(oid)
        for set, entries in made.items():
            waiting_too = self._to_keep.get(set)
            if waiting_too is None:
                self._to_keep[set] = entries
                self._objects.node.spawn(self._keep(set))
            else:
                waiting_too += entries

    def missing(self, peer: int | None, oids: Sequence[ObjectId]) -> None:
        """These small ones will not come from this peer, but maybe from another; None: at all."""
        again: dict[int, list[ObjectId]] = {}
        for oid in oids:
            sources = self._sources.get(oid, {})
            for set in self._coming.get(oid, {}):
                self._submit(sync_events.Failed(set, oid, peer))
            if peer is not None:
                sources.pop(peer, None)
            if peer is None or not sources:
                self._forget(oid)
            else:
                again.setdefault(next(iter(sources)), []).append(oid)
        for other, some in again.items():
            self._submit(transfer_events.FetchSmall(other, tuple(some)))

    # Within

    def _set(self, name: str) -> SharedSet:
        shared = self._sets.get(parse_object_id(name))
        if shared is None:
            raise UsageError(f"no set is called {name[:16]}...; follow it, or make one")
        return shared

    def _submit(self, event: object) -> None:
        self._objects.node.submit(event)  # type: ignore[arg-type]

    async def _join(self, id: bytes, sources: tuple[int, ...]) -> SharedSet:
        disk = self._objects.disk

        def work() -> Sequence[Entry]:
            disk.shelf.sets.make(id)
            return disk.shelf.sets.entries(id)

        entries = await disk.do(work)
        shared = self._sets[id] = SharedSet(self, id, len(entries))
        self._submit(object_events.JoinSet(id, tuple(entries), sources))
        return shared

    def _put(self, set: bytes, entries: Sequence[Entry]) -> None:
        shared, sets = self._sets.get(set), self._objects.node.stack.exchange.sets
        if shared is not None:
            known = {entry.oid for entry in sets.entries(set, [one.oid for one in entries])}
            fresh = {entry.oid: entry for entry in entries if entry.oid not in known}
            self._submit(object_events.PutInSet(set, tuple(fresh.values())))
            if fresh:
                shared.came(tuple(fresh.values()))

    async def _keep(self, set: bytes) -> None:
        """Write down what has come into a set, as much at a time as there is."""
        sets = self._objects.disk.shelf.sets
        while entries := self._to_keep.get(set):
            self._to_keep[set] = []
            try:
                await self._objects.disk.do(partial(sets.put, set, entries))
            except WhispurrError:
                log.warning("the index of a set cannot be written")
                for entry in entries:
                    self._submit(sync_events.Failed(set, entry.oid, None))
            else:
                self._put(set, entries)
        del self._to_keep[set]

    async def _retime(self, set: bytes, oid: bytes, time_s: int) -> None:
        shelf = self._objects.disk.shelf

        def work() -> None:
            for entry in shelf.sets.entries(set):
                if entry.oid == oid:
                    shelf.sets.put(set, [Entry(time_s, oid, entry.size, entry.collection)])

        try:
            await self._objects.disk.do(work)
        except WhispurrError:
            log.warning("the index of a set cannot be written")

    def _need(self, peer: int, set: bytes, entries: Sequence[Entry]) -> None:
        small: list[ObjectId] = []
        for entry in entries:
            oid = ObjectId(entry.oid)
            waiting = self._coming.setdefault(oid, {})
            self._sources.setdefault(oid, {})[peer] = None
            if not waiting and entry.size <= SMALL_MAX and not entry.collection:
                small.append(oid)
            elif not waiting:
                self._objects.node.spawn(self._fetch(peer, entry))
            waiting[set] = entry
        if small:
            self._objects.node.spawn(self._fetch_small(peer, small))

    async def _fetch_small(self, peer: int, oids: Sequence[ObjectId]) -> None:
        shelf = self._objects.disk.shelf

        def here() -> list[ObjectId]:
            found = [shelf.entry(oid) for oid in oids]
            return [one.oid for one in found if one is not None and one.complete]

        have = dict.fromkeys(await self._objects.disk.do(here))
        self.stored(list(have))
        lacking = tuple(oid for oid in oids if oid not in have)
        if lacking:
            self._submit(transfer_events.FetchSmall(peer, lacking))

    async def _fetch(self, peer: int, entry: Entry) -> None:
        oid = ObjectId(entry.oid)
        known = self._objects.node.peer_of(peer)
        fetching = self._objects.fetch(
            oid.hex(), sources=(known,) if known is not None else (), collection=entry.collection
        )
        try:
            await fetching
        except WhispurrError:
            for each in self._sources.get(oid, {}):  # all of them were asked
                for set in self._coming.get(oid, {}):
                    self._submit(sync_events.Failed(set, oid, each))
            self._forget(oid)
        else:
            self.stored([oid])

    def _also(self, oids: Sequence[ObjectId], peer: int) -> None:
        """This peer has these, too."""
        for oid in oids:
            if oid in self._coming:
                self._sources.setdefault(oid, {})[peer] = None
            self._objects.also_from(oid, peer)

    def _drop(self, set: bytes, oid: ObjectId) -> None:
        waiting = self._coming.get(oid, {})
        waiting.pop(set, None)
        if not waiting:
            self._forget(oid)
            self._objects.give_up(oid)

    def _forget(self, oid: ObjectId) -> None:
        self._coming.pop(oid, None)
        self._sources.pop(oid, None)

    def _problem(self, peer: int, set: bytes, text: str) -> None:
        shared, known = self._sets.get(set), self._objects.node.peer_of(peer)
        if shared is not None and known is not None:
            if text:
                shared.problems[known.name] = text
            else:
                shared.problems.pop(known.name, None)


def _described(shelf: Shelf, oids: Sequence[ObjectId]) -> Iterator[Entry]:
    """Objects that are here, as a set describes them."""
    small = shelf.read_small(oids)
    named = {oid for oid, _, data in small if manifest.is_manifest(data)}
    for oid in oids:
        entry = shelf.entry(oid)
        if entry is None or not entry.complete:
            raise UsageError(f"object {oid.hex()[:16]}... is not here; add it first")
        large = not entry.header.inline and folders.is_collection(shelf, entry)
        yield Entry(entry.added_ms // 1000, oid, entry.header.size, oid in named or large)
