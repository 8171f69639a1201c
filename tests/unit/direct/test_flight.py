"""The numbers of a stream: given out once, landed in order, buried when they expire."""

from __future__ import annotations

from math import inf
from random import Random

from whispurrnet.direct.flight import Load, Parcel, Stream
from whispurrnet.direct.messages import TTL_MS_MAX


def stream_of(count: int, unread_max: int = 10) -> Stream:
    stream = Stream(Random(1).randbytes, unread_max)
    for n in range(count):
        stream.flight[stream.next_seq] = Parcel(n, 1, bytes(10), 5.0, True)
        stream.next_seq += 1
        stream.bytes += 10
    stream.check_invariants()
    return stream


def test_a_load_counts():
    load = Load()
    load.add(3)
    load.add(4)
    load.drop(3)
    assert (load.count, load.bytes) == (1, 4)


def test_streams_start_anywhere():
    one, other = Stream(Random(1).randbytes, 1), Stream(Random(2).randbytes, 1)
    assert one.id != other.id
    assert one.next_seq != other.next_seq
    assert 1 <= one.next_seq <= 2**31


def test_a_whisper_says_how_long_it_is_still_of_use():
    assert Parcel(1, 2, b"x", 10.0, True).whisper(5, 7, 8.5).ttl_ms == 1500
    assert Parcel(1, 2, b"x", 10.0, True).whisper(5, 7, 9.9999).ttl_ms == 1
    assert Parcel(1, 2, b"x", 1e12, True).whisper(5, 7, 0.0).ttl_ms == TTL_MS_MAX
    assert Parcel(1, 2, b"x", inf, True).whisper(5, 7, 0.0).ttl_ms == 0


def test_landing_lets_go_in_order():
    stream = stream_of(4)
    base = stream.base
    assert [parcel.id for parcel in stream.land(base + 1)] == [0, 1]
    assert [parcel.id for parcel in stream.land(base)] == []
    assert (stream.base, stream.bytes) == (base + 2, 20)
    assert list(stream.unread) == [(base, 0), (base + 1, 1)]
    stream.check_invariants()


def test_holes():
    stream = stream_of(4)
    base = stream.base
    for seq in (base, base + 1, base + 3):
        assert stream.bury(seq) is not None
    assert stream.bury(base) is None
    assert stream.hole_end(base) == base + 1
    assert stream.hole_end(base + 3) == base + 3
    stream.trim()
    assert (stream.base, stream.bytes) == (base + 2, 10)
    stream.check_invariants()
    assert [parcel.id for parcel in stream.land(base + 3)] == [2]


def test_what_is_unread_is_bounded():
    stream = stream_of(4, unread_max=2)
    list(stream.land(stream.next_seq - 1))
    assert [id for _, id in stream.unread] == [2, 3]
