"""What is offered and received by codes of words over the REST API, from begin to end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Literal

from whispurrnet.base.errors import WhispurrError
from whispurrnet.gateway import sync_answers as a
from whispurrnet.node.handover import State
from whispurrnet.store.manifest import Kind

if TYPE_CHECKING:
    from whispurrnet.node.handover import Giving, Handover
    from whispurrnet.node.holdings import ObjectInfo
    from whispurrnet.node.objects import Objects
    from whispurrnet.node.pairing import Offer
    from whispurrnet.node.peer import Peer
    from whispurrnet.wire.object_ticket import Offered

OFFERS_MAX: Final = 64
"""How many offers are remembered; those that are over go first."""
DEPTH_MAX: Final = 32
"""How deep folders may lie in each other."""


class Offering:
    """One code that was given out for an object.

    Args:
        number: To tell it from others; not the one of the code.
        offered: What it is.
        offer: The code.
        giving: Hears from those who take it.
    """

    def __init__(self, number: int, offered: Offered, offer: Offer, giving: Giving) -> None:
        self.number = number
        self.offered = offered
        self.giving = giving
        self.task: asyncio.Task[None] | None = None
        self._offer = offer
        self._met = False
        self._why = ""

    @property
    def over(self) -> bool:
        """Whether nobody will take it any more, or all of it has arrived."""
        return bool(self._why) or self._arrived

    @property
    def _arrived(self) -> bool:
        return self._met and any(got.arrived for got in self.giving.takers)

    async def run(self) -> None:
        """Wait for who knows the code, and until it shows that it has what opens the object."""
        with contextlib.closing(self.giving.news()) as news:
            try:
                met = await self._offer.met()
            except WhispurrError as error:
                self._why = str(error)
                return
            self._met = True
            async for got in news:
                if got.peer.handle == met.peer.handle:
                    self._offer.settle()
                    return

    def close(self) -> None:
        """Take it back."""
        self._why = self._why or "it was taken back"
        if self.task is not None:
            self.task.cancel()
        if not self._offer.ended:
            self._offer.close()

    def row(self) -> a.OfferRow:
        """As the API shows it."""
        state: Literal["open", "met", "arrived", "ended"] = "met" if self._met else "open"
        if self._arrived:
            state = "arrived"
        elif self._why:
            state = "ended"
        takers = self.giving.takers if self._met else []
        return a.OfferRow(
            number=self.number,
            oid=self.offered.root.hex(),
            name=self.offered.label,
            size=self.offered.size,
            folder=self.offered.collection,
            state=state,
            why=self._why,
            expires_s=round(self._offer.good_for_s, 1) if state == "open" else 0.0,
            takers=tuple(
                a.TakerRow(
                    name=got.peer.name,
                    verified=got.verified,
                    total=got.total,
                    arrived=got.arrived,
                )
                for got in takers
            ),
        )


class Receiving:
    """One object that comes by a code, into the store of the node; then it is pinned.

    Args:
        objects: Those of the node.
        handover: Of the node.
        offered: What it is.
        peer: Who offers it.
    """

    def __init__(self, objects: Objects, handover: Handover, offered: Offered, peer: Peer) -> None:
        self.state: Literal["running", "done", "failed", "stopped"] = "running"
        self.task: asyncio.Task[None] | None = None
        self._objects = objects
        self._handover = handover
        self._offered = offered
        self._peer = peer
        self._now = State(0, offered.size, 0.0, None, 0, "")
        self._error = ""

    async def run(self) -> None:
        """Fetch it, keep it, and tell who gave it."""
        try:
            taking = await self._handover.take(self._offered, [self._peer], told=self._told)
            await self._objects.pin(self._offered.root.hex())
        except WhispurrError as error:
            self.state, self._error = "failed", str(error)
            return
        self.state = "done"
        await taking.arrived()

    def stop(self) -> None:
        """Fetch it no longer."""
        if self.state == "running":
            self.state = "stopped"
            if self.task is not None:
                self.task.cancel()
            self._objects.give_up(self._offered.root)

    def _told(self, state: State) -> None:
        self._now = state

    def row(self) -> a.ReceivingRow:
        """As the API shows it."""
        running = self.state == "running"
        return a.ReceivingRow(
            oid=self._offered.root.hex(),
            name=self._offered.label,
            size=self._offered.size,
            folder=self._offered.collection,
            state=self.state,
            verified=self._now.verified,
            total=self._now.total,
            rate_bps=round(self._now.rate_bps, 1) if running else 0.0,
            eta_s=self._now.eta_s if running else None,
            sources=self._now.sources if running else 0,
            waiting=self._now.waits if running else "",
            error=self._error,
        )


async def size_of(objects: Objects, info: ObjectInfo, depth: int = 0) -> int:
    """How many bytes the files of an object are together.

    Raises:
        UsageError: Something that a folder names is not here.
        ProtocolError: Folders lie too deep in each other, or one is malformed.
    """
    if not info.collection or depth > DEPTH_MAX:
        return info.size
    total = 0
    for one in await objects.entries(info.oid):
        if one.kind is Kind.FILE:
            total += one.size
        else:
            total += await size_of(objects, await objects.info(one.oid.hex()), depth + 1)
    return total
