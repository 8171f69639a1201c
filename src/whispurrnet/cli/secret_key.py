"""Secret keys: from a file, a prompt or a variable, never from the command line.

Those of private topics, and those of sealed objects.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import msgspec
from cyclopts import Parameter

from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import note, say, show_json

VARIABLE = "WHISPURRNET_TOPIC_KEY"
OBJECT_VARIABLE = "WHISPURRNET_OBJECT_KEY"
_FORM = re.compile(r"[0-9a-fA-F]{64}")

KeyFile = Annotated[
    Path | None,
    Parameter(
        allow_leading_hyphen=True,
        help="Holds the key of a private topic; - asks for it. See `whispurr topic-key`.",
    ),
]


class Kind(msgspec.Struct, frozen=True):
    """What a key is for, in the words of those who are asked for it."""

    name: str
    variable: str
    cure: str
    """Where to get one."""


TOPIC = Kind("topic key", VARIABLE, "make one: whispurr topic-key FILE")
OBJECT = Kind(
    "key of an object", OBJECT_VARIABLE, "it was shown or written when the object was sealed"
)


def looks_like_key(text: str) -> bool:
    """Whether it has the form of a key: 64 hexadecimal characters."""
    return _FORM.fullmatch(text.strip()) is not None


def topic_key(path: Path | None) -> str:
    """The key as 64 hexadecimal characters; empty when none is given.

    Raises:
        Fault: The file cannot be read, others may read it, or what it holds is no key.
    """
    return _key(path, TOPIC)


def object_key(path: Path | None) -> bytes:
    """The key of a sealed object: of the file, of the variable, or else asked for.

    Raises:
        Fault: The file cannot be read, others may read it, or what it holds is no key.
    """
    if path is None and not os.environ.get(OBJECT.variable):
        path = Path("-")
    return bytes.fromhex(_key(path, OBJECT))


def _key(path: Path | None, kind: Kind) -> str:
    if path is None:
        text, where = os.environ.get(kind.variable, ""), kind.variable
        if not text:
            return ""
    elif str(path) == "-":
        text, where = _asked(kind), "what was typed"
    else:
        text, where = _read(path, kind), str(path)
    if not looks_like_key(text):
        raise Fault(
            f"That is not a {kind.name}",
            f"{where} does not hold 64 hexadecimal characters",
            kind.cure,
            Exit.USAGE,
        )
    return text.strip().lower()


def _asked(kind: Kind) -> str:
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(f"{kind.name}: ")
    return sys.stdin.readline(1024)


def _read(path: Path, kind: Kind) -> str:
    try:
        with path.open(encoding="ascii") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Fault(
                    f"The {kind.name} is not secret",
                    f"others of this machine may read {path}",
                    f"chmod 600 {path}",
                    Exit.USAGE,
                )
            return file.read(1024)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise Fault(
            f"The {kind.name} cannot be read",
            f"{path}: {reason}",
            kind.cure,
            Exit.USAGE,
        ) from error


def write_key(path: Path) -> bytes:
    """Make 32 secret bytes, and write them to a new file that only its owner may read.

    Raises:
        Fault: The file is there already, or cannot be written.
    """
    key = secrets.token_bytes(32)
    with new_file(path) as file:
        file.write(key.hex() + "\n")
    return key


@contextmanager
def new_file(path: Path) -> Generator[TextIO]:
    """A new file that only its owner may read; gone again if what is done with it fails.

    Raises:
        Fault: It is there already, or cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise _unwritten(path, error) from error
    done = False
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            yield file
            try:
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                raise _unwritten(path, error) from error
        done = True
    finally:
        if not done:
            path.unlink(missing_ok=True)


def _unwritten(path: Path, error: OSError) -> Fault:
    reason = error.strerror or type(error).__name__
    return Fault(
        "The key could not be written", f"{path}: {reason}", "name a file that is not there yet"
    )


def make(path: Annotated[Path, Parameter(name="FILE", help="Where it is written; new.")]) -> int:
    """Make the key of a private topic; whoever has the file can listen and speak there."""
    write_key(path)
    if current.json:
        show_json({"path": str(path)})
    else:
        say(f"● a topic key is in {path}; give it to others where nobody else reads")
        note(f"  next: whispurr listen moon --key-file {path}")
    return Exit.DONE
