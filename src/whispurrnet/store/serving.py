"""What others get: who asks, whether they may, and how fast it goes.

Before the first chunk of an object goes to a peer it is looked up whether the object is here, and
whether the peer may have it; "no" is one answer, which does not say which of the two it is. Chunks
are read a few ahead and sent when the peer's session has room for them.

Invariants:
    - nothing is read for a peer before it is known that it may have it;
    - what is read and not sent, of one peer and of all, is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store import messages
from whispurrnet.store import transfer_events as events
from whispurrnet.store.fields import REFUSAL_CHARS_MAX
from whispurrnet.store.guest import PART_MIN, Guest, Parts
from whispurrnet.store.messages import Have, Lacking, NotHere, Refused, Whole, encode
from whispurrnet.store.news import News
from whispurrnet.store.object import PAGE_LEAVES, Page
from whispurrnet.store.order import Order
from whispurrnet.store.source import UNIT_BYTES
from whispurrnet.store.sources import send
from whispurrnet.store.throttle import Pacer
from whispurrnet.store.transfer_config import Config
from whispurrnet.store.transfer_events import Effect, Found, Ready
from whispurrnet.wire.ids import ObjectId

NOT_FOR_YOU: Final = "it is not here, or not for you"
TOO_MANY: Final = "too many objects at a time"
PART_S: Final = 0.1
CHUNKS_AHEAD_MAX: Final = 64
NOBODY: Final = (None, None, 0)


class Serving:
    """The serving side of one node.

    Args:
        config: The settings.
        ticket: Gives the number of the next question to the disk.
    """

    def __init__(self, config: Config, ticket: Callable[[], int]) -> None:
        self.config = config
        self.news = News(config.have_s)
        self.up_pacer = Pacer()
        self.later: list[Effect] = []
        """What follows from having sent something."""
        self._ticket = ticket
        self._peer_rate: float | None = None
        self._guests: dict[int, Guest] = {}
        self._asked: dict[int, tuple[Guest, Order | None, int]] = {}
        """By ticket: who wants it, for what, and which page."""
        self.held = 0
        """How much is read and not sent, in bytes."""
        self._hungry: dict[int, None] = {}
        self._blocked: dict[int, None] = {}

    def deadline(self, now: float) -> float | None:
        """When to `tick`, in seconds."""
        due_at = self.news.due_at
        for peer in self._blocked:
            pacers = (self.up_pacer, self._guests[peer].pacer)
            if all(pacer.rate != 0 for pacer in pacers):
                at = max(pacer.ready_at(now) or now for pacer in pacers)
                due_at = at if due_at is None else min(due_at, at)
        return due_at

    # Peers

    def up(self, peer: int) -> None:
        """A peer is there."""
        least = min((guest.sent for guest in self._guests.values()), default=0)
        self._guests[peer] = Guest(peer, self._peer_rate, least)

    def down(self, peer: int, effects: list[Effect]) -> None:
        """A peer is gone."""
        guest = self._guests.pop(peer, None)
        if guest is None:
            return
        self._hungry.pop(peer, None)
        self._blocked.pop(peer, None)
        for order in list(guest.orders.values()):
            self._forget(guest, order, effects)
        for ticket in [ticket for ticket, asked in self._asked.items() if asked[0] is guest]:
            del self._asked[ticket]

    def limit(
        self, up: float | None, up_peer: float | None, now: float, effects: list[Effect]
    ) -> None:
        """How fast others are sent to, in bytes a second."""
        self.up_pacer.limit(up, now)
        self._peer_rate = up_peer
        for guest in self._guests.values():
            guest.pacer.limit(up_peer, now)
        effects += [Ready(peer) for peer in self._blocked]

    def request(
        self, peer: int, message: messages.Request, now: float, effects: list[Effect]
    ) -> None:
        """A peer wants chunks, or to know which there are.

        Raises:
            ProtocolError: It wants too many at a time; nothing has changed.
        """
        guest = self._guests[peer]
        order = self._order(guest, message.ref, message.oid)
        if order is None:
            if sum(count for _, count in message.runs) > messages.ASKED_MAX:
                raise ProtocolError(f"more than {messages.ASKED_MAX} chunks are asked for")
            order = self._open(guest, message.ref, message.oid, now, effects)
        if order is not None:
            order.ask(message.runs)
            order.priority, order.unpacks = message.priority, message.unpacks
            self._go_on(guest, order, effects)

    def ask_page(
        self, peer: int, message: messages.AskPage, now: float, effects: list[Effect]
    ) -> None:
        """A peer wants a page of leaves.

        Raises:
            ProtocolError: It wants too many at a time; nothing has changed.
        """
        guest = self._guests[peer]
        order = self._order(guest, message.ref, message.oid)
        if order is not None and order.pages_pending >= messages.PAGES_MAX:
            raise ProtocolError(f"more than {messages.PAGES_MAX} pages are asked for at a time")
        if order is None:
            order = self._open(guest, message.ref, message.oid, now, effects)
        if order is not None:
            order.pages.append(message.page)
            order.pages_pending += 1
            self._go_on(guest, order, effects)

    def cancel(self, peer: int, message: messages.Cancel, effects: list[Effect]) -> None:
        """A peer does not want chunks any more, or none at all."""
        guest = self._guests[peer]
        order = guest.orders.get(message.ref)
        if order is None:
            return
        if not message.runs:
            self._forget(guest, order, effects)
            return
        for start, count in message.runs:
            order.cancel(start, start + count)
        self._settle(order, effects)
        self._fill(guest, order, effects)

    def ask_small(self, peer: int, message: messages.AskSmall, effects: list[Effect]) -> None:
        """A peer wants small objects.

        Raises:
            ProtocolError: It wants too many at a time; nothing has changed.
        """
        guest = self._guests[peer]
        if not self.config.serve:
            send(effects, peer, NotHere(message.oids))
            return
        guest.small.ask(message.oids)
        self._read_small(guest, effects)

    def recheck(self, oid: ObjectId | None, effects: list[Effect]) -> None:
        """Who may have an object is not what it was."""
        for peer, order in self.news.orders(oid):
            if order.header is not None:
                order.header = None
                self._look(self._guests[peer], order, effects)

    # What the disk says

    def looked(
        self, ticket: int, found: Found | None, allowed: bool, effects: list[Effect]
    ) -> None:
        """Whether a peer gets an object."""
        guest, order, _ = self._asked.pop(ticket, NOBODY)
        if guest is None or order is None:
            return
        if found is None or not allowed:
            self._refuse(guest, order, messages.NOT_HERE, NOT_FOR_YOU, effects)
            return
        order.found(found)
        runs = () if found.complete else tuple(found.runs[: messages.HAVE_RUNS_MAX])
        send(effects, guest.peer, Have(order.ref, order.oid, found.complete, runs))
        self._go_on(guest, order, effects)

    def paged(self, ticket: int, page: Page | None, effects: list[Effect]) -> None:
        """A page was read, or is not here."""
        guest, order, index = self._asked.pop(ticket, NOBODY)
        if guest is None or order is None or order.header is None:
            return
        if page is None:
            order.pages_pending -= 1
            first = min(index * PAGE_LEAVES, (1 << 32) - 1)
            send(effects, guest.peer, Lacking(order.ref, ((first, PAGE_LEAVES),)))
            return
        body = encode(messages.page_is(order.ref, order.header, page))
        guest.pages.append((order, body))
        effects.append(Ready(guest.peer))

    def read(
        self, ticket: int, chunks: Sequence[bytes] | None, text: str, effects: list[Effect]
    ) -> None:
        """Chunks were read, or cannot be."""
        guest, order, _ = self._asked.pop(ticket, NOBODY)
        if guest is None or order is None:
            return
        if chunks is None or len(chunks) != order.reading[ticket][1]:
            words = (text or "it cannot be read there")[:REFUSAL_CHARS_MAX]
            self._refuse(guest, order, messages.CHANGED, words, effects)
            return
        order.read(ticket, chunks)
        self._settle(order, effects)
        guest.queue(order)
        self._fill(guest, order, effects)
        if order.sendable:
            effects.append(Ready(guest.peer))

    def read_small(self, ticket: int, objects: Iterable[Whole], effects: list[Effect]) -> None:
        """Small objects were read."""
        guest, _, _ = self._asked.pop(ticket, NOBODY)
        if guest is None:
            return
        missing = guest.small.read(objects)
        if missing:
            send(effects, guest.peer, NotHere(missing))
        self._read_small(guest, effects)
        if guest.small.sendable:
            effects.append(Ready(guest.peer))

    # Sending

    def priority(self, peer: int, now: float) -> int | None:
        """How urgent the most urgent thing is that may be sent to a peer, or None."""
        guest = self._guests.get(peer)
        priority = None if guest is None else guest.priority()
        if guest is None or priority is None:
            return None
        if self.up_pacer.ready(now) and guest.pacer.ready(now):
            return priority
        self._blocked[peer] = None
        return None

    def pull(self, peer: int, room: int, now: float) -> Parts:
        """The next frame for a peer in parts, if there is one and it fits."""
        if self.priority(peer, now) is None:
            return ()
        guest = self._guests[peer]
        rates = [pacer.rate for pacer in (self.up_pacer, guest.pacer) if pacer.rate is not None]
        # At a low rate whole records would make the others wait for long.
        part_max = max(PART_MIN, int(PART_S * min(rates))) if rates else room
        parts, order = guest.pull(room, part_max)
        n = sum(map(len, parts))
        self.up_pacer.spend(n, now)
        guest.pacer.spend(n, now)
        guest.sent += n
        if order is not None and order.current is None:
            self._settle(order, self.later)
            self._fill(guest, order, self.later)
        elif order is None and n:
            self._read_small(guest, self.later)
        return parts

    def tick(self, now: float, effects: list[Effect]) -> None:
        """The deadline has come."""
        self.news.flush(now, effects)
        if self._blocked and self.up_pacer.ready(now):
            free = [peer for peer in self._blocked if self._guests[peer].pacer.ready(now)]
            free.sort(key=lambda peer: self._guests[peer].sent)
            for peer in free:
                del self._blocked[peer]
                effects.append(Ready(peer))

    # Orders

    def _order(self, guest: Guest, ref: int, oid: bytes) -> Order | None:
        """The order of a number, which is then the one used last."""
        order = guest.orders.get(ref)
        if order is None:
            return None
        if order.oid != oid:
            raise ProtocolError("a peer uses one number for two objects")
        guest.orders[ref] = guest.orders.pop(ref)
        return order

    def _open(
        self, guest: Guest, ref: int, oid: bytes, now: float, effects: list[Effect]
    ) -> Order | None:
        if not self.config.serve:
            send(effects, guest.peer, Refused(ref, messages.NOT_HERE, NOT_FOR_YOU))
            return None
        if not guest.opens.take(1, now):
            send(effects, guest.peer, Refused(ref, messages.BUSY, TOO_MANY))
            return None
        if len(guest.orders) >= self.config.refs_max:
            idle = (order for order in guest.orders.values() if not order.pending)
            oldest = next(idle, next(iter(guest.orders.values())))
            self._refuse(guest, oldest, messages.BUSY, TOO_MANY, effects)
        order = guest.orders[ref] = Order(ref, ObjectId(oid), 0)
        self.news.follow(guest.peer, order)
        self._look(guest, order, effects)
        return order

    def _look(self, guest: Guest, order: Order, effects: list[Effect]) -> None:
        ticket = self._ticket()
        self._asked[ticket] = guest, order, 0
        effects.append(events.Look(ticket, guest.peer, order.oid))

    def _go_on(self, guest: Guest, order: Order, effects: list[Effect]) -> None:
        """Do for an order what can be done now."""
        if order.header is None:
            return
        missing = order.sift()
        if missing:
            send(effects, guest.peer, Lacking(order.ref, tuple(missing)))
        while order.pages:
            ticket, page = self._ticket(), order.pages.popleft()
            self._asked[ticket] = guest, order, page
            effects.append(events.ReadPage(ticket, order.oid, page))
        guest.queue(order)
        self._fill(guest, order, effects)

    def _fill(self, guest: Guest, order: Order, effects: list[Effect]) -> None:
        """Read on, if less than half of what may be held is."""
        if order.header is None or not order.waiting:
            return
        least, held = self.config.read_ahead, order.held
        ahead = max(least, min(least * UNIT_BYTES // order.header.chunk_bytes, CHUNKS_AHEAD_MAX))
        if held > ahead // 2:
            return
        if held and sum(other.held for other in guest.orders.values()) >= 2 * ahead:
            return
        if self.held and self.held >= self.config.held_bytes:
            self._hungry[guest.peer] = None
            return
        while order.waiting and held < ahead:
            start, count = order.next_run(ahead - held)
            ticket = self._ticket()
            order.reading[ticket] = start, count
            self._asked[ticket] = guest, order, 0
            pack = order.packs and self.config.pack
            effects.append(events.Read(ticket, order.oid, start, count, pack))
            held += count
        self._settle(order, effects)

    def _settle(self, order: Order, effects: list[Effect]) -> None:
        """Count again how much memory an order takes, and let others have what is free."""
        if order.header is not None:
            held = order.held * order.header.chunk_bytes_max
            self.held += held - order.charged
            order.charged = held
        self._feed(effects)

    def _feed(self, effects: list[Effect]) -> None:
        while self._hungry and self.held < self.config.held_bytes:
            peer = next(iter(self._hungry))
            del self._hungry[peer]
            guest = self._guests[peer]
            for order in guest.orders.values():
                self._fill(guest, order, effects)

    def _read_small(self, guest: Guest, effects: list[Effect]) -> None:
        oids = guest.small.next()
        if oids:
            ticket = self._ticket()
            self._asked[ticket] = guest, None, 0
            effects.append(events.ReadSmall(ticket, guest.peer, oids))

    def _refuse(
        self, guest: Guest, order: Order, code: int, text: str, effects: list[Effect]
    ) -> None:
        self._forget(guest, order, effects)
        send(effects, guest.peer, Refused(order.ref, code, text))

    def _forget(self, guest: Guest, order: Order, effects: list[Effect]) -> None:
        guest.forget(order)
        self.news.forget(guest.peer, order)
        self.held -= order.charged
        order.charged = 0
        for ticket in [ticket for ticket, asked in self._asked.items() if asked[1] is order]:
            del self._asked[ticket]
        self._feed(effects)

    def check_invariants(self) -> None:
        """Assert what must be true."""
        orders = [order for guest in self._guests.values() for order in guest.orders.values()]
        assert self.held == sum(order.charged for order in orders)
        assert self._hungry.keys() | self._blocked.keys() <= self._guests.keys()
        for guest in self._guests.values():
            guest.check_invariants()
            assert len(guest.orders) <= self.config.refs_max
        for guest_of, order, _ in self._asked.values():
            assert self._guests.get(guest_of.peer) is guest_of
            assert order is None or guest_of.orders.get(order.ref) is order
        self.news.check_invariants(orders)
