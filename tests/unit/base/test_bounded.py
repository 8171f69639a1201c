"""Containers that cannot grow without limit."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.bounded import LruDict, TokenBucket

KEYS = st.integers(min_value=0, max_value=5)
CALLS = st.lists(st.tuples(st.sampled_from(["get", "put", "pop", "peek", "pop_oldest"]), KEYS))


def test_the_least_recently_used_entry_goes_first() -> None:
    table = LruDict[str, int](2)
    table.put("a", 1)
    table.put("b", 2)
    assert table.get("a") == 1
    table.put("c", 3)
    assert table.items() == [("a", 1), ("c", 3)]


def test_looking_is_not_using() -> None:
    table = LruDict[str, int](2)
    table.put("a", 1)
    table.put("b", 2)
    assert table.peek("a") == 1
    assert "a" in table
    table.put("c", 3)
    assert list(table) == ["b", "c"]


def test_what_is_not_there_is_none() -> None:
    table = LruDict[str, int](1)
    assert table.get("a") is None
    assert table.peek("a") is None
    assert table.pop("a") is None
    assert table.pop_oldest() is None
    assert "a" not in table


def test_listings_are_copies() -> None:
    table = LruDict[str, int](4)
    for number, key in enumerate("abcd"):
        table.put(key, number)
    for key in table.keys():  # noqa: SIM118 - the listing itself is meant
        table.pop(key)
    assert len(table) == 0
    table.put("z", 9)
    assert (table.keys(), table.values()) == (["z"], [9])
    table.clear()
    assert table.items() == []


@given(CALLS, st.integers(min_value=1, max_value=4))
def test_it_behaves_like_a_dictionary_that_forgets(
    calls: list[tuple[str, int]], limit: int
) -> None:
    table = LruDict[int, int](limit)
    model: OrderedDict[int, int] = OrderedDict()
    for number, (call, key) in enumerate(calls):
        match call:
            case "get":
                assert table.get(key) == model.get(key)
                if key in model:
                    model.move_to_end(key)
            case "peek":
                assert table.peek(key) == model.get(key)
            case "put":
                table.put(key, number)
                model[key] = number
                model.move_to_end(key)
                if len(model) > limit:
                    model.popitem(last=False)
            case "pop":
                assert table.pop(key) == model.pop(key, None)
            case _:
                assert table.pop_oldest() == (model.popitem(last=False) if model else None)
        assert table.items() == list(model.items())
        assert len(table) <= limit


def test_a_bucket_allows_a_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=2, burst=3)
    assert [bucket.take(1, 10.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(1, 10.4)
    assert bucket.take(1, 10.5)
    assert not bucket.take(1, 10.5)


def test_a_refusal_takes_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=4)
    assert bucket.take(3, 0.0)
    assert not bucket.take(2, 0.0)
    assert bucket.take(1, 0.0)


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(rate=100, burst=5)
    assert bucket.take(5, 0.0)
    assert not bucket.take(6, 1e9)
    assert bucket.take(5, 1e9)


def test_time_that_goes_back_adds_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=1)
    assert bucket.take(1, 100.0)
    assert not bucket.take(1, 50.0)
    assert not bucket.take(1, 100.5)
    assert bucket.take(1, 101.0)


@pytest.mark.parametrize(
    ("n", "rate", "expected"), [(1, 2.0, 0.0), (4, 2.0, 0.5), (6, 2.0, None), (4, 0.0, None)]
)
def test_a_bucket_says_how_long_to_wait(n: int, rate: float, expected: float | None) -> None:
    bucket = TokenBucket(rate=rate, burst=5)
    assert bucket.take(2, 0.0)
    assert bucket.wait_s(n, 0.0) == expected
