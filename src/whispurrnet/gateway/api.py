"""What the REST API does: one short handler a route, and the table of routes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import NetworkError, UsageError
from whispurrnet.gateway import answers as a
from whispurrnet.gateway.bodies import body_of
from whispurrnet.gateway.checkup import check_up
from whispurrnet.gateway.chum_api import ChumApi
from whispurrnet.gateway.mesh_api import MeshApi
from whispurrnet.gateway.metrics import storage
from whispurrnet.gateway.nat_api import NatApi
from whispurrnet.gateway.pair_api import PairApi
from whispurrnet.gateway.refusal import refuse
from whispurrnet.gateway.report import ReportAnswer, report
from whispurrnet.gateway.route import PREFIX, Call, Route, maker
from whispurrnet.gateway.sync_api import SyncApi
from whispurrnet.node import status as snapshots
from whispurrnet.node.settings import Settings, env_name

if TYPE_CHECKING:
    from whispurrnet.extensions.filesync.keeper import Keeper
    from whispurrnet.gateway.live import Live
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer, Receipt

__all__ = ["PREFIX", "Api"]

RECEIPTS_MAX = 4096
Number = Annotated[int, Meta(ge=0, le=2**53)]
Wait = Annotated[float, Meta(ge=0, le=60)]


class Api(MeshApi, ChumApi, PairApi, SyncApi, NatApi):
    """The handlers, on one node."""

    def __init__(
        self,
        node: Node,
        settings: Settings,
        live: Live,
        origins: Mapping[str, str],
        keepers: Sequence[Keeper] = (),
    ) -> None:
        """Serve a node; `origins` says where each setting came from."""
        super().__init__()
        self._keepers = keepers
        self._node = node
        self._settings = settings
        self._live = live
        self._origins = origins
        self._receipts: LruDict[int, tuple[Receipt, str]] = LruDict(RECEIPTS_MAX)

    async def status(self, _: Call) -> snapshots.Status:
        """The state of the node, verdict first."""
        return self._node.status()

    async def debug(self, _: Call) -> dict[str, Any]:
        """What a developer asks for; no keys, no payloads."""
        return self._node.debug()

    async def stats(self, _: Call) -> dict[str, Any]:
        """Counters and averages."""
        return self._node.stats()

    async def peers(self, _: Call) -> list[snapshots.PeerStatus]:
        """Every peer that is known."""
        return self._node.status().peers

    async def peer(self, call: Call) -> snapshots.PeerStatus:
        """One peer, by name, id or the beginning of its id."""
        return snapshots.peer_status(self._node, self._node.peer(call.parameters["ref"]))

    async def whisper(self, call: Call) -> a.WhisperAnswer:
        """Whisper to a peer; it is kept until the peer has it or its time is over."""
        ask = call.ask(a.WhisperAsk)
        peer = self._node.peer(ask.peer)
        receipt = self._node.whisper(
            peer,
            body_of(ask.text, ask.body_base64),
            kind=ask.kind,
            priority=ask.priority,
            ttl_s=ask.ttl_s,
        )
        if ask.wait_s:
            with contextlib.suppress(TimeoutError, NetworkError):  # the state says it
                async with asyncio.timeout(ask.wait_s):
                    await receipt.received()
        self._receipts.put(receipt.id, (receipt, peer.name))
        return a.WhisperAnswer(id=receipt.id, peer=peer.name, state=receipt.state)

    async def receipt(self, call: Call) -> a.WhisperAnswer:
        """Where a whisper is."""
        number = call.parameters["id"]
        known = self._receipts.get(number)
        if known is None:
            raise refuse(
                404,
                "No such whisper",
                f"The last {RECEIPTS_MAX} are remembered.",
                "Use the id that POST whisper answered.",
                "not_found",
            )
        receipt, peer = known
        return a.WhisperAnswer(id=number, peer=peer, state=receipt.state)

    async def messages(self, call: Call) -> a.MessagesAnswer:
        """What arrived after a number; with wait_s, waits for the next."""
        after, wait_s = call.parameters.get("after", 0), call.parameters.get("wait_s", 0.0)
        return await self._live.after(after, wait_s)

    async def read(self, call: Call) -> a.ReadAnswer:
        """Tell the sender that a message was read."""
        number = call.parameters["number"]
        if not self._live.read(number):
            raise refuse(
                404, "No such message", "It is not here any more.", "See messages.", "not_found"
            )
        return a.ReadAnswer(number=number)

    async def connect(self, call: Call) -> snapshots.PeerStatus:
        """Connect to a node by its ticket or address."""
        ask = call.ask(a.ConnectAsk)
        peer = await self._node.connect(ask.ticket, timeout_s=ask.timeout_s)
        return snapshots.peer_status(self._node, peer)

    async def ticket(self, _: Call) -> a.TicketAnswer:
        """The ticket of this node."""
        ticket = self._node.ticket
        return _ticket(ticket.text, ticket.uri, single_use=False)

    async def invite(self, _: Call) -> a.TicketAnswer:
        """A ticket that lets one stranger in, once."""
        ticket = self._node.invite()
        return _ticket(ticket.text, ticket.uri, single_use=True)

    async def identity(self, _: Call) -> a.IdentityAnswer:
        """Who the node is at the moment."""
        identity = self._node.identity
        return a.IdentityAnswer(id=identity.id, name=identity.name, expires_s=identity.expires_s)

    async def rotate(self, call: Call) -> a.IdentityAnswer:
        """Take a new ephemeral identity; sessions go on."""
        self._node.rotate()
        return await self.identity(call)

    async def ping(self, call: Call) -> a.PingAnswer:
        """Measure the round trip to a peer."""
        ask = call.ask(a.PingAsk)
        peer = self._node.peer(ask.peer)
        seconds = await peer.ping(timeout_s=ask.timeout_s)
        return a.PingAnswer(peer=peer.name, path=peer.path, rtt_ms=seconds * 1000)

    async def trust(self, _: Call) -> list[a.TrustRow]:
        """Whom this node knows, and the safety numbers to compare."""
        return [_trust_row(peer) for peer in self._node.known_peers]

    async def verify(self, call: Call) -> a.TrustRow:
        """The safety numbers were compared and agree."""
        peer = self._node.peer(call.ask(a.PeerAsk).peer)
        self._node.verify(peer)
        return _trust_row(peer)

    async def revoke(self, call: Call) -> a.TrustRow:
        """Never talk to this long-term identity again."""
        peer = self._node.peer(call.ask(a.PeerAsk).peer)
        await self._node.revoke(peer)
        return _trust_row(peer)

    async def config(self, _: Call) -> list[a.SettingRow]:
        """Every setting, and where its value came from; of secrets, only whether they are set."""
        shown = _flat(self._settings.to_json())
        return [
            a.SettingRow(
                path=path,
                value=shown[path],
                origin=self._origins.get(path, "default"),
                env=env_name(path),
            )
            for path, _ in self._settings.items()
        ]

    async def doctor(self, _: Call) -> a.DoctorAnswer:
        """What the node finds when it looks at itself; safe to paste."""
        return check_up(self._node, self._settings)

    async def report(self, _: Call) -> ReportAnswer:
        """For strangers who help: numbers and words of this program only, so safe to paste."""
        return report(self._node, self._settings, await storage(self._node))

    def routes(self) -> tuple[Route, ...]:
        """The table."""
        get, post = maker("GET"), maker("POST")
        return (
            *self.mesh_routes(),
            *self.object_routes(),
            *self.set_routes(),
            *self.pair_routes(),
            *self.sync_routes(),
            *self.chum_routes(),
            *self.nat_routes(),
            get("/status", self.status, snapshots.Status),
            get("/debug", self.debug, dict[str, Any]),
            get("/stats", self.stats, dict[str, Any]),
            get("/peers", self.peers, list[snapshots.PeerStatus]),
            get("/peers/{ref}", self.peer, snapshots.PeerStatus, ref=str),
            post("/whisper", self.whisper, a.WhisperAnswer, a.WhisperAsk),
            get("/whisper/{id}", self.receipt, a.WhisperAnswer, id=Number),
            get("/messages", self.messages, a.MessagesAnswer, after=Number, wait_s=Wait),
            post("/messages/{number}/read", self.read, a.ReadAnswer, number=Number),
            post("/connect", self.connect, snapshots.PeerStatus, a.ConnectAsk),
            post("/join", self.connect, snapshots.PeerStatus, a.ConnectAsk),
            get("/ticket", self.ticket, a.TicketAnswer),
            post("/invite", self.invite, a.TicketAnswer),
            get("/identity", self.identity, a.IdentityAnswer),
            post("/rotate", self.rotate, a.IdentityAnswer),
            post("/ping", self.ping, a.PingAnswer, a.PingAsk),
            get("/trust", self.trust, list[a.TrustRow]),
            post("/trust/verify", self.verify, a.TrustRow, a.PeerAsk),
            post("/trust/revoke", self.revoke, a.TrustRow, a.PeerAsk),
            get("/config", self.config, list[a.SettingRow]),
            get("/doctor", self.doctor, a.DoctorAnswer),
            get("/report", self.report, ReportAnswer),
        )


def _trust_row(peer: Peer) -> a.TrustRow:
    try:
        number = peer.safety_number()
    except UsageError:
        number = ""
    return a.TrustRow(
        name=peer.name, id=peer.id, persona=peer.persona, trust=peer.trust, safety_number=number
    )


def _ticket(text: str, uri: str, *, single_use: bool) -> a.TicketAnswer:
    command = "whispurr join" if single_use else f"whispurr join {text}"
    return a.TicketAnswer(ticket=text, uri=uri, single_use=single_use, command=command)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
