from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

SMALL = """
name = "small"
nodes = 5
duration_s = 15.0
[[work]]
count = 20
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "some plan.toml"
    path.write_text(SMALL)
    return path


def test_a_table_of_figures(run: Any, scenario: Path) -> None:
    ran = run("sim", str(scenario))
    assert ran.code == 0
    assert "small, seed 1: 5 nodes" in ran.out
    assert "p99" in ran.out
    assert "every check held" in ran.out
    assert not ran.err


def test_json_files_and_another_seed(run: Any, scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    ran = run("sim", str(scenario), "--seed", "7", "--out", str(out), "--output", "json")
    assert ran.code == 0
    written = json.loads((out / "result.json").read_text())
    assert ran.json == written
    assert written["seed"] == 7
    assert written["work"][0]["delivery"] == 1.0
    ET.parse(out / "plot.svg")
    again = run("sim", str(scenario), "--seed", "7", "--output", "json").json
    assert again["digest"] == written["digest"]
    assert run("sim", str(scenario), "--output", "json").json["digest"] != written["digest"]


def test_a_check_that_fails_is_replayed_by_its_seed(run: Any, scenario: Path) -> None:
    scenario.write_text(SMALL + "[expect]\nlatency_p99_max_s = 0.001\n")
    ran = run("sim", str(scenario), "--seed", "3")
    assert ran.code == 1
    assert "latency_p99_max_s" in ran.out
    assert "every check held" not in ran.out
    replay = ran.err.partition("replay with: whispurr ")[2].strip()
    again = run(*shlex.split(replay))
    assert (again.code, again.out) == (1, ran.out)
    assert run("sim", str(scenario), "--output", "json").json["ok"] is False


def test_a_mistake_is_explained(run: Any, scenario: Path, tmp_path: Path) -> None:
    scenario.write_text("[wire]\nlos = 0.1\n")
    ran = run("sim", str(scenario))
    assert ran.code == 2
    assert "unknown key `wire.los`" in ran.err
    assert "did you mean `wire.loss`" in ran.err
    assert run("sim", str(tmp_path / "none.toml")).code == 2
    scenario.write_text(SMALL)
    (tmp_path / "file").write_text("")
    ran = run("sim", str(scenario), "--out", str(tmp_path / "file"))
    assert ran.code == 1
    assert "--out" in ran.err
