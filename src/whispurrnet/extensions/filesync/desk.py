"""The desk: what brings messages of the kind FILE_SYNC to the folder they are about.

A node has one, for as long as it keeps any folder in step. A hello names its folder, and so does a
refusal; what comes later names the talk that the hellos began.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.extensions.extension import Extension
from whispurrnet.extensions.filesync.contents import QUESTION
from whispurrnet.extensions.filesync.members import other_folder
from whispurrnet.extensions.filesync.messages import (
    Hello,
    Member,
    Message,
    No,
    Part,
    SyncCodec,
)
from whispurrnet.node import peer as node_peer

if TYPE_CHECKING:
    from whispurrnet.extensions.filesync.filesync import FileSync
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer, Request


class Desk(Extension):
    """The folders of one node, and who is meant; see `desk_of`."""

    name: ClassVar[str] = "filesync"
    kinds: ClassVar[tuple[str, ...]] = ("FILE_SYNC",)

    def __init__(self) -> None:
        self._codec = SyncCodec()
        self._folders: list[FileSync] = []
        self._users = 0
        self._life = AsyncExitStack()
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def used(self, node: Node) -> AsyncGenerator[None]:
        """Take messages for as long as somebody uses the desk.

        Raises:
            UsageError: Another extension takes them.
        """
        async with self._turn:
            if not self._users:
                await self._life.enter_async_context(self.on(node))
            self._users += 1
        try:
            yield
        finally:
            async with self._turn:
                self._users -= 1
                if not self._users:
                    await self._life.aclose()

    @contextmanager
    def seat(self, folder: FileSync) -> Generator[None]:
        """Bring a folder what is meant for it.

        Raises:
            UsageError: Another one here has the same key, or none either: nobody could tell them
                apart.
        """
        if any(one.key == folder.key for one in self._folders):
            what = "without a key" if folder.key is None else "with the same key"
            raise UsageError(
                f"a folder {what} is kept in step here already; "
                "take another node for one of the two, or share it anew by its own ticket"
            )
        self._folders.append(folder)
        try:
            yield
        finally:
            self._folders.remove(folder)

    async def initialize(self) -> None:
        """Answer who asks for a content."""
        self.node.on_request(QUESTION, self._answer)

    async def cleanup(self) -> None:
        """Answer no more."""

        def refuse(_: Request) -> bytes:
            raise UsageError("no folder is kept in step here any more")

        self.node.on_request(QUESTION, refuse)

    async def _answer(self, request: Request) -> bytes:
        for folder in self._folders:
            if folder.gives(request.sender, request.body):
                return await folder.give(request)
        raise UsageError("it is not in this folder any more")

    async def on_message(self, message: node_peer.Message) -> None:
        """A peer says something about a folder."""
        peer = message.sender
        if peer is None:
            return
        try:
            heard = self._codec.decode(message.body)
        except ProtocolError as error:
            for folder in self._folders:
                folder.break_with(peer, str(error))
            return
        for one in heard:
            for folder in self._meant(peer, one):
                try:
                    folder.hear(peer, one)
                except ProtocolError as error:
                    folder.break_with(peer, str(error))

    def _meant(self, peer: Peer, message: Message) -> list[FileSync]:
        """Which folders a message is about; one that nobody here has is refused."""
        folders = self._folders
        match message:
            case Member(talk=talk) | Part(talk=talk):
                return [one for one in folders if one.expects(peer, talk)]
            case No(folder=name):
                own = bytes.fromhex(self.node.id)
                return [one for one in folders if not name or one.is_called(name, own)]
            case Hello(folder=name):
                found = [one for one in folders if one.is_called(name, peer.record.id)]
                if not found and len(folders) == 1 and not folders[0].greeted_by(peer):
                    return [*folders]  # it refuses, and says so in its status
                if not found:
                    body = self._codec.encode(other_folder(message))
                    peer.whisper(body, kind="FILE_SYNC")
                return found


def desk_of(node: Node) -> Desk:
    """The desk of a node."""
    return _DESKS.setdefault(node, Desk())


_DESKS: WeakKeyDictionary[Node, Desk] = WeakKeyDictionary()
