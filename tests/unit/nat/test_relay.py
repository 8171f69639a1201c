"""The relay core: places, tokens, quotas and what each refusal says."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.nat import relay_messages as messages
from whispurrnet.nat.relay import Relay
from whispurrnet.nat.relay_events import (
    Allowance,
    Arrived,
    Close,
    Config,
    Cut,
    Down,
    Effect,
    Ended,
    Gone,
    Joined,
    Renamed,
    Send,
    Splice,
    Up,
    Welcomed,
)


def id_of(peer: int) -> bytes:
    return bytes([peer]) * 32


class Inn:
    """A relay and its guests."""

    def __init__(self, *peers: int, network: str = "", **config: Any) -> None:
        self.core = Relay(Config(on=True, **config), entropy=Random(1).randbytes)
        self.now = 0.0
        for peer in peers:
            self.give(Up(peer, id_of(peer), network))

    def give(self, event: Any) -> list[Effect]:
        effects = self.core.handle(event, self.now)
        self.core.check_invariants()
        return effects

    def say(self, peer: int, message: messages.Asking) -> Any:
        """What one peer hears back; nothing is None."""
        heard = [e for e in self.give(Arrived(peer, message)) if isinstance(e, Send)]
        return heard[0].message if heard else None

    def reserve(self, peer: int) -> Any:
        return self.say(peer, messages.Reserve())

    def connect(self, caller: int, target: int, peer: int = 0) -> tuple[bytes, bytes]:
        """The tokens of both sides; `peer` is who is there, if not known by its number."""
        effects = self.give(Arrived(caller, messages.Connect(9, id_of(target))))
        match effects:
            case [
                Send(one, messages.Granted(9, near)),
                Send(two, messages.Incoming(far, id)),
            ]:
                assert (one, two, id) == (caller, peer or target, id_of(caller))
                return near, far
        raise AssertionError(effects)

    def refused(self, caller: int, target: int) -> int:
        answer = self.say(caller, messages.Connect(9, id_of(target)))
        assert isinstance(answer, messages.Refused)
        assert answer.nonce == 9
        assert answer.text
        return answer.code

    def later(self, seconds: float) -> list[Effect]:
        self.now += seconds
        return self.give(Tick())


def test_two_links_with_tokens_are_spliced() -> None:
    inn = Inn(1, 2, circuit=Allowance(bytes_per_s=5))
    assert inn.reserve(2) == messages.Reserved(3600, 5, 0)
    near, far = inn.connect(1, 2)
    assert near != far
    assert inn.core.expects(near)
    assert inn.core.expects(far[:5])
    assert not inn.core.expects(b"\x00" * 32)
    assert inn.give(Joined(70, far)) == []
    assert inn.give(Joined(71, near)) == [Splice(1, 71, 70, Allowance(bytes_per_s=5))]
    assert inn.core.circuits == 1
    assert inn.give(Ended(1)) == []
    assert inn.core.circuits == 0


def test_a_token_works_once_and_for_ten_seconds() -> None:
    inn = Inn(1, 2)
    inn.reserve(2)
    near, far = inn.connect(1, 2)
    inn.give(Joined(70, near))
    with pytest.raises(ProtocolError):
        inn.give(Joined(71, near))
    assert inn.later(9.9) == []
    assert inn.later(0.2) == [Close(70)]
    assert not inn.core.expects(far)
    assert inn.core.circuits == 0


def test_a_link_that_goes_while_it_waits_ends_the_circuit() -> None:
    inn = Inn(1, 2)
    inn.reserve(2)
    near, far = inn.connect(1, 2)
    inn.give(Joined(70, near))
    assert inn.give(Gone(70)) == []
    assert not inn.core.expects(far)
    assert inn.give(Gone(70)) == []


def test_a_circuit_is_cut_after_its_life() -> None:
    inn = Inn(1, 2, circuit=Allowance(life_s=100.0))
    inn.reserve(2)
    for link, token in enumerate(inn.connect(1, 2)):
        inn.give(Joined(link, token))
    assert inn.later(99.0) == []
    assert inn.later(1.0) == [Cut(1)]
    assert inn.later(30.0) == [Cut(1)]  # until the shell says that it has ended
    inn.give(Ended(1))
    assert inn.core.deadline is None or inn.core.deadline > inn.now + 1000


def test_who_has_no_place_is_introduced_with_little() -> None:
    inn = Inn(1, 2)
    for link, token in enumerate(inn.connect(1, 2)):
        effects = inn.give(Joined(link, token))
    (splice,) = effects
    assert isinstance(splice, Splice)
    assert splice.allowance.bytes_max == 256 << 10
    assert splice.allowance.life_s == 60.0


def test_few_are_introduced_at_a_time() -> None:
    inn = Inn(1, 2, introductions_max=2)
    for _ in range(2):
        inn.connect(1, 2)
    assert inn.refused(1, 2) == messages.TOO_MANY


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"introduce": False}, messages.NOBODY),
        ({"introduce": False, "on": False}, messages.NO_RELAY),
    ],
)
def test_without_introductions_a_place_is_needed(config: dict[str, bool], code: int) -> None:
    inn = Inn()
    inn.core = Relay(Config(**({"on": True} | config)), entropy=Random(1).randbytes)
    inn.give(Up(1, id_of(1), ""))
    inn.give(Up(2, id_of(2), ""))
    assert inn.refused(1, 2) == code


def test_nobody_is_joined_to_strangers_or_to_itself() -> None:
    inn = Inn(1, 2)
    assert inn.refused(1, 3) == messages.NOBODY
    assert inn.refused(1, 1) == messages.NOBODY


def test_a_place_ends_unless_it_is_renewed_and_with_the_session() -> None:
    inn = Inn(1, 2, introduce=False)
    inn.reserve(2)
    inn.later(3000.0)
    inn.reserve(2)
    inn.later(3000.0)
    inn.connect(1, 2)
    inn.later(700.0)
    assert inn.core.places == 0
    assert inn.refused(1, 2) == messages.NOBODY
    inn.reserve(2)
    inn.give(Down(2))
    assert inn.core.places == 0
    inn.give(Up(2, id_of(2), ""))
    inn.reserve(2)
    inn.say(2, messages.Release())
    assert inn.refused(1, 2) == messages.NOBODY


def test_the_old_id_is_found_while_it_overlaps() -> None:
    inn = Inn(1, 2, introduce=False)
    inn.reserve(2)
    inn.give(Renamed(2, id_of(22)))
    inn.connect(1, 22, peer=2)
    inn.give(Arrived(1, messages.Connect(9, id_of(2))))
    inn.later(599.0)
    assert inn.say(1, messages.Connect(9, id_of(2))) == messages.Granted(9, ANY)
    inn.later(2.0)
    assert inn.refused(1, 2) == messages.NOBODY
    inn.connect(1, 22, peer=2)


class _Any:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes)

    __hash__ = None  # type: ignore[assignment]


ANY: Any = _Any()


def test_ids_of_a_peer_are_bounded() -> None:
    inn = Inn(1)
    for n in range(2, 40):
        inn.give(Renamed(1, id_of(n)))
    assert len(inn.core._by_id) == 4


def test_an_id_that_another_shows_leads_to_that_one() -> None:
    inn = Inn(1, 2)
    inn.give(Renamed(1, id_of(2)))
    inn.give(Up(3, id_of(2), ""))
    inn.connect(1, 2, peer=3)


def test_a_flood_of_reservations_is_refused_and_says_when_to_come_back() -> None:
    inn = Inn(*range(1, 9), places_max=3)
    answers = [inn.reserve(peer) for peer in range(1, 9)]
    taken = [a for a in answers if isinstance(a, messages.Reserved)]
    refused = [a for a in answers if isinstance(a, messages.Refused)]
    assert (len(taken), len(refused)) == (3, 5)
    assert {a.code for a in refused} == {messages.TOO_MANY}
    assert all("again in 3600 s" in a.text for a in refused)
    assert isinstance(inn.reserve(1), messages.Reserved)  # who has one keeps it


def test_one_peer_may_not_ask_all_the_time() -> None:
    inn = Inn(1, reserves_per_minute=3.0)
    answers = [inn.reserve(1) for _ in range(5)]
    assert [isinstance(a, messages.Reserved) for a in answers] == [True] * 3 + [False] * 2
    inn.now += 20.0
    assert isinstance(inn.reserve(1), messages.Reserved)


def test_a_network_has_its_share_of_places_and_a_household_is_not_counted() -> None:
    inn = Inn(1, 2, 3, network="192.0.2.0/24", places_per_network_max=2)
    for peer in (4, 5, 6):
        inn.give(Up(peer, id_of(peer), ""))
    answers = [isinstance(inn.reserve(n), messages.Reserved) for n in range(1, 7)]
    assert answers == [True, True, False, True, True, True]


def test_circuits_are_bounded_for_a_peer_a_network_and_in_all() -> None:
    inn = Inn(1, 2, circuits_per_peer_max=2)
    inn.reserve(2)
    inn.connect(1, 2)
    inn.connect(1, 2)
    assert inn.refused(1, 2) == messages.TOO_MANY
    inn = Inn(1, 2, 3, circuits_max=1)
    inn.connect(1, 2)
    assert inn.refused(3, 2) == messages.TOO_MANY
    inn = Inn(1, 2, 3, network="n", circuits_per_network_max=1)
    inn.connect(1, 2)
    assert inn.refused(3, 2) == messages.TOO_MANY


def test_rates_of_a_peer_and_of_a_network() -> None:
    inn = Inn(1, 2, connects_per_minute=2.0, circuits_per_peer_max=9)
    inn.connect(1, 2)
    inn.connect(1, 2)
    assert inn.refused(1, 2) == messages.TOO_MANY
    inn.now += 31.0
    inn.connect(1, 2)
    inn = Inn(1, 2, 3, network="n", connects_per_network_per_minute=2.0)
    inn.connect(1, 2)
    inn.connect(2, 3)
    assert inn.refused(3, 1) == messages.TOO_MANY


def test_policy_keeps_strangers_of_a_closed_realm_out() -> None:
    inn = Inn()
    inn.give(Up(1, id_of(1), "", welcome=False))
    inn.give(Up(2, id_of(2), ""))
    assert inn.reserve(1).code == messages.POLICY
    inn.reserve(2)
    assert inn.refused(1, 2) == messages.POLICY
    inn.give(Welcomed(1, welcome=True))
    inn.connect(1, 2)
    inn.give(Welcomed(2, welcome=False))
    assert inn.core.places == 0


def test_it_has_no_effect_that_opens_a_link() -> None:
    assert {Send, Splice, Cut, Close} == set(Effect.__args__)
