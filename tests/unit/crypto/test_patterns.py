"""Names and modifiers: the tables of the two specifications."""

from __future__ import annotations

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.patterns import PATTERNS, parse


def messages(handshake, exchange="25519"):
    found = parse(f"Noise_{handshake}_{exchange}_ChaChaPoly_SHA256")
    return " / ".join(" ".join(message) for message in found.messages)


@pytest.mark.parametrize(
    ("handshake", "expected"),
    [
        # the tables of noise_hfs revision 1, section 5
        ("NNhfs", "e e1 / e ee ekem1"),
        ("NKhfs", "e es e1 / e ee ekem1"),
        ("NXhfs", "e e1 / e ee ekem1 s es"),
        ("XNhfs", "e e1 / e ee ekem1 / s se"),
        ("XKhfs", "e es e1 / e ee ekem1 / s se"),
        ("XXhfs", "e e1 / e ee ekem1 s es / s se"),
        ("KNhfs", "e e1 / e ee ekem1 se"),
        ("KXhfs", "e e1 / e ee ekem1 se s es"),
        ("IKhfs", "e es e1 s ss / e ee ekem1 se"),
        ("IXhfs", "e e1 s / e ee ekem1 se s es"),
        # by the text where the table differs from it
        ("KKhfs", "e es e1 ss / e ee ekem1 se"),
        ("INhfs", "e e1 s / e ee ekem1 se"),
        # ours
        ("XKhfs+psk3", "e es e1 / e ee ekem1 / s se psk3"),
        ("XKpsk3+hfs", "e es e1 / e ee ekem1 / s se psk3"),
        ("XXhfs+psk3", "e e1 / e ee ekem1 s es / s se psk3"),
        ("NNhfs+psk0", "psk0 e e1 / e ee ekem1"),
    ],
)
def test_hfs(handshake, expected):
    assert messages(handshake, "25519+MLKEM768") == expected


@pytest.mark.parametrize(
    ("handshake", "expected"),
    [
        ("NNpsk0", "psk0 e / e ee"),
        ("NNpsk2", "e / e ee psk2"),
        ("Xpsk1", "e es s ss psk1"),
        ("XXpsk0+psk3", "psk0 e / e ee s es / s se psk3"),
    ],
)
def test_psk(handshake, expected):
    assert messages(handshake) == expected


def test_parts_of_a_suite():
    suite = parse("Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256")
    assert (suite.dh, suite.kem, suite.cipher, suite.hash) == (
        "25519", "MLKEM768", "ChaChaPoly", "SHA256",
    )  # fmt: skip
    assert (suite.initiator_static_known, suite.responder_static_known) == (False, True)
    assert suite.psks == (3,)
    kk = parse("Noise_KK_448_AESGCM_BLAKE2b")
    assert (kk.initiator_static_known, kk.responder_static_known) == (True, True)


def test_every_pattern_exchanges_what_it_can():
    """Every key that is sent is used, and nothing is mixed twice."""
    for name, pattern in PATTERNS.items():
        tokens = pattern.replace("...", " ").replace("/", " ").split()
        exchanges = [token for token in tokens if len(token) == 2 and token.isalpha()]
        assert len(exchanges) == len(set(exchanges)), name
        if len(name) > 1:
            assert "ee" in exchanges, name
            assert tokens.count("s") == exchanges.count("es") + exchanges.count("se"), name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Noise",
        "Noise_XX_25519_ChaChaPoly",
        "Noise_XX_25519_ChaChaPoly_SHA256_more",
        "noise_XX_25519_ChaChaPoly_SHA256",
        "Noise_ZZ_25519_ChaChaPoly_SHA256",
        "Noise_XXXX_25519_ChaChaPoly_SHA256",
        "Noise_XX_P256_ChaChaPoly_SHA256",
        "Noise_XX_25519_None_SHA256",
        "Noise_XX_25519_ChaChaPoly_MD5",
        "Noise_XXhfs_25519_ChaChaPoly_SHA256",
        "Noise_XX_25519+MLKEM768_ChaChaPoly_SHA256",
        "Noise_XXhfs_25519+MLKEM999_ChaChaPoly_SHA256",
        "Noise_XX_25519+_ChaChaPoly_SHA256",
        "Noise_XX_25519+none_ChaChaPoly_SHA256",
        "Noise_XXhfs_25519+_ChaChaPoly_SHA256",
        "Noise_XXpsk9_25519_ChaChaPoly_SHA256",
        "Noise_XXpsk_25519_ChaChaPoly_SHA256",
        "Noise_XXfallback_25519_ChaChaPoly_SHA256",
        "Noise_XXpsk3+psk3_25519_ChaChaPoly_SHA256",
        "Noise_XX+psk3_25519_ChaChaPoly_SHA256",
        "Noise_Nhfs_25519+MLKEM768_ChaChaPoly_SHA256",
    ],
)
def test_unknown_names(name):
    with pytest.raises(UsageError, match="an example is Noise_XKhfs"):
        parse(name)
