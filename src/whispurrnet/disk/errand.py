"""What has to survive a crash while an object is handed over: one folder for each errand.

    <base>/<key>/errand          what it is about, mode 0600 (`PrivateFile`)
    <base>/<key>/objects/        the shelf of the node that does it
    <base>/<key>/lock            held while a process does it

The key is made of hexadecimal digits, never of what a peer or a person calls something. The folder
is removed when the errand is done.

Invariants:
    - an errand is done by one process at a time, and is free again when that dies;
    - nothing is removed but the folder of an errand that we hold;
    - the base is ours, and nobody else can write to it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import HostError
from whispurrnet.disk.private_file import PrivateFile

KEY_FORM: Final = re.compile(r"[0-9a-f]{8,64}(-[2-8])?")
SAME_MAX: Final = 8
"""How many may be done at the same time under one key."""

BYTES_MAX: Final = 64 * 1024


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of an errand."""

    version: Annotated[int, Meta(ge=1, le=1)] = 1
    offered: Annotated[bytes, Meta(max_length=1024)]
    """What is handed over, as `wire.object_ticket` packs it; holds a secret."""
    made_s: Annotated[int, Meta(ge=0)]
    """Unix time in seconds."""
    met: bool = False
    """Whether the two sides have met: no code is needed any more."""
    placing: bool = False
    """Whether what came is being put in its place, where nothing was in the way."""
    ticket: Annotated[str, Meta(max_length=4096)] = ""
    """The ticket of the node that has it, if it came with one."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


class Errand:
    """One folder, held by this process; see `claim`."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock
        self._file = PrivateFile(folder, "errand", BYTES_MAX)

    @property
    def objects(self) -> Path:
        """Where the shelf is."""
        return self.folder / "objects"

    def read(self) -> Kept | None:
        """What is remembered; None if nothing is, or it cannot be read any more.

        Raises:
            HostError: Others may reach it.
        """
        data = self._file.read()
        if data is None:
            return None
        try:
            return _decode(data)
        except msgspec.MsgspecError:
            return None

    def write(self, kept: Kept) -> None:
        """Remember this, whole or not at all.

        Raises:
            HostError: The disk is full or broken.
        """
        self._file.replace(lambda _: _encode(kept))

    def release(self) -> None:
        """Let another process do it; what is remembered stays."""
        with suppress(OSError):
            os.close(self._lock)

    def done(self) -> None:
        """Remove the folder: there is nothing more to do."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()
        with suppress(OSError):
            self.folder.parent.rmdir()  # others may be there


def claim(base: Path, key: str) -> Errand:
    """Hold the folder of an errand; another one beside it while a process does that.

    Args:
        base: Where errands of this kind are; made with mode 0700.
        key: 8 to 64 hexadecimal digits.

    Raises:
        HostError: It cannot be made, or too many do the same.
    """
    for number in range(1, SAME_MAX + 1):
        errand = _hold(base, key if number == 1 else f"{key}-{number}")
        if errand is not None:
            return errand
    raise HostError(f"{SAME_MAX} processes do the same already; wait for one of them")


def waiting(base: Path) -> list[Errand]:
    """All errands that nobody does and of which something is remembered, oldest first; held."""
    found: list[tuple[int, str, Errand]] = []
    with suppress(OSError):
        for folder in sorted(base.iterdir()):
            if KEY_FORM.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                errand = _hold(base, folder.name)
                kept = errand.read() if errand is not None else None
                if errand is not None and kept is not None:
                    found.append((kept.made_s, folder.name, errand))
                elif errand is not None:
                    errand.release()
    return [errand for _, _, errand in sorted(found, key=lambda one: one[:2])]


def _check_ours(base: Path) -> None:
    """Whoever else could exchange what is in it could have our capabilities."""
    state = base.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        raise HostError(f"{base} belongs to somebody else, or is a link; remove it")
    if stat.S_IMODE(state.st_mode) & 0o022:
        raise HostError(f"others can write to {base}; chmod 700 it")


def _hold(base: Path, key: str) -> Errand | None:
    """The errand, or None if a process does it."""
    assert KEY_FORM.fullmatch(key), "a key is no path"
    folder = base / key
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_ours(base)
        folder.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(folder / "lock", flags, 0o600)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise HostError(f"{folder}: {reason}; check the disk and the permissions") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    if not (folder / "lock").exists():  # it was removed while we opened it: done by another
        os.close(lock)
        return None
    return Errand(folder, lock)
