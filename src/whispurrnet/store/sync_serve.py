"""Serving those who follow us: let them in, answer their queries, announce what is new.

Invariants:
    - whether a peer may see the set is asked before each answer and each announcement;
    - a set that is not here and one that may not be seen are refused alike;
    - what a peer may ask is rationed; what exceeds its ration waits, one query and a few lists of
      ids at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.timers import Timers
from whispurrnet.store.sync_events import Config, Effect, Ended, Fault, Host, Send
from whispurrnet.store.sync_link import DESCRIBES_MAX, Job, Link
from whispurrnet.store.sync_messages import (
    ENTRIES_MAX,
    FRAME_MAX,
    NO_ACCESS,
    VERSION,
    VERSION_LEAST,
    VERSION_MOST,
    Entry,
    SyncAnnounce,
    SyncAnswer,
    SyncDescribe,
    SyncEnd,
    SyncOpen,
    SyncOpened,
    SyncQuery,
    SyncRefused,
)
from whispurrnet.wire.reconcile import Reconciler

QUERY_UNIT_BYTES: Final = 1024

NOT_FOR_YOU: Final = "there is no such set here, or you may not see it"


def refuse(peer: int, set: bytes, effects: list[Effect]) -> None:
    """Say no, and not why."""
    effects.append(Send(peer, SyncRefused(set, NO_ACCESS, NOT_FOR_YOU)))


def common_version(peer: int, message: SyncOpen, effects: list[Effect]) -> int | None:
    """The latest version that both speak; if there is none, both sides are told."""
    version = min(message.most, VERSION_MOST)
    if version >= max(message.least, VERSION_LEAST):
        return version
    ours, theirs = _versions(VERSION_LEAST, VERSION_MOST), _versions(message.least, message.most)
    said = f"we speak version {ours} of the protocol that keeps sets in step, you {theirs}: update"
    heard = f"it speaks version {theirs} of the protocol that keeps sets in step, we {ours}: update"
    effects.append(Send(peer, SyncRefused(message.set, VERSION, said)))
    effects.append(Ended(peer, message.set, VERSION, heard))
    return None


class Serving:
    """What a node does for its followers, in all sets.

    Args:
        config: Settings.
        host: The index, and access.
        timers: Shared with the rest of the core.
    """

    def __init__(self, config: Config, host: Host, timers: Timers[tuple[Job, Link]]) -> None:
        self._config = config
        self._host = host
        self._timers = timers

    def open(
        self, link: Link, message: SyncOpen, version: int, now: float, effects: list[Effect]
    ) -> None:
        """A peer that may see the set follows us."""
        link.reads, link.reads_since, link.their_nonce = True, now, message.nonce
        effects.append(Send(link.peer, SyncOpened(link.shared.id, version)))

    def queried(self, link: Link, message: SyncQuery, now: float, effects: list[Effect]) -> None:
        """It compares with us."""
        if not self._may(link, effects):
            return
        if link.query is not None:
            raise ProtocolError("a query before the last one was answered")
        link.query = message.query
        self._answer(link, now, effects)

    def described(
        self, link: Link, message: SyncDescribe, now: float, effects: list[Effect]
    ) -> None:
        """It wants to know what some objects are."""
        if not self._may(link, effects):
            return
        if len(link.describes) >= DESCRIBES_MAX:
            raise ProtocolError("too many objects to be described at a time")
        link.describes.append(message.oids)
        self._describe(link, now, effects)

    def announce(self, link: Link, entry: Entry, now: float) -> None:
        """Something is new; it is announced in a moment, with what else is."""
        if entry.oid in link.outbox or len(link.outbox) < self._config.announced_max:
            link.outbox[entry.oid] = entry
        else:
            link.unannounced = True
        if (Job.FLUSH, link) not in self._timers:
            self._timers.set((Job.FLUSH, link), now + self._config.announce_s)

    def due(self, job: Job, link: Link, now: float, effects: list[Effect]) -> None:
        """It is time for something."""
        if not self._may(link, effects):
            return
        if job is Job.FLUSH:
            self._flush(link, effects)
            return
        try:
            self._answer(link, now, effects)
        except ProtocolError:
            effects.append(Fault(link.peer, "malformed"))
        self._describe(link, now, effects)

    def _may(self, link: Link, effects: list[Effect]) -> bool:
        """Whether the peer may still see the set."""
        if not self._config.gate:
            return True
        if link.reads and self._host.allowed(link.peer, link.shared.id):
            return True
        link.shut(self._timers)
        refuse(link.peer, link.shared.id, effects)
        return False

    def _answer(self, link: Link, now: float, effects: list[Effect]) -> None:
        query = link.query
        if query is None:
            return
        cost = 1 + len(query) // QUERY_UNIT_BYTES
        if not link.queries.take(cost, now):
            self._later(link, now + (link.queries.wait_s(cost, now) or 1.0))
            return
        link.query = None
        answer = Reconciler(link.shared.items, FRAME_MAX).answer(query)
        effects.append(Send(link.peer, SyncAnswer(link.shared.id, answer)))

    def _describe(self, link: Link, now: float, effects: list[Effect]) -> None:
        while link.describes:
            oids = link.describes[0]
            if not link.described.take(len(oids), now):
                self._later(link, now + (link.described.wait_s(len(oids), now) or 1.0))
                return
            del link.describes[0]
            self._send(link, self._host.entries(link.shared.id, oids), effects)

    def _later(self, link: Link, at: float) -> None:
        self._timers.set((Job.SERVE, link), at)

    def _flush(self, link: Link, effects: list[Effect]) -> None:
        """Announce what waits."""
        self._send(link, link.outbox.values(), effects)
        link.outbox.clear()
        if link.unannounced:
            link.unannounced = False
            effects.append(Send(link.peer, SyncEnd(link.shared.id, all=False)))

    def _send(self, link: Link, entries: Iterable[Entry], effects: list[Effect]) -> None:
        rest = iter(entries)
        while some := tuple(islice(rest, ENTRIES_MAX)):
            effects.append(Send(link.peer, SyncAnnounce(link.shared.id, some)))


def _versions(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"
