"""Pairing by a code: one guess, one channel, an end."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.keys import Secret
from whispurrnet.session import pairing_messages as wire
from whispurrnet.session.joining import Answered, Ask, Begin, Failed, Joined, Joining, Missed
from whispurrnet.session.pairing import (
    Answer,
    Asked,
    Cancel,
    Config,
    Ended,
    Offering,
    Paired,
    Settle,
)

RIGHT, WRONG = (Secret(bytes((n,)).ljust(32, b"\0")) for n in (1, 2))
HERE, THERE = b"h" * 32, b"t" * 32
FREE = Config(hellos_per_s=1000.0)


class Two:
    """One who offers; those who join talk to it by `join`."""

    def __init__(self, config: Config = FREE, nameplate: int = 7) -> None:
        self.rng = Random(7)
        self.now = 100.0
        self.config = config
        self.news: list[Any] = []
        self.refs = 0
        self.offering = Offering(
            config, nameplate, RIGHT, b"the object", entropy=self.rng.randbytes, now=self.now
        )

    def joining(self, scalar: Secret = RIGHT, nameplate: int = 7) -> Joining:
        return Joining(self.config, nameplate, scalar, entropy=self.rng.randbytes)

    def ask(self, body: bytes, peer: int = 1, binding: bytes = HERE) -> bytes:
        self.refs += 1
        answers = []
        for effect in self.give(Asked(self.refs, peer, binding, body)):
            if isinstance(effect, Answer):
                assert effect.ref == self.refs
                answers.append(effect.body)
        assert len(answers) == 1, "each question is answered once"
        return answers[0]

    def give(self, event: Any) -> list[Any]:
        effects = self.offering.handle(event, self.now)
        self.offering.check_invariants()
        self.news += [it for it in effects if not isinstance(it, Answer)]
        return effects

    def join(
        self, joining: Joining, peer: int = 1, ours: bytes = HERE, theirs: bytes = HERE
    ) -> Any:
        """Let it try; what came of it."""
        effects = joining.handle(Begin(peer, theirs), self.now)
        while isinstance(effects[0], Ask):
            answer = self.ask(effects[0].body, peer, ours)
            effects = joining.handle(Answered(answer), self.now)
        return effects[0]


def test_who_knows_the_code_gets_the_key_and_what_it_is_for() -> None:
    two = Two()
    joined = two.join(two.joining())
    assert isinstance(joined, Joined)
    assert two.news == [Paired(1, joined.key)]
    assert (joined.payload, len(joined.key)) == (b"the object", 32)
    two.give(Settle())
    assert two.news[1:] == [Ended("settled")]
    assert two.offering.deadline is None
    missed = two.join(two.joining())
    assert (missed.reason, two.news[2:]) == (wire.GONE, [])


def test_the_first_wrong_guess_ends_the_code_and_both_are_told() -> None:
    two = Two()
    missed = two.join(two.joining(WRONG))
    assert isinstance(missed, Missed)
    assert missed.reason == wire.WRONG
    assert "first wrong try" in missed.text
    assert two.news == [Ended("wrong")]
    assert two.join(two.joining()).reason == wire.GONE


def test_somebody_in_the_middle_gets_nothing() -> None:
    """It hands everything on, but the two channels it sits between are not the same."""
    two = Two()
    missed = two.join(two.joining(), ours=HERE, theirs=THERE)
    assert missed.reason == wire.WRONG
    assert two.news == [Ended("wrong")]


def test_it_is_the_binding_that_keeps_the_middle_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without it, who hands everything on has a welcome handed on, too."""
    monkeypatch.setattr(wire, "identities", lambda _: (b"A", b"B"))
    two = Two()
    assert isinstance(two.join(two.joining(), ours=HERE, theirs=THERE), Joined)


def test_one_who_only_looks_does_not_end_the_code() -> None:
    two = Two()
    hello = two.joining(WRONG).handle(Begin(9, HERE), 0.0)[0]
    assert isinstance(hello, Ask)
    for peer in (9, 9, 8):
        two.ask(hello.body, peer)
    assert isinstance(two.join(two.joining()), Joined)


def test_an_answer_that_was_lost_does_not_lose_the_code() -> None:
    two = Two()
    joining = two.joining()
    ask = joining.handle(Begin(1, HERE), 0.0)[0]
    assert isinstance(ask, Ask)
    ask = joining.handle(Answered(two.ask(ask.body)), 0.0)[0]
    assert isinstance(ask, Ask)
    two.ask(ask.body)  # its answer is lost
    missed = joining.handle(Failed("connection lost"), 0.0)
    assert missed == [Missed(1, 0, "connection lost")]
    again = two.join(joining, peer=2, ours=THERE, theirs=THERE)
    assert isinstance(again, Joined)
    assert [it.key == again.key for it in two.news] == [False, True]
    assert isinstance(two.join(two.joining()), Joined)
    assert two.news[3:] == [Ended("settled")], "not for ever"


def test_a_confirmation_counts_only_where_the_run_began() -> None:
    two = Two()
    joining = two.joining()
    hello = joining.handle(Begin(1, HERE), 0.0)[0]
    assert isinstance(hello, Ask)
    confirm = joining.handle(Answered(two.ask(hello.body)), 0.0)[0]
    assert isinstance(confirm, Ask)
    gone = wire.answer(wire.No(wire.GONE))
    assert two.ask(confirm.body, peer=2) == gone
    assert two.ask(confirm.body, peer=1, binding=THERE) == gone
    assert wire.reply(two.ask(confirm.body)).__class__ is wire.Welcome
    assert two.ask(confirm.body) == gone, "it is taken once"


def test_a_code_expires_and_can_be_taken_back() -> None:
    two = Two()
    assert two.offering.deadline == 3700.0
    two.now = 3700.0
    two.give(Tick())
    assert two.news == [Ended("expired")]
    assert two.join(two.joining()).reason == wire.GONE
    two = Two()
    two.give(Settle())
    assert not two.news, "nobody has paired yet"
    two.give(Cancel())
    two.give(Cancel())
    assert two.news == [Ended("cancelled")]


def test_a_run_that_stops_is_forgotten_and_runs_are_few() -> None:
    two = Two()
    joining = two.joining()
    hello = joining.handle(Begin(1, HERE), 0.0)[0]
    assert isinstance(hello, Ask)
    busy = wire.answer(wire.No(wire.BUSY))
    answers = [two.ask(hello.body, peer) for peer in range(12)]
    assert [answer == busy for answer in answers] == [False] * 8 + [True] * 4
    two.now += 60.0
    two.give(Tick())
    assert two.offering.deadline == 3700.0
    assert two.ask(hello.body, 20) != busy


def test_hellos_come_at_a_rate() -> None:
    two = Two(Config())
    joining = two.joining()
    hello = joining.handle(Begin(1, HERE), 0.0)[0]
    assert isinstance(hello, Ask)
    busy = wire.answer(wire.No(wire.BUSY))
    assert [two.ask(hello.body) == busy for _ in range(10)] == [False] * 8 + [True] * 2
    two.now += 0.5
    assert two.ask(hello.body) != busy


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x90",
        b"\xc1",
        wire.ask(wire.Hello(1, 7, b"\xff" * 32)),
        wire.ask(wire.Hello(1, 7, bytes(32))),
        wire.ask(wire.Hello(1, 7, b"s" * 31)),
        wire.ask(wire.Hello(1, 0, b"s" * 32)),
        wire.answer(wire.No(1)),
        b"\x92" + 2 * wire.ask(wire.Confirm(7, b"c" * 32))[1:],
        wire.ask(wire.Confirm(7, b"c" * 32)) + bytes(4000),
    ],
)
def test_what_is_malformed_is_refused_and_changes_nothing(body: bytes) -> None:
    two = Two()
    with pytest.raises(ProtocolError):
        two.give(Asked(1, 1, HERE, body))
    assert isinstance(two.join(two.joining()), Joined)


def test_another_version_and_another_number_are_told() -> None:
    two = Two()
    share = two.joining().handle(Begin(1, HERE), 0.0)[0]
    assert isinstance(share, Ask)
    hello = wire.question(share.body)
    assert isinstance(hello, wire.Hello)
    old = wire.ask(wire.Hello(2, 7, hello.share))
    assert two.ask(old) == wire.answer(wire.No(wire.OLD))
    assert two.join(two.joining(nameplate=8)).reason == wire.GONE
    assert not two.news


def test_a_guess_is_shown_to_few() -> None:
    """To those who only claim to be the one who offers, too."""
    joining = Two().joining()
    for peer in range(3):
        fake = Two()
        fake.offering._scalar = WRONG
        assert fake.join(joining, peer).reason == wire.WRONG
    assert joining.guesses == 3
    with pytest.raises(UsageError, match="ask the sender for a new one"):
        joining.handle(Begin(3, HERE), 0.0)
    joining = Two().joining()
    for peer in range(9):
        assert Two(nameplate=8).join(joining, peer).reason == wire.GONE
    assert joining.guesses == 0, "nothing was shown to those"


def test_one_try_at_a_time() -> None:
    joining = Two().joining()
    joining.handle(Begin(1, HERE), 0.0)
    with pytest.raises(UsageError):
        joining.handle(Begin(2, HERE), 0.0)
    assert joining.handle(Failed("x"), 0.0) == [Missed(1, 0, "x")]
    assert joining.handle(Failed("x"), 0.0) == []
    assert joining.handle(Answered(b""), 0.0) == []


def test_answers_that_cannot_be_are_missed() -> None:
    two = Two()
    welcome = wire.answer(wire.Welcome(b"c" * 32, b"s" * 16))
    for bad in (b"", b"\xc1", welcome, wire.answer(wire.Share(b"\xff" * 32)), bytes(9000)):
        joining = two.joining()
        joining.handle(Begin(1, HERE), 0.0)
        missed = joining.handle(Answered(bad), 0.0)
        assert [it.reason for it in missed if isinstance(it, Missed)] == [0]
        assert isinstance(Two().join(joining), Joined)
    joining = two.joining()
    joining.handle(Begin(1, HERE), 0.0)
    unknown = joining.handle(Answered(wire.answer(wire.No(99))), 0.0)
    assert isinstance(unknown[0], Missed)
    assert unknown[0].reason == wire.GONE


def test_every_changed_byte_of_a_welcome_is_noticed() -> None:
    for at in range(4, 60):
        two = Two()
        joining = two.joining()
        ask = joining.handle(Begin(1, HERE), 0.0)[0]
        assert isinstance(ask, Ask)
        ask = joining.handle(Answered(two.ask(ask.body)), 0.0)[0]
        assert isinstance(ask, Ask)
        welcome = bytearray(two.ask(ask.body))
        if at < len(welcome):
            welcome[at] ^= 1
            assert isinstance(joining.handle(Answered(bytes(welcome)), 0.0)[0], Missed)


def test_what_is_sent_is_bounded_and_secret() -> None:
    with pytest.raises(UsageError):
        Offering(FREE, 7, RIGHT, bytes(2049), entropy=Random(1).randbytes, now=0.0)
    two = Two()
    joined = two.join(two.joining())
    assert joined.key.hex() not in repr(joined)
