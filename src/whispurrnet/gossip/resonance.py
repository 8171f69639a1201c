"""Resonance: the spelling of intents, and the keys and tags that are made of one.

An intent is a path with tags, such as `health/sensor/heart#urgent`. What travels is never the
intent, nor anything that is the same twice: `gossip.ladder` makes slots of it with a fresh nonce
for each message. The sizes here are those of seeds/000: 32 bytes of resonance key, 16 of whisper
tag, 64 hexadecimal characters of intent hash. The intent hash is fixed, so it is a name for this
machine alone: it never travels, for who sees it twice can link it and who has a dictionary guess.

Source: FEATURES.md A6, A9; MESH.md section 1.4; HMAC-SHA-256 (RFC 2104).

Invariant: a normalised intent is its own normal form.
"""

from __future__ import annotations

import unicodedata

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.hash import hmac_sha256, sha256

RESONANCE_KEY_BYTES = 32
WHISPER_TAG_BYTES = 16
INTENT_HASH_CHARS = 64

INTENT_BYTES_MAX = 256
"""The longest intent, in UTF-8."""

FEATURES_MAX = 16
"""How many path parts and tags an intent may have together."""

INTERESTS_MAX = 256
"""How many intents a node may listen to."""


def normalise(intent: str) -> str:
    """The one spelling of an intent: `Health//Sensor #b #a` becomes `health/sensor#a#b`.

    Case, compatibility forms, spaces around the parts, empty parts and the order of the tags make
    no difference.

    Raises:
        UsageError: There is no path, or the intent is too long or has control characters.
    """
    if len(intent) > 4 * INTENT_BYTES_MAX:
        raise UsageError(f"an intent has at most {INTENT_BYTES_MAX} bytes; shorten it")
    text = _fold(intent)
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise UsageError("an intent is text without control characters, such as `sensor/heart`")
    path, *tags = text.split("#")
    parts = [part for part in (" ".join(part.split()) for part in path.split("/")) if part]
    marks = sorted({mark for mark in (" ".join(tag.split()) for tag in tags) if mark})
    whole = "/".join(parts) + "".join(f"#{mark}" for mark in marks)
    if not parts:
        raise UsageError("an intent has a path, such as `sensor/heart` or `sensor/heart#urgent`")
    if len(whole.encode()) > INTENT_BYTES_MAX or len(parts) + len(marks) > FEATURES_MAX:
        raise UsageError(
            f"an intent has at most {INTENT_BYTES_MAX} bytes, and {FEATURES_MAX} parts and tags; "
            "put details in the payload"
        )
    return whole


def resonance_key(realm_key: bytes, intent: str) -> bytes:
    """The key of an intent in a realm; 32 bytes.

    Who holds the realm key can test a guess of the intent; in a public realm that is everybody.
    """
    return hmac_sha256(realm_key, b"WN1 resonance key\0", normalise(intent).encode())


def whisper_tag(key: bytes, nonce: bytes) -> bytes:
    """What marks one message as of an intent, given its resonance key; 16 bytes.

    With a fresh nonce no two messages of an intent share a tag.
    """
    return hmac_sha256(key, b"WN1 whisper tag\0", nonce)[:WHISPER_TAG_BYTES]


def intent_hash(intent: str) -> str:
    """A name of the intent for this machine alone; 64 hexadecimal characters. It never travels."""
    return sha256(b"WN1 intent hash\0", normalise(intent).encode()).hex()


def _fold(text: str) -> str:
    """Unicode's caseless matching with compatibility forms (definition D146)."""
    text = unicodedata.normalize("NFD", text)
    text = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFKC", text.casefold())
