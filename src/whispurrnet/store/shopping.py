"""Small objects that are wanted: one `Errand` for each peer that was asked, while it is up."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.messages import Whole
from whispurrnet.store.purse import Purse
from whispurrnet.store.small import Errand
from whispurrnet.store.sources import send
from whispurrnet.store.transfer_events import Blame, Effect, Missing, StoreSmall
from whispurrnet.wire.ids import ObjectId

CHECK_S = 1.0


class Shopping:
    """The errands of one node.

    Args:
        purse: What all fetches share.
        ticket: Gives the number of the next question to the disk.
    """

    def __init__(self, purse: Purse, ticket: Callable[[], int]) -> None:
        self._purse = purse
        self._ticket = ticket
        self._up: dict[int, None] = {}
        self._errands: dict[int, Errand] = {}
        self._storing: dict[int, Errand] = {}
        self._hungry: dict[int, None] = {}
        self._check_at = 0.0

    def deadline(self, now: float) -> float | None:
        """When to `tick`, in seconds."""
        ready_at = self._purse.down.ready_at(now) if self._hungry else None
        if ready_at is not None:
            return ready_at
        busy = any(errand.waiting for errand in self._errands.values())
        return self._check_at if busy else None

    def up(self, peer: int) -> None:
        """A peer is there."""
        self._up[peer] = None

    def down(self, peer: int, effects: list[Effect]) -> None:
        """A peer is gone."""
        self._up.pop(peer, None)
        errand = self._errands.pop(peer, None)
        if errand is not None:
            self._give_up(errand, "the connection ended", effects)

    def want(self, peer: int, oids: Iterable[ObjectId], now: float, effects: list[Effect]) -> None:
        """Get these from a peer."""
        if peer not in self._up:
            effects.append(Missing(peer, tuple(oids), "the peer is not connected"))
            return
        errand = self._errands.get(peer)
        if errand is None:
            errand = self._errands[peer] = Errand(peer, now)
        errand.want(oids)
        self._ask(errand, now, effects)

    def came(self, peer: int, objects: list[Whole], now: float, effects: list[Effect]) -> None:
        """A peer sends objects.

        Raises:
            ProtocolError: Nobody asked for one of them.
        """
        errand = self._errands.get(peer)
        if errand is None:
            raise ProtocolError("a peer sends small objects that nobody asked for")
        right, wrong = errand.take(objects, now)
        self._purse.down.spend(sum(len(data) for _, _, data in objects), now)
        if right:
            ticket = self._ticket()
            errand.storing(ticket, right)
            self._storing[ticket] = errand
            effects.append(StoreSmall(ticket, peer, tuple(right)))
        if wrong:
            word = "a small object is not what it should be"
            effects.append(Blame(peer, wrong[0], word, self._purse.blame(peer)))
            lost = (*wrong, *errand.give_up())
            effects.append(Missing(peer, lost, f"the peer has lied: {word}"))
        self._ask(errand, now, effects)

    def lacks(self, peer: int, oids: Iterable[bytes], now: float, effects: list[Effect]) -> None:
        """A peer does not have these."""
        errand = self._errands.get(peer)
        if errand is None:
            return
        missing = errand.lacks(oids, now)
        if missing:
            effects.append(Missing(peer, missing, "the peer does not have it, or not for us"))
        self._ask(errand, now, effects)

    def stored(self, ticket: int, text: str, now: float, effects: list[Effect]) -> None:
        """Objects are written, or could not be."""
        errand = self._storing.pop(ticket, None)
        if errand is None:
            return
        oids = errand.stored(ticket)
        if text:
            effects.append(Missing(errand.peer, (*oids, *errand.give_up()), text))
        if self._errands.get(errand.peer) is errand:
            self._ask(errand, now, effects)

    def tick(self, now: float, effects: list[Effect]) -> None:
        """The deadline has come."""
        if now < self._check_at:
            return
        self._check_at = now + CHECK_S
        for errand in self._errands.values():
            if errand.waiting and now - errand.heard_at > self._purse.config.stall_s:
                self._give_up(errand, "the peer does not answer", effects)

    def share(self, now: float, effects: list[Effect]) -> None:
        """Let those ask that had to wait for the limit."""
        if self._hungry and self._purse.down.ready(now):
            hungry, self._hungry = self._hungry, {}
            for peer in hungry:
                if peer in self._errands:
                    self._ask(self._errands[peer], now, effects)

    def _ask(self, errand: Errand, now: float, effects: list[Effect]) -> None:
        if not self._purse.down.ready(now):
            self._hungry[errand.peer] = None
            return
        for ask in errand.ask(now):
            send(effects, errand.peer, ask)

    def _give_up(self, errand: Errand, reason: str, effects: list[Effect]) -> None:
        missing = errand.give_up()
        if missing:
            effects.append(Missing(errand.peer, missing, reason))

    def check_invariants(self) -> None:
        """Assert what must be true."""
        assert self._errands.keys() <= self._up.keys()
        for errand in self._errands.values():
            errand.check_invariants()
