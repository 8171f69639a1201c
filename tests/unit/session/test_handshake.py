"""Handshakes that should succeed, and how they end when nobody attacks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import permutations
from random import Random

import pytest
from tests.unit.session.handshakes import (
    ALICE,
    BOB,
    CONFIG,
    MALLORY,
    OPEN,
    PRIVATE,
    PSK,
    SECRET,
    WALL,
    agreed,
    end,
    first,
    initiator,
    new_gate,
    refusal,
    responder,
    run,
    written,
)

from whispurrnet.base.errors import (
    AuthError,
    ConfigError,
    DowngradeRefused,
    IdentityChanged,
    LevelUnavailable,
    NetworkError,
    UsageError,
)
from whispurrnet.base.machine import Tick
from whispurrnet.crypto import kex
from whispurrnet.crypto.hash import blake2s, hkdf, sha256
from whispurrnet.crypto.kex import Level
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import HandshakeState
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.session import payload
from whispurrnet.session.handshake import (
    Arrived,
    Begin,
    Closed,
    Config,
    Established,
    Refused,
    keep_first,
)

HOUR_MS = 3_600_000


def test_xk() -> None:
    a, b = agreed(initiator(expected_id=BOB.id), responder())
    assert (a.proof, b.proof) == (BOB.proof, ALICE.proof)
    assert (a.identity, b.identity) == (ALICE, BOB)
    assert (a.level, a.pattern, a.psk, a.rest, b.rest) == (Level.L3, "XK", "none", b"", b"")
    assert a.binding_matches and b.binding_matches


def test_xx() -> None:
    a, b = agreed(initiator(OPEN, to=None), responder(OPEN))
    assert (a.proof, b.proof, a.pattern) == (BOB.proof, ALICE.proof, "XX")


@pytest.mark.parametrize(
    ("level", "pattern", "sizes"),
    [
        (Level.L1, "XK", (932, 1280, 512)),
        (Level.L3, "XK", (1316, 1600, 512)),
        (Level.L5, "XK", (1700, 2080, 512)),
        (Level.L1, "XX", (932, 1328, 512)),
        (Level.L3, "XX", (1316, 1648, 512)),
        (Level.L5, "XX", (1700, 2128, 512)),
    ],
)
def test_sizes(level: Level, pattern: str, sizes: tuple[int, ...]) -> None:
    if level is Level.L1:
        pytest.importorskip("pqcrypto")
    config = Config(level=level, accept_first_contact=True)
    one = initiator(config, to=BOB if pattern == "XK" else None)
    two = responder(config)
    m1 = first(one)
    m2 = written(two.handle(Arrived(m1), 0.0))
    m3 = written(one.handle(Arrived(m2), 0.0))
    assert (len(m1), len(m2), len(m3)) == sizes
    assert isinstance(end(two.handle(Arrived(m3), 0.0)), Established)


def test_private_network() -> None:
    a, _ = agreed(initiator(PRIVATE), responder(PRIVATE))
    assert a.psk == "network"
    a, _ = agreed(initiator(PRIVATE, to=None), responder(PRIVATE))
    assert a.pattern == "XX"


def test_psk_of_a_private_network() -> None:
    # By hand, so that both sides cannot agree on a wrong one.
    noise = HandshakeState(
        "Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256",
        initiator=False,
        prologue=b"WN1\x01\x03\x01\0" + blake2s(b"WN1 net" + SECRET, n=16),
        s=BOB.static,
        psks=[hkdf(SECRET, info=b"WN1 psk")],
        entropy=Random(1).randbytes,
    )
    one = initiator(PRIVATE)
    noise.read(first(one)[4:-32])
    mine = payload.Credentials(1 << 3, 3, 0, WALL // 60_000, payload.NO_BINDING, BOB.proof).encode()
    m3 = written(one.handle(Arrived(noise.write(mine)), 0.0))
    theirs = payload.Credentials.decode(noise.read(m3))
    assert len(m3) == payload.M3_BYTES
    assert theirs.proof == ALICE.proof


def test_pairwise_psk_is_found_by_its_hint() -> None:
    others = [Secret(Random(n).randbytes(32)) for n in range(5)]
    a, _ = agreed(initiator(psk=PSK), responder(psks=[*others, PSK]))
    assert a.psk == "pairwise"
    a, _ = agreed(initiator(PRIVATE, psk=PSK), responder(PRIVATE, psks=[PSK]))
    assert a.psk == "pairwise"


def test_keys_differ_in_each_session() -> None:
    a, _ = agreed(initiator(seed=1), responder(seed=1))
    b, _ = agreed(initiator(seed=1), responder(seed=1))  # ML-KEM draws randomness of its own
    c, _ = agreed(initiator(seed=2), responder(seed=2))
    assert len({a.keys.send, b.keys.send, c.keys.send, a.keys.receive}) == 4


def test_higher_level_than_our_own_is_accepted() -> None:
    a, _ = agreed(initiator(Config(level=Level.L5)), responder(Config(level=Level.L3)))
    assert a.level is Level.L5


def test_common_features() -> None:
    a, b = agreed(initiator(Config(features=0b0111)), responder(Config(features=0b1101)))
    assert a.features == b.features == 0b0101


def test_previous_identity_answers_during_overlap() -> None:
    successor = Ephemeral.generate(Random("next").randbytes, WALL + HOUR_MS)
    late = WALL + HOUR_MS + 300_000
    a, b = agreed(
        initiator(identity=successor, wall_ms=late, to=BOB),
        responder(identities=[MALLORY, BOB], wall_ms=late),
    )
    assert b.identity is BOB
    assert a.proof.id == BOB.id


def test_first_contact_meets_the_current_identity() -> None:
    _, b = agreed(initiator(OPEN, to=None), responder(OPEN, identities=[BOB, MALLORY]))
    assert b.identity is BOB


def test_byte_by_byte() -> None:
    one, two = initiator(), responder()
    m1 = first(one)
    m2 = b"".join(written(two.handle(Arrived(m1[n : n + 1]), 0.0)) for n in range(len(m1)))
    ends = []
    m3 = b""
    for n in range(len(m2)):
        effects = one.handle(Arrived(m2[n : n + 1]), 0.0)
        m3 += written(effects)
        ends.append(end(effects))
    assert isinstance(ends[-1], Established)
    assert not any(ends[:-1])
    ends = [end(two.handle(Arrived(m3[n : n + 1]), 0.0)) for n in range(len(m3))]
    assert isinstance(ends[-1], Established)


def test_rest_is_handed_over() -> None:
    one, two = initiator(), responder()
    m2 = written(two.handle(Arrived(first(one)), 0.0))
    m3 = written(one.handle(Arrived(m2), 0.0))
    b = end(two.handle(Arrived(m3 + b"the first record"), 0.0))
    assert isinstance(b, Established)
    assert b.rest == b"the first record"


def test_nothing_happens_after_the_end() -> None:
    one, two = initiator(), responder()
    run(one, two)
    for machine in (one, two):
        assert machine.deadline is None
        for event in (Begin(), Arrived(b"x" * 5000), Tick(), Closed()):
            assert machine.handle(event, 100.0) == []


def test_nothing_happens_before_the_beginning() -> None:
    one = initiator()
    assert one.deadline is None
    assert one.handle(Arrived(b"SSH-2.0-x\r\n"), 0.0) == []
    assert one.handle(Tick(), 0.0) == []
    assert len(first(one)) == 1316
    assert one.handle(Begin(), 0.0) == []


# Time


def test_initiator_gives_up() -> None:
    one = initiator()
    first(one)
    assert one.deadline == 10.0
    assert one.handle(Tick(), 9.9) == []
    refused = refusal(end(one.handle(Tick(), 10.0)))
    assert isinstance(refused.error, NetworkError)
    assert (refused.silent, refused.reason) == (False, "timeout")


@pytest.mark.parametrize("sent", [0, 3, 1315])
def test_responder_gives_up(sent: int) -> None:
    two = responder(Config(timeout_s=4.0))
    assert two.handle(Begin(), 1.0) == []
    assert two.handle(Arrived(first(initiator())[:sent]), 2.0) == []
    assert two.deadline == 5.0
    assert two.handle(Tick(), 4.0) == []
    assert two.handle(Tick(), 5.0) == [Refused(None, silent=False, reason="timeout")]
    assert two.deadline is None


def test_responder_gives_up_after_its_answer() -> None:
    gate = new_gate()
    two = responder(gate=gate)
    two.handle(Begin(), 0.0)
    assert written(two.handle(Arrived(first(initiator())), 9.0))
    assert gate.half_open == 1
    assert two.handle(Tick(), 10.0) == [Refused(None, silent=False, reason="timeout")]
    assert gate.half_open == 0


def test_closed_link() -> None:
    one, two = initiator(), responder()
    m1 = first(one)
    assert isinstance(refusal(end(one.handle(Closed(), 1.0))).error, NetworkError)
    two.handle(Arrived(m1), 0.0)
    assert two.handle(Closed(), 1.0) == [Refused(None, silent=False, reason="closed")]


# What the initiator may ask for


def test_own_ticket() -> None:
    refused = refusal(end(initiator(to=ALICE).handle(Begin(), 0.0)))
    assert isinstance(refused.error, UsageError)


def test_own_address() -> None:
    a, b = run(initiator(OPEN, to=None), responder(OPEN, identities=[ALICE]))
    assert isinstance(refusal(a).error, AuthError)
    assert b is None


def test_own_older_identity() -> None:
    a, b = run(initiator(to=BOB), responder(identities=[BOB, ALICE]))
    assert isinstance(a, Established)
    assert "called itself" in str(refusal(b).error)


@pytest.mark.parametrize("to", [BOB, None])
def test_unexpected_id(to: Ephemeral | None) -> None:
    a, b = run(initiator(OPEN, to=to, expected_id=MALLORY.id), responder(OPEN))
    assert isinstance(refusal(a).error, IdentityChanged)
    assert b is None  # m3, with our own identity, was not sent


def test_key_of_the_wrong_length() -> None:
    with pytest.raises(UsageError, match="32 bytes"):
        initiator(to=b"short")
    with pytest.raises(UsageError, match="32 bytes"):
        initiator(psk=Secret(b"short"))
    with pytest.raises(UsageError, match="33 bytes"):
        initiator(binding=b"")


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="min_level"):
        Config(level=Level.L3, min_level=Level.L5)
    with pytest.raises(DowngradeRefused):
        initiator(CONFIG, level=Level.L1)


# The outer TLS


@pytest.mark.parametrize("policy", ["warn", "refuse"])
def test_outer_binding(policy: str) -> None:
    config = Config(outer_binding=policy)  # type: ignore[arg-type]
    seen_by_a, seen_by_b = b"\x01" + bytes(32), b"\x01" + b"m" * 32
    agreed(initiator(config, binding=seen_by_a), responder(config, binding=seen_by_a))
    a, b = run(initiator(config, binding=seen_by_a), responder(config, binding=seen_by_b))
    if policy == "warn":
        assert isinstance(a, Established) and isinstance(b, Established)
        assert not a.binding_matches and not b.binding_matches
        assert (a.outer_binding, b.outer_binding) == (seen_by_b, seen_by_a)
    else:
        assert "TLS" in str(refusal(a).error)
        assert b is None


# Level 1 without its extra


@pytest.fixture
def no_extra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "pqcrypto.kem", None)
    kex.kem.cache_clear()
    payload.available.cache_clear()
    yield
    kex.kem.cache_clear()
    payload.available.cache_clear()


@pytest.mark.usefixtures("no_extra")
def test_level_1_without_the_extra_is_unavailable() -> None:
    with pytest.raises(LevelUnavailable, match=r"whispurrnet\[l1\]"):
        initiator(Config(level=Level.L1))
    with pytest.raises(LevelUnavailable):
        responder(Config(level=Level.L1))
    with pytest.raises(LevelUnavailable):
        initiator(Config(level=Level.L3), level=Level.L1)


@pytest.mark.usefixtures("no_extra")
def test_without_the_extra_the_others_work() -> None:
    agreed(initiator(Config()), responder(Config()))
    hello = bytes((1, 1, 1, 0))
    effects = responder(Config()).handle(Arrived(hello + bytes(928)), 0.0)
    assert effects == [Refused(None, silent=True, reason="policy")]


# Simultaneous open


def test_both_sides_keep_the_same_connection() -> None:
    for a, b in permutations([ALICE.static.public, BOB.static.public, MALLORY.static.public], 2):
        assert keep_first(a, b) != keep_first(b, a)
        assert keep_first(a, b) == (sha256(a) < sha256(b))


def test_same_verdict_across_a_rotation() -> None:
    # ALICE calls as herself, rotates, and is called by BOB, who reaches her new identity. What
    # counts are the initiators' keys of the two handshakes, which both sides have seen.
    renewed = Ephemeral.generate(Random("renewed").randbytes, WALL)
    a1, b1 = agreed(initiator(identity=ALICE, to=BOB), responder(identities=[BOB]))
    b2, a2 = agreed(initiator(identity=BOB, to=renewed), responder(identities=[renewed, ALICE]))
    alice = keep_first(a1.identity.static.public, a2.proof.static_key, a1.keys.hash, a2.keys.hash)
    bob = keep_first(b1.proof.static_key, b2.identity.static.public, b1.keys.hash, b2.keys.hash)
    assert alice == bob


def test_one_caller_twice() -> None:
    key = ALICE.static.public
    assert keep_first(key, key, b"a", b"b")
    assert not keep_first(key, key, b"b", b"a")
