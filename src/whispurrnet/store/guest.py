"""A peer that wants objects of us: its orders, and which of them is sent from next.

Among the orders of one peer it goes by deficit round robin, a quantum of 64 KiB times 2^priority.

Source: Shreedhar and Varghese, "Efficient Fair Queuing using Deficit Round Robin", 1995.
"""

from __future__ import annotations

from collections import deque

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.store.messages import PACKED_HEADER_BYTES, data_header, packed_header
from whispurrnet.store.order import Order
from whispurrnet.store.small import Counter
from whispurrnet.store.throttle import Pacer
from whispurrnet.wire import frame

QUANTUM_BYTES = 64 * 1024
OPENS_PER_S = 500
PART_MIN = 1024
"""A part of a chunk is not cut shorter than this, in bytes, unless it is the last."""
SMALL_PRIORITY = 3
"""Pages and small objects go before most chunks: others wait for them."""

Parts = tuple[bytes | memoryview, ...]
_HEAD_BYTES = frame.HEADER_BYTES + PACKED_HEADER_BYTES


class Guest:
    """One peer.

    Args:
        peer: Who.
        rate: How fast it is sent to, in bytes a second; None is no limit.
        sent: From what number on it is counted what it was sent.
    """

    __slots__ = ("opens", "orders", "pacer", "pages", "peer", "sent", "small", "turns")

    def __init__(self, peer: int, rate: float | None, sent: int) -> None:
        self.peer = peer
        self.pacer = Pacer(rate)
        self.opens = TokenBucket(OPENS_PER_S, 2 * OPENS_PER_S)
        """How often it may ask for another object: each time the disk is asked."""
        self.orders: dict[int, Order] = {}
        """By their number, the one used last at the end."""
        self.turns: deque[Order] = deque()
        self.pages: deque[tuple[Order, bytes]] = deque()
        """Bodies of frames that hold a page, and what they are for."""
        self.small = Counter(peer)
        self.sent = sent
        """How many bytes it was sent; whom less was sent goes first."""

    def queue(self, order: Order) -> None:
        """An order may have something to send."""
        if order.sendable and not order.queued:
            order.queued = True
            order.deficit = 0
            self.turns.append(order)

    def forget(self, order: Order) -> None:
        """An order is done with."""
        del self.orders[order.ref]
        if order.queued:
            order.queued = False
            self.turns.remove(order)
        self.pages = deque(page for page in self.pages if page[0] is not order)

    def priority(self) -> int | None:
        """How urgent the most urgent thing is that could be sent, or None."""
        self._clear()
        most = SMALL_PRIORITY if self.pages or self.small.sendable else -1
        for order in self.turns:
            if order.priority > most and order.sendable:
                most = order.priority
        return None if most < 0 else most

    def pull(self, room: int, part_max: int) -> tuple[Parts, Order | None]:
        """The next frame in parts, if one fits, and the order that a part of a chunk is of.

        Args:
            room: How many bytes there are for the frame.
            part_max: How much of a chunk to send at most, in bytes.
        """
        if self.pages:
            if len(self.pages[0][1]) + frame.HEADER_BYTES > room:
                return (), None
            order, body = self.pages.popleft()
            order.pages_pending -= 1
            return (frame.header(frame.OBJECT, len(body)), body), None
        if self.small.sendable:
            return self.small.pull(room), None
        front = self._front()
        if front is None:
            return (), None
        return self._part(front, room, part_max), front

    def _front(self) -> Order | None:
        """The order whose turn it is."""
        turns = self.turns
        self._clear()
        while len(turns) > 1:
            order = turns[0]
            if not order.sendable:
                turns.popleft()
                order.queued = False
            elif order.deficit > 0:
                break
            else:
                order.deficit += QUANTUM_BYTES << order.priority
                turns.rotate(-1)
        self._clear()
        return turns[0] if turns else None

    def _clear(self) -> None:
        """Let those go that have nothing to send."""
        while self.turns and not self.turns[0].sendable:
            self.turns.popleft().queued = False

    def _part(self, order: Order, room: int, part_max: int) -> Parts:
        room = min(room, frame.FRAME_MAX) - _HEAD_BYTES
        if room < PART_MIN and order.rest > room:
            return ()
        index, offset, packed, view = order.part(min(room, part_max))
        order.deficit -= len(view)
        if packed:
            head = packed_header(order.ref, index, offset, packed)
        else:
            head = data_header(order.ref, index, offset)
        return frame.header(frame.OBJECT, len(head) + len(view)) + head, view

    def check_invariants(self) -> None:
        """Assert what must be true."""
        for order in self.orders.values():
            order.check_invariants()
            assert order.queued == (order in self.turns)
        assert all(self.orders.get(order.ref) is order for order in self.turns)
        assert all(self.orders.get(order.ref) is order for order, _ in self.pages)
