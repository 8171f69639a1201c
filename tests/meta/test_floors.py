"""The floors of the house: the three contracts of `pyproject.toml`."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_contracts_are_kept() -> None:
    program = "import sys, importlinter.cli as c; sys.exit(c.lint_imports(no_cache=True))"
    linted = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100"},
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "3 kept, 0 broken" in linted.stdout


def test_every_package_stands_on_a_floor() -> None:
    """A new folder that no contract knows would escape them all."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    floors, cores, _ = settings["tool"]["importlinter"]["contracts"]
    known = {
        word.strip("()").removeprefix("whispurrnet.")
        for layer in floors["layers"]
        for word in layer.split()
        if word not in {":", "|"}
    }
    packages = {init.parent.name for init in (ROOT / "src" / "whispurrnet").glob("*/__init__.py")}
    assert packages - {"testing"} <= known
    below = {name.removeprefix("whispurrnet.") for name in cores["source_modules"]}
    faces = {"cli", "demo", "gateway", "extensions"}
    shells = {"transport", "lan", "disk", "node", "sim", "testing"}
    assert packages - shells - faces <= below
