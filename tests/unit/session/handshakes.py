"""Ready-made handshakes for the tests of `session`: two identities, and what goes between them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from whispurrnet.crypto.kex import Level
from whispurrnet.crypto.keys import Secret
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.session.handshake import (
    NO_BINDING,
    Arrived,
    Begin,
    Config,
    Effect,
    Established,
    Gate,
    Initiator,
    Refused,
    Responder,
    Write,
)
from whispurrnet.wire.ids import PeerId

WALL = 1_700_000_000_000
REMOTE = b"192.0.2.1|50000"
ALICE = Ephemeral.generate(Random("alice").randbytes, WALL)
BOB = Ephemeral.generate(Random("bob").randbytes, WALL)
MALLORY = Ephemeral.generate(Random("mallory").randbytes, WALL)

CONFIG = Config(min_level=Level.L3)
OPEN = Config(min_level=Level.L3, accept_first_contact=True)
SECRET = Secret(b"a network secret of some length")
PRIVATE = Config(min_level=Level.L3, network_secret=SECRET)
PSK = Secret(bytes(range(32)))


def initiator(
    config: Config = CONFIG,
    *,
    identity: Ephemeral = ALICE,
    to: Ephemeral | bytes | None = BOB,
    expected_id: PeerId | None = None,
    psk: Secret | None = None,
    binding: bytes = NO_BINDING,
    seed: object = 1,
    wall_ms: int = WALL,
    level: Level | None = None,
) -> Initiator:
    return Initiator(
        config,
        identity,
        remote_key=to.static.public if isinstance(to, Ephemeral) else to,
        expected_id=expected_id,
        psk=psk,
        binding=binding,
        entropy=Random(f"initiator {seed}").randbytes,
        wall=lambda: wall_ms,
        level=level,
    )


def responder(
    config: Config = CONFIG,
    *,
    identities: Sequence[Ephemeral] = (BOB,),
    gate: Gate | None = None,
    psks: Sequence[Secret] = (),
    remote: bytes = REMOTE,
    binding: bytes = NO_BINDING,
    seed: object = 2,
    wall_ms: int = WALL,
) -> Responder:
    return Responder(
        config,
        identities,
        new_gate(config) if gate is None else gate,
        lambda matches: next((psk for psk in psks if matches(psk)), None),
        remote=remote,
        binding=binding,
        entropy=Random(f"responder {seed}").randbytes,
        wall=lambda: wall_ms,
    )


def new_gate(config: Config = CONFIG, **changes: float) -> Gate:
    return msgspec.structs.replace(config, **changes).gate(Random("gate").randbytes)


def written(effects: Sequence[Effect]) -> bytes:
    return b"".join(effect.data for effect in effects if isinstance(effect, Write))


def end(effects: Sequence[Effect]) -> Established | Refused | None:
    """How the handshake ended, if it did."""
    ends = [effect for effect in effects if not isinstance(effect, Write)]
    assert len(ends) <= 1
    return ends[0] if ends else None


def first(machine: Initiator) -> bytes:
    """m1."""
    return written(machine.handle(Begin(), 0.0))


def run(
    one: Initiator, two: Responder, now: float = 0.0
) -> tuple[Established | Refused | None, Established | Refused | None]:
    """Carry everything both ways until nobody has more to say."""
    ends: list[Established | Refused | None] = [None, None]
    effects = one.handle(Begin(), now)
    machines: list[Initiator | Responder] = [one, two]
    side = 0
    while True:
        ends[side] = end(effects) or ends[side]
        data = written(effects)
        if not data:
            return ends[0], ends[1]
        side = 1 - side
        effects = machines[side].handle(Arrived(data), now)


def agreed(one: Initiator, two: Responder) -> tuple[Established, Established]:
    """Run a handshake that must succeed, and check that both ends fit."""
    a, b = run(one, two)
    assert isinstance(a, Established), a
    assert isinstance(b, Established), b
    assert a.keys.send == b.keys.receive
    assert a.keys.receive == b.keys.send
    assert a.keys.hash == b.keys.hash
    assert a.keys.export("channel-binding") == b.keys.export("channel-binding")
    assert (a.level, a.pattern, a.psk, a.features) == (b.level, b.pattern, b.psk, b.features)
    return a, b


def refusal(outcome: Established | Refused | None) -> Refused:
    assert isinstance(outcome, Refused), outcome
    return outcome
