"""Reading a file once: its outline, and if wanted its copy, from the same bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.disk.shelf_files import COPY_BYTES, read_at, write_at
from whispurrnet.store.cutting import cut
from whispurrnet.store.object import OBJECT_MAX, Header, Mode, leaf
from whispurrnet.store.outline import Outline

Progress = Callable[[int], None] | None


@contextmanager
def regular(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """A file of the user, opened, and what is known of it.

    Raises:
        UsageError: There is none, it is not a file, or too large.
        HostError: It cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path}: there is no such file") from None
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}; let this user read it") from error
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path} is not a file; give a file, or a folder where folders go")
        if status.st_size > OBJECT_MAX:
            raise UsageError(f"{path} has more than the {OBJECT_MAX} bytes of the largest object")
        yield file, status
    finally:
        os.close(file)


def outline(file: int, header: Header, sink: int | None, progress: Progress = None) -> Outline:
    """The outline of an open file, read from its beginning, once.

    Args:
        file: Of `header.size` bytes.
        header: Of the object it becomes.
        sink: Where to copy what is read, if anywhere.
        progress: Is told how many bytes are done.

    Raises:
        HostError: The file is shorter than it was. Longer or changed is for the caller to see.
    """
    leaves: list[bytes] = []
    lengths: list[int] = []
    at = 0
    while at < header.size or not leaves:
        data = read_at(file, at, min(COPY_BYTES, header.size - at))
        last = at + len(data) >= header.size
        if not data and header.size:
            raise HostError("the file became shorter while it was read; try again")
        view = memoryview(data)
        if header.mode is Mode.CDC:
            pieces = cut(view, last=last, chunk_log2=header.chunk_log2)
            lengths += pieces
        else:
            pieces = [header.chunk_bytes] * max(1, -(-len(data) >> header.chunk_log2))
        here = 0
        for length in pieces:
            leaves.append(leaf(view[here : here + length]))
            here += length
        done = min(here, len(data))
        if sink is not None:
            write_at(sink, at, [view[:done]])
        at += done
        if progress is not None:
            progress(at)
    return Outline(header, b"".join(leaves), lengths)


def unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether a file is, as far as the system tells, the same as before."""
    return (before.st_size, before.st_mtime_ns, before.st_ino) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ino,
    )
