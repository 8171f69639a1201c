"""Standing: what deeds are worth, how they fade, and what follows."""

from __future__ import annotations

import pytest

from whispurrnet.gossip.standing import FAULTS, Config, Standing, Verdict

KEY = b"k" * 32
PEER = 7


@pytest.fixture
def standing() -> Standing:
    standing = Standing()
    standing.add(PEER, KEY, "192.0.2", 0.0)
    return standing


# The score


def test_a_new_peer_is_worth_nothing_and_kept(standing: Standing) -> None:
    assert standing.score(PEER, 0.0) == 0.0
    assert standing.verdict(PEER, 0.0) == Verdict.KEEP
    assert len(standing) == 1


def test_first_deliveries_are_worth_up_to_a_half(standing: Standing) -> None:
    for _ in range(50):
        standing.useful(PEER, 0.0)
    assert standing.score(PEER, 0.0) == pytest.approx(0.25)
    for _ in range(500):
        standing.useful(PEER, 0.0)
    assert standing.score(PEER, 0.0) == pytest.approx(0.5)


def test_deliveries_fade(standing: Standing) -> None:
    for _ in range(100):
        standing.useful(PEER, 0.0)
    assert standing.score(PEER, 1.0) == pytest.approx(0.485)
    assert standing.score(PEER, 10.0) == pytest.approx(0.5 * 0.97**10)
    assert standing.score(PEER, 9.0) == pytest.approx(0.5 * 0.97**10), "time never goes back"


def test_asking_often_changes_nothing() -> None:
    often, once = Standing(), Standing()
    for each in (often, once):
        each.add(PEER, KEY, "", 0.0)
        for name in FAULTS:
            each.fault(PEER, name, 0.0)
    for tenth in range(300):
        often.score(PEER, tenth / 10)
    assert often.score(PEER, 30.0) == pytest.approx(once.score(PEER, 30.0))


def test_minutes_in_the_view_are_worth_up_to_a_fifth(standing: Standing) -> None:
    assert standing.score(PEER, 600.0) == 0.0, "it is not in the view"
    standing.entered(PEER, 600.0)
    standing.entered(PEER, 900.0)
    assert standing.score(PEER, 600.0 + 1800) == pytest.approx(0.1)
    assert standing.score(PEER, 600.0 + 36000) == pytest.approx(0.2)
    standing.left(PEER)
    standing.left(PEER)
    assert standing.score(PEER, 600.0 + 36000) == 0.0
    standing.entered(PEER, 40000.0)
    assert standing.score(PEER, 40600.0) == pytest.approx(0.2 / 6), "anew"


@pytest.mark.parametrize(
    ("kind", "count", "score"),
    [
        ("invalid", 1, -10.0),
        ("invalid", 2, -40.0),
        ("invalid", 3, -90.0),
        ("unserved", 1, -1 / 16),
        ("unserved", 4, -1.0),
        ("malformed", 1, -5.0),
        ("malformed", 3, -45.0),
        ("expired", 10, -5.0),
        ("flood", 100, -5.0),
        ("flood", 4, 0.0),
    ],
)
def test_what_faults_cost(standing: Standing, kind: str, count: int, score: float) -> None:
    for _ in range(count):
        standing.fault(PEER, kind, 0.0)
    assert standing.score(PEER, 0.0) == pytest.approx(score)


def test_faults_by_name() -> None:
    for name, kind in (("invalid", "invalid"), ("unserved", "unserved"), ("protocol", "malformed")):
        one, other = Standing(), Standing()
        for each in (one, other):
            each.add(PEER, KEY, "", 0.0)
        getattr(one, name)(PEER, 0.0)
        other.fault(PEER, kind, 0.0)
        assert one.score(PEER, 0.0) == other.score(PEER, 0.0) < 0


def test_an_unknown_fault_is_an_error(standing: Standing) -> None:
    with pytest.raises(KeyError):
        standing.fault(PEER, "rudeness", 0.0)


def test_one_mistake_is_forgiven(standing: Standing) -> None:
    standing.invalid(PEER, 0.0)
    assert standing.verdict(PEER, 0.0) == Verdict.LEAVE
    assert standing.verdict(PEER, 90.0) == Verdict.LEAVE
    assert standing.score(PEER, 100.0) == 0.0
    assert standing.verdict(PEER, 100.0) == Verdict.KEEP


def test_little_by_little_adds_up(standing: Standing) -> None:
    """A small fault is not forgotten because it was looked at while small."""
    for tenth in range(600):
        standing.fault(PEER, "flood", tenth / 10)
        standing.score(PEER, tenth / 10)
    assert standing.score(PEER, 60.0) == pytest.approx(-5 * 2.77**2, rel=0.02)


# The verdict


def test_the_verdict_follows_the_score(standing: Standing) -> None:
    seen = []
    for step in range(14):
        seen.append(standing.verdict(PEER, 0.0))
        if step < 13:
            standing.fault(PEER, "expired", 0.0)
    assert seen == [Verdict.KEEP, *[Verdict.LEAVE] * 13]
    standing.protocol(PEER, 0.0)
    assert standing.score(PEER, 0.0) == pytest.approx(-5 * 2.3**2)
    assert standing.verdict(PEER, 0.0) == Verdict.MUTE
    standing.protocol(PEER, 0.0)
    assert standing.verdict(PEER, 0.0) == Verdict.CLOSE
    assert Verdict.CLOSE > Verdict.MUTE > Verdict.LEAVE > Verdict.KEEP


def test_the_greylist_holds_an_hour(standing: Standing) -> None:
    assert not standing.greylisted(KEY, 0.0)
    for _ in range(3):
        standing.invalid(PEER, 5.0)
    assert standing.greylisted(KEY, 5.0)
    assert standing.verdict(PEER, 200.0) == Verdict.CLOSE, "though the score has recovered"
    assert standing.score(PEER, 200.0) == 0.0
    assert standing.greylisted(KEY, 3604.9)
    assert not standing.greylisted(KEY, 3605.0)
    assert not standing.greylisted(b"other", 5.0)
    assert standing.verdict(PEER, 3605.0) == Verdict.KEEP


def test_peers_that_are_not_there(standing: Standing) -> None:
    for act in (standing.useful, standing.invalid, standing.unserved, standing.protocol):
        act(99, 0.0)
    standing.entered(99, 0.0)
    standing.left(99)
    standing.remove(99, 0.0)
    assert standing.score(99, 0.0) == 0.0
    assert standing.verdict(99, 0.0) == Verdict.KEEP
    assert not standing.allow(99, 1, 0.0)
    assert len(standing) == 1


# Memory


def test_hanging_up_is_no_cure(standing: Standing) -> None:
    standing.invalid(PEER, 0.0)
    for _ in range(100):
        standing.useful(PEER, 0.0)
    standing.remove(PEER, 10.0)
    standing.add(8, KEY, "", 20.0)
    assert standing.score(8, 20.0) == pytest.approx(-10 * 0.97**40), "its merits are gone"
    standing.add(9, b"other", "", 20.0)
    assert standing.score(9, 20.0) == 0.0


def test_who_did_nothing_is_not_remembered(standing: Standing) -> None:
    standing.useful(PEER, 0.0)
    standing.remove(PEER, 0.0)
    standing.add(PEER, KEY, "", 0.0)
    assert standing.score(PEER, 0.0) == 0.0


def test_a_peer_that_is_added_again_keeps_its_faults(standing: Standing) -> None:
    standing.entered(PEER, 0.0)
    standing.invalid(PEER, 0.0)
    standing.add(PEER, KEY, "192.0.2", 0.0)
    assert standing.score(PEER, 0.0) == -10.0
    assert len(standing) == 1


def test_what_is_remembered_is_bounded() -> None:
    standing = Standing(Config(remembered_max=10))
    for n in range(50):
        key = b"%d" % n
        standing.add(n, key, "", 0.0)
        for _ in range(3):
            standing.invalid(n, 0.0)
        standing.remove(n, 0.0)
    assert sum(standing.greylisted(b"%d" % n, 0.0) for n in range(50)) == 10
    assert standing.greylisted(b"49", 0.0)


# Prefixes


def seat(standing: Standing, peer: int, prefix: str) -> None:
    standing.add(peer, b"key %d" % peer, prefix, 0.0)
    standing.entered(peer, 0.0)


def test_a_crowd_from_one_prefix_costs_those_who_came_last() -> None:
    standing = Standing()
    for peer in range(4):
        seat(standing, peer, "198.51.100")
    assert [standing.score(peer, 0.0) for peer in range(4)] == [0, 0, -5, -20]
    standing.left(0)
    assert [standing.score(peer, 0.0) for peer in range(4)] == [0, 0, 0, -5]
    standing.remove(1, 0.0)
    assert [standing.score(peer, 0.0) for peer in range(4)] == [0, 0, 0, 0]
    standing.entered(0, 0.0)
    assert standing.score(0, 0.0) == -5


def test_a_crowd_outside_the_view_costs_nothing() -> None:
    standing = Standing()
    for peer in range(9):
        standing.add(peer, b"key %d" % peer, "198.51.100", 0.0)
    assert all(standing.score(peer, 0.0) == 0 for peer in range(9))


def test_no_prefix_is_no_crowd() -> None:
    standing = Standing()
    for peer in range(9):
        seat(standing, peer, "")
    assert all(standing.score(peer, 0.0) == 0 for peer in range(9))


def test_a_crowd_greylists_nobody() -> None:
    standing = Standing()
    for peer in range(6):
        seat(standing, peer, "198.51.100")
    assert standing.verdict(5, 0.0) == Verdict.CLOSE
    assert not standing.greylisted(b"key 5", 0.0)
    standing.left(5)
    assert standing.verdict(5, 0.0) == Verdict.KEEP


# Buckets


def test_messages_by_the_second(standing: Standing) -> None:
    assert sum(standing.allow(PEER, 100, 0.0) for _ in range(110)) == 100
    assert sum(standing.allow(PEER, 100, 0.5) for _ in range(20)) == 10
    assert all(standing.allow(PEER, 100, 0.5, messages=0) for _ in range(500)), "only their bytes"


def test_bytes_by_the_second(standing: Standing) -> None:
    size = 16 * 1024
    assert sum(standing.allow(PEER, size, 0.0) for _ in range(70)) == 64
    assert sum(standing.allow(PEER, size, 1.0) for _ in range(18)) == 16
    assert not standing.allow(PEER, 2**21, 100.0)


def test_what_is_refused_takes_no_tokens(standing: Standing) -> None:
    for _ in range(50):
        assert not standing.allow(PEER, 2**21, 0.0)
    assert sum(standing.allow(PEER, 1, 0.0) for _ in range(110)) == 100


def test_who_sends_what_may_be_sent_is_kept(standing: Standing) -> None:
    for n in range(20 * 600):
        assert standing.allow(PEER, 1024, n / 20)
    assert standing.verdict(PEER, 600.0) == Verdict.KEEP


def test_ten_times_too_much_is_greylisted_within_ten_seconds(standing: Standing) -> None:
    now = 0.0
    while standing.verdict(PEER, now) < Verdict.CLOSE:
        standing.allow(PEER, 512, now)
        now += 1 / 200
    assert now < 5.0
    assert standing.greylisted(KEY, now)


def test_a_tenth_too_much_costs_the_view_but_not_the_link(standing: Standing) -> None:
    for n in range(22 * 600):
        standing.allow(PEER, 512, n / 22)
    assert standing.verdict(PEER, 600.0) == Verdict.LEAVE


# The median


def test_the_median() -> None:
    standing = Standing()
    assert standing.median((), 0.0) == 0.0
    for peer in range(3):
        standing.add(peer, b"%d" % peer, "", 0.0)
        for _ in range(20 * peer):
            standing.useful(peer, 0.0)
    assert standing.median((0, 1, 2), 0.0) == pytest.approx(0.1)
    assert standing.median((1, 2), 0.0) == pytest.approx(0.15)
