from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.cli import main, talk


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends
        threading.Event().wait(0.02)


def test_whisper(ada: Any, pair: Any) -> None:
    ran = ada("whisper", pair.bob.name, "hello")
    assert ran.code == 0
    assert ran.out in {
        f"✓ received by {pair.bob.name}\n",
        f"✓✓ read by {pair.bob.name}\n",
    }
    assert ada("whisper", pair.bob.name, stdin=b"\xff\x00").code == 0
    until(lambda: pair.heard[-2:] == [b"hello", b"\xff\x00"])


def test_whisper_options(ada: Any, pair: Any) -> None:
    options = ("--priority", "9", "--ttl", "5", "--kind", "Thought", "--wait", "5")
    ran = ada("whisper", pair.bob.name, "think", *options, "--output", "json")
    assert ran.json["state"] in {"received", "read"}


def test_whisper_to_nobody(ada: Any) -> None:
    ran = ada("whisper", "nobody", "hello")
    assert ran.code == 2
    assert "no peer is called 'nobody'" in ran.err


@pytest.mark.parametrize(("state", "code"), [("queued", 4), ("expired", 1), ("sent", 0)])
def test_states_have_codes(
    run: Any, monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    class Client:
        def post(self, *_: Any, **__: Any) -> dict[str, Any]:
            return {"id": 1, "peer": "\x1b[31mx", "state": state}

    monkeypatch.setattr(talk, "find", Client)
    ran = run("whisper", "x", "hello")
    assert ran.code == code
    assert "\x1b" not in ran.out


def in_background(tokens: list[str], codes: list[int]) -> threading.Thread:
    thread = threading.Thread(target=lambda: codes.append(main.run(tokens)))
    thread.start()
    return thread


def test_listen(
    pair: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(talk, "say", shown.append)
    codes: list[int] = []
    tokens = ["listen", "Sun", "--count", "1", "--api", str(pair.port)]
    thread = in_background(tokens, codes)
    until(lambda: "sun" in pair.call(lambda: pair.ada.intents))
    pair.call(lambda: pair.bob.resonate("sun", b"\x1b[31mhot"))
    thread.join(20)
    assert codes == [0]
    assert shown == ["somebody #sun: \N{REPLACEMENT CHARACTER}[31mhot"]
    capsys.readouterr()


def test_what_is_signed_has_a_name(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(talk, "say", shown.append)
    ready = threading.Event()
    monkeypatch.setattr(talk, "note", lambda _: ready.set())
    codes: list[int] = []
    thread = in_background(["listen", "--count", "1", "--api", str(pair.port)], codes)
    assert ready.wait(10)
    pair.call(lambda: pair.bob.emergency(b"storm", signed=True))
    thread.join(20)
    assert shown == [f"{pair.ada.known_peers[0].name} EMERGENCY: storm"]


def test_a_private_topic_is_heard_by_its_key_only(
    pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(talk, "say", shown.append)
    monkeypatch.setattr(talk, "note", lambda _: None)
    path = tmp_path / "key"
    assert main.run(["topic-key", str(path)]) == 0
    key = bytes.fromhex(path.read_text())
    codes: list[int] = []
    tokens = ["listen", "owl", "--count", "1", "--key-file", str(path), "--api", str(pair.port)]
    thread = in_background(tokens, codes)
    until(lambda: "owl" in pair.call(lambda: pair.ada.intents))
    pair.call(lambda: pair.bob.resonate("owl", b"for all"))
    pair.call(lambda: pair.bob.resonate("owl", b"for us", key=key))
    thread.join(20)
    assert codes == [0]
    assert shown == ["somebody #owl: for us"]


def test_listen_marks_as_read(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    ready = threading.Event()
    monkeypatch.setattr(talk, "say", shown.append)
    monkeypatch.setattr(talk, "note", lambda _: ready.set())
    codes: list[int] = []
    thread = in_background(["listen", "--count", "1", "--api", str(pair.port)], codes)
    assert ready.wait(10)
    receipt = pair.call(lambda: pair.bob.whisper(pair.ada.name, b"\xfe\xff"))
    thread.join(20)
    assert shown == [f"{pair.ada.known_peers[0].name}: (2 bytes that are not text)"]
    until(lambda: receipt.state == "read")


def test_chat(ada: Any, pair: Any) -> None:
    ran = ada("chat", pair.bob.name, stdin=b"how are you\n\nfine?\n")
    assert ran.code == 0
    until(lambda: pair.heard[-2:] == [b"how are you", b"fine?"])
    assert "received" in ran.err or "read" in ran.err


def test_chat_shows_what_the_peer_says(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Keyboard:
        def __iter__(self) -> Any:
            pair.call(lambda: pair.bob.whisper(pair.ada.name, b"good evening"))
            until(lambda: bool(shown))
            return iter(())

    shown: list[str] = []
    monkeypatch.setattr(talk, "say", shown.append)
    monkeypatch.setattr("sys.stdin", Keyboard())
    assert main.run(["chat", pair.bob.name, "--api", str(pair.port)]) == 0
    assert shown == [f"{pair.bob.name}: good evening"]
