"""A thousand spreading cores and nothing else: an overlay of links with delays, on one heap.

Links are symmetric and keep the order of frames; their one-way delays are log-normal with a median
of 51 ms. A crashed node swallows what is sent to it, and nobody notices. A black hole announces
all it gets and never sends any of it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from math import log
from random import Random
from struct import Struct

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.gossip.spread import (
    Add,
    Arrived,
    Config,
    Deliver,
    Effect,
    Fault,
    Item,
    Publish,
    Send,
    Spread,
    Useful,
)
from whispurrnet.gossip.spread_frames import PUSH, SYNC, SYNCED, ihave

DELAY_MEDIAN_S = 0.051
DELAY_SIGMA = 0.5
LIFE_S = 330.0
"""How long a message may be accepted, in seconds: 300, and 30 for clocks that differ."""

START_S = 5.0
"""When the first comparisons of new neighbours are over."""

_BODY = Struct(">16sdIB")


def body(id: bytes, expires_at: float, *, urgent: bool = False, size: int = 64) -> bytes:
    """What `Plain` takes for a message."""
    return _BODY.pack(id, expires_at, int(expires_at), urgent).ljust(size, b"\x00")


class Plain:
    """A checker whose messages say openly what they are. `admitted` counts the dear checks."""

    def __init__(self) -> None:
        self.admitted: Counter[bytes] = Counter()

    def inspect(self, body: bytes, now: float) -> Item:
        if len(body) < _BODY.size:
            raise ProtocolError("too short for a message")
        id, expires_at, stamped_s, urgent = _BODY.unpack_from(body)
        if expires_at > now + LIFE_S or urgent > 1:
            raise ProtocolError("no message expires so late")
        return Item(id=id, expires_at=expires_at, stamped_s=stamped_s, urgent=bool(urgent))

    def admit(self, item: Item, body: bytes, now: float) -> None:
        if body[_BODY.size :].startswith(b"forged"):
            raise ProtocolError("forged")
        self.admitted[item.id] += 1


class Overlay:
    """A network of cores.

    Args:
        n: How many nodes.
        seed: Of everything.
        config: Of each core.
        crashed: Which part of the nodes has crashed.
        holes: Which part are black holes.
        comparing: Whether comparisons are carried; without them it shows what the rest can do.
        links: The pairs of neighbours; by default 8 random ones for each node.
    """

    def __init__(
        self,
        n: int,
        seed: int,
        config: Config | None = None,
        *,
        crashed: float = 0.0,
        holes: float = 0.0,
        comparing: bool = False,
        links: list[tuple[int, int]] | None = None,
    ) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.config = config or Config()
        self.comparing = comparing
        self.checkers = [Plain() for _ in range(n)]
        self.nodes = [Spread(self.config, self.checkers[k], self.rng) for k in range(n)]
        self.delays: list[dict[int, float]] = [{} for _ in range(n)]
        for one, other in _circles(n, self.rng) if links is None else links:
            if one != other and other not in self.delays[one]:
                delay = self.rng.lognormvariate(log(DELAY_MEDIAN_S), DELAY_SIGMA)
                self.delays[one][other] = self.delays[other][one] = delay
        bad = self.rng.sample(range(n), round(n * (crashed + holes)))
        self.crashed = dict.fromkeys(bad[: round(n * crashed)])
        self.holes = dict.fromkeys(bad[round(n * crashed) :])
        self.honest = [k for k in range(n) if k not in self.crashed and k not in self.holes]
        self.heap: list[tuple[float, int, int, int, bytes]] = []
        self.order = 0
        self.ticks: list[float] = [float("inf")] * n
        self.events = 0
        self.hop_max = 0
        self.late_pushes = 0
        self.faults: Counter[str] = Counter()
        self.published: dict[bytes, tuple[int, float]] = {}
        self.delivered: dict[bytes, dict[int, float]] = {}
        self.twice = 0
        self.captured: list[tuple[int, bytes]] | None = None
        """Who got which frame, if anybody wants to know."""
        for node in self.honest:
            for peer in self.delays[node]:
                self.do(node, Add(peer))
        self.run(START_S)

    def publish(
        self, node: int, *, life_s: float = 300.0, urgent: bool = False, size: int = 64
    ) -> bytes:
        """Let a node publish a message now; return its id."""
        id = self.rng.randbytes(16)
        self.published[id] = node, self.now
        self.delivered[id] = {}
        self.do(node, Publish(body(id, self.now + life_s, urgent=urgent, size=size)))
        return id

    def leave(self, node: int) -> None:
        """Let a node crash; what it has sent is on its way."""
        self.crashed[node] = None
        self.honest.remove(node)

    def do(self, node: int, event: Add | Arrived | Publish | Tick) -> None:
        """Let a node take an event."""
        core = self.nodes[node]
        self._perform(node, core.handle(event, self.now))
        due = core.deadline
        if due is not None and due < self.ticks[node]:
            self.ticks[node] = due
            self._push(max(due, self.now), node, -1, b"")

    def run(self, until: float) -> None:
        """Let time pass."""
        heap = self.heap
        while heap and heap[0][0] <= until:
            at, _, node, sender, data = heapq.heappop(heap)
            self.now = at
            if node in self.crashed:
                continue
            self.events += 1
            if sender < 0:
                if self.ticks[node] <= at:
                    self.ticks[node] = float("inf")
                    self.do(node, Tick())
            elif node in self.holes:
                self._swallow(node, data)
            else:
                if self.captured is not None:
                    self.captured.append((node, data))
                self.do(node, Arrived(sender, data))
        self.now = until

    def _perform(self, node: int, effects: list[Effect]) -> None:
        delays = self.delays[node]
        for effect in effects:
            if type(effect) is Send:
                data = effect.data
                if data[0] == PUSH:
                    self.hop_max = max(self.hop_max, data[1])
                    self.late_pushes += _BODY.unpack_from(data, 2)[1] <= self.now
                elif data[0] in (SYNC, SYNCED) and not self.comparing:
                    continue
                self._push(self.now + delays[effect.peer], effect.peer, node, data)
            elif type(effect) is Deliver:
                times = self.delivered.setdefault(effect.item.id, {})
                self.twice += node in times
                times[node] = self.now
            elif type(effect) is Fault:
                self.faults[effect.kind] += 1
            else:
                assert type(effect) is Useful

    def _swallow(self, node: int, data: bytes) -> None:
        if data[0] == PUSH:
            for peer, delay in self.delays[node].items():
                self._push(self.now + delay, peer, node, ihave(0, (data[2:18],)))

    def _push(self, at: float, node: int, sender: int, data: bytes) -> None:
        self.order += 1
        heapq.heappush(self.heap, (at, self.order, node, sender, data))

    # What came of it

    def reachable(self, start: int) -> list[int]:
        """The honest nodes that a path of honest ones leads to."""
        honest, found = dict.fromkeys([*self.honest, start]), dict.fromkeys([start])
        todo = [start]
        while todo:
            for peer in self.delays[todo.pop()]:
                if peer in honest and peer not in found:
                    found[peer] = None
                    todo.append(peer)
        return list(found)

    def delivery(self) -> float:
        """Which part of the deliveries took place that should have."""
        due = got = 0
        live = dict.fromkeys(self.honest)
        for id, (publisher, _) in self.published.items():
            wanted = [node for node in self.reachable(publisher) if node in live]
            due += len(wanted)
            got += sum(node in self.delivered[id] for node in wanted)
        return got / due

    def latencies(self) -> list[float]:
        """How long each delivery took, in seconds and in order; those at the publisher not."""
        return sorted(
            at - self.published[id][1]
            for id, times in self.delivered.items()
            for node, at in times.items()
            if node != self.published[id][0]
        )

    def payloads(self) -> float:
        """How many copies were sent for each node and message."""
        sent = sum(
            self.nodes[k].stats["forwarded"] + self.nodes[k].stats["served"] for k in self.honest
        )
        return sent / len(self.honest) / len(self.published)


def _circles(n: int, rng: Random) -> list[tuple[int, int]]:
    """Four random circles through all nodes: each node has 8 neighbours, but for chance."""
    links: list[tuple[int, int]] = []
    for _ in range(4):
        circle = rng.sample(range(n), n)
        links += zip(circle, circle[1:] + circle[:1], strict=True)
    return links
