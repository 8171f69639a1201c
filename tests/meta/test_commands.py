"""Every command that the README or the documentation shows exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from whispurrnet.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)

# "$ " and settings before a command, and the folder it is in, do not matter here.
LINE = re.compile(r"(?:\$ )?(?:[A-Z_0-9]+=\S+ )*(?:\.venv/bin/)?(?P<command>(?:whispurr|make)\b.*)")


def shown(program: str) -> list[tuple[str, str]]:
    """Each line in a code fence that starts with `program`, and the page it stands on."""
    found = []
    for page in PAGES:
        for _, block in FENCE.findall(page.read_text()):
            for line in block.splitlines():
                if match := LINE.fullmatch(line.strip()):
                    text = match["command"]
                    if text.split()[0] == program:
                        found.append((str(page.relative_to(ROOT)), text))
    return found


def words(line: str) -> list[str]:
    """The arguments on a line, without what the shell would take for itself."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    taken: list[str] = []
    for word in lexer:
        if word[0] in "|&;<>":
            break
        taken.append(word)
    return taken[1:]


@pytest.mark.parametrize(("page", "line"), shown("whispurr"))
def test_a_shown_command_exists(page: str, line: str) -> None:
    given = words(line)
    tokens = [word for word in given if word not in {"--help", "--version"}]
    if tokens != given:
        chain, _, unused = app.parse_commands(tokens)
        assert list(chain) == tokens, unused
        return
    _, bound, *_ = app.meta.parse_args(tokens, exit_on_error=False, print_error=False)
    app.parse_args([*bound.args], exit_on_error=False, print_error=False)


def test_commands_are_shown() -> None:
    assert len(shown("whispurr")) >= 5
    assert {("README.md", "make demo"), ("README.md", "make test")} <= set(shown("make"))


@pytest.mark.parametrize(("page", "line"), shown("make"))
def test_a_shown_target_exists(page: str, line: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in words(line):
        assert target in targets or "=" in target, page


def test_every_command_is_shown() -> None:
    """What can be typed stands on a page, with an example; `make demo` stands for `demo`."""
    lines = {tuple(words(line)[:2]) for _, line in shown("whispurr")}
    for name in app:
        if name not in {"trust", "config", "name"} and not name.startswith("-"):
            assert name == "demo" or name in {line[0] for line in lines if line}, name
    for group in ("trust", "config", "name"):
        for name in app[group]:
            assert name.startswith("-") or (group, name) in lines, f"{group} {name}"
