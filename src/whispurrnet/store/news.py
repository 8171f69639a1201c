"""What there is to tell those who fetch an object from us while it is still coming to ourselves.

A peer is told of new chunks at most once in `every_s`, and of all that came meanwhile at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from whispurrnet.store.messages import HAVE_RUNS_MAX, Have
from whispurrnet.store.order import Order
from whispurrnet.store.runs import pack
from whispurrnet.store.sources import send
from whispurrnet.store.transfer_events import Effect
from whispurrnet.wire.ids import ObjectId


class News:
    """Orders by their object, and what is new for each.

    Args:
        every_s: How often a peer is told, in seconds.
    """

    __slots__ = ("_by_oid", "_due", "due_at", "every_s")

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.due_at: float | None = None
        """When to `flush`, in seconds."""
        self._by_oid: dict[ObjectId, dict[tuple[int, int], Order]] = {}
        self._due: dict[tuple[int, int], Order] = {}

    def follow(self, peer: int, order: Order) -> None:
        """A peer wants to know of an object."""
        self._by_oid.setdefault(order.oid, {})[peer, order.ref] = order

    def forget(self, peer: int, order: Order) -> None:
        """It does not any more."""
        orders = self._by_oid[order.oid]
        del orders[peer, order.ref]
        if not orders:
            del self._by_oid[order.oid]
        self._due.pop((peer, order.ref), None)

    def orders(self, oid: ObjectId | None) -> list[tuple[int, Order]]:
        """Who wants an object; None: who wants anything."""
        found = self._by_oid.values() if oid is None else [self._by_oid.get(oid, {})]
        return [(peer, order) for orders in found for (peer, _), order in orders.items()]

    def stored(self, oid: ObjectId, indexes: Iterable[int], now: float) -> None:
        """These chunks are here now."""
        for key, order in self._by_oid.get(oid, {}).items():
            if not order.complete:
                for index in indexes:
                    order.have.add(index, index + 1)
                order.fresh.extend(indexes)
                self._tell(key, order, now)

    def completed(self, oid: ObjectId, now: float) -> None:
        """All of it is."""
        for key, order in self._by_oid.get(oid, {}).items():
            if not order.complete:
                order.complete = True
                order.fresh.clear()
                self._tell(key, order, now)

    def flush(self, now: float, effects: list[Effect]) -> None:
        """Tell what is new, if it is time."""
        if self.due_at is None or now < self.due_at:
            return
        due, self._due, self.due_at = self._due, {}, None
        for key, order in due.items():
            runs = pack(sorted(order.fresh))
            order.fresh.clear()
            if order.header is None:  # it is being looked up, and is told then
                continue
            for at in range(0, len(runs) or 1, HAVE_RUNS_MAX):
                told = tuple(runs[at : at + HAVE_RUNS_MAX])
                send(effects, key[0], Have(order.ref, order.oid, order.complete, told))

    def _tell(self, key: tuple[int, int], order: Order, now: float) -> None:
        self._due[key] = order
        if self.due_at is None:
            self.due_at = now + self.every_s

    def check_invariants(self, orders: list[Order]) -> None:
        """Assert what must be true."""
        followed = [order for some in self._by_oid.values() for order in some.values()]
        assert len(followed) == len(orders)
        assert all(self._by_oid[order.oid][key] is order for key, order in self._due.items())
        assert (self.due_at is not None) or not self._due
