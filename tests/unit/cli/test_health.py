from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.cli.test_talk import until

from whispurrnet.cli.health import folder_lines, status_lines

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
    assert "the cable is out → whispurr why lone-wolf-88" in text


def test_detailed_status(ada: Any, pair: Any) -> None:
    until(lambda: bool(pair.call(pair.ada.neighbours)))
    ran = ada("status", "--detailed")
    assert "outbound" in ran.out
    assert "it called" in ran.out
    assert "gossip: " in ran.out
    assert "what arrives is dealt with in" in ran.out
    answer = ada("status", "--detailed", "--output", "json").json
    assert answer["neighbours"][0]["name"] == pair.call(lambda: pair.bob.name)
    assert "gossipEfficiency" in answer["stats"]


def test_watch_for_programs_is_one_line_a_second(ada: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("whispurrnet.cli.health.time.sleep", nap)
    ran = ada("status", "--watch", "--detailed", "--output", "json")
    assert naps == [1.0, 1.0, 1.0]
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["state"] for row in rows] == ["Listening"] * 3


def test_watch_on_a_terminal_draws_in_place(ada: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    class Live:
        def __init__(self, shown: Any, **_: Any) -> None:
            drawn.append(shown.plain)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, shown: Any, *, refresh: bool) -> None:
            assert refresh
            drawn.append(shown.plain)
            raise KeyboardInterrupt

    monkeypatch.setattr("rich.live.Live", Live)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("whispurrnet.cli.health.time.sleep", lambda _: None)
    assert ada("status", "--watch").code == 130
    assert [text.startswith("● up") for text in drawn] == [True, True]


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
    assert ran.code == 0
    assert "cryptography" in ran.out
    assert "path=direct tcp" in ran.out
    assert "state: Listening" in ran.out
    assert "  lan.enabled: no\n" in ran.out
    for secret in (pair.ada.id, pair.ada.name, pair.bob.name, "127.0.0.1"):
        assert secret not in ran.out
    data = ada("doctor", "--report", "--output", "json").json
    assert data["machine"]["post-quantum key exchange works"] == "ok"
    assert data["node"]["peers"][0]["connected"]


def test_a_report_without_a_node(run: Any) -> None:
    ran = run("doctor", "--report", "--api", "1")
    assert ran.code == 3
    assert ran.out.endswith("no node is running\n")


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


def test_a_folder_says_how_it_is_and_writes_nothing_to_the_terminal() -> None:
    zero = dict.fromkeys(("files", "bytes", "wanted", "wanted_bytes", "kept", "unshared"), 0)
    item = {"path": "a\x1b[2J", "here": "old", "there": "new", "reason": "busy"}
    row: dict[str, Any] = {
        "name": "notes\x07",
        "state": "running",
        "trouble": "",
        "totals": {**zero, "files": 2, "behind": 1},
        "items": [item],
        "peers": ["calm-finch-12"],
        "refused": ["bob: it was not named"],
        "notes": [],
    }
    text = "\n".join(folder_lines(row))
    assert text.startswith("folder notes")
    assert "1 to change elsewhere" in text
    assert "old; new" in text
    assert "bob: it was not named" in text
    assert "\x1b[2J" not in text and "\x07" not in text
    gone = {**row, "name": "notes", "totals": None, "trouble": "notes is no folder; make it first"}
    assert folder_lines(gone) == ["folder notes: notes is no folder; make it first"]
    assert folder_lines({**gone, "trouble": ""}) == ["folder notes: paused"]
