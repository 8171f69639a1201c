"""Resonance: one spelling for an intent, and tags that only their addressee can test."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import TransportKeys
from whispurrnet.gossip.resonance import (
    INTENT_BYTES_MAX,
    INTENT_HASH_CHARS,
    INTEREST_TAG_BYTES,
    INTERESTS_MAX,
    RESONANCE_KEY_BYTES,
    WHISPER_TAG_BYTES,
    Interests,
    intent_hash,
    interest_tag,
    normalise,
    resonance_key,
    whisper_tag,
)


def session(n: int) -> tuple[TransportKeys, TransportKeys]:
    """The keys of both ends of one session."""
    one, two, rest = (Secret(bytes((n, k)) * 16) for k in range(3))
    hash = bytes((n,)) * 32
    return TransportKeys(one, two, hash, rest), TransportKeys(two, one, hash, rest)


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


def test_interests_reach_the_peer():
    ours, theirs = session(1)
    interests = Interests()
    assert not interests.wants(theirs, "a")
    interests.learn(theirs, Interests.announce(ours, ["a", "b/c#d"]))
    assert len(interests) == 2
    assert interests.wants(theirs, "A")
    assert interests.wants(theirs, "b//c#d")
    assert not interests.wants(theirs, "b/c")
    interests.learn(theirs, Interests.announce(ours, []))
    assert not interests.wants(theirs, "a")


def test_an_announcement_says_nothing_of_the_intent_or_the_order():
    ours, _ = session(1)
    body = Interests.announce(ours, ["secret", "other"])
    assert b"secret" not in body
    assert bytes.fromhex(intent_hash("secret"))[:16] not in body
    assert body == Interests.announce(ours, ["other", "secret", "Secret"])


def test_tags_differ_in_each_session():
    assert Interests.announce(session(1)[0], ["a"]) != Interests.announce(session(2)[0], ["a"])


def test_an_echo_of_our_own_interests_means_nothing():
    ours, _ = session(1)
    interests = Interests()
    interests.learn(ours, Interests.announce(ours, ["secret"]))
    assert not interests.wants(ours, "secret")


def test_interests_are_bounded():
    ours, theirs = session(1)
    most = [f"i{n}" for n in range(INTERESTS_MAX)]
    interests = Interests()
    interests.learn(theirs, Interests.announce(ours, most))
    assert len(interests) == INTERESTS_MAX
    with pytest.raises(LimitError, match="stop listening"):
        Interests.announce(ours, [*most, "one more"])
    for body in (bytes(INTEREST_TAG_BYTES * (INTERESTS_MAX + 1)), bytes(17)):
        with pytest.raises(ProtocolError):
            interests.learn(theirs, body)
    assert len(interests) == INTERESTS_MAX


def test_an_interest_tag_is_of_its_key():
    assert len(interest_tag(bytes(32), "a")) == INTEREST_TAG_BYTES
    assert interest_tag(bytes(32), "a") != interest_tag(b"\1" * 32, "a")
