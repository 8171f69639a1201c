"""What a shelf finds at its start: after a kill at any moment, a full disk, and damage."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path
from random import Random

import pytest
from tests.unit.disk.shelves import CHUNK, Clock, bring, pages, shelf, small, some, whole

from whispurrnet.base.errors import HostError
from whispurrnet.disk import shelf_files, shelf_parts
from whispurrnet.disk.shelf import Shelf
from whispurrnet.disk.shelf_entry import Bitmap
from whispurrnet.store import manifest
from whispurrnet.store.object import Mode


@pytest.fixture
def never_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_parts, "SYNC_BYTES", 1 << 40)
    monkeypatch.setattr(shelf_parts, "SYNC_S", 1e9)


def killed(folder: Path) -> Path:
    """The folder as a kill at this moment leaves it."""
    after = folder.with_name("killed")
    shutil.rmtree(after, ignore_errors=True)
    shutil.copytree(folder, after)
    return after


@pytest.mark.usefixtures("never_synced")
@pytest.mark.parametrize("mode", [Mode.FIXED, Mode.CDC])
def test_what_was_written_counts_after_a_kill_though_it_was_not_marked(
    tmp_path: Path, mode: Mode
) -> None:
    data = some(7 * CHUNK + 1)
    with shelf(None) as one, shelf(tmp_path / "b") as other:
        entry = one.add_bytes(data, mode=mode)
        bring(one, entry, other, [0, 2, 3, 5])
        with shelf(killed(tmp_path / "b")) as again:
            found = again.entry(entry.oid)
            assert found is not None
            assert found.have == ((0, 1), (2, 2), (5, 1))
            assert again.notes == []
            bring(one, entry, again)
            assert whole(again, entry.oid) == data
        # The control: with no pages there is nothing to check it by, so nothing counts.
        with sqlite3.connect(killed(tmp_path / "b") / "index.sqlite") as base:
            base.execute("DELETE FROM page")
        base.close()
        with shelf(tmp_path / "killed") as again:
            found = again.entry(entry.oid)
            assert found is not None
            assert found.have == ()


@pytest.mark.usefixtures("never_synced")
def test_half_a_chunk_does_not_count(tmp_path: Path) -> None:
    with shelf(None) as one, shelf(tmp_path / "b") as other:
        entry = one.add_bytes(some(3 * CHUNK))
        bring(one, entry, other, [0, 1])
        after = killed(tmp_path / "b")
        with (after / "parts" / entry.oid.hex()).open("r+b") as file:
            file.seek(CHUNK + CHUNK // 2)
            file.write(bytes(CHUNK // 2))
        with shelf(after) as again:
            found = again.entry(entry.oid)
            assert found is not None
            assert found.have == ((0, 1),)


def test_a_part_that_was_only_not_finished_is_finished_at_the_start(tmp_path: Path) -> None:
    with shelf(None) as one, shelf(tmp_path / "b") as other:
        entry = one.add_bytes(some(3 * CHUNK))
        bring(one, entry, other, [0, 1, 2])
        name = entry.oid.hex()
        after = killed(tmp_path / "b")
        with shelf(after) as again:
            assert whole(again, entry.oid) == some(3 * CHUNK)
        after = killed(tmp_path / "b")  # the file has its place, the row does not say so
        (after / "objects" / name[:2]).mkdir()
        (after / "parts" / name).rename(after / "objects" / name[:2] / name)
        with shelf(after) as again:
            assert whole(again, entry.oid) == some(3 * CHUNK)
            assert again.notes == []


def test_what_was_being_added_or_removed_is_gone(tmp_path: Path) -> None:
    with shelf(tmp_path / "a") as one:
        entry = one.add_bytes(some(CHUNK))
        kept = one.add_bytes(some(CHUNK, 2))
        after = killed(tmp_path / "a")
        (after / "parts" / "new-1-1").write_bytes(b"half")
        with sqlite3.connect(after / "index.sqlite") as base:
            base.execute("UPDATE object SET state = 2 WHERE oid = ?", (entry.oid,))
        base.close()
        with shelf(after) as again:
            assert again.entry(entry.oid) is None
            assert again.metrics().objects == 1
            assert whole(again, kept.oid) == some(CHUNK, 2)
        assert list((after / "parts").iterdir()) == []
        assert len([path for path in (after / "objects").rglob("*") if path.is_file()]) == 1


def test_an_object_added_up_to_its_row_is_there_at_the_start(tmp_path: Path) -> None:
    with shelf(None) as source, shelf(tmp_path / "a") as one:
        for mode in Mode:
            entry = source.add_bytes(some(2 * CHUNK + 1, mode), mode=mode)
            name = entry.oid.hex()
            (tmp_path / "a" / "objects" / name[:2]).mkdir(exist_ok=True)
            (tmp_path / "a" / "objects" / name[:2] / name).write_bytes(some(2 * CHUNK + 1, mode))
        strange = tmp_path / "a" / "objects" / "ab"
        strange.mkdir(exist_ok=True)
        (strange / ("ab" * 32)).write_bytes(b"not this")
        (strange / "notes.txt").write_bytes(b"whose?")
        (tmp_path / "a" / "parts" / ("cd" * 32)).write_bytes(b"no row")
        with shelf(killed(tmp_path / "a")) as again:
            assert sorted(entry.oid for entry in again.entries()) == sorted(
                entry.oid for entry in source.entries()
            )
            assert len(again.notes) == 3
            assert again.add_bytes(b"works")
        aside = {path.name: path.read_bytes() for path in (tmp_path / "killed/spoiled").iterdir()}
        assert aside == {"ab" * 32: b"not this", "notes.txt": b"whose?", "cd" * 32: b"no row"}
        assert one.notes == []


def test_a_damaged_chunk_is_set_aside_and_can_be_filled(tmp_path: Path) -> None:
    data = some(4 * CHUNK)
    with shelf(None) as source, shelf(tmp_path / "a") as one:
        entry = source.add_bytes(data)
        bring(source, entry, one)
        name = entry.oid.hex()
        with (tmp_path / "a" / "objects" / name[:2] / name).open("r+b") as file:
            file.seek(2 * CHUNK + 17)
            file.write(b"rotten")
        assert one.read(entry.oid, 1) == [data[CHUNK : 2 * CHUNK]]
        with pytest.raises(HostError, match="chunk 2 of object") as caught:
            one.read(entry.oid, 1, 2)
        assert str(tmp_path / "a") in str(caught.value)
        assert one.notes == [str(caught.value)]
        aside = tmp_path / "a" / "spoiled" / f"{name}.2"
        assert b"rotten" in aside.read_bytes()
        found = one.entry(entry.oid)
        assert found is not None
        assert found.have == ((0, 2), (3, 1))
        bring(source, entry, one, [2])
        one.finish(entry.oid)
        assert whole(one, entry.oid) == data
        assert one.check(entry.oid) == []


def test_a_damaged_chunk_does_not_get_out_by_export(tmp_path: Path) -> None:
    with shelf(tmp_path / "a") as one:
        for move in (False, True):
            entry = one.add_bytes(some(2 * CHUNK, move))
            name = entry.oid.hex()
            with (tmp_path / "a" / "objects" / name[:2] / name).open("r+b") as file:
                file.write(b"rotten")
            with pytest.raises(HostError, match="damaged"):
                one.export(entry.oid, tmp_path / "out", move=move)
            assert not (tmp_path / "out").exists()
            assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_small_object_that_is_damaged_is_set_aside(tmp_path: Path) -> None:
    with shelf(tmp_path / "a") as one:
        entry, other = one.add_bytes(b"hello"), one.add_bytes(b"world")
        with one._index.change() as base:
            base.execute("UPDATE small SET data = ? WHERE data = ?", (b"jello", b"hello"))
        assert one.read_small([entry.oid, other.oid])[0][2] == b"world"
        assert (tmp_path / "a" / "spoiled" / f"{entry.oid.hex()}.0").read_bytes() == b"jello"
        assert one.entry(entry.oid) is None
        one.add_bytes(b"hello")
        assert one.read(entry.oid, 0) == [b"hello"]


@pytest.mark.parametrize("damage", ["gone", "short", "long"])
def test_a_file_that_is_not_whole_at_the_start_is_a_part(tmp_path: Path, damage: str) -> None:
    data = some(4 * CHUNK)
    with shelf(None) as source, shelf(tmp_path / "a") as one:
        entry = source.add_bytes(data)
        bring(source, entry, one)
        name = entry.oid.hex()
        after = killed(tmp_path / "a")
        file = after / "objects" / name[:2] / name
        if damage == "gone":
            file.unlink()
        else:
            os.truncate(file, 2 * CHUNK + 5 if damage == "short" else 5 * CHUNK)
        with shelf(after) as again:
            found = again.entry(entry.oid)
            assert found is not None
            assert found.have == {"gone": (), "short": ((0, 2),), "long": ((0, 4),)}[damage] or (
                found.complete
            )
            assert len(again.notes) == 1
            assert name in again.notes[0]
            bring(source, entry, again)
            assert whole(again, entry.oid) == data


@pytest.mark.parametrize("damage", ["head", "middle", "end", "random", "empty", "text"])
def test_a_damaged_database_is_set_aside_and_the_rest_works(tmp_path: Path, damage: str) -> None:
    objects = [small(some(700, seed)) for seed in range(400)]
    with shelf(tmp_path / "a") as one:
        one.put_small(objects)
        big = [one.add_bytes(some(2 * CHUNK, seed)).oid for seed in range(3)]
        one.pin(big[0])
    file = tmp_path / "a" / "index.sqlite"
    raw = bytearray(file.read_bytes())
    rng = Random(7)
    match damage:
        case "head":
            raw[:100] = rng.randbytes(100)
        case "middle":
            raw[len(raw) // 2 : len(raw) // 2 + 9000] = rng.randbytes(9000)
        case "end":
            del raw[len(raw) * 3 // 4 :]
        case "random":
            for _ in range(40):
                raw[rng.randrange(100, len(raw))] = rng.randrange(256)
        case "empty":
            raw.clear()
        case _:
            raw[:] = b"this is not a database, it only looks like a long text" * 99
    file.write_bytes(raw)
    with shelf(tmp_path / "a") as one:
        for seed, oid in enumerate(big):  # what has a file is all there
            assert whole(one, oid) == some(2 * CHUNK, seed)
        there = 0
        for oid, _, data in objects:
            if one.entry(oid) is None:
                continue
            try:
                assert one.read(oid, 0) == [data]
            except HostError:
                continue
            there += 1
        if damage in {"middle", "end", "random"}:
            assert there > 0
        one.put_small(objects)
        assert one.read(objects[0][0], 0) == [objects[0][2]]
        if damage != "empty":
            assert "index.sqlite was damaged" in one.notes[0]
            (aside,) = (tmp_path / "a" / "spoiled").glob("index-*.sqlite")
            assert aside.read_bytes() == raw
    with shelf(tmp_path / "a") as one:
        assert one.notes == []
        assert whole(one, big[0]) == some(2 * CHUNK)


def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    with shelf(tmp_path / "a"):
        pass
    with sqlite3.connect(tmp_path / "a" / "index.sqlite") as base:
        base.execute("PRAGMA user_version = 2")
    base.close()
    with pytest.raises(HostError, match="version 2"):
        Shelf(tmp_path / "a", quota_bytes=None, wall_ms=Clock())


def test_a_full_disk_loses_nothing_that_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = some(4 * CHUNK)
    with shelf(None) as source, shelf(tmp_path / "a") as one:
        entry = source.add_bytes(data)
        first = one.add_bytes(some(CHUNK, 5))
        pages(source, entry, one)
        one.write(entry.oid, 0, data[:CHUNK])
        write = os.pwritev

        def full(file: int, parts: list[memoryview], offset: int) -> int:
            if offset % CHUNK:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(file, [parts[0][: len(parts[0]) // 2]], offset)

        with monkeypatch.context() as context:
            context.setattr(os, "pwritev", full)
            context.setattr(os, "copy_file_range", full_copy)
            context.setattr(shelf_files, "_cloned", lambda *_: False)
            for attempt in (
                lambda: one.write(entry.oid, 1, data[CHUNK : 2 * CHUNK]),
                lambda: one.add_bytes(some(CHUNK, 6)),
                lambda: one.export(first.oid, tmp_path / "out"),
            ):
                with pytest.raises(HostError, match=f"{tmp_path}.*make room"):
                    attempt()
        found = one.entry(entry.oid)
        assert found is not None
        assert found.have == ((0, 1),)
        assert not (tmp_path / "out").exists()
        with shelf(killed(tmp_path / "a")) as again:
            bring(source, entry, again)
            assert whole(again, entry.oid) == data
            assert whole(again, first.oid) == some(CHUNK, 5)
        bring(source, entry, one)
        assert whole(one, entry.oid) == data


def full_copy(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_database_that_cannot_grow_takes_all_or_nothing(tmp_path: Path) -> None:
    with shelf(tmp_path / "a") as one:
        one.put_small([small(b"before")])
        (size,) = one._index.row("PRAGMA page_count") or (0,)
        one._index.rows(f"PRAGMA max_page_count = {size + 5}")
        with pytest.raises(HostError, match="index.sqlite.*make room"):
            one.put_small([small(some(1000, seed)) for seed in range(100)])
        assert one.metrics().objects == 1
        assert one.read(small(b"before")[0], 0) == [b"before"]
        one._index.rows("PRAGMA max_page_count = 100000")
        one.put_small([small(some(1000, seed)) for seed in range(100)])
        assert one.metrics().objects == 101


def test_an_object_that_the_disk_has_no_room_for_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shelf(None) as source, shelf(tmp_path / "a") as one:
        entry = source.add_bytes(some(2 * CHUNK))
        monkeypatch.setattr(shelf_files.Files, "free_bytes", lambda self: 1000)
        with pytest.raises(HostError, match="no room for an object"):
            one.begin(entry.oid, entry.header)
        assert one.entry(entry.oid) is None


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=str(tmp_path)):
        Shelf(tmp_path / "file" / "a", quota_bytes=None, wall_ms=Clock())


def test_a_failed_sync_is_told_to_who_writes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with shelf(None) as source, shelf(tmp_path / "a") as one:
        entry = source.add_bytes(some(4 * CHUNK))
        bring(source, entry, one, [0])
        part = one._parts.get(entry.oid)
        assert part is not None
        monkeypatch.setattr(shelf_files, "sync", broken)
        one._parts._sync_quietly(entry.oid, part)
        with pytest.raises(HostError, match="Input/output error"):
            bring(source, entry, one, [1])
        monkeypatch.undo()


def test_pins_and_members_stay(tmp_path: Path) -> None:
    with shelf(tmp_path / "a") as one:
        child = one.add_bytes(b"child").oid
        root = one.add_bytes(manifest.encode([manifest.Entry("c", child, 5)])).oid
        one.pin(root)
    with shelf(tmp_path / "a") as one:
        assert one.pins() == [root]
        assert one.members(root) == [child]


def test_bits_are_kept_in_order() -> None:
    bits = Bitmap()
    for index in (0, 1, 2, 9, 8, 31, 4000):
        bits.set(index)
        bits.set(index)
    bits.clear(1)
    bits.clear(5000)
    assert bits.runs() == ((0, 1), (2, 1), (8, 2), (31, 1), (4000, 1))
    assert bits.count == 6
    assert Bitmap(bits.raw).runs() == bits.runs()
    for count in (0, 1, 8, 9, 100):
        bits.fill(count)
        assert bits.runs() == (((0, count),) if count else ())
        assert bits.count == count


def test_a_damaged_page_is_found_and_asked_for_again(tmp_path: Path) -> None:
    data = some(4 * CHUNK)
    with shelf(None) as source:
        with shelf(tmp_path / "a") as one:
            entry = source.add_bytes(data)
            bring(source, entry, one)
        with sqlite3.connect(tmp_path / "a" / "index.sqlite") as base:
            (leaves,) = base.execute("SELECT leaves FROM page").fetchone()
            base.execute("UPDATE page SET leaves = ?", (bytes((leaves[0] ^ 1,)) + leaves[1:],))
        base.close()
        with shelf(tmp_path / "a") as one:
            with pytest.raises(HostError, match="chunk 0 of object"):
                one.read(entry.oid, 0)
            assert one.page(entry.oid, 0) is None
            bring(source, entry, one, [0])
            one.finish(entry.oid)
            assert whole(one, entry.oid) == data


@pytest.mark.parametrize("column", ["value", "name"])
def test_a_database_with_damaged_names_is_set_aside(tmp_path: Path, column: str) -> None:
    with shelf(tmp_path / "a") as one:
        entry = one.add_bytes(b"hello")
    with sqlite3.connect(tmp_path / "a" / "index.sqlite") as base:
        base.execute("PRAGMA writable_schema = ON")
        base.execute(
            "UPDATE sqlite_master SET sql = replace(sql, ?, 'xxxxx') WHERE name = 'kept'",
            (f"{column} ",),
        )
    base.close()
    with shelf(tmp_path / "a") as one:
        assert any("damaged" in note for note in one.notes)
        assert whole(one, entry.oid) == b"hello"
        one.keep("a", b"b")
        assert one.kept("a") == b"b"


def test_a_database_whose_schema_is_no_text_is_set_aside(tmp_path: Path) -> None:
    """A byte of what makes it up is turned into one that no text has, each in turn."""
    with shelf(tmp_path / "a") as one:
        entry = one.add_bytes(b"hello")
        one.keep("a", b"b")
    path = tmp_path / "a" / "index.sqlite"
    sound = path.read_bytes()
    found = 0
    for name in (b"object", b"kept", b"page", b"small"):
        at = -1
        while (at := sound.find(name, at + 1)) >= 0:
            damaged = bytearray(sound)
            damaged[at] = 0xA0
            shutil.rmtree(tmp_path / "b", ignore_errors=True)
            shutil.copytree(tmp_path / "a", tmp_path / "b")
            (tmp_path / "b" / "index.sqlite").write_bytes(damaged)
            with shelf(tmp_path / "b") as one:
                found += bool(one.notes)
                one.add_bytes(b"hello")
                assert whole(one, entry.oid) == b"hello"
    assert found > 10
