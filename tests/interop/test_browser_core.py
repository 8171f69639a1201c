"""The client in JavaScript, under Node: held to the same vectors, and to real Python nodes.

Each file of `browser/test` is one test here, so that they run beside each other.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BROWSER = Path(__file__).parents[2] / "browser"
NODE = shutil.which("node") or ""
NODE_MIN = (20, 19)
FILES = sorted(path.name for path in (BROWSER / "test").glob("*.test.js"))
FUZZ_RUNS = "300"
LIMIT_S = 110


def why_not() -> str:
    """What is missing to run this, in words; empty: nothing."""
    if not NODE:
        return "there is no Node.js on this machine"
    said = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:2]))
    if version < NODE_MIN:
        return f"Node.js {said.strip() or '?'} is older than 20.19"
    if not (BROWSER / "node_modules" / "ws").is_dir():
        return "its packages are not installed: `make web`, or `npm ci` in browser/"
    return ""


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {"FUZZ_RUNS": FUZZ_RUNS, **os.environ, "WHISPURR_PYTHON": sys.executable}
    return subprocess.run(
        [NODE, *words],
        cwd=BROWSER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


@pytest.mark.parametrize("name", FILES)
def test_in_javascript(name: str) -> None:
    done = run("--test", "--test-reporter=tap", f"test/{name}")
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert done.returncode == 0 and passed and int(passed[1]) > 0, done.stdout + done.stderr


def test_the_types_hold() -> None:
    done = run("node_modules/typescript/bin/tsc", "-p", "tsconfig.json")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_names_no_registry() -> None:
    """Or it would break for everybody behind another one; addresses of sponsors do not matter."""
    lock = (BROWSER / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert not re.search(r"https?://[^\"]*registry", lock)
    assert '"integrity"' in lock
