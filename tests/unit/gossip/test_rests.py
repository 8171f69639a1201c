"""Rests: how long whom is left alone."""

from __future__ import annotations

from math import inf

from whispurrnet.gossip.neighbours import Config
from whispurrnet.gossip.rests import GRACE_S, REMEMBERED_MAX, Rests

KEY = b"k" * 32


def pauses(rests: Rests, count: int) -> list[int]:
    """How long each of so many rests in a row lasts for who is alone, in seconds."""
    now, found = 0, []
    for _ in range(count):
        rests.rest(KEY, now)
        began = now
        while not rests.is_rested(KEY, now, alone=True):
            now += 1
        found.append(now - began)
    return found


def test_who_is_not_asked_yet_is_rested() -> None:
    assert Rests(Config()).is_rested(KEY, 0.0, alone=False)


def test_with_neighbours_a_rest_is_long() -> None:
    rests = Rests(Config())
    rests.rest(KEY, 100.0)
    assert not rests.is_rested(KEY, 164.9, alone=False)
    assert rests.is_rested(KEY, 165.0, alone=False)


def test_alone_it_is_short_and_twice_as_long_each_time() -> None:
    assert pauses(Rests(Config()), 6) == [4, 8, 16, 32, 64, 65]


def test_after_a_while_it_is_short_again() -> None:
    rests = Rests(Config())
    pauses(rests, 4)
    rests.rest(KEY, 1000.0)
    assert rests.is_rested(KEY, 1004.0, alone=True)


def test_a_backoff_holds_also_for_who_is_alone() -> None:
    rests = Rests(Config())
    rests.back_off(KEY, 60.0)
    assert rests.in_backoff(KEY, 59.9)
    assert not rests.in_backoff(KEY, 60.0)
    assert not rests.is_rested(KEY, 60.0, alone=True), "the others' clock may be late"
    assert rests.is_rested(KEY, 60.0 + GRACE_S, alone=True)


def test_a_polite_refusal_does_not_stand_against_an_urgent_question() -> None:
    rests = Rests(Config())
    rests.rest(KEY, 100.0, polite=True)
    assert not rests.is_rested(KEY, 164.9, alone=False)
    assert rests.is_rested(KEY, 100.0, alone=False, urgent=True)
    rests.rest(KEY, 101.0)  # so it has refused that, too, or did not answer
    assert not rests.is_rested(KEY, 165.9, alone=False, urgent=True)
    rests.rest(KEY, 200.0, polite=True)
    rests.back_off(KEY, 260.0)
    assert not rests.is_rested(KEY, 260.0, alone=False, urgent=True), "that was agreed"


def test_the_first_end_of_a_rest_is_known_to_who_is_in_need() -> None:
    rests, keys = Rests(Config()), [bytes([number]) * 32 for number in range(5)]
    assert rests.next_end(keys, 0.0, alone=False) == inf
    rests.rest(keys[0], 0.0)
    rests.rest(keys[1], 2.0)
    rests.back_off(keys[2], 10.0)
    rests.rest(keys[3], 1.0, polite=True)
    assert rests.next_end(keys, 2.0, alone=False) == 10.0 + GRACE_S
    assert rests.next_end(keys, 2.0, alone=True) == 4.0
    assert rests.next_end(keys, 15.0, alone=False) == 65.0, "what has ended does not come"
    assert rests.next_end(keys, 65.0, alone=False) == 67.0
    assert rests.next_end(keys, 67.0, alone=False) == inf
    rests.back_off(keys[0], 80.0)
    assert rests.next_end(keys[:1], 0.0, alone=True) == 80.0 + GRACE_S, "the later of the two"


def test_nobody_shortens_a_backoff() -> None:
    rests = Rests(Config())
    rests.back_off(KEY, 60.0)
    rests.back_off(KEY, 10.0)
    assert rests.in_backoff(KEY, 59.9)
    rests.back_off(KEY, 70.0)
    assert rests.in_backoff(KEY, 69.9)


def test_what_is_remembered_is_bounded() -> None:
    rests = Rests(Config())
    for number in range(2 * REMEMBERED_MAX):
        rests.rest(number.to_bytes(32, "big"), 0.0)
        rests.back_off(number.to_bytes(32, "big"), 60.0)
    assert len(rests._rests) == len(rests._backoffs) == REMEMBERED_MAX
