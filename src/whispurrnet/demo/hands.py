"""What a node of the demonstration does with files: offers them by a code, and takes them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from whispurrnet.node.handover import Handover, State
from whispurrnet.node.node import Node
from whispurrnet.node.pairing import Pairing
from whispurrnet.wire import words
from whispurrnet.wire.ids import parse_object_id
from whispurrnet.wire.object_ticket import Offered

BEGUN = "begun"
"""The file in which it stands what is being taken, so that it goes on after a crash."""


class Hands:
    """The files of one node.

    Args:
        node: Whose.
        tell: Says what happens.
    """

    def __init__(self, node: Node, tell: Callable[..., None]) -> None:
        self._node = node
        self._tell = tell
        self._pairing = Pairing(node)
        self._handover = Handover(node)

    async def give(self, path: str) -> None:
        """Offer a file to whoever is told the code."""
        info = await self._node.objects.add(path)
        cap = self._node.objects.share(info.oid)
        offered = Offered(
            parse_object_id(info.oid), cap, Path(path).name, info.size, collection=False
        )
        self._handover.give(offered)
        offer = await self._pairing.offer(offered.pack())
        self._tell("offer", code=offer.code.text)

    async def take(self, code: str, folder: str) -> None:
        """Take what a code stands for, from who gave it out."""
        met = await self._pairing.join(words.parse(code))
        await asyncio.to_thread(Path(folder, BEGUN).write_bytes, met.payload)
        await self._take(Offered.unpack(met.payload), [met.peer.name], folder)

    async def go_on(self, sources: Sequence[str], folder: str) -> None:
        """Go on with what was begun, from these, too."""
        begun = await asyncio.to_thread(Path(folder, BEGUN).read_bytes)
        offered = Offered.unpack(begun)
        await self._take(offered, sources, folder)

    async def _take(self, offered: Offered, sources: Sequence[str], folder: str) -> None:
        def show(state: State) -> None:
            self._tell(
                "taking",
                verified=state.verified,
                total=state.total,
                rate_bps=state.rate_bps,
                sources=state.sources,
            )

        peers = [self._node.peer(name) for name in sources]
        taking = await self._handover.take(offered, peers, told=show)
        where = Path(folder, "taken")
        await self._node.objects.export(offered.root.hex(), where, overwrite=True)
        await taking.arrived()
        assert offered.cap is not None
        self._node.objects.adopt(offered.root.hex(), offered.cap)
        self._handover.give(offered)
        size, digest = await asyncio.to_thread(_measure, where)
        self._tell("took", size=size, sha256=digest)


def _measure(path: Path) -> tuple[int, str]:
    """The size and the SHA-256 of a file."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def order(hands: Hands, do: str, facts: dict[str, Any]) -> Any:
    """The work that a command stands for."""
    match do:
        case "give":
            return hands.give(**facts)
        case "take":
            return hands.take(**facts)
        case _:
            return hands.go_on(**facts)
