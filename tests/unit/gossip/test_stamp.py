"""Stamps belong to one message, and cost more when there is more."""

from __future__ import annotations

import hashlib

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.gossip import stamp
from whispurrnet.gossip.stamp import Config, Difficulty

ID, EXPIRY_S, BITS = bytes(range(16)), 1_760_000_100, 12


@pytest.fixture(scope="module")
def value() -> bytes:
    return stamp.solve(ID, EXPIRY_S, BITS)


def test_a_stamp_is_hashcash(value):
    digest = hashlib.sha256(ID + EXPIRY_S.to_bytes(4, "big") + value).digest()
    assert int.from_bytes(digest, "big") >> (256 - BITS) == 0
    assert len(value) == stamp.VALUE_BYTES
    assert stamp.verify(ID, EXPIRY_S, value, BITS)
    assert stamp.verify(ID, EXPIRY_S, value, BITS - 3)
    assert not stamp.verify(ID, EXPIRY_S, value, 60)


def test_a_stamp_fits_no_other_message(value):
    assert not stamp.verify(bytes(16), EXPIRY_S, value, BITS)
    assert not stamp.verify(ID, EXPIRY_S + 10, value, BITS)
    for bit in range(128):
        other = (int.from_bytes(ID, "big") ^ 1 << bit).to_bytes(16, "big")
        assert not stamp.verify(other, EXPIRY_S, value, BITS)


@pytest.mark.parametrize("length", [0, 15, 17, 4096])
def test_a_stamp_of_another_length_is_none(length):
    assert not stamp.verify(ID, EXPIRY_S, bytes(length), 0)


def test_the_first_value_at_or_after_the_start_is_taken(value):
    first = int.from_bytes(value, "big")
    assert stamp.attempt(ID, EXPIRY_S, BITS, 0, first) is None
    assert stamp.attempt(ID, EXPIRY_S, BITS, 0, first + 1) == value
    assert stamp.solve(ID, EXPIRY_S, BITS, first) == value
    assert stamp.solve(ID, EXPIRY_S, BITS, first + 1) > value
    assert stamp.solve(ID, EXPIRY_S, 0, 7) == (7).to_bytes(16, "big")


def test_solving_goes_on_where_one_turn_ends(value, monkeypatch):
    monkeypatch.setattr(stamp, "_TRIES", 10)
    assert stamp.solve(ID, EXPIRY_S, BITS) == value


def busy(difficulty: Difficulty, per_s: float, since: float, for_s: float) -> float:
    """Messages at an even rate; returns when the last one came."""
    now = since
    for n in range(int(per_s * for_s)):
        now = since + n / per_s
        difficulty.note(now)
    return now


def test_quiet_asks_the_least():
    difficulty = Difficulty()
    assert difficulty.bits(0.0) == difficulty.accepts(0.0) == difficulty.advised(0.0) == 14
    now = busy(difficulty, 90.0, 0.0, 120.0)
    assert difficulty.load_per_s(now) == pytest.approx(90.0, rel=0.02)
    assert difficulty.bits(now) == 14


@pytest.mark.parametrize(
    ("per_s", "bits"),
    [(110, 15), (190, 15), (210, 16), (450, 17), (900, 18), (1_800, 19), (3_500, 20), (9_000, 20)],
)
def test_each_doubling_asks_one_bit_more(per_s, bits):
    difficulty = Difficulty()
    assert difficulty.bits(busy(difficulty, per_s, 0.0, 60.0)) == bits


def test_after_a_raise_two_bits_less_are_taken_for_a_minute():
    difficulty = Difficulty()
    for start in range(0, 30, 1):  # it rises on the way, as it is looked at
        busy(difficulty, 900, start, 1.0)
        difficulty.bits(start + 1.0)
    assert difficulty.bits(30.0) == 18
    raised_at = difficulty._raised_at
    assert raised_at is not None
    assert difficulty.accepts(30.0) == 16
    now = busy(difficulty, 900, 30.0, 61.0)
    assert now > raised_at + 60.0
    assert difficulty.accepts(now) == difficulty.bits(now) == 18


def test_grace_never_goes_below_the_base():
    difficulty = Difficulty()
    now = busy(difficulty, 110, 0.0, 40.0)
    assert difficulty.bits(now) == 15
    assert difficulty.accepts(now) == 14


def test_a_raise_lasts_as_long_as_its_grace_then_it_falls_at_once():
    difficulty = Difficulty()
    now = busy(difficulty, 900, 0.0, 40.0)
    assert difficulty.bits(now) == 18
    assert difficulty.bits(now + 59.0) == 18
    assert difficulty.bits(now + 60.0) == difficulty.accepts(now + 60.0) == 14


def test_who_sends_does_at_least_what_most_neighbours_ask():
    difficulty = Difficulty()
    for peer, bits in enumerate((14, 16, 19)):
        difficulty.heard(peer, bits, 0.0)
    assert difficulty.advised(0.0) == 16
    difficulty.heard(0, 18, 1.0)
    assert difficulty.advised(1.0) == 18
    difficulty.forget(2)
    assert difficulty.advised(1.0) == 16
    assert difficulty.accepts(1.0) == difficulty.bits(1.0) == 14
    difficulty.forget(2)


def test_what_neighbours_said_long_ago_counts_no_more():
    difficulty = Difficulty()
    difficulty.heard(1, 18, 0.0)
    assert difficulty.advised(180.0) == 18
    assert difficulty.advised(181.0) == 14


def test_neighbours_who_lie_cost_a_second_at_most_and_little_memory():
    difficulty = Difficulty()
    for peer in range(1000):
        difficulty.heard(peer, 255, 0.0)
    assert difficulty.advised(0.0) == 20
    assert len(difficulty._heard) == 128
    for peer in range(1000):
        difficulty.heard(peer, 0, 0.0)
    assert difficulty.advised(0.0) == 14


def test_time_that_goes_back_changes_nothing():
    difficulty = Difficulty()
    difficulty.note(10.0)
    difficulty.note(5.0)
    assert difficulty.load_per_s(10.0) == pytest.approx(0.2)


@pytest.mark.parametrize(("base", "cap"), [(-1, 20), (21, 20), (14, 256)])
def test_settings_that_contradict_are_refused(base, cap):
    with pytest.raises(UsageError, match="base bits"):
        Difficulty(Config(base_bits=base, cap_bits=cap))
