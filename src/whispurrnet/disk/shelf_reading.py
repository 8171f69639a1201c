"""Reading from the shelf: what is given out was checked against its leaf just before.

A chunk of ours that fails is copied to `spoiled/`, never deleted, and its object becomes a part
with one hole. A file kept by reference belongs to the user: it is left alone, and the error says
that it changed.
"""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.disk import shelf_files
from whispurrnet.disk.shelf_adding import Progress
from whispurrnet.disk.shelf_entry import Bitmap, Changed, Entry, NotHere
from whispurrnet.disk.shelf_files import Files, opened, told
from whispurrnet.disk.shelf_index import FILE, GONE, INLINE, PART, REFERENCE, WHOLE, Index
from whispurrnet.disk.shelf_pages import Pages
from whispurrnet.disk.shelf_parts import Part, Parts
from whispurrnet.store.object import CUTS_HEAD, PAGE_LEAVES, Header, Mode, leaf, small_id
from whispurrnet.wire.ids import ObjectId

_BATCH = 512
"""How many small objects one query reads."""

_COLUMNS = (
    "id, oid, header, chunks, place, state, public, added_ms, used_ms, lease_ms, have, path,"
    " mtime_ns"
)


class Record(NamedTuple):
    """What the database says of an object."""

    id: int
    oid: ObjectId
    header: Header
    chunks: int
    place: int
    state: int
    public: bool
    added_ms: int
    used_ms: int
    lease_ms: int
    have: bytes | None
    path: str | None
    mtime_ns: int | None


class Reading:
    """The reading side of a shelf.

    Args:
        index: The database.
        files: The folder.
        pages: Of all objects.
        parts: Those on their way.
    """

    def __init__(self, index: Index, files: Files, pages: Pages, parts: Parts) -> None:
        self._index, self._files, self._pages, self._parts = index, files, pages, parts
        self.notes: list[str] = []
        """What was found damaged, in words for people."""

    def record(self, oid: ObjectId) -> Record | None:
        """What the database says of an object, or None."""
        found = self.records("WHERE oid = ?", (oid,))
        return found[0] if found else None

    def records(self, where: str, values: tuple[object, ...] = ()) -> list[Record]:
        """All objects that a condition of ours holds for, but those that are being removed."""
        rows = self._index.rows(f"SELECT {_COLUMNS} FROM object {where}", values)  # noqa: S608
        return [
            Record(row[0], ObjectId(row[1]), Header.unpack(row[2]), *row[3:])
            for row in rows
            if row[5] != GONE
        ]

    def chunks(self, oid: ObjectId, index: int, count: int) -> list[bytes]:
        """Chunks that lie beside each other, each checked.

        Raises:
            NotHere: One of them is not there.
            Changed: The file is kept by reference and is not what it was.
            HostError: One was damaged, and now is set aside; or the disk cannot be read.
        """
        for _ in range(3):  # the object may be finished, or found damaged, while we look
            try:
                return self._chunks(oid, index, count)
            except FileNotFoundError:
                continue
        raise NotHere(f"object {oid.hex()} is being moved or removed")

    def _chunks(self, oid: ObjectId, index: int, count: int) -> list[bytes]:
        part = self._parts.get(oid)
        record = None if part is not None else self.record(oid)
        if part is None and record is None:
            raise NotHere(f"object {oid.hex()} is not here")
        header, total = (part or record).header, (part or record).chunks  # type: ignore[union-attr]
        if not (index >= 0 and count > 0 and index + count <= total):
            raise NotHere(f"object {oid.hex()} has no chunks {index} to {index + count - 1}")
        if part is not None and any(i not in part.have for i in range(index, index + count)):
            raise NotHere(f"object {oid.hex()} is on its way, and chunk {index} is not here yet")
        if header.inline:
            return [part.data or b"" if part is not None else self._small(record, oid)]
        path = self._path(oid, part, record)
        with self._reading(path, record), opened(path) as file:
            return [
                self._checked(file, oid, header, i, record) for i in range(index, index + count)
            ]

    def small(self, oids: Sequence[ObjectId]) -> list[tuple[ObjectId, Header, bytes]]:
        """Those of these objects that are here and have no file, each checked."""
        found: dict[bytes, tuple[Header, bytes]] = {}
        for at in range(0, len(oids), _BATCH):
            batch = oids[at : at + _BATCH]
            rows = self._index.rows(
                "SELECT oid, header, data FROM object JOIN small USING (id)"  # noqa: S608
                f" WHERE oid IN ({', '.join('?' * len(batch))})",
                batch,
            )
            found.update((oid, (Header.unpack(header), data)) for oid, header, data in rows)
        checked = []
        for oid in oids:
            header, data = found.get(oid, (None, b""))
            if header is None:
                continue
            if len(data) != header.size or small_id(header, data) != oid:
                self._spoil(oid, 0, data)
            else:
                checked.append((oid, header, data))
        return checked

    def range(self, oid: ObjectId, start: int, n: int) -> bytes:
        """Up to `n` bytes from `start`, fewer at the end; raises like `chunks`."""
        part = self._parts.get(oid)
        found = part if part is not None else self.record(oid)
        if found is None:
            raise NotHere(f"object {oid.hex()} is not here")
        header = found.header
        if start < 0 or n < 0:
            raise UsageError(f"a range of {n} bytes from {start} cannot be read")
        end = min(start + n, header.size)
        parts: list[bytes] = []
        index = self._chunk_at(oid, header, start) if start < end else 0
        while start < end:
            offset, length = (
                (0, header.size) if header.inline else self._pages.bounds(oid, header, index)
            )
            (chunk,) = self.chunks(oid, index, 1)
            parts.append(chunk[start - offset : end - offset])
            start = offset + length
            index += 1
        return b"".join(parts)

    def export(self, oid: ObjectId, to: Path, *, overwrite: bool, progress: Progress) -> None:
        """Write a whole object to a file of the user, whole or not at all, and checked.

        Raises:
            UsageError: Something is there already, and is not to be overwritten.
            HostError: As for `chunks`; or the file cannot be written there.
        """
        record = self._exportable(oid, to, overwrite=overwrite)
        with told(to.parent), _fresh(oid, to) as (fresh, target):
            if record.header.inline:
                shelf_files.write_at(target, 0, [self._small(record, oid)])
            else:
                path = self._path(oid, None, record)
                with self._reading(path, record), opened(path) as source:
                    shelf_files.copy(source, target, record.header.size)
                self._check_copy(record, target, progress)
            shelf_files.sync(target)
            shelf_files.publish(fresh, to, overwrite=overwrite)

    def hand_over(self, oid: ObjectId, to: Path, *, overwrite: bool, progress: Progress) -> bool:
        """Give the file of an object to the user, and keep it by reference from then on.

        Returns:
            Whether it could be done: there is a file, on the same disk.

        Raises:
            UsageError, HostError: As for `export`.
        """
        to = Path(os.path.abspath(to))
        record = self._exportable(oid, to, overwrite=overwrite)
        ours = self._files.whole(oid)
        if record.place != FILE or os.stat(to.parent).st_dev != ours.stat().st_dev:
            return False
        with told(to.parent), _fresh(oid, to) as (fresh, target):
            mode = os.fstat(target).st_mode & 0o777  # as the user makes files
            fresh.unlink()
            os.link(ours, fresh)
            with opened(fresh, os.O_RDWR) as file:
                self._check_copy(record, file, progress)
                os.fchmod(file, mode)
                mtime_ns = os.fstat(file).st_mtime_ns
            with self._index.lock:
                shelf_files.publish(fresh, to, overwrite=overwrite)
                with self._index.change() as base:
                    base.execute(
                        "UPDATE object SET place = ?, path = ?, mtime_ns = ? WHERE id = ?",
                        (REFERENCE, str(to), mtime_ns, record.id),
                    )
                ours.unlink(missing_ok=True)
        return True

    def _exportable(self, oid: ObjectId, to: Path, *, overwrite: bool) -> Record:
        """A whole object, and a place where nothing is or may be."""
        record = self.record(oid)
        if record is None or record.state != WHOLE:
            raise NotHere(f"object {oid.hex()} is not here as a whole")
        if to.is_dir() or (os.path.lexists(to) and not overwrite):
            raise UsageError(
                f"{to} is there already; give another name, or say that it may be overwritten"
            )
        return record

    def _check_copy(self, record: Record, target: int, progress: Progress) -> None:
        """Whether a copy is the object; it was made without looking."""
        oid, header = record.oid, record.header
        for index in range(record.chunks):
            offset, length = self._pages.bounds(oid, header, index)
            data = shelf_files.read_at(target, offset, length)
            if leaf(data) != self._pages.leaf(oid, index):
                (data,) = self.chunks(oid, index, 1)  # says what is wrong, or was only unlucky
                shelf_files.write_at(target, offset, [data])
            if progress is not None:
                progress(offset + length)

    def _chunk_at(self, oid: ObjectId, header: Header, start: int) -> int:
        """The chunk that this byte is in."""
        if header.inline or header.mode is not Mode.CDC:
            return start >> header.chunk_log2 if not header.inline else 0
        rows = self._index.rows(
            "SELECT number, substr(lengths, 1, 12) FROM page WHERE oid = ? ORDER BY number", (oid,)
        )
        begins = [CUTS_HEAD.unpack(head)[1] for _, head in rows]
        at = bisect_right(begins, start) - 1
        if at < 0:
            raise NotHere(f"object {oid.hex()} is on its way, and byte {start} is not here yet")
        index = int(rows[at][0]) * 512
        while sum(self._pages.bounds(oid, header, index)) <= start:
            index += 1
        return index

    def _path(self, oid: ObjectId, part: Part | None, record: Record | None) -> Path:
        if part is not None:
            return self._files.part(oid)
        assert record is not None
        return Path(record.path or "") if record.place == REFERENCE else self._files.whole(oid)

    def _reading(self, path: Path, record: Record | None) -> _Told:
        return _Told(path, reference=record is not None and record.place == REFERENCE)

    def _checked(
        self, file: int, oid: ObjectId, header: Header, index: int, record: Record | None
    ) -> bytes:
        offset, length = self._pages.bounds(oid, header, index)
        data = shelf_files.read_at(file, offset, length)
        if leaf(data) != self._pages.leaf(oid, index):
            if record is not None and record.place == REFERENCE:
                raise Changed(_changed(record.path or ""))
            raise self._spoil(oid, index, data)
        return data

    def _small(self, record: Record | None, oid: ObjectId) -> bytes:
        """The bytes of an object that is in the database."""
        assert record is not None
        row = self._index.row("SELECT data FROM small WHERE id = ?", (record.id,))
        data: bytes = row[0] if row is not None else b""
        if row is None or len(data) != record.header.size or small_id(record.header, data) != oid:
            raise self._spoil(oid, 0, data)
        return data

    def _spoil(self, oid: ObjectId, index: int, data: bytes) -> HostError:
        """Set a damaged chunk aside; the rest of its object stays. What to say of it."""
        fresh = self._files.fresh()
        with self._index.lock:
            with told(self._files.folder), opened(fresh, os.O_WRONLY | os.O_CREAT) as file:
                shelf_files.write_at(file, 0, [data])
            aside = self._files.set_aside(fresh, f"{oid.hex()}.{index}")
            part, record = self._parts.get(oid), self.record(oid)
            if (known := part or record) is not None and not known.header.inline:
                self._pages.drop_if_damaged(oid, known.header, index // PAGE_LEAVES)
            if part is not None:
                part.have.clear(index)
                self._parts.sync(oid)
            elif record is not None and record.place == INLINE:
                with self._index.change() as base:
                    base.execute("DELETE FROM small WHERE id = ?", (record.id,))
                    base.execute("DELETE FROM object WHERE id = ?", (record.id,))
            elif record is not None:
                have = Bitmap()
                have.fill(record.chunks)
                have.clear(index)
                self.demote(record, have)
        said = (
            f"{self._files.folder}: chunk {index} of object {oid.hex()} was damaged; its bytes are "
            f"now {aside}, and the chunk can be fetched or added again"
        )
        self.notes.append(said)
        return HostError(said)

    def damaged(self, entry: Entry) -> list[int]:
        """Read all that is there of an object; which chunks were damaged, and are set aside."""
        found = []
        for start, count in entry.have:
            for index in range(start, start + count):
                try:
                    self.chunks(entry.oid, index, 1)
                except HostError:
                    found.append(index)
        return found

    def demote(self, record: Record, have: Bitmap) -> None:
        """Make a whole object that has a file, but not all of it, one that is on its way."""
        with self._index.change() as base:
            base.execute(
                "UPDATE object SET state = ?, place = ?, have = ? WHERE id = ?",
                (PART, FILE, have.raw, record.id),
            )
        self._parts.recover(record.oid, record.header, record.chunks, have.raw)


def entry_of(record: Record, part: Part | None) -> Entry:
    """What the shelf tells of an object: a row, and the part if it is one."""
    whole = record.state == WHOLE and part is None
    return Entry(
        oid=record.oid,
        header=record.header,
        chunks=record.chunks if part is None else part.chunks,
        complete=whole,
        have=((0, record.chunks),) if whole else part.have.runs() if part is not None else (),
        reference=record.place == REFERENCE,
        public=bool(record.public),
        added_ms=record.added_ms,
        used_ms=record.used_ms,
        lease_ms=record.lease_ms,
    )


@contextmanager
def _fresh(oid: ObjectId, to: Path) -> Iterator[tuple[Path, int]]:
    """A new file beside the one to be; gone afterwards, unless it was given its name."""
    fresh = to.with_name(f".{oid.hex()[:16]}-{os.getpid()}.part")
    fresh.unlink(missing_ok=True)
    try:
        with opened(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666) as file:
            yield fresh, file
    finally:
        fresh.unlink(missing_ok=True)


_OF_TARGET = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What goes wrong with a copy, never with what is read."""


class _Told:
    """Say of a file that cannot be read whose it is."""

    def __init__(self, path: Path, *, reference: bool) -> None:
        self._path, self._reference = path, reference

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno not in _OF_TARGET:
            if self._reference:
                raise Changed(_changed(str(self._path))) from error
            if not isinstance(error, FileNotFoundError):
                raise HostError(
                    f"{self._path}: {error.strerror}; check the disk and the permissions"
                ) from error


def _changed(path: str) -> str:
    return (
        f"{path} is not what it was when it was added, or is gone; put it back, or add it again "
        "(with a copy, if it goes on changing)"
    )
