"""The vault: what a node keeps on disk when it is asked to, and only then.

One file, `state.wn1`, in a folder of its own; folder 0700, file 0600, both of this user:

    "WN1STATE" | version 1 | kind 1 | kind 0, plain:  sha256 32 | body
                                    | kind 1, sealed: log2_n 1 | salt 16 | nonce 24 | sealed body

The body is MessagePack. A sealed one is encrypted by XChaCha20-Poly1305 under a key that scrypt
(RFC 7914; r = 8, p = 1) makes of the passphrase; all bytes before it are authenticated with it.
The hash of a plain one finds damage. It does not stop who may write the file: only a passphrase
does, and even that does not show that an older sealed file was put back.

How the file is read and replaced without a gap: `disk.private_file`.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta

from whispurrnet.base.errors import AuthError, HostError, UsageError
from whispurrnet.crypto.aead import XNONCE_BYTES, xopen, xseal
from whispurrnet.crypto.hash import equal, sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.disk.private_file import PrivateFile

FILE_NAME = "state.wn1"
STATE_BYTES_MAX = 16 * 2**20

_MAGIC = b"WN1STATE"
_VERSION = 1
_PLAIN, _SEALED = 0, 1
_SEED_BYTES, _SALT_BYTES, _HASH_BYTES = 32, 16, 32
_HEAD_BYTES = len(_MAGIC) + 2
_SEALED_HEAD_BYTES = _HEAD_BYTES + 1 + _SALT_BYTES
LOG2_N = 17
"""The cost of scrypt: 128 MiB and about half a second."""
_LOG2_N_MAX = 20
"""A file that asks for more is not believed."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept. Its `repr` shows none of it."""

    persona_seed: Secret
    """The 32 bytes that the long-term identity is made of."""

    pins: Secret = Secret()
    """`Pins.encode()`: whom we met, with the keys shared with them."""

    created_ms: int = 0
    """When the identity was made, in Unix milliseconds."""

    post_quantum: bool = False
    """Whether the identity has an ML-DSA key too."""

    membership: Secret = Secret()
    """The key in a closed realm, and how it came to be a member; empty without one."""

    anchors: Secret = Secret()
    """Neighbours to call first at the next start (`node.keeping`)."""

    def __post_init__(self) -> None:
        if len(self.persona_seed) != _SEED_BYTES:
            raise UsageError(
                f"the seed of a persona has {_SEED_BYTES} bytes, not {len(self.persona_seed)}"
            )

    def __repr__(self) -> str:
        return "State(...)"


class _Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A state on disk."""

    persona_seed: Annotated[bytes, Meta(min_length=_SEED_BYTES, max_length=_SEED_BYTES)]
    pins: bytes
    created_ms: Annotated[int, Meta(ge=0)]
    post_quantum: bool
    membership: bytes = b""  # older files end here, or just before
    anchors: bytes = b""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Body)


class Vault:
    """The state of one node in one folder.

    Args:
        folder: Made with mode 0700 when it is not there; nothing else should be kept in it.
        passphrase: Seals the file, if given; a plain file is then refused.
        entropy: Gives that many random bytes.
        log2_n: The cost of scrypt for what is saved, as a power of two; 14 to 20.

    Raises:
        UsageError: The passphrase is empty, or the cost out of bounds.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        passphrase: str | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        log2_n: int = LOG2_N,
    ) -> None:
        if passphrase == "":
            raise UsageError("the passphrase is empty; give one, or none at all")
        if not 14 <= log2_n <= _LOG2_N_MAX:
            raise UsageError(f"the cost of scrypt is 14 to {_LOG2_N_MAX}, not {log2_n}")
        self._file = PrivateFile(Path(folder), FILE_NAME, STATE_BYTES_MAX)
        self.path = self._file.path
        self._passphrase = (
            Secret(unicodedata.normalize("NFC", passphrase).encode()) if passphrase else None
        )
        self._entropy = entropy
        self._log2_n = log2_n
        self._key: tuple[bytes, Secret] | None = None  # the head that it was made for, and the key

    def __repr__(self) -> str:
        return "Vault(...)"

    @property
    def exists(self) -> bool:
        """Whether there is a file, good or not."""
        return self._file.exists

    def load(self) -> State | None:
        """What was saved last, or None when nothing ever was.

        With a passphrase this takes about half a second: call it from a thread.

        Raises:
            HostError: The folder or the file belongs to somebody else, may be read by others, is a
                symbolic link, is damaged or sealed, or was sealed by another passphrase.
        """
        data = self._file.read()
        return self._decode(self._open(data)) if data is not None else None

    def save(self, state: State) -> None:
        """Put `state` in the place of what was saved before, whole or not at all.

        The first time with a passphrase takes about half a second: call it from a thread.

        Raises:
            HostError: As for `load`; or the disk is full, read-only or broken, another process is
                writing, or the file is sealed by another passphrase or when none was given. What
                was saved before is still there.
        """
        body = _ENCODER.encode(
            _Body(
                bytes(state.persona_seed),
                bytes(state.pins),
                state.created_ms,
                state.post_quantum,
                bytes(state.membership),
                bytes(state.anchors),
            )
        )
        if len(body) > STATE_BYTES_MAX - 1024:
            raise HostError(
                f"{self.path}: {len(body)} bytes are more than the {STATE_BYTES_MAX} of a state; "
                "forget some pins"
            )

        def make(old: bytes | None) -> bytes:
            if old is not None and old.startswith(_MAGIC + bytes((_VERSION, _SEALED))):
                self._check_ours(old)
            return self._seal(body)

        self._file.replace(make)

    def _check_ours(self, old: bytes) -> None:
        """What is sealed is overwritten only by who could open it."""
        if self._passphrase is None:
            raise HostError(
                f"{self.path} is sealed and no passphrase was given; give it, or remove the "
                "file to begin anew"
            )
        if self._key is None or not old.startswith(self._key[0]):
            self._open_sealed(old)

    def _seal(self, body: bytes) -> bytes:
        if self._passphrase is None:
            head = _MAGIC + bytes((_VERSION, _PLAIN))
            return head + sha256(head, body) + body
        if self._key is None or self._key[0][_HEAD_BYTES] != self._log2_n:
            salt = self._entropy(_SALT_BYTES)
            head = _MAGIC + bytes((_VERSION, _SEALED, self._log2_n)) + salt
            self._key = (head, _derive(self._passphrase, head))
        head, key = self._key
        nonce = self._entropy(XNONCE_BYTES)
        return head + nonce + xseal(key, nonce, body, head)

    def _open(self, data: bytes) -> bytes:
        head = data[:_HEAD_BYTES]
        if head == _MAGIC + bytes((_VERSION, _SEALED)):
            return self._open_sealed(data)
        if len(head) == _HEAD_BYTES and head[: len(_MAGIC)] == _MAGIC and head[-2] > _VERSION:
            raise HostError(
                f"{self.path} has version {head[-2]}, and this program reads version {_VERSION}; "
                "use the release that wrote it"
            )
        if head != _MAGIC + bytes((_VERSION, _PLAIN)):
            raise HostError(_damaged(self.path))
        digest, body = data[_HEAD_BYTES:][:_HASH_BYTES], data[_HEAD_BYTES + _HASH_BYTES :]
        if not equal(digest, sha256(head, body)):
            raise HostError(_damaged(self.path))
        if self._passphrase is not None:
            # Else who can write the file could put one of his own in the place of a sealed one.
            raise HostError(
                f"{self.path} is not sealed though a passphrase was given; if you never sealed it, "
                "load it without one and save it with one; otherwise somebody exchanged it"
            )
        return body

    def _open_sealed(self, data: bytes) -> bytes:
        head, rest = data[:_SEALED_HEAD_BYTES], data[_SEALED_HEAD_BYTES:]
        if len(rest) < XNONCE_BYTES or not 14 <= head[_HEAD_BYTES] <= _LOG2_N_MAX:
            raise HostError(_damaged(self.path))
        if self._passphrase is None:
            raise HostError(f"{self.path} is sealed; give its passphrase")
        if self._key is None or self._key[0] != head:
            self._key = (head, _derive(self._passphrase, head))
        try:
            return xopen(self._key[1], rest[:XNONCE_BYTES], rest[XNONCE_BYTES:], head)
        except AuthError as error:
            self._key = None
            raise HostError(
                f"{self.path} does not open: the passphrase is wrong, or the file was changed; "
                "try the passphrase again, else restore the file from a copy"
            ) from error

    def _decode(self, body: bytes) -> State:
        try:
            kept = _DECODER.decode(body)
        except msgspec.DecodeError as error:
            raise HostError(_damaged(self.path)) from error
        return State(
            persona_seed=Secret(kept.persona_seed),
            pins=Secret(kept.pins),
            created_ms=kept.created_ms,
            post_quantum=kept.post_quantum,
            membership=Secret(kept.membership),
            anchors=Secret(kept.anchors),
        )


def _derive(passphrase: Secret, head: bytes) -> Secret:
    """The key of a sealed file; half a second and 128 MiB at the usual cost."""
    salt = head[_HEAD_BYTES + 1 :]
    log2_n = head[_HEAD_BYTES]
    try:
        scrypt = Scrypt(salt=salt, length=32, n=1 << log2_n, r=8, p=1)
        return Secret(scrypt.derive(passphrase))
    except MemoryError as error:
        raise HostError(
            f"the passphrase needs {(1 << log2_n) // 1024} MiB of memory to be checked; free some"
        ) from error


def _damaged(path: Path) -> str:
    return (
        f"{path} is damaged: its check does not match; restore it from a copy, or remove it to "
        "begin with a new long-term identity"
    )
