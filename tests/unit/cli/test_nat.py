"""What `whispurr nat` says."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from whispurrnet.cli.nat import reach_lines, report_lines

REPORT: dict[str, Any] = {
    "kind": "port-restricted cone",
    "mapping": "endpoint independent",
    "filtering": "address and port dependent",
    "hairpinning": False,
    "seen_as": ["198.51.100.2:4711"],
    "asked": [
        {
            "server": "stun:192.0.2.1:3478",
            "seen_as": "198.51.100.2:4711",
            "rtt_ms": 12.3,
            "tells_behaviour": True,
            "problem": "",
        },
        {
            "server": "stun:192.0.2.9:3478",
            "seen_as": "",
            "rtt_ms": None,
            "tells_behaviour": False,
            "problem": "it did not answer",
        },
    ],
    "note": "",
}
ANSWER: dict[str, Any] = {
    "report": REPORT,
    "meaning": "A port-restricted cone NAT.",
    "reachable": "Direct with public peers.",
    "servers": [],
    "answers_at": [],
    "attempts": 3,
    "successes": 2,
}


def test_the_verdict_comes_first_then_whom_it_was_asked() -> None:
    lines = report_lines(ANSWER)
    assert lines[0] == "● A port-restricted cone NAT."
    assert lines[1] == "  Direct with public peers."
    text = "\n".join(lines)
    assert "198.51.100.2:4711" in text
    assert "12.3 ms" in text
    assert "it did not answer" in text
    assert "2 of 3 attempts" in text


@pytest.mark.parametrize("kind", ["blocked", "symmetric", "unknown"])
def test_what_is_bad_is_marked(kind: str) -> None:
    answer = {**ANSWER, "report": {**REPORT, "kind": kind, "note": "no server answered"}}
    lines = report_lines({**answer, "answers_at": ["192.0.2.1:3478"]})
    assert lines[0].startswith("▲")
    assert "  Not known: no server answered" in lines
    assert lines[-1] == "  this node answers others at 192.0.2.1:3478"


def test_what_was_tried_in_order() -> None:
    lines = reach_lines(
        {
            "ok": False,
            "verdict": "calm-finch-12 stays with relay: nothing better worked",
            "attempts": [
                {"method": "relay", "place": "/ip4/192.0.2.1/tcp/9000", "ok": True, "seconds": 0.01,
                 "reason": ""},
                {"method": "webrtc", "place": "", "ok": False, "seconds": 15.0,
                 "reason": "no path\x1b[31m between"},
            ],
        }
    )  # fmt: skip
    assert lines[0].startswith("▲ calm-finch-12 stays with relay")
    assert [line.split()[0] for line in lines[1:]] == ["tried", "relay", "webrtc"]
    assert "\x1b[31m" not in "\n".join(lines)


def test_nobody_is_asked_unless_set(ada: Any) -> None:
    ran = ada("nat")
    assert ran.code == 2
    assert "none is asked by default" in ran.err + ran.out


def test_a_server_is_asked(ada: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        ran = ada("nat", "--server", f"127.0.0.1:{silent.getsockname()[1]}")
    assert ran.code == 4
    assert "Nobody answered over UDP" in ran.out
    assert "it did not answer" in ran.out


def test_a_peer_that_is_reached_directly(ada: Any, pair: Any) -> None:
    name = pair.call(lambda: pair.bob.name)
    ran = ada("nat", name)
    assert (ran.code, ran.out.splitlines()[0]) == (0, f"● {name} is reached by direct tcp")
    answer = ada("nat", name, "--method", "relay", "--output", "json")
    assert answer.code == 4
    assert (answer.json["ok"], answer.json["path"]) == (False, "direct tcp")
