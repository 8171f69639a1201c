"""One file in a folder of its own, for one user, replaced whole or not at all.

A write goes to a new file that is forced to the disk and then takes the place of the old one, so
that whatever happens in between, one of the two is there, whole. Folder 0700, file 0600; what
others can reach is refused. Symbolic links are refused, never followed, and the folder is opened
once: nothing can be exchanged under a write.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from whispurrnet.base.errors import HostError


class PrivateFile:
    """A file of secrets.

    Args:
        folder: Made with mode 0700 when it is not there; nothing else should be kept in it.
        name: Of the file in it.
        bytes_max: A larger file is refused.
    """

    def __init__(self, folder: Path, name: str, bytes_max: int) -> None:
        self.folder = folder
        self.name = name
        self.path = folder / name
        self.bytes_max = bytes_max
        self._new_name = f"{name}.new"

    @property
    def exists(self) -> bool:
        """Whether there is something under this name, good or not."""
        return os.path.lexists(self.path)

    def read(self) -> bytes | None:
        """The content, or None when there is no file.

        Raises:
            HostError: The folder or the file belongs to somebody else, may be reached by others, is
                a symbolic link or too large, or cannot be read.
        """
        if not os.path.lexists(self.folder):
            return None
        with self._opened() as folder:
            return self._read(folder)

    def replace(self, make: Callable[[bytes | None], bytes]) -> None:
        """Put what `make` gives in the place of the file, whole or not at all.

        Args:
            make: Takes the old content, or None; nobody else writes while it runs.

        Raises:
            HostError: As for `read`; or the disk is full, read-only or broken, or another process
                is writing. The old file is still there.
        """
        with self._told():
            if not os.path.lexists(self.folder):
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                self.folder.mkdir(mode=0o700)
                _sync(self.folder.parent)
        with self._opened() as folder:
            self._lock(folder)
            data = make(self._read(folder))
            with self._told():
                self._write(folder, data)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say of a failure where it was and what can be done."""
        try:
            yield
        except OSError as error:
            cure = _CURES.get(error.errno or 0, "check the disk and the permissions")
            reason = error.strerror or type(error).__name__
            raise HostError(f"{self.path}: {reason}; {cure}") from error

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The folder, opened and found safe."""
        with self._told():
            try:
                folder = os.open(
                    self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                )
            except OSError as error:
                if self.folder.is_symlink():
                    raise HostError(_linked(self.folder)) from error
                if error.errno == errno.ENOTDIR:
                    raise HostError(
                        f"{self.folder} is not a folder; move it away or set another state_dir"
                    ) from error
                raise
        try:
            _check_owner(self.folder, os.fstat(folder), "700")
            yield folder
        finally:
            with suppress(OSError):  # nothing was written through it
                os.close(folder)

    def _lock(self, folder: int) -> None:
        """Hold the folder until it is closed."""
        with self._told():
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HostError(
                    f"{self.folder}: another process is writing; give each node a state_dir of "
                    "its own"
                ) from error

    def _read(self, folder: int) -> bytes | None:
        """The content, or None when there is no file."""
        with self._told():
            try:
                # Without O_NONBLOCK a pipe put in the place of the file would hold us for ever.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
                file = os.open(self.name, flags, dir_fd=folder)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.EMLINK):
                    raise HostError(_linked(self.path)) from error
                raise
            try:
                status = os.fstat(file)
                if not stat.S_ISREG(status.st_mode):
                    raise HostError(f"{self.path} is not a regular file; move it away")
                _check_owner(self.path, status, "600")
                with open(file, "rb", closefd=False) as reader:
                    data = reader.read(self.bytes_max + 1)
            finally:
                os.close(file)
        if len(data) > self.bytes_max:
            raise HostError(f"{self.path} is larger than any state; restore it from a copy")
        return data

    def _write(self, folder: int, data: bytes) -> None:
        """Write a new file beside the old one, then put it in its place."""
        # Nobody else writes while the folder is locked, so what is there was left by a crash.
        with suppress(FileNotFoundError):
            os.unlink(self._new_name, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(self._new_name, flags, 0o600, dir_fd=folder)
        try:
            try:
                os.fchmod(file, 0o600)
                left = memoryview(data)
                while left:
                    left = left[os.write(file, left) :]
                os.fsync(file)
            finally:
                os.close(file)
            os.replace(self._new_name, self.name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            with suppress(OSError):  # half a file is of no use, and may fill the disk
                os.unlink(self._new_name, dir_fd=folder)
            raise
        os.fsync(folder)


def _sync(folder: Path) -> None:
    """Force the entries of a folder to the disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _check_owner(path: Path, status: os.stat_result, mode: str) -> None:
    if status.st_uid != os.geteuid():
        raise HostError(
            f"{path} belongs to another user; run as that user, or set another state_dir"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise HostError(
            f"{path} can be reached by other users, and it holds your keys; close it with: "
            f"chmod {mode} {path}"
        )


def _linked(path: Path) -> str:
    return f"{path} is a symbolic link, which is not followed; put the thing itself there"


_CURES = {
    errno.EACCES: "let this user write there, or set another state_dir",
    errno.EPERM: "let this user write there, or set another state_dir",
    errno.EROFS: "the disk is read-only: set another state_dir",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room in the quota of this user",
}
