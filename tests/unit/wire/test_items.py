"""Ids in order: what is put in and taken out, and the fingerprints of ranges."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import UsageError
from whispurrnet.wire.items import CHUNK_MAX, TIME_MAX, Items, pack, varint

TIMES = st.one_of(st.integers(0, 5), st.integers(0, TIME_MAX))
IDS = st.one_of(st.sampled_from([bytes(32), b"\xff" * 32]), st.binary(min_size=32, max_size=32))


def naive_fingerprint(ids: list[bytes]) -> bytes:
    total = sum(int.from_bytes(id, "little") for id in ids) % 2**256
    assert len(ids) < 128 * 128
    high, low = divmod(len(ids), 128)
    count = bytes([high | 128, low]) if high else bytes([low])
    return hashlib.sha256(total.to_bytes(32, "little") + count).digest()[:16]


@given(st.sets(st.tuples(TIMES, IDS)), st.data())
def test_a_set_by_any_way_has_the_fingerprints_of_its_ids(
    content: set[tuple[int, bytes]], data: st.DataObject
) -> None:
    built, grown = Items(content), Items()
    for item in content:
        assert grown.add(*item)
        assert not grown.add(*item)
    ordered = sorted(content)
    low = data.draw(st.integers(0, len(ordered)))
    high = data.draw(st.integers(low, len(ordered)))
    for items in (built, grown):
        items.check_invariants()
        assert len(items) == len(ordered)
        assert items.ids(low, high) == [id for _, id in ordered[low:high]]
        assert items.fingerprint(low, high) == naive_fingerprint(items.ids(low, high))
        for rank, item in enumerate(ordered):
            assert item in items
            assert items.key(rank) == pack(*item)
            assert items.rank(pack(*item)) == rank


@pytest.mark.parametrize("seed", range(4))
def test_many_changes_and_many_chunks(seed: int) -> None:
    rng = Random(seed)
    model = {(rng.randrange(100), rng.randbytes(32)) for _ in range(3 * CHUNK_MAX)}
    items = Items(model)
    for _ in range(40):
        match rng.randrange(4):
            case 0:
                new = {(rng.randrange(90, 100), rng.randbytes(32)) for _ in range(400)}
                assert sum(items.add(*item) for item in sorted(new)) == len(new)
                model |= new
            case 1:
                gone = rng.sample(sorted(model), min(len(model), rng.choice([10, 2000])))
                assert sum(items.remove(*item) for item in gone) == len(gone)
                assert sum(items.remove(*item) for item in gone) == 0
                model -= set(gone)
            case 2:
                time = rng.choice([0, 1, rng.randrange(101)]) if rng.random() < 0.3 else 3
                old = {item for item in model if item[0] < time}
                assert items.drop_before(time) == len(old)
                model -= old
            case _:
                low = rng.randrange(len(model) + 1)
                high = rng.randrange(low, len(model) + 1)
                ids = [id for _, id in sorted(model)[low:high]]
                assert items.ids(low, high) == ids
                assert items.fingerprint(low, high) == naive_fingerprint(ids)
        items.check_invariants()
        assert len(items) == len(model)


def test_an_empty_set() -> None:
    items = Items()
    assert len(items) == 0
    assert (1, bytes(32)) not in items
    assert not items.remove(1, bytes(32))
    assert items.drop_before(7) == 0
    assert items.rank(b"\xff" * 40) == 0
    assert items.ids(0, 0) == []
    assert items.fingerprint(0, 0) == hashlib.sha256(bytes(33)).digest()[:16]


def test_the_last_item_goes_and_another_comes() -> None:
    items = Items([(1, b"a" * 32)])
    assert items.remove(1, b"a" * 32)
    items.check_invariants()
    assert items.add(0, b"b" * 32)
    assert items.drop_before(1) == 1
    items.check_invariants()
    assert len(items) == 0
    assert items.add(3, b"c" * 32)
    assert items.ids(0, 1) == [b"c" * 32]


def test_sums_carry_over_without_harm() -> None:
    """All ones, as many as a chunk holds: the most there can be to carry."""
    items = Items([(time, b"\xff" * 32) for time in range(2 * CHUNK_MAX)])
    assert items.fingerprint(0, 2000) == naive_fingerprint([b"\xff" * 32] * 2000)
    assert items.fingerprint(1, 511) == naive_fingerprint([b"\xff" * 32] * 510)


@pytest.mark.parametrize(
    ("time", "id"), [(-1, bytes(32)), (TIME_MAX + 1, bytes(32)), (0, bytes(16)), (0, bytes(33))]
)
def test_what_is_no_item(time: int, id: bytes) -> None:
    with pytest.raises(UsageError, match="an item is a time"):
        Items().add(time, id)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "00"), (127, "7f"), (128, "8100"), (300, "822c"), (2**64 - 1, "81" + "ff" * 8 + "7f")],
)
def test_varint(value: int, expected: str) -> None:
    assert varint(value).hex() == expected
