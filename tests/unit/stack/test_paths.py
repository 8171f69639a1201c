"""What the stack does with `nat.punch`: addresses, dials, WebRTC."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.sim.paths import QUIET, Pair

from whispurrnet.discovery.book import Source
from whispurrnet.nat import punch
from whispurrnet.stack import events, greeting

IDLE = msgspec.structs.replace(QUIET, punch=punch.Config(on=False))


def pair(config: Any = IDLE) -> tuple[Pair, Any, Any]:
    made = Pair(1, config)
    stack = made.stack("alice")
    (record,) = stack.roster
    return made, stack, record


def test_direct_addresses_come_from_the_hello_the_book_and_the_ticket() -> None:
    made, stack, record = pair()
    told = made.world.address("bob")
    assert stack.paths._direct(record, 10.0) == (told,)
    stack.shared.calls.book.learn(record.static_key, ("/ip4/10.0.0.77/tcp/1",), Source.HEARD, 10.0)
    assert "/ip4/10.0.0.77/tcp/1" in stack.paths._direct(record, 10.0)
    assert not any("/relay/" in one for one in stack.paths._direct(record, 10.0))


def test_a_peer_cannot_lead_us_into_our_own_house_but_the_user_can() -> None:
    made, stack, record = pair()
    record.addresses = ("/ip4/127.0.0.1/tcp/22", *record.addresses)
    assert "/ip4/127.0.0.1/tcp/22" not in stack.paths._direct(record, 10.0)
    made.call("alice", "bob", "/ip4/127.0.0.1/tcp/22")
    made.world.run(11.0)
    assert "/ip4/127.0.0.1/tcp/22" in stack.paths._direct(record, 11.0)


def test_a_dial_that_nobody_answers_is_told_with_its_reason() -> None:
    made, stack, record = pair()
    made.world.inject("alice", events.TryPath(record.handle))
    made.world.run(10.001)
    assert stack.paths.tries(record.handle) == "direct"
    made.world.run(20.0)
    relay, direct = stack.paths.attempts(record.handle)
    assert relay.method == "relay"
    assert (direct.method, direct.ok, direct.reason) == ("direct", False, "nobody is there")
    assert direct.seconds == 1.0
    assert not stack.paths._dials


def test_webrtc_is_tried_where_both_can_and_its_end_is_kept() -> None:
    made, stack, record = pair(msgspec.structs.replace(IDLE, webrtc=True))
    assert record.capabilities & greeting.WEBRTC
    begun: list[int] = []

    def begin(peer: int, now: float) -> bool:
        begun.append(peer)
        return True

    stack.signalling.begin = begin
    made.world.inject("alice", events.TryPath(record.handle))
    made.world.run(12.0)
    assert begun == [record.handle]
    assert stack.paths.tries(record.handle) == "webrtc"
    stack.signalling.ended(record.handle, False, "no path to the peer's addresses", True)
    assert stack.paths.deadline == 0.0
    stack.handle(events.Tick(), 13.0)
    assert stack.paths.deadline != 0.0
    last = stack.paths.attempts(record.handle)[-1]
    assert (last.method, last.reason) == ("webrtc", "no path to the peer's addresses")


def test_webrtc_that_cannot_begin_has_failed() -> None:
    made, stack, record = pair(msgspec.structs.replace(IDLE, webrtc=True))
    stack.signalling.begin = lambda peer, now: False
    made.world.inject("alice", events.TryPath(record.handle))
    made.world.run(13.0)
    last = stack.paths.attempts(record.handle)[-1]
    assert last.reason == "an attempt is under way already"


def test_webrtc_is_not_tried_with_who_has_none() -> None:
    made, stack, record = pair()
    stack.signalling.begin = lambda peer, now: 1 / 0
    made.world.inject("alice", events.TryPath(record.handle))
    made.world.run(13.0)
    assert [one.method for one in stack.paths.attempts(record.handle)] == ["relay", "direct"]


def test_a_peer_that_goes_is_tried_no_longer() -> None:
    made, stack, record = pair(QUIET)
    while stack.paths.next_at(record.handle) is None:
        made.world.run(made.world.now + 0.1)
    made.world.inject("alice", events.Disconnect(record.handle))
    made.world.run(made.world.now + 0.1)
    assert stack.paths.next_at(record.handle) is None
    stack.handle(events.TryPath(record.handle), made.world.now)
    assert stack.paths.tries(record.handle) is None


def test_whoever_tried_for_the_better_path_the_success_is_kept_on_both_sides() -> None:
    made, stack, record = pair()
    made.world.inject("alice", events.TryPath(record.handle))
    stack.paths._core._wanted[record.handle].addresses = ()
    live = record.live
    assert live is not None
    live.path, live.address = "webrtc", "/webrtc"
    stack.paths._went_over(record, live, 11.0)
    last = stack.paths.attempts(record.handle)[-1]
    assert (last.method, last.ok) in (("webrtc", True), ("direct", True))


def test_our_own_addresses_are_not_tried() -> None:
    """In a home like ours the peer has our very address: it would be us."""
    _, stack, record = pair()
    ours = stack.paths._direct(record, 10.0)
    assert ours
    stack.shared.direct = ours
    assert stack.paths._direct(record, 10.0) == ()
