"""The objects of a node: `node.objects`.

What a node keeps is named by what it is (`store.object`), so it can be had from anybody who has it,
and checked. Nobody gets anything that was not shared with him.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.disk.shelf import Shelf
from whispurrnet.node import sealed
from whispurrnet.node.fetching import Fetching, Progress
from whispurrnet.node.holdings import Holdings, ObjectInfo
from whispurrnet.node.object_disk import ObjectDisk
from whispurrnet.node.parts import Part
from whispurrnet.node.peer import Peer
from whispurrnet.node.sections import ObjectSettings
from whispurrnet.node.sets import Sets
from whispurrnet.stack import events, object_events
from whispurrnet.store import access, transfer_events
from whispurrnet.store.messages import Metrics
from whispurrnet.store.sealing import new_key
from whispurrnet.wire.ids import ObjectId, parse_object_id

if TYPE_CHECKING:
    from whispurrnet.node.node import Node

TOLD_MAX = 1024
"""Peers of whom we remember how full their store is."""

SET_EFFECTS = get_args(object_events.SetEffect)
GRANTS = "grants"
"""Under which name the shelf keeps what is shared with whom."""


class Objects(Holdings):
    """What one node keeps, shares and fetches.

    Nothing is written to the disk, beyond a folder that goes with the node, unless the settings
    name one.

    Args:
        node: Whose objects these are.
        settings: Where they are kept, and how much.
    """

    def __init__(self, node: Node, settings: ObjectSettings) -> None:
        self._node = node
        self._settings = settings
        self._disk: ObjectDisk | None = None
        self._fetching: dict[ObjectId, list[Fetching]] = {}
        self._running: dict[Fetching, None] = {}
        self.fetched_bytes = 0
        """What has come from peers since the start and was right."""
        self._told: LruDict[int, Metrics] = LruDict(TOLD_MAX)
        """How full the stores of peers are, as they say."""
        self.sets = Sets(self)
        """Sets of objects that are kept in step with those of other nodes."""

    # Life

    async def start(self) -> None:
        """Open the shelf, if it is in a folder of the user's, and take up its sets.

        Raises:
            HostError: It cannot be used; says why.
        """
        if self._settings.folder:
            self._open()
            await self.sets.load()
        if self._settings.upload_bps or self._settings.download_bps:
            self.limit(
                up=self._settings.upload_bps or None, down=self._settings.download_bps or None
            )

    def close(self) -> None:
        """Let go of the disk."""
        for fetching in list(self._running):
            fetching.fail(HostError("the node was closed"))
        if self._disk is not None:
            self._disk.close()

    def _open(self) -> ObjectDisk:
        if self._disk is None:
            from whispurrnet.node.node import wall_ms

            folder = Path(self._settings.folder).expanduser() if self._settings.folder else None
            shelf = Shelf(folder, quota_bytes=self._settings.quota_bytes or None, wall_ms=wall_ms)
            kept = shelf.kept(GRANTS)
            if kept is not None:
                self._node.submit(object_events.LoadGrants(kept))
            self._disk = ObjectDisk(shelf, self._node.submit, self._stored)
        return self._disk

    @property
    def opened(self) -> bool:
        """Whether there is a shelf; one that nobody needed yet is not made to look at it."""
        return self._disk is not None

    @property
    def notes(self) -> list[str]:
        """What was found damaged or lost, in words for people."""
        return self._disk.shelf.notes if self._disk is not None else []

    # Sealed objects

    async def seal(
        self, what: bytes | str | Path, *, pin: bool = True
    ) -> tuple[ObjectInfo, Secret]:
        """Keep bytes, or a file, so that whoever keeps a copy knows nothing of it but its size.

        Returns:
            The object, and its key of 32 bytes: without that nobody can open it again.

        Raises:
            UsageError: There is no such file.
            HostError: It cannot be read, or the disk is full.
            LimitError: It does not fit the quota.
        """
        disk, key = self._open(), new_key(secrets.token_bytes)

        def work() -> ObjectInfo:
            content = what if isinstance(what, bytes) else Path(what)
            entry = sealed.add(disk.shelf, content, key)
            if pin:
                disk.shelf.pin(entry.oid)
            return self._info(entry)

        return self._added(await disk.do(work)), key

    async def unseal(
        self, oid: str, key: bytes, to: str | Path, *, overwrite: bool = False
    ) -> None:
        """Open a sealed object that is here into a file, whole or not at all.

        Raises:
            UsageError: It is not here, is not sealed, or something is in the way.
            AuthError: The key is wrong.
            HostError: The disk is full or broken.
        """
        disk, wanted = self._open(), _oid(oid)
        await disk.do(lambda: sealed.export(disk.shelf, wanted, key, Path(to), overwrite=overwrite))

    # Sharing

    def share(self, oid: str, to: Literal["cap", "everyone"] | Peer | str = "cap") -> Secret | None:
        """Let somebody have an object and all that it names.

        Args:
            oid: The object; it need not be here yet.
            to: `cap`: whoever shows the capability that is returned; `everyone` that is connected;
                a peer, as long as this node runs; or the id of a persona, 64 hexadecimal
                characters.

        Returns:
            The capability, 32 bytes, if that is how it is shared.

        Raises:
            UsageError: It is none of these.
            LimitError: Too much is shared.
        """
        root, whom = _oid(oid), _whom(to)
        self._open()
        answer = self._node.ask(object_events.Share(root, whom), object_events.SharedBy)
        self._keep_grants()
        return answer.cap

    def adopt(self, oid: str, cap: bytes) -> None:
        """Let whoever shows this capability have an object and all that it names."""
        self._open()
        event = object_events.Share(_oid(oid), access.Holder(), Secret(cap))
        self._node.ask(event, object_events.SharedBy)
        self._keep_grants()

    def unshare(self, oid: str, to: Literal["cap", "everyone"] | Peer | str | None = None) -> None:
        """Let somebody have it no longer, or nobody."""
        self._open()
        whom = None if to is None else _whom(to)
        self._node.submit(object_events.Unshare(_oid(oid), whom))
        self._keep_grants()

    def _keep_grants(self) -> None:
        if self._settings.folder:
            self._shelf.keep(GRANTS, self._node.stack.exchange.grants.encode())

    # Fetching

    def fetch(
        self,
        oid: str,
        *,
        sources: Sequence[Peer] = (),
        cap: bytes | None = None,
        collection: bool = False,
        priority: int = transfer_events.PRIORITY,
        part: tuple[int, int] | None = None,
    ) -> Fetching:
        """Get an object from peers that have it; goes on where it was left.

        Args:
            oid: The object.
            sources: Who may have it; more can be added later.
            cap: The capability by which it is shared, if that is how.
            collection: It is a folder: get all that it names, too.
            priority: 0 to 4; the rate is shared as 2^priority.
            part: Only the chunks that hold these bytes: the first, from 0, and how many; then
                `read` gives them.

        Returns:
            What can be awaited, watched, and stopped.

        Raises:
            UsageError: It is no object's id, or there can be no such part.
        """
        if part is not None and collection:
            raise UsageError("of a folder there are no parts; fetch one of its files")
        wanted = Part(*part) if part is not None else None
        fetching = Fetching(
            self,
            _oid(oid),
            Secret(cap) if cap else None,
            priority,
            collection=collection,
            part=wanted,
        )
        for peer in sources:
            fetching.add(peer)
        fetching.begin()
        return fetching

    def transfers(self) -> tuple[Progress, ...]:
        """What is being fetched now."""
        return tuple(fetching.now for fetching in self._running)

    def limit(
        self, *, up: float | None = None, down: float | None = None, peer_up: float | None = None
    ) -> None:
        """How fast objects may move, in bytes a second; None is as fast as they can.

        Args:
            up: All that is sent.
            down: All that is fetched.
            peer_up: What is sent to any one peer.
        """
        self._node.submit(transfer_events.SetLimits(down=down, up=up, up_peer=peer_up))

    # From the stack

    def perform(self, effect: events.Effect) -> None:
        """Do what the stack wants done with objects."""
        match effect:
            case transfer_events.Progress() | transfer_events.Failed() | transfer_events.Blame():
                for fetching in list(self._fetching.get(effect.oid, ())):
                    fetching.told(effect)
            case transfer_events.Done():
                if self._disk is not None:
                    self._disk.write(effect)
            case transfer_events.Missing():
                self._missed(effect.peer, effect.oids)
            case (
                transfer_events.Look()
                | transfer_events.ReadPage()
                | transfer_events.Read()
                | transfer_events.ReadSmall()
            ):
                self._open().read(effect)
            case (
                transfer_events.Begin()
                | transfer_events.StorePage()
                | transfer_events.Store()
                | transfer_events.StoreSmall()
            ):
                self.fetched_bytes += _bytes_of(effect)
                self._open().write(effect)
            case object_events.StorageTold():
                self._told.put(effect.peer, effect.metrics)
            case _ if isinstance(effect, SET_EFFECTS):
                self.sets.perform(effect)  # pyright: ignore[reportArgumentType]
            case _:
                raise AssertionError(f"nobody does {type(effect).__name__}")

    def _missed(self, peer: int, oids: Sequence[ObjectId]) -> None:
        missed: dict[Fetching, list[ObjectId]] = {}
        for oid in oids:
            for fetching in self._fetching.get(oid, ()):
                missed.setdefault(fetching, []).append(oid)
        for fetching, some in missed.items():
            fetching.missed(peer, some)
        self.sets.missing(peer, oids)

    def told_by(self, peer: Peer) -> Metrics | None:
        """How full the store of a peer is, as it told us the last time (`Chum.storage_of`)."""
        return self._told.peek(peer.handle)

    def _stored(self, ended: Sequence[transfer_events.Done | transfer_events.Failed]) -> None:
        whole: list[ObjectId] = []
        failed: list[ObjectId] = []
        for one in ended:
            for fetching in list(self._fetching.get(one.oid, ())):
                fetching.told(one)
            if isinstance(one, transfer_events.Failed):
                failed.append(one.oid)
            elif one.complete:
                whole.append(one.oid)
                self.tell("object", oid=one.oid.hex(), came="peer")
        self.sets.missing(None, failed)
        self.sets.stored(whole, whole=False)

    def give_up(self, oid: ObjectId) -> None:
        """Nobody needs this any more: end every fetch of it."""
        for fetching in list(self._running):
            if fetching.oid == oid:
                fetching.stop()

    def also_from(self, oid: ObjectId, peer: int) -> None:
        """This peer has it, and what it names, too."""
        known = self._node.peer_of(peer)
        for fetching in list(self._running):
            if fetching.oid == oid and known is not None:
                fetching.add(known)

    def tell(self, type: str, **facts: Any) -> None:
        """Tell those who watch the node; no name of a file is among it."""
        self._node.tell(type, **facts)

    # For what fetches

    @property
    def node(self) -> Node:
        """Whose objects these are."""
        return self._node

    @property
    def disk(self) -> ObjectDisk:
        """Where they are."""
        return self._open()

    def running(self, fetching: Fetching, *, ends: bool = False) -> None:
        """A fetch begins, or ends."""
        if ends:
            self._running.pop(fetching, None)
        else:
            self._running[fetching] = None

    def wait_for(self, oid: ObjectId, fetching: Fetching) -> bool:
        """Tell a fetch what becomes of an object; whether it is the first that asks."""
        waiting = self._fetching.setdefault(oid, [])
        waiting.append(fetching)
        return len(waiting) == 1

    def wait_no_more(self, oid: ObjectId, fetching: Fetching) -> bool:
        """Tell it no longer; whether nobody waits for this object any more."""
        waiting = self._fetching.get(oid, [])
        if fetching in waiting:
            waiting.remove(fetching)
        if not waiting:
            self._fetching.pop(oid, None)
        return not waiting


def _bytes_of(effect: events.Effect) -> int:
    """How much of objects is to be stored."""
    if isinstance(effect, transfer_events.Store):
        return len(effect.data)
    if isinstance(effect, transfer_events.StoreSmall):
        return sum(len(data) for _, _, data in effect.objects)
    return 0


def _oid(text: str) -> ObjectId:
    return parse_object_id(text)


def _whom(to: Peer | str) -> access.Whom:
    if isinstance(to, Peer):
        return access.Peer(bytes.fromhex(to.id))
    if to == "everyone":
        return access.Everyone()
    if to == "cap":
        return access.Holder()
    try:
        return access.Persona(bytes.fromhex(to))
    except ValueError:
        raise UsageError(
            f"share with `cap`, `everyone`, a peer or the 64 hexadecimal characters of a "
            f"long-term identity, not {to[:70]!r}"
        ) from None
