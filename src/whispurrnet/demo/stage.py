"""The stage: the nodes, the steps they have taken, and what of it is shown.

A step waits for what it names to truly happen, as the nodes themselves report it, and fails when
it does not happen in time.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from whispurrnet.demo.cast import Cast, DemoError

STEP_S = 60.0
"""How long one step may take."""

SHOWN_MAX = 6
"""So many names stand in a line of the table; of more, how many there are."""


class Done(msgspec.Struct, frozen=True):
    """One step that happened."""

    step: str
    detail: str
    seconds: float


class Stage:
    """The nodes of both acts.

    Args:
        console: Where to show what happens.
        folder: For what a node with a long-term identity keeps.
        tasks: Keeps the tasks that read what the nodes tell.
    """

    def __init__(self, console: Console, folder: Path, tasks: asyncio.TaskGroup) -> None:
        self.console = console
        self.folder = folder
        self.casts: dict[str, Cast] = {}
        self.done: list[Done] = []
        self.now = "starting"
        self._tasks = tasks
        self._changed = asyncio.Event()
        self._secret = secrets.token_hex(16)
        self._lan_port = 20_000 + secrets.randbelow(20_000)

    # Nodes

    def cast(self, label: str, **settings: Any) -> Cast:
        """A node that is to be started, of the network of all."""
        common = {
            "network_secret": self._secret,
            "listen": ("/ip4/127.0.0.1/tcp/0",),
            "lan.multicast_port": self._lan_port,
            "lan.interval_s": 1.0,
            "lan.methods": ("multicast",),
            "gossip.neighbours": 6,
            "identity.long_term": False,
        }
        self.casts[label] = Cast(label, common | settings)
        return self.casts[label]

    async def start(self, labels: Iterable[str]) -> str:
        """Start these nodes; done when each of them is up."""
        casts = [self.casts[label] for label in labels]
        for cast in casts:
            await cast.start()
            self._tasks.create_task(cast.read(self._changed))
        await self.until(lambda: all(cast.alive for cast in casts))
        return f"{len(casts)} processes"

    async def report(self, casts: Iterable[Cast], ids: Iterable[str] = ()) -> None:
        """Have the nodes say which of these they carried, when they have done what came before."""
        wanted = [(cast, cast.reports + 1) for cast in casts]
        for cast, _ in wanted:
            cast.order("report", ids=list(ids))
        await self.until(lambda: all(cast.reports >= number for cast, number in wanted))

    # Steps

    async def step(self, name: str, work: Coroutine[Any, Any, str]) -> None:
        """Take a step: `work` says what was seen.

        Raises:
            DemoError: It did not happen, or not in time.
        """
        self.now = name
        started = time.perf_counter()
        try:
            async with asyncio.timeout(STEP_S):
                detail = await work
        except TimeoutError:
            raise DemoError(f"{name}: did not happen within {STEP_S:g} s") from None
        self.done.append(Done(name, detail, time.perf_counter() - started))
        if not self.console.is_terminal:
            self.console.print(f"  done  {name}: {detail}", highlight=False, soft_wrap=True)
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until what the nodes have told makes this true."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    # What is seen

    def table(self) -> Table:
        """Who is connected to whom, by which path and suite."""
        table = Table(box=None, pad_edge=False)
        for title in ("node", "as", "connected to", "path"):
            table.add_column(title)
        labels = {cast.name: cast.label for cast in self.casts.values()}
        for cast in self.casts.values():
            known = sorted({labels[peer["name"]] for peer in cast.peers if peer["name"] in labels})
            table.add_row(
                cast.label,
                cast.name if cast.alive else "away",
                " ".join(known) if len(known) <= SHOWN_MAX else f"{len(known)} of them",
                ", ".join(sorted({peer["path"] for peer in cast.peers})),
            )
        suites = {peer["suite"] for cast in self.casts.values() for peer in cast.peers}
        table.caption = " ".join(["suite:", *sorted(suites)])
        return table

    def view(self) -> Group:
        """What a terminal shows: the connections, the steps done, and the one under way."""
        steps = [Text(f"  done  {done.step}: {done.detail}") for done in self.done]
        taking = [Text(f"        {line}") for cast in self.casts.values() if (line := cast.far)]
        return Group(self.table(), Text(), *steps, Text(f"  ....  {self.now}"), *taking)
