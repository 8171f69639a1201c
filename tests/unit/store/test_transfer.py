from __future__ import annotations

from random import Random

import pytest
from tests.sim.transfers import Net, make

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.store import messages
from whispurrnet.store import transfer_events as events
from whispurrnet.store.transfer import Transfer
from whispurrnet.store.transfer_config import Config
from whispurrnet.wire.ids import ObjectId

OID = ObjectId(b"o" * 32)


def test_a_call_that_is_wrong_changes_nothing() -> None:
    core = Transfer(Config(fetches_max=1), Random(1))
    with pytest.raises(UsageError):
        core.handle(events.Fetch(oid=OID, sources=(), priority=5), 0.0)
    assert core.fetching == 0
    core.handle(events.Fetch(oid=OID, sources=()), 0.0)
    with pytest.raises(LimitError):
        core.handle(events.Fetch(oid=ObjectId(bytes(32)), sources=()), 0.0)
    core.handle(events.Fetch(oid=OID, sources=(4,)), 0.0)
    assert core.fetching == 1
    core.handle(events.Stop(OID), 0.0)
    assert core.fetching == 0 and core.deadline is None


def test_fetches_wait_for_their_turn_the_most_urgent_first() -> None:
    net = Net(1)
    owner, wants = net.node(), net.node(active_max=1)
    net.connect(owner, wants)
    oids = []
    for priority in (2, 0, 4):
        oid, owner.disk[oid] = make(net.rng.randbytes(50_000))
        oids.append(oid)
        wants.give(events.Fetch(oid=oid, sources=(), priority=priority))
        wants.give(events.AddSource(oid, owner.name))
    net.run(lambda: len(wants.done) == 3)
    assert wants.done == [oids[0], oids[2], oids[1]]


def test_who_does_not_serve_says_no() -> None:
    core = Transfer(Config(serve=False), Random(1))
    core.handle(events.Up(1), 0.0)
    for message, answer in (
        (messages.Request(1, OID, (), 2), messages.Refused),
        (messages.AskPage(1, OID, 0), messages.Refused),
        (messages.AskSmall((OID,)), messages.NotHere),
    ):
        (effect,) = core.handle(events.Arrived(1, messages.encode(message)), 0.0)
        assert isinstance(effect, events.Send)
        assert isinstance(messages.decode(effect.body)[0], answer)


def test_one_number_is_for_one_object() -> None:
    core = Transfer(Config(), Random(1))
    core.handle(events.Up(1), 0.0)
    core.handle(events.Arrived(1, messages.encode(messages.Request(1, OID, (), 2))), 0.0)
    other = messages.encode(messages.Request(1, ObjectId(bytes(32)), (), 2))
    with pytest.raises(ProtocolError):
        core.handle(events.Arrived(1, other), 0.0)


def test_what_came_before_a_fault_is_still_done() -> None:
    core = Transfer(Config(), Random(1))
    core.handle(events.Up(1), 0.0)
    body = messages.encode(messages.Request(1, OID, (), 2), messages.Have(9, OID, True, ()))
    with pytest.raises(ProtocolError):
        core.handle(events.Arrived(1, body), 0.0)
    assert core.deadline == 0.0
    (look,) = core.drain()
    assert isinstance(look, events.Look)


def test_a_peer_opens_only_so_many() -> None:
    core = Transfer(Config(), Random(1))
    core.handle(events.Up(1), 0.0)
    looks = 0
    for ref in range(2000):
        body = messages.encode(messages.Request(ref, OID, (), 2), messages.Cancel(ref, ()))
        effects = core.handle(events.Arrived(1, body), 0.0)
        looks += sum(isinstance(effect, events.Look) for effect in effects)
    assert looks == 1000
    core.check_invariants()


def test_answers_about_what_is_over_mean_nothing() -> None:
    core = Transfer(Config(), Random(1))
    for event in (
        events.Looked(7, None, True),
        events.Paged(7, None),
        events.ReadDone(7, None),
        events.SmallRead(7, ()),
        events.SmallStored(7),
        events.StoreFailed(OID, "full"),
        events.Stored(OID, (1,)),
        events.Down(3),
        events.Stop(OID),
        events.Arrived(3, b"\x09"),
    ):
        assert core.handle(event, 0.0) == []
