from __future__ import annotations

from random import Random
from statistics import median

import pytest

from whispurrnet.sim.wire import Cuts, Pipe, Wire, datagram_s, link_s, packet_s


def test_a_uniform_packet_stays_within_its_bounds() -> None:
    wire, rng = Wire(latency_min_s=0.02, latency_max_s=0.03), Random(1)
    taken = [packet_s(wire, rng, link_s(wire, rng)) for _ in range(1000)]
    assert 0.02 <= min(taken) < 0.021
    assert 0.029 < max(taken) <= 0.03


def test_log_normal_links_have_the_median_that_is_asked_for_and_keep_their_own() -> None:
    wire, rng = Wire(latency="lognormal", latency_median_s=0.05, latency_sigma=0.4), Random(2)
    links = sorted(link_s(wire, rng) for _ in range(4000))
    assert median(links) == pytest.approx(0.05, rel=0.05)
    assert links[3600] == pytest.approx(0.05 * 2.718 ** (0.4 * 1.2816), rel=0.06)
    taken = [packet_s(wire, rng, 0.07) for _ in range(100)]
    assert min(taken) >= 0.07
    assert max(taken) <= 0.07 + wire.jitter_s


def test_a_lost_packet_of_a_stream_comes_later() -> None:
    wire, rng = Wire(latency_min_s=0.01, latency_max_s=0.01, loss=0.2, retransmit_s=1.0), Random(3)
    taken = [packet_s(wire, rng, 0.0) for _ in range(2000)]
    late = sum(seconds > 0.5 for seconds in taken)
    assert late / 2000 == pytest.approx(0.2, abs=0.03)
    assert max(taken) > 2.0


def test_a_stream_keeps_its_order_and_its_bandwidth() -> None:
    wire, rng = Wire(bandwidth_bytes_per_s=1000.0, buffer_bytes=2000), Random(4)
    pipe = Pipe("bob", 7, 0.0)
    arrivals = [pipe.send(500, wire, rng, 0.0) for _ in range(20)]
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] == pytest.approx(10.0, abs=0.2)
    assert pipe.resumes_at(wire, 0.0) == pytest.approx(9.0)
    assert pipe.resumes_at(wire, 8.5) is None
    assert pipe.resumes_at(Wire(), 0.0) is None


def test_datagrams_are_lost_doubled_and_overtaken() -> None:
    rng = Random(5)
    wire = Wire(loss=0.3, duplication=0.5, reordering=0.5, reordering_s=2.0)
    sent = [datagram_s(wire, rng) for _ in range(2000)]
    assert sum(not copies for copies in sent) / 2000 == pytest.approx(0.3, abs=0.03)
    assert sum(len(copies) == 2 for copies in sent) / 2000 == pytest.approx(0.35, abs=0.03)
    assert max(max(copies, default=0.0) for copies in sent) > 1.5
    assert all(len(datagram_s(Wire(), rng)) == 1 for _ in range(100))


def test_a_cut_separates_both_ways_or_one() -> None:
    cuts = Cuts()
    assert not cuts("a", "b")
    both = cuts.cut(["a", "x"])
    assert cuts("a", "b")
    assert cuts("b", "a")
    assert not cuts("a", "x")
    assert not cuts("b", "c")
    cuts.mend(both)
    one = cuts.cut(["a"], one_way=True)
    assert cuts("a", "b")
    assert not cuts("b", "a")
    cuts.mend(one)
    assert not cuts("a", "b")
