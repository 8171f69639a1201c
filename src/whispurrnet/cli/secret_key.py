"""The key of a private topic: from a file, a prompt or a variable, never from the command line."""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import note, say, show_json

VARIABLE = "WHISPURRNET_TOPIC_KEY"
_FORM = re.compile(r"[0-9a-fA-F]{64}")

KeyFile = Annotated[
    Path | None,
    Parameter(
        allow_leading_hyphen=True,
        help="Holds the key of a private topic; - asks for it. See `whispurr topic-key`.",
    ),
]


def topic_key(path: Path | None) -> str:
    """The key as 64 hexadecimal characters; empty when none is given.

    Raises:
        Fault: The file cannot be read, others may read it, or what it holds is no key.
    """
    if path is None:
        text, where = os.environ.get(VARIABLE, ""), VARIABLE
        if not text:
            return ""
    elif str(path) == "-":
        text, where = _asked(), "what was typed"
    else:
        text, where = _read(path), str(path)
    if not _FORM.fullmatch(text.strip()):
        raise Fault(
            "That is not a topic key",
            f"{where} does not hold 64 hexadecimal characters",
            "make one: whispurr topic-key FILE",
            Exit.USAGE,
        )
    return text.strip().lower()


def _asked() -> str:
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass("topic key: ")
    return sys.stdin.readline(1024)


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Fault(
                    "The topic key is not secret",
                    f"others of this machine may read {path}",
                    f"chmod 600 {path}",
                    Exit.USAGE,
                )
            return file.read(1024)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise Fault(
            "The topic key cannot be read",
            f"{path}: {reason}",
            "make one: whispurr topic-key FILE",
            Exit.USAGE,
        ) from error


def write_key(path: Path) -> bytes:
    """Make 32 secret bytes, and write them to a new file that only its owner may read.

    Raises:
        Fault: The file is there already, or cannot be written.
    """
    key = secrets.token_bytes(32)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key.hex() + "\n")
    except OSError as error:
        raise Fault(
            "The key could not be written",
            f"{path}: {error.strerror or type(error).__name__}",
            "name a file that is not there yet",
        ) from error
    return key


def make(path: Annotated[Path, Parameter(name="FILE", help="Where it is written; new.")]) -> int:
    """Make the key of a private topic; whoever has the file can listen and speak there."""
    write_key(path)
    if current.json:
        show_json({"path": str(path)})
    else:
        say(f"● a topic key is in {path}; give it to others where nobody else reads")
        note(f"  next: whispurr listen moon --key-file {path}")
    return Exit.DONE
