"""The index of a folder on the disk: `.whispurr/index.sqlite`.

What is saved is saved before anybody hears of it (`synchronous=FULL`). A damaged file is set aside
under another name, and the folder begins anew with another device number: what lies in it is found
again, and no two contents ever have one history. The same when the folder was copied together with
its `.whispurr`, which shows in the inode.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sqlite3
from collections.abc import Generator, Mapping
from pathlib import Path

import msgspec

from whispurrnet.base.errors import HostError
from whispurrnet.extensions.filesync.model_events import SaveIndex
from whispurrnet.extensions.filesync.paths import OWN
from whispurrnet.extensions.filesync.peers import Remote
from whispurrnet.extensions.filesync.record import File

Stamp = tuple[int, ...]
"""Size, times, inode and mode of a file: if none of them changed, neither did the content."""

KEY_BYTES = 32
_FORM = 1
_TABLES = """
create table if not exists meta(key text primary key, value blob) without rowid;
create table if not exists files(path text primary key, record blob, stamp blob) without rowid;
create table if not exists devices(device text primary key, upto integer) without rowid;
create table if not exists others(device text, path text, record blob,
    primary key(device, path)) without rowid;
"""
_encode = msgspec.msgpack.Encoder().encode
_decode_file = msgspec.msgpack.Decoder(File).decode
_decode_stamp = msgspec.msgpack.Decoder(Stamp).decode


class Keeping:
    """What is to be kept together."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        """Versions of ours, the latest of each path."""
        self.indexes: list[SaveIndex] = []
        """What others said they have, in order."""

    def __bool__(self) -> bool:
        return bool(self.files or self.indexes)


class Journal:
    """What is known of a folder, kept in it.

    Call it from one thread at a time.

    Args:
        root: The folder; it must be there.

    Raises:
        HostError: It cannot be written, or another process has it.
    """

    def __init__(self, root: Path) -> None:
        self.own = root / OWN
        self.notes: list[str] = []
        """What was found damaged, in words for people."""
        try:
            self.own.mkdir(mode=0o700, exist_ok=True)
            if self.own.is_symlink():
                raise HostError(f"{self.own} is a symbolic link; put a folder there, or remove it")
            self._lock = os.open(self.own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HostError(f"{self.own} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._db = self._open()
        except BlockingIOError as error:
            os.close(self._lock)
            raise HostError(f"{root} is kept in step by another process; stop that one") from error
        except BaseException:
            os.close(self._lock)
            raise
        self.inode = self.own.stat().st_ino
        self.device = self._device()

    def close(self) -> None:
        """Let go of the folder."""
        self._db.close()
        os.close(self._lock)

    def load(self) -> tuple[list[File], dict[str, tuple[Stamp, int]], dict[int, Remote]]:
        """Our versions; the stamp and the `seq` of each path; what the others have."""
        files: list[File] = []
        stamps: dict[str, tuple[Stamp, int]] = {}
        for record, stamp in self._db.execute("select record, stamp from files"):
            file = _decode_file(record)
            files.append(file)
            stamps[file.path] = (_decode_stamp(stamp), file.seq)
        remotes = {
            int(device): Remote({}, upto)
            for device, upto in self._db.execute("select device, upto from devices")
        }
        for device, record in self._db.execute("select device, record from others"):
            file = _decode_file(record)
            remotes[int(device)].files[file.path] = file
        return files, stamps, remotes

    def keep(self, keeping: Keeping, stamps: Mapping[str, tuple[Stamp, int]]) -> None:
        """Keep all of it, or nothing.

        Args:
            keeping: What there is to keep.
            stamps: How the files look on the disk.
        """
        rows = [
            (file.path, _encode(file), _encode(stamps.get(file.path, ((), 0))[0]))
            for file in keeping.files.values()
        ]
        with self._written():
            self._db.executemany("insert or replace into files values(?, ?, ?)", rows)
            for part in keeping.indexes:
                device = str(part.device)
                if part.reset:
                    self._db.execute("delete from others where device = ?", (device,))
                self._db.execute("insert or replace into devices values(?, ?)", (device, part.upto))
                self._db.executemany(
                    "insert or replace into others values(?, ?, ?)",
                    [(device, file.path, _encode(file)) for file in part.files],
                )

    def key(self) -> bytes | None:
        """The key of the shared folder, if it has one."""
        return self._get("key")

    def keep_key(self, key: bytes) -> None:
        """Keep the key of the shared folder; the file is this user's alone."""
        self._put("key", key)

    def _open(self) -> sqlite3.Connection:
        path = self.own / "index.sqlite"
        try:
            return _connect(path)
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            if isinstance(error, sqlite3.OperationalError) and not path.exists():
                raise HostError(f"{path} cannot be written: {error}") from error
            aside = self.own / f"index.damaged-{secrets.token_hex(4)}"
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{path}{ending}", f"{aside}{ending}")
            self.notes.append(f"{path} was damaged; it lies beside as {aside.name}")
            return _connect(path)

    def _device(self) -> int:
        """Our device number; another one if this folder may be a copy."""
        inode = str(self.inode).encode()
        old = self._get("device")
        if old is not None and self._get("inode") == inode:
            return int(old)
        device = secrets.randbits(63) | 1 << 62
        self._put("device", str(device).encode())
        self._put("inode", inode)
        return device

    def _get(self, key: str) -> bytes | None:
        row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        return bytes(row[0]) if row is not None else None

    def _put(self, key: str, value: bytes) -> None:
        with self._written():
            self._db.execute("insert or replace into meta values(?, ?)", (key, value))

    @contextlib.contextmanager
    def _written(self) -> Generator[None]:
        try:
            with self._db:
                yield
        except sqlite3.Error as error:
            raise HostError(f"{self.own} cannot be written: {error}; make room there") from error


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, timeout=5.0)
    try:
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=full")
        db.executescript(_TABLES)
        if db.execute("pragma quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("it is damaged")
        form = db.execute("pragma user_version").fetchone()[0]
        if form not in {0, _FORM}:
            raise HostError(f"{path} is of a newer program (form {form}); update this one")
        db.execute(f"pragma user_version={_FORM}")
        for (record,) in db.execute("select record from files limit 100"):
            _decode_file(record)
    except BaseException:
        db.close()
        raise
    path.chmod(0o600)
    return db


def kept_key(root: Path) -> bytes | None:
    """The key of a folder that nobody has open, or None."""
    path = root / OWN / "index.sqlite"
    if not path.is_file():
        return None
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as db:
            row = db.execute("select value from meta where key = 'key'").fetchone()
    except sqlite3.Error:
        return None
    return bytes(row[0]) if row is not None else None
