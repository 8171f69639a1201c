"""`objects add --sealed` and `objects get --sealed`: keys are told once, and never argued."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.base.errors import HostError
from whispurrnet.cli.fault import Exit
from whispurrnet.disk.shelf import Shelf

DATA = b"dear diary, nobody may read this" * 1000
VARIABLE = "WHISPURRNET_OBJECT_KEY"


@pytest.fixture
def kept(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command of `objects` for a folder of the test's own."""
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "diary").write_bytes(DATA)

    def running(command: str, *tokens: str, json: bool = True, **how: Any) -> Any:
        form = ("--output", "json") if json else ()
        return run("objects", command, *tokens, "--in", str(tmp_path / "shelf"), *form, **how)

    return running


def test_the_key_is_shown_once_and_opens(
    kept: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = kept("add", "diary", "--sealed", json=False)
    oid = said.out.split()[0]
    key = said.out.split("key:")[1].split()[0]
    assert len(bytes.fromhex(key)) == 32
    assert "never again" in said.err
    listing = kept("list", json=False).out
    assert "sealed" in listing
    assert key not in listing + kept("list").out
    ran = kept("get", oid[:12], "--sealed", "--to", "typed", stdin=f"{key}\n".encode())
    assert ran.json == {"oid": oid, "path": "typed", "files": 1}
    monkeypatch.setenv(VARIABLE, key.upper())
    assert kept("get", oid, "--sealed", "--to", "env").code == 0
    assert (tmp_path / "typed").read_bytes() == (tmp_path / "env").read_bytes() == DATA
    ran = kept("get", oid, "--sealed", "--to", "env")
    assert ran.code == Exit.USAGE
    assert "is there already" in ran.err
    assert kept("get", oid, "--sealed", "--to", "env", "--overwrite").code == 0
    for path in (tmp_path / "shelf").rglob("*"):
        assert path.is_dir() or not {key.encode(), bytes.fromhex(key), DATA[:32]} & {
            part
            for part in (key.encode(), bytes.fromhex(key), DATA[:32])
            if part in path.read_bytes()
        }, path.name


def test_the_key_goes_to_a_file_of_its_owner(kept: Any, tmp_path: Path) -> None:
    (added,) = kept("add", "diary", "--sealed", "--key-file", "diary.key").json
    assert (added["mode"], added["key_file"]) == ("sealed", "diary.key")
    assert "key" not in added
    path = tmp_path / "diary.key"
    key = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept("get", added["oid"], "--sealed", "--key-file", "diary.key", "--to", "a").code == 0
    assert (tmp_path / "a").read_bytes() == DATA
    ran = kept("add", "diary", "--sealed", "--key-file", "other.key", json=False)
    assert "other.key" in ran.out
    assert (tmp_path / "other.key").read_text().strip() not in ran.out + ran.err
    ran = kept("add", "diary", "--sealed", "--key-file", "diary.key", json=False)
    assert ran.code != 0
    assert "not there yet" in ran.err
    assert path.read_text().strip() == key
    assert len(kept("list").json["objects"]) == 2, "nothing is sealed whose key cannot be kept"
    path.chmod(0o644)
    ran = kept("get", added["oid"], "--sealed", "--key-file", "diary.key", "--to", "b", json=False)
    assert ran.code == Exit.USAGE
    assert "chmod 600" in ran.err


def test_a_key_file_is_gone_when_nothing_was_sealed(
    kept: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise HostError("the disk is full; make room")

    monkeypatch.setattr(Shelf, "add_file", full)
    assert kept("add", "diary", "--sealed", "--key-file", "a.key").code != 0
    assert not (tmp_path / "a.key").exists()


def test_each_has_a_key_of_its_own(kept: Any, tmp_path: Path) -> None:
    one, two = kept("add", "diary", "diary", "--sealed").json
    assert one["oid"] != two["oid"]
    assert one["key"] != two["key"]
    ran = kept("get", one["oid"], "--sealed", "--to", "x", stdin=two["key"].encode())
    assert ran.code == Exit.NOT_AUTHENTIC
    assert "key" in ran.err
    assert not (tmp_path / "x").exists()
    ran = kept("get", one["oid"], "--to", "raw", json=False)
    assert "--sealed opens it" in ran.err
    assert (tmp_path / "raw").stat().st_size == one["size"] > len(DATA)


@pytest.mark.parametrize("form", [("{}",), ("--key", "{}"), ("--key=x",), ("--key-file", "{}")])
def test_a_key_among_the_arguments_is_refused(kept: Any, form: tuple[str, ...]) -> None:
    (added,) = kept("add", "diary", "--sealed").json
    tokens = (token.format(added["key"]) for token in form)
    ran = kept("get", added["oid"], *tokens, "--sealed", "--to", "x", json=False)
    assert ran.code == Exit.USAGE
    assert "every user of this machine sees arguments" in ran.err
    assert added["key"] not in ran.err + ran.out


def test_what_cannot_be_is_explained(kept: Any, tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    kept("add", "diary")
    oid = kept("list").json["objects"][0]["oid"]
    key = "5a" * 32
    for tokens, says in (
        (("add", "album", "--sealed"), "tar"),
        (("add", "diary", "nowhere", "--sealed"), "nowhere"),
        (("add", "diary", "--sealed", "--cdc"), "--cdc"),
        (("add", "diary", "--sealed", "--public"), "--public"),
        (("add", "diary", "diary", "--sealed", "--key-file", "k"), "one by one"),
        (("add", "diary", "--key-file", "k"), "--sealed"),
        (("get", oid, "--key-file", "k"), "--sealed"),
        (("get", oid, "--sealed", "--key-file", "nowhere"), "when the object was sealed"),
        (("get", oid, "--sealed", "--to", "x"), "not sealed"),
        (("get", oid, "other", "--to", "x"), "too much"),
    ):
        ran = kept(*tokens, json=False, stdin=key.encode())
        assert ran.code != 0, tokens
        assert says in ran.err, (tokens, ran.err)
        assert not (tmp_path / "k").exists()
    ran = kept("get", oid, "--sealed", json=False, stdin=b"what?\n")
    assert ran.code == Exit.USAGE
    assert "64 hexadecimal" in ran.err
    assert os.listdir(tmp_path / "album") == []
