"""The book of the shelf: one SQLite database of what is there, and of all small objects.

Write-ahead log, each transaction forced to the disk before it counts. One connection, one lock; a
transaction is short, and no file is read or written in one.

A database that is damaged is set aside, never deleted, and what can be read of it is taken over
into a new one; each object that comes so is checked against its id.

Source: https://sqlite.org/wal.html; https://sqlite.org/pragma.html, `quick_check`.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any

from whispurrnet.base.errors import HostError, ProtocolError
from whispurrnet.store.object import Header, Mode
from whispurrnet.wire.ids import OBJECT_ID_BYTES

NAME = "index.sqlite"
_VERSION = 1

# What an object's row says of where its bytes are.
INLINE, FILE, REFERENCE = 0, 1, 2
# And of how far it is: on its way, whole, or to be removed when the machine stopped.
PART, WHOLE, GONE = 0, 1, 2

UNREADABLE = (sqlite3.Error, OverflowError, UnicodeDecodeError)
"""What reading a damaged database may raise: even its error messages hold damaged names."""

TABLES: dict[str, str] = {
    "object": (
        "id INTEGER PRIMARY KEY, oid BLOB NOT NULL UNIQUE, header BLOB NOT NULL,"
        " size INTEGER NOT NULL, chunks INTEGER NOT NULL, place INTEGER NOT NULL,"
        " state INTEGER NOT NULL, public INTEGER NOT NULL, added_ms INTEGER NOT NULL,"
        " used_ms INTEGER NOT NULL, lease_ms INTEGER NOT NULL, have BLOB, path TEXT,"
        " mtime_ns INTEGER"
    ),
    "small": "id INTEGER PRIMARY KEY, data BLOB NOT NULL",
    "page": (
        "oid BLOB NOT NULL, number INTEGER NOT NULL, leaves BLOB NOT NULL,"
        " lengths BLOB NOT NULL, proof BLOB NOT NULL, PRIMARY KEY (oid, number)"
    ),
    "member": "parent BLOB NOT NULL, child BLOB NOT NULL, PRIMARY KEY (parent, child)",
    "pin": "oid BLOB PRIMARY KEY",
    "entry": (
        "name BLOB NOT NULL, oid BLOB NOT NULL, time_s INTEGER NOT NULL, size INTEGER NOT NULL,"
        " collection INTEGER NOT NULL, PRIMARY KEY (name, oid)"
    ),
    "kept": "name TEXT PRIMARY KEY, value BLOB NOT NULL",
}
_NOT_DAMAGE = (
    *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM),
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN),
)
"""What goes wrong with a database that is not damaged."""

_INDEXES = ("CREATE INDEX IF NOT EXISTS member_child ON member (child)",)

Row = tuple[Any, ...]
Values = Sequence[object] | Mapping[str, object]


def _schema(base: sqlite3.Connection) -> Row:
    """Make the tables that are not there; the names of all, and how they were made."""
    for table, columns in TABLES.items():
        base.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
    for index in _INDEXES:
        base.execute(index)
    return tuple(base.execute("SELECT name, sql FROM sqlite_master ORDER BY name"))


def _is_expected(base: sqlite3.Connection) -> bool:
    """Whether the tables are those that a new database has; `quick_check` does not look at that."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        try:
            return _schema(base) == _schema(fresh)
        except sqlite3.OperationalError as error:
            if "no such" in str(error):
                return False
            raise


class Index:
    """The database.

    Args:
        folder: Where it is; None keeps it in memory.
        aside: Where a damaged one goes.
        name_ms: Unix milliseconds; what a damaged one is named after.

    Raises:
        HostError: It cannot be opened or made.
    """

    def __init__(self, folder: Path | None, aside: Path, name_ms: int) -> None:
        self.notes: list[str] = []
        """What was wrong at the start, in words for people; names files."""

        self.lock = RLock()
        self._where = folder / NAME if folder is not None else None
        damaged: Path | None = None
        with self.told():
            if self._where is not None and self._where.exists():
                try:
                    self._base = self._open()
                except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_DAMAGE:
                        raise
                    damaged = _set_aside(self._where, aside, name_ms)
            if self._where is None or damaged is not None or not hasattr(self, "_base"):
                self._base = self._open()
        if damaged is not None:
            taken = self._take_over(damaged)
            self.notes.append(
                f"{self._where} was damaged: it is now {damaged}, and {taken} entries of it could "
                "be read; what is missing can be fetched or added again"
            )

    def close(self) -> None:
        """Close the database; what was written stays."""
        with self.lock:
            self._base.close()

    def rows(self, query: str, values: Values = ()) -> list[Row]:
        """All rows of a query.

        Raises:
            HostError: The database is damaged or cannot be read.
        """
        with self.told(), self.lock:
            return self._base.execute(query, values).fetchall()

    def row(self, query: str, values: Values = ()) -> Row | None:
        """The first row of a query, or None; raises like `rows`."""
        with self.told(), self.lock:
            row: Row | None = self._base.execute(query, values).fetchone()
            return row

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction: when this is left without an error, it is on the disk.

        Raises:
            HostError: It could not be written; then nothing of it is.
        """
        with self.told(), self.lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                    self._base.execute("ROLLBACK")
                raise
            try:
                self._base.execute("COMMIT")
            except sqlite3.Error:
                with suppress(sqlite3.Error):
                    self._base.execute("ROLLBACK")
                raise

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say of a failure where it was and what can be done."""
        try:
            yield
        except sqlite3.OperationalError as error:
            full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
            cure = "make room on the disk" if full else "check the disk and the permissions"
            raise HostError(f"{self._where or 'memory'}: {error}; {cure}") from error
        except sqlite3.DatabaseError as error:
            raise HostError(
                f"{self._where or 'memory'}: {error}; start again: what is damaged is set aside, "
                "and the rest taken over"
            ) from error

    def _open(self) -> sqlite3.Connection:
        base = sqlite3.connect(
            self._where or ":memory:",
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            if self._where is not None:
                self._where.chmod(0o600)
                base.execute("PRAGMA journal_mode = WAL")
                base.execute("PRAGMA synchronous = FULL")
                base.execute("PRAGMA journal_size_limit = 67108864")
                base.execute("PRAGMA wal_autocheckpoint = 8192")  # pages of 4 KiB
                base.execute("PRAGMA cache_size = -16000")  # KiB
                (said,) = base.execute("PRAGMA quick_check(1)").fetchone()
                if said != "ok":
                    raise sqlite3.DatabaseError(said)
            (version,) = base.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise HostError(
                    f"{self._where} has version {version}, and this program reads {_VERSION}; "
                    "use the release that wrote it"
                )
            if not _is_expected(base):
                raise sqlite3.DatabaseError("the names of its tables are damaged")
            if not all(map(_can_be, base.execute("SELECT * FROM object"))):
                raise sqlite3.DatabaseError("what it says of an object is damaged")
            base.execute(f"PRAGMA user_version = {_VERSION}")
        except BaseException:
            base.close()
            raise
        return base

    def _take_over(self, damaged: Path) -> int:
        """Copy what can be read of a damaged database; how many objects that was."""
        self._base.execute("BEGIN")
        with _copied(damaged) as copy, suppress(*UNREADABLE):
            old = sqlite3.connect(copy)
            with closing(old):
                for table in TABLES:
                    self._take_table(old, table)
        self._base.execute(
            "DELETE FROM object WHERE place = 0 AND id NOT IN (SELECT id FROM small)"
        )
        self._base.execute("COMMIT")
        (taken,) = self._base.execute("SELECT count(*) FROM object").fetchone()
        return int(taken)

    def _take_table(self, old: sqlite3.Connection, table: str) -> None:
        width = len(self._base.execute(f"SELECT * FROM {table}").description)  # noqa: S608
        insert = f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * width)})"  # noqa: S608
        for row in _readable(old, table):
            if len(row) == width and (table != "object" or _can_be(row)):
                with suppress(sqlite3.Error):
                    self._base.execute(insert, row)


@contextmanager
def _copied(damaged: Path) -> Iterator[Path]:
    """A copy of a damaged database to read: SQLite would write to it, and wants its full length."""
    copy = damaged.with_name("reading.sqlite")
    names = [(damaged.with_name(damaged.name + tail), tail) for tail in ("", "-wal")]
    try:
        for file, tail in names:
            if file.exists():
                shutil.copyfile(file, copy.with_name(copy.name + tail))
        with copy.open("r+b") as file_copy:
            head = file_copy.read(32)
            size = file_copy.seek(0, 2)
            # sqlite.org/fileformat.html, 1.3: the size of a page, and how many there are
            wanted = (int.from_bytes(head[16:18]) or 1) * int.from_bytes(head[28:32])
            if size < wanted <= size * 64:
                file_copy.truncate(wanted)
        yield copy
    finally:
        for tail in ("", "-wal", "-shm"):
            copy.with_name(copy.name + tail).unlink(missing_ok=True)


def _set_aside(where: Path, aside: Path, name_ms: int) -> Path:
    """Move a database with its log to where nothing is looked for."""
    aside.mkdir(mode=0o700, exist_ok=True)
    to = aside / f"index-{name_ms}.sqlite"
    for tail in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            where.with_name(where.name + tail).rename(to.with_name(to.name + tail))
    return to


def _readable(base: sqlite3.Connection, table: str) -> Iterator[Row]:
    """The rows of a damaged table: from both ends up to where it cannot be read."""
    for order in ("ASC", "DESC"):
        try:
            yield from base.execute(f"SELECT * FROM {table} ORDER BY rowid {order}")  # noqa: S608
        except UNREADABLE:
            continue
        return


def _can_be(row: Row) -> bool:
    """Whether the row of an object makes sense. Its bytes are checked when they are read."""
    _, oid, raw, size, chunks, place, state, *_ = row
    try:
        header = Header.unpack(raw)
        return (
            len(oid) == OBJECT_ID_BYTES
            and size == header.size
            and place in {INLINE, FILE, REFERENCE}
            and state in {PART, WHOLE, GONE}
            and (header.mode is Mode.CDC or chunks == header.chunks)
        )
    except (ProtocolError, TypeError):
        return False
