"""Names of files that came from somebody else: text to show, until every part of it is checked.

A name is refused that any of the usual systems would take for something else than one new file in
one folder: a path, a device, a hidden turn of the writing direction, or the name of its neighbour.

Sources: Microsoft, "Naming Files, Paths, and Namespaces"; Unicode TR 36, section 3.1 (bidirectional
text); git, `path.c: is_ntfs_dotgit` and CVE-2014-9390 (what case and ignored characters hide).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from whispurrnet.base.errors import UsageError

NAME_BYTES_MAX = 255
DEPTH_MAX = 32
"""How deep folders may lie in each other."""

_RESERVED = re.compile(
    "(con|prn|aux|nul|clock\\$|conin\\$|conout\\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE
)
_FORBIDDEN = frozenset('/\\:<>"|?*')
_TURNS = frozenset("\u200b\u200e\u200f\u2028\u2029\u2060\ufeff").union(
    map(chr, range(0x202A, 0x202F)), map(chr, range(0x2066, 0x206A))
)
"""Invisible characters that make a name look like another one."""


def fault(name: str) -> str:
    """Why this cannot be the name of a file everywhere; nothing if it can."""
    if not name:
        return "it is empty"
    if name in {".", ".."}:
        return "it means a folder that is there already"
    for character in name:
        if character in _FORBIDDEN:
            return f"it contains {character!r}"
        if character in _TURNS or unicodedata.category(character) in {"Cc", "Cs"}:
            return f"it contains the invisible character {character!a}"
    if len(name.encode()) > NAME_BYTES_MAX:
        return f"it is longer than {NAME_BYTES_MAX} bytes"
    if name[-1] in {".", " "}:
        return "it ends with a dot or a space, which some systems drop"
    if _RESERVED.fullmatch(name.partition(".")[0].rstrip(" ")):
        return "some systems take it for a device"
    if not unicodedata.is_normalized("NFC", name):
        return "it is not in the normal form NFC; some systems would change it"
    return ""


def check(name: str) -> str:
    """The name itself, if it can be the name of a file everywhere.

    Raises:
        UsageError: It cannot; says which name it is, and why.
    """
    found = fault(name)
    if found:
        raise UsageError(f"the name {name[:80]!r} cannot be used: {found}")
    return name


def check_all(names: Iterable[str]) -> None:
    """Check the names of one folder, each and beside each other.

    Raises:
        UsageError: One cannot be used, or two would be one file on a system that does not tell
            upper from lower case.
    """
    seen: dict[str, str] = {}
    for name in names:
        key = folded(check(name))
        other = seen.get(key)
        seen[key] = name
        if other is not None:
            raise UsageError(
                f"the names {other[:80]!r} and {name[:80]!r} cannot be used in one folder: "
                "some systems take them for the same"
            )


def check_path(parts: Sequence[str]) -> tuple[str, ...]:
    """The parts of a path below a folder, each checked: only such may be joined to the folder.

    Raises:
        UsageError: A part cannot be used, or there are none, or too many.
    """
    if not 0 < len(parts) <= DEPTH_MAX:
        raise UsageError(f"a path has 1 to {DEPTH_MAX} parts, not {len(parts)}")
    return tuple(check(part) for part in parts)


def folded(name: str) -> str:
    """What two names have in common if a system may take them for the same."""
    plain = "".join(c for c in name if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", plain).casefold())


def normal(name: str) -> str:
    """The name of a file of ours as it is told to others: in the normal form NFC."""
    return unicodedata.normalize("NFC", name)
