"""An identity is bound to its keys and its time, or refused."""

from __future__ import annotations

import hashlib
import os

import msgspec
import pytest

from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.crypto.kex import X25519Key
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.identity.ephemeral import (
    PROOF_BYTES,
    Ephemeral,
    Proof,
    seed_id,
    timestamp_of,
    validate_seed_id,
    verify_successor,
)

NOW = 1_800_000_000_500
DAY_MS = 86_400_000


def made(now=NOW, **more) -> Ephemeral:
    return Ephemeral.generate(os.urandom, now, **more)


def resigned(identity: Ephemeral, **changes) -> Proof:
    """A proof its owner signed, with other fields."""
    proof = msgspec.structs.replace(identity.proof, **changes)
    signature = identity.signing.sign(b"WN1 proof" + proof.encode()[:176])
    return msgspec.structs.replace(proof, signature=signature)


def test_the_id_is_the_hash_of_everything_it_is_made_from():
    identity = made()
    proof = identity.proof
    expected = hashlib.sha256(
        b"WN1 node"
        + identity.static.public
        + identity.signing.public
        + proof.entropy
        + NOW.to_bytes(8, "big")
        + proof.salt
    ).digest()
    assert identity.id == proof.id == expected
    proof.verify(NOW)


def test_ids_are_never_the_same():
    assert len({made().id for _ in range(20)}) == 20


def test_any_field_changes_the_id():
    identity, other = made(), made()
    for field in ("static_key", "signing_key", "entropy", "salt"):
        changed = msgspec.structs.replace(identity.proof, **{field: getattr(other.proof, field)})
        assert changed.id != identity.id
    assert msgspec.structs.replace(identity.proof, timestamp_ms=NOW + 1).id != identity.id


def test_encoding():
    proof = made().proof
    assert len(proof.encode()) == PROOF_BYTES == 240
    assert Proof.decode(proof.encode()) == proof


@pytest.mark.parametrize("size", [0, 208, 239, 241])
def test_decoding_refuses_other_sizes(size):
    with pytest.raises(AuthError):
        Proof.decode(bytes(size))


def test_every_flipped_byte_is_refused():
    encoded = made().proof.encode()
    for at in range(PROOF_BYTES):
        for bit in (1, 0x80):
            changed = encoded[:at] + bytes((encoded[at] ^ bit,)) + encoded[at + 1 :]
            with pytest.raises(AuthError):
                Proof.decode(changed).verify(NOW)


def test_times():
    proof = made(lifetime_s=3600, overlap_s=600).proof
    start, end = NOW // 1000 * 1000, NOW // 1000 * 1000 + 4200_000
    for good in (start, end, start - 600_000, end + 600_000):
        proof.verify(good)
    for bad in (start - 600_001, end + 600_001, 0, NOW + 30 * DAY_MS):
        with pytest.raises(AuthError, match="clocks"):
            proof.verify(bad)
    with pytest.raises(AuthError, match="clocks"):
        proof.verify(end + 1, skew_s=0)


def test_a_life_longer_than_allowed_is_refused():
    identity = made(lifetime_s=7 * 86400)
    identity.proof.verify(NOW)
    with pytest.raises(AuthError, match="lifetime"):
        identity.proof.verify(NOW, life_s_max=86400)
    start = identity.proof.not_before_s
    for end in (start + 8 * 86400 + 1, start, start - 1):
        with pytest.raises(AuthError, match="lifetime"):
            resigned(identity, not_after_s=end).verify(NOW)
    resigned(identity, not_after_s=start + 8 * 86400).verify(NOW)


def test_a_proof_signed_by_another_is_refused():
    identity, other = made(), made()
    with pytest.raises(AuthError):
        msgspec.structs.replace(
            identity.proof, signature=resigned(other, salt=bytes(32)).signature
        ).verify(NOW)
    stolen = msgspec.structs.replace(identity.proof, static_key=other.static.public)
    with pytest.raises(AuthError):
        stolen.verify(NOW)


def test_fields_of_other_sizes_are_refused():
    """They would shift what the id is the hash of."""
    identity = made()
    for field in ("static_key", "signing_key", "entropy", "salt", "signature"):
        longer = msgspec.structs.replace(identity.proof, **{field: bytes(65)})
        with pytest.raises(AuthError, match="malformed"):
            longer.verify(NOW)
    packed = msgspec.msgpack.encode(msgspec.structs.replace(identity.proof, salt=bytes(31)))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(packed, type=Proof)


def test_lifetimes():
    identity = made(lifetime_s=100, overlap_s=10)
    assert identity.expires_ms() == NOW + 100_000
    assert identity.ends_ms() == NOW // 1000 * 1000 + 110_000
    for wrong in ({"lifetime_s": 0}, {"overlap_s": -1}, {"lifetime_s": 8 * 86400}):
        with pytest.raises(UsageError, match="shorter"):
            made(**wrong)
    made(lifetime_s=8 * 86400 - 600)


def test_a_successor_is_named_by_the_old_one_only():
    old, new, other = made(), made(NOW + 1), made()
    signature = old.sign_successor(new.proof)
    verify_successor(old.proof, new.proof, signature)
    for arguments in (
        (old.proof, other.proof, signature),
        (other.proof, new.proof, signature),
        (new.proof, old.proof, signature),
        (old.proof, new.proof, new.sign_successor(new.proof)),
        (old.proof, new.proof, new.proof.signature),
        (old.proof, new.proof, b""),
    ):
        with pytest.raises(AuthError):
            verify_successor(*arguments)


def test_keys_are_not_shown():
    identity = Ephemeral(
        X25519Key.from_bytes(b"s" * 32), SigningKey.from_bytes(b"e" * 32), made().proof, 3600
    )
    assert repr(identity) == "Ephemeral(...)"


def test_seed_ids():
    text = seed_id(b"\xab" * 32, NOW)
    assert text == "ab" * 32 + ":" + f"{NOW:016x}"
    assert validate_seed_id(text) and validate_seed_id(text.upper())
    assert timestamp_of(text) == NOW
    assert timestamp_of("00" * 32 + ":ff") == 255


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "ab" * 32, "ab" * 32 + ":", "ab" * 31 + ":00", "ab" * 33 + ":00",
        "zz" * 32 + ":00", "ab" * 32 + ":" + "0" * 17, "ab" * 32 + ":0x1", "ab" * 32 + ":00\n",
        "ab" * 32 + ":-1", "ab" * 32 + ":1:2", "ab" * 32 + ":\u0661",
    ],
)  # fmt: skip
def test_what_is_no_seed_id(text):
    assert not validate_seed_id(text)
    with pytest.raises(UsageError, match="<entropy_hex>:<timestamp_hex>"):
        timestamp_of(text)


def test_seed_ids_of_wrong_parts():
    for arguments in ((b"short", 0), (bytes(32), -1), (bytes(32), 2**64)):
        with pytest.raises(UsageError):
            seed_id(*arguments)
