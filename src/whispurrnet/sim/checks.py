"""What must hold in a simulation: at every step, and at the end.

At every step: no message is delivered twice, to somebody it is not for, or changed; none that was
acknowledged was not delivered; whispers of one sender arrive in order; nothing is passed on by an
honest node beyond its hops or its time; no table of a node outgrows its bound. At the end: what
the scenario expects. A breach does not end the run, so that one run tells all it can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from whispurrnet.stack.live import Live
from whispurrnet.stack.stack import Stack
from whispurrnet.wire import frame

if TYPE_CHECKING:
    from whispurrnet.sim.report import Figures, Spreading
    from whispurrnet.sim.scenario import Scenario

BREACHES_MAX = 20
"""So many are told of each kind; the others are counted."""

HOPS_MAX = 10
LATE_S = 5.0
"""How long after its expiry a message may still be under way."""

TURNS_PER_CHECK = 256

PUSH, STEM, URGENT = 1, 16, 256
"""Frames with a message: pushed to be passed on, on its stem, or (counted apart) an emergency."""

_EXPIRY, _CLASS = slice(26, 30), 138
"""Where a push has the time it expires, and its class: shard, kind, hop, stamp 17, and then the
version, the hint of the realm 4, the shard, EXPIRY 4, a nonce 12, slots 96 and the CLASS."""


class Breach(msgspec.Struct, frozen=True):
    """Something that should have held and did not."""

    check: str
    at_s: float
    node: str
    detail: str


class Checks:
    """Collects what did not hold.

    Args:
        wall_s: Unix time in seconds, of the world.
        honest: Whether what arrives at a node by a link was sent by an honest one.
    """

    def __init__(self, wall_s: Callable[[], float], honest: Callable[[str, int], bool]) -> None:
        self.breaches: list[Breach] = []
        self.count = 0
        """How many there were, also those that are not kept."""
        self._wall_s = wall_s
        self._honest = honest
        self._kept: dict[str, int] = {}
        self._turns = 0

    def breach(self, check: str, at_s: float, node: str, detail: str) -> None:
        """Note that something did not hold."""
        self.count += 1
        self._kept[check] = self._kept.get(check, 0) + 1
        if self._kept[check] <= BREACHES_MAX:
            self.breaches.append(Breach(check, round(at_s, 6), node, detail))

    def frame(self, node: str, live: Live, type: int, body: bytes, now: float) -> None:
        """What one node passed on to another is within its hops and its time."""
        if type != frame.GOSSIP or len(body) < _EXPIRY.stop or body[1] != PUSH:
            return
        late_s = self._wall_s() - int.from_bytes(body[_EXPIRY])
        if body[2] <= HOPS_MAX and late_s <= LATE_S:
            return
        if self._honest(node, live.link):
            if body[2] > HOPS_MAX:
                self.breach("hops", now, node, f"a message came with hop {body[2]}")
            if late_s > LATE_S:
                self.breach("expiry", now, node, f"a message came {late_s:.0f} s too late")

    def turn(self, node: str, stack: Stack, now: float) -> None:
        """From time to time: the tables of a node are within their bounds."""
        self._turns += 1
        if self._turns % TURNS_PER_CHECK:
            return
        config = stack.shared.config
        links, records = len(stack.links.states), sum(1 for _ in stack.roster)
        if links > config.links_max + config.pool.peers_max:
            self.breach("bounds", now, node, f"{links} links")
        if records > config.records_max + 1:
            self.breach("bounds", now, node, f"{records} peers remembered")

    def at_end(
        self,
        scenario: Scenario,
        figures: tuple[Figures, ...],
        spreading: Spreading,  # of the messages that are not urgent
        connected: float,
        now: float,
    ) -> None:
        """What the scenario expects."""
        expect = scenario.expect

        def ask(name: str, what: str, value: float, bound: float | None, *, least: bool) -> None:
            if bound is not None and (value < bound if least else value > bound):
                word = "least" if least else "most"
                self.breach(
                    name, now, "", f"{what}: {value:.5g}, expected {bound:.5g} at the {word}"
                )

        for work, figure in zip(scenario.work, figures, strict=True):
            of = figure.kind
            ask("delivery_min", of, figure.delivery, expect.delivery_min, least=True)
            ask("worst_min", of, figure.worst, expect.worst_min, least=True)
            most = work.latency_p99_max_s
            most = expect.latency_p99_max_s if most is None else most
            ask("latency_p99_max_s", of, figure.latency_s.p99, most, least=False)
        payloads = spreading.payloads_per_node
        ask("payloads_max", "gossip", payloads, expect.payloads_max, least=False)
        ask("connected_min", "honest nodes", connected, expect.connected_min, least=True)


class Frames:
    """Counts the frames that honest nodes get, by type; those of gossip by their kind, too."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], list[int]] = {}

    def note(self, type: int, body: bytes) -> None:
        """Count one."""
        kind = body[1] if type == frame.GOSSIP and len(body) > 1 else 0
        if kind == PUSH and len(body) > _CLASS and body[_CLASS]:
            kind = URGENT
        key = (type, kind)
        count = self._counts.get(key)
        if count is None:
            self._counts[key] = [1, len(body)]
        else:
            count[0] += 1
            count[1] += len(body)

    def of(self, type: int, kind: int = 0) -> int:
        """How many there were of one sort."""
        return self._counts.get((type, kind), (0, 0))[0]

    def by_name(self) -> dict[str, int]:
        """How many there were of each sort, by name."""
        kinds = {
            PUSH: "push",
            URGENT: "push urgent",
            2: "ihave",
            3: "iwant",
            4: "sync",
            5: "synced",
            STEM: "stem",
        }
        named: dict[str, int] = {}
        for (type, kind), (count, _) in sorted(self._counts.items()):
            name = frame.PROTOCOLS.get(type, f"type {type}")
            if kind:
                name += " " + kinds.get(kind, str(kind))
            named[name] = count
        return named
