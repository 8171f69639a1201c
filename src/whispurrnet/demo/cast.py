"""One node of the demonstration as the director sees it: a process, and what it has told so far."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

BAR = 30
"""How wide a bar of progress is."""


class DemoError(Exception):
    """A step did not happen."""


class Cast:
    """One node process.

    Args:
        label: What it is called on the stage.
        settings: Those of its node.
    """

    def __init__(self, label: str, settings: dict[str, Any]) -> None:
        self.label = label
        self.settings = settings
        self.id = ""
        """Its ephemeral id now; its name stays what it was at first."""
        self.name = ""
        self.ticket = ""
        self.alive = False
        self.peers: list[dict[str, Any]] = []
        self.heard: list[str] = []
        self.acknowledged: dict[str, float] = {}
        self.failed: list[str] = []
        self.rotations = 0
        self.streams: list[dict[str, Any]] = []
        self.told: dict[str, list[str]] = {}
        """What it heard by the mesh, by its intent; by its kind if it was for everyone."""
        self.spread: dict[str, dict[str, Any]] = {}
        """What became of what it spread, by its text."""
        self.neighbours: frozenset[str] = frozenset()
        """The ids of those with whom it gossips."""
        self.carried: frozenset[str] = frozenset()
        """The ids of messages that have been in the open at it, of those it was asked about."""
        self.reports = 0
        self.codes: list[str] = []
        """The codes of words that it has given out."""
        self.taking: dict[str, Any] = {}
        """How far it is with the file that it takes."""
        self.sources_most = 0
        """From how many at once it has taken it."""
        self.took: list[dict[str, Any]] = []
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process; `read` takes what it tells."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "whispurrnet.demo.actor",
            json.dumps(self.settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def read(self, changed: asyncio.Event) -> None:
        """Take what the node tells, until it ends."""
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            self._take(json.loads(line))
            changed.set()
        self.alive, self.peers, self.neighbours = False, [], frozenset()
        changed.set()

    def _take(self, fact: dict[str, Any]) -> None:
        match fact["event"]:
            case "up":
                self.id, self.name, self.ticket = fact["id"], fact["name"], fact["ticket"]
                self.alive = True
            case "peers":
                self.peers = fact["peers"]
            case "heard":
                self.heard.append(fact["text"])
            case "told":
                self.told.setdefault(fact["by"], []).append(fact["text"])
                self.heard.append(fact["text"])
            case "acknowledged":
                self.acknowledged[fact["text"]] = fact["ms"]
            case "failed":
                self.failed.append(f"{fact['text']}: {fact['why']}")
            case "rotated":
                self.id = fact["id"]
                self.rotations += 1
            case "streamed" | "sent_stream":
                self.streams.append(fact)
            case "spread":
                self.spread[fact["text"]] = fact
            case "neighbours":
                self.neighbours = frozenset(fact["ids"])
            case "report":
                self.carried = frozenset(fact["carried"])
                self.reports += 1
            case _:
                self._take_of_files(fact)

    def _take_of_files(self, fact: dict[str, Any]) -> None:
        match fact["event"]:
            case "offer":
                self.codes.append(fact["code"])
            case "taking":
                self.taking = fact
                self.sources_most = max(self.sources_most, fact["sources"])
            case "took":
                self.took.append(fact)
            case _:
                pass

    @property
    def far(self) -> str:
        """How far it is with the file that it takes; empty if it takes none."""
        total = self.taking.get("total", 0)
        if not total or self.taking["verified"] >= total:
            return ""
        done, rate = self.taking["verified"], self.taking["rate_bps"]
        filled = int(BAR * done / total)
        return (
            f"{self.label:<6} {'#' * filled}{'.' * (BAR - filled)} {done / 1e6:.0f} of "
            f"{total / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s from {self.taking['sources']}"
        )

    def order(self, do: str, **facts: Any) -> None:
        """Give the node a command."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **facts}).encode() + b"\n")

    def kill(self) -> None:
        """End the process as a power cut does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """Let the node say goodbye, or end it if it does not."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(5.0):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
