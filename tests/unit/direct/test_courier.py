"""The courier as its driver sees it: events, effects, the source of frames, bounds."""

from __future__ import annotations

from math import inf, nan
from random import Random

import msgspec
import pytest

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.direct.courier import (
    ARRIVED_BYTES_MAX,
    Abandon,
    Abandoned,
    Answer,
    Answered,
    Arrived,
    Ask,
    Asked,
    Config,
    Courier,
    Delivered,
    Down,
    Effect,
    Forget,
    MarkRead,
    Merge,
    Post,
    Progress,
    Tick,
    Up,
)


class Pair:
    """Two couriers, who know each other as peer 1, and a session that loses nothing."""

    def __init__(self, config: Config | None = None) -> None:
        self.a = Courier(config, entropy=Random(1).randbytes)
        self.b = Courier(config, entropy=Random(2).randbytes)
        self.now = 0.0

    def up(self) -> None:
        self.a.handle(Up(1), self.now)
        self.b.handle(Up(1), self.now)

    def down(self) -> list[Effect]:
        return self.a.handle(Down(1), self.now) + self.b.handle(Down(1), self.now)

    def flow(self) -> list[Effect]:
        """Let everything arrive; what came of it, the ends of both sides together."""
        effects: list[Effect] = []
        moved = True
        while moved:
            moved = False
            for one, other in ((self.a, self.b), (self.b, self.a)):
                while (body := one.pull(1, 60_000, self.now)) is not None:
                    moved = True
                    effects += one.drain()
                    effects += other.handle(Arrived(1, body), self.now)
                one.check_invariants()
        return effects

    def post(self, id: int, **more: object) -> list[Effect]:
        return self.a.handle(Post(1, id, 1, b"%d" % id, **more), self.now)  # type: ignore[arg-type]


def bodies(effects: list[Effect]) -> list[bytes]:
    return [w.body for e in effects if isinstance(e, Delivered) for w in e.whispers]


def states(effects: list[Effect]) -> list[tuple[int, str]]:
    return [(e.id, e.state) for e in effects if isinstance(e, Progress)]


def test_a_whisper_from_queue_to_reading():
    pair = Pair()
    assert pair.post(7) == []
    assert pair.a.queued(1) == pair.a.queued_bytes(1) == 1
    assert pair.a.priority(1) is None
    pair.up()
    assert pair.a.priority(1) == 5
    effects = pair.flow()
    assert bodies(effects) == [b"7"]
    assert states(effects) == [(7, "sent"), (7, "received")]
    (whisper,) = next(e for e in effects if isinstance(e, Delivered)).whispers
    assert pair.b.handle(MarkRead(1, whisper.lane, whisper.seq), 0.0) == []
    assert states(pair.flow()) == [(7, "read")]
    assert pair.a.queued(1) == 0


def test_sessions_come_and_go():
    pair = Pair()
    pair.up()
    pair.post(1)
    assert pair.a.pull(1, 9000, 0.0) is not None, "and is lost"
    pair.down()
    pair.post(2)
    pair.up()
    assert bodies(pair.flow()) == [b"1", b"2"]


def test_a_lost_acknowledgement_makes_no_duplicate():
    pair = Pair()
    pair.up()
    pair.post(1)
    body = pair.a.pull(1, 9000, 0.0)
    assert body is not None
    assert bodies(pair.b.handle(Arrived(1, body), 0.0)) == [b"1"]
    pair.down()
    pair.up()
    effects = pair.flow()
    assert bodies(effects) == []
    assert states(effects) == [(1, "sent"), (1, "received")]


def test_a_session_may_take_the_place_of_another():
    pair = Pair()
    pair.up()
    pair.post(1)
    pair.a.pull(1, 9000, 0.0)
    pair.up()
    assert bodies(pair.flow()) == [b"1"]


@pytest.mark.parametrize("side", ["a", "b"])
def test_either_side_may_restart(side):
    pair = Pair()
    pair.up()
    for n in range(3):
        pair.post(n)
    assert bodies(pair.flow()) == [b"0", b"1", b"2"]
    pair.down()
    setattr(pair, side, Courier(entropy=Random(3).randbytes))
    pair.post(3)
    pair.up()
    assert bodies(pair.flow()) == [b"3"]


def test_what_expires_while_away_is_told_and_never_sent():
    pair = Pair()
    pair.post(1, ttl_s=5.0)
    pair.post(2)
    assert pair.a.deadline == 5.0
    pair.now = 5.0
    assert states(pair.a.handle(Tick(), 5.0)) == [(1, "expired")]
    pair.up()
    assert bodies(pair.flow()) == [b"2"]


def test_what_expires_unnoticed_is_not_sent_either():
    pair = Pair()
    pair.up()
    pair.post(1, ttl_s=5.0)
    assert pair.a.priority(1) == 5
    assert pair.a.pull(1, 9000, 6.0) is None
    assert pair.a.deadline == 6.0, "there is news"
    assert states(pair.a.handle(Tick(), 6.0)) == [(1, "expired")]
    assert pair.a.drain() == []


def test_news_of_pulling_waits_to_be_drained():
    pair = Pair()
    pair.up()
    pair.post(1)
    pair.a.pull(1, 9000, 0.0)
    assert pair.a.handle(Up(2), 0.0) == []
    assert states(pair.a.drain()) == [(1, "sent")]
    assert pair.a.drain() == []


def test_the_default_ttl():
    pair = Pair(Config(ttl_s=7.0))
    pair.post(1)
    assert pair.a.deadline == 7.0
    pair.post(2, ttl_s=inf)
    assert states(pair.a.handle(Tick(), 7.0)) == [(1, "expired")]
    assert pair.a.deadline is None
    pair.up()
    pair.a.pull(1, 9000, 8.0)
    assert pair.a.deadline == 8.0


def test_unacknowledged_whispers():
    pair = Pair()
    assert not pair.a.post_unacknowledged(1, 1, b"nobody there")
    assert states(pair.post(1, acknowledged=False)) == [(1, "failed")]
    pair.up()
    assert pair.a.post_unacknowledged(1, 3, b"x", 10)
    assert pair.post(2, acknowledged=False) == []
    assert pair.a.queued(1) == 2
    effects = pair.flow()
    assert bodies(effects) == [b"x", b"2"]
    assert states(effects) == []
    assert pair.a.queued(1) == 0
    pair.post(3, acknowledged=False)
    pair.down()
    pair.up()
    assert bodies(pair.flow()) == []


def test_a_request_and_its_answer():
    pair = Pair()
    pair.up()
    assert pair.a.handle(Ask(1, 70, "name", b"q", 8, 3.0), 0.0) == []
    (asked,) = pair.flow()
    assert asked == Asked(1, 1, "name", b"q", 8, 3.0)
    pair.b.handle(Answer(1, 1, b"a"), 0.0)
    assert pair.flow() == [Answered(1, 70, b"a", "")]


def test_a_request_that_is_abandoned():
    pair = Pair()
    pair.up()
    pair.a.handle(Ask(1, 70, "name", b"q"), 0.0)
    pair.flow()
    pair.a.handle(Abandon(1, 70), 0.0)
    assert pair.flow() == [Abandoned(1, 1)]
    pair.b.handle(Answer(1, 1, b"too late"), 0.0)
    assert pair.flow() == []


def test_a_request_that_nobody_answers():
    pair = Pair()
    pair.up()
    pair.a.handle(Ask(1, 70, "name", b"q", 5, 3.0), 0.0)
    pair.flow()
    assert pair.a.deadline == pair.b.deadline == 3.0
    (answered,) = pair.a.handle(Tick(), 3.0)
    assert isinstance(answered, Answered)
    assert "in time" in answered.error
    assert pair.b.handle(Tick(), 3.0) == [Abandoned(1, 1)]
    assert pair.a.deadline is pair.b.deadline is None


def test_requests_end_with_their_session():
    pair = Pair()
    (refused,) = pair.a.handle(Ask(1, 69, "name", b"q"), 0.0)
    assert refused == Answered(1, 69, b"", "the peer is not connected")
    pair.up()
    pair.a.handle(Ask(1, 70, "name", b"q"), 0.0)
    pair.flow()
    assert pair.down() == [Answered(1, 70, b"", "connection lost"), Abandoned(1, 1)]


def test_big_ones_travel_alone():
    pair = Pair()
    pair.up()
    for id, size in enumerate((10, 200_000, 10)):
        pair.a.handle(Post(1, id, 1, bytes(size)), 0.0)
    sizes = []
    while (body := pair.a.pull(1, 9000, 0.0)) is not None:
        sizes.append(len(body))
    assert len(sizes) == 3
    assert 200_000 < sizes[1] < 200_050


def test_frames_keep_to_their_room():
    pair = Pair()
    pair.up()
    for n in range(200):
        pair.a.post_unacknowledged(1, 1, bytes(n), 5)
    for room in (3000, 300, 65_000):
        body = pair.a.pull(1, room, 0.0)
        assert body is not None
        assert len(body) <= min(room, 32 * 1024)


def test_what_cannot_be_posted():
    pair = Pair()
    pair.up()
    for bad in (
        Post(1, 1, -1, b""),
        Post(1, 1, 2**16, b""),
        Post(1, 1, 1, b"", 11),
        Post(1, 1, 1, b"", -1),
        Post(1, 1, 1, b"", 5, 0.0),
        Post(1, 1, 1, b"", 5, nan),
    ):
        with pytest.raises(UsageError):
            pair.a.handle(bad, 0.0)
    with pytest.raises(UsageError):
        pair.a.post_unacknowledged(1, 2**16, b"")
    with pytest.raises(UsageError):
        pair.a.post_unacknowledged(1, 1, b"", 11)
    assert pair.a.queued(1) == 0


def test_queues_are_bounded():
    pair = Pair(Config(queue_max=2, queue_bytes_max=50, body_max=40))
    pair.up()
    with pytest.raises(UsageError, match="open a stream"):
        pair.a.handle(Post(1, 1, 1, bytes(41)), 0.0)
    pair.a.handle(Post(1, 1, 1, bytes(40)), 0.0)
    for full in (Post(1, 2, 1, bytes(11)), Ask(1, 2, "x", bytes(11))):
        with pytest.raises(LimitError, match="queue_max"):
            pair.a.handle(full, 0.0)
    with pytest.raises(LimitError):
        pair.a.post_unacknowledged(1, 1, bytes(11))
    pair.a.handle(Post(1, 2, 1, b""), 0.0)
    with pytest.raises(LimitError):
        pair.a.post_unacknowledged(1, 1, b"")
    assert pair.a.queued(1) == 2
    pair.flow()
    assert pair.a.post_unacknowledged(1, 1, bytes(11))


def test_an_error_is_answered_even_when_the_queue_is_full():
    pair = Pair(Config(queue_max=1))
    pair.up()
    pair.a.handle(Ask(1, 70, "name", b"q"), 0.0)
    pair.flow()
    pair.b.handle(Post(1, 1, 1, b"x"), 0.0)
    with pytest.raises(LimitError):
        pair.b.handle(Answer(1, 1, b"a"), 0.0)
    pair.b.handle(Answer(1, 1, b"", "busy"), 0.0)
    assert Answered(1, 70, b"", "busy") in pair.flow()


def test_idle_records_make_room():
    courier = Courier(Config(peers_max=2), entropy=Random(1).randbytes)
    courier.handle(Up(1), 0.0)
    courier.handle(Up(2), 0.0)
    with pytest.raises(LimitError, match="peers_max"):
        courier.handle(Up(3), 0.0)
    courier.handle(Down(2), 0.0)
    courier.handle(Down(1), 0.0)
    courier.handle(Post(1, 1, 1, b"waits"), 0.0)
    courier.handle(Up(3), 0.0)
    assert courier.queued(1) == 1, "who waits for a message is not forgotten"
    with pytest.raises(LimitError):
        courier.handle(Up(4), 0.0)


def test_forgetting_fails_what_waits():
    pair = Pair()
    pair.post(1)
    pair.up()
    pair.a.handle(Ask(1, 70, "name", b"q"), 0.0)
    assert pair.a.handle(Forget(1), 0.0) == [
        Answered(1, 70, b"", "connection lost"),
        Progress(1, 1, "failed"),
    ]
    assert pair.a.queued(1) == 0
    assert pair.a.handle(Tick(), 1e9) == []
    assert pair.a.deadline is None


def test_events_about_strangers_change_nothing():
    courier = Courier(entropy=Random(1).randbytes)
    for event in (
        Arrived(1, b"anything"),
        Answer(1, 1, b""),
        MarkRead(1, 5, 1),
        Abandon(1, 1),
        Down(1),
        Forget(1),
        Merge(1, 2),
        Tick(),
    ):
        assert courier.handle(event, 0.0) == []
    assert courier.priority(1) is courier.pull(1, 9000, 0.0) is courier.deadline is None


def test_frames_without_a_session_are_dropped():
    pair = Pair()
    pair.up()
    pair.post(1)
    body = pair.a.pull(1, 9000, 0.0)
    assert body is not None
    pair.down()
    assert pair.b.handle(Arrived(1, body), 0.0) == []


def test_merge():
    pair = Pair()
    pair.post(1)
    pair.a.handle(Up(2), 0.0)
    pair.a.handle(Post(2, 2, 1, b"2"), 0.0)
    pair.b.handle(Up(1), 0.0)
    body = pair.a.pull(2, 9000, 0.0)
    assert body is not None
    assert bodies(pair.b.handle(Arrived(1, body), 0.0)) == [b"2"]
    assert pair.a.handle(Merge(2, 1), 0.0) == []
    assert pair.a.queued(2) == 0
    effects = pair.flow()
    assert bodies(effects) == [b"1"]
    assert (2, "received") in states(effects)
    assert all(effect.peer == 1 for effect in effects)


def test_merge_into_a_new_record():
    pair = Pair()
    pair.post(1)
    pair.a.handle(Merge(1, 9), 0.0)
    pair.a.handle(Merge(9, 9), 0.0)
    assert pair.a.queued(9) == 1


def test_hostile_frames():
    pair = Pair()
    pair.up()
    too_long = bytes(ARRIVED_BYTES_MAX + 1)
    for body in (b"", b"\xc1", b"\x91\x95\x01", msgspec.msgpack.encode([[1]]), too_long):
        with pytest.raises(ProtocolError):
            pair.b.handle(Arrived(1, body), 0.0)
    assert pair.b.handle(Arrived(1, msgspec.msgpack.encode([[200, "new"]])), 0.0) == []
    assert pair.b.unknown == 1


def test_silence_is_asked_about():
    pair = Pair()
    pair.up()
    pair.post(1)
    pair.a.pull(1, 9000, 0.0)
    pair.a.drain()
    assert pair.a.deadline == 15.0
    pair.now = 15.0
    assert pair.a.handle(Tick(), 15.0) == []
    effects = pair.flow()
    assert bodies(effects) == [b"1"]
    assert states(effects) == [(1, "received")]
