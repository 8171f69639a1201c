"""When to ask, and when to give up."""

from __future__ import annotations

from math import inf

import pytest

from whispurrnet.session.heartbeat import PINGS_MAX, Heartbeat


def test_a_ping_is_due_when_nothing_was_sent_or_nothing_heard() -> None:
    heartbeat = Heartbeat(30.0, 3, 0.0)
    assert heartbeat.ask_at == 30.0
    heartbeat.heard_at = 20.0
    assert heartbeat.ask_at == 30.0
    heartbeat.sent_at = 25.0
    assert heartbeat.ask_at == 50.0
    heartbeat.ask(b"a", 50.0)
    assert heartbeat.ask_at == 80.0


def test_three_silent_intervals_are_death() -> None:
    heartbeat = Heartbeat(30.0, 3, 0.0)
    assert heartbeat.dead_at == 90.0
    heartbeat.heard_at = 80.0
    assert heartbeat.dead_at == 170.0


def test_who_does_not_listen_gives_nobody_up() -> None:
    heartbeat = Heartbeat(30.0, 3, 0.0)
    heartbeat.suspend(True, 10.0)
    assert heartbeat.dead_at == inf
    heartbeat.sent_at = 200.0
    assert heartbeat.ask_at == 230.0
    heartbeat.suspend(False, 1000.0)
    assert heartbeat.dead_at == 1090.0


def test_the_round_trip_is_smoothed() -> None:
    heartbeat = Heartbeat(30.0, 3, 0.0)
    heartbeat.ask(b"a", 0.0)
    assert heartbeat.answer(b"a", 0.5) == 0.5
    assert heartbeat.answer(b"a", 0.6) is None
    assert heartbeat.rtt_s == 0.5
    heartbeat.ask(b"b", 1.0)
    assert heartbeat.answer(b"b", 2.3) == pytest.approx(1.3)
    assert heartbeat.rtt_s == pytest.approx(0.6)


def test_questions_without_answer_are_bounded() -> None:
    heartbeat = Heartbeat(30.0, 3, 0.0)
    for n in range(PINGS_MAX + 5):
        heartbeat.ask(b"%d" % n, float(n))
    assert len(heartbeat) == PINGS_MAX
    assert heartbeat.answer(b"4", 20.0) is None
    assert heartbeat.answer(b"5", 20.0) == 15.0


def test_another_time_counts_silence_anew() -> None:
    """Or who wakes would take for dead whom it did not hear in its sleep."""
    heart = Heartbeat(10.0, 3, 0.0)
    heart.stretch(120.0, 5.0)
    assert (heart.interval_s, heart.dead_at) == (120.0, 5.0 + 360.0)
    assert heart.ask_at == 120.0
    heart.stretch(10.0, 300.0)
    assert heart.dead_at == 330.0
    heart.stretch(10.0, 320.0)
    assert heart.dead_at == 330.0, "the same time changes nothing"
