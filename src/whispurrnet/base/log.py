"""Loggers that drop addresses, keys and bodies before anything is formatted.

A log is shared when something is wrong, with people who must not learn from it who speaks to
whom. So what may appear in one is decided here and not by the caller's care:

- an argument is a number, a truth value, None, `Veiled` or text; bytes become their length,
  exceptions their class, and everything else the name of its type;
- text is searched for what looks like an address, an id, a key, a ticket or a path, and that is
  replaced, wherever it came from;
- a traceback keeps its places and the class of the exception, not the exception's words.

What cannot be recognised, such as a topic or a name, must not be given: say `tag(peer)` for who
and a count for what. Nothing that happens for each message is logged at `info` or above.

After Arti's `doc/dev/Safelogging.md`.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import sys
import traceback
from types import TracebackType
from typing import Final, Generic, TypeVar

Logger = logging.Logger
Value = TypeVar("Value")

ROOT: Final = "whispurrnet"
VEIL: Final = "[veiled]"
INT_MAX: Final = 2**64

_RUN_KEY: Final = secrets.token_bytes(32)  # a tag means something in this run only
_TELLING: Final = re.compile(
    r"""
      \b[a-z][a-z0-9+.]*://\S+                          # a URL
    | /(?:ip4|ip6|dns|dns4|dns6|memory|p2p)/\S+         # a multiaddr
    | (?<![\w/])~?(?:/[\w.@+=-]+){2,}/?                 # a path
    | \bWN1-[A-Z2-7-]+                                  # a ticket
    | \b\d{1,3}(?:\.\d{1,3}){3}\b(?::\d+)?              # an IPv4 address
    | (?<![\w:])\[?(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?:%\w+)?\]?(?::\d+)?(?![\w:])  # IPv6
    | \b[0-9a-f]{16,}\b                                 # an id or a key in hexadecimal
    | \b(?=[0-9]*[a-f])[0-9a-f]{8,15}\b                 # the short form of an id
    | [A-Za-z0-9+/_=-]{40,}                             # a key in another alphabet
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Veiled(Generic[Value]):
    """Something that may be carried through code that logs, such as an address.

    Its text says nothing; `reveal` gives the thing itself to code that needs it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: Value) -> None:
        self._value = value

    def reveal(self) -> Value:
        """The veiled thing."""
        return self._value

    def __str__(self) -> str:
        return VEIL

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(VEIL, spec)


class _Drop(logging.Filter):
    """Turns a record into one that holds no secrets; it is formatted here, once and for all."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = str(record.msg)
        arguments = record.args
        if arguments:
            try:
                if isinstance(arguments, tuple):
                    message %= tuple(map(_safe, arguments))
                else:
                    message %= {name: _safe(value) for name, value in arguments.items()}
            except (TypeError, ValueError, KeyError):
                # logging would print the arguments beside the complaint
                message += " (the arguments do not fit)"
        record.msg = veil(message)
        record.args = None
        if record.exc_info:
            record.exc_text = _places(*record.exc_info)
            record.exc_info = None
        return True


_DROP: Final = _Drop()


def get(name: str) -> Logger:
    """The logger `whispurrnet.NAME`, which drops what must not be written.

    Args:
        name: Dotted, without the package: `node.driver`. The package's own name in front of it,
            as in `__name__`, is not repeated.
    """
    full = name if name == ROOT or name.startswith(ROOT + ".") else f"{ROOT}.{name}"
    logger = logging.getLogger(full)
    if _DROP not in logger.filters:
        logger.addFilter(_DROP)
    return logger


def show(level: str = "INFO") -> None:
    """Print the package's log on standard error, from `level` up; without this it is silent."""
    root = get(ROOT)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    for earlier in root.handlers[:]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level.upper())


def tag(peer: bytes | int) -> str:
    """Six hexadecimal digits that stand for a peer in the log of this run, and of no other.

    Args:
        peer: Its id, or the local number it has in this process.
    """
    name = peer if isinstance(peer, bytes) else b"local %d" % peer
    return hashlib.blake2s(name, key=_RUN_KEY, digest_size=3).hexdigest()


def veil(text: str) -> str:
    """Replace whatever in `text` looks like an address, an id, a key, a ticket or a path."""
    return _TELLING.sub(VEIL, text)


def _safe(value: object) -> object:
    """What of an argument may be written."""
    match value:
        case None | bool() | float() | Veiled():
            return value
        case int():
            return value if -INT_MAX <= value <= INT_MAX else "<int>"
        case str():
            return veil(value)
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case OSError():
            return f"{type(value).__name__}({value.errno})"
        case _:
            return f"<{type(value).__name__}>"


def _places(
    kind: type[BaseException] | None,
    _error: BaseException | None,
    places: TracebackType | None,
) -> str:
    """A traceback without the exception's own words."""
    lines = [
        f"  {frame.name} in {frame.filename.rpartition('/src/')[2].rpartition('site-packages/')[2]}"
        f":{frame.lineno}"
        for frame in traceback.extract_tb(places)
    ]
    return "\n".join([*lines, kind.__name__ if kind else "no exception"])


logging.getLogger(ROOT).addHandler(logging.NullHandler())  # silent until the application asks
