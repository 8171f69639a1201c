"""The ladder: how much matches, and that nobody else sees what."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.gossip import ladder
from whispurrnet.gossip.ladder import EVERYONE, SLOT_BYTES, SLOTS, feature_key, features, slots
from whispurrnet.gossip.resonance import resonance_key, whisper_tag

REALM, OTHER = b"r" * 32, b"o" * 32
NONCE = b"n" * 12
MESSAGE = "health/sensor/heart#urgent#eu"
MESSAGES = 3000
CHI2_MAX = 350.0
"""Of 255 degrees of freedom; chance passes it once in 30,000 times."""


def strength(interest: str, marks: tuple[bytes, ...], base: bytes = REALM) -> float:
    wanted = features(interest)
    keys = {name: feature_key(base, name) for name, _ in wanted}
    return ladder.match(wanted, ladder.found(keys, NONCE, marks))


def chi2(data: bytes) -> float:
    mean = len(data) / 256
    return sum((data.count(byte) - mean) ** 2 / mean for byte in range(256))


def test_features_are_prefixes_by_depth_and_tags_by_one():
    assert features("Health / Sensor/heart #b#a") == (
        ("health", 1),
        ("health/sensor", 2),
        ("health/sensor/heart", 3),
        ("#a", 1),
        ("#b", 1),
    )
    assert len(features("/".join("abcdefghijklmnop"))) == SLOTS
    assert features(EVERYONE) == (("", 1),)


@pytest.mark.parametrize("intent", ["#tag", "/", "a\0", "/".join("abcdefghijklmnopq")])
def test_what_is_no_intent_has_no_features(intent):
    with pytest.raises(UsageError):
        features(intent)
    with pytest.raises(UsageError):
        slots(REALM, intent, NONCE, bytes)


@pytest.mark.parametrize(
    ("interest", "expected"),
    [
        ("health", 1.0),
        ("health/sensor", 1.0),
        (MESSAGE, 1.0),
        ("health/sensor/lung", 0.5),
        ("health/finance", 1 / 3),
        ("music", 0.0),
        ("health/sensor/heart#calm", 6 / 7),
        (EVERYONE, 0.0),
    ],
)
def test_the_measured_examples(interest, expected):
    marks = slots(REALM, MESSAGE, NONCE, Random(1).randbytes)
    assert strength(interest, marks) == expected
    assert strength(interest, marks, OTHER) == 0.0
    assert strength(interest, slots(OTHER, MESSAGE, NONCE, Random(1).randbytes)) == 0.0


def test_what_is_for_everyone_matches_everyone_only():
    marks = slots(REALM, EVERYONE, NONCE, Random(1).randbytes)
    assert strength(EVERYONE, marks) == 1.0
    assert strength("health", marks) == 0.0


def test_slots_begin_as_the_whisper_tag_of_the_resonance_key():
    key = resonance_key(REALM, "health/sensor")
    assert feature_key(REALM, "health/sensor") == key
    assert whisper_tag(key, NONCE)[:SLOT_BYTES] in slots(REALM, MESSAGE, NONCE, bytes)


@pytest.mark.parametrize("intent", [EVERYONE, "a", MESSAGE, "/".join("abcdefghijklmnop")])
def test_slots_are_sixteen_whatever_the_intent(intent):
    marks = slots(REALM, intent, NONCE, Random(1).randbytes)
    assert len(set(marks)) == SLOTS
    assert {len(mark) for mark in marks} == {SLOT_BYTES}
    assert list(marks) == sorted(marks)


def test_messages_of_one_intent_share_no_slot_and_their_slots_look_random():
    rng = Random(3)
    seen = [
        mark
        for _ in range(MESSAGES)
        for mark in slots(REALM, MESSAGE, rng.randbytes(12), rng.randbytes)
    ]
    assert len(set(seen)) == MESSAGES * SLOTS
    assert chi2(b"".join(seen)) < CHI2_MAX


def test_slots_of_features_alone_look_random():
    """Without the random ones, which would hide a pattern: an intent of 16 features."""
    rng, intent = Random(4), "/".join("abcdefghijklmnop")
    seen = b"".join(b"".join(slots(REALM, intent, rng.randbytes(12), bytes)) for _ in range(1000))
    assert chi2(seen) < CHI2_MAX


def test_the_number_of_features_does_not_show_in_the_order():
    """Each place is as likely to hold a feature as any other."""
    rng, places = Random(5), [0] * SLOTS
    key = feature_key(REALM, "health")
    for _ in range(3200):
        nonce = rng.randbytes(12)
        places[slots(REALM, "health", nonce, rng.randbytes).index(ladder.slot(key, nonce))] += 1
    assert sum((n - 200) ** 2 / 200 for n in places) < 45  # 15 degrees of freedom


def test_keys_say_nothing_when_shown():
    assert repr(feature_key(REALM, "health")) == "Secret(32 bytes)"
