"""What came of a simulation, in the figures of the literature.

- delivery: of the deliveries that were due, the share that was made; `worst` is that of the
  message that fared worst. Due is a delivery to an honest node that ran from when the message was
  sent to the end, and that honest sessions connected with its author when it was sent.
- LDH, last-delivery hop: over how many hops the last copy of a message came that was delivered.
- RMR, relative message redundancy: bodies received / (nodes - 1) - 1, so 0 is one body each.
- control: frames of gossip that carry no body, for each node and message.

LDH and RMR: Leitão, Pereira, Rodrigues, "Epidemic Broadcast Trees", SRDS 2007, section 4.
A result holds nothing that is not decided by scenario, seed and code: it can be compared byte by
byte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from whispurrnet.sim.checks import Breach

SCHEMA = 1
CDF_POINTS = 101
BINS = 40


class Percentiles(msgspec.Struct, frozen=True):
    """Of a set of durations, in seconds; all 0 if there is none."""

    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Bin(msgspec.Struct, frozen=True, array_like=True):
    """What became of the messages sent in one part of the run."""

    from_s: float
    due: int
    made: int


class Figures(msgspec.Struct, frozen=True):
    """What came of one workload."""

    kind: str
    messages: int
    """How many were sent."""
    unsent: int
    """How many could not be sent: the node had no peer, or refused."""
    due: int
    """How many deliveries should have been made."""
    made: int
    """How many of these were."""
    delivery: float
    """The second by the first; 1 if none was due."""
    worst: float
    """The same of the message that fared worst."""
    beyond: int
    """Deliveries besides: to nodes that came or were joined later."""
    ldh_mean: float
    ldh_max: int
    latency_s: Percentiles
    cdf_s: tuple[float, ...]
    """The latency that 0 %, 1 % ... of the deliveries stayed within, in seconds."""
    over_time: tuple[Bin, ...]
    """By when the messages were sent."""


class Spreading(msgspec.Struct, frozen=True):
    """What all messages cost that spread from node to node."""

    messages: int = 0
    payloads: int = 0
    """Bodies that honest nodes received."""
    payloads_per_node: float = 0.0
    """The same for each node and message."""
    rmr: float = 0.0
    stem: int = 0
    """Bodies on their stem, not counted above."""
    control: int = 0
    control_per_node: float = 0.0
    """Frames without a body, for each node and message."""


class Result(msgspec.Struct, frozen=True):
    """What came of a run."""

    schema: int
    version: str
    scenario: str
    seed: int
    digest: str
    """The same for the same scenario, seed and code."""
    ok: bool
    """Whether every check held."""
    breaches: tuple[Breach, ...]
    """What did not hold, at most 20 of a kind."""
    nodes: int
    honest: int
    hostile: dict[str, int]
    crashed: int
    """How many stopped, also those that came back."""
    simulated_s: float
    events: int
    sessions: int
    """How often two nodes became peers."""
    connected: float
    """Which share of the honest nodes is in the largest piece at the end."""
    eclipsed: float
    """Of the sessions of the honest node worst off, the share with hostile ones at the end."""
    relayed: float
    """Of the sessions of the honest nodes, the share that goes through a relay at the end."""
    bytes_sent: int
    refused: int
    """How often a node refused its application something."""
    spreading: Spreading
    """Of all but emergencies; its control is that of everything."""
    urgent: Spreading
    """Of emergencies, which every node pushes to all of its neighbours."""
    frames: dict[str, int]
    """How many frames honest nodes got, by kind."""
    work: tuple[Figures, ...]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed (nearest rank); 0 if there is none."""
    if not ordered:
        return 0.0
    rank = math.ceil(share * len(ordered) - 1e-9)
    return ordered[max(0, min(len(ordered), rank) - 1)]


def percentiles(durations: Sequence[float]) -> Percentiles:
    """The usual four."""
    ordered = sorted(durations)
    found = (percentile(ordered, share) for share in (0.5, 0.9, 0.99, 1.0))
    return Percentiles(*(round(value, 6) for value in found))


def cdf(durations: Sequence[float]) -> tuple[float, ...]:
    """The latency that each hundredth stays within; empty if there is none."""
    ordered = sorted(durations)
    if not ordered:
        return ()
    last = CDF_POINTS - 1
    return tuple(round(percentile(ordered, n / last), 6) for n in range(CDF_POINTS))


def spreading(
    messages: int, reached: int, *, payloads: int, stem: int = 0, control: int = 0
) -> Spreading:
    """The cost of gossip.

    Args:
        messages: How many were sent.
        reached: For each message the nodes it could have reached, its author too; added up.
        payloads: How many bodies were received.
        stem: How many on their stem.
        control: How many frames without one.
    """
    others = reached - messages
    return Spreading(
        messages=messages,
        payloads=payloads,
        payloads_per_node=round(payloads / reached, 4) if reached else 0.0,
        rmr=round(payloads / others - 1.0, 4) if others > 0 else 0.0,
        stem=stem,
        control=control,
        control_per_node=round(control / reached, 4) if reached else 0.0,
    )


def encode(result: Result) -> bytes:
    """A result as JSON, for `result.json`."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
