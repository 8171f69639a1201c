"""Counters that cannot hold a peer's name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from whispurrnet.base.meter import COUNTERS, Meter

SOURCES = Path(__file__).parents[3] / "src" / "whispurrnet"


def test_everything_is_zero_at_first() -> None:
    assert Meter().snapshot() == dict.fromkeys(COUNTERS, 0)


def test_counting() -> None:
    meter = Meter()
    meter.count("rekeys", 100)
    meter.count("rekeys")
    assert meter.get("rekeys") == 101
    assert meter.snapshot()["rekeys"] == 101


def test_a_snapshot_is_a_copy() -> None:
    meter = Meter()
    meter.snapshot()["rekeys"] = 7
    assert meter.get("rekeys") == 0


@pytest.mark.parametrize("name", ["", "rekeys_with_quiet_heron", "rekeys{peer=1}"])
def test_no_other_name_can_be_made(name: str) -> None:
    meter = Meter()
    with pytest.raises(KeyError):
        meter.count(name)
    assert set(meter.snapshot()) == set(COUNTERS)


def test_what_is_counted_is_in_the_table_and_the_other_way_round() -> None:
    text = "".join(path.read_text() for path in sorted((SOURCES / "stack").glob("*.py")))
    assert set(re.findall(r"\.count\(\"(\w+)\"", text)) == set(COUNTERS)
