"""The beacon: what it says to members, and how little to anybody else."""

from __future__ import annotations

import itertools
import random

import msgspec
import pytest

from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.aead import xopen, xseal
from whispurrnet.discovery.beacon import (
    BEACON_BYTES,
    Announce,
    Beacon,
    Config,
    Datagram,
    Found,
    Update,
    pack_addresses,
    unpack_addresses,
)
from whispurrnet.identity.ephemeral import Ephemeral

WALL_MS = 1_760_000_000_000
ADDRESSES = ("/ip4/192.0.2.7/tcp/9000", "/ip6/2001:db8::7/tcp/8765/ws")
SECRET = b"n" * 32


class Node:
    """A beacon with an identity, a clock and seeded chance."""

    def __init__(self, seed: int, *, secret: bytes | None = None, config: Config | None = None):
        self.rng = random.Random(seed)
        self.wall_ms = WALL_MS
        self.identity = Ephemeral.generate(self.rng.randbytes, WALL_MS)
        self.beacon = Beacon(config or Config(), secret, self.rng.randbytes, lambda: self.wall_ms)

    def start(self, now: float = 0.0, addresses: tuple[str, ...] = ADDRESSES) -> Node:
        assert self.beacon.handle(Update(self.identity, addresses), now) == []
        return self

    def announce(self) -> bytes:
        """Go to the next announcement, and give its bytes."""
        due_at = self.beacon.deadline
        assert due_at is not None
        self.wall_ms = WALL_MS + int(due_at * 1000)
        [effect] = self.beacon.handle(Tick(), due_at)
        assert isinstance(effect, Announce)
        return effect.data

    def hear(self, data: bytes, now: float = 0.0) -> list[object]:
        return list(self.beacon.handle(Datagram(data), now))


def test_a_neighbour_is_found_with_its_proof_and_addresses() -> None:
    alice, bob = Node(1).start(), Node(2)
    assert bob.hear(alice.announce()) == [Found(alice.identity.proof, ADDRESSES)]
    assert bob.hear(alice.announce()) == [Found(alice.identity.proof, ADDRESSES)]


def test_a_beacon_is_believed_once() -> None:
    alice, bob = Node(1).start(), Node(2)
    first, second = alice.announce(), alice.announce()
    assert bob.hear(second)
    assert bob.hear(second) == []
    assert bob.hear(first) == []
    assert bob.hear(alice.announce())


def test_own_beacons_are_ignored_also_those_of_the_identity_before() -> None:
    alice = Node(1).start()
    data = alice.announce()
    assert alice.hear(data) == []
    alice.beacon.handle(Update(Node(9).identity, ADDRESSES), 1.0)
    assert alice.hear(data) == []


def test_two_beacons_share_no_byte_beyond_chance() -> None:
    alice = Node(1, secret=SECRET).start()
    beacons = [alice.announce() for _ in range(400)]
    assert {len(data) for data in beacons} == {BEACON_BYTES}
    for at in range(BEACON_BYTES):
        column = [data[at] for data in beacons]
        # 400 fair bytes: the commonest value comes about 6 times, never 20 (p < 1e-12).
        assert max(column.count(value) for value in set(column)) < 20
    same = sum(a == b for a, b in zip(beacons[0], beacons[1], strict=True))
    assert same < 16  # 2 expected
    rng = random.Random(3)
    joined = b"".join(beacons)
    ones = sum(byte.bit_count() for byte in joined) / (8 * len(joined))
    assert abs(ones - 0.5) < 0.003
    assert alice.identity.id not in joined
    assert alice.identity.proof.static_key not in joined
    assert rng.randbytes(8) not in joined


@pytest.mark.parametrize("theirs", [None, b"m" * 32])
def test_another_network_hears_nothing(theirs: bytes | None) -> None:
    alice, mallory = Node(1, secret=SECRET).start(), Node(2, secret=theirs)
    assert mallory.hear(alice.announce()) == []
    assert Node(3, secret=SECRET).hear(alice.announce()) != []


def test_a_member_cannot_carry_a_beacon_into_another_network() -> None:
    ours, theirs = Node(1, secret=SECRET).start(), Node(2, secret=b"m" * 32)
    data = ours.announce()
    body = xopen(ours.beacon._key, data[:24], data[24:])
    assert theirs.hear(data[:24] + xseal(theirs.beacon._key, data[:24], body)) == []


@pytest.mark.parametrize(
    "at", [0, 31, 32, 64, 96, 135, 170, 239, 240, 247, 252, 253, 300, 408, 471]
)
def test_a_member_cannot_change_a_beacon(at: int) -> None:
    alice, bob = Node(1).start(), Node(2)
    data = alice.announce()
    body = bytearray(xopen(alice.beacon._key, data[:24], data[24:]))
    body[at] ^= 1
    forged = data[:24] + xseal(alice.beacon._key, data[:24], bytes(body))
    assert len(forged) == BEACON_BYTES
    assert bob.hear(forged) == []
    assert bob.hear(data) != [], "a forgery must not get in the way of the true one"


def test_a_member_cannot_speak_for_another() -> None:
    """A true proof of Alice, in a beacon that Mallory signed with her own key."""
    alice, mallory, bob = Node(1), Node(3).start(), Node(2)
    mallory.identity = Ephemeral(
        mallory.identity.static, mallory.identity.signing, alice.identity.proof, 3600
    )
    mallory.start(10.0)
    assert bob.hear(mallory.announce()) == []


@pytest.mark.parametrize("seconds", [-601, 601, -86400, 86400])
def test_a_beacon_of_another_time_is_ignored(seconds: int) -> None:
    alice, bob = Node(1).start(), Node(2)
    data = alice.announce()
    bob.wall_ms += seconds * 1000
    assert bob.hear(data) == []


def test_an_expired_identity_is_ignored_also_of_a_known_neighbour() -> None:
    alice, bob = Node(1).start(), Node(2)
    assert bob.hear(alice.announce())
    late_ms = WALL_MS + (3600 + 600 + 601) * 1000
    for node in (alice, bob):
        node.wall_ms = late_ms
    [effect] = alice.beacon.handle(Tick(), 5000.0)
    assert isinstance(effect, Announce)
    assert bob.hear(effect.data) == []
    carol = Node(3)
    carol.wall_ms = late_ms
    assert carol.hear(effect.data) == []


@pytest.mark.parametrize("size", [0, 1, 24, 40, 511, 513, 1500])
def test_other_sizes_are_ignored(size: int) -> None:
    data = Node(1).start().announce()
    assert Node(2).hear((data * 3)[:size]) == []


def test_a_burst_at_the_start_then_the_interval_jittered() -> None:
    alice = Node(1).start(now=100.0)
    times = []
    for _ in range(40):
        assert alice.beacon.deadline is not None
        times.append(alice.beacon.deadline)
        alice.announce()
    assert times[0] == 100.0
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert all(1.0 <= gap <= 1.2 for gap in gaps[:2])
    assert all(4.0 <= gap <= 6.0 for gap in gaps[2:])
    assert len(set(gaps)) > 30


def test_before_it_knows_where_it_is_it_is_silent_and_listens() -> None:
    bob = Node(2)
    assert bob.beacon.deadline is None
    assert bob.beacon.handle(Tick(), 0.0) == []
    assert bob.hear(Node(1).start().announce())
    assert bob.beacon.deadline is None


def test_without_addresses_it_falls_silent() -> None:
    alice = Node(1).start()
    alice.announce()
    alice.beacon.handle(Update(alice.identity, ("/memory/alice", "/dns/a.example/tcp/1")), 1.0)
    assert alice.beacon.deadline is None
    alice.start(2.0)
    assert alice.beacon.deadline == 2.0


def test_the_same_news_again_changes_nothing() -> None:
    alice = Node(1).start()
    for _ in range(5):
        alice.announce()
    due_at = alice.beacon.deadline
    alice.start(10.0)
    assert alice.beacon.deadline == due_at


def test_a_new_identity_is_announced_at_once() -> None:
    alice = Node(1).start()
    for _ in range(5):
        alice.announce()
    alice.identity = Node(7).identity
    before = alice.beacon.deadline
    assert before is not None
    alice.start(before - 1.0)
    assert alice.beacon.deadline == before - 1.0
    bob = Node(2)
    [found] = bob.hear(alice.announce())
    assert isinstance(found, Found)
    assert found.proof == alice.identity.proof


def test_a_new_neighbour_is_answered_soon_but_not_by_all_at_the_same_moment() -> None:
    data = Node(1).start().announce()
    delays = []
    for seed in range(2, 30):
        bob = Node(seed).start(now=0.0)
        for _ in range(5):
            bob.announce()
        assert bob.beacon.deadline is not None
        now = bob.beacon.deadline - 1.0
        assert bob.hear(data, now=now)
        delays.append(bob.beacon.deadline - now)
    assert max(delays) <= 0.25
    assert len(set(delays)) == len(delays)


def test_many_new_neighbours_do_not_make_it_shout() -> None:
    bob = Node(2).start()
    spoken = []
    now = 0.0
    for seed in range(100, 140):
        bob.hear(Node(seed).start().announce(), now)
        while bob.beacon.deadline is not None and bob.beacon.deadline <= now:
            spoken.append(now)
            assert bob.beacon.handle(Tick(), now)
        now += 0.1
    gaps = [b - a for a, b in itertools.pairwise(spoken)]
    assert min(gaps) >= 1.0


def test_what_strangers_fill_is_bounded() -> None:
    config = Config(neighbours_max=4, checks_per_s=1000.0)
    bob = Node(2, config=config)
    beacons = [Node(seed).start().announce() for seed in range(100, 120)]
    for data in beacons:
        assert bob.hear(data)
    assert len(bob.beacon._neighbours) == 4


def test_the_work_strangers_cause_is_bounded() -> None:
    bob = Node(2, config=Config(checks_per_s=2.0))
    found = sum(bool(bob.hear(Node(seed).start().announce())) for seed in range(100, 120))
    assert found == 8
    assert bob.hear(Node(999).start().announce(), now=10.0)


def test_the_clock_may_go_back() -> None:
    alice, bob = Node(1).start(), Node(2)
    assert bob.hear(alice.announce())
    alice.wall_ms -= 60_000
    [effect] = alice.beacon.handle(Tick(), 50.0)
    assert isinstance(effect, Announce)
    assert bob.hear(effect.data)


def test_addresses_travel_as_they_are() -> None:
    addresses = (
        "/ip4/127.0.0.1/tcp/9000",
        "/ip4/192.0.2.7/tcp/1/tls",
        "/ip4/192.0.2.7/tcp/65535/ws",
        "/ip6/2001:db8::1/tcp/443/wss",
    )
    assert unpack_addresses(pack_addresses(addresses)) == addresses


def test_eight_addresses_fit_whatever_they_are() -> None:
    many = tuple(f"/ip6/2001:db8::{n}/tcp/65535/wss" for n in range(1, 12))
    assert unpack_addresses(pack_addresses(many)) == many[:8]


def test_addresses_where_nobody_can_be_do_not_travel() -> None:
    nowhere = (
        "/memory/alice",
        "/dns/node.example/tcp/9000",
        "/ip4/0.0.0.0/tcp/9000",
        "/ip4/224.0.0.1/tcp/9000",
        "/ip4/192.0.2.7/tcp/0",
        "/ip6/::/tcp/9000",
        "/ip6zone/eth0/ip6/fe80::1/tcp/9000",
        "/ip4/192.0.2.7/tcp/80/ws/http-path/elsewhere",
    )
    assert not any(pack_addresses(nowhere))
    with pytest.raises(UsageError):
        pack_addresses(("nonsense",))


@pytest.mark.parametrize(
    "packed",
    [
        b"\x00",
        b"\x09",
        b"\xff" * 156,
        b"\x01\x04\xc0\x00\x02\x07\x00\x01",  # no such transport
        b"\x01\x00\xe0\x00\x00\x01\x00\x01",  # multicast
        b"\x01\x00\xc0\x00\x02\x07\x00\x00",  # port 0
        b"\x01\x00\xc0\x00\x02\x07\x00\x01\x00\x01",  # more behind the last
        b"\x01\x80" + bytes.fromhex("fe80" + "00" * 14) + b"\x00\x01",
    ],
)
def test_malformed_addresses_are_refused(packed: bytes) -> None:
    with pytest.raises(AuthError):
        unpack_addresses(packed.ljust(156, b"\x00"))


def test_an_update_that_is_wrong_changes_nothing() -> None:
    alice = Node(1)
    with pytest.raises(UsageError):
        alice.beacon.handle(Update(alice.identity, ("nonsense",)), 0.0)
    assert alice.beacon.deadline is None


def test_settings_are_checked() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"interval": 5}, Config)
