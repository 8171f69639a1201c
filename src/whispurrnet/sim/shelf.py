"""What a simulated node has of objects: a shelf in memory, which trusts nobody.

It does what `node.object_disk` does with `disk.shelf`, and checks once more, by itself, all that it
is given to store: a stack that hands on what it has not verified is found out at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from whispurrnet.stack import events, object_events
from whispurrnet.store import manifest
from whispurrnet.store import transfer_events as moves
from whispurrnet.store.messages import Whole
from whispurrnet.store.object import CHUNK_LOG2, SMALL_MAX, Header, Mode, Page, small_id
from whispurrnet.store.outline import Growing, Outline
from whispurrnet.store.packing import pack
from whispurrnet.store.runs import pack as runs_of
from whispurrnet.wire.ids import ObjectId


class Kept:
    """One object, maybe not all of it.

    Args:
        oid: Its id.
        header: Its header.
    """

    def __init__(self, oid: ObjectId, header: Header) -> None:
        self.oid = oid
        self.header = header
        self.public = False
        self.complete = False
        self.growing = Growing(oid)
        self.pages: dict[int, Page] = {}
        self.chunks: dict[int, bytes] = {}

    @property
    def data(self) -> bytes:
        """All that is there, in order."""
        return b"".join(self.chunks[index] for index in sorted(self.chunks))

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """The chunks that are there."""
        return tuple(runs_of(sorted(self.chunks)))

    def put(self, page: Page) -> None:
        """Keep a page.

        Raises:
            ProtocolError: It is not one of this object.
        """
        self.growing.put(self.header.pack(), page)
        self.pages[page.index] = page

    def write(self, index: int, chunk: bytes) -> None:
        """Keep a chunk.

        Raises:
            ProtocolError: It is not one of this object.
        """
        self.growing.check(index, chunk)
        assert index not in self.chunks, "a chunk is stored a second time"
        self.chunks[index] = chunk

    def finish(self) -> None:
        """All of it is there."""
        assert len(self.chunks) == self.growing.chunks, "a part is said to be whole"
        assert len(self.data) == self.header.size, "a whole object is not as long as it says"
        self.complete = True


class Shelf:
    """The objects of one node."""

    def __init__(self) -> None:
        self.kept: dict[ObjectId, Kept] = {}
        self.stored = 0
        """How many chunks and small objects came from others."""
        self._parents: dict[ObjectId, dict[bytes, None]] = {}

    def add(self, data: bytes, *, chunk_log2: int = CHUNK_LOG2, public: bool = False) -> ObjectId:
        """Keep an object of our own."""
        header = Header(Mode.FIXED, chunk_log2, len(data))
        outline = Outline.of(header, data)
        kept = self.kept[outline.id] = Kept(outline.id, header)
        kept.public = public
        for number in range(outline.pages):
            kept.put(outline.page(number))
        for index in range(outline.chunks):
            kept.write(index, data[index << chunk_log2 : (index + 1) << chunk_log2])
        self._finish(kept)
        return outline.id

    def has(self, oid: bytes) -> bool:
        """Whether all of an object is here."""
        kept = self.kept.get(ObjectId(oid))
        return kept is not None and kept.complete

    def known(self, oid: ObjectId) -> moves.Known | None:
        """What there is of an object that is to be fetched."""
        kept = self.kept.get(oid)
        if kept is None:
            return None
        return moves.Known(header=kept.header, pages=tuple(kept.pages.values()), runs=kept.runs)

    def put_below(self, root: bytes, oid: bytes) -> None:
        """Whoever may see this root may see the object."""
        self._parents.setdefault(ObjectId(oid), {})[root] = None

    def roots_of(self, oid: ObjectId) -> tuple[bytes, ...]:
        """The object itself, and all collections and sets that it belongs to."""
        found: dict[bytes, None] = {oid: None}
        todo = [oid]
        while todo:
            for root in self._parents.get(todo.pop(), ()):
                if root not in found:
                    found[root] = None
                    todo.append(ObjectId(root))
        return tuple(found)

    # What the stack wants

    def perform(self, effect: events.Effect) -> list[events.Event] | None:
        """Do what is for the disk; None if it is not.

        Raises:
            ProtocolError: It is to store what is not what it should be.
        """
        match effect:
            case moves.Look(ticket, _, oid):
                return [self.look(ticket, oid)]
            case moves.ReadPage(ticket, oid, page):
                kept = self.kept.get(oid)
                return [moves.Paged(ticket, kept.pages.get(page) if kept is not None else None)]
            case moves.Read(ticket, oid, index, count, packs):
                return [moves.ReadDone(ticket, self.read(oid, index, count, packs=packs))]
            case moves.ReadSmall(ticket, _, oids):
                return [object_events.SmallLooked(ticket, self.small(oids))]
            case (
                moves.Begin()
                | moves.StorePage()
                | moves.Store()
                | moves.StoreSmall()
                | moves.Done()
            ):
                return self._write(effect)
            case _:
                return None

    def look(self, ticket: int, oid: ObjectId) -> events.Event:
        """Whether there is such an object."""
        kept = self.kept.get(oid)
        if kept is None:
            return object_events.ObjectLooked(ticket, None, ())
        found = moves.Found(kept.header, kept.complete, kept.runs, kept.public)
        return object_events.ObjectLooked(ticket, found, self.roots_of(oid))

    def read(self, oid: ObjectId, index: int, count: int, *, packs: bool) -> list[bytes] | None:
        """Some chunks."""
        chunks = [self.kept[oid].chunks[at] for at in range(index, index + count)]
        if packs:
            assert self.kept[oid].public, "what is not public is to be packed"
            return [pack(chunk) for chunk in chunks]
        return chunks

    def small(
        self, oids: Sequence[ObjectId]
    ) -> tuple[tuple[ObjectId, Header, bytes, tuple[bytes, ...]], ...]:
        """Those of these that are here, whole, and small, with their roots."""
        found = [kept for oid in oids if (kept := self.kept.get(oid)) is not None]
        return tuple(
            (kept.oid, kept.header, kept.data, self.roots_of(kept.oid))
            for kept in found
            if kept.complete and kept.header.size <= SMALL_MAX
        )

    def _write(
        self, effect: moves.Begin | moves.StorePage | moves.Store | moves.StoreSmall | moves.Done
    ) -> list[events.Event]:
        match effect:
            case moves.Begin(oid, header):
                self._begin(oid, header)
            case moves.StorePage(oid, header, page):
                self._begin(oid, header).put(page)
            case moves.Store(oid, index, data):
                if not self.has(oid):  # it may have come whole meanwhile
                    self.kept[oid].write(index, data)
                self.stored += 1
                return [moves.Stored(oid, (index,))]
            case moves.StoreSmall(ticket, _, objects):
                for one in objects:
                    self._put_small(one)
                return [moves.SmallStored(ticket)]
            case moves.Done(oid, complete):
                if complete and not self.has(oid):
                    self._finish(self.kept[oid])
        return []

    def _begin(self, oid: ObjectId, header: Header) -> Kept:
        kept = self.kept.get(oid)
        if kept is None:
            kept = self.kept[oid] = Kept(oid, header)
        return kept

    def _put_small(self, whole: Whole) -> None:
        oid, header, data = whole
        assert small_id(header, data) == oid, "a small object is stored that is another"
        self.stored += 1
        if not self.has(oid):
            kept = self.kept[oid] = Kept(oid, header)
            kept.put(Outline.of(header, data).page(0))
            kept.write(0, data)
            self._finish(kept)

    def _finish(self, kept: Kept) -> None:
        kept.finish()
        if manifest.is_manifest(kept.data[: len(manifest.MAGIC)]):
            for entry in manifest.decode(kept.data):
                self.put_below(kept.oid, entry.oid)
