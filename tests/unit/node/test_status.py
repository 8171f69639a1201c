"""What a node says of itself: one line, and for each problem why and what to do."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from whispurrnet.gossip.spread_events import COUNTS
from whispurrnet.node.latency import Figures
from whispurrnet.node.membership import Membership
from whispurrnet.node.peer import Peer
from whispurrnet.node.status import Problem, debug, peer_status, stats, status

TROUBLE = Problem("not seen on the local network", "the port is taken", "choose another")
BODY = b"do not show this"


def live(level: int = 3) -> Any:
    return SimpleNamespace(
        path="tcp",
        suite="Noise_XK",
        level=level,
        since_s=40.0,
        paused=False,
        fragments={4: [BODY, BODY]},
        channel=SimpleNamespace(bytes_sent=10, bytes_received=20, epoch=1, records_sent=7),
    )


class FakeNode:
    """As much of a node as is shown."""

    def __init__(self, *connected: bool) -> None:
        records: list[Any] = [
            SimpleNamespace(
                id=bytes([n]) * 32,
                persona=None,
                handle=n,
                presence=("away", "out for milk"),
                live=live() if up else None,
            )
            for n, up in enumerate(connected)
        ]
        node: Any = self
        self.known_peers = tuple(Peer(node, record) for record in records)
        self.peers = tuple(peer for peer in self.known_peers if peer.connected)
        self.problems: list[Problem] = []
        self.state = SimpleNamespace(value="Listening")
        self.id, self.name, self.version = "ab" * 32, "brave-otter-01", "1"
        self.settings = SimpleNamespace(
            profile="normal",
            session=SimpleNamespace(level=3),
            nat=SimpleNamespace(relays=("r",), relay=False),
            lan=SimpleNamespace(enabled=True),
        )
        self.carried_bytes = 30
        self.identity = SimpleNamespace(expires_s=59.96)
        self.uptime_s = 12.34
        self.listeners = ("/memory/a",)
        self.intents = ("cats",)
        self.counters = {"sent": 4, "received": 5}
        self.extensions = ["journal"]
        self.presence = ("busy", "digging")
        self.membership = Membership(role="open")
        self.processing: Figures | None = None
        self.loop = object()
        counts = {"rotations": 2.0, "z": 1.0}
        meter = SimpleNamespace(snapshot=lambda: counts)
        shared = SimpleNamespace(meter=meter, identities=[1, 2])
        self.nat = SimpleNamespace(attempts=4, successes=3)
        links = SimpleNamespace(states={1: None})
        self.overlays: dict[int, Any] = {}
        gossiping = SimpleNamespace(overlays=self.overlays, stats=self._stats)
        relay = SimpleNamespace(config=SimpleNamespace(on=True), places=3, circuits=2)
        relaying = SimpleNamespace(relay=relay, carried=70, client=SimpleNamespace(placed=(1,)))
        self.stack = SimpleNamespace(
            roster=records, shared=shared, links=links, gossiping=gossiping, relaying=relaying
        )

    def now(self) -> float:
        return 100.0

    def neighbours(self) -> tuple[Any, ...]:
        return tuple(one for overlay in self.overlays.values() for one in overlay.neighbours)

    def _stats(self) -> dict[str, int]:
        total: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        for overlay in self.overlays.values():
            total.update(overlay.spread.stats)
        return dict(total)

    def spread(self, shard: int, **counts: int) -> None:
        """It is in a shard, in which so much happened."""
        self.overlays[shard] = SimpleNamespace(
            shard=shard,
            neighbours=(1,),
            spread=SimpleNamespace(stats=dict.fromkeys(COUNTS, 0) | counts),
            membership=SimpleNamespace(passive=("somebody", "somebody else")),
            difficulty=SimpleNamespace(bits=lambda _: 14, load_per_s=lambda _: 0.5),
        )

    def away_s(self, peer: Peer) -> float:
        return 3.21

    def why_away(self, peer: Peer) -> str:
        return "its cable"

    def trust_of(self, peer: Peer) -> int:
        return 3

    def queued(self, peer: Peer) -> int:
        return 6


def make(*connected: bool) -> Any:
    return FakeNode(*connected)


@pytest.mark.parametrize(
    ("connected", "problems", "state", "verdict"),
    [
        ((True,), 0, "Listening", "up, 1 peer"),
        ((True, True, False), 0, "Listening", "up, 2 peers"),
        ((True,), 1, "Listening", f"up, 1 peer, 1 problem: {TROUBLE.what}"),
        ((True,), 2, "Listening", f"up, 1 peer, 2 problems: {TROUBLE.what}"),
        ((), 0, "Listening", "up, 0 peers, 1 problem: no peers"),
        ((False,), 1, "Listening", f"up, 0 peers, 2 problems: {TROUBLE.what}"),
        ((True,), 0, "ShuttingDown", "ShuttingDown, 1 peer"),
    ],
)
def test_the_verdict(connected: tuple[bool, ...], problems: int, state: str, verdict: str) -> None:
    node = make(*connected)
    node.problems = [TROUBLE] * problems
    node.state.value = state
    assert status(node).verdict == verdict


def test_a_stranger_in_a_closed_realm_is_told_so() -> None:
    node = make(True)
    node.membership = Membership(role="outsider")
    (problem,) = status(node).problems
    assert problem.what == "no member"
    assert "whispurr join" in problem.cure
    node.membership = Membership(role="member")
    assert not status(node).problems


def test_a_relay_that_nobody_uses_yet_is_no_problem() -> None:
    node = make()
    faked: Any = node
    faked.settings.lan.enabled = False
    (problem,) = status(node).problems
    assert "not searched" in problem.why
    faked.settings.nat.relay = True
    assert status(node).problems == []


def test_being_alone_is_a_problem_with_a_cure_and_is_not_kept() -> None:
    node = make(False)
    for _ in range(2):
        (problem,) = status(node).problems
        assert problem.what == "no peers"
        assert problem.why
        assert "whispurr join TICKET" in problem.cure
    assert not node.problems


def test_the_whole_node_is_there_and_fits_json() -> None:
    shown = json.loads(msgspec.json.encode(status(make(True, False))))
    assert (shown["state"], shown["profile"], shown["level"]) == ("Listening", "normal", 3)
    assert (shown["expires_s"], shown["uptime_s"]) == (60.0, 12.3)
    assert (shown["listening"], shown["intents"]) == (["/memory/a"], ["cats"])
    assert [peer["connected"] for peer in shown["peers"]] == [True, False]
    assert (shown["presence"], shown["note"]) == ("busy", "digging")


def test_a_row_says_how_a_peer_is_or_why_it_is_away() -> None:
    node = make(True, False)
    node.peers[0].rtt_s = 0.002
    up, away = (peer_status(node, peer) for peer in node.known_peers)
    assert (up.path, up.suite, up.level, up.rtt_ms) == ("direct tcp", "Noise_XK", 3, 2.0)
    assert (up.seen_s, up.reason, up.cure) == (0.0, "", "")
    assert (up.trust, up.queued, up.bytes_sent, up.bytes_received) == ("verified", 6, 10, 20)
    assert (up.presence, up.note) == ("away", "out for milk")
    assert (away.presence, away.note) == ("offline", "")
    assert (away.path, away.seen_s, away.reason) == ("none", 3.2, "its cable")
    assert away.cure == f"whispurr why {away.name}; or: whispurr join TICKET"


@pytest.mark.parametrize(("rtts", "average"), [((), None), ((0.001, 0.004), 2.5)])
def test_counters_bear_the_names_of_the_seeds(
    rtts: tuple[float, ...], average: float | None
) -> None:
    node = make(True, True, False)
    for peer, rtt_s in zip(node.peers, rtts, strict=False):
        peer.rtt_s = rtt_s
    found = stats(node)
    assert found == {
        "connectedPeers": 2,
        "quantumSecureConnections": 2,
        "messagesSent": 4,
        "messagesReceived": 5,
        "averageLatency": average,
        "messageProcessingLatency": None,
        "messageProcessingLatencyP99": None,
        "uptime": 12340,
        "activeExtensions": ["journal"],
        "gossipEfficiency": None,
        "bytesSent": 20,
        "bytesReceived": 40,
        "identityRotations": 2,
        "natTraversalSuccessRate": 0.75,
        "neighbours": 0,
        "gossip": dict.fromkeys(COUNTS, 0),
        "counters": {"rotations": 2, "z": 1},
    }


def test_gossip_is_as_efficient_as_copies_are_new_in_all_shards() -> None:
    node = make(True)
    node.spread(0, received=3, duplicates=5)
    node.spread(7, received=6, duplicates=4, published=2)
    found = stats(node)
    assert found["gossipEfficiency"] == 0.5
    assert (found["neighbours"], found["gossip"]["published"]) == (2, 2)
    assert found["gossip"]["received"] == 9


def test_how_long_messages_take_bears_the_name_of_the_seed() -> None:
    node = make(True)
    node.processing = Figures(p50_ms=0.25, p99_ms=4.5, samples=7)
    found = stats(node)
    assert found["messageProcessingLatency"] == 0.25
    assert found["messageProcessingLatencyP99"] == 4.5


def test_figures_of_what_is_not_there_are_not_invented() -> None:
    """D23 asks for them too; they come with their parts."""
    for word in ("onion", "shadow"):
        assert not [name for name in stats(make(True)) if name.lower().startswith(word)]


def test_what_helps_to_find_a_fault_names_nobody() -> None:
    node = make(True, False)
    found = debug(node)
    assert (found["records"], found["links"], found["identities"]) == (2, 1, 2)
    (session,) = found["sessions"]
    assert (session["epoch"], session["records_sent"], session["fragments_waiting"]) == (1, 7, 2)
    text = json.dumps(found)
    assert BODY.decode() not in text
    for peer in node.known_peers:
        assert peer.id not in text
        assert peer.name not in text
    assert node.id not in text
    assert node.name not in text


def test_overlays_are_sizes() -> None:
    node = make(True)
    node.spread(3)
    (overlay,) = debug(node)["overlays"]
    assert overlay == {
        "shard": 3,
        "neighbours": 1,
        "contacts": 2,
        "stamp_bits": 14,
        "messages_per_s": 0.5,
    }
