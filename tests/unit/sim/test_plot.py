from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from whispurrnet.sim.plot import svg
from whispurrnet.sim.run import simulate
from whispurrnet.sim.scenario import from_tree

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawn() -> ET.Element:
    tree = {"name": "<a & b>", "nodes": 4, "work": [{"count": 20}, {"count": 5, "from_s": 3.0}]}
    return ET.fromstring(svg(simulate(from_tree(tree))))


def test_a_plot_has_a_line_for_each_workload_in_both_panels(drawn: ET.Element) -> None:
    lines = drawn.findall(f"{SVG}polyline")
    assert len(lines) == 4
    for line in lines:
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 860
            assert 0 <= y <= 660


def test_a_plot_says_what_it_shows(drawn: ET.Element) -> None:
    texts = [text.text or "" for text in drawn.findall(f"{SVG}text")]
    assert texts[0] == "<a & b>: 4 nodes, seed 1"
    assert {"latency in seconds", "sent at, in seconds", "100 %"} <= set(texts)
    assert any(text.startswith("whisper, p99 ") for text in texts)


def test_nothing_sent_can_be_drawn() -> None:
    ET.fromstring(svg(simulate(from_tree({"nodes": 2, "duration_s": 3.0}))))
