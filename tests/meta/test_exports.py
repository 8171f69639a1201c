"""The public API: ten names, and a quick import."""

from __future__ import annotations

import json
import subprocess
import sys

import whispurrnet

NAMES = [
    *("Extension", "Identity", "Message", "Node", "Peer", "Settings", "Ticket", "Topic"),
    *("WhispurrError", "open"),
]
# Needed by the command line and the gateway, not by who writes ten lines of Python.
LATE = ("cyclopts", "rich", "segno", "starlette", "uvicorn", "platformdirs", "websockets")


def test_ten_names() -> None:
    assert sorted(whispurrnet.__all__) == NAMES


def test_each_name_is_there_and_documented() -> None:
    for name in NAMES:
        assert getattr(whispurrnet, name).__doc__, name


def test_star_and_dir_give_the_same() -> None:
    assert set(NAMES) <= set(dir(whispurrnet))


def test_importing_loads_nothing_it_does_not_need() -> None:
    program = (
        "import json, sys, whispurrnet; [getattr(whispurrnet, n) for n in whispurrnet.__all__];"
        f"print(json.dumps([n for n in {LATE!r} if n in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(done.stdout) == []
