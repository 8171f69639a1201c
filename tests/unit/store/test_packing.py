from __future__ import annotations

import contextlib
import time
from random import Random

import pytest
import zstandard

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store import packing
from whispurrnet.store.packing import Packed, pack, unpack

CHUNK = 1 << 18
TEXT = (b"what there is to say is said again " * 8000)[:CHUNK]


def frame(data: bytes, **more: object) -> bytes:
    return zstandard.ZstdCompressor(**more).compress(data)  # type: ignore[arg-type]


def test_what_can_be_shorter_is_packed_and_comes_back() -> None:
    for data in (TEXT, TEXT[:1000], bytes(1 << 22)):
        packed = pack(data)
        assert isinstance(packed, Packed) and len(packed) < len(data)
        assert unpack(packed, len(data)) == data


def test_what_cannot_is_left_as_it_is() -> None:
    for data in (b"", b"a", Random(1).randbytes(CHUNK)):
        assert pack(data) is data


def without_length() -> bytes:
    """A frame that does not say how long its content is, as a stream has it."""
    return frame(TEXT, write_content_size=False)


def forged(claims: int, data: bytes) -> bytes:
    """A frame whose header lies: four bytes for the length of the content, and one segment."""
    body = without_length_of(data)
    return packing.MAGIC + bytes([0b1010_0000]) + claims.to_bytes(4, "little") + body


def without_length_of(data: bytes) -> bytes:
    """The blocks of a frame, without its header."""
    made = frame(data, write_content_size=False, write_checksum=False)
    return made[zstandard.frame_header_size(made) :]


def far_window() -> bytes:
    """A frame of the right length that asks for a window of 128 MiB."""
    head = bytes([0b1000_0000, (27 - 10) << 3])
    return packing.MAGIC + head + CHUNK.to_bytes(4, "little") + without_length_of(TEXT)


BOMBS = {
    "a gigabyte of nothing": frame(bytes(1 << 28)),
    "it says a gigabyte": forged(1 << 30, TEXT),
    "longer than it says": forged(CHUNK, bytes(1 << 26)),
    "longer by one": forged(CHUNK, TEXT + b"x"),
    "shorter than it says": forged(CHUNK, TEXT[:-1]),
    "it does not say": without_length(),
    "another follows": frame(TEXT) + frame(bytes(1 << 26)),
    "something follows": frame(TEXT) + b"x",
    "a part of it": frame(TEXT)[:-1],
    "one to be skipped": b"\x50\x2a\x4d\x18" + (CHUNK).to_bytes(4, "little") + bytes(10),
    "nothing": b"",
    "only its name": packing.MAGIC,
    "no frame": b"x" * 100,
    "the plain chunk": TEXT,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_at_once(bomb: bytes) -> None:
    before = time.process_time()
    with pytest.raises(ProtocolError):
        unpack(bomb, CHUNK)
    assert time.process_time() - before < 0.05


def test_the_forged_frames_are_real() -> None:
    """Otherwise the test above would show nothing."""
    assert unpack(forged(CHUNK, TEXT), CHUNK) == TEXT


def test_without_the_bound_the_bombs_go_off() -> None:
    """The control: what a careless receiver would have in memory."""
    bomb = BOMBS["a gigabyte of nothing"]
    # `max_output_size` alone bounds nothing: what the frame says goes before it.
    assert len(zstandard.ZstdDecompressor().decompress(bomb, max_output_size=CHUNK)) == 1 << 28
    assert len(bomb) < CHUNK


def test_a_far_window_takes_no_memory() -> None:
    with contextlib.suppress(ProtocolError):
        assert unpack(far_window(), CHUNK) == TEXT


def test_no_flipped_byte_makes_it_longer() -> None:
    packed, refused = pack(TEXT[:5000]), 0
    for at in range(len(packed)):
        for bit in range(8):
            changed = bytearray(packed)
            changed[at] ^= 1 << bit
            try:
                assert len(unpack(bytes(changed), 5000)) == 5000
            except ProtocolError:
                refused += 1
    assert refused > len(packed)


def test_garbage_behind_a_good_beginning() -> None:
    rng = Random(2)
    head = pack(TEXT)[:12]
    for _ in range(300):
        try:
            assert len(unpack(head + rng.randbytes(rng.randrange(200)), CHUNK)) == CHUNK
        except ProtocolError:
            continue


def test_without_the_library_nothing_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack(TEXT)
    assert packing.available()
    monkeypatch.setattr(packing, "_zstandard", lambda: None)
    assert not packing.available()
    assert pack(TEXT) is TEXT
    with pytest.raises(ProtocolError):
        unpack(packed, CHUNK)
