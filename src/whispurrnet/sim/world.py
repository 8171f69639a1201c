"""The simulator: whole nodes, one heap of pending events, one seeded source of chance.

Each node is the same `Stack` that runs under asyncio; `sim.wire` is the network between them and
`sim.nat` decides who can dial whom. Same seed and same code give the same run: `World.digest`
proves it (it covers who got what kind of thing when, and how long; not ciphertext, since the KEM
draws its own randomness).

Two things make a thousand whole nodes affordable: a node whose deadline moved is not woken at the
old one, and a flush does not go through the heap.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator
from random import Random
from typing import Protocol

from whispurrnet.base.errors import WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.gossip.stamp import solve
from whispurrnet.sim.nat import Nats
from whispurrnet.sim.wire import Pipe, Wire, datagram_s, link_s, packet_s
from whispurrnet.stack import events
from whispurrnet.stack.config import Config
from whispurrnet.stack.stack import Stack

__all__ = ["EPOCH_MS", "Observer", "Refusal", "Tamper", "Wire", "World"]

EPOCH_MS = 1_800_000_000_000
"""Unix time in milliseconds at which a simulation begins."""

STILL_MAX = 200_000
"""So many events a node at one and the same time are a bug: time stands still."""

_TICK, _FLUSH = Tick(), events.Flush()
_NO_BINDING = bytes(33)


class Observer(Protocol):
    """Called with each effect that is news for the application."""

    def __call__(self, now: float, node: str, effect: events.Effect) -> None:
        """Take note of `effect`, which `node` produced at time `now`."""
        ...


Tamper = Callable[[str, str, bytes], bytes | None]
"""Given source, target and data: what arrives instead; None cuts the link."""

Refusal = Callable[[str, events.Event, WhispurrError], None]
"""Takes what a node refused its application, and why."""

_Pending = tuple[float, int, str, int, "events.Event | Callable[[], None]"]
"""When, in which order, whom (or nobody), in which of its lives, and what."""


class World:
    """Nodes, the network between them, and the time they share.

    Args:
        seed: The only source of chance in the run.
        wire: How the links behave.
        observe: Receives every application-level effect.
        refused: Takes what a node refused its application; without it that is an error.
    """

    def __init__(
        self, seed: int, wire: Wire, observe: Observer, refused: Refusal | None = None
    ) -> None:
        self.now = 0.0
        self.wire = wire
        self.nodes: dict[str, Stack] = {}
        self.nats = Nats()
        self.severed: Callable[[str, str], bool] = lambda source, target: False
        self.same_lan: Callable[[str, str], bool] = lambda source, target: True
        self.tamper: Tamper = lambda source, target, data: data
        self.bytes_sent = 0
        self.steps = 0
        """How many events nodes have handled."""
        self._rng = Random(seed)
        self._observe = observe
        self._refused = refused
        self._heap: list[_Pending] = []
        self._order = 0
        self._life: dict[str, int] = {}
        self._armed: dict[str, float] = {}
        self._unflushed: dict[str, None] = {}
        self._links: dict[str, dict[int, Pipe]] = {}
        self._places: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._next_link = 1
        self._trace = hashlib.blake2b(digest_size=8)

    @property
    def digest(self) -> str:
        """A fingerprint of everything that has happened, in hexadecimal."""
        return self._trace.hexdigest()

    # Nodes

    def add(
        self, name: str, config: Config, make: Callable[..., Stack] = Stack, **more: object
    ) -> Stack:
        """Start a node, which others reach at `address(NAME)`; again after `crash`.

        Args:
            name: What it is called in this world.
            config: Its settings.
            make: Called in place of `Stack`, with the same arguments.
            more: Further arguments of it.
        """
        chance = Random(self._rng.random())
        stack = make(
            config,
            entropy=chance.randbytes,
            wall=lambda: EPOCH_MS + int(self.now * 1000),
            rng=chance,
            now=self.now,
            **more,
        )
        self.nodes[name] = stack
        self._life[name] = self._life.get(name, 0) + 1
        self._armed.pop(name, None)
        self.inject(name, events.Listening((self.address(name),)))
        return stack

    def life(self, name: str) -> int:
        """How often a node was started; what it was before a crash is somebody else."""
        return self._life.get(name, 0)

    def place(self, name: str, host: str) -> None:
        """Give a node this IPv4 address before it is added; otherwise it has one of its own."""
        address = f"/ip4/{host}/tcp/9000"
        self._places[name] = address
        self._names[address] = name

    def address(self, name: str) -> str:
        """Where a node is, or would be."""
        if name not in self._places:
            number = len(self._places) + 1
            self.place(name, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        return self._places[name]

    def crash(self, name: str, *, silent: bool = False) -> None:
        """A node stops.

        Args:
            name: Which.
            silent: Its machine is gone: nobody says so to the others, who notice by the silence.
                Otherwise only its process is, and the system closes the links.
        """
        del self.nodes[name]
        self.nats.forget(name)
        self._unflushed.pop(name, None)
        for link, pipe in list(self._links.get(name, {}).items()):
            if silent:
                del self._links[name][link]
                pipe.open = False
                back = self._links.get(pipe.target, {}).get(pipe.link)
                if back is not None:
                    back.dead = True
            else:
                self._end(name, link, self.wire.latency_max_s)

    def connect(
        self, caller: str, target: str, *, persistent: bool = True, keep: bool = True
    ) -> None:
        """Let a node call another by its ticket.

        Args:
            caller: Who calls.
            target: Who is called.
            persistent: Whether it is called again for ever.
            keep: Whether it is wanted for itself, or only as a way into the mesh.
        """
        proof = self.nodes[target].shared.identity.proof
        self._order += 1
        self.inject(
            caller,
            events.Connect(
                ref=self._order,
                static_key=proof.static_key,
                addresses=(self.address(target),),
                persistent=persistent,
                keep=keep,
            ),
        )

    def sessions(self, name: str) -> Iterator[tuple[str, int]]:
        """With whom a node has a session now: the name of the other, and the peer's number."""
        stack, links = self.nodes[name], self._links.get(name, {})
        for record in stack.roster:
            if record.live is not None and record.live.link in links:
                yield self.far_end(name, record.live.link), record.handle

    def far_end(self, name: str, link: int) -> str:
        """The node at the other end of a link; "" when the link is gone."""
        pipe = self._links.get(name, {}).get(link)
        return "" if pipe is None else pipe.target

    # Time

    def inject(self, node: str, event: events.Event, delay_s: float = 0.0) -> None:
        """Schedule `event` for `node`, unless it crashes before."""
        self._inject_at(node, event, self.now + delay_s)

    def later(self, delay_s: float, happen: Callable[[], None]) -> None:
        """Do something in `delay_s` seconds, whoever lives then."""
        self._order += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._order, "", 0, happen))

    def run(self, until: float) -> None:
        """Process events up to time `until`, in seconds."""
        heap, lives = self._heap, self._life
        still = 0
        while (heap and heap[0][0] <= until) or self._unflushed:
            if self._unflushed and not (heap and heap[0][0] <= self.now):
                node = next(iter(self._unflushed))
                del self._unflushed[node]
                self._step(node, _FLUSH)
                continue
            at, _, node, life, event = heapq.heappop(heap)
            assert at >= self.now, "time went back"
            still = still + 1 if at == self.now else 0
            assert still <= STILL_MAX + STILL_MAX * len(lives), "time stands still"
            self.now = at
            if not node:
                event()  # type: ignore[operator]
            elif node in self.nodes and lives[node] == life:
                if event is _TICK:
                    self._wake(node, at)
                else:
                    self._step(node, event)  # type: ignore[arg-type]
        self.now = until

    def _inject_at(self, node: str, event: events.Event, at: float) -> None:
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, node, self._life.get(node, 0), event))

    def _wake(self, node: str, at: float) -> None:
        """A deadline has come, unless it was moved."""
        if self._armed.get(node) != at:
            return
        del self._armed[node]
        deadline = self.nodes[node].deadline
        if deadline is not None and deadline > self.now:
            self._arm(node, deadline)
        elif deadline is not None:
            self._step(node, _TICK)

    def _arm(self, node: str, deadline: float) -> None:
        if deadline < self._armed.get(node, float("inf")):
            at = max(self.now, deadline)
            self._armed[node] = at
            self._inject_at(node, _TICK, at)

    def _step(self, node: str, event: events.Event) -> None:
        stack = self.nodes[node]
        kind = type(event)
        size = len(event.data) if kind is events.LinkData or kind is events.Datagram else 0  # type: ignore[union-attr]
        self._trace.update(f"{self.now:.9f} {node} {kind.__name__} {size};".encode())
        self.steps += 1
        try:
            effects = stack.handle(event, self.now)
        except WhispurrError as error:
            if self._refused is None:
                raise
            self._refused(node, event, error)
            return
        for effect in effects:
            if type(effect) is events.Write:
                self._transmit(node, effect.link, effect.data)
            else:
                self._perform(node, effect)
        if stack.wants_flush:
            if kind is events.Flush:
                self.inject(node, _FLUSH, 1e-6)
            else:
                self._unflushed[node] = None
            return  # what is sealed now decides when it wants to be woken
        deadline = stack.deadline
        if deadline is not None:
            self._arm(node, deadline)

    # What a node wants done

    def _perform(self, node: str, effect: events.Effect) -> None:
        match effect:
            case events.Dial(dial, addresses):
                self._dial(node, dial, addresses)
            case events.Close(link):
                self._end(node, link, self.wire.latency_max_s)
            case events.Hold():
                pass  # a slowed peer waits on a real link only
            case events.Announce(data):
                self._announce(node, data)
            case events.Solve(ref, id, expiry_s, bits):
                self.inject(node, events.Solved(ref, solve(id, expiry_s, bits)))
            case _:
                self._observe(self.now, node, effect)

    def _transmit(self, node: str, link: int, data: bytes) -> None:
        pipe = self._links.get(node, {}).get(link)
        if pipe is None or not pipe.open:
            return
        self.bytes_sent += len(data)
        pipe.held.append(data)
        if len(pipe.held) == 1:
            self._pump(node, link, self.now + self.wire.cut_after_s)

    def _pump(self, node: str, link: int, give_up_at: float) -> None:
        """Send what a link holds, or try again later while its path is cut."""
        pipe = self._links.get(node, {}).get(link)
        if pipe is None or not pipe.open:
            return
        if self.severed(node, pipe.target):
            if self.now >= give_up_at:
                self._end(node, link, 0.0)
            else:
                self.later(1.0, lambda: self._pump(node, link, give_up_at))
            return
        if not pipe.doubted and (pipe.dead or self.severed(pipe.target, node)):
            pipe.doubted = True
            self.later(self.wire.cut_after_s, lambda: self._doubt(node, link))
        held, pipe.held = pipe.held, []
        for data in held:
            changed = self.tamper(node, pipe.target, data)
            if changed is None:
                self._end(node, link, self.wire.latency_max_s)
                return
            arrives_at = pipe.send(len(data), self.wire, self._rng, self.now)
            if changed and not pipe.dead:
                self._inject_at(pipe.target, events.LinkData(pipe.link, changed), arrives_at)
        resumes_at = pipe.resumes_at(self.wire, self.now)
        if resumes_at is not None and not pipe.paused:
            pipe.paused = True
            self.inject(node, events.LinkPaused(link))
            self.later(resumes_at - self.now, lambda: self._resume(node, link))

    def _resume(self, node: str, link: int) -> None:
        """A link whose buffer was full has room again."""
        pipe = self._links.get(node, {}).get(link)
        if pipe is not None:
            pipe.paused = False
            self.inject(node, events.LinkResumed(link))

    def _doubt(self, node: str, link: int) -> None:
        """For long nothing was acknowledged: the link is lost, unless the path was mended."""
        pipe = self._links.get(node, {}).get(link)
        if pipe is not None:
            pipe.doubted = False
            if pipe.dead or self.severed(pipe.target, node):
                self._end(node, link, 0.0)

    def _dial(self, node: str, dial: int, addresses: tuple[str, ...]) -> None:
        wait_s = 1.0
        for address in addresses:
            target = self._names.get(address, "")
            if target not in self.nodes or self.severed(node, target) or self.severed(target, node):
                continue
            in_use = bool(self._links.get(target))
            if self.nats.dial(node, target, self.now, in_use=in_use):
                break
            wait_s = self.wire.dial_timeout_s
        else:
            self.inject(node, events.DialFailed(dial, "nobody is there"), wait_s)
            return
        here, there = self._next_link, self._next_link + 1
        self._next_link += 2
        base_s = link_s(self.wire, self._rng)
        self._links.setdefault(node, {})[here] = Pipe(target, there, base_s)
        self._links.setdefault(target, {})[there] = Pipe(node, here, base_s)
        latency_s = packet_s(self.wire, self._rng, base_s)
        inbound = events.LinkUp(there, self.address(node), "tcp", None, _NO_BINDING)
        outbound = events.LinkUp(here, self.address(target), "tcp", dial, _NO_BINDING)
        self.inject(target, inbound, latency_s)
        self.inject(node, outbound, 2 * latency_s)

    def _end(self, node: str, link: int, delay_s: float) -> None:
        """Both ends of a link learn that it is gone."""
        pipe = self._links.get(node, {}).pop(link, None)
        if pipe is None:
            return
        pipe.open = False
        back = self._links.get(pipe.target, {}).pop(pipe.link, None)
        arrives_s = max(delay_s, pipe.arrives_at - self.now)
        self.inject(node, events.LinkDown(link, "closed"), delay_s)
        if back is not None:
            back.open = False
            self.inject(pipe.target, events.LinkDown(pipe.link, "closed"), arrives_s)

    def _announce(self, node: str, data: bytes) -> None:
        for other in self.nodes:
            if other != node and self.same_lan(node, other) and not self.severed(node, other):
                for latency_s in datagram_s(self.wire, self._rng):
                    self.inject(other, events.Datagram(data), latency_s)
