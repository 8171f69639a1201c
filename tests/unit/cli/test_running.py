from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.base.errors import HostError
from whispurrnet.cli import running
from whispurrnet.cli.client import Client, find
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Fault


def test_announce_is_private_and_says_little(pair: Any) -> None:
    path = running.announce(pair.port)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert running.nodes() == [running.Running(port=pair.port, pid=os.getpid())]


def test_nodes_that_do_not_answer_are_left_out() -> None:
    running.announce(1)
    (running.folder() / "broken.json").write_text("{")
    assert running.nodes() == []


def test_a_foreign_folder_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.symlink_to(tmp_path)
    monkeypatch.setattr(running, "folder", lambda: place)
    with pytest.raises(HostError, match="somebody else"):
        running.announce(1)
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr(running, "folder", lambda: file / "below")
    with pytest.raises(HostError, match="cannot be written"):
        running.announce(1)


def test_find(pair: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert find().port == 8765
    running.announce(pair.port)
    assert find().port == pair.port
    for api in ("8766", ":8766", "http://127.0.0.1:8766"):
        current.api = api
        assert find().port == 8766
    assert capsys.readouterr().err == ""


def test_find_says_when_there_are_several(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two = [running.Running(port=8765, pid=1), running.Running(port=8766, pid=2)]
    monkeypatch.setattr(running, "nodes", lambda: two)
    assert find().port == 8765
    assert "others: --api 8766" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["ftp://x:1", "http://x", "http://x:99999", "moon", "http://:5"])
def test_bad_urls(url: str) -> None:
    with pytest.raises(Fault, match="--api"):
        Client(url)
