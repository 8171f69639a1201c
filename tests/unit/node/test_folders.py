"""Folders as collections, and back: nothing leaves the folder that the user chose."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.unit.node.object_lab import read, tree

from whispurrnet.base.errors import HostError, ProtocolError, UsageError, WhispurrError
from whispurrnet.disk.shelf import Shelf
from whispurrnet.node import folders
from whispurrnet.store import manifest
from whispurrnet.store.manifest import Entry, Kind
from whispurrnet.store.names import DEPTH_MAX
from whispurrnet.wire.ids import ObjectId

NAMES = ["a.txt", "deep/er/b.txt", "deep/c.txt", "ünï/çödé.txt"]


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    shelf = Shelf(None, quota_bytes=None, wall_ms=lambda: 1_700_000_000_000)
    yield shelf
    shelf.close()


def collection(shelf: Shelf, *named: tuple[str, ObjectId, int, Kind]) -> ObjectId:
    """A collection as a stranger may build it: nothing is checked."""
    made = [Entry(name, oid, size, kind) for name, oid, size, kind in named]
    return shelf.add_bytes(msgspec.msgpack.encode(("WNDIR", 1, made))).oid


@pytest.mark.parametrize("copy", [False, True])
def test_there_and_back(shelf: Shelf, tmp_path: Path, copy: bool) -> None:
    tree(tmp_path / "in", NAMES)
    (tmp_path / "in" / "run").write_bytes(os.urandom(100_000))
    (tmp_path / "in" / "run").chmod(0o755)
    (tmp_path / "in" / "empty").mkdir()
    os.utime(tmp_path / "in" / "a.txt", ns=(1, 1_234_567_890_123_456_789))
    told: list[int] = []
    oid = folders.add(shelf, tmp_path / "in", copy=copy, progress=told.append)
    assert told[-1] == sum(map(len, read(tmp_path / "in").values()))
    assert told == sorted(told)
    told.clear()
    written = folders.export(shelf, oid, tmp_path / "out" / "below", told=told.append)
    assert read(tmp_path / "out" / "below") == read(tmp_path / "in")
    assert len(written) == len(NAMES) + 1
    assert told == sorted(told)
    out = tmp_path / "out" / "below"
    assert (out / "empty").is_dir()
    assert os.access(out / "run", os.X_OK) and not (out / "a.txt").stat().st_mode & 0o100
    assert (out / "a.txt").stat().st_mtime_ns == 1_234_567_890_123_000_000
    assert folders.add(shelf, out, copy=copy) == oid


def test_links_and_what_is_no_file_are_left_out(shelf: Shelf, tmp_path: Path) -> None:
    tree(tmp_path / "in", ["a.txt"])
    (tmp_path / "secret").write_bytes(b"key")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "folder").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "in" / "pipe")
    oid = folders.add(shelf, tmp_path / "in", copy=True)
    assert [entry.name for entry in folders.entries(shelf, oid)] == ["a.txt"]


def test_nothing_is_overwritten_and_then_nothing_is_written(shelf: Shelf, tmp_path: Path) -> None:
    oid = folders.add(shelf, tree(tmp_path / "in", NAMES), copy=True)
    out = tree(tmp_path / "out", ["deep/c.txt"])
    (out / "deep" / "c.txt").write_bytes(b"mine")
    with pytest.raises(UsageError, match="there already"):
        folders.export(shelf, oid, out)
    assert read(out) == {"deep/c.txt": b"mine"}
    folders.export(shelf, oid, out, overwrite=True)
    assert read(out) == read(tmp_path / "in")


def test_a_file_alone(shelf: Shelf, tmp_path: Path) -> None:
    oid = shelf.add_bytes(b"words").oid
    assert folders.export(shelf, oid, tmp_path / "new" / "file") == [tmp_path / "new" / "file"]
    (tmp_path / "new" / "file").write_bytes(b"mine")
    with pytest.raises(UsageError, match="there already"):
        folders.export(shelf, oid, tmp_path / "new" / "file")
    assert (tmp_path / "new" / "file").read_bytes() == b"mine"
    folders.export(shelf, oid, tmp_path / "new" / "file", overwrite=True)
    assert (tmp_path / "new" / "file").read_bytes() == b"words"
    with pytest.raises(UsageError):
        folders.export(shelf, oid, tmp_path / "new", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_goes_through_a_link(shelf: Shelf, tmp_path: Path, overwrite: bool) -> None:
    oid = folders.add(shelf, tree(tmp_path / "in", ["deep/c.txt"]), copy=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        folders.export(shelf, oid, tmp_path / "out", overwrite=overwrite)
    (tmp_path / "out" / "deep").unlink()
    (tmp_path / "out" / "deep").mkdir()
    (tmp_path / "out" / "deep" / "c.txt").symlink_to(tmp_path / "elsewhere" / "new")
    with pytest.raises(UsageError):
        folders.export(shelf, oid, tmp_path / "out", overwrite=overwrite)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".", "", "../x", "/x", "a/b", "a\\b", "NUL", "x ", "x\0"])
def test_names_that_lead_out(shelf: Shelf, tmp_path: Path, name: str) -> None:
    file = shelf.add_bytes(b"evil").oid
    inner = collection(shelf, (name, file, 4, Kind.FILE))
    size = shelf.entry(inner)
    assert size is not None
    outer = collection(shelf, ("fine", inner, size.header.size, Kind.FOLDER))
    for oid in (inner, outer):
        with pytest.raises(WhispurrError):
            folders.export(shelf, oid, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_one_on_other_systems(shelf: Shelf, tmp_path: Path) -> None:
    file = shelf.add_bytes(b"x").oid
    oid = collection(shelf, ("A", file, 1, Kind.FILE), ("a", file, 1, Kind.FILE))
    with pytest.raises(ProtocolError):
        folders.export(shelf, oid, tmp_path / "out")
    with pytest.raises(UsageError):
        folders.add(shelf, tree(tmp_path / "in", ["Read.me", "read.ME"]), copy=True)


def test_too_deep(shelf: Shelf, tmp_path: Path) -> None:
    deep = tmp_path.joinpath("in", *"x" * DEPTH_MAX)
    deep.mkdir(parents=True)
    with pytest.raises(UsageError, match="folders deep"):
        folders.add(shelf, tmp_path / "in", copy=True)
    oid = shelf.add_bytes(manifest.encode([])).oid
    for _ in range(DEPTH_MAX):
        found = shelf.entry(oid)
        assert found is not None
        oid = collection(shelf, ("x", oid, found.header.size, Kind.FOLDER))
    with pytest.raises(UsageError, match="folders deep"):
        folders.export(shelf, oid, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_unpacks_without_end(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten folders name one another ten times each: 10^10 files out of eleven objects."""
    monkeypatch.setattr(folders, "ENTRIES_MAX", 1000)
    oid = shelf.add_bytes(manifest.encode([])).oid
    for _ in range(10):
        found = shelf.entry(oid)
        assert found is not None
        size = found.header.size
        oid = collection(shelf, *((str(n), oid, size, Kind.FOLDER) for n in range(10)))
    with pytest.raises(UsageError, match="more than 1000 files"):
        folders.export(shelf, oid, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_folder(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        folders.add(shelf, tmp_path / "nothing", copy=True)
    with pytest.raises(UsageError, match="not here"):
        folders.entries(shelf, ObjectId(b"\1" * 32))
    with pytest.raises(ProtocolError):
        folders.entries(shelf, shelf.add_bytes(b"words").oid)
    with pytest.raises(UsageError, match="not here"):
        folders.wrap(shelf, {"a": ObjectId(b"\1" * 32)})
    with pytest.raises(UsageError):
        folders.wrap(shelf, {"../a": shelf.add_bytes(b"words").oid})


def test_a_file_in_the_place_of_a_folder(shelf: Shelf, tmp_path: Path) -> None:
    oid = folders.add(shelf, tree(tmp_path / "in", ["deep/c.txt"]), copy=True)
    out = tmp_path / "out"
    out.mkdir()
    (out / "deep").write_bytes(b"mine")
    with pytest.raises(UsageError, match="no folder"):
        folders.export(shelf, oid, out, overwrite=True)
    file = tmp_path / "file"
    file.write_bytes(b"mine")
    with pytest.raises(HostError, match="cannot be written"):
        folders.export(shelf, shelf.add_bytes(b"x").oid, file / "below" / "x")
    assert file.read_bytes() == b"mine"


def test_wrapped_folders_are_folders(shelf: Shelf) -> None:
    file, folder = shelf.add_bytes(b"words").oid, shelf.add_bytes(manifest.encode([])).oid
    entries = folders.entries(shelf, folders.wrap(shelf, {"b": folder, "a": file}))
    assert [(one.name, one.kind) for one in entries] == [("a", Kind.FILE), ("b", Kind.FOLDER)]
