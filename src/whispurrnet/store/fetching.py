"""All objects that are being fetched, and whose turn it is when not all can have what they want.

While there is a limit of the bandwidth, or memory is short, the fetch that has asked for the least,
for its priority, asks next (stride scheduling: Waldspurger and Weihl, 1995).
"""

from __future__ import annotations

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.base.timers import Timers
from whispurrnet.store import messages
from whispurrnet.store.download import BUSY_S, Download
from whispurrnet.store.purse import Purse
from whispurrnet.store.sources import Line
from whispurrnet.store.transfer_events import PRIORITY_MAX, Effect, Fetch, Progress
from whispurrnet.wire.ids import ObjectId


class Fetching:
    """The fetches of one node.

    Args:
        purse: What they share.
    """

    def __init__(self, purse: Purse) -> None:
        self.purse = purse
        self._lines: dict[int, Line] = {}
        self._active: dict[ObjectId, Download] = {}
        self._waiting: dict[ObjectId, Fetch] = {}
        self._checks: Timers[ObjectId] = Timers()

    def __contains__(self, oid: object) -> bool:
        return oid in self._active or oid in self._waiting

    def __len__(self) -> int:
        return len(self._active) + len(self._waiting)

    def deadline(self, now: float) -> float | None:
        """When to `tick`, in seconds."""
        due_at = self._checks.deadline
        if self.purse.hungry:
            ready_at = self.purse.down.ready_at(now)
            if ready_at is not None and (due_at is None or ready_at < due_at):
                return ready_at
        return due_at

    # What the application wants

    def fetch(self, event: Fetch, now: float, effects: list[Effect]) -> None:
        """Get an object.

        Raises:
            UsageError: There is no such priority.
            LimitError: Too many are being fetched.
        """
        if not 0 <= event.priority <= PRIORITY_MAX:
            raise UsageError(f"the priority of a fetch is 0 to {PRIORITY_MAX}")
        if event.oid in self:
            for peer in event.sources:
                self.add_source(event.oid, peer, now, effects)
            return
        if len(self) >= self.purse.config.fetches_max:
            raise LimitError(f"{len(self)} objects are being fetched; wait for one of them")
        if len(self._active) >= self.purse.config.active_max:
            self._waiting[event.oid] = event
            turn = "its turn: other objects are being fetched"
            effects.append(Progress(event.oid, 0, 0, 0.0, None, (), turn))
        else:
            self._begin(event, now, effects)

    def add_source(self, oid: ObjectId, peer: int, now: float, effects: list[Effect]) -> None:
        """Another peer may have an object."""
        download = self._active.get(oid)
        if download is not None:
            download.sources.add(peer, now, effects)
        elif oid in self._waiting:
            event = self._waiting[oid]
            sources = tuple(dict.fromkeys((*event.sources, peer)))
            self._waiting[oid] = Fetch(
                oid=oid,
                sources=sources[: self.purse.config.sources_max],
                priority=event.priority,
                known=event.known,
                only=event.only,
            )

    def stop(self, oid: ObjectId, now: float, effects: list[Effect]) -> None:
        """An object is not wanted any more."""
        self._waiting.pop(oid, None)
        download = self._active.get(oid)
        if download is not None:
            download.stop(effects)
            self._reap(download, now, effects)

    def store_failed(self, oid: ObjectId, text: str, now: float, effects: list[Effect]) -> None:
        """The disk does not take it."""
        download = self._active.get(oid)
        if download is not None:
            download.fail(text, effects)
            self._reap(download, now, effects)

    def stored(
        self, oid: ObjectId, indexes: tuple[int, ...], now: float, effects: list[Effect]
    ) -> list[int]:
        """Chunks are written; return those of them that were waited for."""
        download = self._active.get(oid)
        if download is None:
            return []
        written = download.stored(indexes, now, effects)
        self._reap(download, now, effects)
        return written

    # What peers do

    def up(self, peer: int, now: float, effects: list[Effect]) -> None:
        """A peer is there."""
        self._lines[peer] = Line(peer)
        for download in self._active.values():
            download.sources.up(peer, now, effects)

    def down(self, peer: int, now: float, effects: list[Effect]) -> None:
        """A peer is gone."""
        self._lines.pop(peer, None)
        for download in list(self._active.values()):
            source = download.sources.down(peer)
            if source is not None:
                download.closed(source, now, effects)

    def told(
        self,
        peer: int,
        message: messages.Have | messages.Lacking | messages.PageIs | messages.Refused,
        now: float,
        effects: list[Effect],
    ) -> None:
        """A peer answers.

        Raises:
            ProtocolError: Nobody asked it.
        """
        line = self._lines[peer]
        oid = line.refs.get(message.ref)
        if oid is None:
            if message.ref not in line.retired:
                raise ProtocolError("a peer answers what nobody asked")
            return
        download = self._active[oid]
        source = download.sources.get(peer)
        assert source is not None and source.ref == message.ref
        match message:
            case messages.Have():
                if message.oid != oid:
                    raise ProtocolError("a peer speaks of another object than was asked for")
                download.have(source, message, now, effects)
            case messages.Lacking():
                download.lacking(source, message, now, effects)
            case messages.PageIs():
                download.page(source, message, now, effects)
            case messages.Refused():
                download.refused(source, message, now, effects)
        self._reap(download, now, effects)

    def data(self, peer: int, body: bytes, now: float, effects: list[Effect]) -> None:
        """A part of a chunk came.

        Raises:
            ProtocolError: Nobody asked for it.
        """
        ref, index, offset, packed, part = messages.read_part(body)
        line = self._lines[peer]
        oid = line.refs.get(ref)
        if oid is None:
            line.late(ref, len(part))
            return
        download = self._active[oid]
        source = download.sources.get(peer)
        assert source is not None
        download.data(source, index, offset, packed, part, now, effects)
        if download.over:
            self._reap(download, now, effects)

    # Time, and whose turn it is

    def tick(self, now: float, effects: list[Effect]) -> None:
        """The deadline has come."""
        for oid in list(self._checks.expire(now)):
            download = self._active[oid]
            self._checks.set(oid, download.tick(now, effects))
            self._reap(download, now, effects)

    def share(self, now: float, effects: list[Effect]) -> None:
        """Let those ask that had to wait, as far as they can now."""
        purse = self.purse
        if not purse.hungry or not purse.allows(now):
            return
        purse.hungry = False
        if not purse.paced:
            for download in self._by_turn():
                download.asking.pump(now, effects)
            return
        while purse.allows(now):
            if not any(download.asking.pump(now, effects, 1) for download in self._by_turn()):
                break

    def _by_turn(self) -> list[Download]:
        return sorted(self._active.values(), key=lambda download: download.asking.spent)

    def _begin(self, event: Fetch, now: float, effects: list[Effect]) -> None:
        download = Download(event, self._lines, self.purse, now)
        download.asking.spent = min(
            (other.asking.spent for other in self._active.values()), default=0.0
        )
        self._active[event.oid] = download
        self._checks.set(event.oid, now + BUSY_S)
        for peer in event.sources:
            download.sources.add(peer, now, effects)
        download.begin(now, effects)
        self._reap(download, now, effects)

    def _reap(self, download: Download, now: float, effects: list[Effect]) -> None:
        """If a fetch is over, forget it, and begin another."""
        if not download.over or self._active.get(download.oid) is not download:
            return
        del self._active[download.oid]
        self._checks.cancel(download.oid)
        self.purse.hungry = True
        if self._waiting:
            oid = max(self._waiting, key=lambda oid: self._waiting[oid].priority)
            self._begin(self._waiting.pop(oid), now, effects)

    def check_invariants(self) -> None:
        """Assert what must be true."""
        config = self.purse.config
        assert len(self) <= config.fetches_max and len(self._active) <= config.active_max
        assert not self._waiting or len(self._active) == config.active_max
        for download in self._active.values():
            download.check_invariants()
        assert self.purse.used == sum(d.asking.used for d in self._active.values())
        assert len(self._checks) == len(self._active)
        for line in self._lines.values():
            for oid in line.refs.values():
                assert self._active[oid].sources.get(line.peer) is not None
