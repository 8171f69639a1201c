"""Sealed objects, as `node.objects` makes and opens them (`store.sealing`).

These functions wait for the disk: call them in threads.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.disk import shelf_files
from whispurrnet.disk.shelf import Shelf
from whispurrnet.disk.shelf_entry import Entry
from whispurrnet.store.object import Mode
from whispurrnet.store.sealing import SEGMENT_BYTES, seal, unseal
from whispurrnet.wire.ids import ObjectId

BLOCK_BYTES = 1 << 20


def add(shelf: Shelf, what: bytes | Path, key: bytes) -> Entry:
    """Seal bytes or a file under a key of its own, and keep what comes of it.

    Raises:
        UsageError: There is no such file.
        HostError: It cannot be read, changed meanwhile, or the disk is full.
        LimitError: It does not fit the quota.
    """
    fresh = shelf.fresh()
    try:
        with _blocks(what) as (size, blocks), _told(fresh), fresh.open("xb") as sealed:
            for segment in seal(key, size, blocks):
                sealed.write(segment)
        return shelf.add_file(fresh, copy=True, mode=Mode.SEALED)
    finally:
        fresh.unlink(missing_ok=True)


def export(shelf: Shelf, oid: ObjectId, key: bytes, to: Path, *, overwrite: bool) -> None:
    """Open a sealed object into a file, whole or not at all.

    Raises:
        UsageError: It is not here, is not sealed, or something is in the way.
        AuthError: The key is wrong.
        HostError: The disk is full or broken.
    """
    entry = shelf.entry(oid)
    if entry is None or not entry.complete or entry.header.mode is not Mode.SEALED:
        raise UsageError(f"object {oid.hex()[:16]}... is not here, or is not sealed")
    size = entry.header.size
    segments = (
        shelf.read_range(oid, start, SEGMENT_BYTES) for start in range(0, size, SEGMENT_BYTES)
    )
    part = to.with_name(f".{to.name}.unsealing")
    with _told(to):
        try:
            with part.open("xb") as file:
                for block in unseal(key, size, segments):
                    file.write(block)
            shelf_files.publish(part, to, overwrite=overwrite)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _blocks(what: bytes | Path) -> Generator[tuple[int, Iterator[bytes]]]:
    """The size, and all of it in pieces."""
    if isinstance(what, bytes):
        yield len(what), iter((what,))
        return
    if not what.is_file():
        raise UsageError(f"{what} is no file")
    with _told(what), what.open("rb") as file:
        yield what.stat().st_size, iter(lambda: file.read(BLOCK_BYTES), b"")


@contextmanager
def _told(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}; check the disk and the permissions") from error
