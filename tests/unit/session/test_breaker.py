"""The circuit breaker, transition by transition."""

from __future__ import annotations

from whispurrnet.session.breaker import Breaker

A, B = "/a", "/b"


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(failures_max=3, open_s=30.0, addresses_max=10)
    for _ in range(3):
        assert breaker.take(A, now)
        breaker.failed(A, now)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = Breaker(failures_max=3, open_s=30.0, addresses_max=10)
    for _ in range(2):
        breaker.failed(A, 0.0)
    assert breaker.state(A, 0.0) == "closed"
    breaker.worked(A)
    for _ in range(2):
        breaker.failed(A, 0.0)
    assert not breaker.is_open(A)
    breaker.failed(A, 0.0)
    assert breaker.is_open(A)
    assert breaker.state(A, 29.9) == "open"
    assert not breaker.take(A, 29.9)
    assert breaker.rests_until(A, 10.0) == 30.0
    assert breaker.take(B, 0.0)
    assert breaker.rests_until(B, 10.0) == 10.0


def test_half_open_lets_one_attempt_through() -> None:
    breaker = opened()
    assert breaker.state(A, 30.0) == "half-open"
    assert breaker.is_open(A)
    assert breaker.take(A, 30.0)
    assert not breaker.take(A, 30.0)
    assert not breaker.take(A, 3_000.0)
    breaker.failed(A, 40.0)
    assert breaker.state(A, 69.9) == "open"
    assert not breaker.take(A, 69.9)
    assert breaker.take(A, 70.0)
    breaker.worked(A)
    assert breaker.state(A, 70.0) == "closed"
    assert len(breaker) == 0


def test_an_attempt_given_up_tells_nothing() -> None:
    breaker = opened()
    assert breaker.take(A, 30.0)
    breaker.release(A)
    breaker.release(B)
    assert breaker.state(A, 30.0) == "half-open"
    assert breaker.take(A, 30.0)


def test_it_remembers_a_bounded_number() -> None:
    breaker = Breaker(failures_max=1, open_s=30.0, addresses_max=10)
    for n in range(1_000):
        breaker.failed(f"/{n}", 0.0)
    assert len(breaker) == 10
    assert breaker.is_open("/999")
    assert not breaker.is_open("/0")
