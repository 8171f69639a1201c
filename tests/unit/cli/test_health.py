from __future__ import annotations

from typing import Any

import pytest

from whispurrnet.cli.health import status_lines

AWAY = {
    "name": "lone-wolf-88",
    "connected": False,
    "path": "none",
    "rtt_ms": None,
    "seen_s": 7.0,
    "level": 0,
    "suite": "",
    "trust": "seen",
    "queued": 3,
    "reason": "the cable is out",
    "cure": "put it in",
}
PROBLEM = {"what": "no peers", "why": "nobody came", "cure": "ask somebody"}


def test_status(ada: Any, pair: Any) -> None:
    ran = ada("status")
    assert ran.code == 0
    assert ran.out.startswith("● up, 1 peer")
    assert pair.call(lambda: pair.bob.name) in ran.out
    assert "direct tcp" in ran.out
    assert ada("status", "--output", "json").json["state"] == "Listening"


def test_problems_have_reason_and_cure() -> None:
    lines = status_lines(
        {
            "verdict": "up, 0 peers, 1 problem: no peers",
            "name": "quiet-heron-41",
            "expires_s": 100.0,
            "profile": "mesh",
            "state": "Listening",
            "problems": [PROBLEM],
            "peers": [AWAY],
        }
    )
    text = "\n".join(lines)
    assert lines[0] == "▲ up, 0 peers, 1 problem: no peers"
    assert "nobody came" in text
    assert "Cure: ask somebody" in text
    assert "the cable is out → put it in" in text


def test_watch(ada: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    naps = iter([None, KeyboardInterrupt])

    def nap(_: float) -> None:
        if next(naps):
            raise KeyboardInterrupt

    monkeypatch.setattr("whispurrnet.cli.health.time.sleep", nap)
    ran = ada("status", "--watch")
    assert ran.code == 130
    assert ran.out.count("● up") == 2


def test_doctor_with_a_node(ada: Any) -> None:
    ran = ada("doctor", "--output", "json")
    states = {check["title"]: check["state"] for check in ran.json["checks"]}
    assert states["post-quantum key exchange works"] == "ok"
    assert states["listening for peers"] == "ok"
    assert states["local discovery is on"] == "problem"
    assert ran.code == 1


def test_doctor_without_a_node(run: Any) -> None:
    ran = run("doctor", "--api", "1")
    assert ran.code == 3
    assert "✗ a node runs here" in ran.out
    assert "Cure: whispurr up" in ran.out


def test_a_report_is_safe_to_paste(ada: Any, pair: Any) -> None:
    ran = ada("doctor", "--report")
    assert "cryptography" in ran.out
    for secret in (pair.ada.id, pair.ada.name, pair.bob.name, "127.0.0.1"):
        assert secret not in ran.out


def test_the_suite_in_use_is_shown() -> None:
    suite = "Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256"
    here = AWAY | {"connected": True, "suite": suite, "level": 3}
    lines = status_lines(
        {
            "verdict": "up, 1 peer",
            "name": "quiet-heron-41",
            "expires_s": 100.0,
            "profile": "mesh",
            "state": "Listening",
            "problems": [],
            "peers": [here],
        }
    )
    assert "X25519+MLKEM768" in "\n".join(lines)
