"""Objects, as the stack sees them: who fetches and serves, and who may see what.

The disk is the shell's: what `store.transfer` wants read or written leaves as an effect and comes
back as an event. Whether a peer may have an object is decided here, from the roots above it, which
only the disk knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.keys import Secret
from whispurrnet.session.pool import Rng
from whispurrnet.stack import greeting, object_events
from whispurrnet.stack.links import Links
from whispurrnet.stack.live import Live
from whispurrnet.stack.roster import Record
from whispurrnet.stack.sets import Sets
from whispurrnet.stack.shared import Shared
from whispurrnet.store import access, messages, sync_events, transfer_events
from whispurrnet.store.access import Grants, Guest
from whispurrnet.store.sync_messages import SyncMessage
from whispurrnet.store.transfer import Transfer
from whispurrnet.trust.evidence import Kind
from whispurrnet.wire import frame
from whispurrnet.wire.ids import ObjectId

HELD_MAX = 1024
"""How many capabilities we show to one peer."""


class Exchange:
    """The objects of one node.

    Args:
        shared: What the parts of the stack share.
        links: The sessions.
        rng: Chance that needs no secrecy.
    """

    def __init__(self, shared: Shared, links: Links, rng: Rng) -> None:
        self._shared = shared
        self._links = links
        self.transfer = Transfer(shared.config.transfer, rng)
        self.grants = Grants(shared.entropy)
        self.moved = True
        """Whether something happened to the transfer core since its deadline was looked at."""
        self._due: float | None = None
        self._guests: dict[int, Guest] = {}
        self._held: dict[int, dict[bytes, Secret]] = {}
        """The capabilities that we show to each peer, by root."""
        self.sets = Sets(
            shared,
            rng,
            lambda: self.grants,
            self._guests,
            lambda peer, root: self._held.get(peer, {}).get(root),
            lambda peer, body: self._send(peer, body, object_events.OBJECT_PRIORITY),
        )
        self._asked: dict[int, int] = {}
        """Which peer each question to the disk is about."""

    @property
    def routes(self) -> dict[type, Callable[[Any, float], None]]:
        """Which of its events goes where."""
        passed = (
            transfer_events.Fetch,
            transfer_events.AddSource,
            transfer_events.Stop,
            transfer_events.FetchSmall,
            transfer_events.Stored,
            transfer_events.StoreFailed,
            transfer_events.SmallStored,
            transfer_events.Paged,
            transfer_events.ReadDone,
            transfer_events.SetLimits,
        )
        return {
            **dict.fromkeys(passed, self.handle),
            **self.sets.routes,
            object_events.LoadGrants: self.load,
            object_events.Share: self.share,
            object_events.Unshare: self.unshare,
            object_events.HoldCap: self.hold,
            object_events.TellStorage: self.tell_storage,
            object_events.ObjectLooked: self.looked,
            object_events.SmallLooked: self.small_looked,
        }

    @property
    def deadline(self) -> float | None:
        """When something is due; asked after each event of the node, so it is remembered."""
        if self.moved:
            self.moved = False
            self._due = self.transfer.deadline
        due, other = self._due, self.sets.deadline
        return other if due is None or (other is not None and other < due) else due

    # Peers

    def up(self, record: Record, live: Live, now: float) -> None:
        """A session began."""
        if not record.capabilities & greeting.OBJECTS:
            return
        peer = record.handle
        self._guests[peer] = Guest(
            record.id, live.keys.hash, initiator=not live.initiator, persona=record.persona
        )
        live.objects = Pulled(self, peer)
        for root, cap in self._held.get(peer, {}).items():
            self._prove(live, root, cap)
        self.handle(transfer_events.Up(peer), now)
        self.sets.handle(sync_events.Up(peer), now)

    def admitted(self, record: Record, live: Live, now: float) -> None:
        """Membership of a realm says nothing about objects."""

    def renamed(self, record: Record, now: float) -> None:
        """A connected peer has another id: what was shared with the old one is shared with it."""
        guest = self._guests.get(record.handle)
        if guest is not None:
            self.grants.rename(guest.id, record.id)
            guest.id = record.id

    def down(self, record: Record, now: float) -> None:
        """It ended."""
        if self._guests.pop(record.handle, None) is not None:
            self.handle(transfer_events.Down(record.handle), now)
            self.sets.handle(sync_events.Down(record.handle), now)

    def shun(self, key: bytes) -> None:
        """Nobody is called for objects alone."""

    def spare(self, now: float) -> bool:
        """No session is kept for objects alone."""
        return False

    def arrived(self, live: Live, body: bytes, now: float) -> None:
        """The body of an OBJECT frame.

        Raises:
            ProtocolError: It is malformed, or the peer never said that it speaks of objects.
        """
        if live.peer not in self._guests:
            raise ProtocolError("a peer that speaks of no objects sent one")
        self.handle(transfer_events.Arrived(live.peer, body), now)

    # Access

    def load(self, event: object_events.LoadGrants, now: float) -> None:
        """Take up what was shared with whom before.

        Raises:
            HostError: It is damaged.
        """
        self.grants = Grants(self._shared.entropy, event.kept)

    def share(self, event: object_events.Share, now: float) -> None:
        """Let somebody see a root; the answer, if it is a capability, is `Shared`.

        Raises:
            UsageError: An id is none.
            LimitError: There are too many grants.
        """
        cap = event.cap
        if cap is not None:
            self.grants.adopt(event.root, cap)
        else:
            cap = self.grants.share(event.root, event.whom)
        self._shared.out.append(object_events.SharedBy(event.root, cap))

    def unshare(self, event: object_events.Unshare, now: float) -> None:
        """Let somebody, or anybody, see it no longer."""
        self.grants.withdraw(event.root, event.whom)
        self.handle(transfer_events.Recheck(None), now)

    def hold(self, event: object_events.HoldCap, now: float) -> None:
        """Show a peer that we hold a capability: now, and whenever a session with it begins."""
        held = self._held.setdefault(event.peer, {})
        if len(held) >= HELD_MAX and event.root not in held:
            held.pop(next(iter(held)))
        held[event.root] = event.cap
        record = self._shared.roster.get(event.peer)
        if record is not None and record.live is not None and event.peer in self._guests:
            self._prove(record.live, event.root, event.cap)

    def _prove(self, live: Live, root: bytes, cap: Secret) -> None:
        proof = access.proof(cap, root, live.keys.hash, initiator=live.initiator)
        message = messages.Access(ObjectId(root), proof)
        self._send(live.peer, messages.encode(message), object_events.OBJECT_PRIORITY)

    def looked(self, event: object_events.ObjectLooked, now: float) -> None:
        """The disk has said what it has, and below which roots."""
        guest = self._guests.get(self._asked.pop(event.ticket, 0))
        may = guest is not None and self.grants.may(guest, event.roots)
        self.handle(transfer_events.Looked(event.ticket, event.found, may), now)

    def small_looked(self, event: object_events.SmallLooked, now: float) -> None:
        """The disk has read small objects, and said below which roots they are."""
        guest = self._guests.get(self._asked.pop(event.ticket, 0))
        allowed = tuple(
            (oid, header, data)
            for oid, header, data, roots in event.objects
            if guest is not None and self.grants.may(guest, roots)
        )
        self.handle(transfer_events.SmallRead(event.ticket, allowed), now)

    def tell_storage(self, event: object_events.TellStorage, now: float) -> None:
        """Tell a peer how full our store is, if it speaks of objects."""
        if event.peer in self._guests:
            self._send(event.peer, messages.encode(event.metrics), object_events.OBJECT_PRIORITY)

    # The core

    def tick(self, now: float) -> None:
        """Do what is due."""
        due = self.transfer.deadline
        if due is not None and due <= now:
            self.handle(Tick(), now)
        self.sets.tick(now)

    def handle(self, event: transfer_events.Event, now: float) -> None:
        """Give the core an event, and do what it wants, or have it done."""
        self.moved = True
        self._perform(self.transfer.handle(event, now), now)

    def sent(self, now: float) -> None:
        """Records were sealed: do what follows from what was pulled for them."""
        if self.moved:
            self._perform(self.transfer.drain(), now)

    def _perform(self, effects: Sequence[transfer_events.Effect], now: float) -> None:
        for effect in effects:
            match effect:
                case transfer_events.Send(peer, body, priority):
                    self._send(peer, body, priority)
                case transfer_events.Ready(peer):
                    self._mark(peer)
                case transfer_events.Passed(peer, message):
                    self._passed(peer, message, now)
                case transfer_events.Look(ticket, peer) | transfer_events.ReadSmall(ticket, peer):
                    self._asked[ticket] = peer
                    self._shared.out.append(effect)
                case transfer_events.Blame(peer, _, _, weight):
                    self._blame(peer, weight, now)
                    self._shared.out.append(effect)
                case _:
                    self._shared.out.append(effect)

    def _passed(self, peer: int, message: messages.Message, now: float) -> None:
        guest = self._guests.get(peer)
        if guest is None:
            return  # it came before what ended the session
        match message:
            case messages.Access(root, proof):
                if not self.grants.prove(guest, root, proof):
                    self._shared.count("objects_unproven")
            case messages.Metrics():
                self._shared.out.append(object_events.StorageTold(peer, message))
            case _:
                self.sets.arrived(peer, cast("SyncMessage", message), now)

    def _blame(self, peer: int, weight: int, now: float) -> None:
        record = self._shared.roster.get(peer)
        if record is not None:
            for _ in range(weight):
                self._shared.evidence.note(record.deeds, Kind.MALFORMED, now)
        self._shared.count("objects_blamed")

    def _send(self, peer: int, body: bytes, priority: int) -> None:
        record = self._shared.roster.get(peer)
        if record is not None and record.live is not None:
            record.live.gossip.put(frame.OBJECT, body, priority)
            self._mark(peer)

    def _mark(self, peer: int) -> None:
        record = self._shared.roster.get(peer)
        if record is not None and record.live is not None and not record.live.paused:
            self._links.dirty[record.live.link] = record.live


class Pulled:
    """What one session sends of objects, when it has nothing else to send."""

    __slots__ = ("_exchange", "_peer", "_transfer")

    def __init__(self, exchange: Exchange, peer: int) -> None:
        self._exchange = exchange
        self._transfer = exchange.transfer
        self._peer = peer

    def waits(self) -> bool:
        """Whether there is something."""
        return self._transfer.priority(self._peer) is not None

    def pull(self, room: int) -> Sequence[bytes | memoryview]:
        """One frame in parts, if one fits."""
        self._exchange.moved = True
        return self._transfer.pull(self._peer, room)
