"""Whole nodes in the simulator: loss, cuts, crashes, rotations and liars, on virtual time."""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random

import msgspec
import pytest

from whispurrnet.base.errors import AuthError, IdentityChanged, NetworkError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.kex import Level
from whispurrnet.crypto.keys import Secret
from whispurrnet.gossip.envelope import parse
from whispurrnet.gossip.keyring import Keyring
from whispurrnet.identity.persona import Persona
from whispurrnet.session import channel, handshake
from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events, greeting, protocols
from whispurrnet.stack.checker import STAMP_BYTES
from whispurrnet.stack.config import Config, GossipConfig, IdentityConfig
from whispurrnet.trust.evidence import Kind
from whispurrnet.trust.policy import Verdict
from whispurrnet.wire import frame

QUIET = Config(beacon_on=False)


class Mesh:
    """A world, and what its applications heard."""

    def __init__(self, seed: int, **wire: float) -> None:
        self.heard: dict[str, list[bytes]] = defaultdict(list)
        self.acked: dict[str, list[int]] = defaultdict(list)
        self.news: dict[str, list[events.Effect]] = defaultdict(list)
        self.world = World(seed, Wire(**wire), self._observe)

    def _observe(self, now: float, node: str, effect: events.Effect) -> None:
        self.news[node].append(effect)
        match effect:
            case events.Delivered(_, whispers):
                self.heard[node] += [whisper.body for whisper in whispers]
            case events.Progress(_, id, "received"):
                self.acked[node].append(id)
            case events.StreamData(peer, stream, data):
                self.heard[node].append(data)
                self.world.inject(node, events.Consumed(peer, stream, len(data)))
            case _:
                pass

    def up(self, node: str) -> list[int]:
        """Which peers are connected now."""
        roster = self.world.nodes[node].roster
        return [record.handle for record in roster if record.live is not None]

    def peer(self, node: str) -> int:
        """The one peer that a node knows."""
        (record,) = self.world.nodes[node].roster
        return record.handle

    def whisper(self, node: str, n: int, delay_s: float = 0.0, priority: int = 5) -> None:
        post = events.Post(
            peer=self.peer(node), id=n, kind=1, body=b"%d" % n, priority=priority, ttl_s=3600.0
        )
        self.world.inject(node, post, delay_s)

    def pair(self, config: Config = QUIET) -> None:
        """Alice calls Bob."""
        self.world.add("alice", config)
        self.world.add("bob", config)
        self.world.run(self.world.now + 0.1)
        self.world.connect("alice", "bob")
        self.world.run(self.world.now + 10.0)
        assert self.up("alice")
        assert self.up("bob")

    def events_of(self, node: str, kind: type) -> list[events.Effect]:
        return [effect for effect in self.news[node] if isinstance(effect, kind)]


@pytest.mark.parametrize("seed", range(8))
def test_whispers_survive_loss_cuts_and_rotations(seed: int) -> None:
    """Each arrives once and in order, whatever the path does for ten minutes."""
    mesh = Mesh(seed, loss=0.05, cut_after_s=30.0)
    mesh.pair()
    rng = Random(seed)
    cuts = [(at := rng.uniform(20.0, 500.0), at + rng.uniform(5.0, 60.0)) for _ in range(6)]
    mesh.world.severed = lambda *_: any(a <= mesh.world.now < b for a, b in cuts)
    for n in range(400):
        mesh.whisper("alice", n, rng.uniform(0.0, 0.5) + n)
    for _ in range(3):
        mesh.world.inject(
            rng.choice(["alice", "bob"]), events.RotateIdentity(), rng.uniform(0, 400)
        )
    mesh.world.run(1200.0)
    order = [b"%d" % n for n in range(400)]
    assert mesh.heard["bob"] == order
    assert sorted(mesh.acked["alice"]) == list(range(400))


def test_the_cuts_of_the_test_above_do_cut() -> None:
    """The control: sessions were lost and made anew."""
    mesh = Mesh(1, cut_after_s=30.0)
    mesh.pair()
    mesh.world.severed = lambda *_: 50.0 < mesh.world.now < 200.0
    mesh.world.run(400.0)
    assert mesh.events_of("alice", events.PeerDown)
    assert len(mesh.events_of("alice", events.PeerUp)) > 1


def test_same_seed_same_run() -> None:
    def run(seed: int) -> str:
        mesh = Mesh(seed, loss=0.1)
        mesh.pair()
        for n in range(20):
            mesh.whisper("alice", n, n * 0.1)
        mesh.world.run(60.0)
        return mesh.world.digest

    assert run(7) == run(7)
    assert run(7) != run(8)


@pytest.mark.parametrize("seed", range(10))
def test_two_that_call_each_other_at_once_end_with_one_session(seed: int) -> None:
    mesh = Mesh(seed)
    for name in ("alice", "bob"):
        mesh.world.add(name, QUIET)
    mesh.world.run(0.1)
    mesh.world.connect("alice", "bob")
    mesh.world.connect("bob", "alice")
    mesh.world.run(30.0)
    for name in ("alice", "bob"):
        assert len(mesh.up(name)) == 1
        assert len(mesh.world.nodes[name].links.states) == 1
    for n in range(20):
        mesh.whisper("alice", n)
        mesh.whisper("bob", n)
    mesh.world.run(60.0)
    assert mesh.heard["bob"] == mesh.heard["alice"] == [b"%d" % n for n in range(20)]


def test_beacons_bring_strangers_together() -> None:
    mesh = Mesh(3, loss=0.2)
    names = [f"n{i}" for i in range(6)]
    for name in names:
        mesh.world.add(name, Config(network_secret=Secret(bytes(32))))
    mesh.world.run(60.0)
    assert all(len(mesh.up(name)) == 5 for name in names)


def test_another_network_hears_nothing() -> None:
    mesh = Mesh(4)
    mesh.world.add("alice", Config(network_secret=Secret(b"a" * 32)))
    mesh.world.add("mallory", Config(network_secret=Secret(b"b" * 32)))
    mesh.world.run(60.0)
    mesh.world.connect("mallory", "alice")
    mesh.world.run(120.0)
    assert not mesh.up("alice")
    assert not mesh.up("mallory")


def test_a_crashed_peer_with_a_long_term_identity_gets_what_was_queued() -> None:
    mesh = Mesh(5, cut_after_s=5.0)
    bob = Persona(b"b" * 32)
    mesh.world.add("alice", Config(network_secret=Secret(bytes(32))))
    mesh.world.add("bob", Config(network_secret=Secret(bytes(32))), persona=bob)
    mesh.world.run(30.0)
    first = mesh.world.nodes["bob"].shared.identity.id
    mesh.whisper("alice", 0)
    mesh.world.run(31.0)
    mesh.world.crash("bob")
    mesh.world.run(60.0)
    assert not mesh.up("alice")
    for n in range(1, 30):
        mesh.whisper("alice", n)
    mesh.world.run(61.0)
    mesh.world.add("bob", Config(network_secret=Secret(bytes(32))), persona=bob)
    mesh.world.run(200.0)
    assert mesh.world.nodes["bob"].shared.identity.id != first
    assert mesh.heard["bob"] == [b"%d" % n for n in range(30)]


# What spreads


def realm(mesh: Mesh, *names: str, **config: object) -> None:
    """Nodes of one network that find each other, and an outsider's absence."""
    for name in names:
        mesh.world.add(name, Config(network_secret=Secret(bytes(32)), **config))
    mesh.world.run(mesh.world.now + 30.0)


def gossiped(mesh: Mesh, node: str) -> list[events.Gossiped]:
    return [effect for effect in mesh.news[node] if isinstance(effect, events.Gossiped)]


def heard(mesh: Mesh, node: str) -> list[bytes]:
    return [one.payload for one in gossiped(mesh, node)]


def test_a_resonance_reaches_those_who_listen_and_no_one_else() -> None:
    mesh = Mesh(6)
    realm(mesh, "alice", "bob", "carol", "dave")
    mesh.world.inject("bob", events.Listen("moon/phase"))
    mesh.world.inject("dave", events.Listen("sun/phase"))
    mesh.world.inject("alice", events.Listen("moon/phase"))
    mesh.world.inject("alice", events.Resonate(9, "Moon/Phase", b"full", 1.0, 7, 60.0), 1.0)
    mesh.world.run(60.0)
    (one,) = gossiped(mesh, "bob")
    assert (one.intent, one.payload, one.strength, one.priority) == ("moon/phase", b"full", 1.0, 7)
    assert (one.kind, one.author, one.peer) == (protocols.RESONANCE, None, None)
    (resonated,) = mesh.events_of("alice", events.Resonated)
    assert (resonated.ref, resonated.id, resonated.neighbours) == (9, one.id, 3)
    assert not heard(mesh, "carol"), "it holds no intent"
    assert not heard(mesh, "dave"), "it holds another"
    assert not heard(mesh, "alice"), "nobody hears herself"
    for name in ("carol", "dave"):  # and yet they carry it
        assert mesh.world.nodes[name].gossiping.overlays[0].spread.has(one.id)
    mesh.world.inject("bob", events.Unlisten("moon/phase"))
    mesh.world.inject("alice", events.Resonate(10, "moon/phase", b"new", 1.0, 5, 60.0), 1.0)
    mesh.world.run(90.0)
    assert heard(mesh, "bob") == [b"full"]


def test_another_realm_neither_carries_nor_hears() -> None:
    """It shares no key: even a node in the middle that is joined to both passes nothing on."""
    mesh = Mesh(33)
    realm(mesh, "alice", "bob")
    mesh.world.add("eve", Config(network_secret=Secret(b"e" * 32)))
    mesh.world.inject("eve", events.Listen("moon"))
    mesh.world.inject("bob", events.Listen("moon"))
    mesh.world.inject("alice", events.Resonate(9, "moon", b"full", 1.0, 5, 60.0), 1.0)
    mesh.world.run(90.0)
    assert heard(mesh, "bob") == [b"full"]
    assert not heard(mesh, "eve")
    assert not mesh.up("eve")


def test_a_late_joiner_hears_what_still_lives() -> None:
    """Who comes within the time to live is told by comparison; after it, nobody is."""
    mesh = Mesh(16)
    realm(mesh, "alice", "bob")
    mesh.world.inject("alice", events.Resonate(9, "moon", b"soon over", 1.0, 5, 10.0))
    mesh.world.inject("alice", events.Resonate(10, "moon", b"full", 1.0, 5, 200.0))
    mesh.world.run(60.0)
    mesh.world.add("late", Config(network_secret=Secret(bytes(32))))
    mesh.world.inject("late", events.Listen("moon"))
    mesh.world.run(200.0)
    assert heard(mesh, "late") == [b"full"]
    mesh.world.run(300.0)
    mesh.world.add("later", Config(network_secret=Secret(bytes(32))))
    mesh.world.inject("later", events.Listen("moon"))
    mesh.world.run(400.0)
    assert not heard(mesh, "later")


def test_a_message_without_neighbours_waits_for_the_first() -> None:
    mesh = Mesh(34)
    mesh.world.add("alice", QUIET)
    mesh.world.run(1.0)
    mesh.world.inject("alice", events.Broadcast(9, b"anybody?"), 1.0)
    mesh.world.run(30.0)
    assert [one.neighbours for one in mesh.events_of("alice", events.Resonated)] == [0]
    mesh.world.add("bob", QUIET)
    mesh.world.run(31.0)
    mesh.world.connect("bob", "alice")
    mesh.world.run(60.0)
    assert heard(mesh, "bob") == [b"anybody?"]


def test_a_private_topic_is_for_those_with_its_key() -> None:
    """Whoever guesses the intent and has no key, or another, hears nothing."""
    mesh = Mesh(35)
    key, other = b"k" * 32, b"o" * 32
    listeners = {"bob": key, "carol": None, "dave": other}
    realm(mesh, "alice", *listeners)
    for name, held in listeners.items():
        mesh.world.inject(name, events.Listen("moon", held))
    event = events.Resonate(9, "moon", b"for us", 1.0, 5, 60.0, key)
    mesh.world.inject("alice", event, 1.0)
    mesh.world.run(90.0)
    (one,) = gossiped(mesh, "bob")
    assert (one.payload, one.key) == (b"for us", key)
    assert not heard(mesh, "carol") + heard(mesh, "dave")


@pytest.mark.parametrize(
    ("said", "strength", "threshold", "hears"),
    [
        ("health/sensor/heart", 1.0, 1.0, 1.0),
        ("health/sensor/heart", 0.5, 0.4, 0.5),
        ("health/sensor/heart", 0.5, 0.6, None),
        ("health/sensor/lung", 1.0, 0.5, 0.5),  # (1 + 2) of (1 + 2 + 3)
        ("health/sensor/lung", 1.0, 0.6, None),
        ("health/sensor/lung", 0.9, 0.5, None),
        ("wealth/sensor/heart", 1.0, 0.1, None),
    ],
)
def test_how_strongly_it_resonates(
    said: str, strength: float, threshold: float, hears: float | None
) -> None:
    mesh = Mesh(36)
    realm(mesh, "alice", "bob")
    mesh.world.inject("bob", events.Listen("health/sensor/heart", None, threshold))
    mesh.world.inject("alice", events.Resonate(9, said, b"beat", strength, 5, 60.0), 1.0)
    mesh.world.run(90.0)
    assert [one.strength for one in gossiped(mesh, "bob")] == ([] if hears is None else [hears])


def test_a_signed_message_says_whose_it_is_and_an_unsigned_one_does_not() -> None:
    mesh = Mesh(37)
    realm(mesh, "alice", "bob")
    author = mesh.world.nodes["alice"].shared.identity.id
    for ref, signed in ((1, True), (2, False)):
        event = events.Resonate(ref, "moon", b"%d" % ref, 1.0, 5, 60.0, None, signed)
        mesh.world.inject("alice", event, ref)
    mesh.world.inject("bob", events.Listen("moon"))
    mesh.world.run(90.0)
    signed = {one.payload: (one.author, one.peer) for one in gossiped(mesh, "bob")}
    assert signed == {b"1": (author, mesh.peer("bob")), b"2": (None, None)}


def test_everybody_hears_a_broadcast_once_and_an_emergency_at_once() -> None:
    """Whatever the ways are: each hears each once, and nobody what is his own."""
    mesh = Mesh(38, latency_min_s=0.05, latency_max_s=0.05)
    names = [f"n{i}" for i in range(12)]
    realm(mesh, *names)
    for n, name in enumerate(names):
        mesh.world.inject(name, events.Broadcast(n, b"%d" % n))
    mesh.world.run(mesh.world.now + 60.0)
    for n, name in enumerate(names):
        assert sorted(heard(mesh, name)) == sorted(b"%d" % m for m in range(12) if m != n)
    before = mesh.world.now
    mesh.world.inject("n3", events.Broadcast(99, b"fire", urgent=True))
    mesh.world.run(before + 0.3)  # no detour: a few hops of 50 ms
    for name in names[:3] + names[4:]:
        last = gossiped(mesh, name)[-1]
        assert (last.payload, last.kind, last.priority) == (b"fire", protocols.EMERGENCY, 10)


def test_the_same_words_said_twice_are_two_messages() -> None:
    mesh = Mesh(39)
    realm(mesh, "alice", "bob")
    for ref in (1, 2):
        mesh.world.inject("alice", events.Broadcast(ref, b"again"), ref)
    mesh.world.run(90.0)
    assert heard(mesh, "bob") == [b"again", b"again"]
    assert len({one.id for one in gossiped(mesh, "bob")}) == 2


def test_who_takes_no_part_hears_and_carries_nothing() -> None:
    """The control of all of the above, and the setting that switches it off."""
    mesh = Mesh(40)
    realm(mesh, "alice")
    realm(mesh, "bob", gossip=GossipConfig(on=False))
    assert mesh.up("bob")
    mesh.world.inject("bob", events.Listen("moon"))
    mesh.world.inject("alice", events.Resonate(9, "moon", b"full", 1.0, 5, 60.0), 1.0)
    mesh.world.inject("alice", events.Broadcast(10, b"all"), 1.0)
    mesh.world.run(mesh.world.now + 60.0)
    assert not heard(mesh, "bob")
    (record,) = mesh.world.nodes["alice"].roster
    assert not record.capabilities & greeting.GOSSIPS
    assert not mesh.world.nodes["alice"].gossiping.overlays[0].neighbours
    bob, event = mesh.world.nodes["bob"], events.Broadcast(1, b"hello")
    with pytest.raises(UsageError, match="gossip.enabled"):
        bob.handle(event, mesh.world.now)


def test_nobody_on_the_way_can_read_it() -> None:
    """What passes through a node that holds the realm key and not the intent opens to nothing.

    And of two messages of one intent, none of the bytes that could mark them is the same.
    """
    mesh = Mesh(41)
    realm(mesh, "alice", "carol")
    for ref in (1, 2):
        event = events.Resonate(ref, "a secret between us", b"the payload", 1.0, 5, 60.0)
        mesh.world.inject("alice", event, ref)
    mesh.world.run(90.0)
    overlay = mesh.world.nodes["carol"].gossiping.overlays[0]
    ids = [one.id for one in mesh.events_of("alice", events.Resonated)]
    bodies = [overlay.spread._cache.get(id, mesh.world.now).body for id in ids]
    keyring = Keyring(mesh.world.nodes["carol"].gossiping.realm)
    slots: list[bytes] = []
    for body in bodies:
        envelope = parse(body[STAMP_BYTES:])
        assert not keyring.open(envelope)
        assert b"payload" not in body
        assert b"secret" not in body
        slots += envelope.slots
    assert len(slots) == len(set(slots)) == 32
    keyring.listen("a secret between us")  # the control: who guesses the intent does read it
    for body in bodies:
        (found,) = keyring.open(parse(body[STAMP_BYTES:]))
        assert found.inside.payload == b"the payload"


def test_a_command_overtakes_a_bulk_stream() -> None:
    mesh = Mesh(7)
    mesh.pair()
    alice, peer = mesh.world.nodes["alice"], mesh.peer("alice")
    now = mesh.world.now
    alice.handle(events.OpenStream(peer, 1, "bulk", 5), now)
    alice.handle(events.WriteStream(peer, 1, bytes(4 << 20)), now)
    mesh.whisper("alice", 77, priority=10)
    mesh.world.run(now + 10.0)
    before = mesh.heard["bob"].index(b"77")
    assert sum(map(len, mesh.heard["bob"][:before])) < 1 << 20
    assert sum(map(len, mesh.heard["bob"])) == (4 << 20) + 2


@pytest.mark.parametrize("seed", range(12))
def test_a_liar_in_the_middle_changes_nothing_unnoticed(seed: int) -> None:
    """Flipped, cut, doubled and swallowed bytes end links; what arrives is what was sent."""
    mesh = Mesh(seed, cut_after_s=10.0)
    rng = Random(seed)
    mesh.pair(msgspec.structs.replace(QUIET, channel=channel.Config(heartbeat_s=5.0)))

    def lie(source: str, target: str, data: bytes) -> bytes | None:
        if mesh.world.now > 200.0 or rng.random() > 0.05:
            return data
        place = rng.randrange(len(data))
        return rng.choice(
            [
                data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :],
                data[:place],
                data + data,
                b"",
                rng.randbytes(len(data)),
            ]
        )

    mesh.world.tamper = lie
    for n in range(200):
        mesh.whisper("alice", n, n * 0.9)
    mesh.world.run(900.0)
    assert mesh.heard["bob"] == [b"%d" % n for n in range(200)]
    assert len(mesh.events_of("alice", events.PeerDown)) > 0


@pytest.mark.parametrize("seed", range(20))
def test_who_does_not_know_the_key_gets_no_byte(seed: int) -> None:
    """Any bytes, in any pieces, from any number of links: no answer, and no memory kept."""
    mesh = Mesh(seed)
    rng = Random(seed)
    stack = mesh.world.add("bob", QUIET)
    mesh.world.run(0.1)
    written = []
    for link in range(1, 50):
        now = mesh.world.now + link
        written += stack.handle(events.LinkUp(link, "/memory/x", "memory", None, bytes(33)), now)
        for _ in range(rng.randrange(4)):
            first = rng.choice([b"", b"\x01\x03\x01\x00", b"\x01\x03\x02\x00", b"\x16\x03\x01"])
            data = first + rng.randbytes(rng.randrange(3000))
            written += stack.handle(events.LinkData(link, data), now)
    for n in range(100):
        written += stack.handle(events.Tick(), mesh.world.now + 50 + n)
    assert not [effect for effect in written if isinstance(effect, events.Write)]
    assert not stack.links.states


def test_an_invite_works_once() -> None:
    mesh = Mesh(8)
    mesh.world.add("alice", QUIET)
    mesh.world.add("mallory", QUIET)
    bob = mesh.world.add("bob", QUIET)
    mesh.world.run(0.1)
    (invited,) = bob.handle(events.Invite(1), mesh.world.now)
    call = events.Connect(
        ref=1,
        static_key=bob.shared.identity.proof.static_key,
        addresses=(mesh.world.address("bob"),),
        psk=invited.psk,
    )
    mesh.world.inject("alice", call)
    mesh.world.run(20.0)
    assert mesh.events_of("alice", events.Connected)
    mesh.world.inject("mallory", call)
    mesh.world.run(100.0)
    assert not mesh.events_of("mallory", events.Connected)
    assert len(mesh.up("bob")) == 1


def test_a_wrong_long_term_identity_is_refused() -> None:
    mesh = Mesh(9)
    alone = msgspec.structs.replace(QUIET, gossip=GossipConfig(on=False))
    alice = mesh.world.add("alice", alone)
    bob = mesh.world.add("bob", alone, persona=Persona(b"b" * 32))
    mesh.world.run(0.1)
    call = events.Connect(
        ref=1,
        static_key=bob.shared.identity.proof.static_key,
        addresses=(mesh.world.address("bob"),),
        persona=Persona(b"m" * 32).id,
    )
    mesh.world.inject("alice", call)
    mesh.world.run(30.0)
    (failed,) = mesh.events_of("alice", events.ConnectFailed)
    assert isinstance(failed.error, AuthError)
    assert not list(alice.roster)


@pytest.mark.parametrize("post_quantum", [False, True])
def test_level_5_wants_a_quantum_safe_authentication(post_quantum: bool) -> None:
    mesh = Mesh(14)
    strong = msgspec.structs.replace(QUIET, handshake=handshake.Config(level=Level.L5))
    for name in ("alice", "bob"):
        seed = name.encode().ljust(32)
        mesh.world.add(name, strong, persona=Persona(seed, post_quantum=post_quantum))
    mesh.world.run(0.1)
    mesh.world.connect("alice", "bob", persistent=False)
    mesh.world.run(30.0)
    assert bool(mesh.up("alice")) is bool(mesh.up("bob")) is post_quantum


def test_who_breaks_the_protocol_is_slowed_then_refused_and_forgiven() -> None:
    mesh = Mesh(15)
    mesh.pair()
    alice, bob = mesh.world.nodes["alice"], mesh.world.nodes["bob"]
    for _ in range(8):
        (record,) = alice.roster
        if record.live is not None:
            record.live.notes.append(frame.encode(frame.DIRECT, b"\xc1 is not MessagePack"))
            alice.links.dirty[record.live.link] = record.live
            mesh.world.inject("alice", events.Flush())
        mesh.world.run(mesh.world.now + 60.0)
    (guilty,) = bob.roster
    assert bob.shared.meter.get("protocol_errors") >= 5
    assert bob.shared.verdict(guilty, mesh.world.now) is Verdict.REFUSE
    assert not mesh.up("bob")
    mesh.world.connect("alice", "bob")
    mesh.world.run(mesh.world.now + 60.0)
    assert not mesh.up("bob")
    mesh.world.run(mesh.world.now + 3 * 3600.0)
    mesh.world.connect("alice", "bob")
    mesh.world.run(mesh.world.now + 60.0)
    assert mesh.up("bob")


def test_nobody_there_is_said_so() -> None:
    mesh = Mesh(10)
    mesh.world.add("alice", QUIET)
    mesh.world.run(0.1)
    call = events.Connect(ref=1, static_key=b"k" * 32, addresses=(mesh.world.address("nobody"),))
    mesh.world.inject("alice", call)
    mesh.world.run(200.0)
    (failed,) = mesh.events_of("alice", events.ConnectFailed)
    assert isinstance(failed.error, NetworkError)


def test_more_peers_than_allowed_are_turned_away() -> None:
    from whispurrnet.session import pool

    mesh = Mesh(11)
    few = msgspec.structs.replace(QUIET, pool=pool.Config(peers_max=3))
    mesh.world.add("bob", few)
    for n in range(6):
        mesh.world.add(f"n{n}", QUIET)
    mesh.world.run(0.1)
    for n in range(6):
        mesh.world.connect(f"n{n}", "bob")
    mesh.world.run(100.0)
    assert len(mesh.up("bob")) == 3


def test_an_identity_that_is_not_rotated_in_time_is_replaced() -> None:
    mesh = Mesh(12)
    short = msgspec.structs.replace(
        QUIET, identity=IdentityConfig(lifetime_s=100.0, overlap_s=20.0)
    )
    mesh.pair(short)
    first = mesh.world.nodes["bob"].shared.identity.id
    mesh.world.run(350.0)
    bob = mesh.world.nodes["bob"]
    assert bob.shared.identity.id != first
    assert len(bob.shared.previous) <= 1
    assert len(mesh.events_of("alice", events.PeerRenamed)) >= 3
    assert not mesh.events_of("alice", events.PeerDown)
    mesh.whisper("alice", 5)
    mesh.world.run(360.0)
    assert mesh.heard["bob"] == [b"5"]


def test_the_old_key_still_answers_during_the_overlap() -> None:
    mesh = Mesh(13)
    mesh.world.add("alice", QUIET)
    bob = mesh.world.add("bob", QUIET)
    mesh.world.run(0.1)
    old = bob.shared.identity.proof.static_key
    mesh.world.inject("bob", events.RotateIdentity())
    mesh.world.run(10.0)
    call = events.Connect(ref=1, static_key=old, addresses=(mesh.world.address("bob"),))
    mesh.world.inject("alice", call)
    mesh.world.run(20.0)
    assert mesh.events_of("alice", events.Connected)
    (record,) = mesh.world.nodes["alice"].roster
    assert record.id == bob.shared.identity.id
    assert handshake.keep_first(b"a", b"a")


NETWORK = msgspec.structs.replace(QUIET, network_secret=Secret(b"n" * 32))


def by_address(mesh: Mesh, caller: str, target: str, *, delay_s: float = 0.0) -> None:
    """A persistent call by a mere address, as a bootstrap address makes it."""
    address = mesh.world.address(target)
    call = events.Connect(ref=99, static_key=None, addresses=(address,), persistent=True)
    mesh.world.inject(caller, call, delay_s)


def test_who_is_called_by_address_is_found_again_after_it_rotated_and_restarted() -> None:
    mesh = Mesh(20, cut_after_s=5.0)
    mesh.world.add("alice", NETWORK)
    mesh.world.add("bob", NETWORK)
    mesh.world.run(0.1)
    by_address(mesh, "alice", "bob")
    mesh.world.run(5.0)
    mesh.world.inject("bob", events.RotateIdentity())
    mesh.world.run(10.0)
    assert mesh.events_of("alice", events.PeerRenamed)
    mesh.world.crash("bob")
    mesh.world.run(60.0)
    assert not mesh.up("alice")
    mesh.world.add("bob", NETWORK)  # somebody else now, for all that alice can know
    mesh.world.run(300.0)
    assert mesh.up("alice")
    assert mesh.up("bob")


@pytest.mark.parametrize("seed", range(6))
def test_a_call_by_address_that_met_a_call_from_there_is_not_made_again(seed: int) -> None:
    mesh = Mesh(seed)
    for name in ("alice", "bob"):
        mesh.world.add(name, NETWORK)
    mesh.world.run(0.1)
    by_address(mesh, "alice", "bob")
    mesh.world.connect("bob", "alice")
    mesh.world.run(5.0)
    before = [len(mesh.events_of(name, events.PeerDown)) for name in ("alice", "bob")]
    mesh.world.run(120.0)
    assert [len(mesh.events_of(name, events.PeerDown)) for name in ("alice", "bob")] == before
    assert len(mesh.up("alice")) == len(mesh.up("bob")) == 1


def test_an_old_ticket_does_not_undo_what_a_peer_said_of_its_new_key() -> None:
    mesh = Mesh(21)
    short = msgspec.structs.replace(
        QUIET, identity=IdentityConfig(lifetime_s=600_000.0, overlap_s=20.0)
    )
    mesh.world.add("alice", short)
    bob = mesh.world.add("bob", short)
    mesh.world.run(0.1)
    old = bob.shared.identity.proof.static_key
    mesh.world.connect("alice", "bob")
    mesh.world.run(5.0)
    mesh.world.inject("bob", events.RotateIdentity())
    mesh.world.run(60.0)  # the old key answers no more
    mesh.world.severed = lambda *_: 60.0 < mesh.world.now < 250.0
    mesh.world.run(200.0)
    assert not mesh.up("alice")
    call = events.Connect(ref=7, static_key=old, addresses=(mesh.world.address("bob"),))
    mesh.world.inject("alice", call)
    mesh.world.run(500.0)
    assert mesh.up("alice")
    assert 7 in [effect.ref for effect in mesh.events_of("alice", events.Connected)]


def test_a_resonance_that_is_too_long_is_refused_before_anybody_listens() -> None:
    mesh = Mesh(22)
    mesh.pair()
    alice = mesh.world.nodes["alice"]
    long = bytes(alice.shared.config.courier.body_max)
    event = events.Resonate(
        ref=1, intent="moon", payload=long, strength=1.0, priority=5, ttl_s=60.0
    )
    with pytest.raises(UsageError, match="at most 15360"):
        alice.handle(event, mesh.world.now)
    mesh.world.inject("bob", events.Listen("moon"))
    mesh.world.run(mesh.world.now + 5.0)
    assert mesh.up("alice")
    assert not mesh.events_of("alice", events.PeerDown)


def test_a_peer_that_is_given_up_while_it_answers_is_not_connected() -> None:
    mesh = Mesh(23)
    mesh.world.add("alice", QUIET)
    mesh.world.add("bob", QUIET)
    mesh.world.run(0.1)
    alice = mesh.world.nodes["alice"]
    mesh.world.connect("alice", "bob")
    while not alice.links.states:
        mesh.world.run(mesh.world.now + 0.001)
    (target,) = list(alice.shared.calls._calls)
    alice.shared.calls.give_up(target, NetworkError("no more"), mesh.world.now)
    mesh.world.run(5.0)  # later it may be called again, as a neighbour
    assert not mesh.up("alice")
    assert not mesh.up("bob")


def test_links_of_strangers_do_not_keep_our_own_calls_out() -> None:
    mesh = Mesh(24)
    alice = mesh.world.add("alice", msgspec.structs.replace(QUIET, links_max=2))
    mesh.world.add("bob", QUIET)
    mesh.world.run(0.1)
    for link in (901, 902, 903):
        up = events.LinkUp(link, "/ip4/10.9.9.9/tcp/1", "tcp", None, bytes(33))
        effects = alice.handle(up, mesh.world.now)
    assert effects == [events.Close(901, abort=True)]  # the oldest of those who say nothing
    mesh.world.connect("alice", "bob")
    mesh.world.run(5.0)
    assert mesh.up("alice")


def test_a_ticket_with_another_long_term_identity_is_refused_though_the_key_is_connected() -> None:
    mesh = Mesh(25)
    mesh.pair()
    alice = mesh.world.nodes["alice"]
    (record,) = alice.roster
    call = events.Connect(
        ref=5,
        static_key=record.static_key,
        addresses=(mesh.world.address("bob"),),
        persona=b"somebody else's identity, 32 bytes"[:32],
    )
    with pytest.raises(IdentityChanged):
        alice.handle(call, mesh.world.now)


def test_a_stream_that_both_have_finished_is_said_to_be_closed() -> None:
    mesh = Mesh(26)
    mesh.pair()
    mesh.world.inject("alice", events.OpenStream(mesh.peer("alice"), 1, "s", 5))
    mesh.world.run(mesh.world.now + 1.0)
    (ready,) = mesh.events_of("alice", events.StreamReady)
    for name in ("alice", "bob"):
        mesh.world.inject(name, events.FinishStream(mesh.peer(name), ready.stream))
    mesh.world.run(mesh.world.now + 5.0)
    for name in ("alice", "bob"):
        assert [e.stream for e in mesh.events_of(name, events.StreamClosed)] == [ready.stream]


def test_who_is_asked_for_while_it_is_connected_by_its_own_doing_is_called_when_that_ends() -> None:
    mesh = Mesh(27)
    mesh.world.add("alice", QUIET)
    bob = mesh.world.add("bob", QUIET)
    mesh.world.run(0.1)
    mesh.world.connect("bob", "alice")
    mesh.world.run(5.0)
    address, key = mesh.world.address("bob"), bob.shared.identity.proof.static_key
    call = events.Connect(ref=5, static_key=key, addresses=(address,))
    mesh.world.inject("alice", call)
    mesh.world.run(10.0)
    assert [effect.ref for effect in mesh.events_of("alice", events.Connected)] == [5]
    alice = mesh.world.nodes["alice"]
    (link,) = alice.links.states
    alice.handle(events.LinkDown(link, "cut"), mesh.world.now + 1.0)
    effects = alice.handle(Tick(), mesh.world.now + 10.0)
    assert [e.addresses for e in effects if isinstance(e, events.Dial)] == [(address,)]


def test_connections_on_which_nothing_is_said_do_not_keep_callers_out() -> None:
    mesh = Mesh(28)
    alice = mesh.world.add("alice", msgspec.structs.replace(QUIET, links_max=3))
    mesh.world.add("bob", QUIET)
    mesh.world.run(0.1)
    mesh.world.connect("bob", "alice")
    for link in range(900, 1000):  # while bob shakes hands
        up = events.LinkUp(link, "/ip4/10.9.9.9/tcp/1", "tcp", None, bytes(33))
        mesh.world.inject("alice", up, (link - 900) * 0.1)
    mesh.world.run(9.0)
    assert len(alice.links.states) <= 3
    assert mesh.up("alice")
    assert alice.shared.gate.half_open == 0


def test_a_forged_rotation_is_remembered() -> None:
    mesh = Mesh(30)
    mesh.pair()
    alice, bob = mesh.world.nodes["alice"], mesh.world.nodes["bob"]
    (record,) = alice.roster
    assert record.live is not None
    forged = greeting.Rotate(alice.shared.identity.proof.encode(), bytes(64), bytes(64))
    record.live.notes.append(frame.encode(frame.PEER, greeting.encode(forged)))
    alice.links.dirty[record.live.link] = record.live
    mesh.world.inject("alice", events.Flush())
    mesh.world.run(mesh.world.now + 5.0)
    (guilty,) = bob.roster
    counts = bob.shared.evidence.counts(guilty.deeds, mesh.world.now)
    assert counts[Kind.FORGED] == pytest.approx(1.0, abs=0.01)
    assert bob.shared.verdict(guilty, mesh.world.now) is Verdict.SLOW


def test_an_identity_cannot_be_changed_without_end() -> None:
    mesh = Mesh(31)
    mesh.pair()
    for n in range(30):
        mesh.world.inject("alice", events.RotateIdentity(), n * 0.5)
    mesh.world.run(mesh.world.now + 20.0)
    assert mesh.events_of("bob", events.PeerDown)
    renamed = Counter(effect.peer for effect in mesh.events_of("bob", events.PeerRenamed))
    assert max(renamed.values()) < 15


def test_nobody_waits_any_more() -> None:
    """A call whose asker gave up ends; one that is wanted for ever does not."""
    mesh = Mesh(32)
    mesh.world.add("alice", QUIET)
    mesh.world.run(0.1)
    for ref, persistent in ((1, False), (2, True)):
        call = events.Connect(
            ref=ref,
            static_key=bytes([ref]) * 32,
            addresses=(mesh.world.address("bob"),),
            persistent=persistent,
        )
        mesh.world.inject("alice", call)
        mesh.world.inject("alice", events.StopWaiting(ref), 0.3)
    mesh.world.run(5.0)
    calls = mesh.world.nodes["alice"].shared.calls
    assert calls.get(bytes([1]) * 32) is None
    assert calls.get(bytes([2]) * 32) is not None
