"""Signatures, and what must not pass for one."""

from __future__ import annotations

import os

import pytest
from nacl import bindings

from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.crypto import sign
from whispurrnet.crypto.sign import MlDsaKey, SigningKey, mldsa_verify, verify

L = 2**252 + 27742317777372353535851937790883648493


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def test_rfc_8032_test_2():
    key = SigningKey.from_bytes(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72").hex().startswith("92a009a9f0d4cab8720e820b5f642540")
    verify(key.public, b"\x72", key.sign(b"\x72"))


def test_what_is_changed_is_refused():
    key, message = SigningKey.generate(os.urandom), b"the message"
    signature = key.sign(message)
    verify(key.public, message, signature)
    wrong = [
        (SigningKey.generate(os.urandom).public, message, signature),
        (key.public, message + b"!", signature),
        (key.public, message, signature[:-1]),
        (key.public, message, signature + b"\0"),
        (key.public, message, b""),
        (key.public[:-1], message, signature),
        (b"", message, signature),
        *((key.public, message, flipped(signature, at)) for at in range(64)),
    ]
    for arguments in wrong:
        with pytest.raises(AuthError):
            verify(*arguments)


def test_a_second_form_of_the_same_signature_is_refused():
    key = SigningKey.generate(os.urandom)
    signature = key.sign(b"m")
    s = int.from_bytes(signature[32:], "little") + L
    with pytest.raises(AuthError):
        verify(key.public, b"m", signature[:32] + s.to_bytes(32, "little"))


def test_keys_of_low_order_are_refused():
    """Under the neutral element R = 0, S = 0 would fit every message."""
    assert len(sign._LOW_ORDER) == 14
    for public in sign._LOW_ORDER:
        assert not bindings.crypto_core_ed25519_is_valid_point(public)
        with pytest.raises(AuthError):
            verify(public, b"anything", (1).to_bytes(32, "little") + bytes(32))


def test_wrong_seeds():
    for size in (0, 31, 33):
        with pytest.raises(UsageError):
            SigningKey.from_bytes(b"x" * size)
        with pytest.raises(UsageError):
            MlDsaKey.from_seed(b"x" * size)


def test_mldsa():
    key, message = MlDsaKey.from_seed(bytes(32)), b"the message"
    signature = key.sign(message)
    assert (len(key.public), len(signature)) == (1952, 3309)
    assert key.public == MlDsaKey.from_seed(bytes(32)).public
    mldsa_verify(key.public, message, signature)
    mldsa_verify(key.public, message, key.sign(message, b"context"), b"context")
    other = MlDsaKey.from_seed(b"\1" * 32).public
    wrong = [
        (other, message, signature),
        (key.public, message + b"!", signature),
        (key.public, message, signature[:-1]),
        (key.public, message, b""),
        (key.public[:-1], message, signature),
        (key.public, message, signature, b"context"),
        *((key.public, message, flipped(signature, at)) for at in range(0, 3309, 300)),
    ]
    for arguments in wrong:
        with pytest.raises(AuthError):
            mldsa_verify(*arguments)
