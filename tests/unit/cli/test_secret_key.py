from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

KEY = "5a" * 32


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was sent to the node."""
    sent: list[dict[str, Any]] = []

    class Client:
        def post(self, path: str, kind: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
            sent.append(body)
            return {"id": "", "neighbours": 1, "state": "sent"}

    monkeypatch.setattr("whispurrnet.cli.spread.find", Client)
    monkeypatch.delenv("WHISPURRNET_TOPIC_KEY", raising=False)
    return sent


def test_a_key_is_made_for_its_owner_alone(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "topic.key"
    ran = run("topic-key", str(path))
    assert ran.code == 0
    text = path.read_text().strip()
    assert len(bytes.fromhex(text)) == 32
    assert text not in ran.out + ran.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = run("topic-key", str(path))
    assert again.code == 1
    assert "not there yet" in again.err
    assert path.read_text().strip() == text


def test_a_key_comes_from_a_file(run: Any, tmp_path: Path, asked: list[Any]) -> None:
    path = tmp_path / "topic.key"
    run("topic-key", str(path))
    assert run("resonate", "moon", "{}", "--key-file", str(path)).code == 0
    assert asked[0]["topic_key"] == path.read_text().strip()


def test_a_key_comes_from_the_environment(
    run: Any, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPURRNET_TOPIC_KEY", KEY.upper())
    assert run("resonate", "moon", "{}").code == 0
    assert asked[0]["topic_key"] == KEY


def test_a_key_is_typed(run: Any, asked: list[Any]) -> None:
    ran = run("resonate", "moon", "--key-file", "-", stdin=f"{KEY}\n{{}}".encode())
    assert ran.code == 0
    assert (asked[0]["topic_key"], asked[0]["payload"]) == (KEY, {})


def test_without_a_key_the_topic_is_public(run: Any, asked: list[Any]) -> None:
    assert run("resonate", "moon", "{}").code == 0
    assert asked[0]["topic_key"] == ""


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("moon", 0o600, "64 hexadecimal characters"),
        (KEY, 0o644, "others of this machine may read"),
        ("\xff" * 64, 0o600, "is not text"),
    ],
)
def test_what_is_no_key(run: Any, tmp_path: Path, text: str, mode: int, said: str) -> None:
    path = tmp_path / "topic.key"
    path.write_text(text)
    path.chmod(mode)
    ran = run("resonate", "moon", "{}", "--key-file", str(path))
    assert ran.code == 2
    assert said in ran.err
    assert KEY not in ran.err
    assert run("resonate", "moon", "{}", "--key-file", str(tmp_path / "none")).code == 2


def test_a_key_does_not_fit_on_the_command_line(run: Any) -> None:
    assert run("resonate", "moon", "{}", "--key", KEY).code == 2
    assert run("listen", "--key-file", "-", "--api", "1", stdin=KEY.encode()).code in {2, 3}
