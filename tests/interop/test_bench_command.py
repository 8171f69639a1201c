"""`whispurr bench` measures what it says, in about the time it says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from whispurrnet.cli.bench import Figure, Measured, lines

WHISPURR = (sys.executable, "-m", "whispurrnet")


def bench(folder: Path, *tokens: str) -> Any:
    return subprocess.run(
        [*WHISPURR, "bench", *tokens],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=folder,  # nothing of the repository is needed
        check=False,
    )


def test_two_processes_are_measured(tmp_path: Path) -> None:
    started = time.monotonic()
    done = bench(tmp_path, "--seconds", "1", "--output", "json")
    assert time.monotonic() - started < 60
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    figures = {one["name"]: one for one in found["figures"]}
    assert set(figures) == {"handshake", "rpc latency", "rpc", "oneway", "bulk"}
    for one in figures.values():
        assert one["value"] > 0
        assert one["count"] > 0
        assert one["how"]
    for name in ("handshake", "rpc", "oneway"):
        one = figures[name]
        assert abs(one["value"] * one["seconds"] - one["count"]) < 1e-3 * one["count"]
    assert (found["level"], found["cores"] > 0) == (3, True)
    assert done.stderr == ""


def test_it_is_a_table_for_people() -> None:
    figure = Figure("rpc", 12_345.6, "1/s", 24_691, 2.0, "100 bytes, 64 in flight")
    measured = Measured("0.1.0", "3.11.7", "uvloop", 2, 0.5, 3, (figure,))
    text = "\n".join(lines(measured))
    assert "12,346" in text
    assert "2 cores, load 0.5, level 3" in text


def test_times_that_cannot_be(tmp_path: Path) -> None:
    done = bench(tmp_path, "--seconds", "0")
    assert done.returncode == 2
    assert "from 0.5 to 600" in done.stderr
