"""Evidence: it adds up, it fades, it is bounded."""

from __future__ import annotations

import pytest

from whispurrnet.trust.evidence import Config, Evidence, Kind

ALICE, BOB = b"alice", b"bob"


def test_it_adds_up_and_fades() -> None:
    evidence = Evidence(Config(half_life_s=100.0))
    assert evidence.counts(ALICE, 0.0) == {}
    evidence.note(ALICE, Kind.FLOODED, 0.0, 8)
    evidence.note(ALICE, Kind.FORGED, 0.0)
    assert evidence.counts(ALICE, 0.0) == {Kind.FLOODED: 8, Kind.FORGED: 1}
    assert evidence.counts(ALICE, 100.0) == pytest.approx({Kind.FLOODED: 4, Kind.FORGED: 0.5})
    evidence.note(ALICE, Kind.FLOODED, 200.0)
    assert evidence.counts(ALICE, 200.0)[Kind.FLOODED] == pytest.approx(3)
    assert evidence.counts(ALICE, 100_000.0) == {}
    assert evidence.counts(BOB, 0.0) == {}


def test_asking_often_fades_nothing_more() -> None:
    often, once = Evidence(), Evidence()
    for evidence in (often, once):
        evidence.note(ALICE, Kind.MALFORMED, 0.0, 10)
    for n in range(1_000):
        often.counts(ALICE, float(n))
    assert often.counts(ALICE, 1_000.0) == pytest.approx(once.counts(ALICE, 1_000.0))


def test_it_follows_a_peer_to_its_new_id() -> None:
    evidence = Evidence(Config(half_life_s=100.0))
    evidence.note(ALICE, Kind.FLOODED, 0.0, 4)
    evidence.note(BOB, Kind.FLOODED, 100.0, 1)
    evidence.move(ALICE, BOB, 100.0)
    assert evidence.counts(ALICE, 100.0) == {}
    assert evidence.counts(BOB, 100.0) == pytest.approx({Kind.FLOODED: 3})
    evidence.move(ALICE, BOB, 100.0)
    evidence.forget(BOB)
    assert evidence.counts(BOB, 100.0) == {}


def test_it_is_bounded() -> None:
    evidence = Evidence(Config(peers_max=10))
    for n in range(1_000):
        evidence.note(b"%d" % n, Kind.FORGED, float(n))
    assert len(evidence) == 10
    assert evidence.counts(b"999", 999.0)
    assert not evidence.counts(b"0", 999.0)
