"""What a peer says of itself, one thing wrong at a time."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from tests.unit.session.handshakes import (
    ALICE,
    BOB,
    CONFIG,
    MALLORY,
    NO_BINDING,
    WALL,
    agreed,
    initiator,
    refusal,
    responder,
    run,
)

from whispurrnet.base.errors import (
    AuthError,
    DowngradeDetected,
    DowngradeRefused,
    IdentityChanged,
)
from whispurrnet.crypto.kex import Level
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.session.handshake import Established
from whispurrnet.session.payload import Credentials
from whispurrnet.session.vetting import Expected, own_credentials, vet

MINUTE_MS = 60_000
DAY_S = 86_400
EXPECTED = Expected(
    level=Level.L3,
    suites=0b001000,
    min_level=Level.L3,
    static=ALICE.static.public,
    outer_binding=NO_BINDING,
    wall_ms=WALL,
)


def credentials(**changes: Any) -> Credentials:
    encoded = own_credentials(
        ALICE.proof,
        suites=0b101000,
        min_level=Level.L3,
        features=0,
        outer_binding=NO_BINDING,
        wall_ms=WALL,
    )
    return msgspec.structs.replace(Credentials.decode(encoded), **changes)


def expected(**changes: Any) -> Expected:
    return msgspec.structs.replace(EXPECTED, **changes)


def test_honest() -> None:
    vet(credentials(), EXPECTED)
    vet(credentials(), EXPECTED, expected_id=ALICE.id)


def test_proof_of_another() -> None:
    with pytest.raises(AuthError, match="another key"):
        vet(credentials(proof=BOB.proof), EXPECTED)
    with pytest.raises(AuthError, match="another key"):
        vet(credentials(), expected(static=None))


@pytest.mark.parametrize(
    "field", ["signing_key", "entropy", "salt", "signature", "timestamp_ms", "not_after_s"]
)
def test_forged_proof(field: str) -> None:
    value = getattr(ALICE.proof, field)
    forged = value + 1 if isinstance(value, int) else bytes((value[0] ^ 1,)) + value[1:]
    proof = msgspec.structs.replace(ALICE.proof, **{field: forged})
    with pytest.raises(AuthError):
        vet(credentials(proof=proof), EXPECTED)


def test_another_id() -> None:
    with pytest.raises(IdentityChanged, match="ticket"):
        vet(credentials(), EXPECTED, expected_id=BOB.id)


def test_below_the_minimum() -> None:
    with pytest.raises(DowngradeRefused):
        vet(credentials(), expected(min_level=Level.L5))
    with pytest.raises(DowngradeRefused):
        vet(credentials(min_level=5), EXPECTED)
    with pytest.raises(DowngradeRefused):
        vet(credentials(suites=0b100000), EXPECTED)


def test_a_better_level_was_taken_away() -> None:
    with pytest.raises(DowngradeDetected, match="level 5"):
        vet(credentials(), expected(suites=0b101000))
    vet(credentials(suites=0b001000), expected(suites=0b101000))
    vet(credentials(suites=0xFFFF), EXPECTED)  # levels that only the peer knows


def test_outer_binding() -> None:
    other = b"\x01" + bytes(32)
    with pytest.raises(AuthError, match="TLS"):
        vet(credentials(outer_binding=other), EXPECTED)
    vet(credentials(outer_binding=other), expected(outer_binding=None))


@pytest.mark.parametrize("minutes", [-10, 0, 10])
def test_clocks_a_little_apart(minutes: int) -> None:
    wall = WALL + minutes * MINUTE_MS
    agreed(initiator(), responder(wall_ms=wall))


@pytest.mark.parametrize("minutes", [-11, 11, 1_000_000])
def test_clocks_too_far_apart(minutes: int) -> None:
    a, b = run(initiator(), responder(wall_ms=WALL + minutes * MINUTE_MS))
    assert f"about {abs(minutes)} minutes apart" in str(refusal(a).error)
    assert b is None


@pytest.mark.parametrize(
    ("made_s_ago", "lifetime_s", "good"),
    [
        (3600 + 600, 3600, True),
        (3600 + 600 + 601, 3600, False),
        (DAY_S, DAY_S, True),
        (-601, 3600, False),
        (0, 8 * DAY_S - 600, True),
    ],
)
def test_identity_in_and_out_of_force(made_s_ago: int, lifetime_s: int, good: bool) -> None:
    made = WALL - made_s_ago * 1000
    someone = Ephemeral.generate(Random("someone").randbytes, made, lifetime_s=lifetime_s)
    a, b = run(initiator(identity=someone), responder())
    assert isinstance(b, Established) == good
    a, b = run(initiator(to=someone), responder(identities=[someone]))
    assert isinstance(a, Established) == good
    assert (b is None) != good


def test_identity_that_claims_too_long_a_life() -> None:
    proof = msgspec.structs.replace(MALLORY.proof, not_after_s=WALL // 1000 + 9 * DAY_S)
    signed = MALLORY.signing.sign(b"WN1 proof" + proof.encode()[:-64])
    proof = msgspec.structs.replace(proof, signature=signed)
    forever = Ephemeral(MALLORY.static, MALLORY.signing, proof, 9 * DAY_S)
    a, b = run(initiator(CONFIG, identity=forever), responder())
    assert "lifetime" in str(refusal(b).error)
    assert isinstance(a, Established)  # the initiator cannot know yet
