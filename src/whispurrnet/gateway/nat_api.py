"""What the REST API says of NATs: what stands in front of this node, and how peers are reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from whispurrnet.gateway.route import Call, Route, maker
from whispurrnet.nat.behaviour import MEANINGS, NatReport, reachable
from whispurrnet.node.reaching import Method, Reached

if TYPE_CHECKING:
    from whispurrnet.node.node import Node

Wait = Annotated[float, Meta(gt=0, le=60)]
Server = Annotated[str, Meta(max_length=300)]


class NatAnswer(msgspec.Struct, frozen=True):
    """What is known of the NAT in front of this node."""

    report: NatReport | None
    """None: nobody was asked yet."""
    meaning: str
    """What that means, in one sentence."""
    reachable: str
    """Which peers can be reached directly, in one sentence."""
    servers: tuple[str, ...]
    """The STUN servers of the settings, and the relays, which answer too."""
    answers_at: tuple[str, ...]
    """Where this node answers such questions of others."""
    attempts: int
    """How often this node tried for a direct path to a peer it had met through a relay."""
    successes: int
    """How often it found one."""


class ProbeAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask STUN servers."""

    servers: Annotated[tuple[Server, ...], Meta(max_length=8)] = ()
    """Such as `stun:relay.example.org:3478`; none: those of the settings."""


class ReachAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Try for a path to a peer."""

    peer: str
    method: Method = "auto"
    timeout_s: Wait = 20.0


class NatApi:
    """The handlers for that; `Api` has the others, and the node."""

    _node: Node

    async def nat(self, _: Call) -> NatAnswer:
        """What is known of the NAT in front of this node."""
        nat = self._node.nat
        report = nat.report()
        kind = report.kind if report is not None else None
        return NatAnswer(
            report=report,
            meaning=MEANINGS[kind] if kind else "Nobody was asked yet.",
            reachable=reachable(kind) if kind else "",
            servers=nat.servers,
            answers_at=nat.answers_at,
            attempts=nat.attempts,
            successes=nat.successes,
        )

    async def nat_probe(self, call: Call) -> NatAnswer:
        """Ask STUN servers now: where this node is seen, and what its NAT does."""
        await self._node.nat.probe(call.ask(ProbeAsk).servers)
        return await self.nat(call)

    async def nat_reach(self, call: Call) -> Reached:
        """Try for a path to a peer: what was tried, in what order, with what result and why."""
        ask = call.ask(ReachAsk)
        peer = self._node.peer(ask.peer)
        return await self._node.nat.reach(peer, ask.method, timeout_s=ask.timeout_s)

    def nat_routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        get, post = maker("GET"), maker("POST")
        return (
            get("/nat", self.nat, NatAnswer),
            post("/nat/probe", self.nat_probe, NatAnswer, ProbeAsk),
            post("/nat/reach", self.nat_reach, Reached, ReachAsk),
        )
