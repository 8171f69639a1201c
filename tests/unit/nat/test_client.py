"""The user's side of relays: which are asked, when again, and what is believed."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from whispurrnet.base.errors import LimitError
from whispurrnet.base.machine import Tick
from whispurrnet.nat import client
from whispurrnet.nat import relay_messages as messages
from whispurrnet.nat.client import (
    Accept,
    Arrived,
    Circuit,
    Client,
    Config,
    Dial,
    Down,
    Forget,
    Measured,
    NoCircuit,
    Placed,
    Send,
    Up,
    Want,
)

RESERVED = messages.Reserved(3600, 0, 0)


class User:
    """A client, and the relays that it was told of."""

    def __init__(self, *relays: int, **config: Any) -> None:
        self.core = Client(Config(**config), entropy=Random(1).randbytes)
        self.now = 0.0
        self.log: list[client.Effect] = []
        for relay in relays:
            self.give(Up(relay))
            self.give(Want(relay))

    def give(self, event: Any) -> list[client.Effect]:
        effects = self.core.handle(event, self.now)
        self.core.check_invariants()
        self.log += effects
        return effects

    def say(self, relay: int, message: messages.Answering) -> list[client.Effect]:
        return self.give(Arrived(relay, message))

    def later(self, seconds: float) -> list[client.Effect]:
        """Let time pass, deadline by deadline."""
        ends, effects = self.now + seconds, []
        while (due := self.core.deadline) is not None and due <= ends:
            self.now = max(self.now, due)
            effects += self.give(Tick())
        self.now = ends
        return effects


def asks(effects: list[client.Effect]) -> list[int]:
    return [e.peer for e in effects if e == Send(getattr(e, "peer", -1), messages.Reserve())]


def test_the_first_two_of_three_relays_are_asked() -> None:
    user = User(1, 2, 3)
    assert asks(user.log) == [1, 2]
    assert user.say(1, RESERVED) == [Placed((1,))]
    assert user.say(2, RESERVED) == [Placed((1, 2))]


def test_another_is_asked_when_one_is_lost_or_refuses() -> None:
    user = User(1, 2, 3)
    user.say(1, RESERVED)
    assert asks(user.say(2, messages.Refused(0, messages.TOO_MANY, ""))) == [3]
    user.say(3, RESERVED)
    assert Placed((3,)) in user.give(Down(1))
    assert asks(user.later(60.0)) == [2]  # which was to be asked again later


def test_who_does_not_want_us_is_left_alone_for_long() -> None:
    user = User(1)
    user.say(1, messages.Refused(0, messages.NO_RELAY, ""))
    assert asks(user.later(599.0)) == []
    assert asks(user.later(200.0))


def test_a_place_is_renewed_in_time() -> None:
    user = User(1)
    user.say(1, RESERVED)
    assert asks(user.later(1799.0)) == []
    assert asks(user.later(800.0))
    assert user.say(1, RESERVED) == []
    assert user.core.placed == (1,)


def test_a_place_that_is_not_renewed_ends() -> None:
    user = User(1)
    user.say(1, RESERVED)
    effects = user.later(3601.0)
    assert Placed(()) in effects
    assert len(asks(effects)) > 5  # it was asked again and again


def test_the_nearest_are_chosen_and_the_farthest_given_up() -> None:
    user = User(1, 2, 3)
    for relay, rtt_s in ((1, 0.2), (2, 0.1), (3, 0.02)):
        user.say(relay, RESERVED)
        user.give(Measured(relay, rtt_s))
    effects = user.later(61.0)
    assert asks(effects) == [3]
    effects = user.say(3, RESERVED)
    assert Send(1, messages.Release()) in effects
    assert Placed((3, 2)) in effects


def test_a_little_nearer_is_no_reason_to_move() -> None:
    user = User(1, 2, 3)
    for relay, rtt_s in ((1, 0.1), (2, 0.1), (3, 0.08)):
        user.say(relay, RESERVED)
        user.give(Measured(relay, rtt_s))
    assert asks(user.later(300.0)) == []


def test_a_circuit_is_asked_for_and_granted_by_the_one_that_was_asked() -> None:
    user = User(1, 2)
    (sent,) = user.give(Dial(5, 1, b"i" * 32))
    assert isinstance(sent, Send)
    assert isinstance(sent.message, messages.Connect)
    nonce = sent.message.nonce
    assert user.say(2, messages.Granted(nonce, b"t" * 32)) == []  # not asked
    assert user.say(1, messages.Granted(nonce, b"t" * 32)) == [Circuit(5, 1, b"t" * 32)]
    assert user.say(1, messages.Granted(nonce, b"t" * 32)) == []  # once


def test_a_circuit_that_cannot_be_ends() -> None:
    user = User(1)
    for end, code in (("refused", 1), ("lost", client.LOST), ("late", client.SILENT)):
        user.give(Up(1))
        (sent,) = user.give(Dial(5, 1, b"i" * 32))
        assert isinstance(sent, Send)
        assert isinstance(sent.message, messages.Connect)
        match end:
            case "refused":
                effects = user.say(1, messages.Refused(sent.message.nonce, 1, "no"))
            case "lost":
                effects = user.give(Down(1))
            case _:
                effects = user.later(10.0)
        assert [(e.ref, e.code) for e in effects if isinstance(e, NoCircuit)] == [(5, code)]
    (gone,) = user.give(Dial(6, 99, b"i" * 32))
    assert isinstance(gone, NoCircuit)
    user.give(Dial(7, 1, b"i" * 32))
    assert user.give(Forget(7)) == []
    assert user.later(60.0) == [] or NoCircuit not in map(type, user.log[-3:])


def test_circuits_under_way_are_bounded() -> None:
    user = User(1, dials_max=2)
    user.give(Dial(1, 1, b"i" * 32))
    user.give(Dial(2, 1, b"i" * 32))
    with pytest.raises(LimitError):
        user.give(Dial(3, 1, b"i" * 32))


def test_a_relay_cannot_make_us_open_links_all_the_time() -> None:
    user = User(1, incoming_per_s=1.0, incoming_burst=3.0)
    calls = [user.say(1, messages.Incoming(b"t" * 32, b"i" * 32)) for _ in range(5)]
    assert calls == [[Accept(1, b"t" * 32, b"i" * 32)]] * 3 + [[]] * 2


def test_what_is_said_unasked_changes_nothing() -> None:
    user = User()
    user.give(Up(1))
    assert user.say(1, RESERVED) == []
    assert user.say(1, messages.Refused(0, 1, "")) == []
    assert user.say(9, RESERVED) == []
    assert user.core.placed == ()
