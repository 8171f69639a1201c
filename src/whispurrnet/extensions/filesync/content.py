"""What a file is called by its content: the id of the object that it would be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from whispurrnet.store.object import CHUNK_LOG2, Header, Mode, leaf, object_id, top

_CHUNK = 1 << CHUNK_LOG2


def oid_of(file: int, size: int, sink: Callable[[bytes], object] | None = None) -> bytes | None:
    """The id of an open file's content, read from where it stands.

    Args:
        file: A file descriptor.
        size: How long it is; None is returned if it is not.
        sink: Takes each piece, too.
    """
    leaves: list[bytes] = []
    left = size
    while left or not leaves:
        piece = _read(file, min(_CHUNK, left))
        if len(piece) < min(_CHUNK, left):
            return None
        if sink is not None:
            sink(piece)
        left -= len(piece)
        leaves.append(leaf(piece))
    if os.read(file, 1):
        return None
    return object_id(Header(Mode.FIXED, CHUNK_LOG2, size), top(leaves))


def _read(file: int, size: int) -> bytes:
    """So many bytes, or fewer at the end."""
    piece = os.read(file, size)
    if len(piece) == size or not piece:
        return piece
    parts = [piece]
    left = size - len(piece)
    while left and (piece := os.read(file, left)):
        parts.append(piece)
        left -= len(piece)
    return b"".join(parts)


def copy_checked(source: Path, target: Path, oid: bytes) -> bool:
    """Copy a file to a new one, forced to the disk, if its content is as expected.

    Raises:
        OSError: It cannot be read or written; then there is no new file.
    """
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        with target.open("xb") as file:
            right = oid_of(reading, os.fstat(reading).st_size, file.write) == oid
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(reading)
    if not right:
        target.unlink()
    return right
