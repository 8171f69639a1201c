"""The client in JavaScript, under Node: held to the same vectors, and to real Python nodes.

Each file of `browser/test` is one test here, so that they run beside each other.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from tools.make_web import BROWSER, Node, find

FILES = sorted(path.name for path in (BROWSER / "test").glob("*.test.js"))
FUZZ_RUNS = "300"
LIMIT_S = 110


@pytest.fixture(scope="module")
def node() -> Node:
    """Node.js with what the client stands on; without it these tests are skipped."""
    found = find()
    if found is None:
        pytest.skip("there is no Node.js 20.19 or newer with npm")
    try:
        found.install()
    except subprocess.CalledProcessError:
        pytest.skip("npm could not install what the code for browsers stands on")
    return found


def run(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f"{node.folder}/node", *words],
        cwd=BROWSER,
        env={"FUZZ_RUNS": FUZZ_RUNS, **node.environment, "WHISPURR_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


@pytest.mark.parametrize("name", FILES)
def test_in_javascript(node: Node, name: str) -> None:
    done = run(node, "--test", "--test-reporter=tap", f"test/{name}")
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert done.returncode == 0 and passed and int(passed[1]) > 0, done.stdout + done.stderr


def test_the_types_hold(node: Node) -> None:
    done = run(node, "node_modules/typescript/bin/tsc", "-p", "tsconfig.json")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_names_no_registry() -> None:
    """Or it would break for everybody behind another one; addresses of sponsors do not matter."""
    lock = (BROWSER / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert not re.search(r"https?://[^\"]*registry", lock)
    assert '"integrity"' in lock
