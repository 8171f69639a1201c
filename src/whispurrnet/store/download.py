"""One object being fetched: its pages are proven, its chunks are verified, then stored.

Invariants:
    - a chunk is handed on only after its hash was found in a proven page, and only once;
    - it ends: with all that was wanted, or when for too long there was nobody to ask.
"""

from __future__ import annotations

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store import messages, packing
from whispurrnet.store.asking import Asking
from whispurrnet.store.object import PAGE_LEAVES, BadObject
from whispurrnet.store.picking import Picker, free_runs
from whispurrnet.store.progress import Tally
from whispurrnet.store.purse import Purse
from whispurrnet.store.source import Asked, Source
from whispurrnet.store.sources import Line
from whispurrnet.store.transfer_events import (
    Begin,
    Blame,
    Done,
    Effect,
    Failed,
    Fetch,
    Store,
    StorePage,
)

BUSY_S, IDLE_S = 0.25, 1.0
"""How often a fetch is looked after, in seconds."""

REFUSALS = {
    messages.NOT_HERE: "it is not there, or not for us",
    messages.NO_ACCESS: "the proof that we may have it does not hold",
    messages.BUSY: "too much is asked for there",
    messages.CHANGED: "the file behind it has changed there",
}


class Download:
    """The fetch of one object.

    Args:
        event: What is wanted.
        lines: All peers that are up.
        purse: What all fetches share.
        now: Monotonic time in seconds.
    """

    def __init__(self, event: Fetch, lines: dict[int, Line], purse: Purse, now: float) -> None:
        self.oid = event.oid
        self.over = False
        self.asking = Asking(event, lines, purse)
        self.sources = self.asking.sources
        self._only = event.only
        self._known = event.known
        self._purse = purse
        self._tally = Tally(event.oid, now)
        self._idle_since: float | None = None

    # What is here already

    def begin(self, now: float, effects: list[Effect]) -> None:
        """Take in what is known from an earlier time."""
        known, growing = self._known, self.asking.growing
        if known is not None:
            for page in known.pages:
                try:
                    growing.put(known.header.pack(), page)
                except ProtocolError:
                    continue  # our own disk is wrong: it is asked for again
        if growing.header is not None:
            self._prepare(now, effects)

    def _prepare(self, now: float, effects: list[Effect]) -> None:
        """The header is proven: now it is known how much there is to do."""
        asking, size, most = self.asking, self.asking.header.size, self._purse.config.size_max
        if size > most:
            self.fail(f"it has {size} bytes, and the limit is {most}", effects)
            return
        self.sources.outlined = True
        chunks = asking.growing.chunks
        picker = asking.picker = Picker(chunks, self._only, self._known.runs if self._known else ())
        self._tally.total = self._bytes(picker.all)
        missing = free_runs(picker.state)
        self._tally.verified = self._tally.total - self._bytes(missing)
        if self.sources.wanted > 1:
            picker.begin_at(int(self._purse.rng.random() * min(chunks, PAGE_LEAVES)))
        self._finish_if_done(now, effects)

    def _bytes(self, runs: list[tuple[int, int]]) -> int:
        """How long the chunks of these runs are together; in mode CDC as far as that is known."""
        header, growing = self.asking.header, self.asking.growing
        total = 0
        for start, count in runs:
            last = start + count - 1
            if growing.knows(start) and growing.knows(last):
                total += sum(growing.bounds(last)) - growing.bounds(start)[0]
            elif last == growing.chunks - 1:
                total += header.size - (start << header.chunk_log2)
            else:
                total += count << header.chunk_log2
        return max(0, min(total, header.size))

    # What sources say

    def have(
        self, source: Source, message: messages.Have, now: float, effects: list[Effect]
    ) -> None:
        """A source says what it has.

        Raises:
            ProtocolError: It does so too often.
        """
        source.changes(now)
        source.told = True
        source.heard_at = now
        source.complete = source.complete or message.complete
        for start, count in message.runs:
            source.have.add(start, start + count)
        picker = self.asking.picker
        if picker is None:
            self.asking.ask_page(source, 0, now, effects)
        else:
            picker.changed()
            self._pump(now, effects)

    def lacking(
        self, source: Source, message: messages.Lacking, now: float, effects: list[Effect]
    ) -> None:
        """A source was asked for what it does not have.

        Raises:
            ProtocolError: It says so too often.
        """
        source.changes(now)
        self.asking.lacks(source, message.runs)
        self._pump(now, effects)

    def page(
        self, source: Source, message: messages.PageIs, now: float, effects: list[Effect]
    ) -> None:
        """A source sends a page.

        Raises:
            ProtocolError: It was not asked for it.
        """
        if source.pages.pop(message.page, None) is None:
            raise ProtocolError("a peer sends a page that nobody asked for")
        source.heard_at = now
        growing = self.asking.growing
        if growing.has_page(message.page):
            return
        page, fresh = messages.page_of(message), growing.header is None
        try:
            growing.put(message.header, page)
        except BadObject as error:
            self.fail(f"the object itself is malformed: {error}", effects)
            return
        except ProtocolError as error:
            self.fault(source, f"a page is wrong: {error}", now, effects)
            return
        if fresh and self._known is None:
            effects.append(Begin(self.oid, self.asking.header))
        effects.append(StorePage(self.oid, self.asking.header, page))
        if fresh:
            self._prepare(now, effects)
        self._pump(now, effects)

    def data(
        self,
        source: Source,
        index: int,
        offset: int,
        packed: int,
        part: memoryview,
        now: float,
        effects: list[Effect],
    ) -> None:
        """A source sends a part of a chunk.

        Raises:
            ProtocolError: It was not asked for it.
        """
        asked = source.asked.get(index)
        if packed and not self.sources.unpacks:
            raise ProtocolError("a peer sends a packed chunk that nobody can unpack")
        if asked is None:
            left = source.late.peek(index)
            if left is None or left < len(part):
                raise ProtocolError("a peer sends a chunk that nobody asked for")
            source.late.put(index, left - len(part))
            return
        n = asked.take(offset, packed, part)
        if n is None:
            self.fault(source, "a chunk is not as long as it should be", now, effects)
            return
        if not offset:
            source.begun(asked, now)
        source.received += n
        source.heard_at = now
        if not asked.left:
            self._came(source, index, asked, now, effects)

    def _came(
        self, source: Source, index: int, asked: Asked, now: float, effects: list[Effect]
    ) -> None:
        """All of a chunk is here, as it was sent."""
        chunk = b"".join(asked.parts)
        if asked.packed:
            try:
                chunk = packing.unpack(chunk, asked.length)
            except ProtocolError as error:
                self.fault(source, str(error), now, effects)
                return
        self._chunk(source, index, chunk, now, effects)

    def _chunk(
        self, source: Source, index: int, chunk: bytes, now: float, effects: list[Effect]
    ) -> None:
        """All of a chunk is here."""
        if self._purse.config.check:
            try:
                self.asking.growing.check(index, chunk)
            except ProtocolError:
                self.fault(source, "a chunk is not what it should be", now, effects)
                return
        self._tally.add(self.asking.verified(source, index, now, effects))
        self.sources.useful(source)
        self._idle_since = None
        effects.append(Store(self.oid, index, chunk))
        if self._purse.paced:
            self._purse.hungry = True  # whose turn it is, is decided among all fetches
        else:
            self.asking.ask(source, now, effects)
        if self._tally.due(now):
            effects.append(self._tally.tell(self.sources, "", now))

    def stored(self, indexes: tuple[int, ...], now: float, effects: list[Effect]) -> list[int]:
        """Chunks are written; return those of them that were waited for."""
        asking = self.asking
        written = asking.stored(indexes)
        self._finish_if_done(now, effects)
        if asking.blocked and asking.unstored < self._purse.config.unstored_bytes:
            asking.blocked = False
            self._pump(now, effects)
        return written

    # Losing sources

    def closed(self, source: Source, now: float, effects: list[Effect]) -> None:
        """A source is none any more: others are asked for what it owes."""
        self.asking.closed(source)
        self._pump(now, effects)

    def fault(self, source: Source, word: str, now: float, effects: list[Effect]) -> None:
        """A source has lied."""
        effects.append(Blame(source.peer, self.oid, word, self._purse.blame(source.peer)))
        self.sources.ban(source, word, effects)
        self.closed(source, now, effects)

    def refused(
        self, source: Source, message: messages.Refused, now: float, effects: list[Effect]
    ) -> None:
        """A source will not send it, or no more of it."""
        word = REFUSALS.get(message.code, "it is refused")
        refused = message.code != messages.BUSY
        self.sources.rest(source, word, now, effects, refused=refused)
        self.closed(source, now, effects)

    def _rest(self, source: Source, word: str, now: float, effects: list[Effect]) -> None:
        self.sources.rest(source, word, now, effects)
        self.closed(source, now, effects)

    # Time and the end

    def tick(self, now: float, effects: list[Effect]) -> float:
        """Look after it; return when to do so again, in seconds."""
        self.sources.wake(now, effects)
        self._look_after_sources(now, effects)
        if self.asking.picker is not None:
            self.asking.doubling.look(self.asking.picker, now)
        self._pump(now, effects)
        waiting = self._waiting()
        if self._idle(waiting, now):
            self.fail(f"there was nobody to get it from; {self.sources.why()}", effects)
        elif self._tally.due(now):
            effects.append(self._tally.tell(self.sources, waiting, now))
        return now + (IDLE_S if waiting else BUSY_S)

    def _look_after_sources(self, now: float, effects: list[Effect]) -> None:
        config = self._purse.config
        for source in self.sources:
            waits = bool(source.asked or source.pages or not source.told)
            if waits and now - source.heard_at > config.stall_s:
                self._rest(source, "it stalled", now, effects)
                continue
            late = [page for page, at in source.pages.items() if now - at >= config.page_wait_s]
            for page in late:
                for other in self.sources:
                    if page not in other.pages:
                        self.asking.ask_page(other, page, now, effects)

    def _pump(self, now: float, effects: list[Effect]) -> None:
        if self._purse.paced:
            self._purse.hungry = True
        elif not self.over:
            self.asking.pump(now, effects)

    def _idle(self, waiting: str, now: float) -> bool:
        """Whether nothing has happened for too long."""
        if not waiting or self.asking.used or self._purse.down.rate == 0:
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = now
        config = self._purse.config
        wait_s = config.source_wait_s if self.sources.hope else config.hopeless_wait_s
        return now - self._idle_since >= wait_s

    def _waiting(self) -> str:
        """What is waited for, in words; empty while chunks arrive."""
        sources, asking = self.sources, self.asking
        if any(source.asked for source in sources):
            return ""
        if asking.unstored:
            return "the disk"
        if self._purse.down.rate == 0:
            return "the limit of the bandwidth, which is 0"
        if not len(sources):
            return f"a source; {sources.why()}"
        if not any(source.told for source in sources):
            return "an answer of a source"
        if asking.picker is None:
            return "the outline of the object"
        return "" if self._purse.hungry else "a source that has the missing part"

    def _finish_if_done(self, now: float, effects: list[Effect]) -> None:
        picker = self.asking.picker
        if self.over or picker is None or picker.left or picker.unstored:
            return
        self._tally.verified = self._tally.total
        effects.append(self._tally.tell(self.sources, "", now))
        self.stop(effects)
        effects.append(Done(self.oid, self._only is None))

    def fail(self, reason: str, effects: list[Effect]) -> None:
        """It ends here, and why."""
        self.stop(effects)
        effects.append(Failed(self.oid, reason))

    def stop(self, effects: list[Effect]) -> None:
        """It is not wanted any more."""
        self.over = True
        self.asking.end(effects)

    def check_invariants(self) -> None:
        """Assert what must be true."""
        assert not self.over
        self.asking.check_invariants()
