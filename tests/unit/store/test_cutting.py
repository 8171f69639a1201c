"""Cutting by content."""

from __future__ import annotations

import sys
from random import Random

import pytest

from whispurrnet.base.errors import HostError
from whispurrnet.store import cutting
from whispurrnet.store.cutting import cut

DATA = Random(1).randbytes(300_000)


def chunks(data: bytes, lengths: list[int]) -> set[bytes]:
    found, at = set(), 0
    for length in lengths:
        found.add(data[at : at + length])
        at += length
    assert at == len(data)
    return found


def test_chunks_are_in_bounds_and_make_up_the_whole() -> None:
    for data in (DATA, bytes(300_000)):
        lengths = cut(data, chunk_log2=10)
        assert sum(lengths) == len(data)
        assert all(256 <= length <= 4096 for length in lengths[:-1])
    assert cut(b"") == [0]
    assert cut(b"", last=False) == []
    assert cut(b"abc") == [3]


@pytest.mark.parametrize("window", [5_000, 8_192, 100_000])
def test_window_by_window_is_the_same_as_at_once(window: int) -> None:
    lengths: list[int] = []
    at = 0
    while at < len(DATA):
        piece = DATA[at : at + window]
        lengths += (now := cut(piece, last=at + window >= len(DATA), chunk_log2=10))
        assert now
        at += sum(now)
    assert lengths == cut(DATA, chunk_log2=10)


def test_what_is_inserted_changes_few_chunks() -> None:
    other = DATA[:100_000] + b"inserted" * 10 + DATA[100_000:]
    before, after = (chunks(data, cut(data, chunk_log2=10)) for data in (DATA, other))
    assert len(after - before) <= 4


def test_without_the_compiled_part_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastcdc.fastcdc_cy", None)
    cutting._fastcdc.cache_clear()
    try:
        with pytest.raises(HostError, match=r"whispurrnet\[cdc\]"):
            cut(b"abc")
    finally:
        cutting._fastcdc.cache_clear()
