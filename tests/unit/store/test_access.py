"""Who may see what: grants, proofs that are good once, and what is kept of them."""

from __future__ import annotations

from itertools import count, product

import pytest

from whispurrnet.base.errors import HostError, LimitError, UsageError
from whispurrnet.crypto.hash import hmac_sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.store import access
from whispurrnet.store.access import (
    Everyone,
    Grants,
    Guest,
    Holder,
    Peer,
    Persona,
    Whom,
    proof,
)

ROOT, OTHER = b"r" * 32, b"o" * 32
ALICE, BOB = b"a" * 32, b"b" * 32


def grants() -> Grants:
    numbers = count(1)
    return Grants(lambda n: next(numbers).to_bytes(n, "big"))


def guest(id: bytes = BOB, persona: bytes | None = None, *, initiator: bool = True) -> Guest:
    return Guest(id, b"h" * 32, initiator=initiator, persona=persona)


def test_nobody_sees_what_is_not_shared() -> None:
    ours = grants()
    assert not ours.may(guest(), [ROOT])
    assert not ours.may(guest(), [])
    assert ROOT not in ours


@pytest.mark.parametrize(
    ("whom", "who", "sees"),
    [
        (Everyone(), guest(), True),
        (Persona(ALICE), guest(persona=ALICE), True),
        (Persona(ALICE), guest(persona=BOB), False),
        (Persona(ALICE), guest(ALICE), False),  # an id is no persona
        (Peer(BOB), guest(BOB), True),
        (Peer(BOB), guest(ALICE), False),
        (Peer(BOB), guest(ALICE, persona=BOB), False),
        (Holder(), guest(), False),
    ],
)
def test_who_sees(whom: Whom, who: Guest, sees: bool) -> None:
    ours = grants()
    ours.share(ROOT, whom)
    assert ours.may(who, [ROOT]) is sees
    assert ours.may(who, [OTHER, ROOT]) is sees, "one root is enough"
    assert not ours.may(who, [OTHER])
    assert ours.whom(ROOT) == [whom]
    ours.check_invariants()
    assert ours.withdraw(ROOT, whom)
    assert not ours.withdraw(ROOT, whom)
    assert not ours.may(who, [ROOT])
    assert not ours.roots()


def test_a_capability_is_proven_once_a_session() -> None:
    ours = grants()
    cap = ours.share(ROOT, Holder())
    assert cap is not None and cap == ours.share(ROOT, Holder()) == ours.cap(ROOT)
    bob = guest()
    assert ours.prove(bob, ROOT, proof(cap, ROOT, bob.handshake, initiator=True))
    assert ours.may(bob, [ROOT])
    assert not ours.may(guest(), [ROOT]), "in another session it has to be shown again"


def test_a_proof_is_good_for_one_session_end_and_root() -> None:
    ours = grants()
    cap = ours.share(ROOT, Holder())
    ours.share(OTHER, Holder())
    assert cap is not None
    cases = product((cap, bytes(32)), (ROOT, OTHER), (b"h" * 32, b"i" * 32), (True, False))
    for at, (key, root, handshake, initiator) in enumerate(cases):
        shown = proof(key, root, handshake, initiator=initiator)
        assert ours.prove(guest(), ROOT, shown) is (at == 0)


def test_the_proof_is_what_is_written() -> None:
    shown = hmac_sha256(ALICE, b"WN1 object access" + BOB + b"\x01" + ROOT)
    assert proof(ALICE, ROOT, BOB, initiator=True) == shown


def test_a_key_of_zeros_opens_nothing() -> None:
    ours = grants()
    ours.share(ROOT, Everyone())
    for root in (ROOT, OTHER):
        bob = guest()
        shown = proof(bytes(32), root, bob.handshake, initiator=True)
        assert not ours.prove(bob, root, shown)
        assert not bob.proven


def test_what_is_taken_back_holds_no_longer() -> None:
    ours = grants()
    cap = ours.share(ROOT, Holder())
    assert cap is not None
    bob = guest()
    assert ours.prove(bob, ROOT, proof(cap, ROOT, bob.handshake, initiator=True))
    ours.withdraw(ROOT)
    assert not ours.may(bob, [ROOT])
    assert ours.share(ROOT, Holder()) != cap
    assert not ours.may(bob, [ROOT]), "the old capability is not the new one"
    ours.adopt(ROOT, cap)
    assert ours.may(bob, [ROOT])


def test_one_grant_goes_and_the_others_stay() -> None:
    ours = grants()
    every: list[Whom] = [Everyone(), Holder(), Persona(ALICE), Peer(BOB)]
    for whom in every:
        ours.share(ROOT, whom)
    assert ours.whom(ROOT) == every
    for whom in list(every):
        assert ours.withdraw(ROOT, whom)
        every.remove(whom)
        assert ours.whom(ROOT) == every
    assert len(ours) == 0


def test_a_peer_with_another_id_keeps_what_it_had() -> None:
    ours = grants()
    ours.share(ROOT, Peer(BOB))
    ours.rename(BOB, ALICE)
    ours.rename(OTHER, ROOT)
    assert ours.whom(ROOT) == [Peer(ALICE)]
    assert ours.may(guest(ALICE), [ROOT]) and not ours.may(guest(BOB), [ROOT])


def test_what_is_kept_comes_back() -> None:
    ours = grants()
    cap = ours.share(ROOT, Holder())
    ours.share(ROOT, Persona(ALICE))
    ours.share(ROOT, Peer(BOB))
    ours.share(OTHER, Everyone())
    ours.share(ALICE, Peer(BOB))
    kept = Grants(bytes, ours.encode())
    assert kept.roots() == [ROOT, OTHER]
    assert kept.cap(ROOT) == cap and isinstance(kept.cap(ROOT), Secret)
    assert kept.whom(ROOT) == [Holder(), Persona(ALICE)], "ids of peers do not last"
    assert kept.whom(OTHER) == [Everyone()]
    assert kept.encode() == Grants(bytes, kept.encode()).encode()
    assert "Secret" in repr(kept.cap(ROOT)), "it is not shown"


def test_damage_is_named() -> None:
    ours = grants()
    ours.share(ROOT, Holder())
    kept = ours.encode()
    for damaged in (b"", kept[:-1], b"\xc1", b"\x92\x01\x91\x94\xc4\x01x\xc2\xc0\x90"):
        with pytest.raises(HostError, match="damaged"):
            Grants(bytes, damaged)
    with pytest.raises(HostError, match="form 2"):
        Grants(bytes, kept[:1] + b"\x02" + kept[2:])


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "ROOTS_MAX", 2)
    monkeypatch.setattr(access, "NAMES_MAX", 2)
    ours = grants()
    for root in (ROOT, OTHER):
        ours.share(root, Everyone())
    with pytest.raises(LimitError, match="withdraw"):
        ours.share(ALICE, Everyone())
    for id in (ALICE, BOB):
        ours.share(ROOT, Persona(id))
    ours.share(ROOT, Persona(ALICE))
    with pytest.raises(LimitError, match="capability"):
        ours.share(ROOT, Persona(ROOT))
    assert len(ours) == 2
    for bad in (b"", b"x" * 33):
        with pytest.raises(UsageError):
            ours.share(bad, Everyone())
        with pytest.raises(UsageError):
            ours.share(ROOT, Peer(bad))
        with pytest.raises(UsageError):
            ours.adopt(ROOT, Secret(bad))


def test_a_guest_is_bounded() -> None:
    bob, ours = guest(), grants()
    for n in range(access.PROVEN_MAX + 5):
        root = n.to_bytes(32, "big")
        cap = ours.share(root, Holder())
        assert cap is not None
        assert ours.prove(bob, root, proof(cap, root, bob.handshake, initiator=True))
    assert len(bob.proven) == access.PROVEN_MAX
