"""Every example is short and runs, and so do the programs in the README and the documentation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "docs" / "start.md"]
PAGES += [
    ROOT / "docs" / "how-to" / f"{page}.md" for page in ("configure", "invite", "python", "relay")
]
PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = [
    pytest.param(program, id=f"{page.name}-{number}")
    for page in PAGES
    for number, program in enumerate(PROGRAM.findall(page.read_text()))
]

LINES_MAX = 30
LINES_IN_README = 10
SECONDS_MAX = 60


def run(arguments: list[str]) -> str:
    """Run a program as a reader would; return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_runs(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX
    assert text.startswith('"""'), "an example says what it shows"
    assert run([str(path)])


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_shown_program_runs(program: str) -> None:
    out = run(["-c", program])
    assert out or "print(" not in program


def test_the_readme_shows_a_program_of_ten_lines() -> None:
    program = PROGRAM.search((ROOT / "README.md").read_text())
    assert program
    assert len([line for line in program[1].splitlines() if line.strip()]) == LINES_IN_README
    assert {
        "whisper",
        "request",
        "stream",
        "resonance",
        "invite",
        "relay",
        "extension",
        "settings",
    } <= {path.stem for path in EXAMPLES}
