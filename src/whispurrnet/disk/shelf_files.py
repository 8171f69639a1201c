"""The files of the shelf: their names, and how they are read, written, copied and set aside.

    objects/ab/<id>   whole objects           parts/<id>     objects on their way, with holes
    spoiled/          what was damaged        parts/new-*    being added; removed at the start

Names are made of ids only, never of what a peer sent. Folders 0700, files 0600.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.wire.ids import ObjectId

COPY_BYTES = 8 * 2**20
"""How much is copied or hashed at once."""

_FICLONE = 0x40049409  # Linux, uapi/linux/fs.h: the copy shares the blocks of the original


class Files:
    """The folder of a shelf, opened by nobody else.

    Raises:
        HostError: It cannot be made or written, or another process has it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects, self.parts = folder / "objects", folder / "parts"
        self.spoiled = folder / "spoiled"
        with told(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.objects.mkdir(mode=0o700, exist_ok=True)
            self.parts.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                raise HostError(
                    f"{folder}: another process keeps its objects there; stop it, or set another "
                    "folder for this one"
                ) from None
        self._made = 0

    def close(self) -> None:
        """Let other processes have the folder."""
        os.close(self._lock)

    def whole(self, oid: ObjectId) -> Path:
        """Where a whole object is."""
        return self.objects / oid[:1].hex() / oid.hex()

    def part(self, oid: ObjectId) -> Path:
        """Where an object on its way is."""
        return self.parts / oid.hex()

    def fresh(self) -> Path:
        """A name for a file that is being added; one process has the folder, so a count will do."""
        self._made += 1
        return self.parts / f"new-{os.getpid()}-{self._made}"

    def settle(self, file: Path, oid: ObjectId) -> None:
        """Give a file that is whole and on the disk its place."""
        place = self.whole(oid)
        with told(self.folder):
            if not place.parent.exists():
                place.parent.mkdir(mode=0o700, exist_ok=True)
                _sync_folder(self.objects)
            file.replace(place)
            _sync_folder(place.parent)

    def set_aside(self, file: Path, name: str) -> Path:
        """Move a file to where nothing is looked for; where it is now."""
        with told(self.folder):
            self.spoiled.mkdir(mode=0o700, exist_ok=True)
            to = self.spoiled / name
            number = 0
            while to.exists():
                number += 1
                to = self.spoiled / f"{name}.{number}"
            file.rename(to)
        return to

    def free_bytes(self) -> int:
        """How much room the disk has for us."""
        with told(self.folder):
            disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Say of a failure of the disk where it was and what can be done.

    Raises:
        HostError: In the place of any `OSError`.
    """
    try:
        yield
    except OSError as error:
        cure = _CURES.get(error.errno or 0, "check the disk and the permissions")
        reason = error.strerror or type(error).__name__
        raise HostError(f"{folder}: {reason}; {cure}") from error


_CURES = {
    errno.EACCES: "let this user read and write there",
    errno.EPERM: "let this user read and write there",
    errno.EROFS: "the disk is read-only: set another folder",
    errno.ENOSPC: "the disk is full: make room, then try again; what is there is kept",
    errno.EDQUOT: "the quota of this user is full: make room, then try again",
    errno.EFBIG: "the file system does not take files of this size: set another folder",
}


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> Iterator[int]:
    """A file, closed again; made with this mode if the flags make it."""
    file = os.open(path, flags | os.O_CLOEXEC, mode)
    try:
        yield file
    finally:
        os.close(file)


def read_at(file: int, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`, or fewer where the file ends."""
    data = os.pread(file, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    while data and (left := length - sum(map(len, parts))):
        data = os.pread(file, left, offset + length - left)
        parts.append(data)
    return b"".join(parts)


def write_at(file: int, offset: int, parts: Sequence[bytes | bytearray | memoryview]) -> None:
    """Write all of these, one after the other, from `offset`."""
    left = [memoryview(part) for part in parts if len(part)]
    while left:
        done = os.pwritev(file, left[:_IOV_MAX], offset)
        offset += done
        while left and done >= len(left[0]):
            done -= len(left.pop(0))
        if done:
            left[0] = left[0][done:]


_IOV_MAX = 512


def sync(file: int) -> None:
    """Force what was written to the disk."""
    getattr(os, "fdatasync", os.fsync)(file)


def forget(file: int) -> None:
    """Let the system forget what it holds of a file in memory, as far as it is on the disk.

    What is written of a large object is not read soon. Memory that is used again is faster than
    fresh memory, and a virtual machine may be several times as slow on what it never used before.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def extents(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data: from and to, in order; where nobody can tell, everywhere."""
    at = 0
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
            end = os.lseek(file, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:  # no more data
                yield at, size
            return
        yield start, end
        at = end


def copy(
    source: int, target: int, size: int, progress: Callable[[int], None] | None = None
) -> None:
    """Copy the first `size` bytes of a file, without moving them where the system can do that.

    Args:
        source: An open file.
        target: Another, empty.
        size: In bytes; more is left, and where there is less, the copy is shorter.
        progress: Is told how many bytes are copied so far.
    """
    if _cloned(source, target, size):
        return
    done = 0
    in_kernel = hasattr(os, "copy_file_range")
    while done < size:
        n = min(COPY_BYTES, size - done)
        if in_kernel:
            try:
                moved = os.copy_file_range(source, target, n, done, done)
            except OSError as error:
                if error.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
                    raise
                in_kernel = False
                continue
        else:
            data = os.pread(source, n, done)
            write_at(target, done, [data])
            moved = len(data)
        if not moved:
            return
        done += moved
        if progress is not None:
            progress(done)


def publish(file: Path, to: Path, *, overwrite: bool) -> None:
    """Give a finished file its name for the user, whole or not at all.

    Raises:
        UsageError: Something is there, and it is not to be overwritten.
    """
    if overwrite:
        file.replace(to)
        return
    try:
        try:
            os.link(file, to, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            with opened(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL):
                file.replace(to)
        else:
            file.unlink()
    except FileExistsError:
        raise UsageError(
            f"{to} is there already; give another name, or say that it may be overwritten"
        ) from None


def _cloned(source: int, target: int, size: int) -> bool:
    """Let the copy share the blocks of the original, where the file system can."""
    if os.fstat(source).st_size != size:
        return False
    with suppress(OSError):
        fcntl.ioctl(target, _FICLONE, source)
        return True
    return False


def _sync_folder(folder: Path) -> None:
    """Force the entries of a folder to the disk."""
    with opened(folder, os.O_RDONLY | os.O_DIRECTORY) as file:
        os.fsync(file)
