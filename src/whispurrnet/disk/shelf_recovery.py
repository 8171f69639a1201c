"""What a shelf does at its start: end what was interrupted, and find what is damaged or lost.

Nothing is deleted but what this program was about to delete, and files of objects that were never
added to the end. All else that does not fit goes to `spoiled/`, and is named.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from whispurrnet.base.errors import HostError, UsageError, WhispurrError
from whispurrnet.disk import shelf_adding
from whispurrnet.disk.shelf_entry import Bitmap
from whispurrnet.disk.shelf_files import Files, opened, told
from whispurrnet.disk.shelf_index import FILE, GONE, PART, WHOLE, Index
from whispurrnet.disk.shelf_parts import Parts
from whispurrnet.disk.shelf_reading import Reading
from whispurrnet.store.object import CHUNK_LOG2, Header, Mode
from whispurrnet.store.outline import Outline
from whispurrnet.wire.ids import ObjectId, parse_object_id


class Found:
    """What the start of a shelf found.

    Args:
        index: The database.
        files: The folder.
        parts: Filled with those that are on their way.
        reading: For its records.
    """

    def __init__(self, index: Index, files: Files, parts: Parts, reading: Reading) -> None:
        self._index, self._files, self._parts, self._reading = index, files, parts, reading
        self.notes = list(index.notes)
        """What was damaged or lost, in words for people; names files and objects."""

        self.full: list[ObjectId] = []
        """Parts that only want to be finished."""

        self.orphans: list[Outline] = []
        """Whole objects that have a file and no row."""

    def look(self) -> None:
        """Do it all.

        Raises:
            HostError: The folder cannot be read or written.
        """
        with told(self._files.folder):
            for file in self._files.parts.glob("new-*"):
                file.unlink()
            for (oid,) in self._index.rows("SELECT oid FROM object WHERE state = ?", (GONE,)):
                self._files.whole(oid).unlink(missing_ok=True)
                self._files.part(oid).unlink(missing_ok=True)
        with self._index.change() as base:
            base.execute(
                "DELETE FROM page WHERE oid IN (SELECT oid FROM object WHERE state = ?)", (GONE,)
            )
            base.execute("DELETE FROM object WHERE state = ?", (GONE,))
        self._look_at_parts()
        self._look_at_objects()

    def _look_at_parts(self) -> None:
        known = set()
        for record in self._reading.records("WHERE state = ?", (PART,)):
            known.add(record.oid)
            self._parts.recover(record.oid, record.header, record.chunks, record.have or b"")
            part = self._parts.get(record.oid)
            if part is not None and part.full:
                self.full.append(record.oid)
        for file in sorted(self._files.parts.iterdir()):
            if _oid(file) not in known:
                to = self._files.set_aside(file, file.name)
                self.notes.append(f"{file} belongs to no object that is known: it is now {to}")

    def _look_at_objects(self) -> None:
        rows = self._index.rows(
            "SELECT oid, size FROM object WHERE state = ? AND place = ?", (WHOLE, FILE)
        )
        sizes: dict[ObjectId, int] = {ObjectId(oid): size for oid, size in rows}
        with told(self._files.folder):
            files = sorted(self._files.objects.glob("*/*"))
        for file in files:
            oid = _oid(file)
            size = sizes.pop(oid, None) if oid is not None else None
            if size is None:
                self._look_at_orphan(file, oid)
            elif file.stat().st_size != size and oid is not None:
                self._demote(oid, f"{file} has not the length that it had")
        for oid in sizes:
            self._demote(oid, f"{self._files.whole(oid)} is gone")

    def _demote(self, oid: ObjectId, what: str) -> None:
        """An object whose file is not whole becomes a part; what is still good of it counts."""
        record = self._reading.record(oid)
        if record is not None:
            self._reading.demote(record, Bitmap())
            part = self._parts.get(oid)
            have = part.have.count if part is not None else 0
            self.notes.append(
                f"{what}: {have} of {record.chunks} chunks are good, and the others can be "
                "fetched or added again"
            )

    def _look_at_orphan(self, file: Path, oid: ObjectId | None) -> None:
        """A file that no row knows: an object after all, or something to set aside."""
        if oid is not None and self._files.part(oid).exists():
            return
        if oid is not None and self._reading.record(oid) is not None:
            with self._index.change() as base:  # it stopped while it gave the file to the user
                base.execute("UPDATE object SET place = ?, path = NULL WHERE oid = ?", (FILE, oid))
            return
        with suppress(WhispurrError):
            if oid is not None:
                self.orphans.append(_outline(file, oid))
                return
        to = self._files.set_aside(file, file.name)
        self.notes.append(f"{file} is not the object that it is named after: it is now {to}")


def _oid(file: Path) -> ObjectId | None:
    """The object that a file is named after."""
    with suppress(UsageError):
        return parse_object_id(file.name)
    return None


def _outline(file: Path, oid: ObjectId) -> Outline:
    """The outline of a file whose id is known and whose header is not.

    Raises:
        HostError: It is not this object in any mode that can be tried.
    """
    with told(file), opened(file) as opened_file:
        size = file.stat().st_size
        fixed = shelf_adding.outline(opened_file, Header(Mode.FIXED, CHUNK_LOG2, size), None)
        if fixed.id == oid:
            return fixed
        sealed = Outline(Header(Mode.SEALED, CHUNK_LOG2, size), fixed.leaves)
        if sealed.id == oid:
            return sealed
        cut = shelf_adding.outline(opened_file, Header(Mode.CDC, CHUNK_LOG2, size), None)
        if cut.id == oid:
            return cut
    raise HostError(f"{file} is not the object that it is named after")
