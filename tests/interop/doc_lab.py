"""The commands of how-tos, found on the pages and run as they stand there.

A `Book` knows every command of some pages; one that no test takes is an error, and so is one that a
test takes though no page has it. A `Person` has a home, a shell, and a place in a laboratory.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from whispurrnet.wire.ticket import Ticket

DOCS = Path(__file__).parents[2] / "docs" / "how-to"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
INLINE = re.compile(
    r"`((?:whispurr|pip|make|npm|ip|systemctl|docker|turnserver|apt-get) [^`]*)`|^    \$ (.*)$",
    re.MULTILINE,
)
"""Commands within a line, and those of a block that is set in: they begin with a program."""


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a page in a language; '' are those without one."""
    return [text for name, text in FENCE.findall(page.read_text()) if name == language]


class Book:
    """The commands of some pages.

    Args:
        pages: Where they stand.
        known: What need not run a second time, or cannot run here, and why.
    """

    def __init__(self, *pages: Path, known: Mapping[str, str] | None = None) -> None:
        self.commands = {line for page in pages for line in self._on(page)}
        self.left = set(self.commands)
        for command, why in (known or {}).items():
            assert why, "what is not run has a reason"
            self.take(command)

    @staticmethod
    def _on(page: Path) -> set[str]:
        text = page.read_text()
        shown = {line for block in blocks(page, "sh") for line in block.strip().splitlines()}
        return shown | {one or other for one, other in INLINE.findall(FENCE.sub("", text))}

    @contextmanager
    def share(self, *commands: str) -> Iterator[Book]:
        """The part of one test: it must take each of these, and no other."""
        share = Book()
        share.commands = {self.take(command) for command in commands}
        share.left = set(share.commands)
        yield share
        share.close()

    def take(self, command: str, **put: str) -> str:
        """A command of a page, with what the page leaves open put in; it counts as run."""
        assert command in self.commands, f"no page has: {command}"
        self.left.discard(command)
        for word, value in put.items():
            assert word in command
            command = command.replace(word, value)
        return command

    def close(self) -> None:
        """Every command must have been taken."""
        assert not self.left, f"nobody runs: {sorted(self.left)}"


class Person:
    """Somebody with a home and a shell, behind the words that enter a place (`ip netns exec`)."""

    def __init__(self, inside: tuple[str, ...], home: Path) -> None:
        self.inside, self.home = inside, home
        for name in ("home", "run", "config"):
            (home / name).mkdir(parents=True, mode=0o700)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WHISPURRNET_")}
        self.env["HOME"] = str(home / "home")
        self.env["XDG_RUNTIME_DIR"] = str(home / "run")
        self.env["XDG_CONFIG_HOME"] = str(home / "config")

    def _words(self, line: str) -> list[str]:
        program, *words = shlex.split(line, comments=True)
        if program == "whispurr":
            return [*self.inside, sys.executable, "-m", "whispurrnet", *words]
        return [*self.inside, program, *words]

    async def _child(self, line: str, **how: Any) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *self._words(line), stdout=pipe, cwd=self.home, env=self.env, **how
        )

    async def begin(self, exits: AsyncExitStack, line: str) -> asyncio.StreamReader:
        """Start what runs until Ctrl-C; what it says."""
        child = await self._child(line)

        async def stop() -> None:
            child.terminate()
            await child.wait()

        exits.push_async_callback(stop)
        assert child.stdout is not None
        return child.stdout

    async def start(self, exits: AsyncExitStack, line: str) -> dict[str, Any]:
        """Start what runs until Ctrl-C; the first line it says, as JSON."""
        said = await self.begin(exits, f"{line} --output json")
        return json.loads(await asyncio.wait_for(said.readline(), 20))

    async def run(self, line: str, code: int = 0) -> str:
        """Run a command to its end; what it says."""
        child = await self._child(line, stderr=asyncio.subprocess.STDOUT)
        out, _ = await asyncio.wait_for(child.communicate(), 60)
        assert child.returncode == code, f"{line}: {out.decode()}"
        return out.decode()

    async def soon(self, line: str, good: Callable[[str], bool]) -> str:
        """Run a command until it says what it should."""
        said = ""
        try:
            async with asyncio.timeout(40):
                while not good(said := await self.run(line)):  # noqa: ASYNC110 - a command
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"{line}: {said}") from None
        return said

    async def reached(self, line: str) -> str:
        """The ticket that `line` shows as JSON, once somebody can be reached by a relay."""

        def placed(said: str) -> bool:
            return "/relay/" in " ".join(Ticket.parse(json.loads(said)["ticket"]).addresses)

        return str(json.loads(await self.soon(f"{line} --output json", placed))["ticket"])


async def whole(test: Callable[[AsyncExitStack], Any], limit_s: float = 90) -> None:
    """Run a test, and end whatever it began."""
    async with asyncio.timeout(limit_s), AsyncExitStack() as exits:
        await test(exits)
