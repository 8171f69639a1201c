"""What a message must be before it is kept and passed on."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.gossip import stamp
from whispurrnet.gossip.envelope import BUCKETS, Inside, Realm, parse, seal
from whispurrnet.gossip.spread import Unwelcome
from whispurrnet.stack.checker import (
    COPIES_MAX,
    EARLY_S,
    HASHCASH,
    LATE_S,
    STAMP_BYTES,
    Checker,
    Message,
    stamped,
)

BITS = 4
NOW_S = 1_800_000_000
REALM, OTHER = Realm(bytes(32)), Realm(b"o" * 32)
CHANCE = Random(1)


class Rig:
    """A checker of shard 0, its clock, and messages."""

    def __init__(self, bits: int = BITS) -> None:
        self.wall_s = float(NOW_S)
        self.difficulty = stamp.Difficulty(stamp.Config(base_bits=bits))
        self.checker = Checker(REALM, 0, self.difficulty, lambda: int(self.wall_s * 1000))

    def raw(
        self, *, realm: Realm = REALM, shard: int = 0, ttl_s: int = 60, urgent: bool = False
    ) -> bytes:
        return seal(
            realm,
            Inside(2, 1.0, 5, "moon", b"full"),
            topic_key=None,
            expiry_s=NOW_S + ttl_s,
            urgent=urgent,
            shard=shard,
            entropy=CHANCE.randbytes,
        )

    def admit(self, body: bytes) -> Message:
        message = self.checker.inspect(body, 7.0)
        self.checker.admit(message, body, 7.0)
        return message


def solved(raw: bytes, bits: int = BITS) -> bytes:
    """The body of a message with a stamp."""
    envelope = parse(raw)
    return stamped(stamp.solve(envelope.id, envelope.expiry_s, bits), raw)


def test_a_good_message_is_read_and_admitted() -> None:
    rig = Rig()
    raw = rig.raw(ttl_s=90, urgent=True)
    message = rig.admit(solved(raw))
    assert message.envelope == parse(raw)
    assert (message.id, message.urgent) == (parse(raw).id, True)
    assert (message.expires_at, message.stamped_s) == (7.0 + 90, NOW_S + 90)


def test_a_body_is_a_stamp_and_an_envelope() -> None:
    raw = Rig().raw()
    body = stamped(b"v" * 16, raw)
    assert (body[0], body[1:STAMP_BYTES], body[STAMP_BYTES:]) == (HASHCASH, b"v" * 16, raw)
    assert stamped(None, raw) == bytes(STAMP_BYTES) + raw
    assert len(body) - STAMP_BYTES in BUCKETS


@pytest.mark.parametrize("cut", [0, 1, STAMP_BYTES, 100, -1])
def test_what_has_not_the_shape_is_refused_at_once(cut: int) -> None:
    rig = Rig()
    with pytest.raises(ProtocolError):
        rig.checker.inspect(solved(rig.raw())[:cut], 0.0)


@pytest.mark.parametrize(
    ("after_s", "fits"),
    [(0, True), (-EARLY_S + 60, True), (-EARLY_S + 50, False), (60, True), (60 + LATE_S - 1, True),
     (60 + LATE_S, False)],
)  # fmt: skip
def test_it_expires_at_a_time_that_can_be(after_s: int, fits: bool) -> None:
    rig = Rig()
    body = solved(rig.raw(ttl_s=60))
    rig.wall_s += after_s
    if fits:
        assert rig.checker.inspect(body, 0.0).expires_at == 60 - after_s
    else:
        with pytest.raises(ProtocolError, match="a time that cannot be"):
            rig.checker.inspect(body, 0.0)


def test_a_time_that_cannot_be_is_no_fault_of_who_passes_it_on_late() -> None:
    """Late by less than the grace: it is read, and `spread` counts it as expired."""
    rig = Rig()
    body = solved(rig.raw(ttl_s=10))
    rig.wall_s += 20
    assert rig.checker.inspect(body, 100.0).expires_at == 90.0


@pytest.mark.parametrize("value", [None, bytes(16)])
def test_a_message_without_the_stamp_is_refused(value: bytes | None) -> None:
    rig = Rig(bits=12)
    with pytest.raises(ProtocolError, match="stamp"):
        rig.admit(stamped(value, rig.raw()))
    Rig(bits=0).admit(stamped(value, rig.raw()))  # nobody asks for one


def test_the_stamp_of_one_message_is_none_of_another() -> None:
    rig = Rig(bits=12)
    body = solved(rig.raw(), 12)
    with pytest.raises(ProtocolError, match="stamp"):
        rig.admit(body[:STAMP_BYTES] + rig.raw())


def test_another_realm_and_another_shard_are_refused() -> None:
    rig = Rig()
    with pytest.raises(ProtocolError, match="realm"):
        rig.admit(solved(rig.raw(realm=OTHER)))
    with pytest.raises(ProtocolError, match="shard"):
        rig.admit(solved(rig.raw(shard=1)))


def test_nobody_changes_a_byte_on_the_way() -> None:
    rig = Rig(bits=0)
    raw = rig.raw()
    for place in range(0, len(raw), 7):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(ProtocolError):
            rig.admit(stamped(None, changed))


def test_only_what_is_admitted_makes_stamps_dearer() -> None:
    """Or garbage, which costs nobody anything, would raise the price for all."""
    rig = Rig(bits=1)
    bad = stamped(None, rig.raw(realm=OTHER))
    for n in range(500):
        with pytest.raises(ProtocolError):
            rig.checker.admit(rig.checker.inspect(bad, n / 500), bad, n / 500)
    assert rig.difficulty.bits(1.0) == 1
    rush(rig, until_s=30.0)
    assert rig.difficulty.bits(30.0) > 1


def rush(rig: Rig, until_s: float) -> None:
    """Many messages a second."""
    good = solved(rig.raw())
    message = rig.checker.inspect(good, 1.0)
    for n in range(int(until_s) * 500):
        if rig.difficulty.accepts(n / 500) <= 1:
            rig.checker.admit(message, good, n / 500)
        else:
            rig.difficulty.note(n / 500)


def test_what_shows_less_than_is_asked_now_is_unwelcome_and_no_fault() -> None:
    """An honest node may not know yet that stamps got dearer; but less than the least is one."""
    rig = Rig(bits=BITS)
    rush(rig, until_s=200.0)
    assert rig.difficulty.accepts(200.0) > BITS
    with pytest.raises(Unwelcome):
        rig.checker.admit(rig.checker.inspect(body := weak(rig), 200.0), body, 200.0)
    body = stamped(None, rig.raw())
    with pytest.raises(ProtocolError) as told:
        rig.checker.admit(rig.checker.inspect(body, 200.0), body, 200.0)
    assert not isinstance(told.value, Unwelcome)


def weak(rig: Rig) -> bytes:
    """A message whose stamp has what is always asked for, and no more."""
    while True:
        body = solved(rig.raw())
        envelope = parse(body[STAMP_BYTES:])
        if not stamp.verify(envelope.id, envelope.expiry_s, body[1:STAMP_BYTES], BITS + 1):
            return body


def test_a_copy_of_what_was_admitted_is_not_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    body = solved(rig.raw())
    message = rig.admit(body)
    monkeypatch.setattr("whispurrnet.stack.checker.parse", None)
    assert rig.checker.inspect(bytes(bytearray(body)), 8.0) is message


def test_what_was_not_admitted_is_read_each_time() -> None:
    rig = Rig()
    foreign = solved(rig.raw(realm=OTHER))
    for _ in range(2):
        with pytest.raises(ProtocolError):
            rig.admit(foreign)
    assert rig.checker.inspect(foreign, 7.0) is not rig.checker.inspect(foreign, 7.0)


def test_what_differs_in_a_byte_is_no_copy() -> None:
    rig = Rig()
    body = solved(rig.raw())
    message = rig.admit(body)
    for at in (0, 1, STAMP_BYTES + 40, len(body) - 17, len(body) - 1):
        other = bytearray(body)
        other[at] ^= 1
        read = rig.checker.inspect(bytes(other), 7.0)
        assert read is not message
        assert (read.id == message.id) == (at < STAMP_BYTES), "the stamp is not part of the id"


def test_a_copy_that_comes_too_late_is_refused_as_before() -> None:
    rig = Rig()
    body = solved(rig.raw(ttl_s=60))
    rig.admit(body)
    rig.wall_s += 60 + LATE_S
    with pytest.raises(ProtocolError):
        rig.checker.inspect(body, 7.0 + 60 + LATE_S)


def test_only_so_many_are_known_byte_by_byte() -> None:
    rig = Rig(bits=0)
    bodies = [stamped(None, rig.raw()) for _ in range(COPIES_MAX + 1)]
    read = [rig.admit(body) for body in bodies]
    assert rig.checker.inspect(bodies[0], 7.0) is not read[0]
    assert rig.checker.inspect(bodies[-1], 7.0) is read[-1]


def outcome(checker: Checker, body: bytes, now: float) -> tuple[object, ...]:
    """What becomes of a body that comes now."""
    try:
        read = checker.inspect(body, now)
    except ProtocolError as error:
        return ("malformed", str(error))
    facts = (read.envelope, round(read.expires_at, 3), read.stamped_s)
    try:
        checker.admit(read, body, now)
    except ProtocolError as error:
        return (*facts, str(error))
    return facts


@pytest.mark.parametrize("seed", range(20))
def test_what_is_known_byte_by_byte_changes_no_answer(seed: int) -> None:
    """A walk: messages, copies, copies with a changed byte, over minutes; one checker forgets."""
    rng, rig = Random(seed), Rig(bits=0)
    bodies: list[bytes] = []
    now = 7.0
    for _ in range(150):
        step_s = rng.choice([0, 0, 1, 10, 70])
        now, rig.wall_s = now + step_s, rig.wall_s + step_s
        if not bodies or rng.random() < 0.3:
            ttl_s = int(rig.wall_s - NOW_S) // 10 * 10 + rng.choice([0, 60, 300])
            realm = rng.choice([REALM, REALM, OTHER])
            bodies.append(stamped(None, rig.raw(realm=realm, ttl_s=ttl_s)))
        body = bytearray(rng.choice(bodies))
        if rng.random() < 0.3:
            body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        fresh = Checker(REALM, 0, rig.difficulty, lambda: int(rig.wall_s * 1000))
        assert outcome(rig.checker, bytes(body), now) == outcome(fresh, bytes(body), now)
