"""Meshes of whole nodes on virtual time, for the tests of what the gossip of a node is worth.

A `Mesh` is a `World` of `Node`s that writes down what the tests ask for: when each message was in
the open at which node, what each application heard, and what honest nodes sent that they should
not. Its adversaries sit in a node like those of `sim.adversary`.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from random import Random
from typing import Any

import msgspec

from whispurrnet.gossip import spread, stamp, stem
from whispurrnet.gossip.envelope import Inside, expiry, seal
from whispurrnet.gossip.spread_frames import PUSH, ihave, push
from whispurrnet.sim.adversary import Adversary, BlackHole
from whispurrnet.sim.node import Node
from whispurrnet.sim.wire import Wire
from whispurrnet.sim.world import EPOCH_MS, World
from whispurrnet.stack import events, protocols
from whispurrnet.stack.checker import STAMP_BYTES, Message, stamped
from whispurrnet.stack.config import Config, GossipConfig
from whispurrnet.stack.live import Live
from whispurrnet.stack.overlay import STEM, Overlay
from whispurrnet.stack.stack import Stack
from whispurrnet.wire import frame

LINKS = Wire(latency_min_s=0.03, latency_max_s=0.07)
"""Links of about 50 ms."""

_EXPIRY_AT = 3 + STAMP_BYTES + 6
"""Where the expiry is in the body of a frame: shard, kind, hop, stamp, version, hint, shard."""


def config(
    *,
    walk: bool = False,
    bits: int = 0,
    profile: str = "mesh",
    **parts: Any,
) -> Config:
    """The settings of a node in these tests: no beacons, cheap stamps, no stem unless asked for."""
    parts.setdefault("stem", stem.Config(on=walk))
    load_per_s = 50.0 if bits else 1e9
    parts.setdefault("stamp", stamp.Config(base_bits=bits, load_per_s=load_per_s))
    parts.setdefault("idle_max", 6)
    return Config(beacon_on=False, profile=profile, gossip=GossipConfig(**parts))


class Heard(msgspec.Struct, frozen=True):
    """A message that an application got."""

    node: str
    at: float
    gossip: events.Gossiped


class Mesh:
    """A world of whole nodes, and what happened in it.

    Args:
        seed: The only source of chance.
        settings: Of each node, unless it has its own.
        wire: How the links are.
    """

    def __init__(self, seed: int, settings: Config | None = None, wire: Wire = LINKS) -> None:
        self.settings = settings or config()
        self.world = World(seed, wire, self._observe)
        self.rng = Random(seed)
        self.evil: dict[str, Adversary] = {}
        self.gone: dict[str, None] = {}
        self.heard: dict[bytes, list[Heard]] = defaultdict(list)
        """What applications got, by payload."""
        self.seen: dict[bytes, dict[str, list[tuple[float, int]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        """When, and at which hop, each message was in the open at each node, by its id."""
        self.published: dict[int, tuple[str, float]] = {}
        """Who wrote which message, and when, by its number."""
        self.ids: dict[int, bytes] = {}
        self.hop_max = 0
        self.late = 0
        """Pushes of honest nodes that left after their message had expired."""
        self.pushes: Counter[str] = Counter()
        self.failed: list[str] = []
        self.downs: list[tuple[float, str, str]] = []
        self.captured: list[tuple[str, bytes]] | None = None
        """Who got which frame of gossip, if anybody wants to know."""
        self._number = 0

    # Nodes

    def add(
        self,
        name: str,
        settings: Config | None = None,
        adversary: Adversary | None = None,
        **more: Any,
    ) -> Stack:
        """Start a node."""
        stack = self.world.add(
            name,
            settings or self.settings,
            partial(Node, name=name, watch=self, adversary=adversary, **more),
        )
        if adversary is not None:
            self.evil[name] = adversary
            adversary.enter(self.world, name, stack)
        gossiping = stack.gossiping
        deliver, send = gossiping.deliver, gossiping.send

        def delivered(message: Message, hop: int, now: float) -> None:
            self.seen[message.envelope.id][name].append((now, hop))
            deliver(message, hop, now)

        def sent(peer: int, type: int, body: bytes, priority: int) -> None:
            if type == frame.GOSSIP and body[1] == PUSH:
                self._pushed(name, body)
            send(peer, type, body, priority)

        gossiping.deliver = delivered  # type: ignore[method-assign]
        gossiping.send = sent  # type: ignore[method-assign]
        return stack

    def _pushed(self, name: str, body: bytes) -> None:
        self.pushes[name] += 1
        self.hop_max = max(self.hop_max, body[2])
        expiry_s = int.from_bytes(body[_EXPIRY_AT : _EXPIRY_AT + 4], "big")
        self.late += expiry_s <= self.wall_s

    def join(
        self,
        count: int,
        *,
        through: int = 8,
        per_s: float = 20.0,
        adversaries: dict[int, Adversary] | None = None,
    ) -> None:
        """Let `count` nodes join, each through one of the first, as by the setting `bootstrap`."""
        for number in range(count):
            self.add(f"n{number}", None, (adversaries or {}).get(number))
            if number:
                gate = f"n{self.rng.randrange(min(number, through))}"
                self.world.later(number / per_s, partial(self.call, f"n{number}", gate))
        self.run(count / per_s)

    def friends(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Connect nodes that want one another: such sessions stand outside of all views."""
        for caller, target in pairs:
            self.world.connect(caller, target)

    def call(self, caller: str, target: str) -> None:
        """Let a node call another as a way into the mesh."""
        if caller in self.world.nodes and target in self.world.nodes:
            self.world.connect(caller, target, keep=False)

    def crash(self, name: str) -> None:
        """The machine of a node is gone, and nobody says so."""
        self.gone[name] = None
        self.world.crash(name, silent=True)

    def overlay(self, name: str) -> Overlay:
        """The overlay of what is for everyone."""
        return self.world.nodes[name].gossiping.overlays[0]

    @property
    def honest(self) -> list[str]:
        """Who lives and keeps to the protocol."""
        return [name for name in self.world.nodes if name not in self.evil]

    def names(self, name: str) -> dict[int, str]:
        """The peers of a node: number and name."""
        return {handle: other for other, handle in self.world.sessions(name)}

    def neighbours(self, name: str) -> list[str]:
        """The neighbours of a node, by name."""
        names = self.names(name)
        return [names[peer] for peer in self.overlay(name).neighbours if peer in names]

    def reachable(self, start: str) -> list[str]:
        """The honest nodes that a path of honest neighbours leads to, `start` too."""
        honest = dict.fromkeys(self.honest)
        links: dict[str, dict[str, None]] = {name: {} for name in honest}
        for name in honest:
            for other in self.neighbours(name):
                if other in honest:
                    links[name][other] = links[other][name] = None
        found, todo = dict.fromkeys([start]), [start]
        while todo:
            for other in links[todo.pop()]:
                if other not in found:
                    found[other] = None
                    todo.append(other)
        return list(found)

    # Time and messages

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run(self.world.now + seconds)

    @property
    def wall_s(self) -> float:
        """Unix time."""
        return EPOCH_MS / 1000 + self.world.now

    def publish(self, name: str, *, urgent: bool = False, ttl_s: float = 300.0) -> int:
        """Let a node broadcast; its payload is `payload(number)`."""
        number = self._begin(name)
        event = events.Broadcast(number, payload(number), urgent=urgent, ttl_s=ttl_s)
        self.world.inject(name, event)
        return number

    def resonate(
        self, name: str, intent: str, key: bytes | None = None, data: bytes | None = None
    ) -> int:
        """Let a node say something about an intent."""
        number = self._begin(name)
        data = payload(number) if data is None else data
        self.world.inject(name, events.Resonate(number, intent, data, key=key))
        return number

    def _begin(self, name: str) -> int:
        self._number += 1
        self.published[self._number] = name, self.world.now
        return self._number

    # What the world tells

    def frame(self, node: str, live: Live, type: int, body: bytes, now: float) -> None:
        """A node got a frame."""
        if self.captured is not None and type == frame.GOSSIP:
            self.captured.append((node, body))

    def turn(self, node: str, stack: Stack, now: float) -> None:
        """A node has handled an event."""

    def _observe(self, now: float, node: str, effect: events.Effect) -> None:
        match effect:
            case events.Gossiped(payload=data):
                self.heard[data].append(Heard(node, now, effect))
            case events.Resonated(ref, id):
                if self.published.get(ref, ("", 0.0))[0] == node:
                    self.ids[ref] = id
            case events.ConnectFailed(_, error):
                self.failed.append(str(error))
            case events.PeerDown(_, reason):
                self.downs.append((now, node, reason))
            case _:
                pass

    # What came of it

    def reached(self, number: int) -> dict[str, float]:
        """When a message was first in the open at each node that has it."""
        if number not in self.ids:
            return {}
        return {name: times[0][0] for name, times in self.seen[self.ids[number]].items()}

    def fluffed_at(self, number: int) -> float:
        """When a message came into the open anywhere; it is its author's time without a stem."""
        return min(self.reached(number).values())

    def delivery(self, numbers: Iterable[int], due: Sequence[str] | None = None) -> float:
        """Which part of the deliveries took place: to `due`, or to all that a path leads to."""
        wanted = made = 0
        for number in numbers:
            names = self.reachable(self.published[number][0]) if due is None else due
            have = self.reached(number)
            wanted += len(names)
            made += sum(name in have for name in names)
        return made / wanted

    def latencies(self, numbers: Iterable[int], *, walk: bool = False) -> list[float]:
        """How long each delivery took, in order: from the fluff, or with the `walk` before it."""
        took: list[float] = []
        for number in numbers:
            start = self.published[number][1] if walk else self.fluffed_at(number)
            reached = self.reached(number).items()
            took += [at - start for name, at in reached if name not in self.evil and at > start]
        return sorted(took)

    def payloads(self, messages: int) -> float:
        """How many copies honest nodes sent for each node and message."""
        return self.total("forwarded", "served") / len(self.honest) / messages

    def total(self, *names: str) -> int:
        """The sum of some counts over all honest nodes."""
        return sum(self.overlay(node).spread.stats[name] for node in self.honest for name in names)

    def twice(self) -> int:
        """How many messages were delivered again at some honest node."""
        return sum(
            len(times) - 1
            for nodes in self.seen.values()
            for name, times in nodes.items()
            if name not in self.evil
        ) + sum(
            count - 1
            for heard in self.heard.values()
            for (name, *_), count in Counter(
                (each.node, each.gossip.id, each.gossip.intent, each.gossip.key) for each in heard
            ).items()
            if name not in self.evil
        )

    def check(self) -> None:
        """What must hold in every mesh."""
        assert self.hop_max <= 10, "forwarded beyond the last hop"
        assert self.late == 0, "forwarded after it has expired"
        assert self.twice() == 0, "delivered twice"
        for name in self.honest:
            overlay = self.overlay(name)
            overlay.spread.check_invariants()

    def digest(self) -> str:
        """A fingerprint of the whole run."""
        told = [
            (id.hex(), name, times)
            for id, nodes in self.seen.items()
            for name, times in nodes.items()
        ]
        return hashlib.sha256(repr((told, self.world.digest)).encode()).hexdigest()


def payload(number: int) -> bytes:
    """What the message with this number says."""
    return b"message %06d" % number


def percentile(times: Sequence[float], percent: float) -> float:
    """One of the sorted `times`, in seconds."""
    return times[min(len(times) - 1, int(len(times) * percent / 100))]


# Who misbehaves


class Hand(Adversary):
    """An honest node in all but what its owner lets it send."""

    kind = "hand"

    def __init__(self, seed: int = 0, targets: Sequence[str] = (), from_s: float = 0.0) -> None:
        super().__init__(Random(seed), targets, from_s)
        self.told: list[tuple[float, int, int, bytes]] = []
        """When it got which frame, from whom: time, peer, type, body."""

    def on_frame(
        self, live: Live, type: int, body: bytes, now: float
    ) -> Sequence[tuple[int, bytes]]:
        """Write it down."""
        self.told.append((now, live.peer, type, body))
        return ((type, body),)

    def message(self, inside: Inside, **more: Any) -> bytes:
        """The body of a message of its realm, with a stamp if those are asked for."""
        shared, gossiping = self.stack.shared, self.stack.gossiping
        raw = seal(
            gossiping.realm,
            inside,
            topic_key=more.pop("topic_key", None),
            expiry_s=expiry(shared.wall() / 1000),
            urgent=more.pop("urgent", False),
            shard=0,
            entropy=self.rng.randbytes,
            **more,
        )
        return self.stamp(raw)

    def stamp(self, raw: bytes) -> bytes:
        """Stamp an envelope as honest nodes do."""
        bits = self.stack.gossiping.overlays[0].difficulty.advised(self.world.now)
        if not bits:
            return stamped(None, raw)
        made = self.stack.gossiping.overlays[0]
        item = made._checker.inspect(stamped(None, raw), self.world.now)
        return stamped(stamp.solve(item.id, item.stamped_s, bits), raw)

    def broadcast(self, data: bytes, **more: Any) -> bytes:
        """The body of a broadcast."""
        inside = Inside(protocols.BROADCAST, 1.0, 5, "", data)
        return self.message(inside, **more)

    def gossip(self, live: Live, data: bytes) -> None:
        """Send a frame of spreading, in the shard of everyone."""
        self.send(live, frame.GOSSIP, b"\x00" + data)

    def push(self, live: Live, body: bytes, hop: int = 0) -> None:
        """Push a message."""
        self.gossip(live, push(hop, body))

    def walk(self, live: Live, body: bytes) -> None:
        """Hand a message on along the stem."""
        self.gossip(live, bytes((STEM,)) + body)

    def view(self, live: Live, data: bytes) -> None:
        """Send a message of membership."""
        self.send(live, frame.VIEW, b"\x00" + data)


class Hole(BlackHole):
    """Swallows all gossip, and stays a neighbour."""

    def __init__(self, from_s: float = 0.0) -> None:
        super().__init__(Random(0), (), from_s)


class Herald(Hand):
    """Announces every message it gets, and sends none of them."""

    kind = "herald"

    def on_frame(
        self, live: Live, type: int, body: bytes, now: float
    ) -> Sequence[tuple[int, bytes]]:
        """Announce what is pushed; swallow all other gossip."""
        if type != frame.GOSSIP:
            return ((type, body),)
        if body[1] == PUSH:
            overlay = self.stack.gossiping.overlays[0]
            item = overlay._checker.inspect(body[3:], now)
            for other in self.lives:
                if other is not live:
                    self.gossip(other, ihave(0, (item.id,)))
        return ()


def hops(**more: Any) -> spread.Config:
    """Settings of spreading without comparisons, which would repair what else goes wrong."""
    return spread.Config(sync_s=3600.0, **more)


def rings(names: Sequence[str], *steps: int) -> list[tuple[str, str]]:
    """Pairs: everybody with those so many places further on, round a circle."""
    count = len(names)
    return [(names[at], names[(at + step) % count]) for at in range(count) for step in steps]
