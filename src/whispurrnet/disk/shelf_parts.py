"""Objects on their way: a file with holes, and which of its chunks are there.

What `write` took is safe from the end of this process at once, and from the end of the machine
within 32 MiB or a second: one thread forces each part to the disk, and only then marks its chunks
in the database. After a crash, chunks that are in the file but not marked are hashed again, so
that hardly anything is sent twice.

Objects without a file of their own wait in memory for their one chunk.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Condition, Lock, Thread

from whispurrnet.base.errors import HostError, LimitError, UsageError
from whispurrnet.disk import shelf_files
from whispurrnet.disk.direct import Direct, after
from whispurrnet.disk.shelf_entry import Bitmap
from whispurrnet.disk.shelf_files import Files, opened, told
from whispurrnet.disk.shelf_index import FILE, PART, WHOLE, Index
from whispurrnet.disk.shelf_pages import Pages, chunks_said
from whispurrnet.store.object import Data, Header, Mode, Page, leaf
from whispurrnet.wire.ids import ObjectId

SYNC_BYTES = 32 * 2**20
SYNC_S = 1.0
LARGE_BYTES = 64 * 2**20
"""Parts from this size on are written past the system's memory, and nothing of them stays there."""
PARTS_MAX = 10_000
"""How many objects may be on their way at once."""
SPARE_BYTES = 64 * 2**20
"""What an object leaves free on the disk."""
LEASE_MS = 14 * 86_400_000
"""How long an object is kept that nobody pinned, from when it came."""


class Part:
    """One object on its way."""

    def __init__(self, header: Header, have: Bitmap, chunks: int) -> None:
        self.header = header
        self.have = have
        self.chunks = chunks
        """How many there are; 0 while nobody told."""

        self.data: bytes | None = None
        """The whole, of an object that has no file."""

        self.lock = Lock()
        """For what is here and what is not synced: never held while the disk works, as that of the
        index is."""
        self.unsynced_bytes = 0
        self.since = 0.0
        self.failed: HostError | None = None
        """Why what was written could not be forced to the disk."""

    @property
    def full(self) -> bool:
        """Whether all chunks are there."""
        return self.have.count == self.chunks > 0


class Parts:
    """The objects on their way.

    Args:
        index: The database.
        files: The folder.
        pages: Of all objects.
        wall_ms: Unix milliseconds.
    """

    def __init__(
        self, index: Index, files: Files, pages: Pages, wall_ms: Callable[[], int]
    ) -> None:
        self._index, self._files, self._pages, self._wall_ms = index, files, pages, wall_ms
        self._parts: dict[ObjectId, Part] = {}
        self._wake = Condition()
        self._closed = False
        self._thread: Thread | None = None
        self._direct = Direct()

    def __len__(self) -> int:
        return len(self._parts)

    def get(self, oid: ObjectId) -> Part | None:
        """An object on its way, or None."""
        return self._parts.get(oid)

    def arrived_bytes(self) -> int:
        """About how many bytes of all parts are there."""
        with self._index.lock:
            return sum(
                min(part.header.size, part.have.count << part.header.chunk_log2)
                for part in self._parts.values()
            )

    def begin(self, oid: ObjectId, header: Header) -> Part:
        """Make room for an object, unless that was done already.

        Raises:
            HostError: The disk has no room for it.
            LimitError: Too many objects are on their way.
            UsageError: It was begun under another header.
        """
        with self._index.lock:
            part = self._parts.get(oid)
            if part is not None:
                if part.header != header:
                    raise UsageError(f"object {oid.hex()} was begun under another header")
                return part
            if len(self._parts) >= PARTS_MAX:
                raise LimitError(f"{PARTS_MAX} objects are on their way; let some of them arrive")
            chunks = 1 if header.inline else 0 if header.mode is Mode.CDC else header.chunks
            part = Part(header, Bitmap(), chunks)
            if not header.inline:
                self._make(oid, part)
            self._parts[oid] = part
            return part

    def put_page(self, oid: ObjectId, header: Header, page: Page) -> None:
        """Keep a proven page, and with the first one how many chunks there are."""
        part = self.begin(oid, header)
        if header.inline:
            return
        with self._index.lock:
            chunks = chunks_said(header, page)
            self._pages.put(oid, page)
            if part.chunks != chunks:
                with self._index.change() as base:
                    base.execute("UPDATE object SET chunks = ? WHERE oid = ?", (chunks, oid))
                part.chunks = chunks

    def write(self, oid: ObjectId, chunks: Sequence[tuple[int, Data]]) -> None:
        """Write checked chunks where they belong.

        Raises:
            HostError: The disk is full or broken; or an earlier chunk could not be forced to it.
            UsageError: A chunk that cannot be.
        """
        part = self._parts.get(oid)
        if part is None:
            raise UsageError(f"object {oid.hex()} was not begun")
        if part.failed is not None:
            raise part.failed
        places = [(index, *self._place(oid, part, index, data)) for index, data in chunks]
        if part.header.inline:
            part.data = bytes(chunks[0][1])
        else:
            self._write_runs(self._files.part(oid), part.header.size, _runs(places))
        with part.lock:
            for index, _ in chunks:
                part.have.set(index)
        if not part.header.inline:
            self._note(oid, part, sum(len(data) for _, data in chunks))

    def _write_runs(self, path: Path, size: int, runs: list[tuple[int, list[Data]]]) -> None:
        with told(self._files.folder):
            for offset, run in runs:
                done = self._direct.write(path, offset, run) if size >= LARGE_BYTES else 0
                if left := after(run, done):
                    with opened(path, os.O_WRONLY) as file:
                        shelf_files.write_at(file, offset + done, left)

    def sync(self, oid: ObjectId) -> None:
        """Force a part to the disk, and mark what is there."""
        part = self._parts.get(oid)
        if part is None or part.header.inline:
            return
        with part.lock:
            have = part.have.raw
            part.unsynced_bytes = 0
        with told(self._files.folder), opened(self._files.part(oid), os.O_WRONLY) as file:
            shelf_files.sync(file)
            if part.header.size >= LARGE_BYTES:
                shelf_files.forget(file)
        with self._index.change() as base:
            if self._parts.get(oid) is part:  # else it was abandoned, and perhaps begun again
                base.execute(
                    "UPDATE object SET have = ?, used_ms = ? WHERE oid = ? AND state = ?",
                    (have, self._wall_ms(), oid, PART),
                )

    def finish(self, oid: ObjectId) -> Part:
        """Give a full part that has a file its place among the whole objects.

        Raises:
            UsageError: Chunks are missing.
            HostError: The disk is full or broken. It is still a part, and can be finished later.
        """
        part = self._parts.get(oid)
        if part is None or not part.full:
            raise UsageError(f"object {oid.hex()} is not whole yet")
        if not part.header.inline:
            path = self._files.part(oid)
            with told(self._files.folder), opened(path, os.O_WRONLY) as file:
                shelf_files.sync(file)
            self._files.settle(path, oid)
            with self._index.change() as base:
                base.execute(
                    "UPDATE object SET state = ?, have = NULL, used_ms = ? WHERE oid = ?",
                    (WHOLE, self._wall_ms(), oid),
                )
        return part

    def forget(self, oid: ObjectId) -> None:
        """It is no part any more."""
        with self._index.lock:
            self._parts.pop(oid, None)

    def adopt(self, oid: ObjectId, part: Part) -> None:
        """Take a part that is in the database and the folder already."""
        with self._index.lock:
            self._parts[oid] = part

    def recover(self, oid: ObjectId, header: Header, chunks: int, have: bytes) -> int:
        """Take up a part after a start: what is in its file counts, marked or not.

        Returns:
            How many chunks were found that were not marked.
        """
        part = Part(header, Bitmap(have), chunks)
        path = self._files.part(oid)
        found = 0
        with told(self._files.folder):
            if not path.exists() and self._files.whole(oid).exists():
                self._files.whole(oid).rename(path)  # it stopped between two steps of `finish`
            if not path.exists():
                part.have = Bitmap()
            with opened(path, os.O_RDWR | os.O_CREAT) as file:
                if os.fstat(file).st_size != header.size:
                    os.ftruncate(file, header.size)
                for start, end in shelf_files.extents(file, header.size):
                    found += self._rehash(oid, part, file, start, end)
        self.adopt(oid, part)
        if found:
            self.sync(oid)
        return found

    def close(self) -> None:
        """Force all parts to the disk; what cannot be is found again at the next start."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        for oid, part in list(self._parts.items()):
            if part.unsynced_bytes:
                self._sync_quietly(oid, part)

    def _make(self, oid: ObjectId, part: Part) -> None:
        """The row and the file of a part: the row first, so that no file is unknown."""
        now, header = self._wall_ms(), part.header
        if self._files.free_bytes() < header.size + SPARE_BYTES:
            raise HostError(
                f"{self._files.folder}: the disk has no room for an object of {header.size} bytes; "
                "make room, or set another folder"
            )
        with self._index.change() as base:
            base.execute(
                "INSERT INTO object (oid, header, size, chunks, place, state, public, added_ms,"
                " used_ms, lease_ms, have) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)",
                (
                    *(oid, header.pack(), header.size, part.chunks, FILE, PART),
                    *(now, now, now + LEASE_MS, b""),
                ),
            )
        with (
            told(self._files.folder),
            opened(self._files.part(oid), os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file,
        ):
            os.ftruncate(file, header.size)

    def _place(self, oid: ObjectId, part: Part, index: int, data: Data) -> tuple[int, Data]:
        """Where a chunk goes."""
        if not 0 <= index < part.chunks:
            raise UsageError(f"object {oid.hex()} has no chunk {index}")
        offset, length = 0, part.header.size
        if not part.header.inline:
            offset, length = self._pages.bounds(oid, part.header, index)
        if len(data) != length:
            raise UsageError(f"chunk {index} has {length} bytes, not {len(data)}")
        return offset, data

    def _rehash(self, oid: ObjectId, part: Part, file: int, start: int, end: int) -> int:
        """Look for chunks that are not marked, in one stretch of a file."""
        found, index = 0, self._first_at(oid, part, start)
        while index < part.chunks:
            known = self._pages.leaf(oid, index)
            if known is None:
                if part.header.mode is Mode.CDC:
                    break
            else:
                offset, length = self._pages.bounds(oid, part.header, index)
                if offset >= end:
                    break
                if (
                    index not in part.have
                    and leaf(shelf_files.read_at(file, offset, length)) == known
                ):
                    part.have.set(index)
                    found += 1
            index += 1
        return found

    def _first_at(self, oid: ObjectId, part: Part, start: int) -> int:
        """The first chunk that may be there; where the file begins, in mode CDC."""
        return 0 if part.header.mode is Mode.CDC else start >> part.header.chunk_log2

    def _note(self, oid: ObjectId, part: Part, size: int) -> None:
        """Count what is not forced to the disk yet, and have it done in time."""
        with self._wake:
            first = not part.unsynced_bytes
            if first:
                part.since = time.monotonic()
            part.unsynced_bytes += size
            if self._thread is None and not self._closed:
                self._thread = Thread(target=self._run, name="shelf-sync", daemon=True)
                self._thread.start()
            if first or part.unsynced_bytes >= SYNC_BYTES:
                self._wake.notify()

    def _run(self) -> None:
        """The thread that forces parts to the disk."""
        while True:
            with self._wake:
                if self._closed:
                    return
                due = self._due()
                if not due:
                    busy = any(part.unsynced_bytes for part in list(self._parts.values()))
                    self._wake.wait(SYNC_S / 4 if busy else None)
                    continue
            for oid, part in due:
                self._sync_quietly(oid, part)

    def _due(self) -> list[tuple[ObjectId, Part]]:
        now = time.monotonic()
        return [
            (oid, part)
            for oid, part in list(self._parts.items())
            if part.unsynced_bytes >= SYNC_BYTES
            or (part.unsynced_bytes and now - part.since >= SYNC_S)
        ]

    def _sync_quietly(self, oid: ObjectId, part: Part) -> None:
        """Whoever writes next hears of what went wrong."""
        try:
            self.sync(oid)
        except HostError as error:
            part.unsynced_bytes = 0
            if self._parts.get(oid) is part and self._files.part(oid).exists():
                part.failed = error


def _runs(places: Sequence[tuple[int, int, Data]]) -> list[tuple[int, list[Data]]]:
    """Chunks that lie beside each other, to be written at once."""
    runs: list[tuple[int, list[Data]]] = []
    end = -1
    for _, offset, data in sorted(places, key=lambda place: place[1]):
        if offset == end:
            runs[-1][1].append(data)
        else:
            runs.append((offset, [data]))
        end = offset + len(data)
    return runs
