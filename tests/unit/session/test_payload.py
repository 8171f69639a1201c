"""Byte by byte: what is in the three messages of the handshake."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.session.handshakes import ALICE, NO_BINDING, PSK, SECRET

from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.hash import blake2s
from whispurrnet.crypto.kex import Level, kem
from whispurrnet.session.payload import (
    CREDENTIALS_BYTES,
    M1_BYTES_MAX,
    M3_BYTES,
    OFFER_BYTES,
    Credentials,
    Hello,
    Offer,
    best_common,
    network_tag,
    psk_hint,
    suite_mask,
)

U16 = st.integers(0, 2**16 - 1)
U8 = st.integers(0, 255)
U32 = st.integers(0, 2**32 - 1)


def test_hello() -> None:
    assert Hello(Level.L3, "XK").encode() == b"\x01\x03\x01\x00"
    assert Hello(Level.L5, "XX").encode() == b"\x01\x05\x02\x00"
    for level in Level:
        for pattern in ("XK", "XX"):
            hello = Hello(level, pattern)  # type: ignore[arg-type]
            assert Hello.decode(hello.encode()) == hello


def test_every_other_hello_is_refused() -> None:
    good = {Hello(level, p).encode() for level in Level for p in ("XK", "XX")}  # type: ignore[arg-type]
    rng = Random(1)
    tries = [
        bytes((v, s, p, f)) for v in range(4) for s in range(8) for p in range(5) for f in (0, 1)
    ]
    tries += [rng.randbytes(4) for _ in range(1000)]
    for data in tries:
        if data not in good:
            with pytest.raises(ProtocolError):
                Hello.decode(data)


def test_lengths() -> None:
    assert Hello(Level.L3, "XK").m1_bytes == Hello(Level.L3, "XX").m1_bytes == 1316
    assert (Hello(Level.L3, "XK").m2_bytes, Hello(Level.L3, "XX").m2_bytes) == (1600, 1648)
    assert (M1_BYTES_MAX, M3_BYTES) == (1700, 512)


@pytest.mark.parametrize("level", [Level.L3, Level.L5])
def test_lengths_are_those_of_the_kem(level: Level) -> None:
    found = kem(level)
    hello = Hello(level, "XK")
    assert hello.m1_bytes == 4 + 32 + found.public_bytes + 16 + 32 + 16 + 32
    assert hello.m2_bytes == 32 + found.ciphertext_bytes + 16 + 448 + 16


def test_lengths_are_those_of_the_page() -> None:
    page = Path(__file__).parents[3] / "docs" / "protocol" / "handshake.md"
    text = page.read_text(encoding="utf-8")
    for level in Level:
        xk, xx = Hello(level, "XK"), Hello(level, "XX")
        assert f"| {xk.m1_bytes} | {xk.m2_bytes} | {xx.m2_bytes} | {M3_BYTES} |" in text


def test_prologue() -> None:
    hello = Hello(Level.L3, "XK")
    assert hello.prologue(network_tag(None)) == b"WN1\x01\x03\x01\x00" + bytes(16)
    assert network_tag(SECRET) == blake2s(b"WN1 net" + SECRET, n=16)
    assert hello.noise_name == "Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256"


@given(U16, U8, U32, st.binary(min_size=8, max_size=8))
def test_offer(suites: int, min_level: int, features: int, hint: bytes) -> None:
    offer = Offer(suites, min_level, features, hint)
    encoded = offer.encode(Random(0).randbytes)
    assert len(encoded) == OFFER_BYTES
    assert Offer.decode(encoded) == offer


@given(U16, U8, U32, U32, st.binary(min_size=33, max_size=33))
def test_credentials(suites: int, min_level: int, features: int, clock: int, tls: bytes) -> None:
    credentials = Credentials(suites, min_level, features, clock, tls, ALICE.proof)
    encoded = credentials.encode()
    assert len(encoded) == CREDENTIALS_BYTES
    assert Credentials.decode(encoded) == credentials


@given(st.binary(max_size=500))
def test_garbage(data: bytes) -> None:
    for decode in (Offer.decode, Credentials.decode):
        if len(data) not in (OFFER_BYTES, CREDENTIALS_BYTES):
            with pytest.raises(ProtocolError):
                decode(data)


@pytest.mark.parametrize("offset", [284, 300, 447])
def test_padding_is_zeros(offset: int) -> None:
    encoded = bytearray(Credentials(8, 1, 0, 0, NO_BINDING, ALICE.proof).encode())
    encoded[offset] = 1
    with pytest.raises(ProtocolError):
        Credentials.decode(bytes(encoded))


def test_levels() -> None:
    assert suite_mask(Level.L3, Level.L3) == 0b001000
    assert suite_mask(Level.L3, Level.L5) == 0b101000
    assert suite_mask(Level.L5, Level.L3) == 0
    assert best_common(0b101000, 0b001010) == Level.L3
    assert best_common(0b101000, 0b000010) == 0
    assert best_common(0b101000, 0xFFFF & 0b101010) == Level.L5


def test_hint_says_nothing_without_the_key() -> None:
    assert psk_hint(PSK, b"e" * 32) == blake2s(b"e" * 32, key=PSK, n=8)
    assert psk_hint(PSK, b"e" * 32) != psk_hint(PSK, b"f" * 32)
