"""A file that is being written from parts, in the folder of the shelf, until it becomes an object.

Its methods but `take` wait for the disk: call them in threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from whispurrnet.base.errors import LimitError
from whispurrnet.disk.shelf_files import told

BLOCK_BYTES = 1 << 20
"""How much is kept in memory before it is written."""


class Incoming:
    """One such file.

    Args:
        path: Where it is written; nothing is there yet.
        size_max: How many bytes it may have; None for as many as the disk has room for.
    """

    def __init__(self, path: Path, size_max: int | None) -> None:
        self.path = path
        self._size_max = size_max
        self._size = 0
        self._waiting = bytearray()
        self._file: BinaryIO | None = None

    def take(self, part: bytes) -> bool:
        """Take the next part; whether there is enough to `write`.

        Raises:
            LimitError: It is larger than allowed.
        """
        self._size += len(part)
        if self._size_max is not None and self._size > self._size_max:
            raise LimitError(f"it has more than {self._size_max} bytes; raise objects.quota_bytes")
        self._waiting += part
        return len(self._waiting) >= BLOCK_BYTES

    def write(self) -> None:
        """Write what was taken.

        Raises:
            HostError: The disk is full or broken.
        """
        with told(self.path.parent):
            if self._file is None:
                self._file = self.path.open("xb", buffering=0)
            waiting = memoryview(self._waiting)
            while waiting:
                waiting = waiting[self._file.write(waiting) :]
            self._waiting = bytearray()

    def finish(self) -> None:
        """All has been taken.

        Raises:
            HostError: The disk is full or broken.
        """
        self.write()
        self._close()

    def discard(self) -> None:
        """Remove the file, whatever became of it."""
        self._close()
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            with told(self.path.parent):
                self._file.close()
            self._file = None
