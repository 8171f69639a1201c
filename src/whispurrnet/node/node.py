"""Node: a running member of the mesh, and its asynchronous API."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from whispurrnet.base.errors import NetworkError, UsageError
from whispurrnet.base.log import get
from whispurrnet.identity import persona
from whispurrnet.node import status as snapshots
from whispurrnet.node.bootstrap import Bootstrap
from whispurrnet.node.build import build
from whispurrnet.node.chum import Chum
from whispurrnet.node.conversation import Conversation
from whispurrnet.node.driver import Driver, Port
from whispurrnet.node.feed import Feed
from whispurrnet.node.identity import Identity
from whispurrnet.node.keeping import Keeping
from whispurrnet.node.listening import Listening
from whispurrnet.node.membership import founding
from whispurrnet.node.memory import keep_freed_memory
from whispurrnet.node.nat import Nat
from whispurrnet.node.news import News
from whispurrnet.node.objects import Objects
from whispurrnet.node.peer import Message, Peer
from whispurrnet.node.problems import problems_of
from whispurrnet.node.settings import Settings
from whispurrnet.node.status import Problem
from whispurrnet.node.targets import target_of
from whispurrnet.node.webrtc import WebrtcShell
from whispurrnet.node.words import name_of
from whispurrnet.stack import events, protocols
from whispurrnet.stack.stack import Stack
from whispurrnet.version import VERSION
from whispurrnet.wire.ids import PeerId
from whispurrnet.wire.ticket import Ticket

if TYPE_CHECKING:
    from whispurrnet.transport.link import Link, ListenerState

log = get(__name__)


class Node(Conversation):
    """One node; made by `whispurrnet.open`.

    Every method is called from the loop the node runs in. Methods that do not wait are not
    coroutines. Cancelling a wait is safe: nothing that was handed over is lost.
    """

    version = VERSION

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.counters = {"sent": 0, "received": 0, "dropped": 0}
        self.extensions: list[str] = []
        self.warnings: dict[str, None] = {}
        self.failures: dict[str, str] = {}
        """What this machine refused, and why."""
        self.bootstrap = Bootstrap(settings.bootstrap, self.now())
        self.relays = Bootstrap(settings.nat.relays, self.now(), relay=True)
        super().__init__()
        self._keeping = Keeping(settings.identity)
        self._started_s = self.now()
        self.stack = Stack(
            build(settings),
            entropy=secrets.token_bytes,
            wall=wall_ms,
            rng=SystemRandom(),
            now=self.now(),
            persona=self._keeping.persona,
            pins=self._keeping.pins,
            holding=founding(settings.membership) or self._keeping.holding,
        )
        own = self._keeping.persona
        self.name = name_of(PeerId(own.id if own else self.stack.shared.identity.id))
        self.objects = Objects(self, settings.objects)
        self._news = News(self)
        self._listening = Listening(settings)
        self.chum = Chum(self, self._keeping.local_secret)
        self.nat = Nat(self)
        self._driver = Driver(self.stack, self._listening.dialer, self._news, self.look_for_room)
        self._listening.relay.ask = self._driver.circuits.ask
        self._rtc = WebrtcShell(self._driver, settings.nat)

    # Life

    async def start(self) -> None:
        """Listen, announce, and call the bootstrap peers.

        Raises:
            HostError: A port is taken.
            ConfigError: A setting cannot be.
        """
        await self.objects.start()
        await self._listening.start(self._driver)
        await self.nat.start()
        self.submit(events.Listening(self._listening.advertised))
        self._keeping.begin(self)
        for what, targets in (
            (self.relays, self.settings.nat.relays),
            (self.bootstrap, self.settings.bootstrap),
        ):
            for call in what.calls([next(self._refs) for _ in targets], wall_ms()):
                self.submit(call)

    async def close(self) -> None:
        """Say goodbye and stop listening; queued whispers fail."""
        try:
            self._keeping.remember(self)
            self.submit(events.Farewell())
            await self._listening.stop()
        finally:
            self._driver.stop()
            self.nat.close()
            self._news.close()
            self.objects.close()

    async def run(self, started: asyncio.Event) -> None:
        """Keep the node's tasks until it is closed; `open` does this."""
        await self._driver.run(started)

    # Who we are

    @property
    def id(self) -> str:
        """The current ephemeral id: 64 hexadecimal characters."""
        return self.stack.shared.identity.id.hex()

    @property
    def identity(self) -> Identity:
        """What may be said of the current identity."""
        proof = self.stack.shared.identity.proof
        own = self._keeping.persona
        age_s = wall_ms() / 1000 - proof.timestamp_ms / 1000
        return Identity(
            id=self.id,
            name=self.name,
            created_ms=proof.timestamp_ms,
            expires_s=max(0.0, self.stack.shared.config.identity.lifetime_s - age_s),
            static_key=proof.static_key.hex(),
            persona=own.id.hex() if own else None,
        )

    @property
    def ticket(self) -> Ticket:
        """How others reach this node, until its identity is replaced."""
        return self._ticket(None)

    def invite(self) -> Ticket:
        """A ticket with a secret that works once, quantum-safe against whoever never saw it.

        Whoever holds it can connect, so hand it over where nobody else reads.
        """
        invited = self._driver.ask(events.Invite(next(self._refs)), events.Invited)
        return self._ticket(invited.psk)

    def _ticket(self, psk: Any) -> Ticket:
        proof = self.stack.shared.identity.proof
        own = self._keeping.persona
        return Ticket(
            static_key=proof.static_key,
            addresses=self.stack.shared.addresses,
            expires_s=proof.not_after_s,
            psk=psk,
            persona=own.id if own else None,
        )

    def rotate(self) -> None:
        """Take a new ephemeral identity now; sessions and their messages carry on."""
        self.submit(events.RotateIdentity())

    def rotated(self) -> None:
        """The identity was replaced: show its certificate from now on."""
        self._listening.certify(self.stack.shared.identity)

    def keep(self) -> None:
        """Write what is pinned, and our membership, if anything is kept on disk."""
        self._keeping.save(self.stack.shared.pins, self.stack.shared.belonging.holding)

    # How we are

    @property
    def state(self) -> ListenerState:
        """NotListening, Starting, Listening or ShuttingDown."""
        return self._listening.state

    @property
    def listeners(self) -> tuple[str, ...]:
        """The addresses this node listens on, with their real ports."""
        return self._listening.addresses

    @property
    def uptime_s(self) -> float:
        """For how long it has run, in seconds."""
        return self.now() - self._started_s

    @property
    def intents(self) -> tuple[str, ...]:
        """What it listens to."""
        return self.stack.gossiping.hearing.keyring.intents()

    @property
    def carried_bytes(self) -> int:
        """What goes through this node in the circuits of others that there are now."""
        return self._driver.circuits.splicer.bytes

    @property
    def problems(self) -> list[Problem]:
        """What is not as it should be, with a cure."""
        return problems_of(self, self._listening.problems)

    def status(self) -> snapshots.Status:
        """The whole node at one moment."""
        return snapshots.status(self)

    def stats(self) -> dict[str, Any]:
        """Counters; nobody's name is among them."""
        return snapshots.stats(self)

    def debug(self) -> dict[str, Any]:
        """Sizes and counters that help to find a fault; no keys, no payload, no names."""
        return snapshots.debug(self)

    # Peers

    async def connect(
        self, target: Ticket | str, *, timeout_s: float | None = None, persistent: bool = False
    ) -> Peer:
        """Reach a peer, and keep the connection from then on.

        Args:
            target: A ticket, its text, or an address of a node that takes first contacts.
            timeout_s: How long to try; by default `session.timeout_ms`.
            persistent: Go on trying after that, for ever.

        Raises:
            UsageError: The target is none of them, or a ticket whose time is over.
            NetworkError: Nobody answered; says which place did what.
            AuthError: Somebody else answered.
        """
        ref = next(self._refs)
        waiter: asyncio.Future[Peer] = self.loop.create_future()
        self._news.connects[ref] = waiter
        wait_s = self.settings.session.timeout_s if timeout_s is None else timeout_s
        try:
            self.submit(target_of(target, ref, wall_ms(), persistent=persistent))
            async with asyncio.timeout(wait_s):
                return await waiter
        except TimeoutError:
            raise NetworkError(
                f"the peer could not be reached within {wait_s:g} s; is it running, and is the "
                "ticket fresh?"
            ) from None
        finally:
            if self._news.connects.pop(ref, None) is not None:
                self.submit(events.StopWaiting(ref))

    async def disconnect(self, peer: Peer) -> None:
        """Say goodbye to a peer, and call it no more."""
        self.submit(events.Disconnect(peer.handle))

    async def ping(self, peer: Peer, *, timeout_s: float = 10.0) -> float:
        """Measure the round trip to a peer, in seconds.

        Raises:
            NetworkError: It is not connected, or no answer came in time.
        """
        self.submit(events.PingPeer(peer.handle))
        waiter: asyncio.Future[float] = self.loop.create_future()
        self._news.pings.setdefault(peer.handle, []).append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except TimeoutError:
            raise NetworkError(f"{peer.name} did not answer within {timeout_s:g} s") from None

    def safety_number(self, peer: Peer) -> str:
        """Sixty digits to compare with the peer's over another channel.

        Raises:
            UsageError: One of the two has no long-term identity.
        """
        own = self._keeping.persona
        if own is None or peer.persona is None:
            who = "this node" if own is None else peer.name
            raise UsageError(
                f"{who} has no long-term identity to compare; set identity.long_term = true there"
            )
        return persona.safety_number(own.id, bytes.fromhex(peer.persona))

    def trust_of(self, peer: Peer) -> int:
        """-1 revoked, 0 unknown, 1 seen, 2 introduced, 3 verified."""
        return self._keeping.level(peer.persona)

    def verify(self, peer: Peer) -> None:
        """Note that the safety numbers were compared and agree.

        Raises:
            UsageError: The peer has no long-term identity.
        """
        self._keeping.verify(peer, wall_ms())
        self.keep()

    async def revoke(self, peer: Peer) -> None:
        """Never talk to this long-term identity again.

        Raises:
            UsageError: The peer has no long-term identity.
        """
        self._keeping.revoke(peer, wall_ms())
        self.keep()
        await self.disconnect(peer)

    # Watching and extending

    def events(self, *, limit: int = 1_000) -> Feed[dict[str, Any]]:
        """What happens from now on, as JSON-ready events; the oldest are dropped when full."""
        feed: Feed[dict[str, Any]] = Feed(limit, lossy=True, on_close=self._news.watchers.remove)
        self._news.watchers.append(feed)
        return feed

    def on_kind(
        self, kind: str, handler: Callable[[Message], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        """Give every message of one kind to a handler instead of `messages`.

        It gets one after the other, in order; while many wait, peers who send more have to wait.
        The task that does it ends when, after `off_kind`, the last of them is handled.

        Raises:
            UsageError: There is no such kind, or it is taken.
        """
        number = protocols.sendable(kind).number
        if number in self._news.kinds:
            raise UsageError(f"{kind} is handled already; only one extension may take it")
        feed = self._news.kinds[number] = self.inbox()
        return self.spawn(self._news.work_through(feed, handler))

    def off_kind(self, kind: str) -> None:
        """Give messages of this kind to `messages` again."""
        feed = self._news.kinds.pop(protocols.sendable(kind).number, None)
        if feed is not None:
            feed.close()

    def also_at(self, address: str) -> None:
        """Others may reach this node there too: somebody else takes the links in for us.

        Args:
            address: Such as `/ip4/0.0.0.0/tcp/8765/ws`, whose links come to `accept_link`.
        """
        self._listening.extra = (*self._listening.extra, address)
        self.submit(events.Listening(self._listening.advertised))

    def accept_link(self, link: Link) -> Port:
        """Take in a link that came by way of the gateway's WebSocket."""
        return self._driver.accept(link)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[Any]:
        """Run a coroutine that handles its own errors, for as long as the node runs."""
        return self._driver.spawn(work)


def wall_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def open(settings: Settings | None = None, **overrides: Any) -> AsyncGenerator[Node]:
    """A running node: ephemeral, nothing on disk, unless the settings say otherwise.

    Args:
        settings: By default `Settings()`.
        overrides: Changes to them: `open(listen=(), lan={"enabled": False})`.

    Raises:
        ConfigError: A setting is wrong.
        HostError: A port is taken.
    """
    chosen = settings or Settings()
    keep_freed_memory()
    node = Node(chosen.replace(**overrides) if overrides else chosen)
    started = asyncio.Event()
    runner = asyncio.create_task(node.run(started))
    await started.wait()
    try:
        await node.start()
        yield node
    finally:
        await node.close()
        await runner
