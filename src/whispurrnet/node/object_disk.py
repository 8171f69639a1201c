"""What the exchange of objects wants of the disk, done in threads: one that reads, one that writes.

Neither ever waits for the other, so a slow disk holds up no message. What is to be written is taken
in order and as much at a time as there is; nothing is told to be stored before it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from whispurrnet.base.errors import HostError, ProtocolError, UsageError, WhispurrError
from whispurrnet.base.log import get
from whispurrnet.disk.shelf import Shelf
from whispurrnet.node.hand import Hand
from whispurrnet.stack import events, object_events
from whispurrnet.store import transfer_events as moves
from whispurrnet.store.packing import pack
from whispurrnet.wire.ids import ObjectId

log = get(__name__)
Result = TypeVar("Result")

Writing: TypeAlias = moves.Begin | moves.StorePage | moves.Store | moves.StoreSmall | moves.Done
Written: TypeAlias = events.Event | moves.Done | moves.Failed
Reading: TypeAlias = moves.Look | moves.ReadPage | moves.Read | moves.ReadSmall


class ObjectDisk:
    """A shelf and its two threads.

    Args:
        shelf: Where objects are.
        submit: Takes what came of it, in the loop.
        stored: Called in the loop when objects are whole and in their places, or cannot be.
    """

    def __init__(
        self,
        shelf: Shelf,
        submit: Callable[[events.Event], None],
        stored: Callable[[Sequence[moves.Done | moves.Failed]], None],
    ) -> None:
        self.shelf = shelf
        self._submit = submit
        self._stored = stored
        self._reader = Hand("objects-read", self._read, self._have_read)
        self._writer = Hand("objects-write", self._write, self._have_written)
        self.read = self._reader.do
        """Read something; what came of it is submitted."""
        self.write = self._writer.do
        """Write something, after all that was to be written before."""

    def close(self) -> None:
        """Write what waits, and let go of the disk."""
        self._reader.close()
        self._writer.close()
        self._write(self._writer.waiting)  # nobody is there any more to be told
        self.shelf.close()

    async def do(self, work: Callable[[], Result]) -> Result:
        """Run something on the shelf in a thread of its own."""
        return await asyncio.to_thread(work)

    # Reading

    def _have_read(self, results: list[events.Event]) -> None:
        for event in results:
            self._submit(event)

    def _read(self, batch: Sequence[Reading]) -> list[events.Event]:
        return [self._read_one(wanted) for wanted in batch]

    def _read_one(self, wanted: Reading) -> events.Event:
        try:
            match wanted:
                case moves.Look(ticket, _, oid):
                    return self._look(ticket, oid)
                case moves.ReadPage(ticket, oid, page):
                    return moves.Paged(ticket, self.shelf.page(oid, page))
                case moves.Read(ticket, oid, index, count, packs):
                    chunks = self.shelf.read(oid, index, count)
                    return moves.ReadDone(ticket, list(map(pack, chunks)) if packs else chunks)
                case moves.ReadSmall(ticket, _, oids):
                    return object_events.SmallLooked(ticket, self._small(oids))
        except WhispurrError as error:
            log.warning("an object could not be read")
            return _unread(wanted, str(error))

    def _look(self, ticket: int, oid: ObjectId) -> events.Event:
        entry = self.shelf.entry(oid)
        if entry is None:
            return object_events.ObjectLooked(ticket, None, ())
        found = moves.Found(entry.header, entry.complete, entry.have, entry.public)
        return object_events.ObjectLooked(ticket, found, tuple(self.shelf.roots_of(oid)))

    def _small(self, oids: Sequence[ObjectId]) -> tuple[Any, ...]:
        found = self.shelf.read_small(oids)
        roots = self.shelf.roots_of_each([oid for oid, _, _ in found])
        return tuple((oid, header, data, tuple(roots[oid])) for oid, header, data in found)

    # Writing

    def _have_written(self, results: list[Written]) -> None:
        ended: list[moves.Done | moves.Failed] = []
        self._drop({told.oid for told in results if isinstance(told, moves.StoreFailed)})
        for told in results:
            if isinstance(told, moves.Done | moves.Failed):
                ended.append(told)
            else:
                self._submit(told)
        if ended:
            self._stored(ended)

    def _drop(self, failed: set[ObjectId]) -> None:
        """What else waits for these was of the fetch that ends: it must not end the next one."""
        if failed:
            self._writer.waiting = [
                wanted
                for wanted in self._writer.waiting
                if isinstance(wanted, moves.StoreSmall) or wanted.oid not in failed
            ]

    def _write(self, batch: Sequence[Writing]) -> list[Written]:
        """Do all of it; chunks of one object that follow one another in one go.

        Of an object of which something could not be written, nothing more is.
        """
        told: list[Written] = []
        failed: set[ObjectId] = set()
        at = 0
        while at < len(batch):
            first = batch[at]
            at += 1
            if not isinstance(first, moves.StoreSmall) and first.oid in failed:
                continue
            if isinstance(first, moves.Store):
                chunks = [(first.index, first.data)]
                while at < len(batch):
                    more = batch[at]
                    if not isinstance(more, moves.Store) or more.oid != first.oid:
                        break
                    chunks.append((more.index, more.data))
                    at += 1
                told.append(self._write_chunks(first.oid, chunks))
            else:
                told += self._write_one(first)
            failed |= {one.oid for one in told[-1:] if isinstance(one, moves.StoreFailed)}
        return told

    def _write_chunks(self, oid: ObjectId, chunks: list[tuple[int, bytes]]) -> events.Event:
        try:
            self.shelf.write_many(oid, chunks)
        except (HostError, UsageError, ProtocolError) as error:
            return moves.StoreFailed(oid, str(error))
        return moves.Stored(oid, tuple(index for index, _ in chunks))

    def _write_one(self, wanted: Writing) -> list[Written]:
        if isinstance(wanted, moves.StoreSmall):
            try:
                self.shelf.put_small(wanted.objects)
            except WhispurrError as error:
                return [moves.SmallStored(wanted.ticket, str(error))]
            done = [moves.Done(oid, True) for oid, _, _ in wanted.objects]
            return [moves.SmallStored(wanted.ticket), *done]
        try:
            match wanted:
                case moves.Begin(oid, header):
                    self.shelf.begin(oid, header)
                case moves.StorePage(oid, header, page):
                    self.shelf.put_page(oid, header, page)
                case moves.Done(oid, complete):
                    if complete:
                        self.shelf.finish(oid)
                    return [wanted]
                case moves.Store():
                    raise AssertionError("chunks are written together")
        except WhispurrError as error:
            if isinstance(wanted, moves.Done):  # for the exchange it is over
                return [moves.Failed(wanted.oid, str(error))]
            return [moves.StoreFailed(wanted.oid, str(error))]
        return []


def _unread(wanted: Reading, text: str) -> events.Event:
    """What is told when the disk fails."""
    match wanted:
        case moves.Look(ticket):
            return object_events.ObjectLooked(ticket, None, ())
        case moves.ReadPage(ticket):
            return moves.Paged(ticket, None)
        case moves.Read(ticket):
            return moves.ReadDone(ticket, None, text)
        case moves.ReadSmall(ticket):
            return object_events.SmallLooked(ticket, ())
