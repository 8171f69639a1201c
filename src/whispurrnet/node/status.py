"""What a node says of itself: snapshots, ready for JSON. The schema is that of the REST API.

The seeds' names are kept where they have one (B21, D23); none of it holds a key or a body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from whispurrnet.base.log import get
from whispurrnet.node.attempts import outlook
from whispurrnet.stack.moving import RELAYED

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer

log = get(__name__)


class PeerStatus(msgspec.Struct, frozen=True):
    """One row of the table of peers."""

    id: str
    name: str
    connected: bool
    path: str
    suite: str
    level: int
    rtt_ms: float | None
    seen_s: float
    """How long ago it was last connected, in seconds; 0 while it is."""
    trust: str
    queued: int
    bytes_sent: int
    bytes_received: int
    reason: str = ""
    """Why it is not connected, or only through a relay."""
    cure: str = ""
    presence: str = ""
    """How it says it is doing: `online`, `away`, `busy`, `asleep`; `offline` if it is away."""
    note: str = ""
    """What it says to that: its own words."""


class Problem(msgspec.Struct, frozen=True):
    """Something that is not as it should be, and what to do."""

    what: str
    why: str
    cure: str


class RelayStatus(msgspec.Struct, frozen=True):
    """What this node does for others as a relay, and relays for it: counts, no names."""

    on: bool = False
    """Whether it is one."""
    places: int = 0
    """How many peers may be reached through it."""
    circuits: int = 0
    """How many pairs of peers it has joined, those included that wait for one of them."""
    carried_bytes: int = 0
    """What it has carried for them."""
    held: int = 0
    """At how many relays it has a place itself."""
    wanted: int = 0
    """How many are set in `nat.relays`."""


class Status(msgspec.Struct, frozen=True):
    """The whole node at one moment."""

    verdict: str
    """One line: how it is."""
    state: str
    """NotListening, Starting, Listening or ShuttingDown."""
    id: str
    name: str
    version: str
    profile: str
    level: int
    expires_s: float
    """After how many seconds the ephemeral identity is replaced."""
    uptime_s: float
    listening: list[str]
    intents: list[str]
    peers: list[PeerStatus]
    problems: list[Problem]
    presence: str = "online"
    """How this node says it is doing."""
    note: str = ""
    relay: RelayStatus = RelayStatus()


def relay_status(node: Node) -> RelayStatus:
    """The node as a relay, and as a user of relays."""
    relaying = node.stack.relaying
    return RelayStatus(
        on=relaying.relay.config.on,
        places=relaying.relay.places,
        circuits=relaying.relay.circuits,
        carried_bytes=relaying.carried + node.carried_bytes,
        held=len(relaying.client.placed),
        wanted=len(node.settings.nat.relays),
    )


def peer_status(node: Node, peer: Peer) -> PeerStatus:
    """One row of the table of peers."""
    connected = peer.connected
    presence, words = peer.presence
    reason = "" if connected else node.why_away(peer)
    if peer.path.startswith(RELAYED):
        reason = outlook(node, peer).reason
    cure = f"whispurr why {peer.name}" + ("" if connected else "; or: whispurr join TICKET")
    return PeerStatus(
        id=peer.id,
        name=peer.name,
        connected=connected,
        path=peer.path,
        suite=peer.suite,
        level=peer.level,
        rtt_ms=peer.rtt_ms,
        seen_s=0.0 if connected else round(node.away_s(peer), 1),
        trust=peer.trust,
        queued=peer.queued,
        bytes_sent=peer.bytes_sent,
        bytes_received=peer.bytes_received,
        reason=reason,
        cure=cure if reason or not connected else "",
        presence=presence,
        note=words,
    )


_ALONE = Problem(
    "no peers",
    "nobody was found on the local network, and nobody was joined",
    "start `whispurr up` on another machine here, or: whispurr join TICKET",
)
_UNSEARCHED = Problem(
    "no peers",
    "nobody was joined, and the local network is not searched",
    "whispurr join TICKET, or set lan.enabled = true",
)


def status(node: Node) -> Status:
    """The whole node."""
    peers = [peer_status(node, peer) for peer in node.known_peers]
    problems = list(node.problems)
    lan = node.settings.lan.enabled
    if not any(peer.connected for peer in peers) and (lan or not node.settings.nat.relay):
        problems.append(_ALONE if lan else _UNSEARCHED)
    if node.membership.role == "outsider":
        problems.append(
            Problem(
                "no member",
                "the realm is closed, and nobody has let this node in, or not for so long",
                "ask a member for an invite, then: whispurr join",
            )
        )
    connected = sum(peer.connected for peer in peers)
    verdict = f"{'up' if node.state.value == 'Listening' else node.state.value}, {connected} peer"
    verdict += "" if connected == 1 else "s"
    if problems:
        verdict += f", {len(problems)} problem{'s' if len(problems) > 1 else ''}: "
        verdict += problems[0].what
    presence, note = node.presence
    return Status(
        verdict=verdict,
        state=node.state.value,
        id=node.id,
        name=node.name,
        version=node.version,
        profile=node.settings.profile,
        level=node.settings.session.level,
        expires_s=round(node.identity.expires_s, 1),
        uptime_s=round(node.uptime_s, 1),
        listening=list(node.listeners),
        intents=list(node.intents),
        peers=peers,
        problems=problems,
        presence=presence,
        note=note,
        relay=relay_status(node),
    )


def stats(node: Node) -> dict[str, Any]:
    """Counters by the seeds' names (B21, D23) and ours; nobody's name is among them.

    `averageLatency` is the mean of the last round trips to each peer; `messageProcessingLatency`
    the median of how long readings of links took here (see `node.latency`), and with `P99` what
    all but the slowest hundredth stay below: all in milliseconds. `gossipEfficiency` is the share
    of the copies of messages that were new here, `natTraversalSuccessRate` the share of attempts to
    reach a peer by WebRTC that made a link. They are null until there is something to tell.
    `bytesSent` and `bytesReceived` are those of the sessions that stand now. Figures of parts that
    this version does not have are left out.
    """
    lives = [record.live for record in node.stack.roster if record.live is not None]
    rtts = [peer.rtt_s for peer in node.peers if peer.rtt_s is not None]
    spread = gossip(node)
    copies = spread["received"] + spread["duplicates"]
    counts = node.stack.shared.meter.snapshot()
    taken = node.processing
    return {
        "connectedPeers": len(lives),
        "quantumSecureConnections": sum(live.level > 0 for live in lives),
        "messagesSent": node.counters["sent"],
        "messagesReceived": node.counters["received"],
        "averageLatency": round(sum(rtts) / len(rtts) * 1000, 3) if rtts else None,
        "messageProcessingLatency": taken.p50_ms if taken else None,
        "messageProcessingLatencyP99": taken.p99_ms if taken else None,
        "uptime": int(node.uptime_s * 1000),
        "activeExtensions": node.extensions,
        "gossipEfficiency": round(spread["received"] / copies, 4) if copies else None,
        "bytesSent": sum(live.channel.bytes_sent for live in lives),
        "bytesReceived": sum(live.channel.bytes_received for live in lives),
        "identityRotations": counts["rotations"],
        "natTraversalSuccessRate": _rate(node.nat.successes, node.nat.attempts),
        "neighbours": len(node.neighbours()),
        "gossip": spread,
        "counters": counts,
    }


def _rate(successes: int, attempts: int) -> float | None:
    """A share; null until there is something to tell."""
    return round(successes / attempts, 4) if attempts else None


def gossip(node: Node) -> dict[str, int]:
    """What became of the messages that spread through this node, in all its shards."""
    return node.stack.gossiping.stats()


def debug(node: Node) -> dict[str, Any]:
    """What helps to find a fault: sizes and counters, no keys, no payload, no names."""
    stack = node.stack
    return {
        "version": node.version,
        "state": node.state.value,
        "loop": type(node.loop).__module__,
        "records": len(stack.roster),
        "links": len(stack.links.states),
        "sessions": [
            {
                "path": live.path,
                "suite": live.suite,
                "epoch": live.channel.epoch,
                "records_sent": live.channel.records_sent,
                "paused": live.paused,
                "fragments_waiting": sum(map(len, live.fragments.values())),
            }
            for record in stack.roster
            if (live := record.live) is not None
        ],
        "identities": len(stack.shared.identities),
        "overlays": [
            {
                "shard": overlay.shard,
                "neighbours": len(overlay.neighbours),
                "contacts": len(overlay.membership.passive),
                "stamp_bits": overlay.difficulty.bits(node.now()),
                "messages_per_s": round(overlay.difficulty.load_per_s(node.now()), 3),
            }
            for overlay in stack.gossiping.overlays.values()
        ],
        "stats": stats(node),
    }
