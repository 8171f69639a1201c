"""What names this machine; read here, put into an HMAC at once, and never kept, shown or sent."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
"""machine-id(5) asks that its value be hashed with a key before anybody else sees it."""

NONE = "none: this machine has no machine id, and no network card that says its number"

_MULTICAST = 1 << 40
"""Set in what `uuid.getnode` invents when it finds no network card (RFC 9562, section 6.10)."""


class Hardware(msgspec.Struct, frozen=True):
    """The id of the hardware, and where it came from. Its `repr` shows only the latter."""

    id: bytes
    source: str

    def __repr__(self) -> str:
        return f"Hardware({self.source})"


def hardware(
    places: Iterable[Path] = MACHINE_IDS, card: Callable[[], int] = uuid.getnode
) -> Hardware:
    """What names this machine; without anything, no bytes and a word about it.

    Args:
        places: Files that may hold a machine id.
        card: Gives the number of a network card, or an invented one with the multicast bit.
    """
    for place in places:
        try:
            text = place.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if len(text) == 32 and set(text) <= set("0123456789abcdef"):
            return Hardware(bytes.fromhex(text), "machine id")
    number = card()
    if number & _MULTICAST:
        return Hardware(b"", NONE)
    return Hardware(number.to_bytes(6, "big"), "network card")
