from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.cli import checks


def states(port: int) -> dict[str, dict[str, str]]:
    return {check["title"]: check for check in checks.local_checks(port)}


def test_a_healthy_machine() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = states(port)
    assert found["settings can be read"]["state"] == "ok"
    assert found["post-quantum key exchange works"]["state"] == "ok"
    assert found[f"port {port} can be used"]["state"] == "ok"
    assert found["the runtime folder is ours"]["state"] == "ok"
    assert found["clock"]["state"] == "not checked"
    assert all(check["cure"] for check in found.values() if check["state"] == "problem")


def test_wrong_settings(tmp_path: Path) -> None:
    (tmp_path / "whispurr.toml").write_text("prot = 1\n")
    check = states(1)["settings can be read"]
    assert check["state"] == "problem"
    assert "did you mean `port`" in check["cause"]


def test_a_secret_that_others_may_read(tmp_path: Path) -> None:
    path = tmp_path / "whispurr.toml"
    path.write_text('network_secret = "a long enough secret"\n')
    path.chmod(0o644)
    check = states(1)["secrets in the settings file are private"]
    assert (check["state"], check["cure"]) == ("problem", "chmod 600 whispurr.toml")
    path.chmod(0o600)
    assert states(1)["secrets in the settings file are private"]["state"] == "ok"


def test_a_port_in_use_by_something_that_does_not_answer() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        other.listen(0)
        assert states(port)[f"port {port} can be used"]["state"] == "ok"
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert "cannot be bound" in states(port)[f"port {port} can be used"]["cause"]


def test_no_multicast(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any) -> bytes:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(checks, "_GROUP", "127.0.0.1")
    check = states(1)["UDP multicast reaches this machine"]
    assert check["state"] == "problem"
    assert "join by ticket" in check["cure"]


def test_versions() -> None:
    found = checks.versions()
    assert found["python"]
    assert found["whispurrnet"] != "not installed"
