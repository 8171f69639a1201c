"""One fetch, as the application holds it: it can be awaited, watched, given sources, and stopped.

Of a collection, all that it names is fetched too, children before parents: see `store.walk`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from whispurrnet.base.errors import NetworkError, UsageError, WhispurrError
from whispurrnet.crypto.keys import Secret
from whispurrnet.node import parts
from whispurrnet.node.feed import Feed
from whispurrnet.node.peer import Peer
from whispurrnet.stack import object_events
from whispurrnet.store import transfer_events as moves
from whispurrnet.store import walk
from whispurrnet.store.object import SMALL_MAX
from whispurrnet.wire.ids import ObjectId

if TYPE_CHECKING:
    from whispurrnet.node.holdings import ObjectInfo
    from whispurrnet.node.objects import Objects

TELL_EVERY_S = 0.25
"""How often those who watch the node hear how far a fetch is."""
SMALL_TRIES_MAX = 3
"""So many sources are asked for a small object one after the other, then all at once."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a fetch is."""

    oid: str
    verified: int
    """Bytes that are here and right, those of earlier times included."""
    total: int
    """Bytes that are wanted, as far as that is known."""
    rate_bps: float
    """Bytes a second, smoothed."""
    eta_s: float | None
    """How long it will take at this rate, in seconds; None while nothing moves."""
    sources: tuple[tuple[str, float], ...] = ()
    """The names of the peers it comes from, and how many bytes a second each sends."""
    waiting: str = ""
    """What is being waited for, in words; empty while bytes arrive."""
    blamed: tuple[str, ...] = ()
    """Peers that sent what is wrong, and are not asked any more."""


class Fetching:
    """The fetch of one object, or of a collection with all it names.

    Awaiting it gives the `ObjectInfo` once all is here, or raises:
        NetworkError: Nobody has it, or nobody is there; says which place did what.
        HostError: The disk is full or broken.
        ProtocolError: It is not what it should be, or larger than allowed.

    Args:
        objects: Those of the node.
        oid: What to get.
        cap: The capability by which it is shared.
        priority: 0 to 4.
        collection: Whether to get all that it names.
        part: Only these bytes of it; None is all.
    """

    def __init__(
        self,
        objects: Objects,
        oid: ObjectId,
        cap: Secret | None,
        priority: int,
        *,
        collection: bool,
        part: parts.Part | None = None,
    ) -> None:
        self._objects = objects
        self.oid = oid
        self._cap = cap
        self._priority = priority
        self._walk = walk.Walk(oid) if collection else None
        self.part = part
        self._sizes: dict[ObjectId, walk.Need] = {}
        """What is being fetched, and what is known of it."""
        self._tried: dict[ObjectId, dict[int, None]] = {}
        """Small objects that did not come, and from whom."""
        self._peers: dict[int, Peer] = {}
        self._at: dict[ObjectId, moves.Progress] = {}
        self._blamed: dict[str, None] = {}
        self._feeds: list[Feed[Progress]] = []
        self._result: asyncio.Future[ObjectInfo] = objects.node.loop.create_future()
        self._told_at = -TELL_EVERY_S
        self.now = Progress(oid=oid.hex(), verified=0, total=0, rate_bps=0.0, eta_s=None)

    def __await__(self) -> Generator[None, None, ObjectInfo]:
        """Wait until all is here."""
        return asyncio.shield(self._result).__await__()

    @property
    def over(self) -> bool:
        """Whether it has ended, well or not."""
        return self._result.done()

    async def progress(self) -> AsyncIterator[Progress]:
        """How far it is, at most four times a second, until it ends."""
        feed: Feed[Progress] = Feed(16, lossy=True)
        self._feeds.append(feed)
        yield self.now
        if not self.over:
            async for one in feed:
                yield one
        yield self.now

    def add(self, peer: Peer) -> None:
        """This peer may have it, too."""
        if peer.handle in self._peers:
            return
        self._peers[peer.handle] = peer
        if self._cap is not None:
            self._submit(object_events.HoldCap(peer.handle, self.oid, self._cap))
        for oid in self._sizes:
            self._submit(moves.AddSource(oid, peer.handle))

    def stop(self) -> None:
        """Fetch it no longer. What has arrived stays, and need not come again."""
        self.fail(NetworkError("the fetch was stopped"))

    # Inside

    def begin(self) -> None:
        """Start; `Objects.fetch` does this."""
        self._objects.running(self)
        if self._walk is None:
            self._need([walk.Need(self.oid, None, False)])
        else:
            self._walked(self._walk.handle(walk.Begin()))

    def fail(self, error: WhispurrError) -> None:
        """End it with an error."""
        for oid in list(self._sizes):
            self._forget(oid, stop=True)
        if not self._result.done():
            self._result.set_exception(error)
            self._result.exception()  # whoever awaits it gets it; nobody has to
            self._report("failed", str(error))
        self._close()

    def told(self, effect: moves.Progress | moves.Failed | moves.Blame | moves.Done) -> None:
        """Take what became of one object."""
        match effect:
            case moves.Progress(oid):
                self._at[oid] = effect
                self._tell()
            case moves.Blame(peer):
                known = self._objects.node.peer_of(peer)
                if known is not None:
                    self._blamed[known.name] = None
            case moves.Failed(oid, reason):
                self._forget(oid, stop=False)
                self._lost(oid, reason)
            case moves.Done(oid, complete):
                if oid in self._sizes:
                    need = self._sizes[oid]
                    self._forget(oid, stop=False)
                    if complete:
                        self._spawn(self._have(need))
                    else:
                        self._need([need])  # a part is here, perhaps another than ours

    def missed(self, peer: int, oids: Sequence[ObjectId]) -> None:
        """Small objects do not come from this peer: ask the next, in the end all, as for others."""
        again: dict[int, list[ObjectId]] = {}
        for number, oid in enumerate(oids):
            if oid not in self._sizes:
                continue
            tried = self._tried.setdefault(oid, {})
            tried[peer] = None
            left = [one for one in self._peers if one not in tried]
            if left and len(tried) < SMALL_TRIES_MAX:
                again.setdefault(left[number % len(left)], []).append(oid)
                continue
            try:
                self._submit(self._fetch(oid, None, None))
            except WhispurrError as error:
                self._lost(oid, str(error))
        for other, some in again.items():
            self._submit(moves.FetchSmall(other, tuple(some)))

    def _fetch(self, oid: ObjectId, known: moves.Known | None, only: parts.Only) -> moves.Fetch:
        return moves.Fetch(
            oid=oid, sources=tuple(self._peers), priority=self._priority, known=known, only=only
        )

    def _submit(self, event: object) -> None:
        self._objects.node.submit(event)  # type: ignore[arg-type]

    def _spawn(self, work: object) -> None:
        self._objects.node.spawn(work)  # type: ignore[arg-type]

    def _need(self, needs: list[walk.Need]) -> None:
        for need in needs:
            self._sizes[need.oid] = need
        self._spawn(self._look(needs))

    async def _look(self, needs: list[walk.Need]) -> None:
        """Fetch what is not here; say at once what is."""
        shelf = self._objects.disk.shelf
        try:
            found = await self._objects.disk.do(lambda: [shelf.entry(one.oid) for one in needs])
            small: list[ObjectId] = []
            for need, entry in zip(needs, found, strict=True):
                if need.oid not in self._sizes:
                    continue
                if entry is not None and entry.complete:
                    del self._sizes[need.oid]
                    await self._have(need)
                    continue
                known = None
                if entry is not None:
                    known = await self._objects.disk.do(partial(parts.known, shelf, need.oid))
                if need.oid not in self._sizes:
                    continue  # it was stopped meanwhile
                wanted = parts.chunks(self.part, need.oid, known)
                if wanted.done:
                    del self._sizes[need.oid]
                    await self._have(need)
                    continue
                first = self._objects.wait_for(need.oid, self)
                if need.size is not None and need.size <= SMALL_MAX and self._peers:
                    if first:
                        small.append(need.oid)
                    continue
                self._submit(self._fetch(need.oid, known, wanted.only))
            peers = list(self._peers)
            for number, peer in enumerate(peers):
                batch = tuple(small[number :: len(peers)])
                if batch:
                    self._submit(moves.FetchSmall(peer, batch))
        except WhispurrError as error:
            self.fail(error)

    async def _have(self, need: walk.Need) -> None:
        """An object is here."""
        if self._walk is None:
            await self._finish()
            return
        try:
            if need.collection:
                event = await self._objects.disk.do(lambda: self._listed(need.oid))
            else:
                entry = await self._objects.disk.do(
                    lambda: self._objects.disk.shelf.entry(need.oid)
                )
                assert entry is not None
                event = walk.Have(need.oid, entry.header.size)
        except WhispurrError as error:
            event = walk.Lost(need.oid, str(error))
        self._walked(self._walk.handle(event))
        self._tell()
        if self._walk.over and not self.over:
            await self._finish()

    def _listed(self, oid: ObjectId) -> walk.Event:
        entry = self._objects.disk.shelf.entry(oid)
        assert entry is not None
        data = self._objects.disk.shelf.read_range(oid, 0, entry.header.size)
        return walk.Listed(oid, entry.header.size, walk.listing(data))

    def _walked(self, effects: list[walk.Effect]) -> None:
        needs: list[walk.Need] = []
        for effect in effects:
            match effect:
                case walk.Need():
                    needs.append(effect)
                case walk.Failed(oid, text):
                    self.fail(UsageError(f"object {oid.hex()[:16]}...: {text}"))
                    return
                case walk.Complete():
                    pass
        if needs:
            self._need(needs)

    def _lost(self, oid: ObjectId, reason: str) -> None:
        if self._walk is None:
            self.fail(NetworkError(reason))
        else:
            self._walked(self._walk.handle(walk.Lost(oid, reason)))

    def _forget(self, oid: ObjectId, *, stop: bool) -> None:
        self._sizes.pop(oid, None)
        self._tried.pop(oid, None)
        self._at.pop(oid, None)
        if self._objects.wait_no_more(oid, self) and stop:
            self._submit(moves.Stop(oid))

    async def _finish(self) -> None:
        try:
            info = await self._objects.info(self.oid.hex())
        except WhispurrError as error:
            self.fail(error)
            return
        total = self._walk.progress.bytes if self._walk is not None else info.size
        if self.part is not None and not info.complete:
            total = self.now.total
        self.now = msgspec.structs.replace(
            self.now, verified=total, total=total, eta_s=0.0, waiting="", sources=()
        )
        if not self._result.done():
            self._result.set_result(info)
            self._report("done")
        self._close()

    def _tell(self) -> None:
        node, under_way = self._objects.node, list(self._at.values())
        rates: dict[str, float] = {}
        for part in under_way:
            for handle, rate in part.sources:
                peer = node.peer_of(handle)
                if peer is not None:
                    rates[peer.name] = rates.get(peer.name, 0.0) + rate
        verified = sum(part.verified for part in under_way)
        total = sum(part.total for part in under_way)
        if self._walk is not None:
            done = self._walk.progress
            verified, total = done.bytes_done + verified, max(done.bytes, total)
        verified = max(verified, self.now.verified)  # what lists a folder counts when all is here
        rate = sum(part.rate_bps for part in under_way)
        waits = [part.waiting for part in under_way if part.waiting]
        self.now = Progress(
            oid=self.oid.hex(),
            verified=verified,
            total=total,
            rate_bps=rate,
            eta_s=(total - verified) / rate if rate > 0 else None,
            sources=tuple(sorted(rates.items())),
            waiting=waits[0] if waits and len(waits) == len(under_way) else "",
            blamed=tuple(self._blamed),
        )
        for feed in self._feeds:
            feed.put((self.now,))
        if node.now() - self._told_at >= TELL_EVERY_S:
            self._told_at = node.now()
            self._report("running")

    def _report(self, state: str, reason: str = "") -> None:
        """Tell those who watch the node."""
        facts = msgspec.structs.asdict(self.now) | {"sources": len(self.now.sources)}
        self._objects.tell("transfer", state=state, reason=reason, **facts)

    def _close(self) -> None:
        for feed in self._feeds:
            feed.close()
        self._feeds.clear()
        self._objects.running(self, ends=True)
