"""What all tests share: hypothesis profiles, tools that may be missing, a watch over the log."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator

import hypothesis
import pytest

from whispurrnet.base.log import veil

CI = os.environ.get("CI", "") not in {"", "0", "false"}
SOAK = os.environ.get("SOAK", "") not in {"", "0"}

hypothesis.settings.register_profile("default", deadline=None, max_examples=100)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=20_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if CI else "default"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the hours-long tests to `make soak`."""
    if SOAK:
        return
    soak = [item for item in items if item.get_closest_marker("soak")]
    if soak:
        config.hook.pytest_deselected(items=soak)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot do, in a sentence; in CI that is a failure."""
    if item.get_closest_marker("netns") is None:
        return
    reason = _why_no_namespaces()
    if reason and CI:
        pytest.fail(f"{reason} In CI this is a failure: see .ci/run.", pytrace=False)
    if reason:
        pytest.skip(reason)


_NO_NAMESPACES: list[str] = []


def _why_no_namespaces() -> str:
    """Why network namespaces cannot be built here, or an empty text if they can."""
    if not _NO_NAMESPACES:
        _NO_NAMESPACES.append(_try_namespaces())
    return _NO_NAMESPACES[0]


def _try_namespaces() -> str:
    if os.geteuid() != 0:
        return "Building network namespaces needs root: run the tests as root to include this one."
    for tool, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(tool) is None:
            return f"`{tool}` is not installed: apt-get install {package} to include this test."
    name = f"whispurr-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"This kernel or container refuses network namespaces: {made.stderr.strip()}."
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return ""


class _Watch(logging.Handler):
    """Keeps every line that says more than a log may say."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.telling: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("whispurrnet.unit"):
            return  # the log's own tests
        text = record.getMessage()
        if veil(text) != text:
            self.telling.append(f"{record.name}: {text}")


@pytest.fixture(autouse=True)
def _log_tells_nothing() -> Iterator[None]:
    """Everything the package logs in any test, at any level, is free of ids, keys and addresses.

    So are the warnings of the libraries below it.
    """
    watch = _Watch()
    root, ours = logging.getLogger(), logging.getLogger("whispurrnet")
    level = ours.level
    root.addHandler(watch)
    ours.setLevel(logging.DEBUG)
    yield
    ours.setLevel(level)
    root.removeHandler(watch)
    assert not watch.telling, "the log tells too much"
