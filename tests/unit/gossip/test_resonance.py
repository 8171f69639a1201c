"""Resonance: one spelling for an intent, and keys and tags of the sizes that were asked for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whispurrnet.base.errors import UsageError
from whispurrnet.gossip.resonance import (
    INTENT_BYTES_MAX,
    INTENT_HASH_CHARS,
    RESONANCE_KEY_BYTES,
    WHISPER_TAG_BYTES,
    intent_hash,
    normalise,
    resonance_key,
    whisper_tag,
)


@pytest.mark.parametrize(
    ("intent", "normal"),
    [
        ("test_message", "test_message"),
        ("Health//Sensor / heart #urgent #EU", "health/sensor/heart#eu#urgent"),
        ("/a/", "a"),
        ("a#b#b", "a#b"),
        ("a##", "a"),
        ("two  words", "two words"),
        ("stra\u00dfe", "strasse"),
        ("\ufb01le", "file"),
        ("cafe\u0301", "caf\u00e9"),
    ],
)
def test_one_spelling(intent, normal):
    assert normalise(intent) == normal


@pytest.mark.parametrize(
    "intent",
    [
        "",
        " / ",
        "#tag",
        "a\nb",
        "a\x00",
        "\udc80",
        "x" * (INTENT_BYTES_MAX + 1),
        "x" * 100_000,
        "/".join("abcdefghijklmnopq"),
    ],
)
def test_what_is_no_intent(intent):
    with pytest.raises(UsageError):
        normalise(intent)


@given(st.text(max_size=60))
@settings(max_examples=500, deadline=None)
def test_a_normal_form_is_its_own(text):
    try:
        normal = normalise(text)
    except UsageError:
        return
    assert normalise(normal) == normal
    assert normalise(f" {normal} ") == normal


def test_sizes_of_the_seeds():
    key = resonance_key(bytes(32), "emotion_data")
    assert len(key) == RESONANCE_KEY_BYTES == 32
    assert len(whisper_tag(key, bytes(12))) == WHISPER_TAG_BYTES == 16
    assert len(intent_hash("emotion_data")) == INTENT_HASH_CHARS == 64
    int(intent_hash("emotion_data"), 16)


def test_spelling_makes_no_difference_and_the_intent_does():
    assert resonance_key(bytes(32), "A/b") == resonance_key(bytes(32), "a//B")
    assert intent_hash("A/b") == intent_hash("a//B") != intent_hash("a")
    assert resonance_key(bytes(32), "a") != resonance_key(bytes(32), "b")
    assert resonance_key(bytes(32), "a") != resonance_key(b"\1" * 32, "a")


def test_no_two_messages_share_a_tag():
    key = resonance_key(bytes(32), "a")
    assert len({whisper_tag(key, n.to_bytes(12, "big")) for n in range(100)}) == 100
