"""Writing past the memory of the system: what is large goes to the disk at once.

Nobody reads it soon, so a copy in memory would only push out what is wanted there, and cost the
time to make it. Where the file system or the machine cannot do this, nothing is written here, and
the caller writes as usual.

Source: open(2), O_DIRECT: memory, offset and length are multiples of the block size.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from whispurrnet.disk.shelf_files import opened
from whispurrnet.store.object import Data

ALIGNED: Final = 4096
"""Offsets and lengths are multiples of this, which every block size in use divides, in bytes."""
BUFFER_BYTES: Final = 2**20
"""How much is written at once."""

_FLAG: Final[int] = getattr(os, "O_DIRECT", 0)


class Direct:
    """Writes so for one folder; any thread may call it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._buffer: mmap.mmap | None = None
        self._works = bool(_FLAG)

    def write(self, path: Path, offset: int, parts: Sequence[Data]) -> int:
        """Write these, one after the other, from `offset`, as far as whole blocks go.

        Args:
            path: A file that is there.
            offset: In bytes.
            parts: What to write.

        Returns:
            How many bytes were written from the beginning of `parts`; 0 where it cannot be done.

        Raises:
            OSError: The disk is full or broken; how much was written is not known.
        """
        if not self._works or offset % ALIGNED:
            return 0
        done = 0
        with self._lock:
            buffer = self._buffer = self._buffer or mmap.mmap(-1, BUFFER_BYTES)
            try:
                with opened(path, os.O_WRONLY | _FLAG) as file, memoryview(buffer) as view:
                    for filled in _fill(view, parts):
                        whole = filled - filled % ALIGNED
                        with view[:whole] as blocks:
                            _put(file, offset + done, blocks)
                        done += whole
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._works = False
        return done


def after(parts: Sequence[Data], done: int) -> list[Data]:
    """What is left of parts whose first `done` bytes were written."""
    left: list[Data] = []
    for part in parts:
        skipped = min(done, len(part))
        done -= skipped
        if skipped < len(part):
            left.append(memoryview(part)[skipped:])
    return left


def _fill(buffer: memoryview, parts: Sequence[Data]) -> Iterator[int]:
    """Copy the parts into the buffer, and tell each time that it is full, and at the end."""
    at = 0
    for part in parts:
        rest = memoryview(part)
        while rest:
            n = min(len(rest), len(buffer) - at)
            buffer[at : at + n] = rest[:n]
            at, rest = at + n, rest[n:]
            if at == len(buffer):
                yield at
                at = 0
    if at:
        yield at


def _put(file: int, offset: int, blocks: memoryview) -> None:
    done = 0
    while done < len(blocks):
        with blocks[done:] as rest:
            done += os.pwrite(file, rest, offset + done)
