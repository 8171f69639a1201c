"""The Noise handshake: from two key pairs to two transport keys that nobody else has.

`HandshakeState` follows the specification section by section; what to do in which order is data
(`crypto.patterns`), so that one engine runs every pattern, and the published vectors of all of them
test it. It is not a core: it has no time and no effects. It draws entropy for its ephemeral keys,
but the encapsulation of ML-KEM takes its randomness from the library.

Invariants: a state that has failed stays failed; no nonce is used twice with one key; the name of
the protocol is hashed first, so two sides with different names never agree.

Sources: The Noise Protocol Framework, revision 34, section 5; KEM-based Hybrid Forward Secrecy for
Noise, revision 1, section 4; the exporter is our own (`TransportKeys.export`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import msgspec

from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.crypto import kex
from whispurrnet.crypto.aead import TAG_BYTES
from whispurrnet.crypto.hash import hkdf_expand, hmac_sha256
from whispurrnet.crypto.kex import Entropy, Kem, KemKey, X448Key, X25519Key
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.patterns import parse
from whispurrnet.crypto.symmetric import REFUSED, SymmetricState, next_key

__all__ = ["MESSAGE_BYTES_MAX", "PSK_BYTES", "HandshakeState", "TransportKeys", "next_key"]

MESSAGE_BYTES_MAX = 65535
PSK_BYTES = 32

_DHS: dict[str, type[X25519Key] | type[X448Key]] = {"25519": X25519Key, "448": X448Key}


class TransportKeys(msgspec.Struct, frozen=True):
    """What a finished handshake leaves: a key for each direction, and what is derived from both."""

    send: Secret
    receive: Secret
    hash: bytes
    """The handshake hash, the same on both sides and different in each session."""
    exporter: Secret

    def export(self, label: str, context: bytes = b"", n: int = 32) -> Secret:
        """Derive `n` bytes for a use of its own; both sides get the same ones.

        HKDF-Expand(exporter, label | 0x00 | handshake hash | context, n).
        """
        return hkdf_expand(self.exporter, b"%b\0%b%b" % (label.encode(), self.hash, context), n)


class HandshakeState:
    """One side of a handshake (section 5.3): `write` and `read` in turn, then `finish`.

    Args:
        name: The protocol name, such as `Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256`.
        initiator: Whether this side writes the first message.
        prologue: What both sides must agree on besides; any bytes.
        s: Our static key, where the pattern has one.
        e: Our ephemeral key, where the caller needs its public half beforehand.
        rs: The peer's static public key, where the pattern knows it beforehand.
        psks: The pre-shared keys in the order of their tokens; `set_psk` gives them later.
        entropy: Where ephemeral keys come from.
        kem: Another implementation of the KEM, for tests that replay one.

    Raises:
        UsageError: An unknown name, or a key that the pattern needs is missing.
        LevelUnavailable: The KEM needs an extra that is not installed.
    """

    __slots__ = (
        "_dh", "_e", "_e1", "_entropy", "_failed", "_initiator", "_kem", "_psks", "_re", "_re1",
        "_rs", "_s", "_suite", "_symmetric", "_turn",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        initiator: bool,
        prologue: bytes = b"",
        s: X25519Key | X448Key | None = None,
        e: X25519Key | X448Key | None = None,
        rs: bytes | None = None,
        psks: Sequence[bytes] = (),
        entropy: Entropy,
        kem: Kem | None = None,
    ) -> None:
        suite = self._suite = parse(name)
        self._dh = _DHS[suite.dh]
        self._kem = kem or (kex.kem(kex.KEM_LEVELS[suite.kem]) if suite.kem else None)
        self._initiator = initiator
        self._entropy = entropy
        self._s = s
        self._e = e
        self._rs = rs
        self._re: bytes | None = None
        self._e1: KemKey | None = None
        self._re1: bytes | None = None
        self._psks: dict[int, bytes] = {}
        self._turn = 0
        self._failed = False
        for number, psk in zip(suite.psks, psks, strict=False):
            self.set_psk(number, psk)
        symmetric = self._symmetric = SymmetricState(name, suite.cipher, suite.hash)
        symmetric.mix_hash(prologue)
        if suite.initiator_static_known:
            symmetric.mix_hash(self._known_static(ours=initiator))
        if suite.responder_static_known:
            symmetric.mix_hash(self._known_static(ours=not initiator))

    @property
    def done(self) -> bool:
        """Whether every message has passed, so that `finish` gives the keys."""
        return self._turn == len(self._suite.messages) and not self._failed

    @property
    def next_is_write(self) -> bool:
        """Whether it is our turn to write."""
        return self._turn < len(self._suite.messages) and (self._turn % 2 == 0) == self._initiator

    @property
    def hash(self) -> bytes:
        """The running hash; once `done`, the handshake hash of both sides."""
        return self._symmetric.h

    @property
    def remote_static(self) -> bytes | None:
        """The peer's static public key, as soon as it is known."""
        return self._rs

    @property
    def remote_ephemeral(self) -> bytes | None:
        """The peer's ephemeral public key, as soon as it came."""
        return self._re

    def set_psk(self, number: int, psk: bytes) -> None:
        """Give the pre-shared key of the modifier `psk<number>`, before its token is met.

        Raises:
            UsageError: The pattern has no such modifier, or not 32 bytes.
        """
        if number not in self._suite.psks or len(psk) != PSK_BYTES:
            raise UsageError(
                f"{self._suite.name} takes 32 bytes for each of the psk numbers "
                f"{list(self._suite.psks)}; this is number {number} with {len(psk)} bytes"
            )
        self._psks[number] = psk

    def copy(self) -> HandshakeState:
        """A state that goes its own way from here: to try another psk on the same message."""
        twin = copy.copy(self)
        twin._psks, twin._symmetric = dict(self._psks), self._symmetric.copy()  # noqa: SLF001
        return twin

    def write(self, payload: bytes = b"") -> bytes:
        """The next message, with `payload` inside, sealed as far as the pattern allows.

        Raises:
            UsageError: Not our turn, a psk is missing, or the message would pass 65535 bytes.
            AuthError: The handshake has failed, or a key of the peer is unusable.
        """
        tokens = self._begin(writing=True)
        symmetric = self._symmetric
        parts: list[bytes] = []
        for token in tokens:
            match token:
                case "e":
                    if self._e is None:
                        self._e = self._dh.generate(self._entropy)
                    parts.append(self._e.public)
                    self._mix_ephemeral(self._e.public)
                case "s":
                    assert self._s is not None, "checked by _begin"
                    parts.append(symmetric.seal(self._s.public))
                case "e1":
                    assert self._kem is not None, "hfs has a KEM"
                    self._e1 = self._kem.generate(self._entropy)
                    parts.append(symmetric.seal(self._e1.public))
                case "ekem1":
                    assert self._kem is not None, "hfs has a KEM"
                    assert self._re1 is not None, "e1 comes before ekem1"
                    ciphertext, secret = self._kem.encapsulate(self._re1)
                    parts.append(symmetric.seal(ciphertext))
                    symmetric.mix_key(secret)
                case _:
                    self._mix_secret(token)
        parts.append(symmetric.seal(payload))
        message = b"".join(parts)
        if len(message) > MESSAGE_BYTES_MAX:
            raise UsageError(
                f"a handshake message has at most {MESSAGE_BYTES_MAX} bytes, not {len(message)}; "
                "send less payload in it"
            )
        self._failed = False
        self._turn += 1
        return message

    def read(self, message: bytes) -> bytes:
        """The payload of the peer's next message.

        Raises:
            AuthError: It is not authentic; the handshake has failed and stays failed.
            UsageError: Not the peer's turn, or a psk is missing.
        """
        tokens = self._begin(writing=False)
        if len(message) > MESSAGE_BYTES_MAX:
            raise AuthError(REFUSED)
        symmetric = self._symmetric
        at = 0
        for token in tokens:
            match token:
                case "e":
                    at, self._re = self._field(message, at, self._dh.public_bytes, 0)
                    self._mix_ephemeral(self._re)
                case "s":
                    at, field = self._field(message, at, self._dh.public_bytes)
                    self._rs = symmetric.open(field)
                case "e1":
                    assert self._kem is not None, "hfs has a KEM"
                    at, field = self._field(message, at, self._kem.public_bytes)
                    self._re1 = symmetric.open(field)
                case "ekem1":
                    assert self._kem is not None, "hfs has a KEM"
                    assert self._e1 is not None, "e1 comes before ekem1"
                    at, field = self._field(message, at, self._kem.ciphertext_bytes)
                    symmetric.mix_key(self._e1.decapsulate(symmetric.open(field)))
                case _:
                    self._mix_secret(token)
        payload = symmetric.open(message[at:])
        self._failed = False
        self._turn += 1
        return payload

    def finish(self) -> TransportKeys:
        """The keys of the session; the handshake's own secrets are dropped.

        Raises:
            UsageError: The handshake is not done, or was finished before.
        """
        if not self.done or not self._symmetric.chaining_key:
            raise UsageError("the handshake is not done, or was finished before; ask `done`")
        symmetric = self._symmetric
        first, second = symmetric.split()
        exporter = hmac_sha256(symmetric.chaining_key, b"WN1 exporter")
        symmetric.chaining_key = b""
        symmetric.cipher = self._s = self._e = self._e1 = None
        self._psks.clear()
        send, receive = (first, second) if self._initiator else (second, first)
        return TransportKeys(
            send=Secret(send),
            receive=Secret(receive),
            hash=symmetric.h,
            exporter=Secret(exporter),
        )

    def _begin(self, *, writing: bool) -> tuple[str, ...]:
        """The tokens of this message; from here on the state has failed, until it has not."""
        if self._failed:
            raise AuthError("the handshake has failed before; open a new link")
        if self._turn == len(self._suite.messages) or self.next_is_write != writing:
            raise UsageError(
                f"it is not the turn to {'write' if writing else 'read'}; ask `next_is_write`"
            )
        tokens = self._suite.messages[self._turn]
        for psk in (int(token[3:]) for token in tokens if token.startswith("psk")):
            if psk not in self._psks:
                raise UsageError(f"the pre-shared key psk{psk} is missing; give it by set_psk")
        if writing and "s" in tokens and self._s is None:
            raise UsageError(f"{self._suite.name} needs a static key of ours; give it as s")
        self._failed = True
        return tokens

    def _field(self, message: bytes, at: int, size: int, tag: int = TAG_BYTES) -> tuple[int, bytes]:
        """The next field of a message, with its tag if there is a key, and where it ends."""
        end = at + size + (tag if self._symmetric.cipher else 0)
        if end > len(message):
            raise AuthError(REFUSED)
        return end, message[at:end]

    def _known_static(self, *, ours: bool) -> bytes:
        """A static public key of the pre-messages."""
        if ours and self._s is not None:
            return self._s.public
        if not ours and self._rs is not None:
            return self._rs
        missing = "a static key of ours as s" if ours else "the static key of the peer as rs"
        raise UsageError(f"{self._suite.name} needs {missing}; give it at construction")

    def _mix_ephemeral(self, public: bytes) -> None:
        """What section 9.2 asks for: with a psk, the ephemeral key enters the key as well."""
        self._symmetric.mix_hash(public)
        if self._suite.psks:
            self._symmetric.mix_key(public)

    def _mix_secret(self, token: str) -> None:
        """The tokens that send nothing: `ee`, `es`, `se`, `ss` and `pskN`."""
        if token.startswith("psk"):
            self._symmetric.mix_key_and_hash(self._psks[int(token[3:])])
            return
        ours, theirs = (0, 1) if self._initiator else (1, 0)  # "es" is initiator's e, responder's s
        key = self._e if token[ours] == "e" else self._s
        public = self._re if token[theirs] == "e" else self._rs
        if key is None or public is None:
            raise UsageError(f"{self._suite.name} needs a static key for {token}; give it as s")
        self._symmetric.mix_key(key.exchange(public))
