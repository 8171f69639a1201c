"""Project Wycheproof: the edge cases that broke other people's implementations."""

from __future__ import annotations

from collections import Counter

import pytest
from kyber_py.ml_kem import ML_KEM_512

from whispurrnet.base.errors import AuthError, LevelUnavailable, UsageError
from whispurrnet.crypto import kex
from whispurrnet.crypto.aead import InvalidTag, cipher, xopen, xseal
from whispurrnet.crypto.hash import equal, hkdf, hmac_sha256
from whispurrnet.crypto.kex import Level, X25519Key, kem
from whispurrnet.crypto.sign import mldsa_verify, verify


def cases(file):
    """Every test of a file, its fields as bytes where they are hexadecimal."""
    texts = {"comment", "result"}
    for group in file["testGroups"]:
        for test in group["tests"]:
            yield (
                group,
                {
                    field: bytes.fromhex(value)
                    if isinstance(value, str) and field not in texts
                    else value
                    for field, value in test.items()
                },
            )


def accepted(call, *args) -> bool:
    try:
        call(*args)
    except AuthError:
        return False
    return True


def kem_of(level):
    try:
        return kem(level)
    except LevelUnavailable as error:
        pytest.skip(str(error))


def key_from_seed(level, seed):
    """ML-KEM-512 takes no seed in the extra, so the oracle expands it there."""
    if level is Level.L1:
        public, private = ML_KEM_512.key_derive(seed)
        return kex._ExtraKey(kem(level)._library, public, private)
    return kem(level).generate(lambda _: seed)


def test_x25519(published):
    results = Counter()
    for _, test in cases(published("wycheproof/x25519_test.json")):
        key = X25519Key.from_bytes(test["private"])
        if "ZeroSharedSecret" in test["flags"]:
            assert not accepted(key.exchange, test["public"])
            results["zero"] += 1
        else:
            assert key.exchange(test["public"]) == test["shared"]
            results["shared"] += 1
    assert results == {"zero": 31, "shared": 487}


def test_ed25519(published):
    results = Counter()
    for group, test in cases(published("wycheproof/ed25519_test.json")):
        public = bytes.fromhex(group["publicKey"]["pk"])
        assert accepted(verify, public, test["msg"], test["sig"]) == (test["result"] == "valid")
        results[test["result"]] += 1
    assert results == {"valid": 88, "invalid": 63}


def test_mldsa_65_verify(published):
    results = Counter()
    for group, test in cases(published("wycheproof/mldsa_65_verify_test.json")):
        public, context = bytes.fromhex(group["publicKey"]), test.get("ctx", b"")
        good = accepted(mldsa_verify, public, test["msg"], test["sig"], context)
        assert good == (test["result"] == "valid"), test["tcId"]
        results[test["result"]] += 1
    assert results == {"valid": 79, "invalid": 131}


@pytest.mark.parametrize(("file", "level"), [("768", Level.L3), ("1024", Level.L5)])
def test_mlkem_keygen(published, file, level):
    number = 0
    for _, test in cases(published(f"wycheproof/mlkem_{file}_keygen_seed_test.json")):
        assert key_from_seed(level, test["seed"]).public == test["ek"]
        number += 1
    assert number == 100


@pytest.mark.parametrize(
    ("file", "level", "valid", "invalid"),
    [("512", Level.L1, 133, 128), ("768", Level.L3, 133, 132), ("1024", Level.L5, 133, 136)],
)
def test_mlkem_encaps(published, file, level, valid, invalid):
    """Keys that are not reduced, or too long or short, are refused before a secret is made."""
    tested, results = kem_of(level), Counter()
    for _, test in cases(published(f"wycheproof/mlkem_{file}_encaps_test.json")):
        assert accepted(tested.encapsulate, test["ek"]) == (test["result"] == "valid")
        results[test["result"]] += 1
    assert results == {"valid": valid, "invalid": invalid}


@pytest.mark.parametrize(
    ("file", "level"), [("512", Level.L1), ("768", Level.L3), ("1024", Level.L5)]
)
def test_mlkem_decaps(published, file, level):
    kem_of(level)
    results = Counter()
    for _, test in cases(published(f"wycheproof/mlkem_{file}_test.json")):
        if test["result"] == "valid":
            key = key_from_seed(level, test["seed"])
            assert key.public == test["ek"]
            assert key.decapsulate(test["c"]) == test["K"]
        else:
            with pytest.raises((AuthError, ValueError)):
                key_from_seed(level, test["seed"]).decapsulate(test["c"])
        results[test["result"]] += 1
    assert results == {"valid": 153, "invalid": 40}


def test_chacha20_poly1305(published):
    results = Counter()
    for _, test in cases(published("wycheproof/chacha20_poly1305_test.json")):
        suite, sealed = cipher("ChaChaPoly", test["key"]), test["ct"] + test["tag"]
        if test["result"] == "valid":
            assert suite.encrypt(test["iv"], test["msg"], test["aad"]) == sealed
            assert suite.decrypt(test["iv"], sealed, test["aad"]) == test["msg"]
        else:
            with pytest.raises((InvalidTag, ValueError)):
                suite.decrypt(test["iv"], sealed, test["aad"])
        results[test["result"]] += 1
    assert results == {"valid": 256, "invalid": 69}


def test_xchacha20_poly1305(published):
    results = Counter()
    for _, test in cases(published("wycheproof/xchacha20_poly1305_test.json")):
        sealed = test["ct"] + test["tag"]
        if test["result"] == "valid":
            assert xseal(test["key"], test["iv"], test["msg"], test["aad"]) == sealed
            assert xopen(test["key"], test["iv"], sealed, test["aad"]) == test["msg"]
        else:
            with pytest.raises(AuthError):
                xopen(test["key"], test["iv"], sealed, test["aad"])
        results[test["result"]] += 1
    assert results == {"valid": 246, "invalid": 69}


def test_hkdf_sha256(published):
    results = Counter()
    for _, test in cases(published("wycheproof/hkdf_sha256_test.json")):
        inputs = {"salt": test["salt"], "info": test["info"], "n": test["size"]}
        if test["result"] == "valid":
            assert hkdf(test["ikm"], **inputs) == test["okm"]
        else:
            with pytest.raises(UsageError):
                hkdf(test["ikm"], **inputs)
        results[test["result"]] += 1
    assert results == {"valid": 83, "invalid": 3}


def test_hmac_sha256(published):
    results = Counter()
    for group, test in cases(published("wycheproof/hmac_sha256_test.json")):
        tag = hmac_sha256(test["key"], test["msg"])[: group["tagSize"] // 8]
        assert equal(tag, test["tag"]) == (test["result"] == "valid")
        results[test["result"]] += 1
    assert results == {"valid": 66, "invalid": 108}
