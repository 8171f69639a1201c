"""The simulator: whole nodes, one heap of pending events, one seeded source of chance.

Each node is the same `Stack` that runs under asyncio. A link is an ordered stream of bytes, as
TCP gives it: a lost packet shows as a delay, a cut cable as silence and, in the end, a lost link.
Datagrams are simply lost. Same seed and same code give the same run: `World.digest` proves it
(it covers who got what kind of thing when, and how long; not ciphertext, since the KEM draws its
own randomness).
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from random import Random
from typing import Protocol

import msgspec

from whispurrnet.base.machine import Tick
from whispurrnet.stack import events
from whispurrnet.stack.config import Config
from whispurrnet.stack.stack import Stack

EPOCH_MS = 1_800_000_000_000
"""Unix time in milliseconds at which a simulation begins."""


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """How every link behaves."""

    latency_min_s: float = 0.010
    latency_max_s: float = 0.100
    loss: float = 0.0
    """Probability that a packet must be sent again, between 0 and 1."""
    retransmit_s: float = 0.3
    """What a lost packet costs a stream, in seconds."""
    cut_after_s: float = 120.0
    """How long a stream bears silence before the link is lost, in seconds."""


class Observer(Protocol):
    """Called with each effect that is news for the application."""

    def __call__(self, now: float, node: str, effect: events.Effect) -> None:
        """Take note of `effect`, which `node` produced at time `now`."""
        ...


class _Pipe:
    """One direction of a link."""

    def __init__(self, target: str, link: int) -> None:
        self.target = target
        self.link = link
        self.arrives_at = 0.0
        self.open = True
        self.held: list[bytes] = []
        """What waits for a cut path to be mended."""


Tamper = Callable[[str, str, bytes], bytes | None]
"""Given source, target and data: what arrives instead; None cuts the link."""


class World:
    """Nodes, the network between them, and the time they share.

    Args:
        seed: The only source of chance in the run.
        wire: How the links behave.
        observe: Receives every application-level effect.
    """

    def __init__(self, seed: int, wire: Wire, observe: Observer) -> None:
        self.now = 0.0
        self.wire = wire
        self.nodes: dict[str, Stack] = {}
        self.severed: Callable[[str, str], bool] = lambda source, target: False
        self.tamper: Tamper = lambda source, target, data: data
        self.bytes_sent = 0
        self._rng = Random(seed)
        self._observe = observe
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._life: dict[str, int] = {}
        self._armed: dict[str, float] = {}
        self._pipes: dict[tuple[str, int], _Pipe] = {}
        self._places: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._next_link = 1
        self._trace = hashlib.blake2b(digest_size=8)

    @property
    def digest(self) -> str:
        """A fingerprint of everything that has happened, in hexadecimal."""
        return self._trace.hexdigest()

    def add(self, name: str, config: Config, **more: object) -> Stack:
        """Start a node, which others reach at `address(NAME)`; again after `crash`."""
        chance = Random(self._rng.random())
        stack = Stack(
            config,
            entropy=chance.randbytes,
            wall=lambda: EPOCH_MS + int(self.now * 1000),
            rng=chance,
            now=self.now,
            **more,  # type: ignore[arg-type]
        )
        self.nodes[name] = stack
        self._life[name] = self._life.get(name, 0) + 1
        self._armed.pop(name, None)
        self.inject(name, events.Listening((self.address(name),)))
        return stack

    def address(self, name: str) -> str:
        """Where a node is, or would be."""
        place = self._places.setdefault(name, len(self._places) + 1)
        address = f"/ip4/10.0.{place >> 8}.{place & 255}/tcp/9000"
        self._names[address] = name
        return address

    def crash(self, name: str) -> None:
        """A node stops, without a word; its links end when the others notice."""
        del self.nodes[name]
        for (owner, link), pipe in list(self._pipes.items()):
            if owner == name:
                self._end(name, link, self.wire.latency_max_s)
                pipe.open = False

    def connect(self, caller: str, target: str, *, persistent: bool = True) -> None:
        """Let a node call another by its ticket."""
        proof = self.nodes[target].shared.identity.proof
        self._order += 1
        self.inject(
            caller,
            events.Connect(
                ref=self._order,
                static_key=proof.static_key,
                addresses=(self.address(target),),
                persistent=persistent,
            ),
        )

    def inject(self, node: str, event: events.Event, delay_s: float = 0.0) -> None:
        """Schedule `event` for `node`, unless it crashes before."""
        life = self._life.get(node, 0)

        def happen() -> None:
            if life == self._life.get(node) and node in self.nodes:
                self._step(node, event)

        self._later(delay_s, happen)

    def run(self, until: float) -> None:
        """Process events up to time `until`, in seconds."""
        while self._heap and self._heap[0][0] <= until:
            at, _, happen = heapq.heappop(self._heap)
            assert at >= self.now, "time went back"
            self.now = at
            happen()
        self.now = until

    def _later(self, delay_s: float, happen: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._order, happen))

    def _step(self, node: str, event: events.Event) -> None:
        stack = self.nodes[node]
        if isinstance(event, Tick):
            self._armed.pop(node, None)
        size = len(event.data) if isinstance(event, events.LinkData | events.Datagram) else 0
        self._trace.update(f"{self.now:.9f} {node} {type(event).__name__} {size};".encode())
        for effect in stack.handle(event, self.now):
            self._perform(node, effect)
        if stack.wants_flush and not isinstance(event, events.Flush):
            self.inject(node, events.Flush())
        elif stack.wants_flush:
            self.inject(node, events.Flush(), 1e-6)
        self._arm(node, stack.deadline)

    def _perform(self, node: str, effect: events.Effect) -> None:
        match effect:
            case events.Write(link, data):
                self._transmit(node, link, data)
            case events.Dial(dial, addresses):
                self._dial(node, dial, addresses)
            case events.Close(link):
                self._end(node, link, self.wire.latency_max_s)
            case events.Hold():
                pass  # a slowed peer waits on a real link only
            case events.Announce(data):
                self._announce(node, data)
            case _:
                self._observe(self.now, node, effect)

    def _latency(self) -> float:
        latency_s = self._rng.uniform(self.wire.latency_min_s, self.wire.latency_max_s)
        while self._rng.random() < self.wire.loss:
            latency_s += self.wire.retransmit_s
        return latency_s

    def _transmit(self, node: str, link: int, data: bytes) -> None:
        pipe = self._pipes.get((node, link))
        if pipe is None or not pipe.open:
            return
        self.bytes_sent += len(data)
        pipe.held.append(data)
        if len(pipe.held) == 1:
            self._pump(node, link, self.now + self.wire.cut_after_s)

    def _pump(self, node: str, link: int, give_up_at: float) -> None:
        """Send what a link holds, or try again later while its path is cut."""
        pipe = self._pipes.get((node, link))
        if pipe is None or not pipe.open:
            return
        if self.severed(node, pipe.target):
            if self.now >= give_up_at:
                self._end(node, link, 0.0)
            else:
                self._later(1.0, lambda: self._pump(node, link, give_up_at))
            return
        held, pipe.held = pipe.held, []
        for data in held:
            changed = self.tamper(node, pipe.target, data)
            if changed is None:
                self._end(node, link, self.wire.latency_max_s)
                return
            pipe.arrives_at = max(pipe.arrives_at, self.now + self._latency())
            if changed:
                arrived = events.LinkData(pipe.link, changed)
                self.inject(pipe.target, arrived, pipe.arrives_at - self.now)

    def _dial(self, node: str, dial: int, addresses: tuple[str, ...]) -> None:
        for address in addresses:
            target = self._names.get(address, "")
            if target in self.nodes and not self.severed(node, target):
                break
        else:
            self.inject(node, events.DialFailed(dial, "nobody is there"), 1.0)
            return
        here, there = self._next_link, self._next_link + 1
        self._next_link += 2
        self._pipes[node, here] = _Pipe(target, there)
        self._pipes[target, there] = _Pipe(node, here)
        latency_s = self._latency()
        none = bytes(33)
        inbound = events.LinkUp(there, self.address(node), "tcp", None, none)
        outbound = events.LinkUp(here, self.address(target), "tcp", dial, none)
        self.inject(target, inbound, latency_s)
        self.inject(node, outbound, 2 * latency_s)

    def _end(self, node: str, link: int, delay_s: float) -> None:
        """Both ends of a link learn that it is gone."""
        pipe = self._pipes.pop((node, link), None)
        if pipe is None:
            return
        back = self._pipes.pop((pipe.target, pipe.link), None)
        arrives_s = max(delay_s, pipe.arrives_at - self.now)
        self.inject(node, events.LinkDown(link, "closed"), delay_s)
        if back is not None:
            self.inject(pipe.target, events.LinkDown(pipe.link, "closed"), arrives_s)

    def _announce(self, node: str, data: bytes) -> None:
        for other in self.nodes:
            if (
                other != node
                and not self.severed(node, other)
                and self._rng.random() >= self.wire.loss
            ):
                self.inject(other, events.Datagram(data), self._latency())

    def _arm(self, node: str, deadline: float | None) -> None:
        if deadline is not None and deadline < self._armed.get(node, float("inf")):
            self._armed[node] = deadline
            self.inject(node, Tick(), max(0.0, deadline - self.now))
