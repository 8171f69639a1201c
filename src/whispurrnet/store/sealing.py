"""Sealed objects: encrypted before they are cut, so that who keeps one knows nothing of it.

    content = size u64 BE | data | zeros, up to a length of Padme
    sealed  = segment*                    of 64 KiB, the last one shorter: 65,520 bytes and a tag
    nonce   = number of the segment, 11 bytes BE | 1 for the last one, else 0

ChaCha20-Poly1305 under a key of its own for each object. Four segments are one chunk, so a chunk
that is verified opens alone; a segment does not open in another place, and none can be left out at
the end. The padding leaves at most 12 % more, and of the size about its logarithm.

Sources: Hoang, Reyhanitabar, Rogaway and Vizar, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance", 2015, section 7 (STREAM); Nikitin et al., "Reducing Metadata
Leakage from Encrypted Files and Communication with PURBs", 2019, section 4 (Padme).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence

from whispurrnet.base.errors import AuthError, ProtocolError, UsageError
from whispurrnet.crypto.aead import CHACHA_NAME, KEY_BYTES, TAG_BYTES, InvalidTag, cipher
from whispurrnet.crypto.keys import Secret

SEGMENT_BYTES = 64 * 1024
"""A segment with its tag."""
CONTENT_BYTES = SEGMENT_BYTES - TAG_BYTES
"""What a segment holds."""
PADDED_MIN = 256
"""No content is shorter, in bytes."""

_SIZE = struct.Struct(">Q")


def new_key(entropy: Callable[[int], bytes]) -> Secret:
    """The key of one object; never used for another one."""
    return Secret(entropy(KEY_BYTES))


def padded(n: int) -> int:
    """To how many bytes a content of `n` is filled up: at most 12 % more."""
    if n <= PADDED_MIN:
        return PADDED_MIN
    exponent = n.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (n + mask) & ~mask


def sealed_size(size: int) -> int:
    """How long the sealed object of `size` bytes of data is."""
    content = padded(_SIZE.size + size)
    return content + TAG_BYTES * -(-content // CONTENT_BYTES)


def seal(key: bytes, size: int, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Seal an object piece by piece.

    Args:
        key: 32 bytes, of this object only.
        size: Of all blocks together, in bytes.
        blocks: The data; blocks of any length.

    Yields:
        Segments, in order.

    Raises:
        UsageError: The blocks are more or less than `size`.
    """
    box = Box(key, sealed_size(size))
    index, waiting, left = 0, bytearray(_SIZE.pack(size)), size
    for block in blocks:
        left -= len(block)
        if left < 0:
            break
        waiting += block
        while len(waiting) > CONTENT_BYTES:
            yield box.seal(index, bytes(waiting[:CONTENT_BYTES]))
            del waiting[:CONTENT_BYTES]
            index += 1
    if left:
        raise UsageError(f"{size - left} bytes were given to be sealed, and {size} were announced")
    while index < box.segments:
        room = box.length(index) - TAG_BYTES
        content = bytes(waiting[:room])
        del waiting[:room]
        yield box.seal(index, content + bytes(room - len(content)))
        index += 1


class Box:
    """A sealed object, by segments.

    Args:
        key: 32 bytes.
        size: Of the sealed object, in bytes.

    Raises:
        ProtocolError: No sealed object has this size.
    """

    def __init__(self, key: bytes, size: int) -> None:
        self.size = size
        self.segments = -(-size // SEGMENT_BYTES)
        self._content = size - TAG_BYTES * self.segments
        self._cipher = cipher(CHACHA_NAME, key)
        if self._content < PADDED_MIN or self.length(self.segments - 1) <= TAG_BYTES:
            raise ProtocolError(f"no sealed object has {size} bytes")

    def length(self, index: int) -> int:
        """The length of a segment with its tag."""
        return min(SEGMENT_BYTES, self.size - index * SEGMENT_BYTES)

    def seal(self, index: int, content: bytes) -> bytes:
        """One segment; once for each index and key."""
        return self._cipher.encrypt(self._nonce(index), content, None)

    def open(self, index: int, sealed: bytes) -> bytes:
        """The content of one segment.

        Raises:
            AuthError: It is not this segment of this object, or the key is another.
        """
        if not 0 <= index < self.segments or len(sealed) != self.length(index):
            raise AuthError("a sealed segment has another length than it must have")
        try:
            return self._cipher.decrypt(self._nonce(index), sealed, None)
        except InvalidTag as error:
            raise AuthError("a sealed segment is not authentic, or the key is wrong") from error

    def data_size(self, first: bytes) -> int:
        """How long the data is, from the first segment.

        Raises:
            AuthError: As for `open`.
            ProtocolError: The size does not fit the padding.
        """
        (size,) = _SIZE.unpack_from(self.open(0, first))
        if padded(_SIZE.size + size) != self._content:
            raise ProtocolError("the size in a sealed object does not fit it")
        return int(size)

    @staticmethod
    def covering(start: int, n: int) -> tuple[int, int]:
        """Which segments hold `n` bytes (at least one) of data from `start`: first and count."""
        first = (_SIZE.size + start) // CONTENT_BYTES
        return first, (_SIZE.size + start + n - 1) // CONTENT_BYTES - first + 1

    def range(self, start: int, n: int, sealed: Sequence[bytes]) -> bytes:
        """`n` bytes of data from `start`, out of the segments that `covering` names.

        The caller keeps to the size of the data: what follows it are zeros.
        """
        first, count = self.covering(start, n)
        if len(sealed) != count:
            raise UsageError(f"{count} segments cover the range, not {len(sealed)}")
        content = b"".join(self.open(first + i, segment) for i, segment in enumerate(sealed))
        at = _SIZE.size + start - first * CONTENT_BYTES
        return content[at : at + n]

    def _nonce(self, index: int) -> bytes:
        return index.to_bytes(11) + bytes((index == self.segments - 1,))


def unseal(key: bytes, sealed_bytes: int, segments: Iterable[bytes]) -> Iterator[bytes]:
    """The data of a sealed object, piece by piece.

    Args:
        key: 32 bytes.
        sealed_bytes: The size of the sealed object.
        segments: All of it, in order.

    Raises:
        AuthError: A segment is not authentic; what was given before it is.
        ProtocolError: There are too few segments, or the size does not fit.
    """
    box = Box(key, sealed_bytes)
    left, index = 0, 0
    for index, segment in enumerate(segments, 1):
        content = memoryview(box.open(index - 1, segment))
        if index == 1:
            left = box.data_size(segment)
            content = content[_SIZE.size :]
        if left:
            yield bytes(content[:left])
            left -= min(left, len(content))
    if index != box.segments:
        raise ProtocolError("a sealed object ends too early")
