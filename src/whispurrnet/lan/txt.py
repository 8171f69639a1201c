"""A datagram as the TXT record of a DNS-SD service, and back.

    txtvers=1 | a=first 253 bytes | b=next 253 bytes | c=the rest

Each string has its length in one byte before it, so none is longer than 255. Values are bytes as
they are, not text: "the value is opaque binary data" (RFC 6763, section 6.5). `txtvers` comes first
(section 6.7). Strings with other keys are passed over, as section 6.4 wants; what is malformed is
nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterator

VERSION = b"txtvers=1"
STRING_BYTES_MAX = 255
PART_BYTES = STRING_BYTES_MAX - 2
DATAGRAM_BYTES_MAX = 1_012
"""Four parts: with the names, addresses and headers it fits one packet, as section 6.2 wants."""

TXT_BYTES_MAX = 1_300
"""Longer records are not looked at ("under 1300 bytes [...] single Ethernet packet")."""

_KEYS = b"abcd"


def pack(datagram: bytes) -> bytes:
    """The TXT record of a datagram of 1 to 1012 bytes."""
    assert 0 < len(datagram) <= DATAGRAM_BYTES_MAX, "a datagram that goes into a TXT record"
    strings = [VERSION]
    for key, start in zip(_KEYS, range(0, len(datagram), PART_BYTES), strict=False):
        strings.append(bytes([key]) + b"=" + datagram[start : start + PART_BYTES])
    return b"".join(bytes([len(string)]) + string for string in strings)


def unpack(txt: bytes) -> bytes | None:
    """The datagram in a TXT record, or None if there is none: anybody can publish one."""
    if len(txt) > TXT_BYTES_MAX:
        return None
    parts: dict[int, bytes] = {}
    version = b""
    for string in _strings(txt):
        key, equals, value = string.partition(b"=")
        if not equals:
            continue
        if key.lower() == b"txtvers":
            version = version or string.lower()
        elif len(key) == 1 and key.lower() in _KEYS:
            parts.setdefault(key.lower()[0], value)  # "all but the first [...] silently ignored"
    datagram = b"".join(parts.get(key, b"") for key in _KEYS)
    whole = len(parts) == -(-len(datagram) // PART_BYTES) and tuple(sorted(parts)) == tuple(
        _KEYS[: len(parts)]
    )
    return datagram if version == VERSION and datagram and whole else None


def _strings(txt: bytes) -> Iterator[bytes]:
    """The strings of a record; one that is cut off is passed over, and ends it."""
    at = 0
    while at < len(txt):
        length = txt[at]
        string = txt[at + 1 : at + 1 + length]
        if len(string) == length:
            yield string
        at += 1 + length
