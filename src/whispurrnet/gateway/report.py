"""What a node says of itself for strangers who help: safe to paste, by construction.

Nothing is taken out of a text: no text goes in. Every value is a number, a truth value, or a word
of a closed set that stands in this program; what is not in its set becomes `other`. So no id, name,
address, path, topic, secret or message of an error can be in it, whatever a peer or a user wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

import msgspec

from whispurrnet.base.meter import COUNTERS
from whispurrnet.gateway.answers import Answer
from whispurrnet.gateway.checkup import check_up
from whispurrnet.gossip.spread_events import COUNTS
from whispurrnet.node import status as snapshots
from whispurrnet.node.prospects import blame
from whispurrnet.node.settings import KEYS, Settings
from whispurrnet.version import VERSION

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer

OTHER: Final = "other"
SET: Final = "set"
STATES: Final = ("NotListening", "Starting", "Listening", "ShuttingDown")
PATHS: Final = (
    *("none", "direct tcp", "direct tls", "direct ws", "direct wss", "direct memory"),
    *("direct quic", "direct webrtc", "direct ble", "relay", "onion"),
)
TRANSPORTS: Final = ("tcp", "tls", "ws", "wss", "memory", "quic")
LOOPS: Final = {"uvloop": "uvloop", "asyncio.unix_events": "asyncio"}
TRUSTS: Final = ("revoked", "unknown", "seen", "introduced", "verified")
PLACES: Final = ("", "you", "your machine", "the network", "the peer")
PROBLEMS: Final = (
    *("no peers", "not seen on the local network", "stealth is only partly there"),
    *("bootstrap", "the pins cannot be kept", "the certificate cannot be renewed"),
    *("the TLS around a link", OTHER),
)
"""How what is wrong begins."""


class PeerReport(Answer, frozen=True):
    """One peer, of whom nothing is said that tells who it is."""

    connected: bool
    path: str
    level: int
    trust: str
    called_by_us: bool
    friend: bool
    neighbour: bool
    since_s: int
    """For how long it has been connected, or away."""
    queued: int
    fault: str
    """Where the fault is that it is away: one of `PLACES`."""


class ReportAnswer(Answer, frozen=True):
    """What helps to help, and tells nothing of whom."""

    version: str
    state: str
    loop: str
    uptime_s: int
    listening: dict[str, int]
    """How many addresses of each transport."""
    intents: int
    settings: dict[str, bool | int | float | str]
    """Those that are not as by default; of a text only that it is set, of a list its size."""
    checks: dict[str, str]
    problems: dict[str, int]
    peers: tuple[PeerReport, ...]
    counters: dict[str, int]
    gossip: dict[str, int]
    processing_us: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """How long readings of links take, in microseconds: `p50` and `p99`; empty before the first."""
    objects: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """How full the store of objects is, and how many are being fetched."""


def report(
    node: Node, settings: Settings, objects: Mapping[str, int | None] = MappingProxyType({})
) -> ReportAnswer:
    """The report of a node; `objects` are the figures of `metrics.storage`."""
    counters = node.stack.shared.meter.snapshot()
    spread = snapshots.gossip(node)
    neighbours = {one.peer.handle for one in node.neighbours()}
    return ReportAnswer(
        version=VERSION,
        state=word(node.state.value, STATES),
        loop=LOOPS.get(type(node.loop).__module__, OTHER),
        uptime_s=int(node.uptime_s),
        listening=_count(map(_transport, node.listeners)),
        intents=len(node.intents),
        settings=changed(settings),
        checks={check.title: check.state for check in check_up(node, settings).checks},
        problems=_problems(problem.what for problem in node.status().problems),
        peers=tuple(_peer(node, peer, peer.handle in neighbours) for peer in node.known_peers),
        counters={name: int(counters.get(name, 0)) for name in COUNTERS},
        gossip={name: int(spread.get(name, 0)) for name in COUNTS},
        processing_us=_processing(node),
        objects={name: int(value) for name, value in objects.items() if value is not None},
    )


def _processing(node: Node) -> dict[str, int]:
    taken = node.processing
    if taken is None:
        return {}
    return {"p50": int(taken.p50_ms * 1000), "p99": int(taken.p99_ms * 1000)}


def word(text: str, known: Iterable[str]) -> str:
    """A word of a closed set, or `other`."""
    return next((one for one in known if one == text), OTHER)


def changed(settings: Settings) -> dict[str, bool | int | float | str]:
    """The settings that are not as by default, as far as that can be told."""
    usual = dict(Settings().items())
    return {path: _value(path, value) for path, value in settings.items() if value != usual[path]}


def _value(path: str, value: Any) -> bool | int | float | str:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple):
        return len(value)
    kind = KEYS[path]
    words = get_args(kind) if get_origin(kind) is not None else ()
    return next((one for one in words if isinstance(one, str) and one == value), SET)


def _transport(address: str) -> str:
    """The transport of an address: its last part that is one."""
    parts = address.split("/")
    return next((part for part in reversed(parts) if part in TRANSPORTS), OTHER)


def _problems(found: Iterable[str]) -> dict[str, int]:
    return _count(
        next((known for known in PROBLEMS if what.startswith(known)), OTHER) for what in found
    )


def _count(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in words:
        counts[one] = counts.get(one, 0) + 1
    return counts


def _peer(node: Node, peer: Peer, neighbour: bool) -> PeerReport:
    live = peer.record.live
    return PeerReport(
        connected=live is not None,
        path=word(peer.path, PATHS),
        level=peer.level,
        trust=word(peer.trust, TRUSTS),
        called_by_us=live is not None and live.initiator,
        friend=live is not None and live.friend,
        neighbour=neighbour,
        since_s=int(node.away_s(peer) if live is None else peer.since_s or 0.0),
        queued=peer.queued,
        fault="" if live is not None else word(blame(node.why_away(peer)), PLACES),
    )
