"""The resonance ladder: how much of an interest a message matches, without naming either.

An intent is a path with tags. Its *features* are every prefix of the path, weighing as much as it
is deep, and every tag, weighing 1. A message carries 16 *slots* of 6 bytes: one for each feature,
made with the feature's key and the nonce of this message, and random ones up to 16. Who knows a
feature finds its slot and nobody else tells it from a random one; no two messages share a slot.

    health/sensor/heart#eu  ->  health 1, health/sensor 2, health/sensor/heart 3, #eu 1
    an interest in health/sensor/lung finds health and health/sensor there: (1 + 2) of (1 + 2 + 3)

Whoever holds the base key can test a guess. In a realm that is every member, for all its intents;
a private topic has a random base key of its own, shared out of band.

Source: MESH.md section 1.4, "Intent matching with strength 0-1: the resonance ladder".

Invariants:
    - a slot is the beginning of the feature's whisper tag, and the key of a feature that is a path
      is the resonance key of that path (`gossip.resonance`);
    - slots are ordered by value, so that their order says nothing to anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import TypeAlias

from whispurrnet.crypto.hash import hmac_sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.gossip.resonance import FEATURES_MAX, normalise, whisper_tag

SLOTS = FEATURES_MAX
"""How many slots a message has: as many as an intent may have features."""

SLOT_BYTES = 6

EVERYONE = ""
"""The intent of what is for everyone. No other has this feature: a normal intent has a path."""

Feature: TypeAlias = tuple[str, int]
"""The name of a feature, and its weight."""


def features(intent: str) -> tuple[Feature, ...]:
    """The features of an intent: 1 to 16, of which the first is the first part of the path.

    Raises:
        UsageError: It is no intent (see `normalise`).
    """
    if intent == EVERYONE:
        return ((EVERYONE, 1),)
    path, *tags = normalise(intent).split("#")
    parts = path.split("/")
    prefixes = [("/".join(parts[:depth]), depth) for depth in range(1, len(parts) + 1)]
    return (*prefixes, *((f"#{tag}", 1) for tag in tags))


def feature_key(base: bytes, feature: str) -> Secret:
    """The key of a feature under the base key of a realm or of a private topic; 32 bytes."""
    return Secret(hmac_sha256(base, b"WN1 resonance key\0", feature.encode()))


def slot(key: bytes, nonce: bytes) -> bytes:
    """What marks one message as having a feature, given the feature's key; 6 bytes."""
    return whisper_tag(key, nonce)[:SLOT_BYTES]


def slots(
    base: bytes, intent: str, nonce: bytes, entropy: Callable[[int], bytes]
) -> tuple[bytes, ...]:
    """The 16 slots of one message.

    Args:
        base: The base key of the realm or of the private topic; 32 bytes.
        intent: What the message is about, or `EVERYONE`.
        nonce: The message's own, never used twice.
        entropy: Gives the random bytes of the slots that stand for no feature.

    Raises:
        UsageError: It is no intent.
    """
    named = [slot(feature_key(base, name), nonce) for name, _ in features(intent)]
    filling = entropy(SLOT_BYTES * (SLOTS - len(named)))
    starts = range(0, len(filling), SLOT_BYTES)
    return tuple(sorted([*named, *(filling[start : start + SLOT_BYTES] for start in starts)]))


def found(keys: Mapping[str, bytes], nonce: bytes, slots: Container[bytes]) -> frozenset[str]:
    """Which features a message has, of those whose keys are known.

    By chance one is found that is not there, in 16 of 2^48 messages.

    Args:
        keys: The keys of the features, by their names.
        nonce: The message's nonce.
        slots: The message's slots.
    """
    return frozenset(name for name, key in keys.items() if slot(key, nonce) in slots)


def match(interest: Iterable[Feature], message: Container[str]) -> float:
    """How much of an interest a message matches; 0 to 1.

    Args:
        interest: The features of the interest, with their weights; at least one.
        message: The features of the message.
    """
    there = whole = 0
    for name, weight in interest:
        whole += weight
        if name in message:
            there += weight
    return there / whole
