"""The folders that the settings name, for as long as a node runs: `[sync]`.

    for keeper in keepers(node, settings.sync):
        await life.enter_async_context(keeper)

Each can pause, and goes on where it was. A folder that cannot be kept in step does not stop the
node: `why` says what is wrong, and `resume` tries again.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal

from whispurrnet.base.errors import ConfigError, UsageError, WhispurrError
from whispurrnet.base.log import get
from whispurrnet.extensions.filesync import invitation
from whispurrnet.extensions.filesync.filesync import FileSync, Status
from whispurrnet.extensions.filesync.journal import KEY_BYTES, kept_key
from whispurrnet.node.sections import SyncSettings

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer

log = get(__name__)
State = Literal["running", "paused", "failed"]
ADMITTED_MAX: Final = 256
"""Peers that may be let in while the node runs."""


class Keeper:
    """Keeps the folder of some settings in step.

    Args:
        node: It runs.
        settings: They name a folder.

    Raises:
        ConfigError: Who is to take part is not what it should be.
    """

    def __init__(self, node: Node, settings: SyncSettings) -> None:
        self.folder = Path(settings.folder).expanduser().absolute()
        self.why = ""
        """What keeps it from being kept in step, or empty."""
        self._node = node
        self._sync: FileSync | None = None
        self._life = AsyncExitStack()
        self._turn = asyncio.Lock()
        self._paused = False
        self._admitted: dict[str, Peer | str] = {}
        try:
            self._invited = invitation.invited((*settings.peers, *_ticket(settings)))
        except UsageError as error:
            raise ConfigError(f"settings: `sync` is wrong: {error}") from None

    @property
    def name(self) -> str:
        """What to call the folder; no path."""
        return self.folder.name

    @property
    def state(self) -> State:
        """Whether it is kept in step."""
        if self._sync is not None:
            return "failed" if self._sync.status().trouble else "running"
        return "paused" if self._paused else "failed"

    def status(self) -> Status | None:
        """How the folder is, if it is being kept in step."""
        return self._sync.status() if self._sync is not None else None

    async def __aenter__(self) -> Keeper:
        await self.resume()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.pause()

    async def resume(self) -> None:
        """Keep it in step, from where it was; what is wrong is told by `why`."""
        async with self._turn:
            self._paused = False
            if self._sync is not None and self._sync.status().trouble:
                await self._stop()
            if self._sync is None:
                try:
                    await self._start()
                    self.why = ""
                except WhispurrError as error:
                    log.warning("the folder of the settings cannot be kept in step")
                    self.why = str(error)
                    await self._stop()

    async def pause(self) -> None:
        """Keep it in step no longer; what was begun goes on later."""
        async with self._turn:
            await self._stop()
            self._paused, self.why = True, ""

    def admit(self, peer: Peer) -> None:
        """Let another peer take part, for as long as the node runs.

        Raises:
            UsageError: There are too many.
        """
        if len(self._admitted) >= ADMITTED_MAX and peer.id not in self._admitted:
            raise UsageError(f"{ADMITTED_MAX} peers were let in already; share the folder's ticket")
        self._admitted[peer.id] = peer
        if self._sync is not None:
            self._sync.admit(peer)

    async def _start(self) -> None:
        named = self._invited.named
        kept = await asyncio.to_thread(kept_key, self.folder)
        key = self._invited.key
        if key is not None and kept is not None and key != kept:
            raise UsageError(
                f"{self.name} is shared already, under another key; "
                "take another folder, or delete its `.whispurr` to share it anew"
            )
        key = key or kept
        if key is None and not named and not self._invited.tickets:
            key = secrets.token_bytes(KEY_BYTES)
        sync = FileSync(self.folder, named=(*named, *self._admitted.values()), key=key)
        await self._life.enter_async_context(sync.on(self._node))
        self._sync = sync
        works = [
            invitation.call(
                self._node, sync, self._invited.tickets, admit=key is None, failed=self._missed
            )
        ]
        if key is not None:
            works.append(invitation.seek(self._node, sync, key))
        for work in works:
            self._life.callback(self._node.spawn(work).cancel)

    async def _stop(self) -> None:
        self._sync = None
        await self._life.aclose()

    @staticmethod
    def _missed(_: str) -> None:
        """A node that is not reached is called again, and stands in the status of the node."""


def keepers(node: Node, settings: SyncSettings) -> list[Keeper]:
    """One for each folder; only `folder` goes by the ticket and the peers of the settings.

    Raises:
        ConfigError: Two have one name, or who is to take part is not what it should be.
    """
    more = (SyncSettings(folder=folder) for folder in settings.folders)
    found = [Keeper(node, one) for one in (settings, *more) if one.folder]
    names = [keeper.name for keeper in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"settings: `sync` names two folders that are called {name!r}; rename one"
            )
    return found


def _ticket(settings: SyncSettings) -> tuple[str, ...]:
    return (settings.ticket.reveal(),) if settings.ticket else ()
