"""The WebRTC tests once more, under a Python that has aiolibdatachannel: `make webrtc` makes it.

The project's own `.venv` may be of Python 3.11, for which there is no aiolibdatachannel.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.interop.rtc_lab import BACKENDS

PYTHON = Path(os.environ.get("WEBRTC_PYTHON", ".venv-webrtc/bin/python"))
TESTS = ("tests/interop/test_webrtc_link.py", "tests/unit/transport/test_webrtc_backend.py")


@pytest.mark.slow
def test_aiolibdatachannel_and_both_across() -> None:
    if "aiolibdatachannel" in BACKENDS:
        pytest.skip("this Python has aiolibdatachannel itself")
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there: `make webrtc`, with Python 3.12 or newer")
    command = [PYTHON, "-m", "pytest", "-n0", "-x", "-p", "no:cacheprovider", *TESTS]
    command += ["-k", "aiolibdatachannel or version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


@pytest.mark.slow
def test_nodes_with_aiolibdatachannel() -> None:
    if "aiolibdatachannel" in BACKENDS:
        pytest.skip("this Python has aiolibdatachannel itself")
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there: `make webrtc`, with Python 3.12 or newer")
    command = [PYTHON, "-m", "pytest", "-n0", "-x", "-p", "no:cacheprovider"]
    command += ["tests/interop/test_webrtc_nodes.py", "-k", "not aiortc"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
