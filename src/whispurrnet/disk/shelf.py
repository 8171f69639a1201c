"""The shelf: the objects of a node, in one folder.

Small objects and all that is known of the others are in one SQLite database (`shelf_index`), large
ones in files named by their ids (`shelf_files`), those on their way with holes (`shelf_parts`).
What a method took is on the disk when it returns, or, of a part, in the file.

Every chunk that is read is checked against its leaf before it is given out. One of ours that fails
is copied aside, and its object becomes a part with one hole, to be filled by whoever has it.

Methods may be called from several threads. They wait for the disk: never call them from a loop.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from whispurrnet.base.errors import UsageError
from whispurrnet.disk import shelf_adding, shelf_files
from whispurrnet.disk.shelf_adding import Progress
from whispurrnet.disk.shelf_entry import Changed, Entry, Metrics, NotHere, Report
from whispurrnet.disk.shelf_files import Files, opened, told
from whispurrnet.disk.shelf_index import FILE, INLINE, WHOLE, Index
from whispurrnet.disk.shelf_keeping import Keeping
from whispurrnet.disk.shelf_pages import Pages, small_page
from whispurrnet.disk.shelf_parts import Parts
from whispurrnet.disk.shelf_reading import Reading, Record, entry_of
from whispurrnet.disk.shelf_recovery import Found
from whispurrnet.disk.shelf_sets import Sets
from whispurrnet.disk.shelf_stock import Stock
from whispurrnet.store.object import CHUNK_LOG2, Data, Header, Mode, Page, small_id
from whispurrnet.wire.ids import ObjectId

__all__ = ["Changed", "Entry", "Metrics", "NotHere", "Report", "Shelf"]


class Shelf(Keeping):
    """The objects of one node.

    Args:
        folder: Where they are; None keeps nothing beyond `close`.
        quota_bytes: How much whole objects and parts may take; None for no limit but the disk's.
        wall_ms: Gives Unix milliseconds.

    Raises:
        HostError: The folder cannot be used, or another process uses it.
    """

    def __init__(
        self, folder: Path | None, *, quota_bytes: int | None, wall_ms: Callable[[], int]
    ) -> None:
        with told(folder or Path(tempfile.gettempdir())):
            self._passing = None if folder else Path(tempfile.mkdtemp(prefix="whispurrnet-"))
        self._files = Files(folder or self._passing or Path())
        try:
            super().__init__(Index(folder, self._files.spoiled, wall_ms()))
        except BaseException:
            self._files.close()
            raise
        self._wall_ms = wall_ms
        self.fresh = self._files.fresh
        """Names a file in the folder for what is yet to be added; what is left goes at a start."""
        self._pages = Pages(self._index)
        self._parts = Parts(self._index, self._files, self._pages, wall_ms)
        self._reading = Reading(self._index, self._files, self._pages, self._parts)
        held = (self._index, self._files, self._pages, self._parts, self._reading, self)
        self._stock = Stock(*held, quota_bytes, wall_ms)
        self._notes: list[str] = []
        try:
            self._recover()
        except BaseException:
            self._index.close()
            self._files.close()
            raise

    @property
    def notes(self) -> list[str]:
        """What was found damaged or lost, at the start or later, in words for people."""
        return self._notes + self._reading.notes

    def close(self) -> None:
        """Force all to the disk, and let other processes have the folder."""
        self._parts.close()
        try:
            self._stock.note_used()
        finally:
            self._index.close()
            self._files.close()
            if self._passing is not None:
                shutil.rmtree(self._passing, ignore_errors=True)

    # Adding what is ours.

    def add_bytes(self, data: Data, *, mode: Mode = Mode.FIXED, public: bool = False) -> Entry:
        """Add an object that is at hand.

        Args:
            data: All of it.
            mode: How to cut it.
            public: Whether it may be compressed on its way (it is no secret how well it can be).

        Raises:
            HostError: The disk is full or broken; for mode CDC, an extra is missing.
            LimitError: It does not fit the quota.
        """
        header = Header(mode, CHUNK_LOG2, len(data))
        if header.inline:
            oid = small_id(header, data)
            self._stock.room(len(data))
            self._stock.add_small([(oid, header, data)], public=public)
            return self._entry(oid)
        fresh = self._files.fresh()
        try:
            with told(self._files.folder), opened(fresh, os.O_RDWR | os.O_CREAT) as file:
                self._stock.room(len(data))
                shelf_files.write_at(file, 0, [data])
                outline = shelf_adding.outline(file, header, None)
                shelf_files.sync(file)
            self._stock.settle(outline, fresh, public=public)
            return self._entry(outline.id)
        finally:
            fresh.unlink(missing_ok=True)

    def add_file(
        self,
        path: Path,
        *,
        copy: bool,
        mode: Mode = Mode.FIXED,
        public: bool = False,
        progress: Progress = None,
    ) -> Entry:
        """Add a file of the user.

        Args:
            path: Of the file.
            copy: Whether to copy it. Otherwise it stays where it is, and must not change: each
                chunk that is read of it is checked, and a file that changed is an error that says
                so. A small file is copied in any case.
            mode: How to cut it.
            public: As for `add_bytes`.
            progress: Is told how many bytes are done.

        Raises:
            UsageError: There is no such file.
            Changed: It was changed meanwhile.
            HostError: It cannot be read, or the disk is full or broken.
            LimitError: It does not fit the quota.
        """
        path = Path(os.path.abspath(path))
        with shelf_adding.regular(path) as (file, status):
            header = Header(mode, CHUNK_LOG2, status.st_size)
            if header.inline:
                with told(path):
                    data = shelf_files.read_at(file, 0, header.size + 1)
                return self.add_bytes(data, mode=mode, public=public)
            if copy:
                self._stock.room(header.size)
            fresh = self._files.fresh()
            try:
                outline = self._stock.read(file, header, fresh if copy else None, progress)
                with told(path):
                    same = shelf_adding.unchanged(status, os.fstat(file))
                if not same:
                    raise Changed(f"{path} was changed while it was read; try again")
                if copy:
                    self._stock.settle(outline, fresh, public=public)
                else:
                    self._stock.refer(outline, path, status.st_mtime_ns, public=public)
                return self._entry(outline.id)
            finally:
                fresh.unlink(missing_ok=True)

    def put_small(self, objects: Sequence[tuple[ObjectId, Header, Data]]) -> None:
        """Keep whole objects without files of their own, in one transaction.

        Args:
            objects: Each with its id, which was checked: what is not so is found when it is read.

        Raises:
            UsageError: One is too large for that, or not as long as its header says.
            HostError: The disk is full or broken; none of them is kept.
            LimitError: They do not fit the quota.
        """
        for oid, header, data in objects:
            if not header.inline or len(data) != header.size:
                raise UsageError(f"object {oid.hex()} is not a small one")
        self._stock.room(sum(header.size for _, header, _ in objects))
        self._stock.add_small(objects, public=False)

    # Taking what comes from others.

    def begin(self, oid: ObjectId, header: Header) -> None:
        """Make room for an object that is on its way; nothing if that was done, or it is here.

        Raises:
            HostError: The disk has no room for it.
            LimitError: It does not fit the quota, or too many are on their way.
        """
        if self._parts.get(oid) is None and self._reading.record(oid) is None:
            self._stock.begin(oid, header)

    def put_page(self, oid: ObjectId, header: Header, page: Page) -> None:
        """Keep a page that was proven; the object is begun by it if nobody did."""
        self.begin(oid, header)
        if self._parts.get(oid) is not None:
            self._parts.put_page(oid, header, page)

    def write(self, oid: ObjectId, index: int, data: Data) -> None:
        """Write one chunk that was checked; see `write_many`."""
        self.write_many(oid, [(index, data)])

    def write_many(self, oid: ObjectId, chunks: Sequence[tuple[int, Data]]) -> None:
        """Write chunks that were checked, where they belong; nothing if the object is whole.

        Raises:
            HostError: The disk is full or broken.
            UsageError: The object was not begun, or has no such chunk.
        """
        if self._parts.get(oid) is None and self._reading.record(oid) is not None:
            return
        self._parts.write(oid, chunks)

    def finish(self, oid: ObjectId) -> Entry:
        """All chunks are there: make it a whole object.

        Raises:
            UsageError: Chunks are missing.
            HostError, LimitError: The disk or the quota is full; it can be finished later.
        """
        part = self._parts.get(oid)
        if part is None and self._reading.record(oid) is not None:
            return self._entry(oid)
        if part is not None and part.full and part.header.inline:
            if small_id(part.header, data := part.data or b"") != oid:
                raise UsageError(f"object {oid.hex()} is not what was written for it")
            self._stock.room(part.header.size)  # others may have come since it was begun
            self._stock.add_small([(oid, part.header, data)], public=False)
        else:
            with self._index.lock:
                self._parts.finish(oid)
                self._parts.forget(oid)
            self._stock.note_members(oid)
        return self._entry(oid)

    def abandon(self, oid: ObjectId) -> None:
        """Forget an object that is on its way, and what arrived of it."""
        if self._parts.get(oid) is not None:
            self.remove([oid])

    # Reading.

    def entry(self, oid: ObjectId) -> Entry | None:
        """What is known of an object, or None."""
        part = self._parts.get(oid)
        record = self._reading.record(oid)
        if record is not None:
            return entry_of(record, part)
        if part is None:
            return None
        now = self._wall_ms()
        fields = (part.header, part.chunks, INLINE, 0, False, now, now, now, None, None, None)
        return entry_of(Record(0, oid, *fields), part)

    def entries(self, after: ObjectId | None = None, limit: int = 1000) -> list[Entry]:
        """Objects in the order of their ids, from the one that follows `after`."""
        records = self._reading.records("WHERE oid > ? ORDER BY oid LIMIT ?", (after or b"", limit))
        return [entry_of(record, self._parts.get(record.oid)) for record in records]

    def page(self, oid: ObjectId, index: int) -> Page | None:
        """One page of an object's outline, with its proof, or None where it is not here."""
        found = self._parts.get(oid) or self._reading.record(oid)
        if found is None:
            return None
        header = found.header
        if header.inline:
            return small_page(header, self.read(oid, 0)[0]) if index == 0 else None
        return self._pages.get(oid, index)

    def leaves(self, oid: ObjectId) -> bytes:
        """All leaves of an object with a file, as far as they are known without a gap."""
        return self._pages.leaves(oid)

    def read(self, oid: ObjectId, index: int, count: int = 1) -> list[bytes]:
        """Chunks that lie beside each other, each checked just before.

        Raises:
            NotHere: One of them is not there.
            Changed: The file is kept by reference, and is not what it was.
            HostError: One was damaged and is now set aside; or the disk cannot be read.
        """
        chunks = self._reading.chunks(oid, index, count)
        self._stock.use(oid)
        return chunks

    def read_small(self, oids: Sequence[ObjectId]) -> list[tuple[ObjectId, Header, bytes]]:
        """Those of these objects that are here and have no file, each checked just before."""
        return self._reading.small(oids)

    def read_range(self, oid: ObjectId, start: int, n: int, *, use: bool = True) -> bytes:
        """Up to `n` bytes from `start`, fewer at the end; raises like `read`. It is a `use`."""
        data = self._reading.range(oid, start, n)
        if use:
            self._stock.use(oid)
        return data

    def export(
        self,
        oid: ObjectId,
        to: Path,
        *,
        overwrite: bool = False,
        move: bool = False,
        progress: Progress = None,
    ) -> None:
        """Write a whole object to a file of the user, whole or not at all.

        Args:
            oid: Of the object.
            to: The file; its folder is there.
            overwrite: Whether something that is there may go.
            move: Give our own file away if it is on the same disk, and keep the object by
                reference from then on: no second copy, no waiting.
            progress: Is told how many bytes are done.

        Raises:
            UsageError: Something is there already, and is not to be overwritten.
            HostError: As for `read`; or the file cannot be written there.
        """
        reading = self._reading
        if move and reading.hand_over(oid, to, overwrite=overwrite, progress=progress):
            self._stock.count()
        else:
            reading.export(oid, to, overwrite=overwrite, progress=progress)
        self._stock.use(oid)

    def check(self, oid: ObjectId) -> list[int]:
        """Read all of an object and find the chunks that are damaged; they are set aside."""
        return self._reading.damaged(self._entry(oid))

    # Keeping, and letting go. Pins, leases and members: see `Keeping`.

    def ids(self, root: ObjectId | None = None) -> list[tuple[int, ObjectId]]:
        """Whole objects, with the second in which each came here: of a collection, or all."""
        rows = self._index.rows(
            "SELECT added_ms / 1000, oid FROM object WHERE state = ? ORDER BY 1, 2", (WHOLE,)
        )
        if root is None:
            return [(time_s, ObjectId(oid)) for time_s, oid in rows]
        wanted = {root, *self.members(root)}
        return [(time_s, ObjectId(oid)) for time_s, oid in rows if oid in wanted]

    def remove(self, oids: Iterable[ObjectId]) -> int:
        """Remove objects and parts, pinned or not; files of the user stay. How many bytes."""
        return self._stock.remove(oids)

    def gc(self, now_ms: int) -> Report:
        """Remove what nobody keeps, and what is over the quota; see `shelf_keeping`."""
        return self._stock.collect(now_ms)

    def metrics(self) -> Metrics:
        """How full the shelf is."""
        return self._stock.metrics(0 if self._passing is not None else self._files.free_bytes())

    def keep(self, name: str, value: bytes) -> None:
        """Keep a few bytes of the node's own under a name."""
        with self._index.change() as base:
            base.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, value))

    def kept(self, name: str) -> bytes | None:
        """What was kept last under this name, or None."""
        row = self._index.row("SELECT value FROM kept WHERE name = ?", (name,))
        return row[0] if row is not None else None

    @property
    def sets(self) -> Sets:
        """The sets that are kept in step."""
        return Sets(self._index)

    # Within.

    def _recover(self) -> None:
        found = Found(self._index, self._files, self._parts, self._reading)
        found.look()
        for outline in found.orphans:
            self._stock.insert(outline, FILE, None, None, public=False)
            self._stock.note_members(outline.id)
        for oid in found.full:
            self.finish(oid)
        self._notes = found.notes
        self._stock.count()

    def _entry(self, oid: ObjectId) -> Entry:
        entry = self.entry(oid)
        if entry is None:
            raise NotHere(f"object {oid.hex()} is not here")
        return entry
