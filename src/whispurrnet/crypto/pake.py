"""From a short code to a long key: SPAKE2 over edwards25519, with key confirmation.

Two who know the same code end with the same key; who does not know it learns nothing but whether
one single guess was right, and has to be there to make it. What is sent can be recorded and tried
against all codes in vain.

    A -> B   share_a = x*P + w*M
    B -> A   share_b = y*P + w*N
    A -> B   confirm_a          B checks it, and only then shows
    B -> A   confirm_b

    TT = len|A | len|B | len|share_a | len|share_b | len|K | len|w      (lengths: 8 bytes, LE)
    Ke | Ka = SHA-256(TT);  KcA | KcB = HKDF(Ka, "ConfirmationKeys");  confirm = HMAC(Kc, TT)

A and B, the identities, hold what both sides know of the channel between them: who sits in the
middle of two channels has two different ones, and the confirmations do not match.

Source: RFC 9382, sections 3.2, 3.3 and 4 (M and N), appendix B for the key schedule. The password
hash is Argon2id (RFC 9106), 512 bits of it reduced modulo the order (section 3.2: "at least 64 bits
beyond the length of p"). A and B confirm in turn, so that B sees each guess before it answers it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from nacl import bindings, pwhash
from nacl.exceptions import CryptoError

from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.crypto.hash import equal, hkdf, hmac_sha256, sha256
from whispurrnet.crypto.kex import Entropy
from whispurrnet.crypto.keys import Secret

SHARE_BYTES: Final = 32
CONFIRM_BYTES: Final = 32
KEY_BYTES: Final = 32
SCALAR_BYTES: Final = 32

M: Final = bytes.fromhex("d048032c6ea0b6d697ddc2e86bda85a33adac920f1bf18e1b0c6d166a5cecdaf")
N: Final = bytes.fromhex("d3bfb518f44f3430f29d0c92af503865a1ed3281dc69b35dd868ba85f886c4ab")

OPS: Final = 3
MEMORY_BYTES: Final = 64 << 20
"""Argon2id: 3 passes over 64 MiB, the second recommendation of RFC 9106, section 4."""

_ARGON2_LABEL: Final = b"WN1 pake salt"
_WIDE_BYTES: Final = 64
_COFACTOR: Final = (8).to_bytes(SCALAR_BYTES, "little")
_CONFIRMATION: Final = b"ConfirmationKeys"
_KEY: Final = b"WN1 pake key"

Role: TypeAlias = Literal["A", "B"]
"""A speaks first, and is the first to confirm."""


def stretch(code: bytes, salt: bytes) -> Secret:
    """The scalar `w` of a code; takes a tenth of a second and 64 MiB, so do it once, in a thread.

    Args:
        code: What both sides know; any length.
        salt: What else both know and need not be secret, such as the number the code begins with.

    Source: RFC 9382, section 3.2; RFC 9106.
    """
    wide = pwhash.argon2id.kdf(
        _WIDE_BYTES,
        code,
        sha256(_ARGON2_LABEL, salt)[: pwhash.argon2id.SALTBYTES],
        opslimit=OPS,
        memlimit=MEMORY_BYTES,
    )
    return Secret(bindings.crypto_core_ed25519_scalar_reduce(wide))


class Pake:
    """One run of one side.

    Args:
        role: A or B.
        scalar: What `stretch` made of the code.
        identities: Of A and of B, the same on both sides, with all that the key is to be bound to.
        entropy: Gives random bytes.

    Raises:
        UsageError: The scalar is not one.
    """

    __slots__ = ("_identities", "_own", "_role", "_scalar", "share")

    def __init__(
        self, role: Role, scalar: Secret, identities: tuple[bytes, bytes], entropy: Entropy
    ) -> None:
        if len(scalar) != SCALAR_BYTES or not any(scalar):
            raise UsageError("a code's scalar has 32 bytes and is not zero; see `stretch`")
        self._role: Role = role
        self._scalar = scalar
        self._identities = identities
        own = b""
        while not any(own):
            own = bindings.crypto_core_ed25519_scalar_reduce(entropy(_WIDE_BYTES))
        self._own = Secret(own)
        self.share = bindings.crypto_core_ed25519_add(
            bindings.crypto_scalarmult_ed25519_base_noclamp(own),
            bindings.crypto_scalarmult_ed25519_noclamp(scalar, M if role == "A" else N),
        )
        """What the other side is to be sent: 32 bytes, a random point to who does not know w."""

    def finish(self, share: bytes) -> Agreed:
        """What follows from the other side's share; that it knows the code is not shown yet.

        Raises:
            AuthError: The share is no point of the group's prime order, or our own come back.
        """
        if len(share) != SHARE_BYTES or not bindings.crypto_core_ed25519_is_valid_point(share):
            raise AuthError("the other side's share is not a point of the group")
        if share == self.share:
            raise AuthError("our own share came back")
        mask = N if self._role == "A" else M
        try:
            theirs = bindings.crypto_core_ed25519_sub(
                share, bindings.crypto_scalarmult_ed25519_noclamp(self._scalar, mask)
            )
            # "h*x*(pB - w*N)": the cofactor h is 8.
            exponent = bindings.crypto_core_ed25519_scalar_mul(_COFACTOR, self._own)
            shared = bindings.crypto_scalarmult_ed25519_noclamp(exponent, theirs)
        except CryptoError as error:  # the difference is the neutral element
            raise AuthError("the other side's share is of no use") from error
        shares = (self.share, share) if self._role == "A" else (share, self.share)
        text = transcript(self._identities, shares, shared, self._scalar[::-1])
        return Agreed(self._role, text)


class Agreed:
    """Both shares are known: what to show, what to expect, and the key.

    Args:
        role: A or B.
        text: The transcript TT.
    """

    __slots__ = ("_expected", "_key", "confirm")

    def __init__(self, role: Role, text: bytes) -> None:
        main, confirm_a, confirm_b = schedule(text)
        self.confirm, self._expected = (
            (confirm_a, confirm_b) if role == "A" else (confirm_b, confirm_a)
        )
        self._key = hkdf(main, salt=sha256(text), info=_KEY, n=KEY_BYTES)

    def check(self, confirm: bytes) -> Secret:
        """The key of 32 bytes, of 128 bits' strength, once the other side showed that it has it.

        Raises:
            AuthError: It has another: another code, or another channel.
        """
        if not equal(confirm, self._expected):
            raise AuthError("the codes are not the same, or somebody sits between the two sides")
        return self._key


def transcript(
    identities: tuple[bytes, bytes], shares: tuple[bytes, bytes], shared: bytes, w: bytes
) -> bytes:
    """TT: identities, shares, K and w (big endian), each after its length.

    Source: RFC 9382, section 3.3.
    """
    parts = (*identities, *shares, shared, w)
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def schedule(text: bytes) -> tuple[Secret, bytes, bytes]:
    """Ke, and the confirmations of A and of B.

    Source: RFC 9382, section 4, with SHA-256, HKDF and HMAC.
    """
    digest = sha256(text)
    half = len(digest) // 2
    keys = hkdf(digest[half:], info=_CONFIRMATION, n=2 * half)
    return (
        Secret(digest[:half]),
        hmac_sha256(keys[:half], text),
        hmac_sha256(keys[half:], text),
    )
