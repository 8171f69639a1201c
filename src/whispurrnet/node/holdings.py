"""What a node has of objects: adding, reading, writing out, keeping. One half of `node.objects`."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from whispurrnet.base.errors import UsageError
from whispurrnet.disk.shelf import Shelf
from whispurrnet.disk.shelf_entry import Entry, Metrics, Report
from whispurrnet.node import folders, parts
from whispurrnet.node.incoming import Incoming
from whispurrnet.node.object_disk import ObjectDisk
from whispurrnet.store import manifest
from whispurrnet.store.object import CHUNK_LOG2, Header, Mode, small_id
from whispurrnet.wire.ids import ObjectId, parse_object_id

GET_MAX = 64 << 20
"""What `get` gives at most, in bytes; `read` gives parts of anything."""

ModeName = Literal["fixed", "cdc"]


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say of an object of ours."""

    oid: str
    """64 hexadecimal characters."""
    size: int
    """In bytes."""
    chunks: int
    mode: str
    """How it is cut: `fixed`, `cdc` or `sealed`."""
    complete: bool
    collection: bool
    """Whether it is a folder that names others."""
    reference: bool
    """Whether it is kept where the user has it, and must not change."""
    pinned: bool
    added_ms: int
    """Unix time in milliseconds."""


class Holdings(ABC):
    """The half of `Objects` that needs no other node."""

    @abstractmethod
    def _open(self) -> ObjectDisk:
        """The disk, opened when it is needed first."""

    @abstractmethod
    def tell(self, type: str, **facts: Any) -> None:
        """Tell those who watch the node."""

    # What we have

    async def add(
        self,
        what: bytes | str | Path,
        *,
        copy: bool = False,
        mode: ModeName = "fixed",
        public: bool = False,
        pin: bool = True,
        progress: Callable[[int], None] | None = None,
    ) -> ObjectInfo:
        """Keep bytes, or a file.

        Args:
            what: Bytes, or the path of a file.
            copy: Copy the file; otherwise it stays where it is, and must not change.
            mode: How it is cut: `fixed`, or `cdc` so that versions have chunks in common (needs
                the extra `whispurrnet[cdc]`).
            public: It is no secret, and may be compressed on its way.
            pin: Keep it until it is unpinned.
            progress: Is told how many bytes are done, from another thread.

        Raises:
            UsageError: There is no such file, or mode.
            HostError: It cannot be read, or the disk is full.
            LimitError: It does not fit the quota.
        """
        cut = _cut(mode)
        disk = self._open()

        def work() -> ObjectInfo:
            shelf = disk.shelf
            if isinstance(what, bytes):
                entry = shelf.add_bytes(what, mode=cut, public=public)
            else:
                entry = shelf.add_file(
                    Path(what), copy=copy, mode=cut, public=public, progress=progress
                )
            if pin:
                shelf.pin(entry.oid)
            return self._info(entry)

        return self._added(await disk.do(work))

    async def add_stream(
        self,
        parts: AsyncIterable[bytes],
        *,
        mode: ModeName = "fixed",
        public: bool = False,
        pin: bool = True,
        size_max: int | None = None,
    ) -> ObjectInfo:
        """Keep what comes in parts, without ever holding all of it in memory.

        Args:
            parts: One after the other; if they end with an error, nothing is kept.
            mode: As for `add`.
            public: As for `add`.
            pin: As for `add`.
            size_max: How many bytes it may have.

        Raises:
            HostError: The disk is full or broken.
            LimitError: It does not fit the quota, or is larger than allowed.
        """
        disk = self._open()
        incoming = Incoming(disk.shelf.fresh(), size_max)
        try:
            async for part in parts:
                if incoming.take(part):
                    await disk.do(incoming.write)
            await disk.do(incoming.finish)
            return await self.add(incoming.path, copy=True, mode=mode, public=public, pin=pin)
        finally:
            await disk.do(incoming.discard)

    async def add_many(self, parts: Sequence[bytes]) -> Sequence[str]:
        """Keep many small objects at once, each of at most 64 KiB; their ids, in order.

        Raises:
            UsageError: One is too large.
            HostError: The disk is full; none of them is kept.
            LimitError: They do not fit the quota; none of them is kept.
        """
        disk = self._open()

        def work() -> list[str]:
            made: list[tuple[ObjectId, Header, bytes]] = []
            for data in parts:
                header = Header(Mode.FIXED, CHUNK_LOG2, len(data))
                if not header.inline:
                    raise UsageError(f"{len(data)} bytes are too many for a small object; `add` it")
                made.append((small_id(header, data), header, data))
            disk.shelf.put_small(made)
            return [oid.hex() for oid, _, _ in made]

        return await disk.do(work)

    async def add_folder(
        self,
        path: str | Path,
        *,
        copy: bool = False,
        public: bool = False,
        pin: bool = True,
        progress: Callable[[int], None] | None = None,
    ) -> ObjectInfo:
        """Keep a folder and all that is in it as one collection; links are left out.

        Raises:
            UsageError: There is no such folder, or a name in it cannot be used elsewhere.
            HostError: It cannot be read, or the disk is full.
            LimitError: It does not fit the quota.
        """
        disk = self._open()

        def work() -> ObjectInfo:
            oid = folders.add(disk.shelf, Path(path), copy=copy, public=public, progress=progress)
            if pin:
                disk.shelf.pin(oid)
            return self._info(self._entry(oid))

        return self._added(await disk.do(work))

    async def wrap(self, entries: Mapping[str, str]) -> ObjectInfo:
        """Make a collection of objects that are here.

        Args:
            entries: Names, and the object of each.

        Raises:
            UsageError: A name cannot be used, or an object is not here.
        """
        disk = self._open()

        def work() -> ObjectInfo:
            oid = folders.wrap(
                disk.shelf,
                {name: self._entry(parse_object_id(oid)).oid for name, oid in entries.items()},
            )
            disk.shelf.pin(oid)
            return self._info(self._entry(oid))

        return self._added(await disk.do(work))

    async def info(self, oid: str) -> ObjectInfo:
        """What there is to say of an object.

        Raises:
            UsageError: It is not here.
        """
        return await self._open().do(lambda: self._info(self._entry(parse_object_id(oid))))

    async def list(self, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """Objects in the order of their ids, from the one that follows `after`."""
        disk = self._open()
        start = parse_object_id(after) if after else None

        def work() -> list[ObjectInfo]:
            pinned = set(disk.shelf.pins())
            return [self._info(one, pinned) for one in disk.shelf.entries(start, limit)]

        return await disk.do(work)

    async def entries(self, oid: str) -> Sequence[manifest.Entry]:
        """What a collection names.

        Raises:
            UsageError: It is not here.
            ProtocolError: It is none.
        """
        disk = self._open()
        wanted = parse_object_id(oid)
        return await disk.do(lambda: folders.entries(disk.shelf, wanted))

    async def get(self, oid: str) -> bytes:
        """All bytes of an object that is here.

        Raises:
            UsageError: It is not here, or larger than 64 MiB.
        """
        info = await self.info(oid)
        if info.size > GET_MAX:
            raise UsageError(f"the object has {info.size} bytes; read parts of it, or export it")
        return await self.read(oid, 0, info.size)

    async def read(self, oid: str, start: int = 0, n: int | None = None) -> bytes:
        """Bytes of an object, from `start`; at most 64 MiB at a time.

        Raises:
            UsageError: They are not here.
        """
        disk, wanted = self._open(), parse_object_id(oid)

        def work() -> bytes:
            size = self._entry(wanted).header.size
            count = min(size - start if n is None else n, GET_MAX)
            return disk.shelf.read_range(wanted, start, max(0, count))

        return await disk.do(work)

    async def holds(self, oid: str, start: int, n: int) -> bool:
        """Whether these bytes of an object are here, so that they can be read.

        Raises:
            UsageError: It has no such bytes, or nothing of it is here.
        """
        disk, wanted, part = self._open(), parse_object_id(oid), parts.Part(start, n)

        def work() -> bool:
            if self._entry(wanted).complete:
                return True
            known = parts.known(disk.shelf, wanted)
            return known is not None and not part.chunks(wanted, known).missing

        return await disk.do(work)

    async def export(
        self,
        oid: str,
        to: str | Path,
        *,
        overwrite: bool = False,
        move: bool = False,
        collection: bool | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Sequence[Path]:
        """Write an object to a file, or what a collection names into a folder.

        Args:
            oid: The object.
            to: The file, or the folder; made if it is not there.
            overwrite: Replace files that are there.
            move: Keep the object by reference from now on, if the disk is the same: nothing is
                copied, and the file must not change.
            collection: Whether it is meant as a folder; None: if it looks like one.
            progress: Is told how many bytes are done, from another thread.

        Returns:
            The files that were written.

        Raises:
            UsageError: It is not here, or something is in the way: then nothing was written.
            HostError: The disk is full or broken.
        """
        disk, wanted = self._open(), parse_object_id(oid)
        return await disk.do(
            lambda: folders.export(
                disk.shelf,
                self._entry(wanted).oid,
                Path(to),
                overwrite=overwrite,
                move=move,
                collection=collection,
                told=progress,
            )
        )

    # Keeping

    async def pin(self, oid: str) -> None:
        """Keep an object, and what it names, until it is unpinned."""
        disk = self._open()
        await disk.do(lambda: disk.shelf.pin(parse_object_id(oid)))

    async def unpin(self, oid: str) -> None:
        """Do not keep it any more, nor what it names.

        It goes with a `gc` when nobody has used it for an hour. What was never pinned stays for
        two weeks, unless room is needed.
        """
        disk, wanted = self._open(), parse_object_id(oid)

        def work() -> None:
            disk.shelf.unpin(wanted)
            for one in (wanted, *disk.shelf.members(wanted)):
                disk.shelf.lease(one, 0)

        await disk.do(work)

    async def remove(self, oid: str) -> None:
        """Remove an object now, whoever kept it."""
        disk = self._open()
        await disk.do(lambda: disk.shelf.remove([parse_object_id(oid)]))

    async def gc(self) -> Report:
        """Remove what nobody keeps any more and nobody has used for an hour; see `unpin`."""
        disk = self._open()
        return await disk.do(lambda: disk.shelf.gc(time.time_ns() // 1_000_000))

    async def metrics(self) -> Metrics:
        """How full the shelf is."""
        disk = self._open()
        return await disk.do(disk.shelf.metrics)

    # Within

    @property
    def _shelf(self) -> Shelf:
        return self._open().shelf

    def _added(self, info: ObjectInfo) -> ObjectInfo:
        self.tell("object", oid=info.oid, came="here")
        return info

    def _entry(self, oid: ObjectId) -> Entry:
        entry = self._shelf.entry(oid)
        if entry is None:
            raise UsageError(f"object {oid.hex()[:16]}... is not here; fetch it first")
        return entry

    def _info(self, entry: Entry, pinned: set[ObjectId] | None = None) -> ObjectInfo:
        return ObjectInfo(
            oid=entry.oid.hex(),
            size=entry.header.size,
            chunks=entry.chunks,
            mode=entry.header.mode.name.lower(),
            complete=entry.complete,
            collection=entry.complete and folders.is_collection(self._shelf, entry),
            reference=entry.reference,
            pinned=entry.oid in (self._shelf.pins() if pinned is None else pinned),
            added_ms=entry.added_ms,
        )


def _cut(mode: str) -> Mode:
    """The mode of this name; to seal an object is more than to cut it: see `store.sealing`."""
    if mode not in get_args(ModeName):
        raise UsageError(f"an object is cut as `fixed` or `cdc`, not as {mode[:20]!r}")
    return Mode[mode.upper()]
