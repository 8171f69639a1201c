"""FileSync: the extension that keeps a folder the same on several nodes.

    sync = FileSync("notes", named=[friend])
    async with sync.on(node):
        await sync.settled()

It greets the peers that may take part, lets in those who may, and carries what the engine of the
folder has to say; contents come as answers or as objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import msgspec

from whispurrnet.base.errors import UsageError, WhispurrError
from whispurrnet.base.log import get, tag
from whispurrnet.extensions.extension import Extension
from whispurrnet.extensions.filesync import model_events as events
from whispurrnet.extensions.filesync import status
from whispurrnet.extensions.filesync.contents import Contents
from whispurrnet.extensions.filesync.desk import desk_of
from whispurrnet.extensions.filesync.engine import Engine
from whispurrnet.extensions.filesync.journal import KEY_BYTES
from whispurrnet.extensions.filesync.members import Enter, Facts, Members, Refused, Say
from whispurrnet.extensions.filesync.messages import Hello, Member, No, Part, SyncCodec
from whispurrnet.node.node import Node
from whispurrnet.node.peer import Peer, Request

log = get(__name__)

SCAN_S = 1.0
TTL_S = 60.0
PRIORITY = 3


class Status(msgspec.Struct, frozen=True):
    """How a folder is."""

    totals: events.Totals
    items: tuple[events.Item, ...]
    """What is not the same everywhere, and why; at most a thousand."""
    peers: tuple[str, ...]
    """The names of those who take part and are connected."""
    refused: tuple[str, ...]
    """Peers that do not take part, and why."""
    trouble: str
    """What keeps the folder from being kept in step at all, or empty."""
    notes: tuple[str, ...]
    """What was found damaged."""


class FileSync(Extension):
    """Keeps one folder in step with the same folder on other nodes.

    Args:
        folder: It must be there.
        named: Peers, or ids or personas of 64 hexadecimal characters, that may take part.
        key: 32 bytes: whoever has the same may take part; kept in the folder. By default the one
            that is kept there, if any.
        scan_s: Seconds between two looks at the folder.

    Raises:
        UsageError: There is no such folder, or the key is none.
    """

    name: ClassVar[str] = "filesync"
    kinds: ClassVar[tuple[str, ...]] = ("FILE_SYNC",)
    """Which the desk takes for all folders of a node."""

    def __init__(
        self,
        folder: str | Path,
        *,
        named: Iterable[Peer | str] = (),
        key: bytes | None = None,
        scan_s: float = SCAN_S,
    ) -> None:
        self.folder = Path(folder).expanduser().resolve()
        if not self.folder.is_dir():
            raise UsageError(f"{folder} is no folder; make it first")
        if key is not None and len(key) != KEY_BYTES:
            raise UsageError(f"the key of a folder has {KEY_BYTES} bytes, not {len(key)}")
        self._named = {_id(one): None for one in named}
        self._codec = SyncCodec()
        self._lives: dict[int, object] = {}  # of each connected peer, its session
        self._refused: dict[int, str] = {}
        self._engine = Engine(self.folder, key, self, scan_s=scan_s)

    # Life

    @asynccontextmanager
    async def on(self, node: Node) -> AsyncGenerator[FileSync]:
        """Keep the folder in step for as long as the block lasts, beside others of this node.

        Raises:
            UsageError: Another extension takes FILE_SYNC, or another folder here the same key.
            HostError: The folder cannot be written, or another process has it.
        """
        desk = desk_of(node)
        async with desk.used(node):
            self.node = node
            await self.initialize()
            try:
                with desk.seat(self):
                    yield self
            finally:
                await self.cleanup()

    async def initialize(self) -> None:
        """Read the index, begin to look, and greet who is there.

        Raises:
            HostError: The folder cannot be written, or another process has it.
        """
        await self._engine.start()
        journal = self._engine.journal
        self._members = Members(
            journal.device, journal.key() or b"", self._named, secrets.token_bytes
        )
        self._contents = Contents(self.node, self._where)
        self._watching = self.node.spawn(self._watch_peers())

    async def cleanup(self) -> None:
        """End all that is under way; what was begun goes on the next time."""
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        self._contents.close()
        await self._engine.stop()

    # How it is

    @property
    def key(self) -> bytes | None:
        """The folder's key, if it has one."""
        return self._engine.journal.key()

    def status(self) -> Status:
        """The folder at this moment."""
        model = self._engine.model
        return Status(
            totals=status.totals(model),
            items=tuple(status.items(model)),
            peers=tuple(sorted(self._name(peer) for peer in model.peers.lines)),
            refused=tuple(f"{self._name(peer)}: {why}" for peer, why in self._refused.items()),
            trouble=self._engine.trouble,
            notes=tuple(self._engine.journal.notes),
        )

    async def settled(self, *, peers: int = 1, timeout_s: float = 60.0) -> None:
        """Wait until so many peers take part and all have what we have, and we what they have.

        Raises:
            HostError: The folder cannot be kept in step; says why.
            TimeoutError: It took longer.
        """
        async with asyncio.timeout(timeout_s):
            await self._engine.settled(peers)

    def admit(self, peer: Peer | str) -> None:
        """Let another peer take part."""
        self._named[_id(peer)] = None
        if isinstance(peer, Peer):
            self._lives.pop(peer.handle, None)
            self._meet()

    async def changes(self, every_s: float = 0.5) -> AsyncGenerator[Status]:
        """The status, each time that something has changed, but not too often."""
        last = -1
        while True:
            if self._engine.changes != last:
                last = self._engine.changes
                yield self.status()
            await asyncio.sleep(every_s)

    # What the engine asks for

    async def send(self, part: events.SendIndex) -> bool:
        """Tell a peer a part of our index; whether it has it."""
        peer, talk = self._peer(part.peer), self._members.talk(part.peer)
        if peer is None or talk is None:
            return False
        body = self._codec.encode(Part(talk, part.reset, part.upto, part.files))
        try:
            await peer.whisper(body, kind="FILE_SYNC", priority=PRIORITY, ttl_s=TTL_S).received()
        except WhispurrError:
            return False  # the connection is gone; the next talk begins where this one was
        return talk == self._members.talk(part.peer)

    async def get(self, oid: bytes, size: int, peers: tuple[int, ...], to: Path) -> None:
        """Bring a content into a file.

        Raises:
            WhispurrError: It cannot be had; says why.
        """
        there = [peer for one in peers if (peer := self._peer(one)) is not None]
        await self._contents.get(oid, size, there, to)

    def fault(self, peer: int, reason: str) -> None:
        """A peer broke the protocol: it does not take part until it comes anew."""
        log.warning("a peer is let go peer=%s", tag(peer))
        self._refused[peer] = reason
        self._members.down(peer)
        self._engine.changes += 1

    def _where(self, peer: Peer, oid: bytes) -> Path | None:
        """Where a content lies that a peer may have."""
        model = self._engine.model
        if peer.handle not in model.peers.lines:
            return None
        path = next(iter(model.index.holders.get(oid, ())), None)
        return self.folder / path if path is not None else None

    # Peers

    def _name(self, handle: int) -> str:
        peer = self._peer(handle)
        return peer.name if peer is not None else "somebody"

    def _peer(self, handle: int) -> Peer | None:
        return next((peer for peer in self.node.known_peers if peer.handle == handle), None)

    @property
    def _own_id(self) -> bytes:
        return bytes.fromhex(self.node.id)

    async def _watch_peers(self) -> None:
        """Greet who comes, and let go of who left; a connection that was made anew is both."""
        with contextlib.closing(self.node.events()) as feed:
            self._meet()
            async for event in feed:
                if event["type"] in {"peer_up", "peer_down"}:
                    self._meet()

    def _meet(self) -> None:
        lives = {peer.handle: peer.record.live for peer in self.node.peers}
        for handle in [one for one, live in self._lives.items() if live is not lives.get(one)]:
            del self._lives[handle]
            self._refused.pop(handle, None)
            self._members.down(handle)
            self._engine.give(events.Down(handle))
        for peer in self.node.peers:
            if peer.handle not in self._lives:
                self._lives[peer.handle] = peer.record.live
                if self._may_greet(peer):
                    self._say(self._members.up(peer.handle, self._own_id))

    def _may_greet(self, peer: Peer) -> bool:
        ids = (peer.record.id, peer.record.persona or b"")
        return self.key is not None or any(id in self._named for id in ids)

    # What the desk asks and brings

    def is_called(self, name: bytes, sender: bytes) -> bool:
        """Whether a sender means this folder by that name."""
        return self._members.is_called(name, sender)

    def expects(self, peer: Peer, talk: bytes) -> bool:
        """Whether that is our talk with a peer."""
        return self._members.expects(peer.handle, talk)

    def greeted_by(self, peer: Peer) -> bool:
        """Whether a peer said hello to this folder."""
        return self._members.greeted_by(peer.handle)

    def gives(self, peer: Peer, oid: bytes) -> bool:
        """Whether a peer may have a content of this folder."""
        return self._where(peer, oid) is not None

    async def give(self, request: Request) -> bytes:
        """Answer who asks for a content.

        Raises:
            UsageError: It is not as it was.
        """
        return await self._contents.answer(request)

    def break_with(self, peer: Peer, reason: str) -> None:
        """A peer broke the protocol."""
        self.fault(peer.handle, reason)
        self._engine.give(events.Down(peer.handle))

    def hear(self, peer: Peer, message: Hello | Member | Part | No) -> None:
        """A peer says something about this folder.

        Raises:
            ProtocolError: It came out of turn.
        """
        match message:
            case No(text=text):
                self._refused[peer.handle] = f"it refuses: {text}"
                self._engine.changes += 1
            case Part(talk, reset, upto, files):
                if talk == self._members.talk(peer.handle):
                    self._engine.give(events.Index(peer.handle, reset, upto, files))
            case Hello() | Member():
                facts = Facts(peer.handle, peer.record.id, peer.record.persona)
                self._say(self._members.handle(facts, message, self._own_id, self._have))

    def _have(self, device: int) -> int:
        remote = self._engine.model.peers.remotes.get(device)
        return remote.upto if remote is not None else 0

    def _say(self, effects: Iterable[Say | Enter | Refused]) -> None:
        for effect in effects:
            match effect:
                case Say(handle, message):
                    if (peer := self._peer(handle)) is not None:
                        body = self._codec.encode(message)
                        peer.whisper(body, kind="FILE_SYNC", priority=PRIORITY, ttl_s=TTL_S)
                case Enter(handle, device, have):
                    self._refused.pop(handle, None)
                    self._engine.give(events.Up(handle, device, self._name(handle), have))
                case Refused(handle, reason):
                    self._refused[handle] = reason
                    self._engine.changes += 1
                    self._engine.give(events.Down(handle))


def _id(peer: Peer | str) -> bytes:
    if isinstance(peer, Peer):
        return bytes.fromhex(peer.persona or peer.id)
    try:
        id = bytes.fromhex(peer)
    except ValueError:
        id = b""
    if len(id) != KEY_BYTES:
        raise UsageError(f"not a peer: {peer[:70]!r}; its id has 64 hexadecimal characters")
    return id
