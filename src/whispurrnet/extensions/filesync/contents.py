"""How contents move: a member asks for one by its id, and gets it or may fetch it as an object.

A small one comes in the answer; a larger one is added to the node's objects, by reference, and
shared with the one who asked, so that it comes verified, from several peers, and goes on where it
was left. Nobody else can fetch it, and what is not in the folder cannot be asked for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import NetworkError, UsageError, WhispurrError
from whispurrnet.node.peer import Peer, Request
from whispurrnet.store.object import CHUNK_LOG2, Header, Mode, leaf, object_id, top

if TYPE_CHECKING:
    from whispurrnet.node.node import Node

QUESTION = "filesync/content"
INLINE_MAX = 256 * 1024
"""The largest content that comes in the answer: one chunk."""

SHARED_MAX = 4_096
"""Contents that peers may fetch at a time; what was asked for longest ago is shared no longer."""

_INLINE, _FETCH = b"\x00", b"\x01"
_ASK_S = 30.0


class Contents:
    """Gives contents to members, and gets them.

    Args:
        node: Of which the objects are.
        where: Says where a content lies that this peer may have, or None.
    """

    def __init__(self, node: Node, where: Callable[[Peer, bytes], Path | None]) -> None:
        self._node = node
        self._where = where
        self._shared: LruDict[tuple[str, str], Peer] = LruDict(SHARED_MAX)

    def close(self) -> None:
        """Let nobody fetch any more."""
        for (oid, _), peer in self._shared.items():
            self._node.objects.unshare(oid, peer)
        self._shared.clear()

    async def answer(self, request: Request) -> bytes:
        """Give a content to who asks for it, or share it with them.

        Raises:
            UsageError: They may not have it, or it is not as it was.
        """
        oid = request.body
        path = self._where(request.sender, oid)
        if path is None:
            raise UsageError("it is not in this folder any more")
        data = await asyncio.to_thread(_read_small, path)
        if data is not None:
            return _INLINE + data
        text = oid.hex()
        info = await self._node.objects.add(path, pin=False)
        if info.oid != text:
            raise UsageError("it is being changed just now")
        self._node.objects.share(text, request.sender)
        if len(self._shared) >= SHARED_MAX and (oldest := self._shared.pop_oldest()) is not None:
            self._node.objects.unshare(oldest[0][0], oldest[1])
        self._shared.put((text, request.sender.id), request.sender)
        return _FETCH

    async def get(self, oid: bytes, size: int, peers: list[Peer], to: Path) -> None:
        """Bring a content into a new file. Cancelling is safe: what has arrived stays.

        Raises:
            NetworkError: Nobody gave it; says who said what.
            HostError: The disk is full or broken.
        """
        said: dict[str, None] = {}
        sources: list[Peer] = []
        for peer in peers:
            try:
                answer = await peer.request(QUESTION, oid, timeout_s=_ASK_S)
            except WhispurrError as error:
                said[f"{peer.name}: {error}"] = None
                continue
            if answer[:1] == _FETCH and size > INLINE_MAX:
                sources.append(peer)
            elif answer[:1] == _INLINE and _is(answer[1:], oid):
                await asyncio.to_thread(_write, to, answer[1:])
                return
            else:
                said[f"{peer.name} gave something else"] = None
        if not sources:
            raise NetworkError("; ".join(said) or "nobody who is connected has it")
        await self._fetch(oid.hex(), sources, to)

    async def _fetch(self, text: str, sources: list[Peer], to: Path) -> None:
        objects = self._node.objects
        try:
            before = (await objects.info(text)).complete
        except UsageError:
            before = False
        fetching = objects.fetch(text, sources=sources)
        try:
            await fetching
        finally:
            if not fetching.over:
                fetching.stop()
        await objects.export(text, to, overwrite=True)
        if not before:
            await objects.remove(text)


def _read_small(path: Path) -> bytes | None:
    """What is in a small file; None if it is larger.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(file, "rb") as reader:
            data = reader.read(INLINE_MAX + 1)
    except OSError as error:
        raise UsageError("it cannot be read there just now") from error
    return data if len(data) <= INLINE_MAX else None


def _is(data: bytes, oid: bytes) -> bool:
    return object_id(Header(Mode.FIXED, CHUNK_LOG2, len(data)), top([leaf(data)])) == oid


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.write(data)
