"""Who may become a neighbour: whom the book shows to an overlay in need, and who is called."""

from __future__ import annotations

from random import Random
from typing import Any

from whispurrnet.base.errors import NetworkError
from whispurrnet.discovery.book import Source
from whispurrnet.gossip.contact import Contact
from whispurrnet.stack import events
from whispurrnet.stack.candidates import LOOK_MAX, LOOK_S, Candidates
from whispurrnet.stack.config import Config
from whispurrnet.stack.shared import Shared

WALL_S = 1_800_000_000
HERE, THERE = "/ip4/9.9.9.9/tcp/9000", "/ip4/192.168.1.7/tcp/9000"


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Overlay:
    """An overlay in need; remembers whom it was shown."""

    shard = 0

    def __init__(self) -> None:
        self.shown: list[Contact] = []

    def consider(self, contact: Contact, now: float, *, is_shared: bool) -> None:
        assert not is_shared
        self.shown.append(contact)


class Rig:
    def __init__(self) -> None:
        rng = Random(1)
        self.now = 1000.0
        self.shared = Shared(
            Config(),
            entropy=rng.randbytes,
            wall=lambda: WALL_S * 1000,
            rng=rng,
            persona=None,
            pins=None,
            holding=None,
            now=self.now,
        )
        self.core = Candidates(self.shared)

    def learn(self, number: int, *addresses: str, source: Source = Source.HEARD) -> None:
        self.shared.calls.book.learn(key(number), addresses or (HERE,), source, self.now)

    def look(self) -> list[Contact]:
        overlay: Any = Overlay()
        self.core.look(overlay, self.now)
        return list(overlay.shown)

    def call(self, contact: Contact) -> list[tuple[str, ...]]:
        self.shared.out = []
        self.core.call(contact, self.now)
        return [one.addresses for one in self.shared.out if isinstance(one, events.Dial)]


def test_the_book_is_shown_for_as_long_as_the_keys_may_live() -> None:
    rig = Rig()
    rig.learn(1)
    rig.now += 600
    assert rig.look() == [Contact(key(1), (HERE,), WALL_S + 3000)]
    rig.now += 3000
    assert rig.look() == []


def test_it_is_looked_into_now_and_then_for_a_few() -> None:
    rig = Rig()
    for number in range(50):
        rig.learn(number)
    assert len(rig.look()) == LOOK_MAX
    rig.now += LOOK_S - 1
    assert rig.look() == []
    rig.now += 1
    assert len(rig.look()) == LOOK_MAX


def test_who_was_sent_away_is_not_shown_nor_called() -> None:
    rig = Rig()
    rig.learn(1)
    rig.core.shun(key(1))
    assert rig.look() == []
    assert rig.call(Contact(key(1), (HERE,), WALL_S + 60)) == []
    assert rig.shared.calls.lost_hope == [key(1)]
    rig.core.forgive(key(1))
    assert rig.call(Contact(key(1), (HERE,), WALL_S + 60)) == [(HERE,)]


def test_targets_without_a_key_are_not_shown() -> None:
    rig = Rig()
    rig.shared.calls.book.learn(b"@" + HERE.encode(), (HERE,), Source.GIVEN, rig.now)
    rig.learn(1, "/dns/" + "a" * 230)
    assert rig.look() == []


def test_what_failed_is_left_for_longer_each_time() -> None:
    rig = Rig()
    rig.learn(1)
    rig.shared.calls.book.failed(key(1), HERE, rig.now)
    rig.now += 119
    assert rig.look() == []
    rig.now += 10
    assert len(rig.look()) == 1


def test_hearsay_does_not_lead_into_our_house_but_what_we_know_does() -> None:
    rig = Rig()
    rig.shared.direct = (HERE,)
    near = Contact(key(1), (THERE,), WALL_S + 60)
    assert rig.call(near) == []
    rig.core.trust(near)
    assert rig.call(near) == [(THERE,)]
    rig.learn(2, THERE)
    rig.learn(3, THERE, source=Source.GIVEN)
    heard, given = sorted(rig.look(), key=lambda one: one.key)[-2:]
    assert rig.call(heard) == []
    assert rig.call(given) == [(THERE,)]
    assert rig.call(Contact(key(3), ("/ip4/192.168.1.8/tcp/1",), WALL_S + 60)) == []


def test_why_a_call_was_given_up_is_remembered() -> None:
    rig = Rig()
    contact = Contact(key(1), (HERE,), WALL_S + 60)
    rig.call(contact)

    rig.shared.calls.failed(key(1), NetworkError("nothing listens there"), rig.now)
    assert rig.shared.calls.get(key(1)) is None
    assert str(rig.shared.calls.last_error(key(1))) == "nothing listens there"
    assert rig.shared.calls.last_error(key(2)) is None
    rig.shared.calls.connected(key(1), HERE, rig.now)
    assert rig.shared.calls.last_error(key(1)) is None
