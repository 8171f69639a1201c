"""Small steps on a disk that the standard library does not have."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

_RENAME_EXCHANGE, _HERE = 2, -100


def exchange(a: Path, b: Path) -> None:
    """Let two files change places in one step; where that cannot be, in two."""
    if _renameat2 is not None:
        done = _renameat2(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _RENAME_EXCHANGE)
        if done == 0:
            return
    old = a.with_name(f"{a.name}.old")
    old.unlink(missing_ok=True)
    os.link(b, old)
    os.replace(a, b)
    os.replace(old, a)


def _find_renameat2() -> Callable[..., int] | None:
    try:
        found: Callable[..., int] = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return None
    return found


_renameat2 = _find_renameat2()


def umask() -> int:
    """The mode bits that new files of this process do not get."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sync_folder(folder: Path) -> None:
    """Force the entries of a folder to the disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it; links are not followed."""
    for path, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(path, name))
        for name in folders:
            os.rmdir(os.path.join(path, name))
    os.rmdir(folder)
