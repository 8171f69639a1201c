"""What an object's sources are asked for, so that each is kept busy and none too much is held.

Invariants:
    - a chunk is asked of nobody, of one source, or of two; never of any once it is verified;
    - what is asked for and not stored is counted in the purse, to the byte.
"""

from __future__ import annotations

from collections.abc import Iterable

from whispurrnet.store import messages
from whispurrnet.store.doubling import Doubling
from whispurrnet.store.messages import AskPage, Cancel, Request
from whispurrnet.store.object import PAGE_LEAVES, Header
from whispurrnet.store.outline import Growing
from whispurrnet.store.picking import ASKED, FREE, Picker
from whispurrnet.store.purse import Purse
from whispurrnet.store.runs import Runs, pack
from whispurrnet.store.source import Source
from whispurrnet.store.sources import Line, Sources, send
from whispurrnet.store.transfer_events import Effect, Fetch


class Asking:
    """The chunks of one object on their way.

    Args:
        event: What is wanted.
        lines: All peers that are up.
        purse: What all fetches share.
    """

    def __init__(self, event: Fetch, lines: dict[int, Line], purse: Purse) -> None:
        self.oid = event.oid
        self.sources = Sources(event.oid, lines, purse.config, event.priority)
        self.growing = Growing(event.oid)
        self.picker: Picker | None = None
        """None until the header is proven."""
        self.doubling = Doubling(purse.config, self.sources)
        self.purse = purse
        self.spent = 0.0
        """Bytes asked for, divided by the weight of the priority."""
        self.weight = 1 << event.priority
        self.unstored = 0
        """Bytes that wait for the disk."""
        self.blocked = False
        """Whether nothing was asked for because of them."""

    @property
    def header(self) -> Header:
        """The proven header."""
        header = self.growing.header
        assert header is not None
        return header

    @property
    def used(self) -> int:
        """What is asked for and not stored, in bytes."""
        return self.unstored + sum(source.inflight for source in self.sources)

    # Asking

    def pump(self, now: float, effects: list[Effect], most: int = messages.RUNS_MAX) -> int:
        """Ask the sources for what is missing; return for how many chunks."""
        if self.picker is None:
            for source in self.sources:
                self.ask_page(source, 0, now, effects)
            return 0
        asked = 0
        for source in self.sources:
            asked += self.ask(source, now, effects, most)
            if asked >= most:
                break
        return asked

    def ask(
        self, source: Source, now: float, effects: list[Effect], most: int = messages.RUNS_MAX
    ) -> int:
        """Ask one source for as much as its window allows; return for how many chunks."""
        purse, picker = self.purse, self.picker
        if picker is None or not picker.left or not source.told:
            return 0
        config = purse.config
        chunk_bytes = self.header.chunk_bytes
        window = source.window(chunk_bytes, config.window_min, config.window_max)
        slots = (window - source.inflight) // chunk_bytes
        slots = min(slots, messages.ASKED_MAX - len(source.asked), most)
        if slots < 1 or (source.asked and slots < min(window // chunk_bytes // 3, most)):
            return 0
        picked: list[int] = []
        lacking: dict[int, None] = {}
        while len(picked) < slots:
            if self.unstored >= config.unstored_bytes:
                self.blocked = True
                break
            if not purse.allows(now):
                break
            index = self._pick(source, lacking)
            if index is None:
                break
            self._take(source, index, now)
            picked.append(index)
        for page in lacking:
            self.ask_page(source, page, now, effects)
        if picked:
            self.ask_page(source, picked[-1] // PAGE_LEAVES + 1, now, effects)
            sources, runs = self.sources, tuple(pack(picked))
            request = Request(source.ref, self.oid, runs, sources.priority, sources.unpacks)
            send(effects, source.peer, request)
        return len(picked)

    def ask_page(self, source: Source, page: int, now: float, effects: list[Effect]) -> None:
        """Ask a source for a page, if that is of use and nobody else is being asked."""
        growing = self.growing
        if growing.has_page(page) or (growing.header is not None and page >= growing.pages):
            return
        if not (source.complete or source.have) or len(source.pages) >= messages.PAGES_MAX:
            return
        wait_s = self.purse.config.page_wait_s
        if any(now - other.pages.get(page, -wait_s) < wait_s for other in self.sources):
            return
        if not source.asked and not source.pages:
            source.heard_at = max(source.heard_at, now)  # until now it owed us nothing
        source.pages[page] = now
        send(effects, source.peer, AskPage(source.ref, self.oid, page))

    def _pick(self, source: Source, lacking: dict[int, None]) -> int | None:
        picker, doubling = self.picker, self.doubling
        assert picker is not None
        index = doubling.pick(source)
        if index is None:
            index = picker.next(source, self.sources, self.growing.has_page, lacking)
        if index is None and not picker.free and not source.asked:
            index = doubling.endgame(source, picker)
        return index

    def _take(self, source: Source, index: int, now: float) -> None:
        assert self.picker is not None
        if self.picker.state[index] == FREE:
            self.picker.take(index)
        length = self.growing.length(index)
        source.ask(index, length, now)
        self.purse.spend(length, now)
        self.spent += length / self.weight

    # What becomes of it

    def verified(self, source: Source, index: int, now: float, effects: list[Effect]) -> int:
        """A chunk is here, and right; return its length."""
        assert self.picker is not None
        asked = source.finished(index, now)
        self.doubling.took(now - asked.at)
        self.picker.verified(index)
        self.unstored += asked.length
        if self.doubling.forget(index):
            for other in self.sources:
                if index in other.asked:
                    self.purse.used -= other.cancel(index)
                    send(effects, other.peer, Cancel(other.ref, ((index, 1),)))
        return asked.length

    def stored(self, indexes: tuple[int, ...]) -> list[int]:
        """Chunks are written; return those of them that were waited for."""
        picker = self.picker
        if picker is None:
            return []
        written = [index for index in indexes if picker.stored(index)]
        freed = sum(self.growing.length(index) for index in written)
        self.unstored -= freed
        self.purse.used -= freed
        return written

    def lacks(self, source: Source, runs: Iterable[tuple[int, int]]) -> None:
        """A source does not have these chunks, nor their pages."""
        gone = Runs()
        for start, count in runs:
            gone.add(start, start + count)
            source.lacks(start, start + count)
        for index in [index for index in source.asked if index in gone]:
            self.purse.used -= source.cancel(index)
            self._lost(index)
        for page in [page for page in source.pages if page * PAGE_LEAVES in gone]:
            del source.pages[page]
        if self.picker is not None:
            self.picker.changed()

    def closed(self, source: Source) -> None:
        """A source is none any more: others are to be asked for what it owes."""
        self.purse.used -= source.inflight
        for index in source.asked:
            self._lost(index)
        if self.picker is not None:
            self.picker.changed()

    def end(self, effects: list[Effect]) -> None:
        """Nothing more is wanted."""
        self.purse.used -= self.used
        self.unstored = 0
        self.sources.close_all(effects)

    def _lost(self, index: int) -> None:
        """A chunk is asked of one source fewer."""
        self.doubling.forget(index)
        if self.picker is not None and not any(index in other.asked for other in self.sources):
            self.picker.give_back(index)

    def check_invariants(self) -> None:
        """Assert what must be true."""
        self.sources.check_invariants()
        self.doubling.check_invariants()
        picker = self.picker
        if picker is None:
            assert not self.used
            return
        picker.check_invariants()
        asked = {index for source in self.sources for index in source.asked}
        assert all(picker.state[index] == ASKED for index in asked)
        assert picker.state.count(ASKED) == len(asked)
        assert (self.unstored > 0) == (picker.unstored > 0) or not self.header.size
