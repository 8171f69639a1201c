"""Hashes and derivation: the RFCs' own examples; more in tests/vectors."""

from __future__ import annotations

import hashlib

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.hash import (
    HKDF_BYTES_MAX,
    blake2s,
    equal,
    hkdf,
    hkdf_expand,
    hmac_sha256,
    sha256,
)
from whispurrnet.crypto.keys import Secret


def test_sha256_joins_its_parts():
    assert sha256(b"a", b"bc") == hashlib.sha256(b"abc").digest()
    assert sha256() == hashlib.sha256().digest()
    assert sha256(b"abc").hex().startswith("ba7816bf8f01cfea")  # FIPS 180-4


def test_hmac_rfc_4231_case_2():
    tag = hmac_sha256(b"Jefe", b"what do ya want ", b"for nothing?")
    assert tag.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_hkdf_rfc_5869_case_1_and_3():
    okm = hkdf(b"\x0b" * 22, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)), n=42)
    assert okm.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    assert hkdf(b"\x0b" * 22, n=42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


def test_hkdf_gives_secrets_that_differ_by_info_and_salt():
    assert isinstance(hkdf(b"x"), Secret)
    assert len({hkdf(b"x"), hkdf(b"x", info=b"a"), hkdf(b"x", salt=b"a"), hkdf(b"y")}) == 4
    assert hkdf(b"x", n=64)[:32] == hkdf(b"x", n=32)


@pytest.mark.parametrize("n", [0, -1, HKDF_BYTES_MAX + 1])
def test_hkdf_bounds(n):
    with pytest.raises(UsageError, match="8160"):
        hkdf_expand(bytes(32), b"", n)


def test_blake2s():
    assert blake2s(b"abc").hex().startswith("508c5e8c327c14e2")  # RFC 7693, appendix B
    assert len(blake2s(b"abc", n=16)) == 16
    assert blake2s(b"abc", key=b"k") != blake2s(b"abc")
    assert blake2s(b"abc", n=16) != blake2s(b"abc")[:16]


def test_equal():
    assert equal(b"same", b"same")
    assert not equal(b"same", b"sama")
    assert not equal(b"same", b"samee")
