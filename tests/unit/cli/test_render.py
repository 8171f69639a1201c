from __future__ import annotations

import io

import pytest

from whispurrnet.cli import render
from whispurrnet.cli.fault import Exit, Fault


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "a\rb", "\x07", "\u202eevil", "\x9b31m", "\u2028", "\u200b", "a\nb"]
)
def test_nothing_a_terminal_obeys_is_left(text: str) -> None:
    shown = render.clean(text)
    assert shown != text
    assert all(letter.isprintable() for letter in shown)


def test_ordinary_text_stays() -> None:
    assert render.clean("Grüße, 世界\t✓") == "Grüße, 世界\t✓"
    assert render.clean_lines("a\nb\x1b") == "a\nb\N{REPLACEMENT CHARACTER}"


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert render.colour("x", "green", Terminal()) == "\x1b[32mx\x1b[0m"
    assert render.colour("x", "green", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert render.colour("x", "green", Terminal()) == "x"


def test_letters_the_terminal_has() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    render.say(f"● ✗ → {render.DASH} é", stream=stream)
    assert raw.getvalue() == b"* !! -> - ?\n"


def test_table() -> None:
    assert render.table(("a", "b"), [("1", ""), ("longer", "2")], indent="") == [
        "a        b",
        "1",
        "longer   2",
    ]


def test_faults(capsys: pytest.CaptureFixture[str]) -> None:
    render.show_fault(Fault("It broke", "the cable\x1b", "mend it.", Exit.FAILED), "text")
    assert capsys.readouterr().err == (
        "✗ It broke: the cable\N{REPLACEMENT CHARACTER}.\n  Cure: mend it.\n"
    )
    render.show_fault(Fault("It broke"), "json")
    assert capsys.readouterr().err == '{"error":"It broke","cause":"","cure":"","exit":1}\n'


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2e12, "2000.0 GB")]
)
def test_size(count: float, text: str) -> None:
    assert render.size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (600, "10 min"), (7200, "2 h")])
def test_span(seconds: float, text: str) -> None:
    assert render.span(seconds) == text


def test_qr_is_square_and_made_of_blocks() -> None:
    lines = render.qr("WHISPURR:WN1-ABC")
    assert {len(line) for line in lines} == {len(lines[0])}
    assert set("".join(lines)) <= set("█▀▄ ")
