"""When better paths are tried, and what is remembered of it."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.machine import Tick
from whispurrnet.nat.punch import (
    ADDRESSES_MAX,
    TEXT_MAX,
    Attempt,
    Changed,
    Config,
    Direct,
    Ended,
    Noted,
    Punch,
    Relayed,
    Settled,
    Try,
    Webrtc,
)

HERE = ("/ip4/192.0.2.1/tcp/1",)


def punch(**config: object) -> Punch:
    return Punch(Config(**{"jitter": 0.0, **config}), Random(1))  # type: ignore[arg-type]


def relayed(peer: int = 1, *, webrtc: bool = False, opened: bool = True) -> Relayed:
    return Relayed(peer, HERE, webrtc, opened)


def test_first_direct_then_webrtc_then_a_longer_wait_each_time() -> None:
    core = punch()
    assert core.handle(relayed(webrtc=True), 0.0) == []
    now, waits = 0.0, []
    for _ in range(7):
        due = core.deadline
        assert due is not None
        assert core.next_at(1) == due
        waits.append(due - now)
        assert core.handle(Tick(), due) == [Direct(1, HERE)]
        assert core.tries(1) == "direct"
        assert core.next_at(1) is None
        assert core.handle(Ended(1, False, "no answer"), due + 1) == [Webrtc(1)]
        now = due + 5
        assert core.handle(Ended(1, False, "no path"), now) == []
    assert waits == [1.0, 5.0, 15.0, 60.0, 300.0, 300.0, 300.0]
    assert [one.method for one in core.attempts(1)] == ["direct", "webrtc"] * 7
    assert core.attempts(1)[0] == Attempt("direct", HERE[0], False, "no answer", 1.0, 1.0)
    assert core.attempts(1)[1] == Attempt("webrtc", "", False, "no path", 4.0, 2.0)


def test_who_was_called_begins_later() -> None:
    core = punch()
    core.handle(relayed(opened=False), 0.0)
    assert core.next_at(1) == 2.0


def test_waits_are_spread() -> None:
    core = Punch(Config(), Random(1))
    for peer in range(100):
        core.handle(relayed(peer), 0.0)
    dues = [due for peer in range(100) if (due := core.next_at(peer)) is not None]
    assert len(set(dues)) > 90
    assert 0.75 <= min(dues) < 0.85
    assert 1.15 < max(dues) <= 1.25


def test_what_ends_the_need_ends_the_attempts() -> None:
    core = punch()
    core.handle(relayed(), 0.0)
    core.handle(Tick(), 2.0)
    assert core.running == 1
    core.handle(Settled(1), 2.5)
    assert core.running == 0
    assert core.deadline is None
    assert core.handle(Ended(1, True), 3.0) == []
    assert core.attempts(1) == (), "nobody knows how it ended"


def test_success_is_kept() -> None:
    core = punch()
    core.handle(relayed(), 0.0)
    core.handle(Tick(), 2.0)
    core.handle(Ended(1, True, "ignored"), 2.5)
    core.handle(Settled(1), 2.5)
    assert core.attempts(1) == (Attempt("direct", HERE[0], True, "", 0.5, 2.0),)


def test_nothing_to_try_and_switched_off() -> None:
    core = punch()
    core.handle(Relayed(1, (), False, True), 0.0)
    assert core.deadline is None
    assert core.handle(Try(1), 0.0) == []
    core = punch(on=False)
    core.handle(relayed(), 0.0)
    core.handle(Changed(), 1.0)
    assert core.deadline is None
    assert core.handle(Try(1), 0.0) == [Direct(1, HERE)], "somebody wants it all the same"


def test_news_shorten_the_wait_but_not_without_end() -> None:
    core = punch()
    core.handle(relayed(), 0.0)
    for _ in range(4):
        due = core.deadline or 0.0
        core.handle(Tick(), due)
        core.handle(Ended(1, False, "no"), due)
    due = core.next_at(1)
    assert due is not None
    assert due > 200
    core.handle(relayed(), 90.0)
    assert core.next_at(1) == due, "the same addresses are no news"
    soon = 0
    for n in range(20):
        before = core.next_at(1)
        core.handle(Relayed(1, (f"/ip4/192.0.2.{n}/tcp/2",), False, True), 90.0 + n)
        if core.next_at(1) != before:
            soon += 1
            core.handle(Tick(), 90.0 + n + 0.5)
            core.handle(Ended(1, False, "no"), 90.0 + n + 0.5)
    assert soon == 3
    core.handle(Tick(), 120.0)
    core.handle(Ended(1, False, "no"), 120.0)
    core.handle(Changed(), 121.0)
    assert core.next_at(1) == 121.5, "our own news count always"


def test_few_run_at_once_and_the_others_follow() -> None:
    core = punch(at_once=2)
    for peer in range(5):
        core.handle(relayed(peer), 0.0)
    assert core.handle(Tick(), 2.0) == [Direct(0, HERE), Direct(1, HERE)]
    assert core.handle(Ended(0, False, "no"), 3.0) == [Direct(2, HERE)]
    core.handle(Settled(3), 3.0)
    assert core.handle(Settled(1), 3.0) == [Direct(4, HERE)]


def test_an_attempt_without_outcome_ends() -> None:
    core = punch()
    core.handle(relayed(), 0.0)
    core.handle(Tick(), 2.0)
    assert core.deadline == 47.0
    core.handle(Tick(), 47.0)
    assert core.attempts(1)[-1].reason == "no outcome within 45 s"
    assert core.running == 0


@pytest.mark.parametrize("history", [1, 16])
def test_what_is_kept_is_bounded(history: int) -> None:
    core = punch(history=history, peers_max=3)
    for n in range(40):
        for peer in range(10):
            core.handle(Noted(peer, Attempt("relay", "", True, "", 0.0, float(n))), float(n))
    kept = [peer for peer in range(10) if core.attempts(peer)]
    assert len(kept) == 3
    for n in range(40):
        core.handle(Noted(9, Attempt("relay", "", True, "", 0.0, float(n))), float(n))
    assert len(core.attempts(9)) == history
    many = tuple(f"/ip4/192.0.2.{n}/tcp/1" for n in range(20))
    for peer in range(10):
        core.handle(Relayed(peer, many, False, True), 50.0)
    assert [peer for peer in range(10) if core.next_at(peer) is not None] == [0, 1, 2]
    (first, *_) = core.handle(Try(1), 50.0)
    assert isinstance(first, Direct)
    assert len(first.addresses) == ADDRESSES_MAX
    core.handle(Ended(1, False, "x" * 1000), 50.0)
    assert len(core.attempts(1)[-1].reason) == TEXT_MAX
