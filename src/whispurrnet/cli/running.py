"""Which nodes run here: one small file each in the user's runtime folder, gone when they stop.

It holds the port and nothing of the node's identity. The folder is the user's own (mode 0700).
"""

from __future__ import annotations

import os
import socket
import stat
import warnings
from pathlib import Path

import msgspec

from whispurrnet.base.errors import HostError

DEFAULT_PORT = 8765


class Running(msgspec.Struct, frozen=True):
    """A node that runs here."""

    port: int
    pid: int


def folder() -> Path:
    """Where the files are."""
    import platformdirs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without XDG_RUNTIME_DIR it takes one of its own
        return Path(platformdirs.user_runtime_dir("whispurrnet", appauthor=False))


def announce(port: int) -> Path:
    """Write the file of a node.

    Raises:
        HostError: The folder is not ours alone.
    """
    place = folder()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = place.lstat()
        foreign = hasattr(os, "getuid") and state.st_uid != os.getuid()
        if foreign or not stat.S_ISDIR(state.st_mode):
            raise HostError(f"{place} belongs to somebody else; remove it")
        place.chmod(0o700)
        path = place / f"{port}.json"
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(Running(port=port, pid=os.getpid())))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise HostError(f"{place} cannot be written ({reason}); set XDG_RUNTIME_DIR") from error
    return path


def nodes() -> list[Running]:
    """The nodes that answer; files of those that do not are left out."""
    found = []
    for path in sorted(folder().glob("*.json")):
        try:
            running = msgspec.json.decode(path.read_bytes(), type=Running)
        except (OSError, msgspec.MsgspecError):
            continue
        if _answers(running.port):
            found.append(running)
    return sorted(found, key=lambda running: (running.port != DEFAULT_PORT, running.port))


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False
