"""Resonance: what is told to whom listens to an intent, without the intent ever being named.

An intent is a path with tags, such as `health/sensor/heart#urgent`. Two peers with a session tell
each other what they listen to by *interest tags*: a hash of the intent under a key of that session
and direction. So a tag can be tested by the one peer it was made for, for intents that it knows,
and by nobody else; it differs in every session; and sent back to where it came from it means
nothing.

The sizes are those of seeds/000: 32 bytes of resonance key, 16 of whisper tag, 64 hexadecimal
characters of intent hash. The intent hash is fixed, so it is a name for this machine alone: it
never travels, because who sees it twice can link it and who has a dictionary can guess it.

Source: FEATURES.md A6, A9; MESH.md section 1.4; HMAC-SHA-256 (RFC 2104).

Invariants:
    - a peer's interests are at most `INTERESTS_MAX`, replaced as a whole;
    - a normalised intent is its own normal form.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.crypto.hash import hmac_sha256, sha256
from whispurrnet.crypto.noise import TransportKeys

RESONANCE_KEY_BYTES = 32
WHISPER_TAG_BYTES = 16
INTENT_HASH_CHARS = 64
INTEREST_TAG_BYTES = 16

INTENT_BYTES_MAX = 256
"""The longest intent, in UTF-8."""

FEATURES_MAX = 16
"""How many path parts and tags an intent may have together."""

INTERESTS_MAX = 256
"""How many intents a node may listen to, and so how many tags a peer may send."""

_INTEREST = "interests"


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


def interest_tag(session_key: bytes, intent: str) -> bytes:
    """What says, in one direction of one session, that an intent is listened to; 16 bytes."""
    tag = hmac_sha256(session_key, b"WN1 interest\0", normalise(intent).encode())
    return tag[:INTEREST_TAG_BYTES]


class Interests:
    """What the peer of one session listens to."""

    __slots__ = ("_tags",)

    def __init__(self) -> None:
        self._tags: frozenset[bytes] = frozenset()

    def __len__(self) -> int:
        return len(self._tags)

    @staticmethod
    def announce(keys: TransportKeys, intents: Iterable[str]) -> bytes:
        """The body that tells a peer all that we listen to: tags, sorted, one after the other.

        Raises:
            LimitError: There are more than `INTERESTS_MAX`.
        """
        key = _session_key(keys, keys.send)
        tags = {interest_tag(key, intent) for intent in intents}
        if len(tags) > INTERESTS_MAX:
            raise LimitError(
                f"a node listens to at most {INTERESTS_MAX} intents; stop listening to one first"
            )
        return b"".join(sorted(tags))

    def learn(self, keys: TransportKeys, body: bytes) -> None:
        """Take what a peer announced; it replaces what it announced before.

        Raises:
            ProtocolError: These are not tags, or too many; nothing has changed.
        """
        if len(body) > INTERESTS_MAX * INTEREST_TAG_BYTES:
            raise ProtocolError(f"a peer listens to more than {INTERESTS_MAX} intents")
        if len(body) % INTEREST_TAG_BYTES:
            raise ProtocolError("a peer sent interests that are not whole tags")
        self._tags = frozenset(
            body[start : start + INTEREST_TAG_BYTES]
            for start in range(0, len(body), INTEREST_TAG_BYTES)
        )

    def wants(self, keys: TransportKeys, intent: str) -> bool:
        """Whether the peer of the session with these keys listens to an intent."""
        if not self._tags:
            return False
        return interest_tag(_session_key(keys, keys.receive), intent) in self._tags


def _session_key(keys: TransportKeys, direction: bytes) -> bytes:
    """The key of the tags of one direction: who sends it tells them, the other one tests them."""
    return keys.export(_INTEREST, sha256(b"WN1 direction\0", direction))


def _fold(text: str) -> str:
    """Unicode's caseless matching with compatibility forms (definition D146)."""
    text = unicodedata.normalize("NFD", text)
    text = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFKC", text.casefold())
