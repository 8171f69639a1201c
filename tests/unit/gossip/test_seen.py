"""Seen: ids are remembered for as long as their messages could come again, and no more of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.gossip.seen import Seen


def name(n: int) -> bytes:
    return n.to_bytes(16, "big")


def test_what_was_added_is_there() -> None:
    seen = Seen(300.0, 1000)
    seen.add(name(1), 330.0, 0.0)
    assert name(1) in seen
    assert name(2) not in seen
    assert len(seen) == 1


def test_an_id_outlives_its_message_wherever_in_a_generation_it_came() -> None:
    for begun in range(0, 700, 10):
        seen = Seen(300.0, 1000)
        for now in range(0, begun, 10):
            seen.add(name(now), now + 360.0, float(now))
        seen.add(name(9999), begun + 360.0, float(begun))
        for now in range(begun + 1, begun + 360):
            seen.add(name(10_000 + now), now + 360.0, float(now))
            assert name(9999) in seen, (begun, now)


def test_a_short_life_is_remembered_for_the_span_all_the_same() -> None:
    seen = Seen(300.0, 1000)
    seen.add(name(1), 299.0, 298.0)
    for now in range(299, 598):
        seen.add(name(now + 2), now + 1.0, float(now))
        assert name(1) in seen


def test_what_has_expired_is_forgotten() -> None:
    seen = Seen(300.0, 1000)
    seen.add(name(1), 330.0, 0.0)
    seen.turn(299.0)
    assert name(1) in seen
    seen.turn(300.0)
    assert name(1) in seen
    seen.turn(600.0)
    assert name(1) not in seen
    assert seen.overflows == 0


def test_a_turn_waits_for_what_has_not_expired() -> None:
    seen = Seen(300.0, 1000)
    seen.add(name(1), 900.0, 0.0)
    seen.turn(300.0)
    seen.add(name(2), 310.0, 301.0)
    seen.turn(899.0)
    assert name(1) in seen
    assert name(2) in seen
    seen.turn(900.0)
    assert name(1) not in seen
    assert name(2) in seen


def test_too_many_push_out_the_oldest() -> None:
    seen = Seen(300.0, 100)
    for n in range(1000):
        seen.add(name(n), 330.0, 1.0)
        assert len(seen) <= 100
        assert name(n) in seen
        assert n < 50 or name(n - 49) in seen
    assert name(0) not in seen
    assert seen.overflows == 18


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 360)), max_size=80))
def test_it_remembers_what_a_plain_record_does(steps: list[tuple[float, float]]) -> None:
    seen, until, now = Seen(300.0, 1000), dict[bytes, float](), 0.0
    for n, (pause, life) in enumerate(steps):
        now += pause
        seen.add(name(n), now + life, now)
        until[name(n)] = max(now + life, now + 300.0)
        for id, end in until.items():
            assert id in seen or now >= end
