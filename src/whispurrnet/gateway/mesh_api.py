"""What the REST API does with the mesh: spreading, neighbours, who is near, and why."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import NetworkError
from whispurrnet.gateway import answers as a
from whispurrnet.gateway.bodies import body_of, key_id, topic_key
from whispurrnet.gateway.route import Call, Route, maker
from whispurrnet.node import discovering
from whispurrnet.node.membership import Membership
from whispurrnet.node.why import Why, why

if TYPE_CHECKING:
    from whispurrnet.gateway.live import Live
    from whispurrnet.node.node import Node
    from whispurrnet.node.settings import Settings
    from whispurrnet.node.spreading import Sent
    from whispurrnet.wire.ticket import Ticket

Method = Literal["multicast", "mdns", "broadcast", "exchange", "all"]
Count = Annotated[int, Meta(ge=1, le=1000)]
Patience = Annotated[float, Meta(ge=0, le=60)]


class MeshApi:
    """The handlers that speak to the mesh; `Api` has the others, and the node."""

    _node: Node
    _settings: Settings
    _live: Live

    async def resonance(self, call: Call) -> a.SpreadAnswer:
        """Send a payload to whoever listens to an intent, anywhere in the mesh."""
        ask = call.ask(a.ResonanceAsk)
        return await self._spread(
            self._node.resonate(
                ask.intent,
                msgspec.json.encode(ask.payload),
                strength=ask.strength,
                priority=ask.priority,
                key=topic_key(ask.topic_key),
                signed=ask.signed,
                one_of=ask.one_of,
                ttl_s=ask.ttl_s,
            )
        )

    async def broadcast(self, call: Call) -> a.SpreadAnswer:
        """Send a message to everyone in the mesh."""
        return await self._to_everyone(call, self._node.broadcast)

    async def emergency(self, call: Call) -> a.SpreadAnswer:
        """Alert everyone in the mesh: it overtakes all else, and neighbours can tell its origin."""
        return await self._to_everyone(call, self._node.emergency)

    async def _to_everyone(
        self, call: Call, send: Callable[..., Awaitable[Sent]]
    ) -> a.SpreadAnswer:
        ask = call.ask(a.BroadcastAsk)
        body = body_of(ask.text, ask.body_base64)
        return await self._spread(send(body, signed=ask.signed, ttl_s=ask.ttl_s))

    async def _spread(self, sending: Awaitable[Sent]) -> a.SpreadAnswer:
        wait_s = self._settings.resonance_timeout
        try:
            async with asyncio.timeout(wait_s):
                sent = await sending
        except TimeoutError:
            raise NetworkError(
                f"the stamp was not found in {wait_s:g} s; raise resonance_timeout"
            ) from None
        state: Literal["sent", "queued"] = "sent" if sent.neighbours else "queued"
        return a.SpreadAnswer(id=sent.id, neighbours=sent.neighbours, state=state)

    async def listen(self, call: Call) -> a.ListenAnswer:
        """Listen to an intent; what arrives is in messages and events."""
        ask = call.ask(a.ListenAsk)
        self._live.listen(ask.intent, topic_key(ask.topic_key), ask.threshold)
        return self._listening(ask.topic_key)

    async def unlisten(self, call: Call) -> a.ListenAnswer:
        """Listen to an intent no longer."""
        ask = call.ask(a.ListenAsk)
        await self._live.unlisten(ask.intent, topic_key(ask.topic_key))
        return self._listening(ask.topic_key)

    def _listening(self, key: str) -> a.ListenAnswer:
        live = self._live
        return a.ListenAnswer(
            listening=live.intents, private=live.private_intents, key_id=key_id(topic_key(key))
        )

    async def neighbours(self, _: Call) -> list[a.NeighbourRow]:
        """The peers with whom this node gossips, those it called first."""
        return [
            a.NeighbourRow(
                id=one.peer.id,
                name=one.peer.name,
                path=one.peer.path,
                outbound=one.outbound,
                friend=one.friend,
                score=one.score,
                since_s=round(one.since_s, 1),
            )
            for one in self._node.neighbours()
        ]

    async def why(self, call: Call) -> Why:
        """Why a peer is connected or not, whose fault it is, and what to do."""
        return why(self._node, call.parameters["ref"])

    async def why_any(self, call: Call) -> Why:
        """The same, also for an address or a ticket, which does not fit into a path."""
        return why(self._node, call.parameters["peer"])

    async def discover(self, call: Call) -> tuple[discovering.Found, ...]:
        """Who is near: heard of by the local network within a time, or told of by peers."""
        given = call.parameters
        return await discovering.discover(
            self._node,
            given.get("method", "all"),
            count=given.get("count", 20),
            timeout_s=given.get("timeout_s", 6.0),
        )

    async def names(self, _: Call) -> a.NamesAnswer:
        """The names under which this node is to be found."""
        return a.NamesAnswer(names=self._node.names, places=self._node.meeting_places)

    async def register(self, call: Call) -> a.NamesAnswer:
        """Be found under a name, by those of the realm who know it."""
        self._node.register(call.ask(a.NameAsk).name)
        return await self.names(call)

    async def withdraw(self, call: Call) -> a.NamesAnswer:
        """Be found under a name no longer."""
        self._node.withdraw(call.ask(a.NameAsk).name)
        return await self.names(call)

    async def find(self, call: Call) -> a.FoundAnswer:
        """Who is registered under a name; the peers who are asked do not learn it."""
        ask = call.ask(a.FindAsk)
        places = self._node.meeting_places
        found: dict[bytes, a.FoundRow] = {}
        feed = self._node.find(ask.name)
        with contextlib.closing(feed), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ask.timeout_s):
                async for ticket in feed:
                    found[ticket.static_key] = _found_row(ticket)
                    if len(found) == ask.count:
                        break
        return a.FoundAnswer(found=tuple(found.values()), places=places)

    async def membership(self, _: Call) -> Membership:
        """What this node is in its realm, and how many of its peers are members."""
        return self._node.membership

    async def presence(self, _: Call) -> a.PresenceAnswer:
        """What this node tells its peers of how it is doing."""
        state, note = self._node.presence
        return a.PresenceAnswer(state=state, note=note)

    async def tell_presence(self, call: Call) -> a.PresenceAnswer:
        """Tell the peers how this node is doing."""
        ask = call.ask(a.PresenceAsk)
        self._node.set_presence(ask.state, ask.note)
        return await self.presence(call)

    def mesh_routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        get, post, delete = maker("GET"), maker("POST"), maker("DELETE")
        found: Any = tuple[discovering.Found, ...]
        return (
            post("/resonance", self.resonance, a.SpreadAnswer, a.ResonanceAsk),
            post("/broadcast", self.broadcast, a.SpreadAnswer, a.BroadcastAsk),
            post("/emergency", self.emergency, a.SpreadAnswer, a.BroadcastAsk),
            post("/listen", self.listen, a.ListenAnswer, a.ListenAsk),
            delete("/listen", self.unlisten, a.ListenAnswer, a.ListenAsk),
            get("/neighbours", self.neighbours, list[a.NeighbourRow]),
            get("/peers/{ref}/why", self.why, Why, ref=str),
            get("/why", self.why_any, Why, required=("peer",), peer=str),
            get(
                "/discover",
                self.discover,
                found,
                method=Method,
                count=Count,
                timeout_s=Patience,
            ),
            get("/names", self.names, a.NamesAnswer),
            post("/names", self.register, a.NamesAnswer, a.NameAsk),
            delete("/names", self.withdraw, a.NamesAnswer, a.NameAsk),
            post("/names/find", self.find, a.FoundAnswer, a.FindAsk),
            get("/membership", self.membership, Membership),
            get("/presence", self.presence, a.PresenceAnswer),
            post("/presence", self.tell_presence, a.PresenceAnswer, a.PresenceAsk),
        )


def _found_row(ticket: Ticket) -> a.FoundRow:
    return a.FoundRow(
        ticket=ticket.text,
        key=ticket.static_key.hex(),
        addresses=ticket.addresses,
        expires_s=ticket.expires_s,
    )
