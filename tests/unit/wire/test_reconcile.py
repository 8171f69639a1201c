"""Two sets, a few messages, and both know what the other lacks."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.wire.items import TIME_MAX
from whispurrnet.wire.ranges import INFINITY, MESSAGE_MAX, Writer, parse
from whispurrnet.wire.reconcile import FRAME_MIN, Items, Reconciler

Item = tuple[int, bytes]

TIMES = st.one_of(st.integers(0, 3), st.integers(0, TIME_MAX))
IDS = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.binary(max_size=2).map(lambda head: head.ljust(32, b"\0")),
)
SETS = st.sets(st.tuples(TIMES, IDS), max_size=100)


class Outcome:
    """A reconciliation from the first query to the end."""

    def __init__(self, asker: Reconciler, asked: Reconciler) -> None:
        self.have: list[bytes] = []
        self.need: list[bytes] = []
        self.bytes = self.rounds = 0
        query: bytes | None = asker.initiate()
        while query is not None:
            answer = asked.answer(query)
            assert len(query) <= asker.frame_max
            assert len(answer) <= asked.frame_max
            self.rounds += 1
            self.bytes += len(query) + len(answer)
            query, have, need = asker.continue_(answer)
            self.have += have
            self.need += need


def sample(rng: Random, count: int, span: int = 1000) -> list[Item]:
    return [(rng.randrange(span), rng.randbytes(32)) for _ in range(count)]


def check(ours: set[Item], theirs: set[Item], frame_max: int = 60_000) -> Outcome:
    asker = Reconciler(Items(ours), frame_max)
    outcome = Outcome(asker, Reconciler(Items(theirs), frame_max))
    assert sorted(outcome.have) == sorted(id for _, id in ours - theirs)
    assert sorted(outcome.need) == sorted(id for _, id in theirs - ours)
    assert asker.complete
    return outcome


@given(SETS, SETS, SETS)
def test_any_two_sets(common: set[Item], one: set[Item], other: set[Item]) -> None:
    # One id under two times would count as had and needed: a caller gives it one time everywhere.
    times: dict[bytes, int] = {}
    for time, id in sorted(common | one | other):
        times.setdefault(id, time)
    kept = {(time, id) for id, time in times.items()}
    check((common | one) & kept, (common | other) & kept)


@pytest.mark.parametrize("frame_max", [FRAME_MIN, 10_000, MESSAGE_MAX])
@pytest.mark.parametrize("span", [1, 30, 10**9])
@pytest.mark.parametrize(("common", "mine", "yours"), [(3000, 40, 7), (0, 900, 1100), (9, 0, 2500)])
def test_random_sets_in_frames(
    frame_max: int, span: int, common: int, mine: int, yours: int
) -> None:
    rng = Random(frame_max + span + common)
    both, ours, theirs = (set(sample(rng, count, span)) for count in (common, mine, yours))
    check(both | ours, both | theirs, frame_max)


def test_equal_sets_take_one_round_trip() -> None:
    items = set(sample(Random(1), 5000))
    outcome = check(items, items)
    assert outcome.rounds == 1
    assert outcome.bytes < 400


def test_empty_sets() -> None:
    assert check(set(), set()).rounds == 1
    items = set(sample(Random(2), 100))
    assert check(items, set()).rounds == 1
    assert check(set(), items).rounds == 1


def test_ids_that_share_all_but_the_last_byte() -> None:
    ids = [(7, bytes(31) + bytes([last])) for last in range(256)]
    check(set(ids), set(ids[::2]))


def test_the_ends_of_time() -> None:
    edge = {(0, bytes(32)), (0, b"\xff" * 32), (TIME_MAX, bytes(32)), (TIME_MAX, b"\xff" * 32)}
    many = {(time, Random(time).randbytes(32)) for time in range(TIME_MAX - 100, TIME_MAX)}
    check(edge | many, many)
    check(many, edge)


def test_a_hundred_thousand_that_differ_in_ten() -> None:
    rng = Random(3)
    common = sample(rng, 100_000)
    ours, theirs = Items(common), Items(common)
    different = sample(rng, 10)
    for item in different[:5]:
        ours.add(*item)
    for item in different[5:]:
        theirs.add(*item)
    outcome = Outcome(Reconciler(ours), Reconciler(theirs))
    assert sorted(outcome.have) == sorted(id for _, id in different[:5])
    assert sorted(outcome.need) == sorted(id for _, id in different[5:])
    assert outcome.rounds == 2
    assert outcome.bytes < 20_000


@pytest.mark.soak
def test_a_million_that_differ_in_ten() -> None:
    rng = Random(4)
    common = sample(rng, 1_000_000, 86_400)
    ours, theirs = Items(common), Items(common)
    different = sample(rng, 10, 86_400)
    for item in different[:5]:
        ours.add(*item)
    for item in different[5:]:
        theirs.add(*item)
    outcome = Outcome(Reconciler(ours), Reconciler(theirs))
    assert sorted(outcome.have) == sorted(id for _, id in different[:5])
    assert sorted(outcome.need) == sorted(id for _, id in different[5:])
    assert outcome.rounds == 3
    assert outcome.bytes < 30_000


# A window of time


def test_only_what_is_asked_about_is_compared() -> None:
    rng = Random(5)
    common = set(sample(rng, 2000))
    ours, theirs = common | set(sample(rng, 90)), common | set(sample(rng, 70))
    asker = Reconciler(Items(ours), since=200, until=800)
    outcome = Outcome(asker, Reconciler(Items(theirs)))
    assert sorted(outcome.have) == sorted(i for t, i in ours - theirs if 200 <= t < 800)
    assert sorted(outcome.need) == sorted(i for t, i in theirs - ours if 200 <= t < 800)


def test_a_window_and_answers_that_are_cut() -> None:
    rng = Random(6)
    ours, theirs = sample(rng, 3000), sample(rng, 3000)
    asker = Reconciler(Items(ours), FRAME_MIN, since=500, until=900)
    outcome = Outcome(asker, Reconciler(Items(theirs), FRAME_MIN))
    assert set(outcome.have) == {i for t, i in ours if 500 <= t < 900}
    assert set(outcome.need) == {i for t, i in theirs if 500 <= t < 900}


def test_an_empty_window() -> None:
    items = Items(sample(Random(7), 100))
    asker = Reconciler(items, since=500, until=400)
    query, have, need = asker.continue_(Reconciler(Items()).answer(asker.initiate()))
    assert (query, have, need) == (None, [], [])


def test_what_was_not_asked_about_is_ignored() -> None:
    items = Items(sample(Random(8), 100))
    asker = Reconciler(items, since=500, until=600)
    asker.initiate()
    lie = message(
        ("8374", 2, b"\x01" + b"x" * 32), ("00", 1, b"?" * 16)
    )  # up to 499, and then all the rest
    query, have, need = asker.continue_(lie)
    assert (have, need) == ([], [])
    assert query is not None
    assert all(part.bound <= (600).to_bytes(8, "big") + bytes(32) for part in parse(query))


def test_a_set_may_change_meanwhile() -> None:
    rng = Random(9)
    common = sample(rng, 20_000)
    ours, theirs = Items(common), Items(common)
    missing = sample(rng, 20)
    for item in missing:
        theirs.add(*item)
    asker, asked = Reconciler(ours, FRAME_MIN), Reconciler(theirs, FRAME_MIN)
    found: list[bytes] = []
    query: bytes | None = asker.initiate()
    while query is not None:
        query, _, need = asker.continue_(asked.answer(query))
        found += need
        ours.drop_before(rng.randrange(30))
        for item in sample(rng, 5):
            theirs.add(*item)
    assert asker.complete
    assert {id for time, id in missing if time >= 30} <= set(found)


# What it says


def message(*ranges: tuple[str, int, bytes]) -> bytes:
    """Bounds without an id: the encoded time in hexadecimal, the mode, the payload."""
    return b"\x61" + b"".join(
        bytes.fromhex(time) + bytes([0, mode]) + payload for time, mode, payload in ranges
    )


def test_the_first_query_byte_by_byte() -> None:
    assert Reconciler(Items()).initiate().hex() == "61" + "0000" + "02" + "00"
    one = Reconciler(Items([(5, b"\x07" * 32)])).initiate()
    assert one.hex() == "61" + "0000" + "02" + "01" + "07" * 32
    window = Reconciler(Items([(5, b"\x07" * 32)]), since=5, until=300).initiate()
    assert window.hex() == "61" + "06" + "00" + "00" + "8228" + "00" + "02" + "01" + "07" * 32


def test_bounds_are_as_short_as_they_can_be() -> None:
    ids = [bytes([n // 8, n % 8]) + b"\xee" * 30 for n in range(32)]
    query = Reconciler(Items([(9, id) for id in ids[:16]] + [(1000, id) for id in ids[16:]]))
    raw = query.initiate()
    ranges = parse(raw)
    assert len(ranges) == 16
    assert [part.bound[8:].rstrip(b"\0").hex() for part in ranges[:8]] == [
        "0002", "0004", "0006", "01", "0102", "0104", "0106", "",
    ]  # fmt: skip
    assert ranges[7].bound[:8] == (1000).to_bytes(8, "big")
    assert ranges[-1].bound == INFINITY
    total = sum(int.from_bytes(id, "little") for id in ids[:2]) % 2**256
    expected = hashlib.sha256(total.to_bytes(32, "little") + b"\x02").digest()[:16]
    assert ranges[0].fingerprint == expected
    assert raw[:5].hex() == "61" + "0a" + "02" + "0002"


def test_another_version_is_told_ours() -> None:
    asked = Reconciler(Items())
    assert asked.answer(b"\x62whatever") == b"\x61"
    with pytest.raises(ProtocolError):
        Reconciler(Items()).continue_(b"\x62")


def test_every_changed_byte_is_harmless() -> None:
    rng = Random(11)
    common = sample(rng, 90)
    ours, theirs = Items(common + sample(rng, 2)), Items(common + sample(rng, 2))
    query = Reconciler(ours).initiate()
    answer = Reconciler(theirs).answer(query)
    for original in (query, answer):
        for at in range(len(original)):
            for change in (1 << rng.randrange(8), 0xFF):
                raw = bytearray(original)
                raw[at] ^= change
                for read in (Reconciler(theirs).answer, Reconciler(ours).continue_):
                    try:
                        read(bytes(raw))
                    except ProtocolError:
                        continue


# Liars


def test_a_liar_cannot_make_it_go_on_for_ever() -> None:
    asker = Reconciler(Items(sample(Random(12), 1000)), rounds_max=7)
    query: bytes | None = asker.initiate()
    rounds = 0
    while query is not None:
        rounds += 1
        query, have, need = asker.continue_(message(("00", 1, bytes(16))))
        assert have == need == []
    assert rounds == 7
    assert not asker.complete


def test_ids_named_twice_count_once() -> None:
    asker = Reconciler(Items())
    asker.initiate()
    lie = message(("00", 2, b"\x03" + b"x" * 32 + b"y" * 32 + b"x" * 32))
    assert asker.continue_(lie) == (None, [], [b"x" * 32, b"y" * 32])


def test_the_dearest_messages_are_answered_within_the_frame() -> None:
    rng = Random(13)
    items = Items(sample(rng, 20_000, 10**6))
    writer = Writer(MESSAGE_MAX)
    rank = 0
    while writer.room > 60 and rank + 7 < len(items):
        rank += 7
        writer.fingerprint(items.key(rank), b"?" * 16)
    for frame_max in (FRAME_MIN, MESSAGE_MAX):
        answer = Reconciler(items, frame_max).answer(writer.message())
        assert len(answer) <= frame_max
        assert len(answer) > frame_max - 3000
    same = Writer(MESSAGE_MAX)
    while same.room > 60:
        same.fingerprint(items.key(10_000), b"?" * 16)
    assert len(Reconciler(items).answer(same.message())) <= 60_000


def test_frames_are_of_some_length() -> None:
    for frame_max in (FRAME_MIN - 1, MESSAGE_MAX + 1):
        with pytest.raises(UsageError, match="frame_max"):
            Reconciler(Items(), frame_max)
