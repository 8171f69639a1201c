"""Policy: verdicts with reasons, patience, and no credit for abuse."""

from __future__ import annotations

import pytest

from whispurrnet.trust.evidence import Evidence, Kind
from whispurrnet.trust.pins import Trust
from whispurrnet.trust.policy import Config, Judgement, Policy, Verdict

ALLOWED = Judgement(Verdict.ALLOW, "")


def test_nothing_known_is_nothing_wrong() -> None:
    for level in (Trust.UNKNOWN, Trust.SEEN, Trust.VERIFIED):
        assert Policy().judge(level, {}) == ALLOWED


def test_a_revoked_peer_is_refused_whatever_it_did() -> None:
    judgement = Policy().judge(Trust.REVOKED, {Kind.DELIVERED: 10**9})
    assert judgement == Judgement(Verdict.REFUSE, "you revoked it")


@pytest.mark.parametrize(
    ("counts", "verdict", "reason"),
    [
        ({Kind.MALFORMED: 1.9}, Verdict.ALLOW, ""),
        ({Kind.MALFORMED: 2}, Verdict.SLOW, "it breaks the protocol"),
        ({Kind.MALFORMED: 5}, Verdict.REFUSE, "it breaks the protocol"),
        ({Kind.FORGED: 1}, Verdict.SLOW, "it sent what does not authenticate"),
        ({Kind.FORGED: 2}, Verdict.REFUSE, "it sent what does not authenticate"),
        ({Kind.FLOODED: 4}, Verdict.SLOW, "it sends more than the limits allow"),
    ],
)
def test_verdicts(counts: dict[Kind, float], verdict: Verdict, reason: str) -> None:
    assert Policy().judge(Trust.SEEN, counts) == Judgement(verdict, reason)


def test_a_verified_peer_has_more_patience_from_us() -> None:
    policy = Policy()
    assert policy.judge(Trust.VERIFIED, {Kind.FLOODED: 11}).verdict is Verdict.ALLOW
    assert policy.judge(Trust.VERIFIED, {Kind.FLOODED: 12}).verdict is Verdict.SLOW
    assert policy.judge(Trust.VERIFIED, {Kind.FLOODED: 30}).verdict is Verdict.REFUSE


def test_good_deeds_make_up_for_a_few_bad_ones_only() -> None:
    policy = Policy()
    bad = {Kind.FLOODED: 5.0}
    assert policy.judge(Trust.SEEN, bad).verdict is Verdict.SLOW
    assert policy.judge(Trust.SEEN, bad | {Kind.DELIVERED: 100.0}) == ALLOWED
    worse = {Kind.FLOODED: 13.0, Kind.DELIVERED: 10.0**9}
    assert policy.judge(Trust.SEEN, worse).verdict is Verdict.REFUSE


def test_the_verdict_falls_back_as_the_evidence_fades() -> None:
    evidence, policy = Evidence(), Policy(Config())
    evidence.note(b"peer", Kind.FORGED, 0.0, 3)
    verdicts = [
        policy.judge(Trust.SEEN, evidence.counts(b"peer", now)).verdict
        for now in (0.0, 1_800.0, 7_200.0)
    ]
    assert verdicts == [Verdict.REFUSE, Verdict.SLOW, Verdict.ALLOW]
