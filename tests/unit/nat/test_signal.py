"""One attempt at a time: who offers, who answers, and every way in which it ends."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.nat import signal
from whispurrnet.nat import signal_messages as wire
from whispurrnet.nat.signal import Config, Signal

A, B = 1, 2


def numbers(*first: int) -> Callable[[int], bytes]:
    queue = iter([*first, *range(1000, 2000)])
    return lambda n: next(queue).to_bytes(n, "big")


def node(*first: int, on: bool = True, config: Config | None = None) -> Signal:
    return Signal(config or Config(), on=on, entropy=numbers(*first))


def sent(effects: list[signal.Effect]) -> list[wire.Message]:
    found = [wire.decode(effect.body) for effect in effects if isinstance(effect, signal.Send)]
    assert None not in found
    return [message for message in found if message is not None]


def up(*first: int, able: bool = True) -> Signal:
    made = node(*first)
    made.handle(signal.Up(B, able), 0)
    return made


def offered() -> Signal:
    """An attempt 5 whose offer is on its way."""
    made = up(5)
    assert made.handle(signal.Begin(B), 0) == [signal.Start(B, 5, "")]
    assert sent(made.handle(signal.Described(B, 5, "v=0"), 0)) == [wire.Offer(5, "v=0")]
    return made


def says(message: wire.Message) -> signal.Arrived:
    return signal.Arrived(B, wire.encode(message))


def test_both_sides_of_a_good_attempt() -> None:
    a = offered()
    assert a.handle(says(wire.Answer(5, "v=1")), 1) == [signal.Accept(B, 5, "v=1")]
    assert sent(a.handle(signal.Found(B, 5, "candidate:1", "0"), 1)) == [
        wire.Candidate(5, "candidate:1", "0")
    ]
    assert a.handle(says(wire.Candidate(5, "candidate:2", "0")), 1) == [
        signal.Candidate(B, 5, "candidate:2", "0")
    ]
    assert a.handle(signal.Opened(B, 5), 2) == []
    assert a.deadline == 12
    assert a.handle(signal.Down(B), 3) == []  # the new session takes over
    assert a.handle(signal.Up(B, True), 3) == []
    assert a.handle(signal.Joined(B), 3) == [signal.Ended(B, True, "", True)]
    assert a.deadline is None
    assert a.attempts == 0
    assert a.can_begin(B)

    b = up()
    assert b.handle(says(wire.Offer(5, "v=0")), 0) == [signal.Start(B, 5, "v=0")]
    assert sent(b.handle(signal.Described(B, 5, "v=1"), 0)) == [wire.Answer(5, "v=1")]
    assert b.handle(says(wire.Candidate(5, "", "")), 0) == [signal.Candidate(B, 5, "", "")]
    b.handle(signal.Opened(B, 5), 1)
    assert b.handle(signal.Joined(B), 1) == [signal.Ended(B, True, "", False)]


@pytest.mark.parametrize(
    ("on", "able", "is_up"), [(False, True, True), (True, False, True), (True, True, False)]
)
def test_what_cannot_begin(on: bool, able: bool, is_up: bool) -> None:
    made = node(on=on)
    if is_up:
        made.handle(signal.Up(B, able), 0)
    assert not made.can_begin(B)
    assert made.handle(signal.Begin(B), 0) == []


def test_one_attempt_at_a_time() -> None:
    a = offered()
    assert not a.can_begin(B)
    assert a.handle(signal.Begin(B), 0) == []


def test_who_has_no_webrtc_says_so() -> None:
    b = node(on=False)
    b.handle(signal.Up(B, True), 0)
    effects = b.handle(says(wire.Offer(9, "v=0")), 0)
    assert sent(effects) == [wire.End(9, wire.CANNOT, "")]
    assert len(effects) == 1


def test_nobody_answers() -> None:
    a = offered()
    assert a.deadline == 15
    effects = a.handle(Tick(), 15)
    assert sent(effects) == [wire.End(5, wire.TIMED_OUT, "")]
    assert signal.Stop(B, 5) in effects
    ended = effects[-1]
    assert isinstance(ended, signal.Ended)
    assert "did not answer" in ended.reason
    assert a.deadline is None


def test_no_path() -> None:
    a = offered()
    a.handle(says(wire.Answer(5, "v=1")), 1)
    ended = a.handle(Tick(), 15)[-1]
    assert isinstance(ended, signal.Ended)
    assert "nat.ice_servers" in ended.reason


def test_a_channel_without_a_session() -> None:
    a = offered()
    a.handle(says(wire.Answer(5, "v=1")), 1)
    a.handle(signal.Opened(B, 5), 2)
    ended = a.handle(Tick(), 12)[-1]
    assert isinstance(ended, signal.Ended)
    assert not ended.ok
    assert "no session" in ended.reason


def test_the_peer_ends_it() -> None:
    a = offered()
    effects = a.handle(says(wire.End(5, wire.TOO_MANY, "go away")), 1)
    assert effects[0] == signal.Stop(B, 5)
    ended = effects[1]
    assert isinstance(ended, signal.Ended)
    assert "go away" not in ended.reason  # what a peer writes is not shown as if it were ours
    assert a.can_begin(B)


def test_the_shell_fails() -> None:
    a = offered()
    effects = a.handle(signal.Failed(B, 5, "no address"), 1)
    assert sent(effects) == [wire.End(5, wire.FAILED, "")]
    assert effects[-1] == signal.Ended(B, False, "no address", True)
    silent = up(5)
    silent.handle(signal.Begin(B), 0)
    assert sent(silent.handle(signal.Failed(B, 5, "no address"), 1)) == []  # it knows of nothing


def test_a_description_that_is_too_long() -> None:
    a = up(5)
    a.handle(signal.Begin(B), 0)
    ended = a.handle(signal.Described(B, 5, "v" * (wire.SDP_CHARS_MAX + 1)), 0)[-1]
    assert ended == signal.Ended(B, False, "our description is too long", True)


def test_the_session_ends_meanwhile() -> None:
    a = offered()
    effects = a.handle(signal.Down(B), 1)
    assert sent(effects) == []
    assert [type(effect) for effect in effects] == [signal.Stop, signal.Ended]
    assert a.attempts == 0


# Both offer


@pytest.mark.parametrize(("ours", "theirs"), [(5, 6), (6, 5), (5, 5)])
def test_glare(ours: int, theirs: int) -> None:
    a, b = offered() if ours == 5 else up(ours), up(theirs)
    if ours != 5:
        a.handle(signal.Begin(B), 0)
        a.handle(signal.Described(B, ours, "v=0"), 0)
    b.handle(signal.Begin(B), 0)
    b.handle(signal.Described(B, theirs, "v=0"), 0)
    at_a = a.handle(says(wire.Offer(theirs, "v=0")), 1)
    at_b = b.handle(says(wire.Offer(ours, "v=0")), 1)
    if ours < theirs:
        assert at_a == []
        assert signal.Start(B, ours, "v=0") in at_b
        assert a.attempt(B) == b.attempt(B) == ours
    elif ours > theirs:
        assert at_b == []
        assert signal.Start(B, theirs, "v=0") in at_a
        assert a.attempt(B) == b.attempt(B) == theirs
    else:
        assert a.attempt(B) is b.attempt(B) is None


def test_glare_before_our_offer_is_made() -> None:
    a = up(9)
    a.handle(signal.Begin(B), 0)
    effects = a.handle(says(wire.Offer(5, "v=0")), 1)
    assert [type(effect) for effect in effects] == [signal.Stop, signal.Ended, signal.Start]
    assert a.handle(signal.Described(B, 9, "late"), 2) == []


# What does not belong


@pytest.mark.parametrize(
    "message",
    [
        wire.Answer(6, "v=1"),
        wire.Candidate(6, "candidate:1", "0"),
        wire.End(6, 3, ""),
        wire.Candidate(5, "candidate:1", "0"),  # before the answer
    ],
)
def test_what_is_late_is_counted_and_ignored(message: wire.Message) -> None:
    a = offered()
    assert a.handle(says(message), 1) == []
    assert a.late == 1
    assert a.attempt(B) == 5


def test_an_answer_counts_once_and_only_to_what_was_offered() -> None:
    a = offered()
    a.handle(says(wire.Answer(5, "v=1")), 1)
    assert a.handle(says(wire.Answer(5, "v=2")), 1) == []
    early = up(5)
    early.handle(signal.Begin(B), 0)
    assert early.handle(says(wire.Answer(5, "v=1")), 1) == []
    assert a.late == early.late == 1
    answering = up()
    answering.handle(says(wire.Offer(5, "v=0")), 1)
    assert answering.handle(says(wire.Answer(5, "v=1")), 1) == []


def test_what_is_malformed_is_the_peers_fault() -> None:
    early = up(5)
    early.handle(signal.Begin(B), 0)
    with pytest.raises(ProtocolError):
        early.handle(signal.Arrived(B, b"\xc1"), 1)
    assert early.attempt(B) == 5


def test_strangers_and_other_attempts_of_the_shell() -> None:
    a = offered()
    assert a.handle(signal.Arrived(77, wire.encode(wire.Offer(1, "v=0"))), 1) == []
    for event in (
        signal.Described(B, 6, "v"),
        signal.Found(B, 6, "c", "0"),
        signal.Opened(B, 6),
        signal.Failed(B, 6, "x"),
        signal.Failed(77, 5, "x"),
        signal.Joined(B),
    ):
        assert a.handle(event, 1) == []


# Bounds


def test_offers_are_rationed() -> None:
    b = up()
    for n in range(4):
        b.handle(says(wire.Offer(n, "v=0")), 1)
        b.handle(says(wire.End(n, 3, "")), 1)
    effects = b.handle(says(wire.Offer(9, "v=0")), 1)
    assert sent(effects) == [wire.End(9, wire.TOO_MANY, "")]
    assert b.attempts == 0
    b.handle(says(wire.Offer(10, "v=0")), 20)
    assert b.attempts == 1


def test_candidates_are_bounded() -> None:
    b = node(config=Config(candidates_max=2))
    b.handle(signal.Up(B, True), 0)
    b.handle(says(wire.Offer(5, "v=0")), 0)
    taken = [b.handle(says(wire.Candidate(5, "c", "0")), 0) for _ in range(4)]
    assert [len(effects) for effects in taken] == [1, 1, 0, 0]
    told = [b.handle(signal.Found(B, 5, "c", "0"), 0) for _ in range(4)]
    assert [len(effects) for effects in told] == [1, 1, 0, 0]


def test_attempts_are_bounded_and_others_cannot_take_all_places() -> None:
    b = node(config=Config(attempts_max=3, answers_max=2))
    for peer, attempt in zip(range(10, 16), count()):
        b.handle(signal.Up(peer, True), 0)
        b.handle(signal.Arrived(peer, wire.encode(wire.Offer(attempt, "v=0"))), 0)
    assert b.attempts == 2
    assert b.can_begin(15)
    b.handle(signal.Begin(15), 0)
    assert b.attempts == 3
    assert not b.can_begin(14)
