"""What goes onto the shelf and off it again: the rows, the room they take, and the quota."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from whispurrnet.base.errors import LimitError
from whispurrnet.disk import shelf_adding, shelf_files
from whispurrnet.disk.shelf_adding import Progress
from whispurrnet.disk.shelf_entry import Changed, Metrics, NotHere, Report
from whispurrnet.disk.shelf_files import Files, opened, told
from whispurrnet.disk.shelf_index import FILE, GONE, INLINE, REFERENCE, WHOLE, Index
from whispurrnet.disk.shelf_keeping import BATCH, Keeping, children_of
from whispurrnet.disk.shelf_pages import Pages
from whispurrnet.disk.shelf_parts import LEASE_MS, Parts
from whispurrnet.disk.shelf_reading import Reading
from whispurrnet.store import manifest
from whispurrnet.store.object import Data, Header
from whispurrnet.store.outline import Outline
from whispurrnet.wire.ids import ObjectId

_USED_MAX = 1000
"""How many uses are noted before they are written down."""

_ADD = (
    "INSERT OR IGNORE INTO object (oid, header, size, chunks, place, state, public, added_ms,"
    " used_ms, lease_ms, path, mtime_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Stock:
    """The whole objects of a shelf.

    Args:
        index: The database.
        files: The folder.
        pages: Of all objects.
        parts: Those on their way.
        reading: For its records.
        keeping: Says what may go.
        quota_bytes: How much objects and parts may take; None for no limit but the disk's.
        wall_ms: Unix milliseconds.
    """

    def __init__(
        self,
        index: Index,
        files: Files,
        pages: Pages,
        parts: Parts,
        reading: Reading,
        keeping: Keeping,
        quota_bytes: int | None,
        wall_ms: Callable[[], int],
    ) -> None:
        self._index, self._files, self._pages, self._parts = index, files, pages, parts
        self._reading, self._keeping = reading, keeping
        self.quota, self._wall_ms = quota_bytes, wall_ms
        self._used_ms: dict[ObjectId, int] = {}
        self._bytes = 0

    def count(self) -> None:
        """Find out how much is there, once, at the start."""
        row = self._index.row(
            "SELECT coalesce(sum(size), 0) FROM object WHERE place != ?", (REFERENCE,)
        )
        self._bytes = row[0] if row is not None else 0

    def begin(self, oid: ObjectId, header: Header) -> None:
        """Make room for an object that is on its way.

        Raises:
            HostError: The disk has no room for it.
            LimitError: It does not fit the quota, or too many are on their way.
        """
        self.room(header.size)
        with self._index.lock:
            if self._parts.get(oid) is None:
                self._parts.begin(oid, header)
                self._bytes += 0 if header.inline else header.size

    def room(self, bytes: int) -> None:
        """Let what may go make room for this.

        Raises:
            LimitError: It is not enough.
        """
        if self.quota is not None and self._bytes + bytes > self.quota:
            report = self.collect(self._wall_ms(), bytes)
            if report.over_bytes > 0:
                raise LimitError(
                    f"{bytes} bytes more do not fit the quota of {self.quota} bytes for objects; "
                    "raise it, or unpin some and collect the garbage"
                )

    def add_small(self, objects: Sequence[tuple[ObjectId, Header, Data]], *, public: bool) -> None:
        """Objects without files, in one transaction."""
        now, size = self._wall_ms(), 0
        with self._index.change() as base:
            for oid, header, data in objects:
                row = base.execute(
                    _ADD,
                    (
                        *(oid, header.pack(), header.size, 1, INLINE, WHOLE),
                        *(public, now, now, now + LEASE_MS, None, None),
                    ),
                )
                if row.rowcount:
                    base.execute("INSERT INTO small VALUES (?, ?)", (row.lastrowid, data))
                    size += header.size
                    if manifest.is_manifest(data):
                        _add_members(base, oid, bytes(data))
        with self._index.lock:
            self._bytes += size
            for oid, _, _ in objects:
                self._parts.forget(oid)  # it may have been on its way

    def settle(self, outline: Outline, file: Path, *, public: bool) -> None:
        """Make a file of ours the object that it is."""
        with self._index.lock:
            record = self._reading.record(outline.id)
            if record is None or record.state != WHOLE or record.place == REFERENCE:
                self._remove([outline.id])
                self._files.settle(file, outline.id)
                self.insert(outline, FILE, None, None, public=public)
                self._bytes += outline.header.size
        self.note_members(outline.id)

    def refer(self, outline: Outline, path: Path, mtime_ns: int, *, public: bool) -> None:
        """Keep a file of the user where it is."""
        with self._index.lock:
            record = self._reading.record(outline.id)
            if record is None or record.state != WHOLE or record.place == REFERENCE:
                self._remove([outline.id])
                self.insert(outline, REFERENCE, str(path), mtime_ns, public=public)
        self.note_members(outline.id)

    def insert(
        self, outline: Outline, place: int, path: str | None, mtime_ns: int | None, *, public: bool
    ) -> None:
        """The row and the pages of a whole object with a file."""
        now, header = self._wall_ms(), outline.header
        with self._index.change() as base:
            base.execute(
                _ADD,
                (
                    *(outline.id, header.pack(), header.size, outline.chunks, place, WHOLE),
                    *(public, now, now, now + LEASE_MS, path, mtime_ns),
                ),
            )
            base.executemany(
                "INSERT OR REPLACE INTO page VALUES (?, ?, ?, ?, ?)", self._pages.rows(outline)
            )

    def note_members(self, oid: ObjectId) -> None:
        """Remember what a collection with a file names."""
        record = self._reading.record(oid)
        if record is None or record.header.size > manifest.BYTES_MAX:
            return
        try:
            if manifest.is_manifest(self._reading.range(oid, 0, len(manifest.MAGIC))):
                data = self._reading.range(oid, 0, record.header.size)
                with self._index.change() as base:
                    _add_members(base, oid, data)
        except (Changed, NotHere):
            return

    def remove(self, oids: Iterable[ObjectId]) -> int:
        """Remove objects and parts, pinned or not; files of the user stay. How many bytes."""
        left = list(dict.fromkeys(oids))
        freed = 0
        while left:
            batch, left = left[:BATCH], left[BATCH:]
            with self._index.lock:
                freed += self._remove(batch)
        return freed

    def collect(self, now_ms: int, need: int = 0) -> Report:
        """Remove what nobody keeps, and then what is over the quota when `need` bytes come."""
        self.note_used()
        garbage = self._keeping.garbage(now_ms)
        freed = self.remove(garbage)
        over = self._over(need)
        surplus = self._keeping.surplus(now_ms, over) if over > 0 else []
        freed += self.remove(surplus)
        return Report(len(garbage) + len(surplus), freed, max(0, self._over(need)))

    def metrics(self, free_bytes: int) -> Metrics:
        """How full the shelf is."""
        row = self._index.row(
            "SELECT count(*), coalesce(sum(CASE place WHEN ? THEN 0 ELSE size END), 0),"
            " (SELECT count(*) FROM pin) FROM object WHERE state = ?",
            (REFERENCE, WHOLE),
        )
        objects, size, pinned = row or (0, 0, 0)
        return Metrics(
            objects=objects,
            bytes=size + self._parts.arrived_bytes(),
            parts=len(self._parts),
            quota=self.quota,
            free_bytes=free_bytes,
            pinned=pinned,
        )

    def read(self, file: int, header: Header, copy_to: Path | None, progress: Progress) -> Outline:
        """The outline of an open file of the user, and if wanted its copy."""
        if copy_to is None:
            return shelf_adding.outline(file, header, None, progress)
        with told(self._files.folder), opened(copy_to, os.O_WRONLY | os.O_CREAT) as sink:
            outline = shelf_adding.outline(file, header, sink, progress)
            shelf_files.sync(sink)
        return outline

    def use(self, oid: ObjectId) -> None:
        """An object is of use now."""
        with self._index.lock:
            self._used_ms[oid] = self._wall_ms()
            full = len(self._used_ms) >= _USED_MAX
        if full:
            self.note_used()

    def note_used(self) -> None:
        """Write down what was used."""
        with self._index.lock:
            if self._used_ms:
                used, self._used_ms = self._used_ms, {}
                with self._index.change() as base:
                    base.executemany(
                        "UPDATE object SET used_ms = ? WHERE oid = ?",
                        [(now, oid) for oid, now in used.items()],
                    )

    def _over(self, need: int) -> int:
        return self._bytes + need - self.quota if self.quota is not None else 0

    def _remove(self, oids: Sequence[ObjectId]) -> int:
        """Remove up to one batch: mark it, remove the files, then the rows. The lock is held."""
        records = [record for oid in oids if (record := self._reading.record(oid)) is not None]
        filed = [record for record in records if record.place == FILE]
        for oid in oids:
            self._parts.forget(oid)
            self._pages.forget(oid)
            self._used_ms.pop(oid, None)
        if filed:
            with self._index.change() as base:
                base.executemany(
                    "UPDATE object SET state = ? WHERE id = ?", [(GONE, r.id) for r in filed]
                )
            with told(self._files.folder):
                for record in filed:
                    self._files.whole(record.oid).unlink(missing_ok=True)
                    self._files.part(record.oid).unlink(missing_ok=True)
        if records:
            ids = [(record.id,) for record in records]
            names = [(record.oid,) for record in records]
            with self._index.change() as base:
                base.executemany("DELETE FROM object WHERE id = ?", ids)
                base.executemany("DELETE FROM small WHERE id = ?", ids)
                base.executemany("DELETE FROM page WHERE oid = ?", names)
                base.executemany("DELETE FROM member WHERE parent = ?", names)
        freed = sum(record.header.size for record in records if record.place != REFERENCE)
        self._bytes -= freed
        return freed


def _add_members(base: sqlite3.Connection, oid: ObjectId, data: bytes) -> None:
    base.executemany(
        "INSERT OR IGNORE INTO member VALUES (?, ?)",
        [(oid, child) for child in children_of(data)],
    )
