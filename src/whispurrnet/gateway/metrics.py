"""Figures for Prometheus: the counters of the node as text, without a label, so without a name.

Whoever reads them learns how much happens, never with whom. A figure that does not exist yet, such
as a latency before the first round trip, is left out and not made up.

Source: Prometheus, "Exposition formats", text-based format 0.0.4.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from whispurrnet.base.errors import HostError
from whispurrnet.base.meter import COUNTERS

if TYPE_CHECKING:
    from whispurrnet.node.node import Node

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PREFIX: Final = "whispurrnet_"


class _Metric(NamedTuple):
    """A figure of `Node.stats`, as Prometheus has it."""

    source: str
    name: str
    kind: Literal["counter", "gauge"]
    help: str
    factor: float = 1


METRICS: Final = (
    _Metric("connectedPeers", "connected_peers", "gauge", "Peers with a session now."),
    _Metric(
        "quantumSecureConnections",
        "quantum_secure_connections",
        "gauge",
        "Sessions now whose key exchange is hybrid with ML-KEM.",
    ),
    _Metric("neighbours", "neighbours", "gauge", "Peers with whom the node gossips now."),
    _Metric("messagesSent", "messages_sent_total", "counter", "Messages the application sent."),
    _Metric(
        "messagesReceived", "messages_received_total", "counter", "Messages for the application."
    ),
    _Metric(
        "averageLatency",
        "round_trip_seconds",
        "gauge",
        "Mean of the last round trips to the peers.",
        0.001,
    ),
    _Metric(
        "messageProcessingLatency",
        "message_processing_p50_seconds",
        "gauge",
        "Median of how long it took to deal with a reading of a link, of the last 512 timed.",
        0.001,
    ),
    _Metric(
        "messageProcessingLatencyP99",
        "message_processing_p99_seconds",
        "gauge",
        "The same for the slowest hundredth: the least of these times.",
        0.001,
    ),
    _Metric("uptime", "uptime_seconds", "gauge", "How long the node has run.", 0.001),
    _Metric(
        "gossipEfficiency",
        "gossip_efficiency_ratio",
        "gauge",
        "Share of the copies of messages that were new.",
    ),
    _Metric("bytesSent", "session_bytes_sent", "gauge", "Bytes sent in the sessions of now."),
    _Metric(
        "bytesReceived", "session_bytes_received", "gauge", "Bytes received in the sessions of now."
    ),
)


OBJECTS: Final = (
    _Metric("objects", "objects", "gauge", "Whole objects that are kept."),
    _Metric("bytes", "objects_bytes", "gauge", "Bytes that objects and parts of objects take."),
    _Metric("parts", "objects_parts", "gauge", "Objects of which only some chunks are there."),
    _Metric("pinned", "objects_pinned", "gauge", "Objects that are kept until they are unpinned."),
    _Metric(
        "quota", "objects_quota_bytes", "gauge", "How much objects may take; none is no limit."
    ),
    _Metric(
        "free_bytes", "objects_free_bytes", "gauge", "What is free on the disk of the objects."
    ),
    _Metric("fetching", "objects_fetching", "gauge", "Fetches that are going on."),
    _Metric(
        "fetched_bytes",
        "objects_fetched_bytes_total",
        "counter",
        "Bytes of objects that came from peers and were right.",
    ),
)


async def storage(node: Node) -> dict[str, Any]:
    """The figures of the store of objects; none of those of a store that nobody has used yet."""
    objects = node.objects
    figures: dict[str, Any] = {
        "fetching": len(objects.transfers()),
        "fetched_bytes": objects.fetched_bytes,
    }
    if objects.opened:
        with contextlib.suppress(HostError):  # a store that cannot be read has no figures
            figures |= msgspec.structs.asdict(await objects.metrics())
    return figures


def exposition(node: Node, objects: Mapping[str, Any]) -> str:
    """All figures of a node, as text; `objects` are those of `storage`."""
    return "\n".join([*_lines(node.stats(), objects), ""])


def _lines(stats: Mapping[str, Any], objects: Mapping[str, Any]) -> Iterator[str]:
    for metric, figures in (*((m, stats) for m in METRICS), *((m, objects) for m in OBJECTS)):
        value = figures.get(metric.source)
        if value is not None:
            yield from _figure(metric.name, metric.kind, metric.help, value * metric.factor)
    for name, count in stats["counters"].items():
        yield from _figure(f"{name}_total", "counter", COUNTERS[name], count)


def _figure(name: str, kind: str, help: str, value: float) -> Iterator[str]:
    full = PREFIX + name
    yield f"# HELP {full} {help}"
    yield f"# TYPE {full} {kind}"
    yield f"{full} {value if isinstance(value, int) else format(value, '.15g')}"
