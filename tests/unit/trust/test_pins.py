"""Pins: first use, changed keys, levels, bounds, and the form on disk."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from whispurrnet.base.errors import AuthError, HostError, IdentityChanged, LimitError, UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.trust.pins import Config, Pins, Trust

ALICE, BOB, MALLORY = b"a" * 32, b"b" * 32, b"m" * 32
PSK1, PSK2, PSK3 = (Secret(bytes([n]) * 32) for n in (1, 2, 3))


def test_trust_on_first_use() -> None:
    pins = Pins()
    assert pins.level(ALICE) is Trust.UNKNOWN
    assert pins.admit(ALICE) is Trust.UNKNOWN
    assert pins.get(ALICE) is None
    assert ALICE not in pins
    pin = pins.seen(ALICE, 1_000)
    assert pin.level is pins.level(ALICE) is pins.admit(ALICE) is Trust.SEEN
    assert (pin.first_seen_ms, pin.last_seen_ms) == (1_000, 1_000)
    assert ALICE in pins
    pin = pins.seen(ALICE, 2_000)
    assert (pin.first_seen_ms, pin.last_seen_ms) == (1_000, 2_000)


def test_meeting_again_never_raises_the_level() -> None:
    pins = Pins()
    for n in range(1_000):
        pins.seen(ALICE, n)
    assert pins.level(ALICE) is Trust.SEEN


def test_a_clock_that_goes_back() -> None:
    pins = Pins()
    pins.seen(ALICE, 5_000)
    pin = pins.seen(ALICE, 1_000)
    assert (pin.first_seen_ms, pin.last_seen_ms) == (5_000, 5_000)


def test_a_name_that_shows_another_key() -> None:
    pins = Pins()
    pins.seen(ALICE, 1, name="alice")
    pins.expect("alice", ALICE)
    pins.expect("bob", MALLORY)  # nobody is pinned as bob
    before = list(pins)
    for act in (
        lambda: pins.expect("alice", MALLORY),
        lambda: pins.expect("ALICE", MALLORY),
        lambda: pins.admit(MALLORY, name="Alice"),
        lambda: pins.seen(MALLORY, 2, name="alice"),
    ):
        with pytest.raises(IdentityChanged) as caught:
            act()
        assert "shows another key than the one pinned (seen)" in str(caught.value)
        assert "Ask it over another way" in str(caught.value)
    assert list(pins) == before


def test_an_accepted_change_does_not_inherit_the_level() -> None:
    pins = Pins()
    pins.seen(ALICE, 1, name="alice", psk=PSK1)
    pins.verify(ALICE, 1)
    pin = pins.replace("alice", MALLORY, 2)
    assert (pin.level, pin.name, pin.psk) == (Trust.SEEN, "alice", None)
    assert ALICE not in pins
    assert pins.named("alice") == pin
    pins.expect("alice", MALLORY)
    assert pins.replace("alice", MALLORY, 3) == pin
    pins.seen(BOB, 1)
    pins.verify(BOB, 1)
    assert pins.replace("alice", BOB, 4).level is Trust.VERIFIED  # its own level
    with pytest.raises(UsageError, match="nobody is pinned as 'carol'"):
        pins.replace("carol", BOB, 5)
    pins.revoke(MALLORY, 6)
    with pytest.raises(UsageError, match="restore"):
        pins.replace("alice", MALLORY, 6)
    pins.rename(MALLORY, "mallory")
    pins.replace("mallory", ALICE, 7)
    assert pins.level(MALLORY) is Trust.REVOKED  # its name went, the revocation did not


def test_verifying_is_an_explicit_act() -> None:
    pins = Pins()
    assert pins.verify(ALICE, 1).level is Trust.VERIFIED  # by a QR code, before the first session
    assert pins.seen(ALICE, 2).level is Trust.VERIFIED
    assert pins.restore(ALICE).level is Trust.SEEN
    with pytest.raises(UsageError, match="not pinned"):
        pins.restore(BOB)


def test_a_revoked_identity_is_refused() -> None:
    pins = Pins()
    pins.seen(ALICE, 1, name="alice", psk=PSK1)
    pins.require_psk(ALICE)
    pin = pins.revoke(ALICE, 2)
    assert (pin.level, pin.psks, pin.psk_required) == (Trust.REVOKED, (), False)
    assert list(pins.secrets()) == []
    for act in (lambda: pins.admit(ALICE, psk_used=True), lambda: pins.seen(ALICE, 3)):
        with pytest.raises(AuthError, match="you revoked this peer"):
            act()
    assert pins.named("alice") == pin
    assert pins.verify(ALICE, 3).level is Trust.VERIFIED
    pins.revoke(ALICE, 4)
    assert pins.restore(ALICE).level is Trust.SEEN
    assert pins.admit(ALICE) is Trust.SEEN
    assert pins.revoke(BOB, 1).level is Trust.REVOKED  # never met


def test_shared_keys() -> None:
    pins = Pins()
    pins.seen(BOB, 1)
    pins.seen(ALICE, 1, psk=PSK1)
    assert list(pins.secrets()) == [PSK1]
    pins.seen(ALICE, 2, psk=PSK1)
    pins.seen(ALICE, 2)
    pin = pins.seen(ALICE, 2, psk=PSK2)
    assert pin.psks == (PSK2, PSK1)
    pins.seen(ALICE, 2, psk=PSK3)
    assert list(pins.secrets()) == [PSK3, PSK2]
    assert pins.find_psk(lambda psk: psk == PSK2) == (ALICE, PSK2)
    assert pins.find_psk(lambda psk: psk == PSK1) is None
    with pytest.raises(UsageError, match="32 bytes, not 5"):
        pins.seen(ALICE, 3, psk=Secret(b"short"))


def test_a_required_key() -> None:
    pins = Pins()
    pins.seen(ALICE, 1)
    with pytest.raises(UsageError, match="no key is shared"):
        pins.require_psk(ALICE)
    pins.seen(ALICE, 1, psk=PSK1)
    assert pins.admit(ALICE) is Trust.SEEN
    pins.require_psk(ALICE)
    with pytest.raises(AuthError, match="requires"):
        pins.admit(ALICE)
    assert pins.admit(ALICE, psk_used=True) is Trust.SEEN
    pins.require_psk(ALICE, required=False)
    assert pins.admit(ALICE) is Trust.SEEN
    with pytest.raises(UsageError, match="not pinned"):
        pins.require_psk(BOB)


def test_names() -> None:
    pins = Pins()
    pins.seen(ALICE, 1)
    pins.seen(BOB, 1, name="bob")
    with pytest.raises(UsageError, match="name of another peer"):
        pins.rename(ALICE, "Bob")
    pins.rename(ALICE, "alice")
    pins.rename(ALICE, "Alice")
    pins.rename(ALICE, "anna")
    assert pins.named("alice") is None
    assert pins.named("ANNA") == pins.get(ALICE)
    assert pins.seen(ALICE, 2, name="").name == "anna"
    assert pins.seen(ALICE, 2, name="other").name == "anna"
    pins.rename(ALICE, "")
    assert pins.named("anna") is None
    for wrong in ("x" * 65, "a\nb", " a", "a\x1b[31m", "a\u202eb"):
        with pytest.raises(UsageError, match="not a name"):
            pins.rename(BOB, wrong)
        with pytest.raises(UsageError, match="not a name"):
            pins.seen(ALICE, 3, name=wrong)
    pins.forget(BOB)
    pins.forget(BOB)
    assert pins.named("bob") is None
    with pytest.raises(UsageError, match="32 bytes, not 3"):
        pins.seen(b"abc", 1)


def test_strangers_cannot_push_out_what_the_user_decided() -> None:
    pins = Pins(Config(seen_max=10, kept_max=3))
    pins.seen(ALICE, 1, name="alice")
    pins.verify(BOB, 1)
    pins.revoke(MALLORY, 1)
    for n in range(100):
        pins.seen(n.to_bytes(32, "big"), 2)
    assert len(list(pins)) == 13
    assert pins.level(MALLORY) is Trust.REVOKED
    assert pins.named("alice") is not None
    with pytest.raises(LimitError, match="forget some"):
        pins.verify((99).to_bytes(32, "big"), 3)
    assert pins.level((99).to_bytes(32, "big")) is Trust.SEEN
    pins.verify(ALICE, 3)
    pins.forget(MALLORY)
    pins.verify((99).to_bytes(32, "big"), 3)


def test_a_pin_says_nothing_of_whose_it_is() -> None:
    pins = Pins()
    assert repr(pins.seen(ALICE, 1, name="alice", psk=PSK1)) == "<pin: seen, psk>"
    assert repr(pins.seen(BOB, 1)) == "<pin: seen>"
    assert [level.word for level in Trust] == ["revoked", "unknown", "seen", "verified"]


def test_an_empty_table_is_still_a_table() -> None:
    assert Pins()
    assert Pins.decode(b"")


def some_pins(seed: int) -> Pins:
    rng = Random(seed)
    pins = Pins()
    for n in range(rng.randrange(20)):
        persona = rng.randbytes(32)
        psk = rng.choice([None, Secret(rng.randbytes(32))])
        pins.seen(persona, rng.randrange(2**45), name=rng.choice(["", f"peer {n}"]), psk=psk)
        match rng.randrange(5):
            case 0:
                pins.verify(persona, 1)
            case 1:
                pins.revoke(persona, 1)
            case 2 if psk:
                pins.require_psk(persona)
                pins.seen(persona, 2, psk=Secret(rng.randbytes(32)))
            case _:
                pass
    return pins


@pytest.mark.parametrize("seed", range(20))
def test_round_trip(seed: int) -> None:
    pins = some_pins(seed)
    data = pins.encode()
    assert isinstance(data, Secret)
    again = Pins.decode(bytes(data))
    assert list(again) == list(pins)
    assert again.encode() == data
    assert all(isinstance(psk, Secret) for psk in again.secrets())


def test_damaged_pins_are_said_to_be_so() -> None:
    row = [ALICE, "", 1, 1, 1, b"", b"", False]
    good = [1, [row]]
    assert len(list(Pins.decode(msgspec.msgpack.encode(good)))) == 1
    for wrong in (
        {},
        [1],
        [1, [[*row, 0]]],
        [1, [[ALICE[1:], *row[1:]]]],
        [1, [[ALICE, "x" * 65, *row[2:]]]],
        [1, [[ALICE, "a\nb", *row[2:]]]],
        [1, [[ALICE, "", 2, *row[3:]]]],
        [1, [[ALICE, "", 1, -1, *row[4:]]]],
        [1, [[ALICE, "", 1, 1, 1, b"short", b"", False]]],
        [1, [[ALICE, "same", *row[2:]], [BOB, "SAME", *row[2:]]]],
    ):
        with pytest.raises(HostError, match="damaged"):
            Pins.decode(msgspec.msgpack.encode(wrong))
    with pytest.raises(HostError, match="damaged"):
        Pins.decode(b"\xff\x00")
    with pytest.raises(HostError, match="damaged"):
        Pins.decode(msgspec.msgpack.encode([1, [[ALICE, "a", *row[2:]]]]), Config(kept_max=0))
    with pytest.raises(HostError, match="version 2"):
        Pins.decode(msgspec.msgpack.encode([2, []]))
