"""Sets of objects that are kept in step, as the stack sees them.

A set is shared as a root is, under its own 32 bytes: whoever may see it may follow it, and may have
all that is in it. The shell keeps the index on disk; here it is in memory, for the core asks often.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.session.pool import Rng
from whispurrnet.stack import object_events
from whispurrnet.stack.shared import Shared
from whispurrnet.store import access, messages, sync_events
from whispurrnet.store.access import Grants, Guest
from whispurrnet.store.sync import Progress, Sync
from whispurrnet.store.sync_messages import Entry, SyncMessage
from whispurrnet.trust.evidence import Kind
from whispurrnet.wire.items import Items

Held = Callable[[int, bytes], bytes | None]
"""The capability that we hold of a root of a peer's, if any."""


class Sets:
    """The sets of one node. It is the `Host` of their core.

    Args:
        shared: What the parts of the stack share.
        rng: Chance that needs no secrecy.
        grants: Who may see what.
        guests: The peers that are connected and speak of objects.
        held: The capabilities we hold.
        send: Sends a frame of objects.
    """

    def __init__(
        self,
        shared: Shared,
        rng: Rng,
        grants: Callable[[], Grants],
        guests: dict[int, Guest],
        held: Held,
        send: Callable[[int, bytes], None],
    ) -> None:
        self._shared = shared
        self._grants = grants
        self._guests = guests
        self._held = held
        self._send = send
        self._index: dict[bytes, dict[bytes, Entry]] = {}
        self._core = Sync(shared.config.sync, self, rng)

    @property
    def routes(self) -> dict[type, Callable[[Any, float], None]]:
        """Which event goes where."""
        passed = (
            sync_events.Follow,
            sync_events.Unfollow,
            sync_events.Failed,
        )
        return {
            **dict.fromkeys(passed, self.handle),
            object_events.JoinSet: self.join,
            sync_events.Leave: self.leave,
            object_events.PutInSet: self.put,
            object_events.DropFromSet: self.drop,
        }

    @property
    def deadline(self) -> float | None:
        """When something is due."""
        return self._core.deadline

    def progress(self, set: bytes) -> Progress | None:
        """How a set is doing; None if it is not kept here."""
        return self._core.progress(set)

    # From the shell

    def join(self, event: object_events.JoinSet, now: float) -> None:
        """Keep a set; what is in it already is told."""
        index = {entry.oid: entry for entry in event.entries}
        items = Items((entry.time_s, entry.oid) for entry in index.values())
        before = self._index.get(event.set)
        self._index[event.set] = index  # the core may ask at once
        try:
            self.handle(sync_events.Join(event.set, items, event.sources), now)
        except (UsageError, LimitError):
            del self._index[event.set]
            if before is not None:
                self._index[event.set] = before
            raise

    def leave(self, event: sync_events.Leave, now: float) -> None:
        """Keep it no longer in step."""
        self._index.pop(event.set, None)
        self.handle(event, now)

    def put(self, event: object_events.PutInSet, now: float) -> None:
        """These are stored, whole, and in the index on disk."""
        index = self._index.get(event.set)
        if index is None:
            return
        for entry in event.entries:
            if entry.oid not in index:
                index[entry.oid] = entry
                self.handle(sync_events.Added(event.set, entry), now)

    def drop(self, event: object_events.DropFromSet, now: float) -> None:
        """An object is in a set no longer."""
        entry = self._index.get(event.set, {}).pop(event.oid, None)
        if entry is not None:
            self.handle(sync_events.Removed(event.set, entry), now)

    # What the core asks

    def entries(self, set: bytes, oids: Sequence[bytes]) -> list[Entry]:
        """Which of these are in the set here."""
        index = self._index.get(set, {})
        return [index[oid] for oid in oids if oid in index]

    def prove(self, peer: int, set: bytes) -> bytes:
        """What shows a peer that we hold the capability of its set, if we do."""
        cap, guest = self._held(peer, set), self._guests.get(peer)
        if cap is None or guest is None:
            return b""
        return access.proof(cap, set, guest.handshake, initiator=not guest.initiator)

    def admit(self, peer: int, set: bytes, proof: bytes) -> bool:
        """Whether a peer that shows this may see a set."""
        guest = self._guests.get(peer)
        if guest is None:
            return False
        if proof:
            self._grants().prove(guest, set, proof)
        return self._grants().may(guest, (set,))

    def allowed(self, peer: int, set: bytes) -> bool:
        """Whether it still may."""
        guest = self._guests.get(peer)
        return guest is not None and self._grants().may(guest, (set,))

    # The core

    def tick(self, now: float) -> None:
        """Do what is due."""
        due = self.deadline
        if due is not None and due <= now:
            self.handle(Tick(), now)

    def arrived(self, peer: int, message: SyncMessage, now: float) -> None:
        """A peer sent a message.

        Raises:
            ProtocolError: It makes no sense.
        """
        self.handle(sync_events.Arrived(peer, message), now)

    def handle(self, event: sync_events.Event, now: float) -> None:
        """Give the core an event, and do what it wants, or have it done."""
        for effect in self._core.handle(event, now):
            match effect:
                case sync_events.Send(peer, message):
                    self._send(peer, messages.encode(message))
                case sync_events.Fault(peer, kind):
                    self._blame(peer, kind, now)
                case sync_events.Retime(set, oid, time_s):
                    entry = self._index[set][oid]
                    self._index[set][oid] = Entry(time_s, oid, entry.size, entry.collection)
                    self._shared.out.append(effect)
                case _:
                    self._shared.out.append(effect)

    def _blame(self, peer: int, kind: str, now: float) -> None:
        record = self._shared.roster.get(peer)
        if record is not None and kind != "unserved":
            deed = Kind.FLOODED if kind == "flood" else Kind.MALFORMED
            self._shared.evidence.note(record.deeds, deed, now)
