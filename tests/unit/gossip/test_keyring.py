"""What a node hears is what it listens to; of the rest it learns nothing."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.gossip import envelope as module
from whispurrnet.gossip.envelope import Envelope, Inside, Realm, parse, seal, unseal, verify
from whispurrnet.gossip.keyring import Keyring
from whispurrnet.gossip.ladder import EVERYONE, SLOTS, feature_key, features, found, slots
from whispurrnet.gossip.resonance import INTERESTS_MAX

REALM, OTHER = Realm(b"r" * 32), Realm(b"o" * 32)
TOPIC_KEY, OTHER_KEY = b"t" * 32, b"u" * 32
MESSAGE = "health/sensor/heart#urgent#eu"
RNG = Random(2)


def sent(intent: str = MESSAGE, strength: float = 1.0, **changes: Any) -> Envelope:
    given: dict[str, Any] = {
        "topic_key": None,
        "expiry_s": 1_760_000_100,
        "urgent": False,
        "shard": 0,
        "entropy": RNG.randbytes,
    }
    realm = changes.pop("realm", REALM)
    payload = changes.pop("payload", b"72 bpm")
    return parse(seal(realm, Inside(1, strength, 5, intent, payload), **given | changes))


def strengths(keyring: Keyring, envelope: Envelope) -> dict[str, float]:
    return {heard.intent: heard.strength for heard in keyring.open(envelope)}


def test_each_interest_hears_how_strong_it_is():
    keyring = Keyring(REALM)
    for interest in ("health/sensor", "health/sensor/lung", "health/sensor/heart#calm", "music"):
        keyring.listen(interest, threshold=0.01)
    keyring.listen("health/finance", threshold=0.34)
    expected = {"health/sensor": 1.0, "health/sensor/lung": 0.5, "health/sensor/heart#calm": 6 / 7}
    assert strengths(keyring, sent()) == expected
    halved = {intent: strength / 2 for intent, strength in expected.items()}
    assert strengths(keyring, sent(strength=0.5)) == halved
    keyring.listen("health/finance", threshold=1 / 3)
    assert strengths(keyring, sent()) == expected | {"health/finance": 1 / 3}
    assert strengths(keyring, sent(realm=OTHER)) == {}


@pytest.mark.parametrize(("strength", "heard"), [(1.0, True), (0.6, True), (0.59, False)])
def test_weaker_than_the_threshold_is_not_heard(strength, heard):
    keyring = Keyring(REALM)
    keyring.listen("health", threshold=0.6)
    assert bool(keyring.open(sent(strength=strength))) is heard


def test_what_is_for_everyone_is_heard_without_an_interest():
    keyring = Keyring(REALM)
    (heard,) = keyring.open(sent(EVERYONE, strength=0.0))
    assert (heard.intent, heard.key, heard.strength) == (EVERYONE, None, 0.0)
    assert heard.inside.payload == b"72 bpm"
    assert len(keyring) == 0
    assert Keyring(OTHER).open(sent(EVERYONE)) == []


def test_private_topics_are_heard_by_their_key():
    keyring = Keyring(REALM)
    keyring.listen("health")
    keyring.listen("health", key=TOPIC_KEY)
    keyring.listen("health", key=OTHER_KEY)
    (heard,) = keyring.open(sent(topic_key=TOPIC_KEY))
    assert (heard.intent, heard.key) == ("health", TOPIC_KEY)
    assert "ttt" not in repr(heard)
    (heard,) = keyring.open(sent())
    assert heard.key is None


def test_interests_come_and_go():
    keyring = Keyring(REALM)
    keyring.listen("Music")
    keyring.listen("health//sensor")
    keyring.listen("health/sensor", key=TOPIC_KEY)
    assert keyring.intents() == ("health/sensor", "music")
    assert len(keyring) == 3
    keyring.leave("health/SENSOR")
    keyring.leave("health/sensor")
    assert len(keyring) == 2
    assert keyring.open(sent()) == []
    assert keyring.open(sent(topic_key=TOPIC_KEY))
    keyring.listen("music", threshold=1.0)
    assert len(keyring) == 2
    assert keyring.open(sent("music", strength=0.9)) == []


@pytest.mark.parametrize(
    ("intent", "given"),
    [
        ("", {}),
        ("#tag", {}),
        ("a", {"key": b"k"}),
        ("a", {"threshold": 0.0}),
        ("a", {"threshold": 1.1}),
        ("a", {"threshold": float("nan")}),
    ],
)
def test_what_is_no_interest_is_refused(intent, given):
    keyring = Keyring(REALM)
    with pytest.raises(UsageError):
        keyring.listen(intent, **given)
    assert len(keyring) == 0


def test_interests_are_bounded():
    keyring = Keyring(REALM)
    for n in range(INTERESTS_MAX):
        keyring.listen(f"topic{n}")
    with pytest.raises(LimitError, match="256"):
        keyring.listen("one more")
    keyring.listen("topic7", threshold=0.1)
    keyring.leave("topic8")
    keyring.listen("one more")


def test_slots_that_promise_another_intent_open_nothing(monkeypatch):
    """A member that puts the slots of many intents on a message does not reach who wants them."""
    keyring = Keyring(REALM)
    keyring.listen("health/sensor/heart", threshold=0.5)
    keyring.listen("health/music", threshold=0.3)
    promised = "health/sensor/heart"
    monkeypatch.setattr(
        module, "slots", lambda base, _, nonce, entropy: slots(base, promised, nonce, entropy)
    )
    envelope = sent("health/music")
    verify(REALM, envelope)
    assert unseal(feature_key(REALM.base, "health"), envelope).intent == "health/music"
    assert keyring.open(envelope) == []


def test_what_cannot_be_read_says_nothing():
    keyring = Keyring(REALM)
    keyring.listen("health")
    raw = bytearray(sent().raw)
    raw[200] ^= 1
    assert keyring.open(parse(bytes(raw))) == []


def test_a_member_without_the_topic_key_learns_nothing_of_a_private_topic():
    """It knows the realm, the 20 intents in question, and a topic key of its own."""
    intents = [f"team/plan {n}" for n in range(20)]
    member = Keyring(REALM)
    for key in (None, OTHER_KEY):
        for intent in intents:
            member.listen(intent, key=key, threshold=0.01)
    keys = {
        (base, name): feature_key(base, name)
        for base in (REALM.base, OTHER_KEY)
        for intent in intents
        for name, _ in features(intent)
    }
    insider = Keyring(REALM)
    insider.listen("team", key=TOPIC_KEY)
    shown: list[bytes] = []
    for n in range(400):
        envelope = sent(intents[n % 20], topic_key=TOPIC_KEY, payload=bytes(n % 50))
        verify(REALM, envelope)
        assert member.open(envelope) == []
        assert not any(found({"": key}, envelope.nonce, envelope.slots) for key in keys.values())
        assert len(insider.open(envelope)) == 1
        assert len(envelope.raw) == 512
        shown += envelope.slots
    assert len(set(shown)) == 400 * SLOTS


def test_no_guess_at_a_private_intent_is_better_than_chance():
    """Two intents, 2000 messages: nothing that shows is distributed differently."""
    ones = [0, 0]
    for n in range(2000):
        envelope = sent(("team/war", "team/peace")[n % 2], topic_key=TOPIC_KEY)
        ones[n % 2] += sum(byte.bit_count() for byte in b"".join(envelope.slots) + envelope.sealed)
    bits = 1000 * 8 * (SLOTS * 6 + 512 - 119 - 16)
    for count in ones:
        assert abs(count - bits / 2) < 4.5 * (bits / 4) ** 0.5
