"""The demonstration: real nodes, each in a process of its own, and what must happen between them.

It has three acts: what two nodes do with each other (`pairs`), what many do (`mesh`), and a file
that goes from hand to hand (`files`). Every step waits for what it names to truly happen, as the
nodes themselves report it, and fails when it does not happen in time. The exit code is 0 only if
all of it did.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from whispurrnet.demo.cast import DemoError
from whispurrnet.demo.files import Files
from whispurrnet.demo.mesh import Mesh
from whispurrnet.demo.pairs import Pairs
from whispurrnet.demo.stage import Stage

FIRST = "Nodes in processes of their own, one network secret; nothing is scripted to succeed.\n"

NEXT = """\
Your turn. On two terminals, or two machines of one network:
  whispurr up            starts a node; it prints a ticket and finds others by itself
  whispurr status        who is there, by which path and suite
  whispurr chat NAME     talk to one of them"""


async def _play(stage: Stage) -> None:
    pairs, mesh, files = Pairs(stage), Mesh(stage), Files(stage)
    await pairs.play()
    await mesh.play()
    await files.play()


async def _perform(console: Console, folder: Path) -> tuple[Stage, str]:
    """Play, and say what went wrong, if anything did."""
    wrong = ""
    async with asyncio.TaskGroup() as tasks:
        stage = Stage(console, folder, tasks)
        try:
            if console.is_terminal:
                with Live(console=console, get_renderable=stage.view, refresh_per_second=8):
                    await _play(stage)
            else:
                await _play(stage)
        except DemoError as error:
            wrong = str(error)
        finally:
            await asyncio.gather(*(cast.stop() for cast in stage.casts.values()))
    return stage, wrong


def run() -> int:
    """Show it; 0 if all of it truly happened, 1 if not."""
    console = Console()
    started = time.perf_counter()
    console.print(FIRST)
    with tempfile.TemporaryDirectory(prefix="whispurr-demo-") as folder:
        stage, wrong = asyncio.run(_perform(console, Path(folder)))
    table = Table(title="What happened")
    for title in ("step", "what was seen", "seconds"):
        table.add_column(title, justify="right" if title == "seconds" else "left")
    for done in stage.done:
        table.add_row(done.step, done.detail, f"{done.seconds:.2f}")
    if wrong:
        table.add_row(stage.now, f"FAILED: {wrong}", "")
    console.print()
    console.print(table)
    console.print(f"{len(stage.done)} steps in {time.perf_counter() - started:.1f} s", end="\n\n")
    console.print(NEXT if not wrong else f"The demonstration failed: {wrong}", highlight=False)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run())
