"""Envelopes: what shows, what does not, and that nothing can be changed."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from whispurrnet.base.errors import AuthError, ProtocolError, UsageError
from whispurrnet.crypto.aead import CHACHA_NAME, cipher
from whispurrnet.crypto.keys import Secret
from whispurrnet.gossip import envelope as module
from whispurrnet.gossip.envelope import (
    BUCKETS,
    PAYLOAD_MAX,
    ForeignRealm,
    Inside,
    Realm,
    author,
    expiry,
    parse,
    realm_key,
    seal,
    unseal,
    verify,
)
from whispurrnet.gossip.ladder import EVERYONE, SLOTS, feature_key, slots
from whispurrnet.identity.ephemeral import Ephemeral

EXPIRY_S = 1_760_000_100
WALL_MS = 1_760_000_000_000
RNG = Random(1)
REALM, OTHER = Realm(b"r" * 32), Realm(b"o" * 32)
TOPIC_KEY = b"t" * 32
ALICE = Ephemeral.generate(RNG.randbytes, WALL_MS)
ROOT = feature_key(REALM.base, "health")
HEADER_BYTES, AROUND = 119, 119 + 2 + 16 + 16
LONGEST = "/".join(["0123456789abcdef"] * 15)[:-1] + "#ab"


def inside(payload: bytes = b"72 bpm", **changes: Any) -> Inside:
    whole = Inside(kind=7, strength=0.75, priority=5, intent="health/heart", payload=payload)
    return msgspec.structs.replace(whole, **changes)


def sealed(what: Inside | None = None, **changes: Any) -> bytes:
    given: dict[str, Any] = {
        "topic_key": None,
        "expiry_s": EXPIRY_S,
        "urgent": False,
        "shard": 3,
        "entropy": RNG.randbytes,
    }
    return seal(REALM, what or inside(), **given | changes)


def by_hand(plain: bytes) -> bytes:
    """What a member could make that does not keep to the form."""
    nonce = RNG.randbytes(12)
    marks = slots(REALM.base, "health/heart", nonce, RNG.randbytes)
    header = module._HEADER.pack(1, REALM.hint(EXPIRY_S), 3, EXPIRY_S, nonce, *marks, 0)
    around = AROUND - 2
    size = next(size for size in BUCKETS if size >= len(plain) + around)
    key = module._content_key(ROOT, nonce)
    body = header + cipher(CHACHA_NAME, key).encrypt(
        bytes(12), plain.ljust(size - around, b"\0"), header
    )
    return body + REALM.mac(body)


# The outside


def test_the_outside_is_what_was_given():
    raw = sealed(urgent=True)
    envelope = parse(raw)
    assert (envelope.shard, envelope.expiry_s, envelope.urgent) == (3, EXPIRY_S, True)
    assert envelope.hint == REALM.hint(EXPIRY_S)
    assert len(envelope.id) == 16
    assert len(envelope.nonce) == 12
    assert len(envelope.slots) == SLOTS
    assert envelope.raw == raw
    assert len(envelope.header) == HEADER_BYTES
    assert envelope.header + envelope.sealed + raw[-16:] == raw
    assert not parse(sealed()).urgent


def test_members_verify_and_others_know_it_is_not_theirs():
    envelope = parse(sealed())
    verify(REALM, envelope)
    with pytest.raises(ForeignRealm):
        verify(OTHER, envelope)


def test_who_sees_the_hint_only_cannot_make_one():
    raw = bytearray(sealed())
    raw[-16:] = OTHER.mac(bytes(raw[:-16]))
    with pytest.raises(AuthError, match="member"):
        verify(REALM, parse(bytes(raw)))


def test_the_hint_changes_each_hour():
    hour = EXPIRY_S // 3600 * 3600
    assert REALM.hint(hour) == REALM.hint(hour + 3590)
    assert [REALM.hint(hour + n) for n in (3600, 0, 3600)] == [
        Realm(b"r" * 32).hint(hour + n) for n in (3600, 0, 3600)
    ]
    assert len({REALM.hint(hour + 3600 * n) for n in range(100)}) == 100
    assert REALM.hint(hour) != OTHER.hint(hour)


@pytest.mark.parametrize("size", BUCKETS[:2])
def test_any_changed_byte_is_noticed(size):
    raw = sealed(inside(bytes(size - 300)))
    assert len(raw) == size
    for at in range(size):
        changed = bytearray(raw)
        changed[at] ^= RNG.randrange(1, 256)
        with pytest.raises(ProtocolError):
            verify(REALM, parse(bytes(changed)))


def test_the_id_is_of_every_byte():
    raw = sealed()
    ids = {parse(raw).id}
    for at in (5, 10, 30, 117, 118, 200, len(raw) - 1):
        changed = bytearray(raw)
        changed[at] ^= 1
        ids.add(parse(bytes(changed)).id)
    assert len(ids) == 8


@pytest.mark.parametrize("length", [0, 1, 511, 513, 2048, 16385, 1 << 20])
def test_another_size_is_refused(length):
    with pytest.raises(ProtocolError, match="sizes"):
        parse(bytes(length))


@pytest.mark.parametrize(("at", "value"), [(0, 0), (0, 2), (9, 1), (118, 2), (118, 255)])
def test_fields_that_there_are_not_are_refused(at, value):
    raw = bytearray(sealed())
    raw[at] = raw[at] + value if at == 9 else value
    with pytest.raises(ProtocolError):
        parse(bytes(raw))


def test_expiry_is_on_the_grid_and_not_too_far():
    assert expiry(1_760_000_000, 300) == 1_760_000_300
    assert expiry(1_760_000_001, 300) == 1_760_000_300
    assert expiry(1_760_000_009.9) == 1_760_000_300
    assert expiry(1_760_000_001, 20) == 1_760_000_030
    assert expiry(1_760_000_001, 10_000) == 1_760_000_300
    assert expiry(1_760_000_000, 1) == 1_760_000_010


def test_realms():
    assert realm_key(None) == realm_key(None)
    assert len({realm_key(None), realm_key(Secret(b"a" * 32)), realm_key(Secret(b"b" * 32))}) == 3
    assert len(realm_key(Secret(b"a" * 32))) == 32
    keys = {REALM.base, REALM._hint_key, REALM._mac_key, OTHER.base, OTHER._mac_key}
    assert len(keys) == 5
    assert "rrr" not in repr(vars(module)) and repr(REALM.base) == "Secret(32 bytes)"
    with pytest.raises(UsageError, match="32 bytes"):
        Realm(b"short")


# The inside


@pytest.mark.parametrize("topic_key", [None, TOPIC_KEY])
def test_what_was_sealed_is_opened(topic_key):
    envelope = parse(sealed(inside(intent="Health // Heart#b#A"), topic_key=topic_key))
    verify(REALM, envelope)
    root = feature_key(topic_key or REALM.base, "health")
    assert unseal(root, envelope) == inside(intent="health/heart#a#b")


def test_what_is_for_everyone_is_opened_by_every_member():
    envelope = parse(sealed(inside(intent=EVERYONE)))
    assert unseal(feature_key(REALM.base, EVERYONE), envelope).intent == EVERYONE


@pytest.mark.parametrize(
    "root",
    [
        feature_key(REALM.base, "health/heart"),
        feature_key(REALM.base, EVERYONE),
        feature_key(OTHER.base, "health"),
        feature_key(TOPIC_KEY, "health"),
    ],
)
def test_another_key_opens_nothing(root):
    with pytest.raises(AuthError):
        unseal(root, parse(sealed()))


def test_a_member_cannot_move_a_seal_into_another_envelope():
    """Whoever can compute the realm's mac can change the header; it no longer opens then."""
    for at in (5, 9, 22, 118):
        raw = bytearray(sealed())
        raw[at] = raw[at] + 10 if at == 9 else raw[at] ^ 1
        if at == 9:
            raw[1:5] = REALM.hint(int.from_bytes(raw[6:10], "big"))
        raw[-16:] = REALM.mac(bytes(raw[:-16]))
        envelope = parse(bytes(raw))
        verify(REALM, envelope)
        with pytest.raises(AuthError):
            unseal(ROOT, envelope)


def test_within_a_bucket_the_length_does_not_show():
    assert {len(sealed(inside(bytes(n)))) for n in range(0, 300, 7)} == {512}
    assert {len(sealed(inside(bytes(n)))) for n in range(340, 800, 11)} == {1024}
    assert {len(sealed(inside(bytes(n)))) for n in range(900, 3800, 97)} == {4096}
    assert {len(sealed(inside(bytes(n)))) for n in range(4000, PAYLOAD_MAX, 997)} == {16384}
    assert len(sealed(inside(b""), signer=ALICE)) == 512  # nor does a signature


def test_each_size_is_used_to_the_last_byte():
    empty = len(module._encode(inside(b"")))
    for size in BUCKETS[:3]:
        fits = size - AROUND - empty
        fits -= len(module._encode(inside(bytes(fits)))) - empty - fits  # msgpack's longer header
        assert len(sealed(inside(bytes(fits)))) == size
        assert len(sealed(inside(bytes(fits + 1)))) > size
        assert unseal(ROOT, parse(sealed(inside(bytes(fits))))).payload == bytes(fits)


def test_the_longest_of_everything_fits():
    assert len(LONGEST.encode()) == 256
    whole = inside(bytes(PAYLOAD_MAX), intent=LONGEST, kind=2**16 - 1)
    envelope = parse(sealed(whole, signer=ALICE))
    opened = unseal(feature_key(REALM.base, "0123456789abcdef"), envelope)
    assert opened.payload == whole.payload
    assert author(envelope, opened, WALL_MS) == ALICE.id


def test_nothing_of_the_inside_shows():
    marker = b"SECRETPAYLOAD"
    for _ in range(50):
        raw = sealed(inside(marker * 8), signer=ALICE)
        assert marker not in raw
        assert b"health" not in raw
        assert ALICE.proof.static_key not in raw
        assert bytes(ALICE.id)[:8] not in raw


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"payload": bytes(PAYLOAD_MAX + 1)}, "reference"),
        ({"kind": 2**16}, "sent"),
        ({"kind": -1}, "sent"),
        ({"strength": 1.01}, "sent"),
        ({"strength": float("nan")}, "sent"),
        ({"priority": 11}, "sent"),
        ({"intent": "#tag"}, "intent"),
        ({"intent": "a" * 257}, "intent"),
    ],
)
def test_what_would_be_refused_is_not_sent(changes, match):
    with pytest.raises(UsageError, match=match):
        sealed(inside(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"expiry_s": 11},
        {"expiry_s": -10},
        {"expiry_s": 2**33 // 10 * 10},
        {"shard": 256},
        {"topic_key": b"short"},
    ],
)
def test_envelopes_that_there_are_not_cannot_be_made(changes):
    with pytest.raises(UsageError):
        sealed(**changes)


def test_a_private_topic_is_not_for_everyone():
    with pytest.raises(UsageError, match="private topic"):
        sealed(inside(intent=EVERYONE), topic_key=TOPIC_KEY)


def packed(*fields: Any) -> bytes:
    content = msgspec.msgpack.encode(fields)
    return len(content).to_bytes(2, "big") + content


GOOD = (7, 0.75, 5, "health/heart", b"72 bpm", b"", b"")


def test_by_hand_the_right_form_opens():
    assert unseal(ROOT, parse(by_hand(packed(*GOOD)))) == inside()


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"\xff\xff",
        b"\x00\x01\xc1",
        packed(*GOOD)[:-1] + b"\xc1",
        packed(*GOOD) + b"\x01",
        packed(*GOOD, b"more"),
        packed(*GOOD[:5]),
        packed(7, 1, *GOOD[2:]),  # a strength that is an integer
        packed(2**16, *GOOD[1:]),
        packed(7, float("nan"), *GOOD[2:]),
        packed(7, 1.5, *GOOD[2:]),
        packed(7, 0.5, 11, *GOOD[3:]),
        packed(*GOOD[:3], "Health/Heart", *GOOD[4:]),
        packed(*GOOD[:3], "#tag", *GOOD[4:]),
        packed(*GOOD[:3], "a\nb", *GOOD[4:]),
        packed(*GOOD[:5], bytes(241), b""),
        packed(*GOOD[:5], b"", bytes(65)),
        packed(*GOOD)[:6] + b"\xff" * 30,
        b"\x00\x03\x91\xa1\xff",  # text that is not UTF-8
    ],
)
def test_another_form_is_refused(plain):
    envelope = parse(by_hand(plain))
    verify(REALM, envelope)
    with pytest.raises(ProtocolError, match="inside"):
        unseal(ROOT, envelope)


# Who says so


def test_a_signed_message_names_its_author():
    envelope = parse(sealed(signer=ALICE))
    assert author(envelope, unseal(ROOT, envelope), WALL_MS) == ALICE.id
    plain = parse(sealed())
    assert author(plain, unseal(ROOT, plain), WALL_MS) is None


def test_what_the_caller_left_in_the_fields_of_the_signature_is_not_sent():
    envelope = parse(sealed(inside(proof=bytes(240), signature=bytes(64))))
    assert unseal(ROOT, envelope) == inside()


def test_a_signature_is_of_one_message():
    """Who reads a signed message can neither change it nor put it into an envelope of its own."""
    envelope = parse(sealed(signer=ALICE))
    said = unseal(ROOT, envelope)
    changes = [{"kind": 8}, {"strength": 1.0}, {"priority": 10}, {"intent": "a"}, {"payload": b"x"}]
    for change in changes:
        with pytest.raises(AuthError):
            author(envelope, msgspec.structs.replace(said, **change), WALL_MS)
    with pytest.raises(AuthError):
        author(parse(sealed()), said, WALL_MS)


@pytest.mark.parametrize(
    "change",
    [
        {"proof": b""},
        {"signature": b""},
        {"signature": bytes(63)},
        {"signature": bytes(64)},
        {"proof": bytes(239)},
        {"proof": bytes(240)},
        {"proof": Ephemeral.generate(Random(9).randbytes, WALL_MS).proof.encode()},
    ],
)
def test_a_forged_author_is_refused(change):
    envelope = parse(sealed(signer=ALICE))
    said = msgspec.structs.replace(unseal(ROOT, envelope), **change)
    with pytest.raises(AuthError):
        author(envelope, said, WALL_MS)


def test_an_author_whose_identity_is_over_is_refused():
    envelope = parse(sealed(signer=ALICE))
    with pytest.raises(AuthError, match="time"):
        author(envelope, unseal(ROOT, envelope), ALICE.ends_ms() + 601_000)
