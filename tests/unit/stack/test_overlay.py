"""One overlay: who is a neighbour hears, walks are walked, and harm has consequences."""

from __future__ import annotations

from collections import defaultdict
from random import Random

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.gossip import membership, stamp, standing, stem
from whispurrnet.gossip.contact import Contact
from whispurrnet.gossip.envelope import Inside, Realm, parse, seal
from whispurrnet.gossip.spread_frames import IHAVE, PUSH
from whispurrnet.gossip.standing import Standing
from whispurrnet.stack.checker import STAMP_BYTES, Checker, Message, stamped
from whispurrnet.stack.config import GossipConfig
from whispurrnet.stack.overlay import (
    CONTROL_BURST,
    LOAD,
    LOAD_S,
    STEM,
    URGENT_PRIORITY,
    Overlay,
)
from whispurrnet.wire import frame

WALL_S = 1_800_000_000
REALM, FOREIGN = Realm(bytes(32)), Realm(b"f" * 32)
SHARD = 3


def key(peer: int) -> bytes:
    return bytes([peer]) * 32


class Host:
    """What an overlay wants of the stack; remembers all of it."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int, bytes, int]] = []
        self.called: list[bytes] = []
        self.released: list[int] = []
        self.sought: list[float] = []
        self.neighbours: list[tuple[int, bool]] = []
        self.delivered: list[tuple[bytes, int]] = []
        self.shut: list[int] = []
        self.counts: dict[str, int] = defaultdict(int)

    def send(self, peer: int, type: int, body: bytes, priority: int) -> None:
        self.sent.append((peer, type, body, priority))

    def call(self, contact: Contact, now: float) -> None:
        self.called.append(contact.key)

    def release(self, peer: int, now: float) -> None:
        self.released.append(peer)

    def seek(self, shard: int, now: float) -> None:
        assert shard == SHARD
        self.sought.append(now)

    def neighbour(self, peer: int, *, active: bool) -> None:
        self.neighbours.append((peer, active))

    def deliver(self, message: Message, hop: int, now: float) -> None:
        self.delivered.append((message.id, hop))

    def shut_out(self, peer: int, now: float) -> None:
        self.shut.append(peer)

    def count(self, name: str, n: int = 1) -> None:
        self.counts[name] += n

    def take(self, type: int = frame.GOSSIP) -> list[tuple[int, int, int, bytes]]:
        """What was sent since the last time: to whom, the kind, the priority and the rest."""
        taken = [(p, b[1], lane, b[2:]) for p, t, b, lane in self.sent if t == type]
        assert all(body[0] == SHARD for _, _, body, _ in self.sent)
        self.sent = []
        return taken


class Rig:
    """Node 0's overlay; the others exist as peers only."""

    def __init__(self, *, fluff: float = 0.0, stems: bool = True, seed: int = 1) -> None:
        config = GossipConfig(
            stem=stem.Config(on=stems, fluff=fluff), stamp=stamp.Config(base_bits=0)
        )
        self.rng = Random(seed)
        self.host = Host()
        self.difficulty = stamp.Difficulty(config.stamp)
        checker = Checker(REALM, SHARD, self.difficulty, lambda: WALL_S * 1000)
        self.standing = Standing(standing.Config())
        self.overlay = Overlay(
            SHARD,
            config,
            checker,
            self.difficulty,
            self.standing,
            self.rng,
            lambda: WALL_S,
            self.host,
        )
        self.overlay.me(key(0), None, 0.0)

    def up(self, *peers: int, friend: bool = True, outbound: bool = False) -> Rig:
        for peer in peers:
            self.standing.add(peer, key(peer), "", 0.0)
            event = membership.Up(peer, key(peer), None, outbound, "", friend)
            self.overlay.up(event, 0.0)
        self.host.take()
        return self

    def body(self, *, realm: Realm = REALM, shard: int = SHARD, urgent: bool = False) -> bytes:
        raw = seal(
            realm,
            Inside(3, 1.0, 5, "", self.rng.randbytes(4)),
            topic_key=None,
            expiry_s=WALL_S + 60,
            urgent=urgent,
            shard=shard,
            entropy=self.rng.randbytes,
        )
        return stamped(None, raw)

    def publish(self, body: bytes, *, direct: bool) -> None:
        self.overlay.publish(id_of(body), body, 60.0, 1.0, direct=direct)


def id_of(body: bytes) -> bytes:
    return parse(body[STAMP_BYTES:]).id


# Neighbours


def test_friends_are_neighbours_while_they_are_up() -> None:
    rig = Rig().up(1, 2)
    assert rig.overlay.neighbours == (1, 2)
    rig.overlay.down(1, 5.0)
    rig.overlay.down(1, 5.0)
    rig.overlay.down(9, 5.0)
    assert rig.overlay.neighbours == (2,)
    assert rig.host.neighbours == [(1, True), (2, True), (1, False)]


def test_a_stranger_that_called_is_no_neighbour_until_it_asks() -> None:
    rig = Rig().up(1, friend=False)
    assert rig.overlay.neighbours == ()
    rig.overlay.view(1, b"\x91\x93\x03\xc2\xc0", 1.0)  # a Neighbor that is not urgent
    assert rig.overlay.neighbours == (1,)
    ((peer, _, _, _),) = rig.host.take(frame.VIEW)
    assert peer == 1


def test_nothing_is_due_while_nothing_happens_and_a_deadline_follows_what_does() -> None:
    rig = Rig()
    assert rig.overlay.deadline is None or rig.overlay.deadline > 0
    rig.up(1, outbound=True)
    before = rig.overlay.deadline
    assert before is not None
    rig.publish(rig.body(), direct=False)
    assert rig.overlay.deadline is not None  # the embargo
    rig.overlay.tick(1000.0)
    assert rig.overlay.deadline is None or rig.overlay.deadline > 1000.0


def test_a_contact_is_called_unless_it_is_greylisted() -> None:
    rig = Rig()
    for peer in (4, 5):
        rig.overlay.consider(Contact(key(peer), ("/ip4/192.0.2.7/tcp/1",), WALL_S + 60), 0.0)
    rig.standing.add(5, key(5), "", 0.0)
    for _ in range(10):
        rig.standing.fault(5, "invalid", 0.0)
    rig.standing.remove(5, 0.0)
    for at in range(60):
        rig.overlay.tick(float(at))
    assert set(rig.host.called) == {key(4)}
    rig.overlay.unreachable(key(4), 61.0)


# What spreads


def test_what_is_urgent_goes_to_all_at_once() -> None:
    rig = Rig().up(1, 2, 3, 4, 5)
    body = rig.body(urgent=True)
    rig.publish(body, direct=True)
    sent = rig.host.take()
    assert sorted(peer for peer, *_ in sent) == [1, 2, 3, 4, 5]
    assert {(kind, lane, rest) for _, kind, lane, rest in sent} == {
        (PUSH, URGENT_PRIORITY, b"\0" + body)
    }
    assert rig.host.delivered == [(id_of(body), 0)]


def test_ours_walks_first_to_a_peer_that_we_called_and_to_it_alone() -> None:
    rig = Rig().up(1, 2, 3).up(4, outbound=True)
    body = rig.body()
    rig.publish(body, direct=False)
    ((peer, kind, _, rest),) = rig.host.take()
    assert (peer, kind, rest) == (4, STEM, body)
    assert rig.host.delivered == []
    rig.overlay.gossip(1, bytes((PUSH, 2)) + body, 1.5)  # somebody spreads it: the walk is over
    assert rig.host.delivered == [(id_of(body), 2)]
    rig.host.take()
    rig.overlay.tick(500.0)
    assert not [one for one in rig.host.take() if one[1] == PUSH], "spread again for an embargo"


def test_a_walk_that_nobody_ends_ends_here() -> None:
    rig = Rig().up(1).up(4, outbound=True)
    body = rig.body()
    rig.publish(body, direct=False)
    rig.host.take()
    rig.overlay.tick(55.0)
    assert {(peer, kind) for peer, kind, *_ in rig.host.take() if kind == PUSH} == {
        (1, PUSH),
        (4, PUSH),
    }


def test_without_a_stem_it_is_spread_at_once() -> None:
    rig = Rig(stems=False).up(1).up(4, outbound=True)
    rig.publish(rig.body(), direct=False)
    assert {(peer, kind) for peer, kind, *_ in rig.host.take()} == {(1, PUSH), (4, PUSH)}


@pytest.mark.parametrize(("fluff", "kinds"), [(1.0, {PUSH}), (0.0, {STEM})])
def test_what_a_peer_hands_on_walks_on_or_is_spread(fluff: float, kinds: set[int]) -> None:
    rig = Rig(fluff=fluff).up(1, 2).up(4, 5, outbound=True)
    body = rig.body()
    rig.overlay.gossip(1, bytes((STEM,)) + body, 1.0)
    sent = rig.host.take()
    assert {kind for _, kind, _, _ in sent} == kinds
    if kinds == {STEM}:
        ((peer, *_),) = sent
        assert peer in {4, 5}
    assert bool(rig.host.delivered) is (kinds == {PUSH})


def test_it_is_delivered_once_and_passed_on_to_others_only() -> None:
    rig = Rig().up(1, 2, 3)
    body = rig.body()
    for peer in (1, 2, 1):
        rig.overlay.gossip(peer, bytes((PUSH, 4)) + body, 1.0)
        rig.overlay.gossip(peer, bytes((STEM,)) + body, 1.0)
    assert rig.host.delivered == [(id_of(body), 4)]
    assert {peer for peer, kind, *_ in rig.host.take() if kind == PUSH} == {2, 3}
    assert rig.standing.score(1, 1.0) > rig.standing.score(3, 1.0), "the first to bring it"


# Harm


def test_who_is_no_peer_is_not_read() -> None:
    rig = Rig()
    rig.overlay.gossip(7, b"\xff", 1.0)
    rig.overlay.view(7, b"\xff", 1.0)
    assert not rig.host.counts


@pytest.mark.parametrize(
    "bad",
    [
        {"realm": FOREIGN},
        {"shard": SHARD + 1},
    ],
)
@pytest.mark.parametrize("kind", [PUSH, STEM])
def test_what_should_not_have_been_passed_on_is_a_fault(bad: dict[str, object], kind: int) -> None:
    rig = Rig().up(1, 2)
    head = bytes((PUSH, 0)) if kind == PUSH else bytes((STEM,))
    rig.overlay.gossip(1, head + rig.body(**bad), 1.0)  # type: ignore[arg-type]
    assert rig.host.counts["gossip_faults"] == 1
    assert rig.standing.score(1, 1.0) < 0
    assert (rig.host.delivered, rig.host.take()) == ([], [])


@pytest.mark.parametrize(
    "body", [b"", b"\x63", bytes((LOAD,)), bytes((LOAD, 1, 2)), bytes((STEM,))]
)
def test_what_breaks_the_protocol_says_so(body: bytes) -> None:
    rig = Rig().up(1)
    broken = False
    try:
        rig.overlay.gossip(1, body, 1.0)
    except ProtocolError:
        broken = True
    assert broken or rig.host.counts["gossip_faults"] == 1
    assert rig.standing.score(1, 1.0) < 0


def test_a_malformed_word_about_the_views_is_a_fault_and_an_error() -> None:
    rig = Rig().up(1)
    with pytest.raises(ProtocolError):
        rig.overlay.view(1, b"\xc1", 1.0)
    assert rig.host.counts["gossip_faults"] == 1


def test_who_did_harm_is_heard_no_more_and_then_shown_the_door() -> None:
    rig = Rig().up(1, 2)
    foreign = [bytes((PUSH, 0)) + rig.body(realm=FOREIGN) for _ in range(3)]
    rig.overlay.gossip(1, foreign[0], 1.0)
    rig.overlay.gossip(1, foreign[1], 1.0)
    assert rig.host.shut == []
    good = rig.body()
    rig.overlay.gossip(1, bytes((PUSH, 0)) + good, 1.0)
    assert rig.host.delivered == [], "muted"
    rig.overlay.gossip(1, bytes((PUSH, 0)) + good, 300.0)
    assert rig.host.delivered == [(id_of(good), 0)], "faults fade"


def test_many_faults_at_once_end_the_session() -> None:
    rig = Rig().up(1)
    rig.standing.fault(1, "invalid", 1.0)
    rig.standing.fault(1, "invalid", 1.0)
    rig.standing.fault(1, "unserved", 1.0)
    with pytest.raises(ProtocolError):
        rig.overlay.view(1, b"\xc1", 1.0)
    assert rig.host.shut == [1]
    assert rig.standing.greylisted(key(1), 2.0)


def test_a_stranger_that_does_harm_leaves_the_view_and_a_friend_does_not() -> None:
    rig = Rig().up(1, 3).up(2, friend=False)
    rig.overlay.view(2, b"\x91\x93\x03\xc2\xc0", 1.0)
    assert rig.overlay.neighbours == (1, 3, 2)
    for peer in (1, 2):
        rig.overlay.gossip(peer, bytes((PUSH, 0)) + rig.body(realm=FOREIGN), 1.0)
    assert rig.overlay.neighbours == (1, 3)


def test_who_sends_more_than_is_taken_is_not_read() -> None:
    rig = Rig().up(1)
    for _ in range(CONTROL_BURST + 10):
        rig.overlay.gossip(1, bytes((IHAVE, 0)) + bytes(16), 1.0)
    assert rig.host.counts["gossip_refused"] > 0
    refused = rig.host.counts["gossip_refused"]
    messages = [rig.body() for _ in range(150)]
    for body in messages:
        rig.overlay.gossip(1, bytes((PUSH, 0)) + body, 100.0)
    assert rig.host.counts["gossip_refused"] > refused
    assert len(rig.host.delivered) <= 101


# Load


def test_neighbours_are_told_when_stamps_get_dearer() -> None:
    rig = Rig().up(1, 2)
    rig.difficulty.config = stamp.Config(base_bits=1)  # who asks for none asks for none ever
    for n in range(20_000):
        rig.difficulty.note(1.0 + n / 1000)
    assert rig.difficulty.bits(21.0) > 0
    rig.publish(rig.body(urgent=True), direct=True)
    rig.host.take()
    rig.overlay.tick(21.0 + LOAD_S)
    told = [(peer, rest) for peer, kind, _, rest in rig.host.take() if kind == LOAD]
    assert [peer for peer, _ in told] == [1, 2]
    assert all(rest[0] > 0 for _, rest in told)
    rig.up(3)
    assert rig.overlay.neighbours == (1, 2, 3)


def test_what_a_neighbour_tells_of_its_load_is_heeded_while_it_is_one() -> None:
    rig = Rig().up(1)
    rig.overlay.gossip(1, bytes((LOAD, 9)), 1.0)
    assert rig.difficulty.advised(1.0) == 9
    rig.overlay.down(1, 2.0)
    assert rig.difficulty.advised(2.0) == 0
