"""Every complaint that is answered on its page is answered by a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "complaints.md"
ID = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| complaint")
]


def test_there_are_as_many_as_were_gathered() -> None:
    assert len(ROWS) >= 13
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_each_has_a_rule_and_a_test_that_is_there(row: list[str]) -> None:
    complaint, seen_at, rule, answer = row
    assert complaint and seen_at and rule
    found = ID.findall(answer)
    assert found
    for path, name in found:
        tree = ast.parse((ROOT / path).read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in names, f"{path}::{name}"
