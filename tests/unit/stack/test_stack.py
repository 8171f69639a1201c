"""What went wrong once between whole stacks, and must not again."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from whispurrnet.base.errors import AuthError
from whispurrnet.base.machine import Tick
from whispurrnet.discovery import beacon
from whispurrnet.identity.ephemeral import Ephemeral, verify_predecessor, verify_successor
from whispurrnet.session.pool import Config as PoolConfig
from whispurrnet.sim.world import EPOCH_MS, Wire, World
from whispurrnet.stack import calls, events, greeting
from whispurrnet.stack.config import Config
from whispurrnet.stack.live import Live
from whispurrnet.stack.stack import Stack
from whispurrnet.wire import frame

QUIET = Config(beacon_on=False, pool=PoolConfig(backoff_max_s=2.0))


class Pair:
    """Alice and Bob, and what their applications hear."""

    def __init__(self, config: Config = QUIET) -> None:
        self.news: dict[str, list[events.Effect]] = {"alice": [], "bob": [], "carol": []}
        self.world = World(1, Wire(cut_after_s=5.0), self._observe)
        for name in ("alice", "bob"):
            self.world.add(name, config)
        self.world.run(0.1)

    def _observe(self, now: float, node: str, effect: events.Effect) -> None:
        self.news[node].append(effect)

    def connect(self) -> None:
        self.world.connect("alice", "bob")
        self.world.run(self.world.now + 5.0)

    def stack(self, name: str) -> Stack:
        return self.world.nodes[name]

    def live(self, name: str) -> Live:
        (record,) = self.stack(name).roster
        assert record.live is not None
        return record.live

    def of(self, name: str, kind: type) -> list[events.Effect]:
        return [effect for effect in self.news[name] if isinstance(effect, kind)]

    def heard(self, name: str) -> list[bytes]:
        return [
            whisper.body
            for effect in self.news[name]
            if isinstance(effect, events.Delivered)
            for whisper in effect.whispers
        ]

    def say(self, speaker: str, listener: str, frames: list[bytes]) -> list[events.Effect]:
        """What `listener` does when `speaker` says this inside the session."""
        live, there = self.live(speaker), self.live(listener)
        record = live.channel.seal(frames, sum(map(len, frames)), self.world.now)
        effects = self.stack(listener).handle(events.LinkData(there.link, record), self.world.now)
        for effect in effects:
            self.world._perform(listener, effect)
        return effects


def identity(seed: int) -> Ephemeral:
    return Ephemeral.generate(Random(seed).randbytes, EPOCH_MS)


@pytest.mark.parametrize("trick", ["nothing", "its own consent", "a successor's signature"])
def test_nobody_takes_the_identity_of_somebody_else(trick: str) -> None:
    """Everybody knows Carol's proof; only Carol can say that she has been Alice."""
    pair = Pair()
    pair.connect()
    carol, alice = identity(3), pair.stack("alice").shared.identity
    consent = {
        "nothing": bytes(64),
        "its own consent": alice.sign_predecessor(alice.proof),
        "a successor's signature": alice.sign_successor(carol.proof),
    }[trick]
    lie = greeting.Rotate(carol.proof.encode(), alice.sign_successor(carol.proof), consent)
    effects = pair.say("alice", "bob", [frame.encode(frame.PEER, greeting.encode(lie))])
    assert not [effect for effect in effects if isinstance(effect, events.PeerRenamed)]
    (record,) = pair.stack("bob").roster
    assert (record.id, record.live) == (alice.id, None)
    assert pair.stack("bob").roster.find(carol.id) is None


def test_both_identities_must_agree_on_a_rotation() -> None:
    old, new, other = identity(1), identity(2), identity(3)
    verify_successor(old.proof, new.proof, old.sign_successor(new.proof))
    verify_predecessor(old.proof, new.proof, new.sign_predecessor(old.proof))
    for wrong in (new.sign_predecessor(other.proof), other.sign_predecessor(old.proof), bytes(64)):
        with pytest.raises(AuthError):
            verify_predecessor(old.proof, new.proof, wrong)


@pytest.mark.parametrize("junk", [b"\xc1", b"", msgspec.msgpack.encode([[2, b"", b"", b""]])])
def test_junk_behind_the_hello_ends_the_session_and_says_so(junk: bytes) -> None:
    pair = Pair()
    alice, bob = pair.stack("alice"), pair.stack("bob")
    seen: list[bytes] = []

    def tamper(source: str, target: str, data: bytes) -> bytes | None:
        opening = next(iter(alice.links.states.values()), None)
        live = opening if isinstance(opening, Live) else getattr(opening, "live", None)
        if source == "alice" and live is not None and live.notes and not seen:
            hello = live.notes.popleft()
            bad = frame.encode(frame.PEER, junk)
            seen.append(hello)
            return data + live.channel.seal([hello, bad], len(hello) + len(bad), pair.world.now)
        return data

    pair.world.tamper = tamper
    pair.connect()
    pair.world.run(pair.world.now + 30.0)
    assert seen
    ups, downs = pair.of("bob", events.PeerUp), pair.of("bob", events.PeerDown)
    if junk:
        assert downs, "the session should have ended"
    live = {id(state) for state in bob.links.states.values() if isinstance(state, Live)}
    assert live == {id(record.live) for record in bob.roster if record.live is not None}
    assert len(ups) - len(downs) == len(live) == 1


@pytest.mark.parametrize("who", [["alice"], ["bob"], ["alice", "bob"]])
@pytest.mark.parametrize("times", [1, 3])
def test_who_rotates_while_apart_is_known_again(who: list[str], times: int) -> None:
    """Nothing is heard twice, and there is one record of each."""
    pair = Pair()
    pair.connect()
    peer = {name: next(iter(pair.stack(name).roster)).handle for name in ("alice", "bob")}
    pair.world.severed = lambda *_: 10.0 < pair.world.now < 60.0
    for n in range(200):
        for name in ("alice", "bob"):
            post = events.Post(peer=peer[name], id=n, kind=1, body=b"%d" % n, ttl_s=900.0)
            pair.world.inject(name, post, n * 0.1)
    for name in who:
        for n in range(times):
            pair.world.inject(name, events.RotateIdentity(), 20.0 + 3 * n)
    pair.world.run(200.0)
    assert pair.of("alice", events.PeerDown), "the cut did not cut"
    for name, other in (("alice", "bob"), ("bob", "alice")):
        assert pair.heard(name) == [b"%d" % n for n in range(200)]
        (record,) = pair.stack(name).roster
        assert record.id == pair.stack(other).shared.identity.id


def test_a_connect_is_answered_whoever_called_first() -> None:
    pair = Pair()
    for name, other in (("alice", "bob"), ("bob", "alice")):
        for n in range(3):
            pair.world.inject(name, call_of(pair, name, other, n), 0.01 * n)
    pair.world.run(60.0)
    for name in ("alice", "bob"):
        refs = {e.ref for e in pair.of(name, events.Connected) if isinstance(e, events.Connected)}
        assert refs == {0, 1, 2}


def call_of(pair: Pair, name: str, other: str, ref: int) -> events.Connect:
    key = pair.stack(other).shared.identity.proof.static_key
    return events.Connect(ref=ref, static_key=key, addresses=(pair.world.address(other),))


def test_a_wrong_call_to_the_same_place_does_not_stop_the_right_one() -> None:
    """A stale bootstrap entry calls for ever; a good ticket for the same address works."""
    pair = Pair()
    wrong = events.Connect(
        ref=1, static_key=b"k" * 32, addresses=(pair.world.address("bob"),), persistent=True
    )
    pair.world.inject("alice", wrong)
    pair.world.run(300.0)
    assert not pair.of("alice", events.Connected)
    pair.world.inject("alice", call_of(pair, "alice", "bob", 2))
    pair.world.run(330.0)
    assert [e.ref for e in pair.of("alice", events.Connected)] == [2]  # type: ignore[union-attr]


def test_a_goodbye_ends_every_call_that_led_to_the_peer() -> None:
    pair = Pair()
    for n in range(2):
        pair.world.inject("alice", call_of(pair, "alice", "bob", n))
        pair.world.inject("bob", call_of(pair, "bob", "alice", n))
    pair.world.run(20.0)
    (record,) = pair.stack("alice").roster
    pair.world.inject("alice", events.Disconnect(record.handle))
    pair.world.run(120.0)
    assert record.live is None
    pair.world.inject("alice", call_of(pair, "alice", "bob", 9))
    pair.world.run(140.0)
    assert 9 in [e.ref for e in pair.of("alice", events.Connected)]  # type: ignore[union-attr]


def test_more_beacons_than_there_is_room_for_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CALLS_MAX", 5)
    world = World(2, Wire(), lambda *_: None)
    loud = Config(beacon=beacon.Config(checks_per_s=1e6))
    victim = world.add("victim", loud)
    world.run(0.1)
    for n in range(40):
        stranger = Stack(
            loud,
            entropy=Random(n).randbytes,
            wall=lambda: EPOCH_MS,
            rng=Random(n),
            now=0.0,
        )
        heard = stranger.handle(events.Listening((f"/ip4/10.9.0.{n + 1}/tcp/9000",)), 0.0)
        for at in range(5):
            heard += stranger.handle(Tick(), float(at))
        for effect in heard:
            if isinstance(effect, events.Announce):
                victim.handle(events.Datagram(effect.data), world.now)
    for at in range(60):
        victim.handle(Tick(), world.now + at)
    assert victim.shared.meter.get("beacons_ignored") > 0
    assert len(victim.shared.timers) < 400


def test_forged_bytes_are_not_held_against_the_peer() -> None:
    """Who sits in between can end a session, and cannot have an honest peer refused."""
    pair = Pair()
    pair.connect()
    for n in range(30):
        there = pair.live("bob")
        forged = events.LinkData(there.link, Random(n).randbytes(66_000))
        effects = pair.stack("bob").handle(forged, pair.world.now)
        for effect in effects:
            pair.world._perform("bob", effect)
        pair.world.run(pair.world.now + 20.0)
    assert pair.live("bob")
