"""Following a source: compare with it, learn what it announces, ask for what we lack.

A comparison (`wire.reconcile`) names ids that only the source has. It describes them, that is
announces them as it does what is new, and they are needed. While much is being fetched from a
source, the comparison with it waits: so a set of any size fits into bounded memory.

Invariants:
    - one query, and a bounded number of ids to be described, are out at a source at a time;
    - a comparison lasts only as long as it finds something, and a bit longer;
    - who names much that it does not give is left for a while.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.timers import Timers
from whispurrnet.store.sync_events import (
    Config,
    Drop,
    Effect,
    Ended,
    Fault,
    Host,
    Need,
    Retime,
    Rng,
    Send,
    Source,
    Synced,
)
from whispurrnet.store.sync_link import Job, Link, Shared, State, Wanted
from whispurrnet.store.sync_messages import (
    FRAME_MAX,
    NO_ACCESS,
    OIDS_MAX,
    VERSION,
    VERSION_LEAST,
    VERSION_MOST,
    Entry,
    SyncAnnounce,
    SyncAnswer,
    SyncClose,
    SyncDescribe,
    SyncEnd,
    SyncOpen,
    SyncOpened,
    SyncQuery,
    SyncRefused,
)
from whispurrnet.wire.reconcile import Reconciler

ROUNDS_MIN: Final = 64
"""So many answers may bring nothing new, and one more for each of the next."""
ITEMS_PER_ROUND: Final = 64

_LEFT_FOR: Final = 10
"""How many times longer a source at fault is left than one that refuses."""


class Following:
    """What a node does as a follower, in all sets.

    Args:
        config: Settings.
        host: The index, and access.
        timers: Shared with the rest of the core.
        rng: Chance.
    """

    def __init__(
        self, config: Config, host: Host, timers: Timers[tuple[Job, Link]], rng: Rng
    ) -> None:
        self._config = config
        self._host = host
        self._timers = timers
        self._rng = rng

    # Opening

    def open(self, link: Link, now: float, effects: list[Effect]) -> None:
        """Ask a source to let us follow."""
        link.state = State.OPENING
        link.nonce = int(self._rng.random() * 2**53)
        set = link.shared.id
        shown = self._host.prove(link.peer, set)
        message = SyncOpen(set, VERSION_LEAST, VERSION_MOST, link.nonce, shown)
        effects.append(Send(link.peer, message))
        self._timers.set((Job.OPEN, link), now + self._config.answer_s)

    def opened(self, link: Link, message: SyncOpened, now: float, effects: list[Effect]) -> None:
        """It lets us. If it follows us too, one of the two compares for both."""
        if link.state is not State.OPENING:
            return
        if not VERSION_LEAST <= message.version <= VERSION_MOST:
            raise ProtocolError("a set was opened in a version that was not offered")
        link.state = State.OPEN
        self._timers.cancel((Job.OPEN, link))
        both = link.reads and now - link.reads_since < self._config.answer_s
        if both and link.their_nonce > link.nonce:
            self._timers.set((Job.ROUND, link), now + self._config.answer_s)
        else:
            self._begin(link, now, effects)

    def refused(self, link: Link, message: SyncRefused, now: float, effects: list[Effect]) -> None:
        """It does not let us, or no longer. What is being fetched from it goes on."""
        if link.state is State.IDLE:
            return
        link.close(self._timers)
        effects.append(Ended(link.peer, link.shared.id, message.code, message.text, theirs=True))
        if message.code != VERSION:
            self._timers.set((Job.OPEN, link), now + self._soon(self._config.retry_s))

    def close(self, link: Link, effects: list[Effect]) -> None:
        """Follow no longer, and fetch no longer what only this source has."""
        if link.state is not State.IDLE:
            effects.append(Send(link.peer, SyncClose(link.shared.id)))
        link.close(self._timers)
        self.forget(link, effects)

    def forget(self, link: Link, effects: list[Effect]) -> None:
        """A source is gone: what only it had is not wanted any more."""
        shared = link.shared
        lost = [oid for oid in list(shared.wanted) if shared.lose(oid, link.peer)]
        if lost:
            effects.append(Drop(shared.id, tuple(lost)))

    # Comparing

    def _begin(self, link: Link, now: float, effects: list[Effect]) -> None:
        items = link.shared.items
        rounds_max = ROUNDS_MIN + len(items) // ITEMS_PER_ROUND
        link.round = Reconciler(items, FRAME_MAX, rounds_max=rounds_max)
        link.held, link.answer_due = link.round.initiate(), False
        link.began_at, link.behind = now, False
        self._timers.cancel((Job.ROUND, link))
        self.pump(link, now, effects)

    def answered(self, link: Link, message: SyncAnswer, now: float, effects: list[Effect]) -> None:
        """It answered our query; nobody else's answer, and none twice, is looked at."""
        if link.round is None or not link.answer_due:
            return
        query, have, need = link.round.continue_(message.answer)
        self._timers.cancel((Job.ANSWER, link))
        link.answer_due = False
        wanted = link.shared.wanted
        fresh = [
            oid for oid in need if oid not in link.asked and (link.skip.peek(oid) or now) <= now
        ]
        if have or need:
            link.round.rounds_left += 1
        known = [oid for oid in fresh if oid in wanted]
        link.learn |= dict.fromkeys(oid for oid in fresh if oid not in wanted)
        self._also(link, known, effects)
        if link.reads:
            self._tell(link, have, now)
        if query is None:
            self._finish(link, now, effects)
        else:
            link.held = query
        self.pump(link, now, effects)

    def _tell(self, link: Link, have: list[bytes], now: float) -> None:
        """It lacks these, and follows us: announce them."""
        room = max(0, self._config.announced_max - len(link.outbox))
        for at in range(0, min(room, len(have)), OIDS_MAX):
            some = have[at : min(at + OIDS_MAX, room)]
            for entry in self._host.entries(link.shared.id, some):
                link.outbox[entry.oid] = entry
        link.unannounced |= len(have) > room
        if have and (Job.FLUSH, link) not in self._timers:
            self._timers.set((Job.FLUSH, link), now + self._config.announce_s)

    def _finish(self, link: Link, now: float, effects: list[Effect]) -> None:
        """A comparison is over."""
        assert link.round is not None
        complete, link.round = link.round.complete, None
        if link.reads:
            self._timers.set((Job.FLUSH, link), now)
            if not link.unannounced:
                effects.append(Send(link.peer, SyncEnd(link.shared.id, all=True)))
        self._next(link, now, soon=link.behind)
        if complete:
            effects.append(Synced(link.peer, link.shared.id))
        elif self._config.again:
            self._timers.set((Job.ROUND, link), now + self._soon(self._config.retry_s))

    def ended(self, link: Link, message: SyncEnd, now: float) -> None:
        """It has compared with us, so that we need not; or there was too much to announce."""
        if link.state is State.OPEN and link.round is None:
            if message.all:
                link.began_at = now
            self._next(link, now, soon=not message.all)

    def _next(self, link: Link, now: float, *, soon: bool) -> None:
        """When to compare again."""
        if not self._config.again:
            return
        wait_s = self._config.soon_s if soon else self._soon(self._config.round_s)
        self._timers.set((Job.ROUND, link), max(now, link.began_at + wait_s))

    def _soon(self, wait_s: float) -> float:
        return wait_s * (0.8 + 0.4 * self._rng.random())

    # What it has

    def announced(
        self, link: Link, message: SyncAnnounce, now: float, effects: list[Effect]
    ) -> None:
        """It told what is in the set: what is new, or what we asked about."""
        if link.state is not State.OPEN:
            return
        shared, entries = link.shared, {entry.oid: entry for entry in message.entries}
        unasked = sum(oid not in link.asked for oid in entries)
        if self._config.bounded and not link.announced.take(unasked, now):
            self._fall_behind(link, now)
            entries = {oid: entry for oid, entry in entries.items() if oid in link.asked}
        here = {entry.oid: entry for entry in self._host.entries(shared.id, list(entries))}
        fresh: list[Entry] = []
        also: list[bytes] = []
        for oid, entry in entries.items():
            asked = link.asked.pop(oid, entry) is None
            link.learn.pop(oid, None)
            if oid in here:
                self._compare_times(link, entry, here[oid], now, effects)
            elif oid in shared.wanted:
                also.append(oid)
            elif (link.skip.peek(oid) or now) > now:
                continue
            elif asked or len(link.load) < self._config.wanted_max or not self._config.bounded:
                shared.wanted[oid] = Wanted(entry, link.peer)
                link.load[oid] = None
                fresh.append(entry)
            else:
                self._fall_behind(link, now)
        self._also(link, also, effects)
        if fresh:
            effects.append(Need(link.peer, shared.id, tuple(fresh)))
        if not link.asked:
            self._timers.cancel((Job.DESCRIBE, link))
        self.pump(link, now, effects)

    def _compare_times(
        self, link: Link, theirs: Entry, ours: Entry, now: float, effects: list[Effect]
    ) -> None:
        """An object came into the set twice; the earlier time holds, here and there."""
        shared, oid = link.shared, ours.oid
        if theirs.time_s < ours.time_s:
            shared.items.remove(ours.time_s, oid)
            shared.items.add(theirs.time_s, oid)
            effects.append(Retime(shared.id, oid, theirs.time_s))
        elif theirs.time_s > ours.time_s:
            link.skip.put(oid, now + self._config.round_s * _LEFT_FOR)  # it does not follow us

    def _also(self, link: Link, oids: list[bytes], effects: list[Effect]) -> None:
        """It has these too, which are being fetched."""
        wanted = link.shared.wanted
        fresh = [oid for oid in oids if link.peer not in wanted[oid].sources]
        for oid in fresh:
            wanted[oid].sources[link.peer] = None
        if fresh:
            effects.append(Source(link.peer, link.shared.id, tuple(fresh)))

    def _fall_behind(self, link: Link, now: float) -> None:
        """Not all that it announced was taken."""
        link.behind = True
        if link.round is None:
            self._next(link, now, soon=True)

    def failed(
        self, shared: Shared, oid: bytes, peer: int | None, now: float, effects: list[Effect]
    ) -> None:
        """An object could not be fetched: from this source, or at all."""
        if peer is None:
            shared.settle(oid)
            return
        link = shared.links.get(peer)
        if link is None or oid not in shared.wanted or peer not in shared.wanted[oid].sources:
            return
        shared.lose(oid, peer)
        link.skip.put(oid, now + self._config.retry_s * _LEFT_FOR)
        if link.failures.take(1, now):
            return
        self.close(link, effects)
        text = "it names objects that it does not give"
        effects += [Fault(peer, "unserved"), Ended(peer, shared.id, 0, text)]
        link.left_until = now + self._config.retry_s * _LEFT_FOR
        self._timers.set((Job.OPEN, link), link.left_until)

    # Going on

    def pump(self, link: Link, now: float, effects: list[Effect]) -> None:
        """Ask for as much as may be asked for now."""
        if link.state is not State.OPEN:
            return
        config, set = self._config, link.shared.id
        while link.learn and len(link.asked) <= OIDS_MAX and len(link.load) < config.wanted_max:
            some = tuple(islice(link.learn, OIDS_MAX))
            for oid in some:
                del link.learn[oid]
                link.asked[oid] = None
            effects.append(Send(link.peer, SyncDescribe(set, some)))
            self._timers.set((Job.DESCRIBE, link), now + config.answer_s)
        if link.held is not None and (link.busy < config.wanted_max or not config.bounded):
            effects.append(Send(link.peer, SyncQuery(set, link.held)))
            link.held, link.answer_due = None, True
            self._timers.set((Job.ANSWER, link), now + config.answer_s)

    def due(self, job: Job, link: Link, now: float, effects: list[Effect]) -> None:
        """It is time for something."""
        match job:
            case Job.OPEN if link.state is State.OPENING:
                link.close(self._timers)
                text = "it does not answer whether we may follow"
                effects.append(Ended(link.peer, link.shared.id, NO_ACCESS, text))
                self._timers.set((Job.OPEN, link), now + self._soon(self._config.retry_s))
            case Job.OPEN:
                self.open(link, now, effects)
            case Job.ROUND:
                self._begin(link, now, effects)
            case Job.ANSWER:
                link.round, link.answer_due = None, False
                effects.append(Fault(link.peer, "unserved"))
                self._timers.set((Job.ROUND, link), now + self._soon(self._config.retry_s))
            case _:
                for oid in link.asked:  # it does not have them any more
                    link.skip.put(oid, now + self._config.retry_s)
                link.asked.clear()
                self.pump(link, now, effects)
