"""Random walks over pins and invites against a plain model, and noise for the decoder."""

from __future__ import annotations

import os
from random import Random

from whispurrnet.base.errors import AuthError, HostError, LimitError, UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.trust.invites import Config as InvitesConfig
from whispurrnet.trust.invites import Invites
from whispurrnet.trust.pins import Config, Pins, Trust

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 40
PERSONAS = [bytes([n]) * 32 for n in range(4)]
NAMES = ["", "sun", "Moon"]
ACTS = ["seen", "verify", "revoke", "restore", "rename", "replace", "require", "forget", "disk"]


def act(kind: str, pins: Pins, rng: Random, wall_ms: int) -> Pins:
    persona, name = rng.choice(PERSONAS), rng.choice(NAMES)
    psk = rng.choice([None, Secret(rng.randbytes(32))])
    match kind:
        case "seen":
            pins.seen(persona, wall_ms, name=name, psk=psk)
        case "verify":
            pins.verify(persona, wall_ms)
        case "revoke":
            pins.revoke(persona, wall_ms)
        case "restore":
            pins.restore(persona)
        case "rename":
            pins.rename(persona, name)
        case "replace":
            pins.replace(name, persona, wall_ms)
        case "require":
            pins.require_psk(persona, required=rng.random() < 0.5)
        case "forget":
            pins.forget(persona)
        case "disk":
            again = Pins.decode(pins.encode(), pins.config)
            assert list(again) == list(pins)
            return again
    return pins


def walk_pins(seed: int) -> None:
    rng = Random(seed)
    pins = Pins(Config(seen_max=rng.randrange(1, 4), kept_max=rng.randrange(1, 4)))
    odds = [rng.random() ** 3 for _ in ACTS]
    revoked: set[bytes] = set()
    verified: set[bytes] = set()
    for kind in rng.choices(ACTS, odds, k=STEPS):
        before = list(pins)
        try:
            pins = act(kind, pins, rng, rng.randrange(10**6))
        except (AuthError, UsageError, LimitError):
            assert list(pins) == before, "an error changes nothing"
        known = {pin.persona: pin for pin in pins}
        for persona in PERSONAS:
            level = pins.level(persona)
            if level is Trust.VERIFIED and persona not in verified:
                assert kind == "verify", "a level rises only by an explicit act"
            if persona in revoked and level is not Trust.REVOKED:
                assert kind in ("verify", "restore", "forget"), "a revocation is not lost by itself"
        revoked = {p for p, pin in known.items() if pin.level is Trust.REVOKED}
        verified = {p for p, pin in known.items() if pin.level is Trust.VERIFIED}
        names = [pin.name.casefold() for pin in pins if pin.name]
        assert len(names) == len(set(names))
        assert all(pins.named(pin.name) == pin for pin in pins if pin.name)
        assert all(not pin.psks for pin in pins if pin.level is Trust.REVOKED)
        assert len(known) <= pins.config.seen_max + pins.config.kept_max


def test_pins() -> None:
    for seed in range(RUNS):
        try:
            walk_pins(seed)
        except BaseException as error:
            error.add_note(f"walk_pins({seed})")
            raise


def walk_invites(seed: int) -> None:
    rng = Random(seed)
    invites = Invites(InvitesConfig(invites_max=3, life_s=10.0), entropy=rng.randbytes)
    good_until: dict[Secret, int] = {}
    used: set[Secret] = set()
    now = 0
    for _ in range(STEPS):
        now += rng.randrange(5_000)
        issued = [*good_until, *used]
        match rng.randrange(4):
            case 0:
                try:
                    good_until[invites.issue(now)] = now + 10_000
                except LimitError:
                    assert sum(until > now for until in good_until.values()) == 3
            case 1 if issued:
                wanted = rng.choice(issued)
                found = invites.find(lambda psk, wanted=wanted: psk == wanted, now)
                assert (found == wanted) == (good_until.get(wanted, 0) > now)
            case 2 if issued:
                psk = rng.choice(issued)
                invites.expire(now)
                try:
                    assert invites.redeem(psk) == (good_until.pop(psk, 0) > now)
                    used.add(psk)
                except AuthError:
                    assert psk in used
            case _:
                invites.expire(now)
        assert len(invites) <= 3


def test_invites() -> None:
    for seed in range(RUNS):
        try:
            walk_invites(seed)
        except BaseException as error:
            error.add_note(f"walk_invites({seed})")
            raise


def test_no_bytes_surprise_the_decoder() -> None:
    for seed in range(RUNS):
        rng = Random(seed)
        pins = Pins()
        for persona in PERSONAS:
            pins.seen(persona, 1, name=rng.choice(["", str(persona[0])]), psk=Secret(bytes(32)))
        data = bytearray(pins.encode())
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        try:
            again = Pins.decode(bytes(data))
        except HostError:
            continue
        assert len(list(again)) <= 4
