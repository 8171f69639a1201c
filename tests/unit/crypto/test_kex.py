"""Key exchange: agreement, and everything that is refused."""

from __future__ import annotations

import importlib
import os

import pytest

from whispurrnet.base.errors import AuthError, LevelUnavailable, UsageError
from whispurrnet.crypto import kex
from whispurrnet.crypto.kex import Level, X448Key, X25519Key, kem
from whispurrnet.crypto.keys import Secret

P = 2**255 - 19
LOW_ORDER = [
    y.to_bytes(32, "little")
    for y in (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        P - 1,
        P,
        P + 1,
    )
]
"""Every point of low order (cr.yp.to/ecdh.html), canonical or not."""

LEVELS = [Level.L1, Level.L3, Level.L5]
SIZES = {Level.L1: (800, 768), Level.L3: (1184, 1088), Level.L5: (1568, 1568)}


def kem_of(level):
    try:
        return kem(level)
    except LevelUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("key", [X25519Key, X448Key])
def test_both_sides_agree(key):
    ours, theirs = key.generate(os.urandom), key.generate(os.urandom)
    assert ours.exchange(theirs.public) == theirs.exchange(ours.public)
    assert isinstance(ours.exchange(theirs.public), Secret)
    assert len(ours.public) == key.public_bytes
    assert ours.exchange(theirs.public) != ours.exchange(ours.public)


@pytest.mark.parametrize("low", LOW_ORDER)
@pytest.mark.parametrize("high_bit", [0, 0x80])
def test_low_order_points_are_refused(low, high_bit):
    point = low[:31] + bytes((low[31] | high_bit,))
    with pytest.raises(AuthError):
        X25519Key.generate(os.urandom).exchange(point)


def test_low_order_points_are_refused_by_x448():
    for point in (bytes(56), b"\1" + bytes(55)):
        with pytest.raises(AuthError):
            X448Key.generate(os.urandom).exchange(point)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_wrong_sizes(size):
    with pytest.raises(AuthError):
        X25519Key.generate(os.urandom).exchange(b"x" * size)
    with pytest.raises(AuthError):
        X448Key.generate(os.urandom).exchange(b"x" * size)
    with pytest.raises(UsageError):
        X25519Key.from_bytes(b"x" * size)
    with pytest.raises(UsageError):
        X448Key.from_bytes(b"x" * size)


@pytest.mark.parametrize("level", LEVELS)
def test_kem_agrees(level):
    tested = kem_of(level)
    key = tested.generate(os.urandom)
    ciphertext, secret = tested.encapsulate(key.public)
    assert tested.level is level
    assert kex.KEM_LEVELS[tested.name] is level
    assert (tested.public_bytes, tested.ciphertext_bytes) == SIZES[level]
    assert (len(key.public), len(ciphertext)) == SIZES[level]
    assert len(secret) == 32 and isinstance(secret, Secret)
    assert key.decapsulate(ciphertext) == secret
    assert tested.encapsulate(key.public)[1] != secret
    assert tested.generate(os.urandom).decapsulate(ciphertext) != secret


@pytest.mark.parametrize("level", [Level.L3, Level.L5])
def test_kem_keys_come_from_the_entropy_given(level):
    assert kem(level).generate(bytes).public == kem(level).generate(bytes).public
    assert kem(level).generate(os.urandom).public != kem(level).generate(bytes).public


@pytest.mark.parametrize("level", LEVELS)
def test_implicit_rejection(level):
    """A changed ciphertext gives an unrelated secret, always the same one, and no error."""
    tested = kem_of(level)
    key = tested.generate(os.urandom)
    ciphertext, secret = tested.encapsulate(key.public)
    changed = bytearray(ciphertext)
    changed[7] ^= 1
    other = key.decapsulate(bytes(changed))
    assert other != secret
    assert other == key.decapsulate(bytes(changed))


@pytest.mark.parametrize("level", LEVELS)
def test_ciphertext_of_the_wrong_length(level):
    tested = kem_of(level)
    key = tested.generate(os.urandom)
    ciphertext, _ = tested.encapsulate(key.public)
    for wrong in (b"", ciphertext[:-1], ciphertext + b"\0"):
        with pytest.raises(AuthError, match="ciphertext"):
            key.decapsulate(wrong)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("coefficient", [3329, 3330, 4095])
@pytest.mark.parametrize("place", [0, 1, 300, 511])
def test_modulus_overflow_is_refused(level, coefficient, place):
    """FIPS 203, section 7.2: "If there is any coefficient that is not reduced, reject"."""
    tested = kem_of(level)
    public = bytearray(tested.generate(os.urandom).public)
    at = place // 2 * 3
    pair = int.from_bytes(public[at : at + 3], "little")
    shift = 12 * (place % 2)
    pair = pair & ~(0xFFF << shift) | coefficient << shift
    public[at : at + 3] = pair.to_bytes(3, "little")
    with pytest.raises(AuthError, match="ML-KEM key"):
        tested.encapsulate(bytes(public))


@pytest.mark.parametrize("level", LEVELS)
def test_kem_key_of_the_wrong_length(level):
    tested = kem_of(level)
    public = tested.generate(os.urandom).public
    for wrong in (b"", public[:-1], public + b"\0"):
        with pytest.raises(AuthError, match="ML-KEM key"):
            tested.encapsulate(wrong)


def test_level_1_without_the_extra_is_refused_and_is_no_other_level(monkeypatch):
    def absent(name):
        raise ImportError(name)

    kem.cache_clear()
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(LevelUnavailable, match=r"pip install 'whispurrnet\[l1\]'"):
        kem(Level.L1)
    assert kem(Level.L3).name == "MLKEM768"
    monkeypatch.undo()
    kem.cache_clear()
