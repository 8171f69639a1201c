"""The shelf: what is put on it is there, checked, and goes when it may."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from threading import Thread

import pytest
from tests.unit.disk.shelves import CHUNK, DAY, HOUR, Clock, bring, pages, shelf, small, some, whole

from whispurrnet.base.errors import HostError, LimitError, UsageError
from whispurrnet.disk import shelf_parts
from whispurrnet.disk.shelf import Changed, NotHere, Shelf
from whispurrnet.disk.shelf_entry import Bitmap
from whispurrnet.store import manifest
from whispurrnet.store.object import CHUNK_LOG2, Header, Mode, small_id
from whispurrnet.wire.ids import ObjectId

SIZES = [0, 5, 65_536, 65_537, CHUNK + 1, 3 * CHUNK + 5]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("size", SIZES)
def test_what_is_added_is_there_after_a_start(tmp_path: Path, mode: Mode, size: int) -> None:
    data = some(size)
    file = tmp_path / "file"
    file.write_bytes(data)
    with shelf(tmp_path / "a") as one:
        entry = one.add_bytes(data, mode=mode, public=True)
        assert one.add_file(file, copy=True, mode=mode).oid == entry.oid
    with shelf(tmp_path / "a") as one:
        assert whole(one, entry.oid) == data
        assert one.entry(entry.oid) == entry
        assert entry.public
        assert not entry.reference
        assert entry.have == ((0, entry.chunks),)
        assert one.read_range(entry.oid, size // 2 - 3 if size > 6 else 0, 7) == (
            data[size // 2 - 3 :][:7] if size > 6 else data
        )
        assert one.read_range(entry.oid, size, 10) == b""
        one.export(entry.oid, tmp_path / "out")
        assert one.notes == []
    assert (tmp_path / "out").read_bytes() == data


@pytest.mark.parametrize("size", SIZES)
def test_an_object_goes_from_shelf_to_shelf(tmp_path: Path, size: int) -> None:
    data = some(size)
    with shelf(None) as one, shelf(tmp_path / "b") as other:
        entry = one.add_bytes(data)
        bring(one, entry, other)
        assert whole(other, entry.oid) == data
        bring(one, entry, other)  # again: nothing happens
        assert other.metrics().objects == 1
        assert other.metrics().bytes == size
        assert other.metrics().parts == 0


def test_folder_and_files_are_of_this_user_only(tmp_path: Path) -> None:
    with shelf(tmp_path / "a") as one:
        entry = one.add_bytes(some(CHUNK))
        for path in (tmp_path / "a").rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        name = entry.oid.hex()
        assert (tmp_path / "a" / "objects" / name[:2] / name).is_file()
        with pytest.raises(HostError, match="another process"):
            Shelf(tmp_path / "a", quota_bytes=None, wall_ms=Clock())


def test_without_a_folder_nothing_stays() -> None:
    with shelf(None) as one:
        one.add_bytes(some(CHUNK))
        folder = one._files.folder
        assert folder.exists()
    assert not folder.exists()


def test_a_file_by_reference_is_read_where_it_is_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "big"
    data = some(2 * CHUNK + 9)
    file.write_bytes(data)
    seen: list[int] = []
    with shelf(tmp_path / "a") as one:
        entry = one.add_file(file, copy=False, progress=seen.append)
        assert entry.reference
        assert seen[-1] == len(data)
        assert one.metrics().bytes == 0
        assert whole(one, entry.oid) == data
        with file.open("r+b") as opened:
            opened.seek(CHUNK + 3)
            opened.write(b"changed")
        assert one.read(entry.oid, 0) == [data[:CHUNK]]
        with pytest.raises(Changed, match="big is not what it was"):
            one.read(entry.oid, 1)
        with pytest.raises(Changed):
            one.export(entry.oid, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        file.unlink()
        with pytest.raises(Changed, match="is gone"):
            one.read(entry.oid, 0)
        file.write_bytes(data)
        assert whole(one, entry.oid) == data
        copied = one.add_file(file, copy=True)  # now it is ours too
        assert copied.oid == entry.oid
        assert not copied.reference
        file.unlink()
        assert whole(one, entry.oid) == data


def test_what_is_no_file_is_not_added(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with shelf(None) as one:
        for name, word in (("none", "no such file"), ("pipe", "not a file"), (".", "not a file")):
            with pytest.raises(UsageError, match=word):
                one.add_file(tmp_path / name, copy=True)


def test_a_file_that_changes_while_it_is_read_is_not_added(tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(some(9 * 2**20))
    with shelf(tmp_path / "a") as one:

        def grow(done: int) -> None:
            with file.open("ab") as opened:
                opened.write(b"more")

        with pytest.raises(Changed, match="while it was read"):
            one.add_file(file, copy=True, progress=grow)
        with pytest.raises(HostError, match="shorter"):
            one.add_file(file, copy=True, progress=lambda done: os.truncate(file, 100))
        assert one.metrics().objects == 0
        assert list((tmp_path / "a" / "parts").iterdir()) == []


def test_export_overwrites_only_when_told(tmp_path: Path) -> None:
    with shelf(tmp_path / "a") as one:
        for entry in (one.add_bytes(b"small"), one.add_bytes(some(CHUNK + 1))):
            for move in (False, True):
                out = tmp_path / "out"
                out.write_bytes(b"precious")
                with pytest.raises(UsageError, match="there already"):
                    one.export(entry.oid, out, move=move)
                assert out.read_bytes() == b"precious"
                with pytest.raises(UsageError, match="there already"):
                    one.export(entry.oid, tmp_path, overwrite=True, move=move)
                one.export(entry.oid, out, overwrite=True)
                assert out.read_bytes() == whole(one, entry.oid)
                (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
                with pytest.raises(UsageError):
                    one.export(entry.oid, tmp_path / "link", move=move)
                (tmp_path / "link").unlink()
        with pytest.raises(HostError, match="No such file"):
            one.export(entry.oid, tmp_path / "no" / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "out"}


def test_an_object_that_is_moved_out_is_kept_by_reference(tmp_path: Path) -> None:
    data = some(CHUNK + 1)
    with shelf(tmp_path / "a", quota_bytes=10**6) as one:
        entry = one.add_bytes(data)
        (tmp_path / "plain").touch()
        one.export(entry.oid, tmp_path / "out", move=True)
        assert (tmp_path / "out").read_bytes() == data
        assert (tmp_path / "out").stat().st_nlink == 1
        assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode
        moved = one.entry(entry.oid)
        assert moved is not None
        assert moved.reference
        assert one.metrics().bytes == 0
        one.add_bytes(some(900_000, 2))  # the room is free
    with shelf(tmp_path / "a") as one:
        assert whole(one, entry.oid) == data
        one.remove([entry.oid])
        assert (tmp_path / "out").read_bytes() == data


def test_parts_are_read_as_far_as_they_are_there(tmp_path: Path) -> None:
    data = some(5 * CHUNK)
    with shelf(None) as one, shelf(tmp_path / "b") as other:
        entry = one.add_bytes(data)
        bring(one, entry, other, [1, 3, 4])
        found = other.entry(entry.oid)
        assert found is not None
        assert not found.complete
        assert found.have == ((1, 1), (3, 2))
        assert other.read(entry.oid, 3, 2) == [data[3 * CHUNK : 4 * CHUNK], data[4 * CHUNK :]]
        assert other.page(entry.oid, 0) == one.page(entry.oid, 0)
        assert other.leaves(entry.oid) == one.leaves(entry.oid)
        for index, count in ((0, 1), (1, 2), (5, 1), (-1, 1), (3, 0)):
            with pytest.raises(NotHere):
                other.read(entry.oid, index, count)
        with pytest.raises(UsageError, match="not whole"):
            other.finish(entry.oid)
        with pytest.raises(NotHere):
            other.export(entry.oid, tmp_path / "out")
        for index, chunk in ((0, data[: CHUNK - 1]), (5, data[:CHUNK]), (-1, data[:CHUNK])):
            with pytest.raises(UsageError):
                other.write(entry.oid, index, chunk)
        assert other.metrics().parts == 1
        assert other.metrics().bytes == 3 * CHUNK
        other.abandon(entry.oid)
        assert other.entry(entry.oid) is None
        assert other.metrics().bytes == 0
        assert list((tmp_path / "b" / "parts").iterdir()) == []
        with pytest.raises(UsageError, match="not begun"):
            other.write(entry.oid, 0, data[:CHUNK])
        with pytest.raises(NotHere):
            other.read(entry.oid, 0)


def test_many_chunks_are_written_at_once_in_any_order(tmp_path: Path) -> None:
    data = some(6 * CHUNK + 1)
    with shelf(None) as one, shelf(tmp_path / "b") as other:
        entry = one.add_bytes(data, mode=Mode.CDC)
        pages(one, entry, other)
        chunks = [(i, one.read(entry.oid, i)[0]) for i in range(entry.chunks)]
        other.write_many(entry.oid, [*chunks[3:], *reversed(chunks[:3])])
        other.finish(entry.oid)
        assert whole(other, entry.oid) == data
        assert other.read_range(entry.oid, 2 * CHUNK - 7, CHUNK) == data[2 * CHUNK - 7 :][:CHUNK]


def test_what_arrived_is_marked_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_parts, "SYNC_BYTES", 2 * CHUNK)
    with shelf(None) as one, shelf(tmp_path / "b") as other:
        entry = one.add_bytes(some(4 * CHUNK))
        bring(one, entry, other, [0, 1, 2])
        thread = other._parts._thread
        assert thread is not None
        other._parts._closed = True
        with other._parts._wake:
            other._parts._wake.notify()
        thread.join()
        other._parts.close()
        (have,) = other._index.row("SELECT have FROM object") or (b"",)
        assert Bitmap(have).count == 3


def test_many_small_objects_come_in_one_transaction(tmp_path: Path) -> None:
    objects = [small(some(200, seed)) for seed in range(3000)]
    with shelf(tmp_path / "a") as one:
        one.put_small(objects)
        one.put_small(objects[:5])
        assert one.metrics().objects == 3000
        assert one.metrics().bytes == 600_000
        for at in (0, 1500, 2999):
            oid, _, data = objects[at]
            assert one.read(oid, 0) == [data]
        strange = ObjectId(bytes(32))
        asked = [objects[7][0], strange, *(oid for oid, _, _ in objects[1000:2000])]
        found = one.read_small(asked)
        assert [oid for oid, _, _ in found] == [oid for oid in asked if oid != strange]
        assert found[0] == objects[7]
        big = Header(Mode.FIXED, CHUNK_LOG2, 70_000)
        for bad in ((strange, big, bytes(70_000)), (strange, objects[0][1], b"short")):
            with pytest.raises(UsageError, match="not a small one"):
                one.put_small([small(b"good"), bad])
        assert one.entry(small(b"good")[0]) is None


def collection(one: Shelf, *children: ObjectId) -> ObjectId:
    entries = [manifest.Entry(f"{i:05}", oid, 0) for i, oid in enumerate(children)]
    return one.add_bytes(manifest.encode(entries)).oid


def test_members_and_roots_are_found_all_the_way(tmp_path: Path) -> None:
    clock = Clock()
    with shelf(tmp_path / "a", clock) as one:
        files = [one.add_bytes(some(10, seed)).oid for seed in range(3)]
        inner = collection(one, files[0], files[1])
        outer = collection(one, inner, files[2])
        other = collection(one, files[1], *(ObjectId(bytes([i]) * 32) for i in range(200)))
        many = collection(one, *(ObjectId(i.to_bytes(32, "big")) for i in range(3000)))  # a file
        assert one.members(outer) == sorted([inner, *files])
        assert one.members(files[0]) == []
        assert len(one.members(many)) == 3000
        assert set(one.roots_of(files[1])) == {files[1], inner, outer, other}
        assert one.roots_of(files[1])[0] == files[1]
        several = [files[1], inner, files[1], ObjectId(bytes(32))]
        assert {oid: set(roots) for oid, roots in one.roots_of_each(several).items()} == {
            oid: set(one.roots_of(oid)) for oid in several
        }
        assert {oid for _, oid in one.ids(outer)} == {outer, inner, *files}
        assert len(one.ids()) == 7
        assert one.ids()[0][0] == clock.now_ms // 1000
        assert [entry.oid for entry in one.entries(limit=3)] == sorted(oid for _, oid in one.ids())[
            :3
        ]
        assert len(one.entries(after=one.entries(limit=3)[-1].oid)) == 4


def test_members_are_known_of_what_was_fetched(tmp_path: Path) -> None:
    with shelf(None) as one, shelf(tmp_path / "b") as other:
        big = collection(one, *(ObjectId(i.to_bytes(32, "big")) for i in range(3000)))
        entry = one.entry(big)
        assert entry is not None
        assert not entry.header.inline
        bring(one, entry, other)
        assert len(other.members(big)) == 3000
        trap = other.add_bytes(manifest.MAGIC + b"\x91" * 100)  # only begins like one
        assert other.members(trap.oid) == []


def test_what_nobody_keeps_goes_after_its_lease_and_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    with shelf(tmp_path / "a", clock) as one, shelf(None) as source:
        pinned = one.add_bytes(some(CHUNK, 1)).oid
        child = one.add_bytes(some(CHUNK, 2)).oid
        root = collection(one, child)
        leased = one.add_bytes(some(CHUNK, 3)).oid
        loose = [one.add_bytes(some(CHUNK, seed)).oid for seed in (4, 5)]
        part = source.add_bytes(some(2 * CHUNK, 6))
        bring(source, part, one, [0])
        one.pin(pinned)
        one.pin(root)
        one.lease(leased, clock.now_ms + 20 * DAY)
        assert one.gc(clock.now_ms).removed == 0
        one.lease(loose[0], 0)
        assert one.gc(clock.now_ms + HOUR // 2).removed == 0  # a collection may come yet
        assert one.gc(clock.now_ms + 2 * HOUR).removed == 1
        clock.now_ms += 15 * DAY
        assert one.read(loose[1], 0)  # of use: one hour more
        assert one.gc(clock.now_ms).removed == 1  # the part
        report = one.gc(clock.now_ms + 2 * HOUR)
        assert (report.removed, report.freed_bytes) == (1, CHUNK)
        assert {oid for _, oid in one.ids()} == {pinned, child, root, leased}
        one.unpin(root)
        assert one.pins() == [pinned]
        assert one.gc(clock.now_ms + 2 * HOUR).removed == 2
        assert one.members(root) == []
        files = [path for path in (tmp_path / "a" / "objects").rglob("*") if path.is_file()]
        assert {path.name for path in files} == {pinned.hex(), leased.hex()}
        assert list((tmp_path / "a" / "parts").iterdir()) == []


def test_over_the_quota_the_least_recently_used_goes_but_nothing_pinned(tmp_path: Path) -> None:
    clock = Clock()
    with shelf(tmp_path / "a", clock, quota_bytes=4 * CHUNK) as one:
        oids = []
        for seed in range(4):
            oids.append(one.add_bytes(some(CHUNK, seed)).oid)
            clock.now_ms += 1
        with pytest.raises(LimitError, match="quota"):
            one.add_bytes(some(CHUNK, 9))  # all are younger than an hour
        one.pin(oids[0])
        clock.now_ms += 2 * HOUR
        one.read(oids[1], 0)
        added = one.add_bytes(some(CHUNK, 9)).oid
        assert {oid for _, oid in one.ids()} == {oids[0], oids[1], oids[3], added}
        header = Header(Mode.FIXED, CHUNK_LOG2, 9 * CHUNK)
        with pytest.raises(LimitError, match="quota"):
            one.begin(ObjectId(bytes(32)), header)
        assert whole(one, oids[0]) == some(CHUNK, 0)


def test_small_ones_that_come_at_the_same_time_do_not_outgrow_the_quota(tmp_path: Path) -> None:
    with shelf(tmp_path / "a") as other, shelf(tmp_path / "b", quota_bytes=100_000) as one:
        entries = [other.add_bytes(some(40_000, seed)) for seed in range(3)]
        for entry in entries:
            pages(other, entry, one)  # each of them alone would fit
        for entry in entries:
            one.write(entry.oid, 0, other.read(entry.oid, 0)[0])
        for entry in entries[:2]:
            assert one.finish(entry.oid).complete
        with pytest.raises(LimitError, match="quota"):
            one.finish(entries[2].oid)
        assert one.metrics().bytes <= 120_000  # what is written of the third, in memory


def test_removing_many_goes_in_batches(tmp_path: Path) -> None:
    objects = [small(some(20, seed)) for seed in range(1000)]
    with shelf(tmp_path / "a") as one:
        one.put_small(objects)
        assert one.remove([oid for oid, _, _ in objects]) == 20_000
        assert one.metrics().objects == 0
        assert one.metrics().bytes == 0


def test_a_few_bytes_are_kept_under_a_name(tmp_path: Path) -> None:
    with shelf(tmp_path / "a") as one:
        assert one.kept("access") is None
        one.keep("access", b"1")
        one.keep("access", b"2")
    with shelf(tmp_path / "a") as one:
        assert one.kept("access") == b"2"


def test_threads_may_share_it(tmp_path: Path) -> None:
    data = some(40 * CHUNK)
    with shelf(None) as one, shelf(tmp_path / "b") as other:
        entry = one.add_bytes(data)
        pages(one, entry, other)
        failed: list[BaseException] = []

        def work(first: int) -> None:
            try:
                for index in range(first, 40, 4):
                    other.write(entry.oid, index, one.read(entry.oid, index)[0])
                    other.put_small([small(some(50, 1000 * first + index))])
                    other.read(entry.oid, index)
            except BaseException as error:
                failed.append(error)
                raise

        threads = [Thread(target=work, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        other.finish(entry.oid)
        assert whole(other, entry.oid) == data
        assert other.metrics().objects == 41


def test_a_small_object_that_is_not_what_its_id_says_is_not_finished() -> None:
    with shelf(None) as one:
        header = Header(Mode.FIXED, CHUNK_LOG2, 5)
        oid = small_id(header, b"hello")
        one.begin(oid, header)
        one.write(oid, 0, b"jello")
        with pytest.raises(UsageError, match="not what was written"):
            one.finish(oid)
        with pytest.raises(UsageError, match="another header"):
            one._parts.begin(oid, Header(Mode.SEALED, CHUNK_LOG2, 5))
