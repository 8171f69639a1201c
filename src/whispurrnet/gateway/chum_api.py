"""What the REST API does with one node among machines: who it is, how it sleeps, who is around."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from whispurrnet.gateway import answers as a
from whispurrnet.gateway.route import Call, Route, maker
from whispurrnet.identity.instance import NodeIdentity
from whispurrnet.node.topology import Topology

if TYPE_CHECKING:
    from whispurrnet.node.node import Node

Patience = Annotated[float, Meta(gt=0, le=60)]


class ChumApi:
    """The handlers for that; `Api` has the others, and the node."""

    _node: Node

    async def instance(self, _: Call) -> NodeIdentity:
        """Which instance on which machine this is, what it can do, how full it is."""
        return await self._node.chum.identity()

    async def topology(self, call: Call) -> Topology:
        """Who is connected to whom on this network, among those who agreed to be named."""
        return await self._node.chum.topology(timeout_s=call.parameters.get("timeout_s", 3.0))

    async def sleep(self, call: Call) -> a.SleepAnswer:
        """Speak seldom from now on; peers are told."""
        ask = call.ask(a.SleepAsk)
        self._node.sleep(ask.for_s, ask.note)
        return await self.sleeping(call)

    async def wake(self, call: Call) -> a.SleepAnswer:
        """Be awake again."""
        self._node.wake()
        return await self.sleeping(call)

    async def sleeping(self, _: Call) -> a.SleepAnswer:
        """Whether the node sleeps."""
        return a.SleepAnswer(asleep=self._node.asleep)

    def chum_routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        get, post, delete = maker("GET"), maker("POST"), maker("DELETE")
        return (
            get("/instance", self.instance, NodeIdentity),
            get("/topology", self.topology, Topology, timeout_s=Patience),
            get("/sleep", self.sleeping, a.SleepAnswer),
            post("/sleep", self.sleep, a.SleepAnswer, a.SleepAsk),
            delete("/sleep", self.wake, a.SleepAnswer),
        )
