"""What the REST API does to hand objects over by a code of words: give one out, use one.

A code is a secret: it is in the body of one answer, and of one request, and nowhere else. What is
offered is in the store of this node, and what comes goes there; no path comes in or goes out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import LimitError, UsageError, WhispurrError
from whispurrnet.extensions.filesync.invitation import key_of
from whispurrnet.gateway import sync_answers as a
from whispurrnet.gateway.object_answers import Oid
from whispurrnet.gateway.offers import OFFERS_MAX, Offering, Receiving, size_of
from whispurrnet.gateway.refusal import refuse
from whispurrnet.gateway.route import Call, Route, maker
from whispurrnet.gateway.set_api import SetApi
from whispurrnet.node.handover import Giving, Handover
from whispurrnet.node.pairing import Pairing
from whispurrnet.store import names
from whispurrnet.wire import words
from whispurrnet.wire.ids import parse_object_id
from whispurrnet.wire.object_ticket import Offered

if TYPE_CHECKING:
    from whispurrnet.node.holdings import ObjectInfo

Number = Annotated[int, Meta(ge=1, le=2**53)]
RECEIVING_MAX = 16
"""How much may be on its way by codes at a time."""
JOINING_MAX = 4
"""How many codes may be tried at a time."""


class PairApi(SetApi):
    """The handlers that are about codes of words, and those about sets and objects."""

    def __init__(self) -> None:
        super().__init__()
        self._pairing: Pairing | None = None
        self._handover: Handover | None = None
        self._offers: dict[int, Offering] = {}
        self._last = 0
        self._joining = 0
        self._receiving: LruDict[str, Receiving] = LruDict(256)

    # Giving

    async def offer(self, call: Call) -> a.OfferAnswer:
        """Give out a code of words for an object that is here."""
        ask = call.ask(a.OfferAsk)
        info = await self._here(call.parameters["oid"], whole=True)
        name = _name(ask.name, info)
        self._make_room()
        cap = self._objects.share(info.oid)
        size = await size_of(self._objects, info)
        offered = Offered(parse_object_id(info.oid), cap, name, size, info.collection)
        offer = await self._pairs.offer(offered.pack(), count=ask.words)
        self._last += 1
        one = self._offers[self._last] = Offering(self._last, offered, offer, self._giving(offered))
        one.task = self._node.spawn(one.run())
        return a.OfferAnswer(code=offer.code.text, command="whispurr receive", offer=one.row())

    async def offers(self, _: Call) -> list[a.OfferRow]:
        """What is offered by codes; the codes are not told again."""
        return [one.row() for one in self._offers.values()]

    async def take_back(self, call: Call) -> a.OfferRow:
        """Offer it no longer. Whoever used the code may have it until it is unshared."""
        one = self._offers.pop(call.parameters["number"], None)
        if one is None:
            raise refuse(
                404, "No such offer", "It was not made here.", "See GET offers.", "not_found"
            )
        self._end(one)
        return one.row()

    def _giving(self, offered: Offered) -> Giving:
        """The same object is given once, however many codes there are for it."""
        for one in self._offers.values():
            if one.offered.root == offered.root:
                return one.giving
        if self._handover is None:
            self._handover = Handover(self._node)
        return self._handover.give(offered)

    def _end(self, one: Offering) -> None:
        one.close()
        if not any(other.giving is one.giving for other in self._offers.values()):
            one.giving.close()

    def _make_room(self) -> None:
        over: Iterator[Offering] = (one for one in self._offers.values() if one.over)
        if len(self._offers) >= OFFERS_MAX:
            oldest = next(over, None)
            if oldest is None:
                raise LimitError(f"{OFFERS_MAX} offers are open; take one back first")
            self._end(self._offers.pop(oldest.number))

    # Receiving

    async def receive(self, call: Call) -> a.ReceivingRow:
        """Take what somebody offers by a code; answers when it is known what that is."""
        ask = call.ask(a.ReceiveAsk)
        code = words.parse(ask.code)
        under_way = sum(one.state == "running" for _, one in self._receiving.items())
        if self._joining >= JOINING_MAX or under_way >= RECEIVING_MAX:
            raise LimitError("too much is being received; wait for some of it")
        self._joining += 1
        try:
            met = await self._pairs.join(code, timeout_s=ask.timeout_s)
        finally:
            self._joining -= 1
        offered = _offered(met.payload)
        if self._handover is None:
            self._handover = Handover(self._node)
        known = self._receiving.get(offered.root.hex())
        if known is not None and known.state == "running":
            known.stop()
        one = Receiving(self._objects, self._handover, offered, met.peer)
        self._receiving.put(offered.root.hex(), one)
        one.task = self._node.spawn(one.run())
        await asyncio.sleep(0)
        return one.row()

    async def receivings(self, _: Call) -> list[a.ReceivingRow]:
        """What comes, or came, by codes."""
        return [one.row() for _, one in self._receiving.items()]

    async def receiving(self, call: Call) -> a.ReceivingRow:
        """How far one of them is."""
        return self._received(call).row()

    async def stop_receiving(self, call: Call) -> a.ReceivingRow:
        """Receive it no longer; what has come stays for a while."""
        one = self._received(call)
        one.stop()
        return one.row()

    def _received(self, call: Call) -> Receiving:
        one = self._receiving.get(call.parameters["oid"])
        if one is None:
            raise refuse(
                404,
                "It is not being received",
                "No code stood for it, or long ago.",
                "See GET receiving.",
                "not_found",
            )
        return one

    @property
    def _pairs(self) -> Pairing:
        if self._pairing is None:
            self._pairing = Pairing(self._node)
        return self._pairing

    def pair_routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        get, post, delete = maker("GET"), maker("POST"), maker("DELETE")
        one: dict[str, Any] = {"oid": Oid}
        row = a.ReceivingRow
        return (
            post("/objects/{oid}/offer", self.offer, a.OfferAnswer, a.OfferAsk, **one),
            get("/offers", self.offers, list[a.OfferRow]),
            delete("/offers/{number}", self.take_back, a.OfferRow, number=Number),
            post("/receive", self.receive, row, a.ReceiveAsk),
            get("/receiving", self.receivings, list[row]),  # type: ignore[valid-type]
            get("/receiving/{oid}", self.receiving, row, **one),
            delete("/receiving/{oid}", self.stop_receiving, row, **one),
        )


def _name(asked: str, info: ObjectInfo) -> str:
    if not asked:
        return info.oid[:16] if info.collection else f"{info.oid[:16]}.bin"
    try:
        return names.check(names.normal(asked))
    except UsageError as error:
        raise refuse(
            400, "The request was wrong", str(error), "Give the name of a file, and no path."
        ) from None


def _offered(payload: bytes) -> Offered:
    try:
        offered = Offered.unpack(payload)
    except WhispurrError as error:
        raise refuse(
            502, "The offer is malformed", str(error), "Compare versions.", "not_authentic"
        ) from None
    if key_of(offered) is not None:
        raise refuse(
            400,
            "The code is one of a shared folder",
            "It stands for no object.",
            "Use it with `whispurr sync FOLDER --join`; ask for a new one, this one is used.",
        )
    return offered
