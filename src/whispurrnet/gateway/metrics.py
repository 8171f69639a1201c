"""Figures for Prometheus: the counters of the node as text, without a label, so without a name.

Whoever reads them learns how much happens, never with whom. A figure that does not exist yet, such
as a latency before the first round trip, is left out and not made up.

Source: Prometheus, "Exposition formats", text-based format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

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


def exposition(node: Node) -> str:
    """All figures of a node, as text."""
    return "\n".join([*_lines(node), ""])


def _lines(node: Node) -> Iterator[str]:
    stats = node.stats()
    for metric in METRICS:
        value = stats.get(metric.source)
        if value is not None:
            yield from _figure(metric.name, metric.kind, metric.help, value * metric.factor)
    for name, count in stats["counters"].items():
        yield from _figure(f"{name}_total", "counter", COUNTERS[name], count)


def _figure(name: str, kind: str, help: str, value: float) -> Iterator[str]:
    full = PREFIX + name
    yield f"# HELP {full} {help}"
    yield f"# TYPE {full} {kind}"
    yield f"{full} {value if isinstance(value, int) else format(value, '.15g')}"
