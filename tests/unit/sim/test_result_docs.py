"""The schema of a result is documented: every field stands in the how-to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from whispurrnet.sim.adversary import KINDS
from whispurrnet.sim.report import Figures, Percentiles, Result, Spreading
from whispurrnet.sim.scenario import from_tree

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "simulate.md").read_text()
NAMED = set(re.findall(r"`([a-z0-9_]+)`", PAGE))


@pytest.mark.parametrize("kind", [Result, Figures, Spreading, Percentiles])
def test_every_field_of_a_result_is_documented(kind: type) -> None:
    assert set(kind.__struct_fields__) <= NAMED  # type: ignore[attr-defined]


def test_every_kind_of_adversary_is_documented() -> None:
    assert set(KINDS) <= NAMED


def test_the_shown_scenario_is_one() -> None:
    import tomllib

    (text,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert from_tree(tomllib.loads(text)).node["gossip"]["spread"] == {"fanout": 4}
