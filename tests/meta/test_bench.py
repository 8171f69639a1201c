"""The benchmark: every figure of our side runs, and says in JSON what it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.figures import ASKED, FIGURES, PARTS

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"figure", "impl", "value", "unit", "runs", "values", "count"}
MAY_BE_NOTHING = {"idle", "rss", "object_whisper"}
"""Differences: at a thousandth of the size, noise may be larger."""


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The benchmark, at a thousandth of its size."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        check=False,
        cwd=ROOT,
        env=os.environ | {"BENCH_SCALE": "0.001"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("asked", ASKED)
def test_a_figure_is_measured(asked: str) -> None:
    done = bench("--json", "--runs", "1", asked)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["figure"] for line in lines] == list(PARTS[asked])
    for line in lines:
        assert KEYS <= set(line) <= KEYS | {"note"}
        assert line["impl"] == "whispurrnet"
        assert line["unit"] == FIGURES[line["figure"]].unit
        assert (line["runs"], line["values"]) == (1, [line["value"]])
        assert line["count"] > 0
        assert isinstance(line["value"], float)
        assert line["value"] > 0 or asked in MAY_BE_NOTHING


def test_the_table_names_the_bound_and_the_aim() -> None:
    done = bench("--runs", "1", "oneway")
    assert done.returncode == 0, done.stderr
    assert "oneway" in done.stdout
    assert ">= 250,000 (aim 650,000)" in done.stdout


def test_an_unknown_figure_is_refused_by_name() -> None:
    done = bench("--json", "speed")
    assert done.returncode == 2
    assert "no figure is called speed; take one of handshake" in done.stderr
