"""The receiving half of a lane: each number once, in order."""

from __future__ import annotations

from whispurrnet.direct.messages import Ack, Resume, Skip, Whisper
from whispurrnet.direct.receiver import PAST_MAX, ReceiverLane

A, B = b"A" * 8, b"B" * 8


def whisper(seq: int) -> Whisper:
    return Whisper(1, seq, 0, 5, b"x")


def lane_at(first: int, stream: bytes = A) -> ReceiverLane:
    lane = ReceiverLane()
    lane.advance(Resume(5, stream, first))
    return lane


def test_nothing_before_a_resume():
    lane = ReceiverLane()
    assert not lane.take(whisper(1))
    lane.advance(Skip(5, 1, 9))
    assert lane == ReceiverLane()


def test_in_order_and_once():
    lane = lane_at(7)
    assert [lane.take(whisper(seq)) for seq in (6, 7, 7, 9, 8, 9)] == [
        False, True, False, False, True, True,
    ]  # fmt: skip
    assert lane.ack(5) == Ack(5, A, 9, 0)


def test_the_same_stream_never_goes_back():
    lane = lane_at(7)
    lane.take(whisper(7))
    lane.advance(Resume(5, A, 7))
    assert not lane.take(whisper(7))
    lane.advance(Resume(5, A, 20))
    assert lane.expected == 20


def test_another_stream_starts_anew_and_the_old_one_is_remembered():
    lane = lane_at(7)
    lane.take(whisper(7))
    lane.advance(Resume(5, B, 3))
    assert lane.take(whisper(3))
    lane.advance(Resume(5, A, 7))
    assert lane.expected == 8
    lane.advance(Resume(5, B, 3))
    assert lane.expected == 4


def test_few_streams_are_remembered():
    lane = lane_at(7)
    for n in range(50):
        lane.advance(Resume(5, n.to_bytes(8, "big"), 1))
    assert len(lane.past) == PAST_MAX


def test_skips_only_what_comes_next():
    lane = lane_at(7)
    lane.advance(Skip(5, 9, 12))
    assert lane.expected == 7
    lane.advance(Skip(5, 6, 8))
    assert lane.expected == 9
    lane.advance(Skip(5, 1, 2))
    assert lane.expected == 9


def test_marks_what_was_received_of_this_stream():
    lane = lane_at(100)
    assert not lane.mark_read(100)
    lane.take(whisper(100))
    lane.take(whisper(101))
    assert lane.mark_read(100)
    assert not lane.mark_read(100)
    assert not lane.mark_read(99)
    assert not lane.mark_read(102)
    assert lane.ack(5) == Ack(5, A, 101, 100)


def test_merged_takes_the_further_position():
    ours, theirs = lane_at(7), lane_at(9)
    ours.advance(Resume(5, B, 50))
    merged = ours.merged(theirs)
    assert (merged.stream, merged.expected, merged.live) == (B, 50, True)
    assert dict(merged.past)[A].expected == 9
    assert theirs.merged(ours).expected == 9
    assert theirs.merged(ReceiverLane()) == theirs
