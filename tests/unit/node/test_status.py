"""What a node says of itself: one line, and for each problem why and what to do."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

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
        self.settings = SimpleNamespace(profile="normal", session=SimpleNamespace(level=3))
        self.identity = SimpleNamespace(expires_s=59.96)
        self.uptime_s = 12.34
        self.listeners = ("/memory/a",)
        self.intents = ("cats",)
        self.counters = {"sent": 4, "received": 5}
        self.extensions = ["journal"]
        self.loop = object()
        counts = {"rotations": 2.0, "z": 1.0}
        meter = SimpleNamespace(snapshot=lambda: counts)
        shared = SimpleNamespace(meter=meter, identities=[1, 2])
        links = SimpleNamespace(states={1: None})
        self.stack = SimpleNamespace(roster=records, shared=shared, links=links)

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


def test_a_row_says_how_a_peer_is_or_why_it_is_away() -> None:
    node = make(True, False)
    node.peers[0].rtt_s = 0.002
    up, away = (peer_status(node, peer) for peer in node.known_peers)
    assert (up.path, up.suite, up.level, up.rtt_ms) == ("direct tcp", "Noise_XK", 3, 2.0)
    assert (up.seen_s, up.reason, up.cure) == (0.0, "", "")
    assert (up.trust, up.queued, up.bytes_sent, up.bytes_received) == ("verified", 6, 10, 20)
    assert (away.path, away.seen_s, away.reason) == ("none", 3.2, "its cable")
    assert "whispurr join TICKET" in away.cure


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
        "uptime": 12340,
        "activeExtensions": ["journal"],
        "bytesSent": 20,
        "bytesReceived": 40,
        "identityRotations": 2,
        "counters": {"rotations": 2, "z": 1},
    }


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
