"""Records: one place each, in one direction, in one epoch."""

from __future__ import annotations

from hashlib import blake2s

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from whispurrnet.base.errors import AuthError, ProtocolError, UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import next_key
from whispurrnet.session.record import (
    HEAD_BYTES,
    RECORD_BYTES_MAX,
    RECORD_ROOM,
    SIZES,
    Opener,
    Reader,
    Sealer,
    suite_of,
)

KEY = Secret(bytes(range(32)))
MASK = Secret(bytes(range(32, 64)))
FRAMES = [b"\x04\x00\x02hi"]


def ends(**limits: int) -> tuple[Sealer, Opener]:
    return Sealer(KEY, MASK, 0, **limits), Opener(KEY, MASK, 0, **limits)


def test_the_layout_is_the_documented_one() -> None:
    sealer = Sealer(KEY, MASK, 0x102)
    sealer.seal([], 0)
    record = sealer.seal(FRAMES, 5)
    counter = (1).to_bytes(8, "little")
    mask = blake2s(counter, key=MASK).digest()
    assert bytes(a ^ b for a, b in zip(record, mask, strict=False))[:HEAD_BYTES] == b"\x00\x01"
    plaintext = ChaCha20Poly1305(KEY).decrypt(bytes(4) + counter, record[2:], b"\x02\x00")
    assert plaintext == FRAMES[0].ljust(240, b"\0")


@pytest.mark.parametrize("size", [0, 1, *(s - 17 for s in SIZES), *(s - 16 for s in SIZES)])
def test_a_record_takes_the_smallest_size_that_fits(size: int) -> None:
    sealer, opener = ends()
    record = sealer.seal([b"x" * size], size)
    assert len(record) - HEAD_BYTES == min(s for s in SIZES if s - 16 >= size)
    assert list(Reader(opener).read(record)) == [(b"x" * size).ljust(len(record) - 18, b"\0")]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="room"):
        ends()[0].seal([bytes(RECORD_ROOM + 1)], RECORD_ROOM + 1)


@pytest.mark.parametrize("chunk", [1, 2, 3, 257, 258, 259, 70_000, 300_000])
def test_bytes_may_be_cut_anywhere(chunk: int) -> None:
    sealer, opener = ends()
    sizes = [5, 3000, 5, 65_000, 40_000, 5, 5]
    wire = b"".join(sealer.seal([bytes([7]) * size], size) for size in sizes)
    reader = Reader(opener)
    plaintexts = []
    for start in range(0, len(wire), chunk):
        plaintexts += reader.read(wire[start : start + chunk])
        assert len(reader) < RECORD_BYTES_MAX
    assert [plaintext.count(7) for plaintext in plaintexts] == sizes
    assert len(reader) == 0


def test_every_flipped_bit_is_noticed() -> None:
    record = ends()[0].seal(FRAMES, 5)
    for index in range(len(record)):
        for bit in (1, 128):
            forged = bytearray(record)
            forged[index] ^= bit
            reader = Reader(ends()[1])
            with pytest.raises(ProtocolError):
                # A forged head may name another size: more bytes come until it is tried.
                list(reader.read(bytes(forged) + bytes(RECORD_BYTES_MAX)))


def test_an_unknown_size_is_refused_before_anything_is_held() -> None:
    record = bytearray(ends()[0].seal(FRAMES, 5))
    record[1] ^= 2
    with pytest.raises(ProtocolError, match="size"):
        list(Reader(ends()[1]).read(record[:HEAD_BYTES]))


def test_a_record_opens_only_in_its_place() -> None:
    sealer, _ = ends()
    first, second = sealer.seal(FRAMES, 5), sealer.seal(FRAMES, 5)
    for wire in (second, first + first):
        with pytest.raises(ProtocolError):
            list(Reader(ends()[1]).read(wire + bytes(RECORD_BYTES_MAX)))
    for other in (Opener(KEY, MASK, 1), Opener(Secret(bytes(32)), MASK, 0)):
        with pytest.raises(AuthError):
            list(Reader(other).read(first))


def test_records_of_one_size_look_different() -> None:
    sealer, _ = ends()
    assert len({sealer.seal([], 0)[:HEAD_BYTES] for _ in range(50)}) > 40


def test_the_key_turns_every_so_many_records() -> None:
    sealer, opener = ends(next_key_records=4)
    reader = Reader(opener)
    records = [sealer.seal(FRAMES, 5) for _ in range(10)]
    assert all(len(list(reader.read(record))) == 1 for record in records)
    counter = (9).to_bytes(8, "little")
    late = ChaCha20Poly1305(next_key(next_key(KEY)))
    assert late.decrypt(bytes(4) + counter, records[9][2:], b"\0\0").startswith(FRAMES[0])


def test_aes_records_have_the_same_layout_and_turn_their_own_key() -> None:
    sealer, opener = (
        kind(KEY, MASK, 0, suite="AESGCM", next_key_records=2) for kind in (Sealer, Opener)
    )
    records = [sealer.seal(FRAMES, 5) for _ in range(3)]
    reader = Reader(opener)
    assert all(len(list(reader.read(record))) == 1 for record in records)
    counter = (2).to_bytes(8, "little")
    late = AESGCM(next_key(KEY, "AESGCM"))
    assert late.decrypt(bytes(4) + counter, records[2][2:], b"\0\0").startswith(FRAMES[0])
    with pytest.raises(AuthError):
        ends()[1].open(records[0][2:])


@pytest.mark.parametrize(
    ("features", "suite"), [(0, "ChaChaPoly"), (1, "AESGCM"), (6, "ChaChaPoly")]
)
def test_the_features_of_both_sides_choose_the_cipher(features: int, suite: str) -> None:
    assert suite_of(features) == suite


def test_the_counter_ends_hard() -> None:
    sealer, opener = ends(next_key_records=4, records_max=6)
    records = [sealer.seal(FRAMES, 5) for _ in range(6)]
    with pytest.raises(ProtocolError, match="rekey"):
        sealer.seal(FRAMES, 5)
    longer = Sealer(KEY, MASK, 0, next_key_records=4)
    records = [longer.seal(FRAMES, 5) for _ in range(7)]
    reader = Reader(opener)
    assert len(list(reader.read(b"".join(records[:6])))) == 6
    with pytest.raises(ProtocolError, match="rekey"):
        list(reader.read(records[6]))


def test_the_counter_of_an_epoch_stays_below_2_to_the_32() -> None:
    sealer, _ = ends()
    sealer.counter = 2**32 - 1
    sealer._next_key_at = 2**32
    sealer.seal(FRAMES, 5)
    with pytest.raises(ProtocolError, match="rekey"):
        sealer.seal(FRAMES, 5)
