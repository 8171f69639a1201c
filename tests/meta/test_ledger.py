"""The ledger of features, `docs/features.md`, is whole and true."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from whispurrnet.node.build import build
from whispurrnet.node.settings import Settings
from whispurrnet.stack.protocols import sendable

ROOT = Path(__file__).parents[2]
IDS = [
    f"{letter}{number}"
    for letter, count in (("A", 35), ("B", 25), ("C", 18), ("D", 25), ("E", 24))
    for number in range(1, count + 1)
]
QUOTED = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    """One row of the ledger."""

    id: str
    what: str
    where: str
    test: str
    state: str


def read() -> list[Row]:
    lines = (ROOT / "docs" / "features.md").read_text().splitlines()
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [Row(*row) for row in cells if re.fullmatch(r"[A-E]\d+", row[0])]


ROWS = read()
DONE = [row for row in ROWS if row.state == "done"]


def test_every_feature_has_one_row_in_order() -> None:
    assert len(IDS) == 127
    assert [row.id for row in ROWS] == IDS


def test_the_counts_at_the_top_are_those_of_the_rows() -> None:
    states = [row.state.partition(":")[0] for row in ROWS]
    done, still, declined = (states.count(state) for state in ("done", "open", "declined"))
    head = f"Done are {done} of 127, open {still}, declined {declined}."
    assert head in (ROOT / "docs" / "features.md").read_text()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_says_what_and_its_state(row: Row) -> None:
    """What is open says where it will be done, and what is there; what is declined says why."""
    assert row.what
    state, _, reason = row.state.partition(": ")
    assert state in {"done", "open", "declined"}
    assert bool(reason) == (state != "done")
    if state == "open":
        assert re.fullmatch(r"(issue \d+|later)(; there: \S.*)?", reason)
    if state != "done":
        assert row.test == "—", "a test is named for what is done"


@pytest.mark.parametrize("row", DONE, ids=lambda row: row.id)
def test_what_is_done_is_there(row: Row) -> None:
    places = QUOTED.findall(row.where)
    assert places, "name the module, or the file, between backticks"
    for place in places:
        if not (ROOT / place).exists():
            assert importlib.util.find_spec(f"whispurrnet.{place}"), place


@pytest.mark.parametrize("row", DONE, ids=lambda row: row.id)
def test_what_is_done_is_tested(row: Row) -> None:
    tests = QUOTED.findall(row.test)
    assert tests, "name the test between backticks"
    for test in tests:
        path, *names = test.split("[")[0].split("::")
        assert (ROOT / path).is_file(), test
        if path.endswith(".py"):
            assert names, f"name the test inside {test}"
            tree: ast.AST = ast.parse((ROOT / path).read_text())
            for name in names:
                tree = next(
                    node
                    for node in ast.walk(tree)
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                    and node.name == name
                )


# What no other test shows


def test_the_messages_of_extensions_are_sendable() -> None:
    for kind in ("FILE_SYNC", "MINING_SIGNAL", "DREAMSPACE"):
        assert sendable(kind).name == kind


def test_the_profile_chum_beats_every_ten_seconds() -> None:
    settings, _ = Settings.load(flags={"profile": "chum"})
    assert build(settings).channel.heartbeat_s == 10.0
    assert build(Settings()).channel.heartbeat_s == 30.0
