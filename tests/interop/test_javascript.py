"""The tests of `browser/`: its types, its vectors, and its core against real nodes, in Node.js."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from tools.make_web import BROWSER, find


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_code_for_browsers_does_what_its_own_tests_say() -> None:
    node = find()
    if node is None:
        pytest.skip("there is no Node.js 20.19 or newer with npm")
    try:
        node.install()
    except subprocess.CalledProcessError:
        pytest.skip("npm could not install what the code for browsers stands on")
    done = subprocess.run(
        [*node.npm, "test", "--silent"],
        cwd=BROWSER,
        env={**node.environment, "WHISPURR_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    counts = dict(re.findall(r"^\S+ (pass|fail) (\d+)$", done.stdout, re.MULTILINE))
    assert int(counts["pass"]) > 40 and counts["fail"] == "0"
