"""What `send` and `receive` have in common: a node of their own, what they say, and their bars."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.flags import environment, public
from whispurrnet.cli.ports import mesh_addresses
from whispurrnet.cli.render import clean, note, say, show_json_line, size
from whispurrnet.node.settings import Settings, find_file

JSON_EVERY_S = 0.5
"""How often progress is told to programs."""

MB = 1_000_000


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the node of an errand is to be like."""

    via: tuple[str, ...] = ()
    """Tickets of meeting places."""
    limit_mb_s: float | None = None
    """Megabytes a second, each way."""
    changes: tuple[str, ...] = ()
    """As with `--set`."""
    config: Path | None = None
    life_s: float | None = None
    """For how long its identity is to last, in seconds."""


def settings_for(wanted: Wanted, objects: Path) -> Settings:
    """Those of a node that is there for one errand: no gateway, and the next free port.

    Raises:
        ConfigError: A setting is wrong.
        Fault: A flag is.
    """
    if wanted.limit_mb_s is not None and wanted.limit_mb_s <= 0:
        raise Fault(
            "--limit is a rate above 0", "", "such as --limit 5, megabytes a second", Exit.USAGE
        )
    bps = None if wanted.limit_mb_s is None else wanted.limit_mb_s * MB
    flags: dict[str, Any] = {
        "gateway.enabled": False,
        "bootstrap": public(wanted.via) or None,
        "objects.folder": str(objects),
        "objects.upload_bps": bps,
        "objects.download_bps": bps,
        "identity.lifetime_s": wanted.life_s,
    }
    env = environment(wanted.changes)
    settings, origins = Settings.load(wanted.config or find_file(), env, flags)
    return settings.replace(listen=mesh_addresses(settings, origins))


def state_folder(kind: str) -> Path:
    """Where errands of a kind are kept in the user's own folders."""
    import platformdirs

    return Path(platformdirs.user_state_dir("whispurrnet", appauthor=False)) / kind


def via_words(via: tuple[str, ...]) -> str:
    """What the other side has to add to its command to meet at the same places."""
    return "".join(f" --via {ticket}" for ticket in via)


def tell(kind: str, line: str, **fields: object) -> None:
    """Say what happened: a line for people, or a line of JSON for programs."""
    if current.json:
        show_json_line({"type": kind, **fields})
    elif line:
        say(line)


def asks() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and not current.json


def ask(question: str, *, yes: bool, usual: bool = True) -> bool:
    """Ask the person.

    Args:
        question: May hold a peer's words.
        yes: Do not ask; the answer is yes. So it is if there is nobody to ask.
        usual: What an empty line means.
    """
    if yes or not asks():
        return True
    choice = "[Y/n]" if usual else "[y/N]"
    print(f"{clean(question)} {choice} ", end="", file=sys.stderr, flush=True)
    said = sys.stdin.readline().strip().casefold()
    return said in {"y", "yes"} or (usual and not said)


class Bar(Protocol):
    """How far it is; call it as often as there is news."""

    def __call__(
        self, done: int, total: int, *, rate_bps: float = 0.0, waits: str = "", sources: int = 0
    ) -> None:
        """Show it."""
        ...


@contextmanager
def bar(what: str, name: str, *, lines: bool = True) -> Generator[Bar]:
    """A bar on the error stream if that is a terminal, lines of JSON for programs, else nothing.

    Args:
        what: What is being done: `reading`, `sending`, `receiving`, `placing`.
        name: Of the object; may be a peer's words.
        lines: Whether the answer for programs is lines, so that progress may be among them.
    """
    if current.json:
        yield _JsonBar(what) if lines else _Words()
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _rich_bar(what, clean(name)) as shown:
            yield shown
    else:
        yield _Words()


class _JsonBar:
    def __init__(self, what: str) -> None:
        self._what = what
        self._next = 0.0

    def __call__(
        self, done: int, total: int, *, rate_bps: float = 0.0, waits: str = "", sources: int = 0
    ) -> None:
        if time.monotonic() >= self._next or (done == total and self._next):
            self._next = time.monotonic() + JSON_EVERY_S
            said: Mapping[str, object] = {
                "type": "progress",
                "what": self._what,
                "bytes": done,
                "total": total,
                "rate_bps": round(rate_bps),
                "sources": sources,
                "waits": waits,
            }
            show_json_line(said)


class _Words:
    """No terminal: only what is waited for is told, each time once."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(
        self, done: int, total: int, *, rate_bps: float = 0.0, waits: str = "", sources: int = 0
    ) -> None:
        if waits and waits != self._last:
            note(f"  waiting: {clean(waits)}")
        self._last = waits


@contextmanager
def _rich_bar(what: str, name: str) -> Generator[Bar]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[waits]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        label = escape(f"{what} {name}"[:40])
        task = progress.add_task(label, total=None, rate="", waits="")

        def show(
            done: int, total: int, *, rate_bps: float = 0.0, waits: str = "", sources: int = 0
        ) -> None:
            rate = f"{size(rate_bps)}/s" if rate_bps else ""
            if sources > 1:
                rate += f" from {sources}"
            progress.update(
                task,
                completed=done,
                total=total or None,
                rate=rate,
                waits=escape(clean(waits)[:60]),
            )

        yield show


def from_thread(shown: Bar, total: int) -> Callable[[int], None]:
    """A bar that is told only how many bytes are done; may be called from another thread."""
    return lambda done: shown(done, max(done, total))
