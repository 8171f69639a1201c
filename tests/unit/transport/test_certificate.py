"""Certificates bound to an identity: what is read from them, and what must be refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from whispurrnet.base.errors import AuthError, HostError
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.transport import certificate
from whispurrnet.transport.certificate import load_certificate, make_certificate
from whispurrnet.transport.link import binding_of

NOW_S = 1_760_000_000.0
DAY_S = 86_400
ALICE = SigningKey.from_bytes(b"a" * 32)


def bound(**changes: object) -> bytes:
    """A certificate bound to Alice, with one thing wrong."""
    key = changes.get("key") or ec.generate_private_key(ec.SECP256R1())
    signer = changes.get("signer") or key
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    label = changes.get("label", certificate.LABEL)
    proof = b"\x30\x64\x04\x20" + ALICE.public + b"\x04\x40" + ALICE.sign(label + spki)
    proof = changes.get("proof", proof)
    now = dt.datetime.fromtimestamp(NOW_S, dt.UTC)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(changes.get("issuer", x509.Name([])))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now + dt.timedelta(seconds=changes.get("start", -60)))
        .not_valid_after(now + dt.timedelta(seconds=changes.get("end", 60)))
    )
    if proof is not None:
        value = x509.UnrecognizedExtension(certificate.BINDING_OID, proof)
        builder = builder.add_extension(value, critical=changes.get("critical", False))
    for extension, critical in changes.get("extensions", []):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, algorithm).public_bytes(Encoding.DER)


def test_a_certificate_tells_the_key_it_is_bound_to() -> None:
    made = make_certificate(ALICE, wall_ms=int(NOW_S * 1000))
    assert certificate.verify_certificate([made.der], NOW_S) == ALICE.public
    assert certificate.verify_certificate([bound()], NOW_S) == ALICE.public
    assert made.binding == binding_of(made.der)
    assert made.binding[0] == 1
    assert len(made.binding) == 33


def test_two_certificates_of_one_identity_have_nothing_else_in_common() -> None:
    one, two = (make_certificate(ALICE, wall_ms=int(NOW_S * 1000)) for _ in range(2))
    assert one.der != two.der
    assert one.key_pem != two.key_pem


def test_a_certificate_does_not_tell_when_it_was_made() -> None:
    made = x509.load_der_x509_certificate(make_certificate(ALICE, wall_ms=int(NOW_S * 1000)).der)
    assert made.not_valid_before_utc.timestamp() % DAY_S == 0
    assert made.not_valid_after_utc.timestamp() % DAY_S == 0
    assert made.not_valid_before_utc.timestamp() < NOW_S - DAY_S
    assert made.not_valid_after_utc.timestamp() > NOW_S + 7 * DAY_S


def test_a_key_does_not_show_in_a_repr() -> None:
    assert b"PRIVATE".decode() not in repr(make_certificate(ALICE, wall_ms=0))


def test_known_critical_extensions_are_fine() -> None:
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    good = bound(critical=True, extensions=[(constraints, True)])
    assert certificate.verify_certificate([good], NOW_S) == ALICE.public


def test_every_flipped_bit_is_refused() -> None:
    good = bound()
    for bit in range(8 * len(good)):
        wrong = bytearray(good)
        wrong[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthError):
            certificate.verify_certificate([bytes(wrong)], NOW_S)


def test_cut_and_lengthened_ones_are_refused() -> None:
    good = bound()
    for size in range(0, len(good), 7):
        with pytest.raises(AuthError):
            certificate.verify_certificate([good[:size]], NOW_S)
    with pytest.raises(AuthError):
        certificate.verify_certificate([good + b"\x00"], NOW_S)
    with pytest.raises(AuthError, match="moderate size"):
        certificate.verify_certificate([bytes(certificate.CERTIFICATE_BYTES_MAX + 1)], NOW_S)


OTHER = ec.generate_private_key(ec.SECP256R1())
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": -120, "end": -60}, "clock"),
        ({"start": 60, "end": 120}, "clock"),
        ({"signer": OTHER}, "signed by itself"),
        ({"issuer": x509.Name([x509.NameAttribute(x509.OID_COMMON_NAME, "CA")])}, "read"),
        ({"key": rsa.generate_private_key(65537, 2048)}, "kind of key"),
        ({"key": ed25519.Ed25519PrivateKey.generate()}, "kind of key"),
        ({"extensions": [(UNKNOWN, True)]}, "unknown critical"),
        ({"label": b"libp2p-tls-handshake:"}, "not authentic"),
        ({"label": b""}, "not authentic"),
        ({"proof": None}, "bound to no identity"),
        ({"proof": b""}, "bound to no identity"),
        ({"proof": bytes(102)}, "bound to no identity"),
        ({"proof": b"\x30\x64\x04\x20" + bytes(32) + b"\x04\x40" + bytes(64)}, "not authentic"),
        ({"proof": b"\x30\x64\x04\x20" + bytes(32) + b"\x04\x40" + bytes(65)}, "no identity"),
    ],
)
def test_each_rule_is_held(changes: dict[str, object], words: str) -> None:
    with pytest.raises(AuthError, match=words):
        certificate.verify_certificate([bound(**changes)], NOW_S)


def test_an_unknown_extension_that_is_not_critical_is_passed_over() -> None:
    assert (
        certificate.verify_certificate([bound(extensions=[(UNKNOWN, False)])], NOW_S)
        == ALICE.public
    )


def test_a_binding_copied_from_another_certificate_is_refused() -> None:
    theirs = x509.load_der_x509_certificate(make_certificate(ALICE, wall_ms=0).der)
    stolen = theirs.extensions.get_extension_for_oid(certificate.BINDING_OID).value
    assert isinstance(stolen, x509.UnrecognizedExtension)
    with pytest.raises(AuthError, match="not authentic"):
        certificate.verify_certificate([bound(proof=stolen.value)], NOW_S)


@pytest.mark.parametrize("chain", [[], [bound(), bound()], [b""], [b"\x30\x00"], [b"\xff" * 99]])
def test_chains_and_garbage_are_refused(chain: list[bytes]) -> None:
    with pytest.raises(AuthError):
        certificate.verify_certificate(chain, NOW_S)


def test_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    for name in ("a.example", "b.example"):
        secret = ec.generate_private_key(ec.SECP256R1())
        leaf = x509.load_der_x509_certificate(bound(key=secret))
        (tmp_path / f"{name}.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
        (tmp_path / f"{name}.key").write_bytes(
            secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    chain, key = tmp_path / "a.example.pem", tmp_path / "a.example.key"
    assert load_certificate(chain, key).binding[0] == 1
    with pytest.raises(HostError, match="b.example.key is not the key of .*a.example.pem"):
        load_certificate(chain, tmp_path / "b.example.key")
    with pytest.raises(HostError, match="nowhere.pem: no such file"):
        load_certificate(tmp_path / "nowhere.pem", key)
    with pytest.raises(HostError, match="nowhere.key: no such file"):
        load_certificate(chain, tmp_path / "nowhere.key")
    with pytest.raises(HostError, match="a.example.key is not an unencrypted PEM"):
        load_certificate(key, key)
    with pytest.raises(HostError, match="a.example.pem is not an unencrypted PEM"):
        load_certificate(chain, chain)
    edwards = ed25519.Ed25519PrivateKey.generate()
    key.write_bytes(edwards.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(HostError, match="neither an RSA nor"):
        load_certificate(chain, key)
