from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def test_version(run: Any) -> None:
    assert run("version").out.startswith("whispurr ")
    assert set(run("version", "--output", "json").json) >= {"whispurrnet", "python", "api"}


def test_config_show(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whispurr.toml").write_text("max_peers = 7\n")
    monkeypatch.setenv("WHISPURRNET_NETWORK_SECRET", "moon-milk-and-honey")
    ran = run("config", "show", "--origin")
    assert f"max_peers = 7   # file {tmp_path}/whispurr.toml" in ran.out
    assert 'network_secret = "<set>"   # env WHISPURRNET_NETWORK_SECRET' in ran.out
    assert "moon-milk" not in ran.out
    rows = run("config", "show", "--output", "json").json
    assert rows[0] == {
        "path": "profile",
        "value": "mesh",
        "origin": "default",
        "env": "WHISPURRNET_PROFILE",
    }


def test_config_errors_name_file_and_key(run: Any, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[gossip]\nhop_max = 1\n")
    ran = run("config", "show", "--config", str(tmp_path / "other.toml"))
    assert ran.code == 2
    assert "other.toml: unknown key `gossip.hop_max`" in ran.err
    assert "did you mean `gossip.max_hops`?" in ran.err


def test_install_completion(run: Any, tmp_path: Path) -> None:
    assert "whispurr" in run("install-completion", "bash", "--print").out
    ran = run("install-completion", "bash")
    assert ran.code == 0
    assert str(tmp_path) in ran.out
