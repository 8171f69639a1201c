"""The sending half of a lane: window, resumption, expiry, retries."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.direct.events import Config, Effect, Progress
from whispurrnet.direct.flight import Load, Parcel
from whispurrnet.direct.messages import Ack, Bundle, Resume, Skip, Whisper
from whispurrnet.direct.sender import BACKOFF_MAX, SenderLane

CONFIG = Config(window=3, window_bytes=100, retry_s=10.0)


class Lane:
    """A lane, and what its effects were."""

    def __init__(self, config: Config = CONFIG, seed: int = 1) -> None:
        self.load = Load()
        self.lane = SenderLane(5, 1, config, self.load, Random(seed).randbytes)
        self.first = self.lane.stream.next_seq
        self.news: list[Effect] = []

    def post(self, id: int, expires_at: float = 1000.0, *, size: int = 1, ack: bool = True) -> None:
        self.lane.post(Parcel(id, 1, bytes(size), expires_at, ack))

    def fill(self, now: float = 0.0, room: int = 9000) -> list[object]:
        """What is sent: numbers from 1 on for whispers, and other messages as they are."""
        bundle = Bundle(room)
        self.lane.fill(bundle, now, self.news)
        self.lane.check_invariants()
        return [
            (m.seq and m.seq - self.first + 1) if isinstance(m, Whisper) else m
            for m in bundle.messages
        ]

    def ack(self, received: int, read: int = 0, now: float = 0.0) -> None:
        offset = self.first - 1
        ack = Ack(5, self.lane.stream.id, offset + received, offset + read if read else 0)
        self.lane.check(ack)
        self.lane.acknowledge(ack, now, self.news)
        self.lane.check_invariants()

    def resume(self, first: int) -> Resume:
        return Resume(5, self.lane.stream.id, self.first - 1 + first)

    def skip(self, first: int, last: int) -> Skip:
        return Skip(5, self.first - 1 + first, self.first - 1 + last)

    def states(self) -> list[tuple[int, str]]:
        states = [(e.id, e.state) for e in self.news if isinstance(e, Progress)]
        self.news.clear()
        return states


def test_the_first_whisper_opens_the_lane():
    lane = Lane()
    lane.post(1)
    assert lane.lane.ready
    assert lane.fill() == [lane.resume(1), 1]
    assert lane.states() == [(1, "sent")]
    assert not lane.lane.ready
    lane.post(2)
    assert lane.fill() == [2]
    lane.ack(2, 1)
    assert lane.states() == [(2, "sent"), (1, "received"), (2, "received"), (1, "read")]
    assert lane.load.count == lane.load.bytes == 0


def test_the_window_holds_messages_and_bytes():
    lane = Lane()
    for n in range(5):
        lane.post(n)
    assert lane.fill() == [lane.resume(1), 1, 2, 3]
    assert not lane.lane.ready
    lane.ack(1)
    assert lane.fill() == [4]
    lane.ack(4)
    lane.post(6, size=100)
    assert lane.fill() == [5]
    lane.ack(5)
    assert lane.fill() == [6]
    lane.post(7, size=500)
    assert lane.fill() == []
    lane.ack(6)
    assert lane.fill() == [7], "one of any size fits an empty window"


def test_an_expired_one_in_the_queue_leaves_no_gap():
    lane = Lane()
    lane.post(1, 5.0)
    lane.post(2)
    assert lane.fill(now=5.0) == [lane.resume(1), 1]
    assert lane.states() == [(1, "expired"), (2, "sent")]


def test_a_new_session_asks_first_and_sends_the_rest():
    lane = Lane()
    for n in range(4):
        lane.post(n)
    lane.fill()
    lane.lane.down(1.0)
    assert not lane.lane.announced
    assert lane.fill(2.0) == [lane.resume(1)]
    assert not lane.lane.ready
    lane.post(9)
    assert lane.fill(2.0) == []
    lane.ack(2, now=3.0)
    assert lane.fill(3.0) == [3, 4, 5]


def test_holes_of_what_expired_in_flight():
    lane = Lane(Config(window=9))
    for n, expires_at in enumerate((5.0, 1000.0, 5.0, 5.0, 1000.0)):
        lane.post(n, expires_at)
    lane.fill()
    lane.states()
    lane.lane.down(1.0)
    lane.lane.tick(6.0, up=False, effects=lane.news)
    assert lane.states() == [(0, "expired"), (2, "expired"), (3, "expired")]
    assert lane.load.count == 2
    assert lane.fill(7.0) == [lane.resume(2)]
    lane.ack(1, now=7.0)
    assert lane.fill(7.0) == [2, lane.skip(3, 4), 5]
    lane.ack(5, now=7.0)
    assert lane.states() == [(1, "received"), (4, "received")]


def test_what_expires_after_the_question_is_not_sent():
    lane = Lane()
    lane.post(1, 5.0)
    lane.post(2)
    lane.fill()
    lane.lane.down(1.0)
    lane.fill(2.0)
    lane.ack(0, now=6.0)
    assert lane.fill(6.0) == [lane.skip(1, 1), 2]
    assert lane.states()[-1] == (1, "expired")


def test_a_flight_that_expired_altogether_is_not_asked_about():
    lane = Lane()
    lane.post(1, 5.0)
    lane.fill()
    lane.lane.down(1.0)
    assert lane.lane.ready
    assert lane.fill(6.0) == []
    assert not lane.lane.ready
    lane.post(2)
    assert lane.fill(6.0) == [lane.resume(2), 2]


def test_silence_is_asked_about_with_growing_patience():
    lane = Lane()
    lane.post(1)
    lane.post(2)
    lane.fill(0.0)
    assert lane.lane.retry_at == 10.0
    waits = []
    now = 10.0
    for _ in range(6):
        lane.lane.tick(now, up=True, effects=lane.news)
        assert lane.fill(now) == [lane.resume(1)]
        waits.append(lane.lane.retry_at - now)
        now = lane.lane.retry_at
    assert waits == [20.0, 40.0, 80.0, 10.0 * BACKOFF_MAX, 80.0, 80.0]
    lane.ack(0, now=now)
    assert lane.fill(now) == [1, 2], "nothing of it had arrived"


def test_an_answer_that_brings_progress_stops_the_question():
    lane = Lane()
    lane.post(1)
    lane.post(2)
    lane.fill(0.0)
    lane.lane.tick(10.0, up=True, effects=lane.news)
    lane.ack(1, now=11.0)
    assert lane.fill(11.0) == [], "it arrives, only late"
    assert lane.lane.retry_at == 21.0
    lane.ack(2, now=12.0)
    lane.lane.tick(21.0, up=True, effects=lane.news)
    assert lane.lane.retry_at == inf


def test_a_question_asked_twice_is_still_that_of_a_new_session():
    lane = Lane()
    for n in range(3):
        lane.post(n)
    lane.fill(0.0)
    lane.lane.down(1.0)
    lane.fill(2.0)
    lane.lane.tick(12.0, up=True, effects=lane.news)
    assert lane.fill(12.0) == [lane.resume(1)]
    lane.ack(1, now=12.0)
    assert lane.fill(12.0) == [2, 3]


def test_what_expires_in_a_silent_session_is_told():
    lane = Lane()
    lane.post(1, 15.0)
    lane.fill(0.0)
    lane.states()
    lane.lane.tick(10.0, up=True, effects=lane.news)
    assert lane.states() == []
    assert lane.lane.due == 15.0
    lane.lane.tick(15.0, up=True, effects=lane.news)
    assert lane.states() == [(1, "expired")]


def test_looking_for_the_expired_is_paced():
    lane = Lane()
    for n in range(1000):
        lane.post(n, 1.0 + n / 1e6)
    lane.lane.tick(1.0, up=True, effects=lane.news)
    assert lane.states() == [(0, "expired")]
    assert lane.lane.expires_at == pytest.approx(1.001)


def test_what_was_never_sent_cannot_be_acknowledged():
    lane = Lane()
    lane.post(1)
    lane.fill()
    for received, read in ((2, 0), (1, 2)):
        with pytest.raises(ProtocolError, match="never sent"):
            lane.ack(received, read)
    assert lane.states() == [(1, "sent")]


def test_acknowledgements_of_another_stream_are_ignored():
    lane = Lane()
    lane.post(1)
    lane.fill()
    lane.lane.check(Ack(5, bytes(8), 2**60, 0))
    lane.lane.acknowledge(Ack(5, bytes(8), 2**60, 0), 0.0, lane.news)
    assert lane.states() == [(1, "sent")]


def test_down_drops_what_was_for_the_session_alone():
    lane = Lane()
    lane.post(1, ack=False)
    lane.lane.fresh.append(Whisper(1, 0, 0, 5, b"xy"))
    lane.load.add(2)
    lane.post(2)
    lane.lane.down(0.0)
    assert [item.id for item in lane.lane.fresh if isinstance(item, Parcel)] == [2]
    assert (lane.load.count, lane.load.bytes) == (1, 1)


def test_unacknowledged_ones_pass_without_a_number():
    lane = Lane()
    lane.post(1, 3.0, ack=False)
    lane.post(2, 1.0, ack=False)
    assert lane.fill(2.0) == [0]
    assert lane.states() == []
    assert lane.load.count == 0


def test_order_is_kept_between_both_sorts():
    lane = Lane(Config(window=1))
    lane.post(1)
    lane.post(2)
    lane.post(3, ack=False)
    assert lane.fill() == [lane.resume(1), 1]
    lane.ack(1)
    assert lane.fill() == [2, 0]


def test_room_is_kept_to():
    lane = Lane(Config(window=9))
    for n in range(3):
        lane.post(n, size=100)
    assert lane.fill(room=3 + 32 + 132 + 131) == [lane.resume(1), 1]
    assert lane.fill(room=10) == [2]


def test_an_adopted_flight_comes_after_ours():
    ours, theirs = Lane(seed=1), Lane(seed=2)
    for lane, ids in ((ours, (1, 2)), (theirs, (3, 4))):
        for id in ids:
            lane.post(id)
            if id in (1, 3):
                lane.fill()
    ours.lane.adopt(theirs.lane)
    ours.lane.check_invariants()
    assert ours.fill() == [ours.resume(1)]
    ours.states()
    ours.ack(0)
    assert ours.fill() == [1], "what is new waits for both flights"
    ours.states()
    beyond = Ack(5, theirs.lane.stream.id, theirs.first + 1, 0)
    with pytest.raises(ProtocolError):
        ours.lane.check(beyond)
    ours.ack(1)
    ours.first = theirs.first
    assert ours.fill() == [ours.resume(1)]
    ours.ack(0)
    assert ours.fill() == [1, 2, 3]
    assert [item for item in ours.states() if item[1] == "sent"] == [(2, "sent"), (4, "sent")]


def test_fail_tells_of_everything():
    lane = Lane()
    lane.post(1)
    lane.fill()
    lane.states()
    lane.post(2)
    lane.post(3, ack=False)
    lane.lane.fail(lane.news)
    assert lane.states() == [(1, "failed"), (2, "failed")]
