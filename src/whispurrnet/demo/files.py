"""The third act: a file goes from hand to hand, by a code of words, through a crash."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from whispurrnet.demo.cast import Cast, DemoError
from whispurrnet.demo.stage import Stage

FILE_BYTES = 200_000_000
BLOCK = 1 << 20
LIMIT_BPS = 40_000_000
"""How fast each of the two sources sends, so that there is time for a crash."""

KILL_AT = 0.35


class Files:
    """What happens to a file.

    Args:
        stage: Where it is played; `alice`, `bob` and `dave` stand on it.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.casts = stage.casts
        self._file = stage.folder / "film"
        self._hash = ""
        self._killed_at = 0
        self.casts["bob"].settings |= {"objects.folder": str(stage.folder / "bob-objects")}

    async def play(self) -> None:
        """Every step, in order."""
        step = self.stage.step
        dead = [label for label in ("bob", "dave") if not self.casts[label].alive]
        if dead:
            await step("who was killed comes back", self._return(dead))
        await step("a file of 200 MB", self._make())
        await step("dave gets it from alice by a code", self._first())
        await step("bob gets it by another code, and is killed on the way", self._kill())
        await step("bob comes back and goes on, from two sources", self._resume())

    async def _return(self, labels: list[str]) -> str:
        await self.stage.start(labels)
        await self._met(labels, ["alice"])
        return " and ".join(labels)

    async def _met(self, labels: list[str], others: list[str]) -> None:
        """Wait until these are connected to the others."""
        ids = {self.casts[other].id for other in others}
        await self.stage.until(
            lambda: all(ids <= {peer["id"] for peer in self.casts[label].peers} for label in labels)
        )

    def _folder(self, label: str) -> str:
        folder = self.stage.folder / f"{label}-files"
        folder.mkdir(exist_ok=True)
        return str(folder)

    async def _make(self) -> str:
        self._hash = await asyncio.to_thread(_random_file, self._file)
        return f"random bytes, SHA-256 {self._hash[:16]}..."

    async def _code(self) -> str:
        """What alice gives out for one who is to have the file."""
        alice = self.casts["alice"]
        known = len(alice.codes)
        alice.order("give", path=str(self._file))
        await self.stage.until(lambda: len(alice.codes) > known)
        return alice.codes[-1]

    async def _first(self) -> str:
        dave = self.casts["dave"]
        dave.order("take", code=await self._code(), folder=self._folder("dave"))
        await self._until(dave, lambda: bool(dave.took))
        self._check(dave)
        return f"{FILE_BYTES / 1e6:.0f} MB, the right hash; he has it for others, too"

    async def _until(self, cast: Cast, holds: Callable[[], bool]) -> None:
        """Wait, and show how far a file is: at each fifth of the way where there is no terminal."""
        stage = self.stage
        for fifth in range(1, 6):
            enough = fifth * FILE_BYTES // 5
            await stage.until(partial(_far_enough, cast, enough, holds))
            if holds():
                return
            if cast.far and not stage.console.is_terminal:
                stage.console.print(f"        {cast.far}", highlight=False, soft_wrap=True)
        await stage.until(holds)

    def _check(self, cast: Cast) -> None:
        took: dict[str, Any] = cast.took[-1]
        if took["size"] != FILE_BYTES or took["sha256"] != self._hash:
            raise DemoError(f"{cast.label} has something else")

    async def _kill(self) -> str:
        for label in ("alice", "dave"):
            self.casts[label].order("limit", up=LIMIT_BPS)
        bob = self.casts["bob"]
        bob.order("take", code=await self._code(), folder=self._folder("bob"))
        await self._until(bob, lambda: bob.taking.get("verified", 0) > KILL_AT * FILE_BYTES)
        bob.kill()
        await self.stage.until(lambda: not bob.alive)
        self._killed_at = bob.taking["verified"]
        if bob.took:
            raise DemoError("bob was done before he was killed")
        return f"at {self._killed_at / 1e6:.0f} of {FILE_BYTES / 1e6:.0f} MB (SIGKILL)"

    async def _resume(self) -> str:
        bob, givers = self.casts["bob"], ["alice", "dave"]
        bob.taking, bob.sources_most = {}, 0
        await self.stage.start(("bob",))
        await self._met(["bob"], givers)
        ids = [self.casts[label].id for label in givers]
        bob.order("go_on", sources=ids, folder=self._folder("bob"))
        await self.stage.until(lambda: bool(bob.taking.get("verified")))
        kept = bob.taking["verified"]
        await self._until(bob, lambda: bool(bob.took))
        self._check(bob)
        if bob.sources_most < len(givers):
            raise DemoError(f"it came from {bob.sources_most} source only")
        again = self._killed_at - kept
        if again > 0.05 * FILE_BYTES:
            raise DemoError(f"{again / 1e6:.0f} MB had to come again")
        return (
            f"{kept / 1e6:.0f} MB were there already, the rest came from {bob.sources_most} "
            "sources; the right hash"
        )


def _far_enough(cast: Cast, enough: int, holds: Callable[[], bool]) -> bool:
    return holds() or bool(cast.taking.get("verified", 0) >= enough)


def _random_file(path: Path) -> str:
    """Write it; its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, FILE_BYTES, BLOCK):
            block = os.urandom(min(BLOCK, FILE_BYTES - start))
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
