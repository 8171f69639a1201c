"""Whole nodes and relays on virtual time: who cannot meet does, and no whisper is lost."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
import pytest

from whispurrnet.nat import punch, relay_events, relay_messages
from whispurrnet.sim.nat import KINDS, Kind
from whispurrnet.sim.relays import RelayWorld
from whispurrnet.sim.world import Wire
from whispurrnet.stack import events, greeting
from whispurrnet.stack.config import Config, GossipConfig, IdentityConfig
from whispurrnet.stack.links import Links
from whispurrnet.wire import frame
from whispurrnet.wire.address import parse

QUIET = Config(beacon_on=False, gossip=GossipConfig(on=False), punch=punch.Config(on=False))
RELAY = msgspec.structs.replace(QUIET, relay=relay_events.Config(on=True))
NO_HELP = msgspec.structs.replace(QUIET, relay=relay_events.Config(introduce=False))


class Town:
    """Relays, and two nodes behind NATs."""

    def __init__(
        self,
        seed: int = 1,
        *,
        relays: int = 1,
        nats: tuple[Kind, Kind] = ("symmetric", "symmetric"),
        config: Config = QUIET,
        relay: Config = RELAY,
        **wire: float,
    ) -> None:
        self.world = RelayWorld(seed, Wire(**wire), self._observe)
        self.news: dict[str, list[events.Effect]] = defaultdict(list)
        self.heard: dict[str, list[bytes]] = defaultdict(list)
        self.relays = [f"relay{n}" for n in range(relays)]
        for name in self.relays:
            self.world.add(name, relay)
        for name, kind in zip(("alice", "bob"), nats, strict=True):
            self.world.add(name, config)
            self.world.nats.put(name, kind)
        self.world.run(0.5)
        for name in self.relays:
            self.call("bob", name, self.world.address(name), relay=True)
        self.world.run(3.0)

    def _observe(self, now: float, node: str, effect: events.Effect) -> None:
        self.news[node].append(effect)
        if isinstance(effect, events.Delivered):
            self.heard[node] += [whisper.body for whisper in effect.whispers]

    def call(self, caller: str, target: str, *addresses: str, **more: Any) -> None:
        proof = self.world.nodes[target].shared.identity.proof
        connect = events.Connect(
            ref=len(self.news[caller]) + 1,
            static_key=proof.static_key,
            addresses=addresses or self.world.nodes[target].shared.addresses,
            persistent=True,
            **more,
        )
        self.world.inject(caller, connect)

    def path(self, node: str, other: str) -> str:
        """How a node reaches another now; empty if it does not."""
        ids = {identity.id for identity in self.world.nodes[other].shared.identities}
        for record in self.world.nodes[node].roster:
            if record.live is not None and record.id in ids:
                return record.live.path
        return ""

    def peer(self, node: str, other: str) -> int:
        ids = {identity.id for identity in self.world.nodes[other].shared.identities}
        (record,) = [one for one in self.world.nodes[node].roster if ids & set(one.ids)]
        return record.handle

    def whisper(self, count: int, first: int = 0) -> None:
        peer = self.peer("alice", "bob")
        for n in range(first, first + count):
            post = events.Post(peer=peer, id=n, kind=1, body=b"%d" % n, priority=5, ttl_s=3600.0)
            self.world.inject("alice", post, n * 0.01)

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)


@pytest.mark.parametrize("near", KINDS)
@pytest.mark.parametrize("far", ["port_restricted", "symmetric"])
def test_whoever_stands_behind_a_nat_is_reached_by_relay(near: Kind, far: Kind) -> None:
    town = Town(nats=(near, far))
    town.call("alice", "bob")
    town.run(5.0)
    assert town.path("alice", "bob") == town.path("bob", "alice") == "relay"
    town.whisper(20)
    town.run(5.0)
    assert town.heard["bob"] == [b"%d" % n for n in range(20)]


def test_without_a_relay_they_do_not_meet() -> None:
    town = Town(relays=0)  # the control
    town.call("alice", "bob")
    town.run(30.0)
    assert not town.path("alice", "bob")


def test_somebody_else_at_a_private_address_does_not_hide_the_relay() -> None:
    """Both homes have a 10.0.0.2, and another node answers at the one that Bob means."""
    town = Town()
    town.world.add("stranger", QUIET)
    town.run(1.0)
    bob = town.world.nodes["bob"].shared
    town.call("alice", "bob", town.world.address("stranger"), *bob.relayed)
    town.run(8.0)
    assert not town.path("alice", "bob")  # the stranger says nothing, and is waited for
    town.run(10.0)
    assert town.path("alice", "bob") == "relay"


def test_a_direct_address_is_taken_before_a_relay() -> None:
    town = Town(nats=("symmetric", "open"))
    town.call("alice", "bob")
    town.run(5.0)
    assert town.path("alice", "bob") == "tcp"


def test_the_first_whisper_by_relay_arrives_within_a_second() -> None:
    town = Town(latency_min_s=0.02, latency_max_s=0.04)
    began = town.world.now
    town.call("alice", "bob")
    while not town.path("alice", "bob"):
        town.run(0.01)
    town.whisper(1)
    while not town.heard["bob"]:
        town.run(0.01)
    assert town.world.now - began < 1.0


@pytest.mark.parametrize("seed", range(4))
def test_a_relay_that_dies_loses_no_whisper(seed: int) -> None:
    town = Town(seed, relays=2, loss=0.02)
    assert len(town.world.nodes["bob"].relaying.client.placed) == 2
    town.call("alice", "bob")
    town.run(5.0)
    town.whisper(1000)
    town.run(4.0)
    assert 0 < len(town.heard["bob"]) < 1000
    (used,) = [n for n in town.relays if town.world.nodes[n].relaying.relay.circuits]
    town.world.crash(used)
    town.run(120.0)
    assert town.path("alice", "bob") == "relay"
    assert town.heard["bob"] == [b"%d" % n for n in range(1000)]
    received = [e for e in town.news["alice"] if isinstance(e, events.Progress)]
    assert len({e.id for e in received if e.state == "received"}) == 1000


def test_with_one_relay_only_the_rest_waits() -> None:
    town = Town(2)  # the control: there is no second relay
    town.call("alice", "bob")
    town.run(5.0)
    town.whisper(1000)
    town.run(4.0)
    town.world.crash("relay0")
    town.run(120.0)
    assert not town.path("alice", "bob")
    assert 0 < len(town.heard["bob"]) < 1000


def test_a_lost_relay_is_replaced_and_comes_back() -> None:
    town = Town(relays=3)
    placed = town.world.nodes["bob"].relaying.client
    assert len(placed.placed) == 2
    names = {town.world.address(n): n for n in town.relays}
    before = {names[str(parse(text).base)] for text in town.world.nodes["bob"].shared.relayed}
    town.world.crash(min(before))
    town.run(5.0)
    after = {names[str(parse(text).base)] for text in town.world.nodes["bob"].shared.relayed}
    assert len(after) == 2
    assert min(before) not in after


def test_who_takes_another_identity_is_still_found() -> None:
    config = msgspec.structs.replace(
        QUIET, identity=IdentityConfig(lifetime_s=200.0, overlap_s=50.0)
    )
    town = Town(config=config)
    old = town.world.nodes["bob"].shared.addresses
    key = town.world.nodes["bob"].shared.identity.proof.static_key
    town.run(210.0)
    bob = town.world.nodes["bob"].shared
    assert bob.addresses != old
    assert all(parse(t).peer_id == bob.identity.id.hex() for t in bob.relayed)
    connect = events.Connect(ref=9, static_key=key, addresses=old)  # the ticket of before
    town.world.inject("alice", connect)
    town.run(10.0)
    assert town.path("alice", "bob") == "relay"


def test_a_relay_that_takes_another_identity_is_in_our_addresses_by_its_new_key() -> None:
    config = msgspec.structs.replace(
        RELAY, identity=IdentityConfig(lifetime_s=200.0, overlap_s=50.0)
    )
    town = Town(relay=config)
    before = town.world.nodes["bob"].shared.relayed
    town.run(300.0)
    after = town.world.nodes["bob"].shared.relayed
    key = town.world.nodes["relay0"].shared.identity.proof.static_key.hex()
    assert before != after
    assert {parse(text).relay for text in after} == {key}
    town.call("alice", "bob")
    town.run(5.0)
    assert town.path("alice", "bob") == "relay"


def test_more_peers_at_once_than_there_are_dials_share_one_way_to_the_relay() -> None:
    town = Town()
    names = [f"bob{n}" for n in range(12)]
    for name in names:
        town.world.add(name, QUIET)
        town.world.nats.put(name, "symmetric")
    town.run(0.5)
    for name in names:
        town.call(name, "relay0", town.world.address("relay0"), relay=True)
    town.run(3.0)
    for name in names:
        town.call("alice", name)
    town.run(6.0)  # they do not take all places in the line in which the relay would stand
    assert [name for name in names if town.path("alice", name) != "relay"] == []


def test_a_session_is_made_again_after_rotations() -> None:
    config = msgspec.structs.replace(
        QUIET, identity=IdentityConfig(lifetime_s=200.0, overlap_s=50.0)
    )
    town = Town(config=config)
    town.call("alice", "bob")
    town.run(700.0)
    assert town.path("alice", "bob") == "relay"
    alice = town.world.nodes["alice"]
    record = alice.roster.get(town.peer("alice", "bob"))
    assert record is not None and record.live is not None
    town.world._end("alice", record.live.link, 0.0)
    town.run(30.0)
    assert town.path("alice", "bob") == "relay"


def test_a_common_peer_introduces_two_but_carries_little() -> None:
    town = Town(relays=0)
    town.world.add("carol", QUIET)
    town.run(0.5)
    for name in ("alice", "bob"):
        town.call(name, "carol", town.world.address("carol"))
    town.run(2.0)
    nodes = town.world.nodes
    base = parse(town.world.address("carol"))
    way = base.through(
        nodes["carol"].shared.identity.proof.static_key, nodes["bob"].shared.identity.id
    )
    town.call("alice", "bob", str(way))
    town.run(3.0)
    assert town.path("alice", "bob") == "relay"
    allowed = nodes["carol"].relaying.relay.config.introduction
    assert (allowed.bytes_max, allowed.life_s) == (256 << 10, 60.0)
    town.run(70.0)
    assert nodes["carol"].shared.meter.get("circuits") >= 1


def test_who_does_not_introduce_carries_nothing() -> None:
    town = Town(relays=0)
    town.world.add("carol", NO_HELP)  # the control
    town.run(0.5)
    for name in ("alice", "bob"):
        town.call(name, "carol", town.world.address("carol"))
    town.run(2.0)
    nodes = town.world.nodes
    base = parse(town.world.address("carol"))
    way = base.through(
        nodes["carol"].shared.identity.proof.static_key, nodes["bob"].shared.identity.id
    )
    town.call("alice", "bob", str(way))
    town.run(10.0)
    assert not town.path("alice", "bob")


# Hostile relays


def meet_through(copy: Any, seconds: float = 60.0) -> Town:
    """Alice whispers to Bob through a relay that does this to what it copies."""
    town = Town()
    town.call("alice", "bob")
    town.run(5.0)
    town.world.copy = copy
    if town.path("alice", "bob"):
        town.whisper(50)
    town.run(seconds)
    return town


def harmless(town: Town) -> None:
    """Bob heard what Alice said, from the beginning, each once; nothing else."""
    heard = town.heard["bob"]
    assert heard == [b"%d" % n for n in range(len(heard))]


class Once:
    """Does something to the 20th chunk that is copied."""

    def __init__(self, change: Any) -> None:
        self.change = change
        self.count = 0
        self.kept = b""

    def __call__(self, relay: str, data: bytes) -> bytes:
        self.count += 1
        if self.count == 20:
            self.kept = data
            return self.change(self, data)
        return data


def test_an_honest_relay_is_the_control() -> None:
    town = meet_through(lambda relay, data: data)
    assert len(town.heard["bob"]) == 50


HOSTILE = {
    "drops": lambda once, data: b"",
    "replays": lambda once, data: data + data,
    "alters": lambda once, data: bytes([data[0] ^ 1]) + data[1:],
    "cuts short": lambda once, data: data[: len(data) // 2],
    "makes up": lambda once, data: bytes(len(data)),
}


@pytest.mark.parametrize("deed", HOSTILE)
def test_a_relay_that(deed: str) -> None:
    town = meet_through(Once(HOSTILE[deed]), 300.0)
    harmless(town)
    assert len(town.heard["bob"]) == 50  # over the next session, which it left alone


def test_a_relay_that_reorders_or_swaps() -> None:
    held: list[bytes] = []

    def swap(relay: str, data: bytes) -> bytes:
        held.append(data)
        if len(held) % 7 == 0:
            return b""  # the next one goes first, and this one after it
        return data + held[-2] if len(held) % 7 == 1 and len(held) > 1 else data

    town = meet_through(swap, 120.0)
    harmless(town)


def test_a_relay_that_joins_you_to_somebody_else() -> None:
    """It answers Bob's id by a token that it gives to Mallory: the handshake refuses her."""
    town = Town(relays=1)
    town.world.add("mallory", QUIET)
    town.run(0.5)
    town.call("mallory", "relay0", town.world.address("relay0"), relay=True)
    town.run(2.0)
    relay = town.world.nodes["relay0"].relaying.relay
    bob, mallory = (town.world.nodes[n].shared.identity.id for n in ("bob", "mallory"))
    relay._by_id[bob] = relay._by_id[mallory]
    town.call("alice", "bob")
    town.run(30.0)
    assert not town.path("alice", "bob")
    assert not town.path("alice", "mallory")
    relay_circuits = town.world.nodes["relay0"].shared.meter.get("circuits")
    assert relay_circuits >= 1  # they were joined, and it helped nobody


def test_one_that_lies_about_being_the_relay() -> None:
    """Who stands where the relay should be, with another key, gets no session and no id to know."""
    town = Town()
    addresses = town.world.nodes["bob"].shared.relayed
    liar = "00" * 31 + "09"
    wrong = tuple(text.replace(parse(text).relay, liar) for text in addresses)
    town.call("alice", "bob", *wrong)
    town.run(30.0)
    assert not town.path("alice", "bob")
    assert not town.path("alice", "relay0")
    town.call("alice", "bob", *addresses)  # the control
    town.run(70.0)
    assert town.path("alice", "bob") == "relay"


def test_a_flood_of_reservations_is_refused_with_a_reason() -> None:
    config = msgspec.structs.replace(
        QUIET, relay=relay_events.Config(on=True, places_max=2, reserves_per_minute=100.0)
    )
    town = Town(relay=config)
    for n in range(4):
        town.world.add(f"guest{n}", QUIET)
    town.run(0.5)
    for n in range(4):
        town.call(f"guest{n}", "relay0", town.world.address("relay0"), relay=True)
    town.run(3.0)
    relay = town.world.nodes["relay0"].relaying.relay
    assert relay.places == 2
    town.call("alice", "bob")  # who has a place is not harmed
    town.run(5.0)
    assert town.path("alice", "bob") == "relay"


def test_a_relay_dials_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an open relay: whatever is asked of it, it opens no link of its own."""
    dialled: list[str] = []
    normal = RelayWorld._dial

    def note(world: RelayWorld, node: str, dial: int, addresses: tuple[str, ...]) -> None:
        dialled.append(node)
        normal(world, node, dial, addresses)

    monkeypatch.setattr(RelayWorld, "_dial", note)
    town = Town()
    town.call("alice", "bob")
    town.run(5.0)
    alice = town.world.nodes["alice"]
    live = next(r.live for r in alice.roster if r.live and r.live.path == "tcp")
    for id in (bytes(32), b"\xff" * 32, town.world.nodes["relay0"].shared.identity.id):
        body = relay_messages.encode(relay_messages.Connect(7, id))
        live.notes.append(frame.encode(frame.RELAY, body))
    alice.links.dirty[live.link] = live
    town.whisper(1)
    town.run(5.0)
    assert "alice" in dialled  # the control
    assert "relay0" not in dialled


def test_a_node_that_is_no_relay_says_so() -> None:
    town = Town(relay=QUIET)
    assert not town.world.nodes["bob"].relaying.client.placed
    assert not town.world.nodes["bob"].shared.relayed


def test_what_a_relay_says_of_itself() -> None:
    town = Town()
    bob = town.world.nodes["bob"]
    (record,) = [r for r in bob.roster if r.live is not None]
    assert record.capabilities & greeting.RELAYS
    assert isinstance(bob.links, Links)
