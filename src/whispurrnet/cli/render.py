"""One answer, three forms: lines and tables for people, JSON for programs, a QR code for phones.

Whatever a peer sent is text to show: control characters are taken out, so that no name or
message can move the cursor, colour the terminal or forge a line.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TextIO

import msgspec

from whispurrnet.cli.fault import Fault

_COLOURS = {"green": "32", "yellow": "33", "red": "31", "dim": "2", "bold": "1"}
DASH = "\N{EN DASH}"
_PLAIN = {"●": "*", "▲": "!", "✓": "ok", "✗": "!!", DASH: "-", "→": "->", "·": "-"}
_STRANGE = "\N{REPLACEMENT CHARACTER}"
#: Formatting characters that reorder or hide text around them.
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))


def clean(text: str) -> str:
    """Text from elsewhere, without anything a terminal would obey."""
    return "".join(letter if letter == "\t" or _is_plain(letter) else _STRANGE for letter in text)


def _is_plain(letter: str) -> bool:
    return unicodedata.category(letter) not in _HIDDEN


def clean_lines(text: str) -> str:
    """Like `clean`, but line ends stay."""
    return "\n".join(clean(line) for line in text.splitlines()) or ""


def colour(text: str, name: str, stream: TextIO | None = None) -> str:
    """Text in a colour, where colours are wanted."""
    target = stream or sys.stdout
    if os.environ.get("NO_COLOR") or not target.isatty() or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[name]}m{text}\x1b[0m"


def say(line: str = "", *, stream: TextIO | None = None) -> None:
    """Print a line, in letters the terminal has."""
    target = stream or sys.stdout
    encoding = target.encoding or "ascii"
    try:
        line.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        for fine, plain in _PLAIN.items():
            line = line.replace(fine, plain)
        line = line.encode("ascii", "replace").decode()
    print(line, file=target, flush=True)


def note(line: str) -> None:
    """Tell the person something that is not part of the answer."""
    say(colour(line, "dim", sys.stderr), stream=sys.stderr)


def show_json(answer: object) -> None:
    """Print an answer as JSON."""
    say(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())


def show_json_line(answer: object) -> None:
    """Print an answer as one line of JSON."""
    say(msgspec.json.encode(answer).decode())


def table(head: Sequence[str], rows: Iterable[Sequence[str]], indent: str = "  ") -> list[str]:
    """Columns, as wide as they must be; the last one is free."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(line[index]) for line in [list(head), *cells]) for index in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        return (indent + "   ".join(padded)).rstrip()

    return [colour(line(head), "dim"), *(line(row) for row in cells)]


def show_fault(fault: Fault, output: str) -> None:
    """Print what went wrong, to the error stream."""
    if output == "json":
        answer = {
            "error": fault.sentence,
            "cause": fault.cause,
            "cure": fault.cure,
            "exit": int(fault.code),
        }
        say(msgspec.json.encode(answer).decode(), stream=sys.stderr)
        return
    cause = f": {clean(fault.cause)}" if fault.cause else ""
    mark = colour("✗", "red", sys.stderr)
    say(f"{mark} {clean(fault.sentence)}{cause}.".replace("..", "."), stream=sys.stderr)
    if fault.cure:
        say(f"  Cure: {clean(fault.cure)}".rstrip(".") + ".", stream=sys.stderr)


def qr(text: str) -> list[str]:
    """A QR code as lines of half blocks."""
    import io

    import segno

    out = io.StringIO()
    segno.make(text, micro=False, error="l", boost_error=False).terminal(
        out, compact=True, border=2
    )
    return out.getvalue().splitlines()


def size(count: float) -> str:
    """Bytes, short."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count}"


def span(seconds: float) -> str:
    """A duration, short."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
