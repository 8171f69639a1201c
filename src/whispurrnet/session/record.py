"""Records: what crosses the wire of an open channel, one seal for many frames.

    record = size/256 u16 BE, masked | sealed
    sealed = AEAD(key, nonce, frames | zeros, AD)                  in one of seven sizes
    nonce  = 4 zero bytes | counter u64 LE         one counter a direction, never on the wire
    AD     = epoch u8 | index of the size u8
    mask   = the first 2 bytes of BLAKE2s(key = mask key of the direction, counter u64 LE)

The AEAD is ChaCha20-Poly1305, or AES-256-GCM where both ends are faster with that and say so in
their handshake (`AES_RECORDS`). The mask makes every byte of a record look random. It protects
nothing: the size is believed only as far as the table of seven goes, and the AD binds it. Every
`next_key_records` records the key is put through Noise's `Rekey()` of its own cipher, so a stolen
key opens few records of the past.

Sources: Noise revision 34, sections 5.1 and 11.3; RFC 8439; the masked length is obfs4's habit.

Invariants:
    - a counter never goes back, and never reaches `records_max`: the rekey comes first, or the end;
    - a record opens only at its own place in its own direction and epoch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from whispurrnet.base.errors import AuthError, ProtocolError, UsageError
from whispurrnet.crypto.aead import (
    AESGCM_NAME,
    CHACHA_NAME,
    TAG_BYTES,
    InvalidTag,
    Suite,
    cipher,
)
from whispurrnet.crypto.hash import blake2s
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import next_key

SIZES = (256, 1024, 2048, 8192, 16384, 32768, 65536)
"""How long the sealed part of a record may be, in bytes, its 16-byte tag included."""

HEAD_BYTES = 2
RECORD_BYTES_MAX = HEAD_BYTES + SIZES[-1]
RECORD_ROOM = SIZES[-1] - TAG_BYTES
"""The most bytes of frames one record carries."""

NEXT_KEY_RECORDS = 4096
RECORDS_MAX = 2**32

AES_RECORDS = 1
"""The feature by which a node says in its handshake that it likes AES-256-GCM for records."""

_ROOMS = tuple(size - TAG_BYTES for size in SIZES)
_UNITS = tuple(size >> 8 for size in SIZES)
_INDEX = {unit: index for index, unit in enumerate(_UNITS)}


class _Direction:
    """The keys and the counter of one direction in one epoch."""

    __slots__ = (
        "_associated",
        "_cipher",
        "_key",
        "_mask_key",
        "_next_key_at",
        "_next_key_records",
        "_records_max",
        "_suite",
        "bytes",
        "counter",
        "epoch",
    )

    def __init__(
        self,
        key: Secret,
        mask_key: Secret,
        epoch: int,
        *,
        suite: Suite = CHACHA_NAME,
        next_key_records: int = NEXT_KEY_RECORDS,
        records_max: int = RECORDS_MAX,
    ) -> None:
        self.epoch = epoch
        self.counter = 0
        """How many records were sealed or opened."""
        self.bytes = 0
        """How many bytes they had on the wire."""
        self._key = key
        self._mask_key = mask_key
        self._suite = suite
        self._cipher = cipher(suite, key)
        self._associated = tuple(bytes((epoch & 0xFF, index)) for index in range(len(SIZES)))
        self._next_key_records = next_key_records
        self._next_key_at = min(next_key_records, records_max)
        self._records_max = records_max

    def _turn_key(self) -> None:
        """Noise's `Rekey()`, every so many records; or the end of this epoch's counter."""
        if self.counter >= self._records_max:
            raise ProtocolError(
                f"{self.counter} records without a rekey; the peer must answer one before that"
            )
        self._key = next_key(self._key, self._suite)
        self._cipher = cipher(self._suite, self._key)
        self._next_key_at = min(self.counter + self._next_key_records, self._records_max)


def suite_of(features: int) -> Suite:
    """The cipher of the records of a session, by the features that both sides have."""
    return AESGCM_NAME if features & AES_RECORDS else CHACHA_NAME


class Sealer(_Direction):
    """Seals what is sent in one epoch."""

    __slots__ = ()

    def seal(self, frames: Sequence[bytes | memoryview], size: int) -> bytes:
        """One record, ready for the wire.

        Args:
            frames: Whole frames, in order.
            size: How many bytes they have together, at most `RECORD_ROOM`.

        Raises:
            UsageError: They do not fit one record.
            ProtocolError: The counter is used up.
        """
        if size > RECORD_ROOM:
            raise UsageError(f"{size} bytes of frames; one record has room for {RECORD_ROOM}")
        counter = self.counter
        if counter >= self._next_key_at:
            self._turn_key()
        index = bisect_left(_ROOMS, size)
        plaintext = b"".join((*frames, bytes(_ROOMS[index] - size)))
        assert len(plaintext) == _ROOMS[index], "`size` is not what the frames have together"
        mask = blake2s(counter.to_bytes(8, "little"), key=self._mask_key)
        head = _UNITS[index] ^ (mask[0] << 8 | mask[1])
        # The nonce: shifting by 32 bits puts the four zero bytes in front of the counter.
        sealed = self._cipher.encrypt(
            (counter << 32).to_bytes(12, "little"), plaintext, self._associated[index]
        )
        self.counter = counter + 1
        self.bytes += HEAD_BYTES + SIZES[index]
        return head.to_bytes(HEAD_BYTES, "big") + sealed


class Opener(_Direction):
    """Opens what is received in one epoch."""

    __slots__ = ()

    def size(self, first: int, second: int) -> int:
        """How long the sealed part of the next record is, by the two bytes of its head.

        Raises:
            AuthError: No record has that size.
        """
        mask = blake2s(self.counter.to_bytes(8, "little"), key=self._mask_key)
        unit = (first ^ mask[0]) << 8 | second ^ mask[1]
        if unit not in _INDEX:
            raise AuthError("a record of no known size")
        return unit << 8

    def open(self, sealed: bytes | memoryview) -> bytes:
        """The plaintext of the next record: frames and padding.

        Raises:
            AuthError: It is not the next record of the peer.
            ProtocolError: The counter is used up.
        """
        counter = self.counter
        if counter >= self._next_key_at:
            self._turn_key()
        try:
            plaintext = self._cipher.decrypt(
                (counter << 32).to_bytes(12, "little"),
                sealed,  # type: ignore[arg-type]  # any buffer will do
                self._associated[_INDEX[len(sealed) >> 8]],
            )
        except InvalidTag as error:
            raise AuthError("a record is not authentic") from error
        self.counter = counter + 1
        self.bytes += HEAD_BYTES + len(sealed)
        return plaintext


class Reader:
    """Cuts what arrives into records and opens them.

    Only a record that arrives in pieces is copied, once, into a buffer of at most its own size.
    """

    __slots__ = ("_rest", "opener")

    def __init__(self, opener: Opener) -> None:
        self.opener = opener
        """Opens the next record; another may be put here between two plaintexts of `read`."""
        self._rest = bytearray()

    def __len__(self) -> int:
        return len(self._rest)

    def read(self, data: bytes) -> Iterator[bytes]:
        """The plaintexts of the records that are complete now.

        Who stops before the last must not read again.

        Raises:
            AuthError: A record is not the peer's next.
            ProtocolError: The counter is used up.
        """
        view = memoryview(data)
        position = 0
        if self._rest:
            position, plaintext = self._complete(view)
            if plaintext is not None:
                yield plaintext
        end = len(data)
        while end - position >= HEAD_BYTES:
            start = position + HEAD_BYTES
            position = start + self.opener.size(data[position], data[position + 1])
            if position > end:
                position = start - HEAD_BYTES
                break
            yield self.opener.open(view[start:position])
        self._rest += view[position:]

    def _complete(self, view: memoryview) -> tuple[int, bytes | None]:
        """Fill up the record begun: how many bytes that took, and the plaintext if it is whole."""
        rest = self._rest
        used = max(0, HEAD_BYTES - len(rest))
        rest += view[:used]
        if len(rest) < HEAD_BYTES:
            return len(view), None
        size = HEAD_BYTES + self.opener.size(rest[0], rest[1])
        part = view[used : used + size - len(rest)]
        rest += part
        used += len(part)
        if len(rest) < size:
            return used, None
        self._rest = bytearray()
        return used, self.opener.open(memoryview(rest)[HEAD_BYTES:])
