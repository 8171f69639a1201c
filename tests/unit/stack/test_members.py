"""Closed realms between whole stacks: who gets in, who does not, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.gossip import stamp, stem
from whispurrnet.gossip.envelope import realm_key
from whispurrnet.sim.world import EPOCH_MS, Wire, World
from whispurrnet.stack import events, greeting
from whispurrnet.stack.belonging import Belonging, Holding
from whispurrnet.stack.config import Config, GossipConfig, MembersConfig
from whispurrnet.stack.live import Live
from whispurrnet.stack.members import MEMBER
from whispurrnet.stack.stack import Stack
from whispurrnet.trust import chain
from whispurrnet.wire import frame

SEED, OTHER_SEED = Secret(b"f" * 32), Secret(b"o" * 32)
FOUNDER = SigningKey.from_bytes(SEED)
REALM = chain.realm_of(realm_key(None), FOUNDER.public)
DAY_S = 86_400
PLAIN = Config(
    beacon_on=False,
    gossip=GossipConfig(stamp=stamp.Config(base_bits=0), stem=stem.Config(on=False)),
)


class Realm:
    """Stacks of a closed realm, its founder among them."""

    def __init__(self, **members: Any) -> None:
        self.news: dict[str, list[events.Effect]] = {}
        self.world = World(1, Wire(), lambda _, node, effect: self.news[node].append(effect))
        given = {"founder": FOUNDER.public} | members
        self.config = msgspec.structs.replace(PLAIN, members=MembersConfig(**given))
        self.add("founder", holding=Holding(SEED))

    def add(self, *names: str, config: Config | None = None, **more: Any) -> None:
        for name in names:
            self.news.setdefault(name, [])
            self.world.add(name, config or self.config, **more)
        self.run(0.1)

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def stack(self, name: str) -> Stack:
        return self.world.nodes[name]

    def belonging(self, name: str) -> Belonging:
        return self.stack(name).shared.belonging

    def join(self, newcomer: str, inviter: str, **more: Any) -> None:
        """Redeem an invite, as by `whispurr join`."""
        there = self.stack(inviter).shared
        self.world.inject(
            newcomer,
            events.Connect(
                ref=1,
                static_key=there.identity.proof.static_key,
                addresses=(self.world.address(inviter),),
                psk=there.invites.issue(there.wall()),
                **more,
            ),
        )
        self.run(5.0)

    def connect(self, one: str, other: str) -> None:
        self.world.connect(one, other, keep=False)
        self.run(5.0)

    def near(self, name: str) -> set[str]:
        """The neighbours of a node, by name."""
        names = {handle: other for other, handle in self.world.sessions(name)}
        return {names[peer] for peer in self.stack(name).gossiping.overlays[0].neighbours}

    def met(self, name: str) -> set[str]:
        return {other for other, _ in self.world.sessions(name)}

    def live(self, name: str, other: str) -> Live:
        record = self.stack(name).roster.get(dict(self.world.sessions(name))[other])
        assert record is not None and record.live is not None
        return record.live

    def say(self, speaker: str, listener: str, *messages: greeting.Greeting) -> None:
        """Say this inside the session, now."""
        live = self.live(speaker, listener)
        live.notes.append(frame.encode(frame.PEER, greeting.encode(*messages)))
        self.stack(speaker).links.dirty[live.link] = live
        self.world.inject(speaker, events.Flush())
        self.run(2.0)

    def of(self, node: str, kind: type) -> list[Any]:
        return [effect for effect in self.news[node] if isinstance(effect, kind)]

    def broken(self, node: str) -> bool:
        """Whether a peer of this node broke the protocol."""
        return any("broke" in one.reason for one in self.of(node, events.PeerDown))

    def count(self, node: str, name: str) -> int:
        return self.stack(node).shared.meter.get(name)


# Getting in


def test_an_invite_of_the_founder_and_one_of_a_member_let_in() -> None:
    realm = Realm()
    realm.add("alice", "bob")
    realm.join("alice", "founder")
    realm.join("bob", "alice")
    alice, bob = realm.belonging("alice").member, realm.belonging("bob").member
    assert alice is not None and bob is not None
    assert (alice.inviter, alice.branch) == (FOUNDER.public, alice.key)
    assert (bob.inviter, bob.branch) == (alice.key, alice.key)
    assert (realm.belonging("bob").links, bob.depth) == (2, 2)
    assert realm.of("bob", events.MembershipChanged)
    assert realm.near("founder") == {"alice", "bob"}, "Alice told Bob of the founder"
    assert realm.near("bob") == {"alice", "founder"}
    assert realm.count("founder", "members_let_in") == realm.count("alice", "members_let_in") == 1


def test_messages_spread_among_members_only() -> None:
    realm = Realm()
    realm.add("alice", "stranger")
    realm.add("other", config=PLAIN)
    realm.join("alice", "founder")
    for outsider in ("stranger", "other"):
        realm.connect(outsider, "founder")
        realm.connect(outsider, "alice")
    realm.world.inject("founder", events.Broadcast(1, b"among us"))
    for outsider in ("stranger", "other"):
        realm.world.inject(outsider, events.Broadcast(1, b"let me in"))
    realm.run(10.0)
    assert [one.payload for one in realm.of("alice", events.Gossiped)] == [b"among us"]
    assert not realm.of("founder", events.Gossiped)
    for outsider in ("stranger", "other"):
        assert not realm.of(outsider, events.Gossiped)
        assert {"founder", "alice"} <= realm.met(outsider), "it may speak with them, one by one"
        assert not realm.near(outsider)


def test_without_a_founder_the_same_nodes_are_one_mesh() -> None:
    """The control of the test above."""
    realm = Realm(founder=None)
    realm.add("alice", "stranger")
    realm.connect("alice", "founder")
    realm.connect("stranger", "founder")
    assert realm.near("founder") == {"alice", "stranger"}


def test_an_invite_for_a_session_that_stands_already_lets_in() -> None:
    """Such as one that a beacon led to. Whoever of the two had called."""
    for caller in ("alice", "founder"):
        realm = Realm()
        realm.add("alice")
        realm.connect(caller, {"alice": "founder", "founder": "alice"}[caller])
        assert not realm.near("founder")
        realm.join("alice", "founder")
        assert realm.near("founder") == {"alice"}
        assert realm.near("alice") == {"founder"}
        assert not len(realm.stack("founder").shared.invites), "it is used up"
        assert len(realm.of("alice", events.PeerUp)) == 1


def test_a_member_keeps_its_membership() -> None:
    realm = Realm()
    realm.add("alice")
    realm.join("alice", "founder")
    holding = realm.belonging("alice").holding
    assert holding is not None and "Holding(...)" in repr(holding)
    realm.world.crash("alice")
    realm.run(1.0)
    realm.add("alice", holding=holding)
    realm.connect("alice", "founder")
    assert realm.near("founder") == {"alice"}


def test_a_meeting_place_serves_members_only() -> None:
    realm = Realm()
    realm.add("alice", "stranger")
    realm.join("alice", "founder")
    realm.connect("stranger", "founder")
    for name in ("alice", "stranger"):
        realm.world.inject(name, events.Register("tea"))
    realm.run(5.0)
    points = realm.stack("founder").meeting._points("tea")
    names = {handle: other for other, handle in realm.world.sessions("founder")}
    assert [names[handle] for handle in points] == ["alice"], "nor is a stranger one for members"
    realm.add("bob")
    realm.join("bob", "founder")
    realm.world.inject("bob", events.FindName(7, "tea"))
    realm.world.inject("stranger", events.FindName(8, "tea"))
    realm.run(30.0)
    found = [key for one in realm.of("bob", events.FoundName) for key, _, _ in one.contacts]
    assert found == [realm.stack("alice").shared.identity.proof.static_key]
    assert not [key for one in realm.of("stranger", events.FoundName) for key in one.contacts]


# Not getting in


def test_an_invite_of_a_stranger_makes_no_member_and_says_so() -> None:
    realm = Realm()
    realm.add("stranger", "alice")
    realm.join("alice", "stranger")
    assert realm.belonging("alice").member is None
    assert [one for one in realm.of("alice", events.Warned) if "nobody a member" in one.text]


def test_the_last_of_a_chain_can_let_nobody_in() -> None:
    realm = Realm(depth=1)
    realm.add("alice", "bob")
    realm.join("alice", "founder")
    assert not realm.belonging("alice").may_invite
    assert realm.belonging("founder").may_invite
    realm.join("bob", "alice")
    assert realm.belonging("bob").member is None
    assert not realm.near("bob")


def test_an_invite_lets_one_in_once() -> None:
    realm = Realm()
    realm.add("alice")
    realm.join("alice", "founder")
    alice = realm.belonging("alice")
    live = realm.live("alice", "founder")
    role = greeting.INITIATOR
    for psk in (None, Secret(b"x" * 32)):
        live.applied = True
        ask = alice.ask(live.keys.export("membership"), role, psk)
        realm.say("alice", "founder", ask)
    assert realm.count("founder", "members_let_in") == 1
    assert realm.count("founder", "memberships_refused") == 2
    assert realm.near("founder") == {"alice"}


def test_a_membership_expires_in_a_session_that_stands() -> None:
    realm = Realm(life_s=DAY_S)
    realm.add("alice")
    realm.join("alice", "founder")
    realm.run(DAY_S - 600.0)
    assert realm.near("founder") == {"alice"}
    realm.run(1200.0)
    assert not realm.near("founder")
    assert realm.belonging("alice").member is None
    assert not members(realm, "founder")
    assert realm.met("founder") == {"alice"}, "friends may still talk"
    realm.world.crash("alice")
    realm.run(60.0)
    timers = realm.stack("founder").shared.timers
    assert not [name for name in timers.expire(realm.world.now + 9e9) if name[0] == MEMBER]


def test_a_new_invite_makes_it_last_longer() -> None:
    realm = Realm(life_s=DAY_S)
    realm.add("alice")
    realm.join("alice", "founder")
    realm.run(DAY_S / 2)
    realm.join("alice", "founder")
    realm.run(DAY_S * 0.75)
    assert realm.near("founder") == {"alice"}
    assert len(realm.of("alice", events.MembershipChanged)) == 2


# Lies


def shown(realm: Realm, name: str, other: str, role: int | None = None) -> greeting.Belong:
    """What a node would show in its session with another."""
    live = realm.live(name, other)
    role = role if role is not None else 1 - live.initiator
    message = realm.belonging(name).show(live.keys.export("membership"), role)
    assert message is not None
    return message


def members(realm: Realm, name: str) -> set[str]:
    """Whom a node takes for members, of those it is connected with."""
    roster, found = realm.stack(name).roster, set()
    for other, handle in realm.world.sessions(name):
        record = roster.get(handle)
        if record is not None and record.member is not None:
            found.add(other)
    return found


def crowd() -> Realm:
    """A founder, Alice, whom it let in, and a stranger who has a session with both."""
    realm = Realm()
    realm.add("alice", "mallory")
    realm.join("alice", "founder")
    realm.connect("mallory", "founder")
    realm.connect("mallory", "alice")
    return realm


def test_what_a_member_showed_is_worth_nothing_in_another_session() -> None:
    realm = crowd()
    replayed = shown(realm, "alice", "founder")
    realm.say("mallory", "founder", replayed)
    assert members(realm, "founder") == {"alice"}
    assert realm.count("founder", "memberships_refused") == 1
    assert realm.met("founder") == {"alice", "mallory"}, "nor is it a fault"


def test_what_is_shown_at_one_end_is_worth_nothing_at_the_other() -> None:
    """The reflection: Mallory sends back what Alice showed her."""
    realm = crowd()
    realm.say("mallory", "alice", shown(realm, "alice", "mallory"))
    assert members(realm, "alice") == {"founder"}


def test_a_membership_of_another_founder_or_network_is_none_here() -> None:
    realm = crowd()
    for network, seed in ((b"elsewhere", SEED), (realm_key(None), OTHER_SEED)):
        key = SigningKey.from_bytes(seed)
        there = chain.realm_of(network, key.public)
        mallory = SigningKey.from_bytes(b"m" * 32)
        made = chain.issue(
            key, (), mallory.public, there, depth=4, life_s=DAY_S, wall_s=EPOCH_MS // 1000
        )
        binding = realm.live("mallory", "founder").keys.export("membership")
        for signed in (there, REALM):
            signature = chain.sign_for(mallory, chain.SHOWN, signed, binding, 0)
            lie = greeting.Belong(chain.encode(made), signature)
            realm.say("mallory", "founder", lie)
    assert members(realm, "founder") == {"alice"}


def test_the_chain_of_another_under_ones_own_key() -> None:
    realm = crowd()
    mallory = SigningKey.from_bytes(b"m" * 32)
    binding = realm.live("mallory", "founder").keys.export("membership")
    signature = chain.sign_for(mallory, chain.SHOWN, REALM, binding, 0)
    for stolen in (shown(realm, "alice", "founder").chain, chain.encode(())):
        realm.say("mallory", "founder", greeting.Belong(stolen, signature))
    assert members(realm, "founder") == {"alice"}


def test_every_flipped_bit_of_what_is_shown_is_refused() -> None:
    realm = crowd()
    live = realm.live("founder", "alice")
    good, binding = shown(realm, "alice", "founder"), live.keys.export("membership")
    judge = realm.belonging("founder")
    assert judge.check(good, binding, 0).key == realm.belonging("alice").public
    for field in ("chain", "signature"):
        data = getattr(good, field)
        for bit in range(8 * len(data)):
            bad = bytearray(data)
            bad[bit // 8] ^= 1 << bit % 8
            changed = msgspec.structs.replace(good, **{field: bytes(bad)})
            with pytest.raises(ProtocolError):  # AuthError is one
                judge.check(changed, binding, 0)


def test_a_stranger_does_not_learn_that_a_node_is_a_member() -> None:
    """Who was called shows nothing until the other has; whoever calls chose whom to tell."""
    realm = Realm()
    realm.add("alice", "mallory")
    realm.join("alice", "founder")
    said: list[greeting.Greeting] = []
    told = realm.stack("mallory").links.told
    realm.stack("mallory").links.told = (  # type: ignore[method-assign]
        lambda record, message, now: (said.append(message), told(record, message, now))[1]
    )
    realm.connect("mallory", "alice")
    realm.connect("mallory", "founder")
    assert realm.met("mallory") == {"alice", "founder"}
    assert not [message for message in said if isinstance(message, greeting.Belong)]


def test_a_grant_that_nobody_asked_for_ends_the_session() -> None:
    realm = crowd()
    realm.say("mallory", "alice", greeting.Grant(shown(realm, "alice", "founder").chain))
    assert realm.broken("alice")


def test_a_grant_for_another_key_ends_the_session_and_one_of_another_realm_is_left() -> None:
    for network, survives in ((realm_key(None), False), (b"elsewhere", True)):
        realm = crowd()
        there = chain.realm_of(network, FOUNDER.public)
        made = chain.issue(
            FOUNDER, (), b"m" * 32, there, depth=4, life_s=DAY_S, wall_s=EPOCH_MS // 1000
        )
        realm.live("alice", "mallory").applied = True
        before = realm.belonging("alice").holding
        realm.say("mallory", "alice", greeting.Grant(chain.encode(made)))
        assert realm.broken("alice") != survives
        assert realm.belonging("alice").holding == before


def test_who_asks_in_the_name_of_another_ends_its_session() -> None:
    realm = crowd()
    realm.live("founder", "mallory").invited = True
    bad = greeting.Apply(realm.belonging("alice").public, bytes(64), b"")
    realm.say("mallory", "founder", bad)
    assert realm.broken("founder")


def test_who_shows_and_shows_is_shown_the_door() -> None:
    realm = crowd()
    good = shown(realm, "alice", "founder")
    realm.say("alice", "founder", good)
    assert realm.met("founder") == {"alice", "mallory"}
    for _ in range(3):
        realm.say("mallory", "founder", *[good] * 7)
    assert realm.broken("founder")


def test_an_open_node_takes_no_notice() -> None:
    realm = Realm()
    realm.add("other", config=PLAIN)
    realm.world.connect("other", "founder")  # friends are neighbours at once, were it not closed
    realm.run(5.0)
    assert realm.met("other") == {"founder"}
    assert not realm.near("other")
    assert not realm.belonging("other").is_closed
    assert realm.belonging("other").holding is None


def test_what_was_kept_for_another_realm_or_key_counts_for_nothing() -> None:
    realm = crowd()
    alice = realm.belonging("alice").holding
    assert alice is not None
    stranger = Holding(OTHER_SEED, alice.chain)
    config = MembersConfig(founder=FOUNDER.public)
    for holding, wall_ms in (
        (stranger, EPOCH_MS),
        (Holding(alice.seed, b"junk"), EPOCH_MS),
        (alice, EPOCH_MS + 100 * DAY_S * 1000),
    ):
        kept = Belonging(config, realm_key(None), holding, bytes, lambda wall=wall_ms: wall)
        assert kept.member is None
        assert not kept.may_invite


def test_who_comes_into_another_branch_counts_there() -> None:
    """Bob came by Alice, and then by the founder: he has answered for himself since."""
    realm = Realm(life_s=DAY_S)
    realm.add("alice", "bob")
    realm.join("alice", "founder")
    realm.join("bob", "alice")
    realm.run(60.0)
    assert "bob" in realm.near("founder")
    realm.join("bob", "founder")
    roster = realm.stack("founder").roster
    record = roster.get(dict(realm.world.sessions("founder"))["bob"])
    bob = realm.belonging("bob")
    assert record is not None and record.member is not None
    assert record.member.branch == bob.public
    assert bob.links == 1
    assert "bob" in realm.near("founder")
