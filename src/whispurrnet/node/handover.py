"""Handing an object over: the two ends of it, which find each other again after anything.

Who gives is found under a name that follows from the capability of the object, so whoever got it,
by a code of words or in a ticket, finds it again: with another identity, at another address, after
a crash. Who takes tells how far it is, and that all is in its place: only then has it arrived.

    giving = Handover(node).give(offered)              async for got in giving.news(): ...
    await Handover(node).take(offered, [peer])         on the other side
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import NetworkError, ProtocolError, WhispurrError
from whispurrnet.node.feed import Feed
from whispurrnet.node.seeking import Seeker
from whispurrnet.wire.object_ticket import Offered

if TYPE_CHECKING:
    from whispurrnet.node.fetching import Fetching
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer, Request

REQUEST: Final = "whispurr.got"
TAKERS_MAX: Final = 256
"""Of how many it is remembered how far they are."""

SEEK_S: Final = 1.0
"""How often to look for who has it, while nobody who has it is connected, or nothing comes."""

TELL_S: Final = 0.5
"""How often who gives is told how far we are."""

ARRIVED_S: Final = 10.0
"""How long to try to tell it that all has arrived."""


class _Told(msgspec.Struct, frozen=True, array_like=True):
    """How far we are; the body of a request."""

    tag: Annotated[bytes, Meta(min_length=16, max_length=16)]
    verified: Annotated[int, Meta(ge=0, lt=2**62)]
    total: Annotated[int, Meta(ge=0, lt=2**62)]
    arrived: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Told).decode


class Got(msgspec.Struct, frozen=True, eq=False):
    """How far one is who takes, as it says."""

    peer: Peer
    verified: int
    """Bytes that it has and has checked."""
    total: int
    arrived: bool
    """Whether all is in its place there."""


class State(msgspec.Struct, frozen=True):
    """How far we are with what we take."""

    verified: int
    total: int
    rate_bps: float
    eta_s: float | None
    sources: int
    """How many give it at the moment."""
    waits: str
    """What we wait for, in words; empty while something comes."""


class Giving:
    """One object on offer; made by `Handover.give`."""

    def __init__(self, owner: Handover, offered: Offered) -> None:
        self.offered = offered
        self._owner = owner
        self._takers: LruDict[int, Got] = LruDict(TAKERS_MAX)
        self._feeds: list[Feed[Got]] = []

    def news(self) -> Feed[Got]:
        """How far those are who take it, from now on; close it when you stop."""
        feed: Feed[Got] = Feed(TAKERS_MAX, lossy=True, on_close=self._feeds.remove)
        self._feeds.append(feed)
        return feed

    @property
    def takers(self) -> list[Got]:
        """What each said last."""
        return [got for handle in self._takers if (got := self._takers.peek(handle))]

    def told(self, got: Got) -> None:
        """One of them says how far it is."""
        self._takers.put(got.peer.handle, got)
        for feed in self._feeds:
            feed.put((got,))

    def close(self) -> None:
        """Be found no longer; what is shared stays shared."""
        self._owner.forget(self)
        for feed in list(self._feeds):
            feed.close()


class Handover:
    """What one node hands over.

    Args:
        node: It runs; requests called `whispurr.got` are answered from now on.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._giving: dict[bytes, Giving] = {}
        node.on_request(REQUEST, self._asked)

    def give(self, offered: Offered) -> Giving:
        """Be found by those who hold what opens an object; it is shared already.

        Raises:
            LimitError: Too many names are registered.
        """
        self.node.register(offered.meeting)
        giving = self._giving[offered.tag] = Giving(self, offered)
        return giving

    def forget(self, giving: Giving) -> None:
        """See `Giving.close`."""
        if self._giving.get(giving.offered.tag) is giving:
            del self._giving[giving.offered.tag]
            self.node.withdraw(giving.offered.meeting)

    def _asked(self, request: Request) -> bytes:
        try:
            said = _decode(request.body)
        except msgspec.MsgspecError as error:
            raise ProtocolError("what was said about an object is malformed") from error
        giving = self._giving.get(said.tag)
        if giving is not None:
            giving.told(Got(request.sender, said.verified, said.total, said.arrived))
        return b"1" if giving is not None else b"0"

    async def take(
        self,
        offered: Offered,
        sources: Sequence[Peer] = (),
        *,
        told: Callable[[State], None] | None = None,
    ) -> Taking:
        """Fetch an object, from these and from whoever is found; goes on where it was left.

        Cancelling is safe: what came stays. It waits for ever while nobody has it.

        Args:
            offered: What opens it.
            sources: Who has it, as far as that is known.
            told: Called when there is news.

        Returns:
            When all of it is here; tell the others by `Taking.arrived` once it is in its place.

        Raises:
            HostError: The disk is full or broken.
            ProtocolError: What was sent was not it, whoever was asked.
        """
        taking = Taking(self.node, offered, sources, told or (lambda _: None))
        await taking.run()
        return taking


class Taking:
    """One object that is taken; made by `Handover.take`."""

    def __init__(
        self,
        node: Node,
        offered: Offered,
        sources: Sequence[Peer],
        told: Callable[[State], None],
    ) -> None:
        self._node = node
        self._offered = offered
        self._givers: dict[int, Peer] = {peer.handle: peer for peer in sources}
        self._tell = told
        self._seeker = Seeker(node, offered.meeting)
        self._state = State(0, offered.size, 0.0, None, 0, "")

    async def run(self) -> None:
        """See `Handover.take`."""
        while True:
            fetching = self._node.objects.fetch(
                self._offered.root.hex(),
                sources=[peer for peer in self._givers.values() if peer.connected],
                cap=self._offered.cap,
                collection=self._offered.collection,
            )
            try:
                async with asyncio.TaskGroup() as tasks:
                    beside = [
                        tasks.create_task(work)
                        for work in (self._seek(fetching), self._watch(fetching), self._report())
                    ]
                    try:
                        await fetching
                    finally:
                        fetching.stop()  # for who cancels us; what came stays
                        for task in beside:
                            task.cancel()
            except* NetworkError as failed:
                self._waits(str(failed.exceptions[0]))
                await asyncio.sleep(SEEK_S)
            except* WhispurrError as failed:
                raise failed.exceptions[0] from None
            else:
                return

    async def arrived(self) -> bool:
        """Tell those who give that all is in its place; whether one of them heard it."""
        said = _Told(self._offered.tag, self._state.total, self._state.total, arrived=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ARRIVED_S):
                while True:
                    for peer in list(self._givers.values()):
                        if peer.connected and await self._told(peer, said):
                            return True
                    await self._look(None)
                    await asyncio.sleep(TELL_S)
        return False

    def _waits(self, why: str) -> None:
        self._state = msgspec.structs.replace(
            self._state, rate_bps=0.0, eta_s=None, sources=0, waits=why
        )
        self._tell(self._state)

    async def _watch(self, fetching: Fetching) -> None:
        async for now in fetching.progress():
            self._state = State(
                now.verified,
                max(now.total, self._offered.size),
                now.rate_bps,
                now.eta_s,
                len(now.sources),
                now.waiting,
            )
            self._tell(self._state)

    async def _seek(self, fetching: Fetching) -> None:
        """Look for who has it, while nobody who has it is connected, or nothing comes."""
        while True:
            if not any(peer.connected for peer in self._givers.values()):
                self._waits("who has it is not connected; looking for it")
            elif self._state.sources:
                await asyncio.sleep(SEEK_S)
                continue
            await self._look(fetching)

    async def _look(self, fetching: Fetching | None) -> None:
        found = await self._seeker.next(SEEK_S)
        if found is not None:
            _, peer = found
            self._givers[peer.handle] = peer
            if fetching is not None:
                fetching.add(peer)
            await asyncio.sleep(TELL_S)

    async def _report(self) -> None:
        """Tell those who give how far we are."""
        last = -1
        while True:
            state = self._state
            if state.verified != last:
                last = state.verified
                said = _Told(self._offered.tag, state.verified, state.total, arrived=False)
                for peer in list(self._givers.values()):
                    if peer.connected:
                        await self._told(peer, said)
            await asyncio.sleep(TELL_S)

    async def _told(self, peer: Peer, said: _Told) -> bool:
        """Whether a peer gives this object, and has heard how far we are."""
        try:
            return await self._node.request(peer, REQUEST, _encode(said), timeout_s=5.0) == b"1"
        except WhispurrError:
            return False
