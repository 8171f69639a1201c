"""A node made of tables: what the gateway asks of one, and nothing behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest

from whispurrnet.base.errors import NetworkError, UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.disk.shelf_entry import Metrics
from whispurrnet.gateway.app import create_app
from whispurrnet.gateway.live import Live
from whispurrnet.gateway.report import ReportAnswer
from whispurrnet.gossip.resonance import normalise
from whispurrnet.identity.instance import NodeIdentity, StorageMetrics
from whispurrnet.nat.behaviour import Asked, NatReport
from whispurrnet.node import status as snapshots
from whispurrnet.node.discovering import Found
from whispurrnet.node.feed import Feed
from whispurrnet.node.identity import Identity
from whispurrnet.node.membership import Membership
from whispurrnet.node.peer import Message, Receipt
from whispurrnet.node.reaching import Reached, Tried
from whispurrnet.node.settings import Settings
from whispurrnet.node.spreading import Neighbour, Sent
from whispurrnet.node.topology import MapLink, MapNode, Topology
from whispurrnet.node.why import Why
from whispurrnet.wire.ticket import Ticket

LOCAL = ("127.0.0.1", 50_000)
AWAY = ("192.0.2.9", 50_000)


class FakePeer:
    id = "ab" * 32
    name = "calm-finch-12"
    persona: str | None = None
    connected = True
    path = "direct tcp"
    suite = "Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256"
    level = 3
    rtt_ms: float | None = 1.5
    trust = "seen"
    queued = 0
    bytes_sent = 10
    bytes_received = 20
    presence = ("away", "out for milk")

    def __init__(self) -> None:
        self.marked: list[Message] = []
        self.answers = True

    def mark_read(self, message: Message) -> None:
        self.marked.append(message)

    def safety_number(self) -> str:
        if self.persona is None:
            raise UsageError("calm-finch-12 has no long-term identity; set it")
        return "12345 " * 12

    async def ping(self, *, timeout_s: float) -> float:
        if not self.answers:
            raise NetworkError(f"{self.name} did not answer within {timeout_s:g} s")
        return 0.002


class FakeTopic:
    def __init__(self, intent: str, feed: Feed[Any]) -> None:
        self.intent = intent
        self._feed = feed

    def close(self) -> None:
        self._feed.close()

    async def __aenter__(self) -> FakeTopic:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> FakeTopic:
        return self

    async def __anext__(self) -> Any:
        return await self._feed.__anext__()


class FakeObjects:
    """A store in which nothing is."""

    opened = True
    fetched_bytes = 0
    notes: tuple[str, ...] = ()
    sets = SimpleNamespace(list=tuple)

    async def list(self, **_: Any) -> list[Any]:
        return []

    async def metrics(self) -> Metrics:
        return Metrics(objects=3, bytes=70, parts=1, quota=None, free_bytes=9, pinned=2)

    def transfers(self) -> tuple[()]:
        return ()


class FakeChum:
    """What a node says of itself and its network."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    async def identity(self) -> NodeIdentity:
        storage = StorageMetrics(
            objects=2, bytes=5, parts=0, quota_bytes=None, free_bytes=9, healthy=True
        )
        return NodeIdentity(
            instance_id="aa" * 32,
            node_type="chum",
            capabilities=("objects",),
            capability_bits=32,
            storage=storage,
            uptime_s=1.5,
            status="Listening",
            status_code=2,
            lasting=True,
            hardware="machine id",
        )

    async def topology(self, *, timeout_s: float) -> Topology:
        self.waited.append(timeout_s)
        if timeout_s == 1:
            raise UsageError("this node takes no part in maps; set lan.topology = true")
        me, you = "aa" * 32, "bb" * 32
        nodes = (MapNode(me, "me", True, 0), MapNode(you, "you", False, 0))
        return Topology(nodes, (MapLink(me, you, True),), 0.1, 0)


class FakeNat:
    servers = ("stun:192.0.2.1:3478",)
    answers_at = ("192.0.2.7:3478",)
    attempts, successes = 3, 2

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def report(self) -> NatReport | None:
        asked = (Asked(server="stun:192.0.2.1:3478", seen_as="198.51.100.2:4711", rtt_ms=12.5),)
        seen = ("198.51.100.2:4711",)
        return NatReport(kind="symmetric", seen_as=seen, asked=asked) if self.asked else None

    async def probe(self, servers: tuple[str, ...] = ()) -> None:
        if any("/" in server for server in servers):
            raise UsageError("that is not a STUN server; write it like stun:relay.example.org:3478")
        self.asked.append(servers)

    async def reach(self, peer: Any, method: Any, *, timeout_s: float) -> Reached:
        tried = Tried("relay", "/ip4/192.0.2.1/tcp/9000", ok=True, reason="", seconds=0.01)
        return Reached(
            peer=peer.id,
            name=peer.name,
            method=method,
            ok=method == "relay",
            path="relay",
            verdict=f"{peer.name} is reached through a relay",
            attempts=(tried,),
        )


class FakeNode:
    id = "cd" * 32
    name = "quiet-heron-41"
    listeners = ("/ip4/127.0.0.1/tcp/9000",)

    def __init__(self) -> None:
        self.objects = FakeObjects()
        self.chum = FakeChum()
        self.nat = FakeNat()
        self.asleep = False
        self.slept: tuple[float | None, str] | None = None
        self.known_peers = (FakePeer(),)
        self.peers = self.known_peers
        self.whispers: list[tuple[Any, bytes, dict[str, Any]]] = []
        self.resonances: list[tuple[str, bytes, dict[str, Any]]] = []
        self.spread: list[tuple[str, bytes, dict[str, Any]]] = []
        self.near = 0
        self.keys: list[bytes | None] = []
        self.connected: list[tuple[str, float | None]] = []
        self.receipt_state = "received"
        self.rotations = 0
        self.inbox: list[Feed[Any]] = []
        self.watchers: list[Feed[Any]] = []
        self.topics: dict[str, list[Feed[Any]]] = {}
        self.addresses: list[str] = []
        self.links: list[Any] = []
        self.fault: Exception | None = None
        self.names: tuple[str, ...] = ()
        self.meeting_places = 2
        self.under: dict[str, tuple[Ticket, ...]] = {}
        self.ends = True
        self.presence = ("online", "")
        self.membership = Membership(role="member", founder="aa" * 32, key="bb" * 32, links=2)

    @property
    def identity(self) -> Identity:
        return Identity(
            id=self.id, name=self.name, created_ms=1, expires_s=3600.0, static_key="ef" * 32
        )

    @property
    def ticket(self) -> Ticket:
        return Ticket(static_key=b"k" * 32, addresses=self.listeners)

    def invite(self) -> Ticket:
        return Ticket(static_key=b"k" * 32, addresses=self.listeners, psk=Secret(b"p" * 32))

    def rotate(self) -> None:
        self.rotations += 1

    def status(self) -> snapshots.Status:
        if self.fault is not None:
            raise self.fault
        return snapshots.Status(
            verdict="up, 1 peer",
            state="Listening",
            id=self.id,
            name=self.name,
            version="0.1.0",
            profile="mesh",
            level=3,
            expires_s=3600.0,
            uptime_s=1.0,
            listening=list(self.listeners),
            intents=list(self.topics),
            peers=[self.row(peer) for peer in self.known_peers],
            problems=[],
        )

    @staticmethod
    def row(peer: FakePeer) -> snapshots.PeerStatus:
        names = snapshots.PeerStatus.__struct_fields__
        known = {name: getattr(peer, name) for name in names if hasattr(peer, name)}
        presence, note = peer.presence
        return snapshots.PeerStatus(**known | {"presence": presence, "note": note}, seen_s=0.0)

    def why_away(self, _: FakePeer) -> str:
        return ""

    def away_s(self, _: FakePeer) -> float:
        return 0.0

    def debug(self) -> dict[str, Any]:
        return {"version": "0.1.0", "sessions": []}

    def stats(self) -> dict[str, Any]:
        return {"connectedPeers": 1}

    def peer(self, ref: str) -> FakePeer:
        for peer in self.known_peers:
            if ref in {peer.name, peer.id}:
                return peer
        raise UsageError(f"no peer is called {ref[:70]!r}; known are: calm-finch-12")

    def whisper(self, peer: FakePeer, body: bytes, **options: Any) -> Receipt:
        self.whispers.append((peer, body, options))
        receipt = Receipt(len(self.whispers))
        receipt.advance(self.receipt_state)
        return receipt

    async def resonate(self, intent: str, payload: bytes, **options: Any) -> Sent:
        self.resonances.append((normalise(intent), payload, options))
        return Sent("ee" * 16, self.near)

    async def broadcast(self, payload: bytes, **options: Any) -> Sent:
        self.spread.append(("broadcast", payload, options))
        return Sent("ee" * 16, self.near)

    async def emergency(self, payload: bytes, **options: Any) -> Sent:
        self.spread.append(("emergency", payload, options))
        return Sent("ee" * 16, self.near)

    def register(self, name: str) -> None:
        self.names = (*self.names, name)

    def withdraw(self, name: str) -> None:
        self.names = tuple(known for known in self.names if known != name)

    def find(self, name: str) -> Feed[Ticket]:
        feed: Feed[Ticket] = Feed(100, lossy=True)
        feed.put(self.under.get(name, ()))
        if self.ends:
            feed.close()
        return feed

    def set_presence(self, state: str, note: str) -> None:
        self.presence = (state, note)

    def sleep(self, for_s: float | None, note: str) -> None:
        self.asleep, self.slept = True, (for_s, note)

    def wake(self) -> None:
        self.asleep = False

    def neighbours(self) -> tuple[Neighbour, ...]:
        peer: Any = self.known_peers[0]
        return (Neighbour(peer, outbound=True, friend=False, score=0.25, since_s=3.21),)

    async def connect(self, target: str, *, timeout_s: float | None = None) -> FakePeer:
        self.connected.append((target, timeout_s))
        if self.fault is not None:
            raise self.fault
        return self.known_peers[0]

    def verify(self, peer: FakePeer) -> None:
        if peer.persona is None:
            raise UsageError("calm-finch-12 has no long-term identity; set it")
        peer.trust = "verified"

    async def revoke(self, peer: FakePeer) -> None:
        peer.trust = "revoked"

    def messages(self, **_: Any) -> Feed[Any]:
        return self._feed(self.inbox)

    def events(self) -> Feed[Any]:
        return self._feed(self.watchers)

    def join(self, intent: str, *, key: bytes | None, threshold: float) -> FakeTopic:
        known = normalise(intent)
        self.keys.append(key)
        assert 0 < threshold <= 1
        return FakeTopic(known, self._feed(self.topics.setdefault(known, [])))

    def _feed(self, feeds: list[Feed[Any]]) -> Feed[Any]:
        feed: Feed[Any] = Feed(100, lossy=True, on_close=feeds.remove)
        feeds.append(feed)
        return feed

    def also_at(self, address: str) -> None:
        self.addresses.append(address)

    def accept_link(self, link: Any) -> Any:
        self.links.append(link)
        return link.handler

    def arrive(self, body: bytes, topic: str | None = None, **facts: Any) -> None:
        peer: Any = self.known_peers[0]
        message = Message(body, facts.pop("sender", peer), topic=topic, received_ms=7, seq=1)
        message = msgspec.structs.replace(message, **facts)
        for feed in self.topics.get(topic, []) if topic else self.inbox:
            feed.put((message,))


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What `why` and `discover` were asked; they, and `report`, look deeper than tables."""
    calls: list[tuple[Any, ...]] = []

    def why(_: Any, ref: str) -> Why:
        calls.append(("why", ref))
        return Why(
            name=ref,
            connected=False,
            path="none",
            neighbour=False,
            verdict=f"{ref} is not connected",
            place="the peer",
            facts=("it hung up",),
            cures=("call it again",),
        )

    async def discover(_: Any, method: str, *, count: int, timeout_s: float) -> tuple[Found, ...]:
        calls.append(("discover", method, count, timeout_s))
        found = Found("ab" * 32, "", "", ("/ip4/192.0.2.7/tcp/9000",), ("mdns",), connected=False)
        return (found,)

    def report(*_: Any) -> ReportAnswer:
        nothing: dict[str, int] = {}
        return ReportAnswer(
            version="0.1.0",
            state="Listening",
            loop="asyncio",
            uptime_s=1,
            listening={"tcp": 1},
            intents=0,
            settings={},
            checks={},
            problems=nothing,
            peers=(),
            counters=nothing,
            gossip=nothing,
        )

    monkeypatch.setattr("whispurrnet.gateway.api.report", report)
    monkeypatch.setattr("whispurrnet.gateway.mesh_api.why", why)
    monkeypatch.setattr("whispurrnet.gateway.mesh_api.discovering.discover", discover)
    return calls


Caller = Callable[..., contextlib.AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def calling(node: FakeNode) -> Caller:
    """A client of the gateway's application; whatever fails inside fails the test."""

    @contextlib.asynccontextmanager
    async def call(
        settings: Settings | None = None,
        *,
        client: tuple[str, int] | None = LOCAL,
        base_url: str = "http://localhost:8765",
        raising: bool = True,
    ) -> AsyncIterator[httpx.AsyncClient]:
        live = Live(node)  # type: ignore[arg-type]
        app = create_app(node, settings or Settings(), live)  # type: ignore[arg-type]
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(live.run(ready.set))
            await ready.wait()
            transport = httpx.ASGITransport(app, client=client, raise_app_exceptions=raising)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url=base_url) as http:
                yield http
            watching.cancel()

    return call
