"""Gossip in whole stacks: shards, stamps, who takes part, who is spared, and who is shut out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.gossip import membership, stamp, stem
from whispurrnet.gossip.envelope import Inside, Realm, expiry, seal
from whispurrnet.session.pool import Config as PoolConfig
from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events, greeting, speaking
from whispurrnet.stack.checker import stamped
from whispurrnet.stack.config import Config, GossipConfig
from whispurrnet.stack.stack import Stack
from whispurrnet.wire import frame

PLAIN = GossipConfig(stamp=stamp.Config(base_bits=0), stem=stem.Config(on=False))


class Rig:
    """Stacks that are connected as told, and what their applications hear."""

    def __init__(self, **gossip: Any) -> None:
        self.news: dict[str, list[events.Effect]] = {}
        self.world = World(1, Wire(), lambda _, node, effect: self.news[node].append(effect))
        self.config = Config(beacon_on=False, gossip=msgspec.structs.replace(PLAIN, **gossip))

    def add(self, *names: str, **changes: Any) -> Rig:
        for name in names:
            self.news[name] = []
            self.world.add(name, msgspec.structs.replace(self.config, **changes))
        self.run(0.1)
        return self

    def connect(self, *pairs: str, keep: bool = True) -> Rig:
        for pair in pairs:
            one, other = pair.split()
            self.world.connect(one, other, keep=keep)
        return self.run(5.0)

    def run(self, seconds: float) -> Rig:
        self.world.run(self.world.now + seconds)
        return self

    def do(self, node: str, event: events.Event) -> None:
        self.world.inject(node, event)
        self.run(0.001)

    def stack(self, node: str) -> Stack:
        return self.world.nodes[node]

    def of(self, node: str, kind: type) -> list[Any]:
        return [effect for effect in self.news[node] if isinstance(effect, kind)]

    def heard(self, node: str) -> list[bytes]:
        return [effect.payload for effect in self.of(node, events.Gossiped)]

    def near(self, node: str) -> int:
        overlays = self.stack(node).gossiping.overlays
        return len(overlays[0].neighbours) if 0 in overlays else 0


def say(ref: int, intent: str, body: bytes, **more: Any) -> events.Resonate:
    return events.Resonate(ref, intent, body, **more)


# Taking part


def test_neighbours_are_told_of_once() -> None:
    rig = Rig().add("alice", "bob").connect("alice bob")
    (up,) = rig.of("alice", events.Neighbour)
    (record,) = rig.stack("alice").roster
    assert up == events.Neighbour(record.handle, True)
    rig.world.crash("bob")
    rig.run(5.0)
    assert rig.of("alice", events.Neighbour)[1:] == [events.Neighbour(record.handle, False)]


def test_who_takes_no_part_neither_gossips_nor_can_speak() -> None:
    rig = Rig().add("alice").add("mute", gossip=GossipConfig(on=False)).connect("alice mute")
    assert rig.near("alice") == 0
    (record,) = rig.stack("alice").roster
    assert not record.capabilities & greeting.GOSSIPS
    rig.do("mute", events.Listen("moon"))  # an intent may wait until gossip is switched on
    for event in (say(1, "moon", b"x"), events.Broadcast(2, b"x")):
        with pytest.raises(UsageError, match="gossip.enabled"):
            rig.stack("mute").handle(event, rig.world.now)


@pytest.mark.parametrize("shared", [True, False])
def test_only_an_address_that_may_be_shared_is_told_to_others(shared: bool) -> None:
    """Carol knows Alice, and learns of Bob from her if he lets his address be told."""
    rig = Rig(membership=membership.Config(promote_s=1.0)).add("alice")
    rig.add("carol", gossip=msgspec.structs.replace(rig.config.gossip, share=False))
    rig.add("bob", gossip=msgspec.structs.replace(rig.config.gossip, share=shared))
    rig.connect("bob alice", "carol alice", keep=False).run(60.0)
    met = {far for far, _ in rig.world.sessions("carol")}
    assert met == ({"alice", "bob"} if shared else {"alice"})


# Shards


def test_who_listens_in_a_shard_is_part_of_it_until_it_leaves() -> None:
    rig = Rig(shard_bits=4).add("alice", "bob").connect("alice bob")
    gossiping = rig.stack("bob").gossiping
    shard = gossiping._shard_of("moon/phase", None)
    assert shard == gossiping._shard_of("moon", None) == gossiping._shard_of("moon#new", None)
    assert shard != 0, "or this test shows nothing; take another word"
    for intent in ("moon", "moon/phase", "moon"):
        rig.do("bob", events.Listen(intent))
    assert set(gossiping.overlays) == {0, shard}
    rig.do("alice", say(1, "moon/phase", b"full"))
    rig.run(5.0)
    assert rig.heard("bob") == [b"full"] * 2, "once for each intent"
    rig.do("bob", events.Unlisten("moon/phase"))
    assert shard in gossiping.overlays
    rig.do("bob", events.Unlisten("moon"))
    rig.do("bob", events.Unlisten("moon"))
    assert set(gossiping.overlays) == {0}
    assert not gossiping._interests


def test_a_topic_key_hides_the_shard_too() -> None:
    gossiping = Rig(shard_bits=6).add("alice").stack("alice").gossiping
    shards = {gossiping._shard_of("moon", bytes([n]) * 32) for n in range(40)}
    assert len(shards) > 10
    assert gossiping._shard_of("", b"k" * 32) == 0, "what is for everyone is in the first"


def test_what_comes_for_a_shard_we_are_not_in_is_left() -> None:
    rig = Rig().add("alice", "bob").connect("alice bob")
    (record,) = rig.stack("bob").roster
    assert record.live is not None
    gossiping = rig.stack("bob").gossiping
    gossiping.arrived(record.live, b"\x07\xff", rig.world.now)
    gossiping.viewed(record.live, b"\x07\xff", rig.world.now)
    for short in (b"", b"\x00"):
        for take in (gossiping.arrived, gossiping.viewed):
            with pytest.raises(ProtocolError):
                take(record.live, short, rig.world.now)


# Listening


def test_an_interest_that_cannot_be_leaves_nothing_behind() -> None:
    rig = Rig(shard_bits=4).add("alice")
    stack = rig.stack("alice")
    for bad in (events.Listen(""), events.Listen("moon", b"short"), events.Listen("moon", None, 0)):
        with pytest.raises(UsageError):
            stack.handle(bad, 1.0)
    for n in range(256):
        stack.handle(events.Listen(f"intent/{n}"), 1.0)
    with pytest.raises(LimitError):
        stack.handle(events.Listen("one/more"), 1.0)
    assert len(stack.gossiping._interests) == 256


# Speaking


def test_a_message_waits_for_its_stamp_and_is_sent_with_it() -> None:
    rig = Rig(stamp=stamp.Config(base_bits=6)).add("alice", "bob").connect("alice bob")
    alice = rig.stack("alice")
    (solve,) = alice.handle(events.Broadcast(7, b"hello"), rig.world.now)
    assert isinstance(solve, events.Solve)
    assert (solve.ref, solve.bits) == (7, 6)
    rig.run(3.0)
    assert not rig.heard("bob")
    value = stamp.solve(solve.id, solve.expiry_s, solve.bits)
    rig.do("alice", events.Solved(7, value))
    rig.do("alice", events.Solved(7, value))
    rig.do("alice", events.Solved(8, value))
    rig.run(3.0)
    assert rig.heard("bob") == [b"hello"]
    assert [one.id for one in rig.of("alice", events.Resonated)] == [solve.id]


def test_a_wrong_stamp_is_not_taken() -> None:
    rig = Rig(stamp=stamp.Config(base_bits=16)).add("alice", "bob").connect("alice bob")
    rig.stack("alice").handle(events.Broadcast(7, b"cheap"), rig.world.now)
    rig.do("alice", events.Solved(7, bytes(16)))
    rig.run(3.0)
    assert not rig.heard("bob")
    assert rig.stack("bob").shared.meter.get("gossip_faults") == 1


def test_too_many_that_wait_for_stamps_are_refused() -> None:
    alice = Rig(stamp=stamp.Config(base_bits=6)).add("alice").stack("alice")
    for ref in range(speaking.PENDING_MAX):
        alice.handle(events.Broadcast(ref, b"x"), 1.0)
    with pytest.raises(LimitError, match="stamps"):
        alice.handle(events.Broadcast(-1, b"x"), 1.0)


@pytest.mark.parametrize(
    "bad",
    [
        say(1, "", b"x"),
        say(1, "moon", bytes(15_361)),
        say(1, "moon", b"x", strength=1.5),
        say(1, "moon", b"x", priority=11),
        say(1, "moon", b"x", key=b"short"),
        events.Broadcast(1, bytes(20_000)),
    ],
)
def test_what_cannot_be_said_is_refused_and_changes_nothing(bad: events.Event) -> None:
    rig = Rig().add("alice")
    with pytest.raises(UsageError):
        rig.stack("alice").handle(bad, rig.world.now)
    assert rig.stack("alice").shared.meter.get("gossip_published") == 0


# Sessions


def test_a_session_that_nobody_needs_ends_when_there_are_too_many() -> None:
    few = membership.Config(active=2, outbound_min=1, promote_s=1000.0)
    rig = Rig(membership=few, idle_max=1)
    rig.add("hub", *(f"n{n}" for n in range(7)))
    rig.connect(*(f"hub n{n}" for n in range(7)), keep=False).run(60.0)
    assert len(list(rig.world.sessions("hub"))) <= 2 + 1
    assert rig.stack("hub").shared.meter.get("pruned") > 0


def test_friends_are_never_pruned() -> None:
    few = membership.Config(active=2, outbound_min=1)
    rig = Rig(membership=few, idle_max=0).add("hub", *(f"n{n}" for n in range(5)))
    rig.connect(*(f"n{n} hub" for n in range(5))).run(60.0)
    assert len(dict(rig.world.sessions("hub"))) == 5
    assert rig.near("hub") == 5
    assert rig.stack("hub").shared.meter.get("pruned") == 0


def test_a_full_node_spares_somebody_for_a_newcomer_but_no_friend() -> None:
    few = membership.Config(active=2, outbound_min=1, promote_s=1000.0)
    rig = Rig(membership=few).add("hub", pool=PoolConfig(peers_max=4))
    rig.add(*(f"n{n}" for n in range(4)), "friend", "late")
    rig.connect("friend hub").connect(*(f"n{n} hub" for n in range(3)), keep=False)
    rig.connect("late hub").run(20.0)
    met = {far for far, _ in rig.world.sessions("hub")}
    assert {"friend", "late"} <= met
    assert len(met) <= 4


def test_who_does_too_much_harm_is_shut_out_and_not_let_in_again() -> None:
    rig = Rig().add("alice", "mallory").connect("mallory alice")
    (record,) = rig.stack("mallory").roster
    live = record.live
    assert live is not None
    gossiping, (guilty,) = rig.stack("alice").gossiping, rig.stack("alice").roster
    for kind in ("invalid", *["unserved"] * 8):  # it was at fault before
        gossiping.standing.fault(guilty.handle, kind, rig.world.now)
    foreign = Realm(b"f" * 32)
    for n in range(5):
        raw = seal(
            foreign,
            Inside(3, 1.0, 5, "", b"%d" % n),
            topic_key=None,
            expiry_s=expiry(rig.stack("alice").shared.wall() / 1000),
            urgent=False,
            shard=0,
            entropy=bytes,
        )
        live.gossip.put(frame.GOSSIP, b"\0\1\0" + stamped(None, raw), 5)
    rig.stack("mallory").links.dirty[live.link] = live
    rig.do("mallory", events.Flush())
    rig.run(1.0)
    assert rig.stack("alice").shared.meter.get("gossip_faults") == 1
    assert gossiping.standing.greylisted(guilty.static_key, rig.world.now)
    assert guilty.live is None
    rig.connect("mallory alice").run(60.0)
    assert not list(rig.world.sessions("alice"))
    rig.run(3600.0).connect("mallory alice").run(10.0)
    assert list(rig.world.sessions("alice")), "forgiven after an hour"


def test_a_goodbye_is_not_undone_by_the_mesh() -> None:
    """Who is sent away is not called again as a neighbour; if somebody asks for it, it is."""
    rig = Rig(membership=membership.Config(promote_s=1.0)).add("alice", "bob")
    rig.connect("alice bob")
    (record,) = rig.stack("alice").roster
    rig.do("alice", events.Disconnect(record.handle))
    rig.run(300.0)
    assert not list(rig.world.sessions("alice"))
    rig.connect("alice bob")
    assert [far for far, _ in rig.world.sessions("alice")] == ["bob"]


def test_a_rotation_keeps_the_neighbours() -> None:
    rig = Rig().add("alice", "bob").connect("alice bob")
    rig.do("alice", events.RotateIdentity())
    rig.run(5.0)
    assert (rig.near("alice"), rig.near("bob")) == (1, 1)
    rig.do("alice", events.Broadcast(1, b"me again", signed=True))
    rig.run(5.0)
    (one,) = rig.of("bob", events.Gossiped)
    assert one.author == rig.stack("alice").shared.identity.id
    (record,) = rig.stack("bob").roster
    assert one.peer == record.handle


def test_frames_that_make_room_for_others_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig().add("alice", "bob").connect("alice bob")
    alice = rig.stack("alice")
    (record,) = alice.roster
    monkeypatch.setattr("whispurrnet.stack.outbox.FRAMES_MAX", 2)
    for n in range(5):
        alice.gossiping.send(record.handle, frame.GOSSIP, b"%d" % n, 5)
    assert record.live is not None
    assert record.live.gossip.dropped == alice.shared.meter.get("gossip_dropped") == 3
