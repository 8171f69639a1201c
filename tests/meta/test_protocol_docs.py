"""The tables of the documentation are the tables of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_numbers_are_up_to_date() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "whispurrnet.stack.protocols"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    page = ROOT / "docs" / "protocol" / "numbers.md"
    assert page.read_text() == printed, f"run: python -m whispurrnet.stack.protocols > {page.name}"


def test_every_decision_has_a_number_and_a_heading() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{n:04}" for n in range(1, len(pages) + 1)]
    for page in pages:
        assert page.read_text().startswith(f"# {int(page.name[:4])}. "), page.name


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
