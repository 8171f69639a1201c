"""Keeping sets of objects in step: what is new at one node comes to all who follow it.

A set is named by 32 bytes and holds objects, each with the time at which it came in. A node joins a
set and names its sources, whom it follows; whoever may see the set (`store.access`) may follow it.
Two that follow each other end with the same set. A follower

    1. opens the set at its source, showing a proof if it has one; they agree on a version;
    2. compares (`wire.reconcile`), when it has opened, and then every few minutes;
    3. lets the source describe what it lacks, and needs it;
    4. is told of all that is new, as long as the session stands.

What is needed is fetched by others (`store.transfer`, and `store.walk` for collections); only when
it and all below it is stored does it come into the set, and is announced further: so a collection
never comes before what it names. The messages are in `sync_messages`; what a follower does in
`sync_follow`, what is done for followers in `sync_serve`. After a session ends everything begins
again, and costs a comparison: a few hundred bytes if nothing is new.

A set grows only: what is removed at one node stays with the others. An object that came in at two
nodes by itself has two times; where that shows in a comparison, the earlier one holds from then on.

Source: seeds/004 ("ObjectSync": announceObjects, requestObject, children before parents, access
checked at each step, protocol version checked); MESH.md 4.4.

Invariants: those of `sync_link`, `sync_follow` and `sync_serve`; and
    - only what `Added` told is in a set, and only what is in a set is announced or described;
    - nothing is kept of sets we have not joined, nor of peers that are not up.
"""

from __future__ import annotations

import msgspec

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.base.timers import Timers
from whispurrnet.store.sync_events import (
    Added,
    Arrived,
    Config,
    Down,
    Drop,
    Effect,
    Event,
    Failed,
    Fault,
    Follow,
    Host,
    Join,
    Leave,
    Removed,
    Rng,
    Send,
    Unfollow,
    Up,
)
from whispurrnet.store.sync_follow import Following
from whispurrnet.store.sync_link import Job, Link, Shared, State
from whispurrnet.store.sync_messages import (
    CLOSED,
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
from whispurrnet.store.sync_serve import Serving, common_version, refuse

SET_BYTES = 32

_KNOCKS_PER_S = 2.0
"""How often a peer may ask for sets that it does not follow yet a second, 32 times as many at
once. What is more is not answered."""

_SERVED = (Job.FLUSH, Job.SERVE)


class Progress(msgspec.Struct, frozen=True):
    """How a set is doing."""

    objects: int
    """How many are in it here."""
    wanted: int
    """How many are being fetched."""
    sources: int
    """How many we follow who let us."""
    comparing: int
    """With how many of them a comparison goes on."""
    followers: int


class Sync:
    """The core of one node.

    Args:
        config: Settings.
        host: The index of the sets, and who may see them.
        rng: Chance.
    """

    def __init__(self, config: Config, host: Host, rng: Rng) -> None:
        self.config = config
        self._host = host
        self._timers: Timers[tuple[Job, Link]] = Timers()
        self._follow = Following(config, host, self._timers, rng)
        self._serve = Serving(config, host, self._timers)
        self._sets: dict[bytes, Shared] = {}
        self._knocks: dict[int, TokenBucket] = {}
        """Who is up, and how often it may ask for what it does not follow."""

    @property
    def deadline(self) -> float | None:
        """When a `Tick` is wanted, in seconds."""
        return self._timers.deadline

    def sets(self) -> list[bytes]:
        """Those we have joined."""
        return list(self._sets)

    def progress(self, set: bytes) -> Progress | None:
        """How a set is doing; None if we have not joined it."""
        shared = self._sets.get(set)
        if shared is None:
            return None
        links = shared.links.values()
        return Progress(
            objects=len(shared.items),
            wanted=len(shared.wanted) + sum(len(link.learn) + len(link.asked) for link in links),
            sources=sum(link.state is State.OPEN for link in links),
            comparing=sum(link.round is not None for link in links),
            followers=sum(link.reads for link in links),
        )

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            ProtocolError: The peer broke the protocol; nothing has changed.
            UsageError: There is no such set, it is joined already, or its name is no name.
            LimitError: There are too many sets, or sources; nothing has changed.
        """
        effects: list[Effect] = []
        match event:
            case Arrived(peer, message):
                if peer in self._knocks:
                    self._arrived(peer, message, now, effects)
            case Added(set, entry):
                self._added(self._set(set), entry, now, effects)
            case Failed(set, oid, peer):
                if (shared := self._sets.get(set)) is not None:
                    self._follow.failed(shared, oid, peer, now, effects)
                    self._pump(shared, now, effects)
            case Tick():
                self._tick(now, effects)
            case Up(peer):
                self._up(peer, now, effects)
            case Down(peer):
                self._down(peer, effects)
            case Removed(set, entry):
                shared = self._set(set)
                shared.items.remove(entry.time_s, entry.oid)
                for link in shared.links.values():
                    link.outbox.pop(entry.oid, None)
            case Join() | Follow() | Unfollow() | Leave():
                self._told(event, now, effects)
        return effects

    def check_invariants(self) -> None:
        """Assert what must be true; looks at everything."""
        assert len(self._sets) <= self.config.sets_max
        links: dict[Link, None] = {}
        for set, shared in self._sets.items():
            assert set == shared.id and len(shared.sources) <= self.config.sources_max
            assert all(peer in self._knocks for peer in shared.links)
            assert all(p in shared.links for p in shared.sources if p in self._knocks)
            shared.check_invariants()
            links |= dict.fromkeys(shared.links.values())
        for link in links:
            waits = (Job.SERVE, link) in self._timers
            assert waits or (link.query is None and not link.describes)
            assert not link.outbox or (Job.FLUSH, link) in self._timers
            assert len(link.outbox) <= self.config.announced_max
            if link.state is State.OPEN and self.config.again:
                assert link.round is not None or (Job.ROUND, link) in self._timers
            assert not link.answer_due or (Job.ANSWER, link) in self._timers
            assert bool(link.asked) <= ((Job.DESCRIBE, link) in self._timers)

    # What the application does

    def _told(
        self, event: Join | Follow | Unfollow | Leave, now: float, effects: list[Effect]
    ) -> None:
        match event:
            case Join():
                self._join(event, now, effects)
            case Follow(set, peer):
                shared = self._set(set)
                if peer not in shared.sources and len(shared.sources) >= self.config.sources_max:
                    raise LimitError(f"a set has {self.config.sources_max} sources at most")
                self._add_source(shared, peer, now, effects)
            case Unfollow(set, peer):
                shared = self._set(set)
                shared.sources.pop(peer, None)
                if (link := shared.links.get(peer)) is not None:
                    self._follow.close(link, effects)
                    self._tidy(link)
            case Leave(set):
                self._leave(self._set(set), effects)

    def _set(self, set: bytes) -> Shared:
        shared = self._sets.get(set)
        if shared is None:
            raise UsageError("there is no such set; join it first")
        return shared

    def _join(self, event: Join, now: float, effects: list[Effect]) -> None:
        if len(event.set) != SET_BYTES:
            raise UsageError(f"a set is named by {SET_BYTES} bytes, not {len(event.set)}")
        if event.set in self._sets:
            raise UsageError("the set is joined already; leave it first, or follow a source")
        if len(self._sets) >= self.config.sets_max:
            raise LimitError(f"{len(self._sets)} sets are kept in step; leave one first")
        if len(event.sources) > self.config.sources_max:
            raise LimitError(f"a set has {self.config.sources_max} sources at most")
        shared = self._sets[event.set] = Shared(event.set, event.items)
        for peer in event.sources:
            self._add_source(shared, peer, now, effects)

    def _add_source(self, shared: Shared, peer: int, now: float, effects: list[Effect]) -> None:
        known = peer in shared.sources
        shared.sources[peer] = None
        if peer in self._knocks and not known:
            self._follow.open(self._link(shared, peer), now, effects)

    def _leave(self, shared: Shared, effects: list[Effect]) -> None:
        for link in shared.links.values():
            if link.state is not State.IDLE:
                effects.append(Send(link.peer, SyncClose(shared.id)))
            if link.reads:
                text = "the set is not kept here any longer"
                effects.append(Send(link.peer, SyncRefused(shared.id, CLOSED, text)))
            link.close(self._timers)
            link.shut(self._timers)
        if shared.wanted:
            effects.append(Drop(shared.id, tuple(shared.wanted)))
        del self._sets[shared.id]

    def _added(self, shared: Shared, entry: Entry, now: float, effects: list[Effect]) -> None:
        new = shared.items.add(entry.time_s, entry.oid)
        sources = shared.settle(entry.oid)
        if new:
            for peer, link in shared.links.items():
                if link.reads and peer not in sources:
                    self._serve.announce(link, entry, now)
        self._pump(shared, now, effects)

    def _pump(self, shared: Shared, now: float, effects: list[Effect]) -> None:
        for link in shared.links.values():
            if link.held is not None or link.learn:
                self._follow.pump(link, now, effects)

    # Peers and time

    def _up(self, peer: int, now: float, effects: list[Effect]) -> None:
        if peer in self._knocks:
            return
        self._knocks[peer] = TokenBucket(_KNOCKS_PER_S, 32 * _KNOCKS_PER_S)
        for shared in self._sets.values():
            if peer in shared.sources:
                self._follow.open(self._link(shared, peer), now, effects)

    def _down(self, peer: int, effects: list[Effect]) -> None:
        if self._knocks.pop(peer, None) is None:
            return
        for shared in self._sets.values():
            link = shared.links.get(peer)
            if link is not None:
                link.close(self._timers)
                link.shut(self._timers)
                self._follow.forget(link, effects)
                del shared.links[peer]

    def _tick(self, now: float, effects: list[Effect]) -> None:
        for job, link in self._timers.expire(now):
            if job in _SERVED:
                self._serve.due(job, link, now, effects)
                self._tidy(link)
            else:
                self._follow.due(job, link, now, effects)

    def _link(self, shared: Shared, peer: int) -> Link:
        link = shared.links.get(peer)
        if link is None:
            link = shared.links[peer] = Link(peer, shared, self.config)
        return link

    def _tidy(self, link: Link) -> None:
        """Forget a peer that neither follows nor is followed."""
        shared = link.shared
        if not link.reads and link.peer not in shared.sources:
            shared.links.pop(link.peer, None)

    # What peers say

    def _arrived(self, peer: int, message: SyncMessage, now: float, effects: list[Effect]) -> None:
        shared = self._sets.get(message.set)
        link = None if shared is None else shared.links.get(peer)
        match message:
            case SyncOpen():
                self._open(peer, shared, message, now, effects)
            case SyncQuery() | SyncDescribe() if link is None or not link.reads:
                if self.config.gate and self._may_knock(peer, now, effects):
                    refuse(peer, message.set, effects)
            case _ if link is None:
                pass  # it crossed with a message that says so
            case SyncQuery():
                self._serve.queried(link, message, now, effects)
            case SyncDescribe():
                self._serve.described(link, message, now, effects)
            case SyncOpened():
                self._follow.opened(link, message, now, effects)
            case SyncRefused():
                self._follow.refused(link, message, now, effects)
            case SyncAnswer():
                self._follow.answered(link, message, now, effects)
            case SyncAnnounce():
                self._follow.announced(link, message, now, effects)
            case SyncEnd():
                self._follow.ended(link, message, now)
            case SyncClose():
                link.shut(self._timers)
        if link is not None:
            self._tidy(link)

    def _open(
        self,
        peer: int,
        shared: Shared | None,
        message: SyncOpen,
        now: float,
        effects: list[Effect],
    ) -> None:
        if not self._may_knock(peer, now, effects):
            return
        version = common_version(peer, message, effects)
        if version is None:
            return
        seen = shared is not None and (
            not self.config.gate or self._host.admit(peer, message.set, message.proof)
        )
        if shared is None or not seen:
            refuse(peer, message.set, effects)
            return
        link = self._link(shared, peer)
        self._serve.open(link, message, version, now, effects)
        if peer in shared.sources and link.state is State.IDLE and now >= link.left_until:
            self._follow.open(link, now, effects)

    def _may_knock(self, peer: int, now: float, effects: list[Effect]) -> bool:
        """Whether to answer a peer that asks for what it does not follow."""
        if self._knocks[peer].take(1, now):
            return True
        effects.append(Fault(peer, "flood"))
        return False
