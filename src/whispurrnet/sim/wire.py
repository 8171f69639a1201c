"""The network between simulated nodes: latency, loss, bandwidth, and paths that are cut.

A link is an ordered stream of bytes, as TCP gives it: a lost packet shows as a delay, a narrow path
as a queue that tells its writer to pause, a cut one as silence and, in the end, a lost link.
Datagrams are lost, doubled and overtaken. Nothing here draws chance of its own or knows the time:
both are arguments, so a run is repeated by its seed.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from random import Random
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Span = Annotated[float, Meta(ge=0)]


class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How every link behaves."""

    latency: Literal["uniform", "lognormal"] = "uniform"
    """`uniform`: each packet anew between the two bounds; `lognormal`: each link has its own."""
    latency_min_s: Span = 0.010
    latency_max_s: Span = 0.100
    """Also the longest a log-normal link can be, times ten."""
    latency_median_s: Span = 0.050
    """Half of the log-normal links are faster than this."""
    latency_sigma: Span = 0.4
    """The spread of the logarithm; 0.4: nine of ten links between a half and twice the median."""
    jitter_s: Span = 0.005
    """What a packet may take longer on a log-normal link, at most."""
    loss: Annotated[float, Meta(ge=0, le=0.95)] = 0.0
    """Probability that a packet must be sent again, between 0 and 1."""
    retransmit_s: Span = 0.3
    """What a lost packet costs a stream, in seconds."""
    bandwidth_bytes_per_s: Span = 0.0
    """What each direction of each link carries; 0: no limit."""
    buffer_bytes: Annotated[int, Meta(ge=1)] = 256 * 1024
    """A link with so much to send tells its node to pause, and to go on at half of it."""
    duplication: Share = 0.0
    """Probability that a datagram arrives twice."""
    reordering: Share = 0.0
    """Probability that a datagram is held up, so that others overtake it."""
    reordering_s: Span = 0.5
    """For how long it is held up, at most."""
    cut_after_s: Span = 120.0
    """How long a stream bears silence before the link is lost, in seconds."""
    dial_timeout_s: Span = 3.0
    """When a dial that nothing answers is given up, in seconds."""


class Pipe:
    """One direction of a link.

    Args:
        target: The node at its end.
        link: The number of the link there.
        base_s: The latency of the link itself, in seconds.
    """

    __slots__ = (
        "arrives_at",
        "base_s",
        "dead",
        "doubted",
        "free_at",
        "held",
        "link",
        "open",
        "paused",
        "target",
    )

    def __init__(self, target: str, link: int, base_s: float) -> None:
        self.target = target
        self.link = link
        self.base_s = base_s
        self.arrives_at = 0.0
        """When the last byte sent arrives."""
        self.free_at = 0.0
        """When all that was written is on its way."""
        self.open = True
        self.dead = False
        """The node at its end is gone without a word."""
        self.doubted = False
        """No acknowledgement comes back: the link ends unless that changes."""
        self.paused = False
        self.held: list[bytes] = []
        """What waits for a cut path to be mended."""

    def send(self, size: int, wire: Wire, rng: Random, now: float) -> float:
        """Put `size` bytes on their way; return when they arrive, in seconds."""
        start = now
        if wire.bandwidth_bytes_per_s:
            self.free_at = max(now, self.free_at) + size / wire.bandwidth_bytes_per_s
            start = self.free_at
        self.arrives_at = max(self.arrives_at, start + packet_s(wire, rng, self.base_s))
        return self.arrives_at

    def resumes_at(self, wire: Wire, now: float) -> float | None:
        """When a full buffer will be half empty, or None while it is not full."""
        if not wire.bandwidth_bytes_per_s:
            return None
        full_s = wire.buffer_bytes / wire.bandwidth_bytes_per_s
        return self.free_at - full_s / 2 if self.free_at - now > full_s else None


def link_s(wire: Wire, rng: Random) -> float:
    """Draw the latency of a new link, in seconds; 0 where each packet draws its own."""
    if wire.latency == "uniform":
        return 0.0
    drawn = wire.latency_median_s * math.exp(rng.gauss(0.0, wire.latency_sigma))
    return min(10 * wire.latency_max_s, drawn)


def packet_s(wire: Wire, rng: Random, base_s: float) -> float:
    """Draw how long one packet of a stream takes, in seconds, sent again as often as it must."""
    if wire.latency == "uniform":
        latency_s = wire.latency_min_s
        latency_s += (wire.latency_max_s - wire.latency_min_s) * rng.random()
    else:
        latency_s = base_s + wire.jitter_s * rng.random()
    while wire.loss and rng.random() < wire.loss:
        latency_s += wire.retransmit_s
    return latency_s


def datagram_s(wire: Wire, rng: Random) -> list[float]:
    """Draw when copies of a datagram arrive: none if it is lost, two if it is doubled."""
    copies = 0 if rng.random() < wire.loss else 1
    if copies and wire.duplication and rng.random() < wire.duplication:
        copies = 2
    base_s = link_s(wire, rng)
    lossless = msgspec.structs.replace(wire, loss=0.0) if wire.loss else wire
    arrivals: list[float] = []
    for _ in range(copies):
        latency_s = packet_s(lossless, rng, base_s)
        if wire.reordering and rng.random() < wire.reordering:
            latency_s += wire.reordering_s * rng.random()
        arrivals.append(latency_s)
    return arrivals


class Cuts:
    """Which paths are cut at the moment: what `World.severed` asks."""

    def __init__(self) -> None:
        self._cuts: dict[int, tuple[frozenset[str], bool]] = {}
        self._next = 1

    def __call__(self, source: str, target: str) -> bool:
        """Whether what `source` sends cannot arrive at `target`."""
        for inside, one_way in self._cuts.values():
            leaves, enters = source in inside, target in inside
            if leaves != enters and (leaves or not one_way):
                return True
        return False

    def cut(self, nodes: Collection[str], *, one_way: bool = False) -> int:
        """Separate some nodes from all others; return a number to `mend` it by.

        Args:
            nodes: Those on one side.
            one_way: They still hear the others, but are not heard.
        """
        number, self._next = self._next, self._next + 1
        self._cuts[number] = (frozenset(nodes), one_way)
        return number

    def mend(self, number: int) -> None:
        """Join what a `cut` separated."""
        self._cuts.pop(number, None)
