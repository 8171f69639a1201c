"""Named deadlines."""

from __future__ import annotations

from whispurrnet.base.timers import STALE_MAX, Timers


def test_timers_expire_in_order() -> None:
    timers = Timers[str]()
    timers.set("b", 2.0)
    timers.set("a", 1.0)
    timers.set("c", 1.0)
    assert timers.deadline == 1.0
    assert list(timers.expire(2.0)) == ["a", "c", "b"]
    assert timers.deadline is None


def test_setting_again_moves_the_deadline() -> None:
    timers = Timers[str]()
    timers.set("a", 1.0)
    timers.set("a", 5.0)
    assert list(timers.expire(4.0)) == []
    assert list(timers.expire(5.0)) == ["a"]


def test_a_cancelled_key_does_not_expire() -> None:
    timers = Timers[str]()
    timers.set("a", 1.0)
    timers.cancel("a")
    timers.cancel("never set")
    assert "a" not in timers
    assert timers.deadline is None
    assert list(timers.expire(9.0)) == []


def test_a_key_set_while_expiring_is_seen() -> None:
    timers = Timers[str]()
    timers.set("a", 1.0)
    seen = []
    for key in timers.expire(3.0):
        seen.append(key)
        if len(seen) < 3:
            timers.set("a", 2.0)
    assert seen == ["a", "a", "a"]


def test_a_deadline_moved_at_every_message_does_not_grow_the_heap() -> None:
    timers = Timers[str]()
    timers.set("other", 1e6)
    for number in range(10_000):
        timers.set("idle", 30.0 + number)
        assert len(timers._heap) <= 2 * len(timers) + STALE_MAX
    assert timers.deadline == 30.0 + 9_999
    assert list(timers.expire(2e6)) == ["idle", "other"]
