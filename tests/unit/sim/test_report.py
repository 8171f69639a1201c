from __future__ import annotations

import pytest

from whispurrnet.sim.report import Percentiles, cdf, percentile, percentiles, spreading


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.0, 0.5, 0.9, 0.99, 1.0)] == [
        1,
        50,
        90,
        99,
        100,
    ]
    assert percentiles([3.0, 1.0, 2.0]) == Percentiles(2.0, 3.0, 3.0, 3.0)
    assert percentiles([]) == Percentiles()


def test_the_latencies_of_each_hundredth() -> None:
    points = cdf([0.2, 0.1])
    assert len(points) == 101
    assert points[0] == points[50] == 0.1
    assert points[51] == points[100] == 0.2
    assert cdf([]) == ()


def test_one_body_each_is_no_redundancy() -> None:
    """Ten nodes, two messages, nine others each: RMR of Leitão, Pereira and Rodrigues is 0."""
    cost = spreading(messages=2, reached=20, payloads=18, stem=0, control=40)
    assert cost.rmr == 0.0
    assert cost.payloads_per_node == pytest.approx(0.9)
    assert cost.control_per_node == 2.0
    assert spreading(messages=2, reached=20, payloads=54, stem=0, control=0).rmr == 2.0
    assert spreading(messages=0, reached=0, payloads=0, stem=0, control=0).rmr == 0.0
