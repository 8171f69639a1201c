"""Certificates for TLS: one bound to the node's identity, or a public one from files.

A node's own certificate is self-signed, has a fresh P-256 key, and holds in one extension the
node's Ed25519 key and that key's signature over the certificate's public key. Who dials checks
exactly that, and nothing a public certificate would need: there is no name in it, no authority.

Source: libp2p specs, tls/tls.md (the shape; another OID and label); RFC 5280.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from whispurrnet.base.errors import AuthError, HostError
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.sign import SigningKey, verify
from whispurrnet.transport.link import binding_of

BINDING_OID = x509.ObjectIdentifier("2.25.82842040003989818361311170778832249011")
"""A private arc below 2.25, which needs no registration (ITU-T X.667)."""

LABEL = b"WN1 tls handshake:"
CERTIFICATE_BYTES_MAX = 16384
LIFETIME_DAYS = 7

# SEQUENCE { OCTET STRING (32), OCTET STRING (64) }, in DER: always these bytes and no others.
_HEAD, _MIDDLE = b"\x30\x64\x04\x20", b"\x04\x40"
_UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    Warning,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the parser raises on bytes that are no certificate, or a strange one."""

_KNOWN_CRITICAL = {BINDING_OID, x509.BasicConstraints.oid, x509.KeyUsage.oid}


class Certificate(msgspec.Struct, frozen=True):
    """A certificate and its key, ready to be shown."""

    der: bytes
    """The certificate itself; its hash is the binding."""

    chain_pem: bytes
    """The certificate and, for a public one, those above it."""

    key_pem: Secret
    """The private key, encrypted with `password`."""

    password: Secret

    @property
    def binding(self) -> bytes:
        """33 bytes: 1 and the SHA-256 of the certificate."""
        return binding_of(self.der)


def make_certificate(
    signing: SigningKey, *, wall_ms: int, days: int = LIFETIME_DAYS
) -> Certificate:
    """A self-signed certificate bound to an identity, with a fresh P-256 key.

    Its times are whole days, so that it does not tell when the identity was made.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    proof = _HEAD + signing.public + _MIDDLE + signing.sign(LABEL + spki)
    day = dt.datetime.fromtimestamp(wall_ms // 86_400_000 * 86_400, dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(day - dt.timedelta(days=1))
        .not_valid_after(day + dt.timedelta(days=1 + days))
        .add_extension(x509.UnrecognizedExtension(BINDING_OID, proof), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pack(certificate, certificate.public_bytes(Encoding.PEM), key)


def load_certificate(chain_file: str | Path, key_file: str | Path) -> Certificate:
    """A public certificate from PEM files, such as an ACME client leaves.

    Raises:
        HostError: A file cannot be read, or is not what it should be; names it.
    """
    current = chain_file
    try:
        chain = Path(chain_file).read_bytes()
        certificate = x509.load_pem_x509_certificates(chain)[0]
        current = key_file
        key = load_pem_private_key(Path(key_file).read_bytes(), None)
    except OSError as error:
        why = (error.strerror or "cannot be read").lower()
        raise HostError(f"{current}: {why}; TLS needs a PEM certificate and its key") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise HostError(
            f"{current} is not an unencrypted PEM file of its kind; check it"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise HostError(
            f"{key_file} holds neither an RSA nor an elliptic-curve key; make one of these"
        )
    if key.public_key() != certificate.public_key():
        raise HostError(
            f"{key_file} is not the key of {chain_file}; give the pair that belongs together"
        )
    return _pack(certificate, chain, key)


def verify_certificate(chain: Sequence[bytes], now_s: float) -> bytes:
    """Check a certificate bound to an identity.

    Args:
        chain: What the other side showed, DER, leaf first; more than one is refused.
        now_s: Seconds since 1970.

    Returns:
        The Ed25519 key it is bound to, 32 bytes.

    Raises:
        AuthError: It is not such a certificate; says which rule it breaks.
    """
    if len(chain) != 1 or len(chain[0]) > CERTIFICATE_BYTES_MAX:
        raise AuthError("not a node's certificate: it is not a single one of moderate size")
    try:
        with warnings.catch_warnings():  # what the parser only warns of is refused as well
            warnings.simplefilter("error")
            certificate = x509.load_der_x509_certificate(chain[0])
            if not chain[0].endswith(b"\x00" + certificate.signature):
                raise ValueError("the signature's bit string has bits left over")
            return _verify(certificate, now_s)
    except _UNREADABLE as error:
        raise AuthError("not a node's certificate: it cannot be read") from error
    except InvalidSignature as error:
        raise AuthError("not a node's certificate: it is not signed by itself") from error


def _verify(certificate: x509.Certificate, now_s: float) -> bytes:
    now = dt.datetime.fromtimestamp(now_s, dt.UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise AuthError("the node's certificate is not valid now; check this machine's clock")
    key = certificate.public_key()
    if certificate.version is not x509.Version.v3 or not isinstance(key, ec.EllipticCurvePublicKey):
        raise AuthError("not a node's certificate: its version or kind of key is wrong")
    certificate.verify_directly_issued_by(certificate)
    proof = b""
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            raise AuthError("not a node's certificate: it holds an unknown critical extension")
        if extension.oid == BINDING_OID and isinstance(extension.value, x509.UnrecognizedExtension):
            proof = extension.value.value
    public, signature = proof[4:36], proof[38:]
    if len(signature) != 64 or proof[:4] != _HEAD or proof[36:38] != _MIDDLE:
        raise AuthError("not a node's certificate: it is bound to no identity")
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    verify(public, LABEL + spki, signature)
    return public


def _pack(
    certificate: x509.Certificate,
    chain_pem: bytes,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
) -> Certificate:
    password = Secret(token_hex(16).encode())
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    return Certificate(certificate.public_bytes(Encoding.DER), chain_pem, Secret(sealed), password)
