"""Folders as collections, and back. These functions wait for the disk: call them in threads.

A name that a peer sent becomes part of a path only after `store.names` has checked it, and only
below the folder that the user chose. Nothing that is there is touched unless the user said so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.disk.shelf import Shelf
from whispurrnet.disk.shelf_entry import Entry
from whispurrnet.store import manifest
from whispurrnet.store.manifest import Kind
from whispurrnet.store.names import DEPTH_MAX, check
from whispurrnet.store.walk_events import Limits
from whispurrnet.wire.ids import ObjectId

ENTRIES_MAX = Limits().entries_max
"""How many files and folders a collection may unpack to: one folder can be named many times."""
Told = Callable[[int], None] | None
"""Is told how many bytes are done."""


class _Sum:
    """Adds up what is told of one file after the other."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._before = self._now = 0

    def __call__(self, done: int) -> None:
        self._now = done
        if self._told is not None:
            self._told(self._before + done)

    def next(self, size: int) -> None:
        """A file is done."""
        self._before += size
        self(0)


def is_collection(shelf: Shelf, entry: Entry) -> bool:
    """Whether an object that is here is a folder."""
    if entry.header.size > manifest.BYTES_MAX:
        return False
    size = len(manifest.MAGIC)  # to look is no use of it, or nothing would ever be garbage
    return manifest.is_manifest(shelf.read_range(entry.oid, 0, size, use=False))


def entries(shelf: Shelf, oid: ObjectId) -> list[manifest.Entry]:
    """What a collection names.

    Raises:
        UsageError: It is not here, or not whole.
        ProtocolError: It is none.
    """
    entry = shelf.entry(oid)
    if entry is None or not entry.complete:
        raise UsageError(f"folder {oid.hex()[:16]}... is not here; fetch it first")
    size = min(entry.header.size, manifest.BYTES_MAX + 1)
    return manifest.decode(shelf.read_range(oid, 0, size))


def wrap(shelf: Shelf, named: Mapping[str, ObjectId]) -> ObjectId:
    """Make a collection of objects that are here.

    Raises:
        UsageError: One is not, or a name cannot be used.
    """
    made: list[manifest.Entry] = []
    for name, oid in named.items():
        entry = shelf.entry(oid)
        if entry is None:
            raise UsageError(f"object {oid.hex()[:16]}... is not here; add it first")
        kind = Kind.FOLDER if is_collection(shelf, entry) else Kind.FILE
        made.append(manifest.Entry(name, oid, entry.header.size, kind))
    return shelf.add_bytes(manifest.encode(made)).oid


def add(
    shelf: Shelf, path: Path, *, copy: bool, public: bool = False, progress: Told = None
) -> ObjectId:
    """Add a folder with all below it; links and what is no file are left out.

    Raises:
        UsageError: It is no folder, is too deep, or a name in it cannot be used elsewhere.
        HostError: It cannot be read.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is no folder")
    return _add(shelf, path, copy=copy, public=public, told=_Sum(progress), depth=1)


def _add(shelf: Shelf, path: Path, *, copy: bool, public: bool, told: _Sum, depth: int) -> ObjectId:
    if depth > DEPTH_MAX:
        raise UsageError(f"{path} is more than {DEPTH_MAX} folders deep")
    try:
        found = sorted(os.scandir(path), key=lambda one: one.name)
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}") from error
    made: list[manifest.Entry] = []
    for one in found:
        where = path / one.name
        if one.is_dir(follow_symlinks=False):
            oid = _add(shelf, where, copy=copy, public=public, told=told, depth=depth + 1)
            entry = shelf.entry(oid)
            assert entry is not None
            made.append(manifest.Entry(one.name, oid, entry.header.size, Kind.FOLDER))
        elif one.is_file(follow_symlinks=False):
            entry = shelf.add_file(where, copy=copy, public=public, progress=told)
            told.next(entry.header.size)
            status = one.stat(follow_symlinks=False)
            made.append(
                manifest.Entry(
                    one.name,
                    entry.oid,
                    entry.header.size,
                    Kind.FILE,
                    executable=bool(status.st_mode & 0o100),
                    mtime_ms=max(0, status.st_mtime_ns // 1_000_000),
                )
            )
    return shelf.add_bytes(manifest.encode(made), public=public).oid


def export(
    shelf: Shelf,
    oid: ObjectId,
    to: Path,
    *,
    overwrite: bool = False,
    move: bool = False,
    collection: bool | None = None,
    told: Told = None,
) -> list[Path]:
    """Write an object to a file, or what a collection names into a folder.

    Args:
        shelf: Where it is.
        oid: The object.
        to: The file or folder.
        overwrite: Whether files that are there may be replaced.
        move: Whether the user's file may be all that is kept of it, so that nothing is copied.
        collection: Whether it is meant as one; None: if it looks like one.
        told: Is told how many bytes are done.

    Raises:
        UsageError: Something is in the way: then nothing was written.
        HostError: The disk is full or broken.
    """
    entry = shelf.entry(oid)
    assert entry is not None
    if not (is_collection(shelf, entry) if collection is None else collection):
        _refuse_if_there(to, overwrite=overwrite)
        with _told(to.parent):
            to.parent.mkdir(parents=True, exist_ok=True)
        shelf.export(oid, to, overwrite=overwrite, move=move, progress=told)
        return [to]
    plan = list(islice(_plan(shelf, oid, to, 1), ENTRIES_MAX + 1))
    if len(plan) > ENTRIES_MAX:
        raise UsageError(f"the collection unpacks to more than {ENTRIES_MAX} files and folders")
    for path, one in plan:
        if one is not None:
            _refuse_if_there(path, overwrite=overwrite)
        elif path.is_symlink() or (path.exists() and not path.is_dir()):
            raise UsageError(f"{path} is there and is no folder; move it away, or choose another")
    adding = _Sum(told)
    written: list[Path] = []
    for path, one in plan:
        if one is None:
            with _told(path):
                path.mkdir(parents=True, exist_ok=True)
            continue
        shelf.export(ObjectId(one.oid), path, overwrite=overwrite, move=move, progress=adding)
        adding.next(one.size)
        with _told(path):
            if one.executable:
                path.chmod(path.stat().st_mode | 0o111)
            if one.mtime_ms is not None:
                when_ns = one.mtime_ms * 1_000_000
                os.utime(path, ns=(when_ns, when_ns))
        written.append(path)
    return written


def _plan(
    shelf: Shelf, oid: ObjectId, to: Path, depth: int
) -> Iterator[tuple[Path, manifest.Entry | None]]:
    """The paths of a collection: folders (None) before what is in them."""
    if depth > DEPTH_MAX:
        raise UsageError(f"the collection is more than {DEPTH_MAX} folders deep")
    yield to, None
    for entry in entries(shelf, oid):
        path = to / check(entry.name)
        if entry.kind is Kind.FOLDER:
            yield from _plan(shelf, ObjectId(entry.oid), path, depth + 1)
        else:
            yield path, entry


@contextmanager
def _told(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}") from error


def _refuse_if_there(path: Path, *, overwrite: bool) -> None:
    if path.is_symlink() or path.is_dir() or (path.exists() and not overwrite):
        raise UsageError(
            f"{path} is there already; move it away, choose another folder, or allow overwriting"
        )
