"""The real folder: what is seen, and that no change to it loses an edit or leaves the folder."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from whispurrnet.base.errors import HostError
from whispurrnet.extensions.filesync import disk as disk_module
from whispurrnet.extensions.filesync import steps
from whispurrnet.extensions.filesync.content import copy_checked, oid_of
from whispurrnet.extensions.filesync.disk import Disk, Seen
from whispurrnet.extensions.filesync.journal import Journal, Keeping, kept_key
from whispurrnet.extensions.filesync.model_events import Apply, SaveIndex
from whispurrnet.extensions.filesync.paths import OWN, problem
from whispurrnet.extensions.filesync.peers import Remote
from whispurrnet.extensions.filesync.record import File
from whispurrnet.store.object import CHUNK_LOG2, Header, Mode
from whispurrnet.store.outline import Outline


def oid(data: bytes) -> bytes:
    return Outline.of(Header(Mode.FIXED, CHUNK_LOG2, len(data)), data).id


class Folder:
    """A disk with the index that a model would keep."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / OWN).mkdir()
        self.disk = Disk(root, {})
        self.index: dict[str, File] = {}
        self.seq = 0

    def scan(self) -> Seen:
        return self.disk.scan(self.index)

    def know(self, path: str) -> File:
        """The index has what lies there."""
        found, size, executable, ms, stamp = self.scan().found[path]
        self.seq += 1
        file = File(path, found, size, executable, ms, ((1, 1),), 1, 1, self.seq)
        self.index[path] = file
        self.disk.stamps[path] = (stamp, self.seq)
        return file

    def stage(self, data: bytes) -> bytes:
        (self.disk.staged / oid(data).hex()).write_bytes(data)
        return oid(data)

    def put(self, path: str, data: bytes, expected: File | None, keep_as: str = "") -> str:
        file = File(path, self.stage(data), len(data), False, 1000, ((2, 1),), 2, 1)
        return self.disk.apply(Apply(file, expected, keep_as))

    def delete(self, path: str, expected: File, keep_as: str = "") -> str:
        return self.disk.apply(
            Apply(File(path, b"", 0, False, 0, ((2, 1),), 2, 1), expected, keep_as)
        )

    def tree(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and OWN not in path.parts
        }

    def versions(self) -> list[bytes]:
        return sorted(
            path.read_bytes() for path in (self.disk.own / "versions").rglob("*") if path.is_file()
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(disk_module, "SETTLE_S", 0.0)
    return Folder(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 1 << 18, (1 << 18) + 1, 3 << 18])
def test_the_id_of_a_content_is_that_of_the_object(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    path = tmp_path / "x"
    path.write_bytes(data)
    file = os.open(path, os.O_RDONLY)
    assert oid_of(file, size) == oid(data)
    os.lseek(file, 0, 0)
    assert oid_of(file, size + 1) is None
    if size:
        os.lseek(file, 0, 0)
        assert oid_of(file, size - 1) is None
    os.close(file)
    assert copy_checked(path, tmp_path / "y", oid(data))
    assert not copy_checked(path, tmp_path / "z", oid(b"other"))
    assert not (tmp_path / "z").exists()


def test_what_is_seen(folder: Folder) -> None:
    root = folder.root
    (root / "d").mkdir()
    (root / "d" / "a").write_bytes(b"1")
    (root / "link").symlink_to("/etc")
    (root / "aux.txt").write_bytes(b"")
    os.mkfifo(root / "pipe")
    seen = folder.scan()
    assert set(seen.found) == {"d/a"}
    assert seen.found["d/a"][:2] == (oid(b"1"), 1)
    assert {path: bool(why) for path, why in seen.unshared.items()} == {
        "link": True,
        "aux.txt": True,
        "pipe": True,
    }
    folder.know("d/a")
    assert not folder.scan().found
    os.utime(root / "d" / "a", ns=(5, 5))
    assert set(folder.scan().found) == {"d/a"}
    (root / "d" / "a").unlink()
    assert folder.scan().gone == ["d/a"]
    assert folder.disk.look("d/a", folder.index).gone == ["d/a"]
    folder.disk.ignore("other", (1,))
    assert folder.scan().unshared["other"] == ""


def test_what_has_changed_just_now_is_looked_at_later(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_module, "SETTLE_S", 60.0)
    (folder.root / "a").write_bytes(b"1")
    seen = folder.scan()
    assert not seen.found
    assert seen.unsettled == ["a"]


def test_a_folder_that_cannot_be_read_does_not_look_deleted(folder: Folder) -> None:
    (folder.root / "d").mkdir()
    (folder.root / "d" / "a").write_bytes(b"1")
    folder.know("d/a")
    scandir = os.scandir

    def closed(path: Path) -> object:
        if Path(path).name == "d":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", closed)
        seen = folder.scan()
    assert not seen.gone
    assert "cannot be read" in seen.unshared["d"]


def test_a_folder_that_is_gone_is_an_error_not_a_deletion(folder: Folder) -> None:
    (folder.root / "a").write_bytes(b"1")
    folder.know("a")
    (folder.root / "a").unlink()
    os.rename(folder.disk.own, folder.root / "elsewhere")
    with pytest.raises(HostError, match="not there any more"):
        folder.scan()
    (folder.root / OWN).mkdir()
    with pytest.raises(HostError, match="not there any more"):
        folder.scan()


def test_files_are_put_replaced_and_deleted_and_old_ones_are_kept(folder: Folder) -> None:
    assert folder.put("d/e/a", b"new", None) == ""
    assert folder.tree() == {"d/e/a": b"new"}
    assert folder.put("d/e/a", b"newer", None) != ""
    file = folder.know("d/e/a")
    assert folder.put("d/e/a", b"newer", file) == ""
    file = folder.know("d/e/a")
    assert folder.delete("d/e/a", file) == ""
    assert not (folder.root / "d").exists()
    assert folder.versions() == [b"new", b"newer"]
    folder.disk.prune(0.0)
    assert len(folder.versions()) == 2
    folder.disk.prune(1e12)
    assert not folder.versions()


def test_an_edit_that_the_index_has_not_seen_is_never_touched(folder: Folder) -> None:
    place = folder.root / "a"
    place.write_bytes(b"1")
    file = folder.know("a")
    place.write_bytes(b"22")
    assert "being changed" in folder.put("a", b"new", file)
    assert "being changed" in folder.delete("a", file)
    assert folder.tree() == {"a": b"22"}
    place.unlink()
    assert "deleted here" in folder.put("a", b"new", file)
    (folder.root / "b").write_bytes(b"mine")
    assert "not shared yet" in folder.put("b", b"new", None)
    (folder.root / "c").mkdir()
    assert "no file" in folder.put("c", b"new", None)
    assert folder.put("b/x", b"new", None) != ""
    assert folder.tree() == {"b": b"mine"}


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("how", ["replaced", "written"])
def test_an_edit_in_the_very_moment_stays_under_another_name(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, how: str, atomic: bool
) -> None:
    place = folder.root / "a.txt"
    place.write_bytes(b"1")
    file = folder.know("a.txt")
    if not atomic:
        monkeypatch.setattr(steps, "_renameat2", None)
    exchange = steps.exchange

    def late(a: Path, b: Path) -> None:
        if how == "replaced":
            (folder.root / "tmp").write_bytes(b"edited")
            (folder.root / "tmp").replace(b)
        else:
            b.write_bytes(b"edited")
        exchange(a, b)

    monkeypatch.setattr(disk_module, "exchange", late)
    assert folder.put("a.txt", b"new", file) == ""
    tree = folder.tree()
    assert tree.pop("a.txt") == b"new"
    ((name, data),) = tree.items()
    assert data == b"edited"
    assert name.startswith("a.conflict-here-") and name.endswith(".txt")


def test_the_loser_of_a_conflict_is_a_file_of_its_own(folder: Folder) -> None:
    place = folder.root / "a"
    place.write_bytes(b"mine")
    file = folder.know("a")
    assert folder.put("a", b"theirs", file, "a.conflict-x") == ""
    assert folder.tree() == {"a": b"theirs", "a.conflict-x": b"mine"}
    assert (folder.root / "a.conflict-x").stat().st_nlink == 1
    assert not folder.versions()
    assert set(folder.disk.fresh) == {"a", "a.conflict-x"}
    file = folder.know("a")
    assert "in the way" in folder.delete("a", file, "a.conflict-x")
    folder.know("a.conflict-x")
    assert folder.delete("a", file, "a.conflict-x") == ""
    assert folder.tree() == {"a.conflict-x": b"mine"}


def test_nothing_is_written_through_a_link(folder: Folder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder.root / "d").symlink_to(outside)
    assert "link" in folder.put("d/a", b"new", None)
    (folder.root / "l").symlink_to(outside / "target")
    assert folder.put("l", b"new", None) != ""
    assert not folder.disk.stage("d/a", oid(b"1"))
    for path in ("../a", "/tmp/a", f"{OWN}/a", "a/../../b"):
        assert problem(path)
        assert folder.put(path, b"new", None) != ""
    assert not any(outside.iterdir())


def test_a_damaged_content_is_not_put_in_place(folder: Folder) -> None:
    wanted = oid(b"right")
    (folder.disk.staged / wanted.hex()).write_bytes(b"wrong")
    file = File("a", wanted, 5, False, 0, ((2, 1),), 2, 1)
    assert "damaged" in folder.disk.apply(Apply(file, None, ""))
    assert not folder.tree()


def test_the_bit_of_programs_travels(folder: Folder) -> None:
    file = File("run", folder.stage(b"#!"), 2, True, 0, ((2, 1),), 2, 1)
    assert folder.disk.apply(Apply(file, None, "")) == ""
    assert os.access(folder.root / "run", os.X_OK)
    known = folder.know("run")
    assert known.executable
    plain = msgspec.structs.replace(file, executable=False)
    folder.stage(b"#!")
    assert folder.disk.apply(Apply(plain, known, "")) == ""
    assert not (folder.root / "run").stat().st_mode & 0o111


# The journal


def test_the_journal_keeps_what_was_saved(tmp_path: Path) -> None:
    file = File("a", oid(b"1"), 1, False, 0, ((1, 1),), 1, 1, 4)
    other = File("b", oid(b"2"), 1, False, 0, ((2, 1),), 2, 1, 9)
    journal = Journal(tmp_path)
    device = journal.device
    with pytest.raises(HostError, match="another process"):
        Journal(tmp_path)
    keeping = Keeping()
    assert not keeping
    keeping.files["a"] = file
    keeping.indexes.append(SaveIndex(2**62, False, 9, (other,)))
    journal.keep(keeping, {"a": ((1, 2, 3), 4)})
    journal.keep_key(b"k" * 32)
    journal.close()
    assert kept_key(tmp_path) == b"k" * 32
    again = Journal(tmp_path)
    assert again.device == device
    assert again.load() == ([file], {"a": ((1, 2, 3), 4)}, {2**62: Remote({"b": other}, 9)})
    keeping = Keeping()
    keeping.indexes.append(SaveIndex(2**62, True, 1, ()))
    again.keep(keeping, {})
    assert again.load()[2] == {2**62: Remote({}, 1)}
    again.close()
    assert (tmp_path / OWN / "index.sqlite").stat().st_mode & 0o077 == 0


def test_a_copied_folder_takes_another_number(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    device = journal.device
    journal.close()
    os.rename(tmp_path / OWN, tmp_path / "old")
    (tmp_path / OWN).mkdir()
    (tmp_path / OWN / "index.sqlite").write_bytes((tmp_path / "old" / "index.sqlite").read_bytes())
    copied = Journal(tmp_path)
    assert copied.device != device
    copied.close()


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b""])
def test_a_damaged_journal_is_set_aside_and_named(tmp_path: Path, damage: bytes) -> None:
    journal = Journal(tmp_path)
    device = journal.device
    keeping = Keeping()
    keeping.files["a"] = File("a", oid(b"1"), 1, False, 0, ((1, 1),), 1, 1, 4)
    journal.keep(keeping, {})
    journal.close()
    (tmp_path / OWN / "index.sqlite").write_bytes(damage)
    again = Journal(tmp_path)
    assert again.device != device
    assert again.load() == ([], {}, {})
    if damage:
        assert "damaged" in again.notes[0]
        assert list((tmp_path / OWN).glob("index.damaged-*"))
    again.close()
    assert kept_key(tmp_path / "none") is None


def test_a_full_disk_is_a_reason_and_leaves_what_was_there(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.root / "a").write_bytes(b"1")
    file = folder.know("a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "No space left" in folder.put("a", b"new", file)
    assert folder.tree() == {"a": b"1"}
    assert not list(folder.disk.own.glob("new-*"))
    changes = [
        Apply(File(f"f{n}", folder.stage(b"%d" % n), 1, False, 0, ((2, 1),), 2, 1), None, "")
        for n in range(20)
    ]
    told = folder.disk.apply_all(changes)
    assert [reason for reason, _ in told] == [""] * 20
    assert all(set(fresh) == {f"f{n}"} for n, (_, fresh) in enumerate(told))
