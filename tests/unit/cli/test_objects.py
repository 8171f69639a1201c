"""objects: a folder of things that are named by what they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.cli import objects
from whispurrnet.cli.fault import Exit


@pytest.fixture
def kept(run: Any, tmp_path: Path) -> Any:
    """Run a command of `objects` for a folder of the test's own."""

    def running(command: str, *tokens: str, json: bool = True) -> Any:
        form = ("--output", "json") if json else ()
        return run("objects", command, *tokens, "--in", str(tmp_path / "shelf"), *form)

    return running


def test_a_file_and_a_folder_are_kept_and_come_back(kept: Any, tmp_path: Path) -> None:
    film = tmp_path / "film.bin"
    film.write_bytes(os.urandom(300_000))
    (tmp_path / "album" / "sub").mkdir(parents=True)
    (tmp_path / "album" / "sub" / "a.txt").write_text("here")
    file, folder = kept("add", "film.bin", "album", "--copy").json
    assert (file["size"], file["collection"], folder["collection"]) == (300_000, False, True)
    assert file["pinned"]
    ran = kept("get", file["oid"][:12], "--to", "back.bin")
    assert ran.json == {"oid": file["oid"], "path": "back.bin", "files": 1}
    assert (tmp_path / "back.bin").read_bytes() == film.read_bytes()
    assert "back" in kept("get", folder["oid"], "--to", "back", json=False).out
    assert (tmp_path / "back" / "sub" / "a.txt").read_text() == "here"
    ran = kept("get", file["oid"], "--to", "back.bin")
    assert ran.code == Exit.USAGE
    assert "is there already" in ran.err
    assert kept("get", file["oid"], "--to", "back.bin", "--overwrite").code == 0


def test_what_is_kept_is_listed_and_goes_when_nobody_wants_it(kept: Any, tmp_path: Path) -> None:
    assert "nothing yet" in kept("list", json=False).out
    (tmp_path / "a.txt").write_text("a")
    said = kept("add", "a.txt", json=False).out
    oid = said.split()[0]
    assert [it["oid"] for it in kept("list").json["objects"]] == [oid]
    listing = kept("list", json=False).out
    assert oid[:16] in listing
    assert "pinned" in listing
    assert kept("unpin", oid[:8]).json == {"oid": oid, "pinned": False}
    assert "not kept any more" in kept("unpin", oid[:8], json=False).out
    assert not kept("list").json["objects"][0]["pinned"]
    assert kept("pin", oid[:8]).json["pinned"]
    assert kept("gc").json["removed"] == 0
    assert "removed 0" in kept("gc", json=False).out


def test_what_cannot_be_is_explained(kept: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    kept("add", "a.txt")
    for tokens, says in (
        (("add",), "nothing to add"),
        (("add", "nowhere"), "nowhere"),
        (("get", "abcdabcd"), "begin with"),
        (("pin", "a"), "begin with"),
        (("pin", "00" * 32), "not here"),
        (("get", "WNO1-AAAA"), "ticket of an object"),
    ):
        ran = kept(*tokens, json=False)
        assert ran.code != 0, tokens
        assert says in ran.err, tokens


def test_the_folder_is_that_of_the_settings_or_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert objects.folder_of(tmp_path) == tmp_path
    own = objects.folder_of(None)
    assert own.name == "objects"
    assert "whispurrnet" in str(own)
    monkeypatch.setenv("WHISPURRNET_OBJECTS_FOLDER", str(tmp_path / "mine"))
    assert objects.folder_of(None) == tmp_path / "mine"
