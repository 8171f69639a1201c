"""Nodes that move objects, on links with a rate and a delay, on virtual time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.store import messages, packing
from whispurrnet.store import transfer_events as events
from whispurrnet.store.object import Header, Mode, Page, leaf, small_id
from whispurrnet.store.outline import Outline
from whispurrnet.store.runs import pack
from whispurrnet.store.transfer import Transfer
from whispurrnet.store.transfer_config import Config
from whispurrnet.wire import frame
from whispurrnet.wire.ids import ObjectId

ROOM = 65_520


class Item:
    """An object on a disk, maybe not all of it."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.public = False
        self.pages: dict[int, Page] = {}
        self.chunks: dict[int, bytes] = {}

    @property
    def complete(self) -> bool:
        return sum(map(len, self.chunks.values())) == self.header.size and bool(self.chunks)

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks[i] for i in sorted(self.chunks))


def make(data: bytes, chunk_log2: int = 14) -> tuple[ObjectId, Item]:
    """An object of these bytes, all of it."""
    header = Header(Mode.FIXED, chunk_log2, len(data))
    item = Item(header)
    for i in range(header.chunks):
        item.chunks[i] = data[i << chunk_log2 : (i + 1) << chunk_log2]
    outline = Outline(header, b"".join(leaf(chunk) for chunk in item.chunks.values()))
    item.pages = {i: outline.page(i) for i in range(outline.pages)}
    return outline.id, item


def make_cut(rng: Random, chunks: int, chunk_log2: int = 12) -> tuple[ObjectId, Item]:
    """An object that is cut by content, with chunks of lengths that may be."""
    longest, shortest = 4 << chunk_log2, 1 << chunk_log2 >> 2
    parts = [rng.randbytes(rng.randrange(shortest, longest)) for _ in range(chunks)]
    item = Item(Header(Mode.CDC, chunk_log2, sum(map(len, parts))))
    item.chunks = dict(enumerate(parts))
    leaves = b"".join(map(leaf, parts))
    outline = Outline(item.header, leaves, [len(part) for part in parts])
    item.pages = {i: outline.page(i) for i in range(outline.pages)}
    return outline.id, item


class Node:
    """One node: its core, its disk, and what happened."""

    def __init__(self, net: Net, name: int, config: Config) -> None:
        self.net = net
        self.name = name
        self.core = Transfer(config, net.rng)
        self.disk: dict[ObjectId, Item] = {}
        self.small: dict[ObjectId, messages.Whole] = {}
        self.outbox: dict[int, deque[bytes]] = {}
        self.busy: dict[int, bool] = {}
        self.up: dict[int, None] = {}
        self.done: list[ObjectId] = []
        self.failed: dict[ObjectId, str] = {}
        self.blamed: list[tuple[int, ObjectId, str, int]] = []
        self.missing: dict[ObjectId, str] = {}
        self.progress: list[tuple[float, events.Progress]] = []
        self.passed: list[tuple[int, messages.Message]] = []
        self.errors: list[tuple[int, str]] = []
        self.received: dict[int, int] = {}
        self.stored = 0
        self.denied: set[ObjectId] = set()
        self.fetching: set[ObjectId] = set()
        self.age: dict[ObjectId, int] = {}
        self.alive = True
        self.store_s = self.read_s = 0.001
        self.broken_disk = ""
        self.most_unstored = 0
        self.lie: Callable[[int, bytes], list[bytes]] | None = None
        """What becomes of each body that it sends."""

    def give(self, event: Any) -> None:
        if not self.alive:
            return
        try:
            effects = self.core.handle(event, self.net.now)
        except ProtocolError as error:
            self.errors.append((event.peer, str(error)))
            effects = self.core.drain()
        if self.net.checks:
            self.core.check_invariants()
        for effect in effects:
            self.perform(effect)

    def perform(self, effect: Any) -> None:
        net = self.net
        match effect:
            case events.Send(peer, body, _):
                if peer in self.up:
                    self.outbox[peer].append(body)
                    self.serve(peer)
            case events.Ready(peer):
                self.serve(peer)
            case events.Look(ticket, peer, oid):
                item = self.disk.get(oid)
                found = None
                if item is not None:
                    runs = tuple(pack(sorted(item.chunks)))
                    found = events.Found(item.header, item.complete, runs, item.public)
                self.later(self.read_s, events.Looked(ticket, found, oid not in self.denied))
            case events.ReadPage(ticket, oid, page):
                self.later(self.read_s, events.Paged(ticket, self.disk[oid].pages.get(page)))
            case events.Read(ticket, oid, index, count, packs):
                if self.broken_disk:
                    self.later(self.read_s, events.ReadDone(ticket, None, self.broken_disk))
                    return
                chunks = [self.disk[oid].chunks[i] for i in range(index, index + count)]
                if packs:
                    assert self.disk[oid].public
                    chunks = [packing.pack(chunk) for chunk in chunks]
                self.later(self.read_s, events.ReadDone(ticket, chunks))
            case events.ReadSmall(ticket, _, oids):
                some = tuple(self.small[oid] for oid in oids if oid in self.small)
                self.later(self.read_s, events.SmallRead(ticket, some))
            case _:
                self.keep(effect, net)

    def keep(self, effect: Any, net: Net) -> None:
        match effect:
            case events.Begin(oid, header):
                assert oid not in self.disk
                self.disk[oid] = Item(header)
            case events.StorePage(oid, _, page):
                self.disk[oid].pages[page.index] = page
            case events.Store(oid, index, data):
                self.stored += 1
                if self.broken_disk:
                    self.later(self.store_s, events.StoreFailed(oid, self.broken_disk))
                else:
                    age = self.age.get(oid, 0)
                    net.at(net.now + self.store_s, lambda: self.write(oid, index, data, age))
            case events.StoreSmall(ticket, _, objects):
                for oid, header, data in objects:
                    assert small_id(header, data) == oid
                    self.small[oid] = (oid, header, data)
                self.later(self.store_s, events.SmallStored(ticket, self.broken_disk))
            case events.Done(oid):
                self.fetching.discard(oid)
                self.done.append(oid)
            case events.Failed(oid, reason):
                self.forget(oid)
                self.failed[oid] = reason
            case events.Blame(peer, oid, reason, weight):
                self.blamed.append((peer, oid, reason, weight))
            case events.Missing(_, oids, reason):
                self.missing |= dict.fromkeys(oids, reason)
            case events.Passed(peer, message):
                self.passed.append((peer, message))
            case events.Progress():
                self.progress.append((net.now, effect))
            case _:
                raise AssertionError(effect)

    def stop(self, oid: ObjectId) -> None:
        self.forget(oid)
        self.give(events.Stop(oid))

    def forget(self, oid: ObjectId) -> None:
        """What is still being written of it is lost."""
        self.fetching.discard(oid)
        self.age[oid] = self.age.get(oid, 0) + 1

    def write(self, oid: ObjectId, index: int, data: bytes, age: int) -> None:
        if self.alive and age == self.age.get(oid, 0):
            item = self.disk[oid]
            assert index not in item.chunks, "a chunk was stored twice"
            item.chunks[index] = data
            self.give(events.Stored(oid, (index,)))

    def later(self, delay_s: float, event: Any) -> None:
        self.net.at(self.net.now + delay_s, lambda: self.give(event))

    def serve(self, peer: int) -> None:
        """If the link is free, send the next record on it."""
        if not self.alive or peer not in self.up or self.busy.get(peer):
            return
        bodies: list[bytes] = []
        room = ROOM
        outbox = self.outbox[peer]
        while outbox and len(outbox[0]) + 3 <= room:
            bodies.append(outbox.popleft())
            room -= len(bodies[-1]) + 3
        while room >= 64 and self.core.priority(peer) is not None:
            parts = self.core.pull(peer, room)
            if not parts:
                break
            whole = b"".join(parts)
            assert len(whole) <= room
            ((kind, body),) = frame.parse(whole)
            assert kind == frame.OBJECT
            bodies.append(body)
            room -= len(whole)
        for effect in self.core.drain():
            self.perform(effect)
        if bodies:
            self.net.send(self, peer, bodies)


class Net:
    """The links between nodes.

    Args:
        seed: Of all chance.
        rate_bps: How fast a link is, in bytes a second.
        delay_s: How long it takes, one way.
    """

    def __init__(self, seed: int, *, rate_bps: float = 1e8, delay_s: float = 0.001) -> None:
        self.rng = Random(seed)
        self.now = 100.0
        self.checks = True
        self.rate_bps = rate_bps
        self.delay_s = delay_s
        self.rates: dict[tuple[int, int], float] = {}
        self.nodes: list[Node] = []
        self.sent: dict[tuple[int, int], int] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def node(self, **config: Any) -> Node:
        node = Node(self, len(self.nodes), Config(**config))
        self.nodes.append(node)
        return node

    def at(self, time: float, do: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (time, self._order, do))

    def connect(self, one: Node, other: Node) -> None:
        for a, b in ((one, other), (other, one)):
            a.up[b.name] = None
            a.outbox[b.name] = deque()
            a.busy[b.name] = False
            a.give(events.Up(b.name))

    def cut(self, one: Node, other: Node) -> None:
        for a, b in ((one, other), (other, one)):
            if b.name in a.up:
                del a.up[b.name]
                a.give(events.Down(b.name))

    def kill(self, node: Node) -> None:
        node.alive = False
        for other in self.nodes:
            if other is not node:
                self.cut(node, other)

    def send(self, node: Node, peer: int, bodies: list[bytes]) -> None:
        """A record goes out; what is on its way when the link is cut is lost."""
        size = sum(map(len, bodies))
        key = node.name, peer
        self.sent[key] = self.sent.get(key, 0) + size
        node.busy[peer] = True
        free_at = self.now + size / self.rates.get(key, self.rate_bps)
        outbox = node.outbox[peer]

        def free() -> None:
            if node.outbox.get(peer) is outbox:
                node.busy[peer] = False
                node.serve(peer)

        def arrive() -> None:
            if node.outbox.get(peer) is not outbox or peer not in node.up:
                return
            other = self.nodes[peer]
            for body in bodies:
                told = [body] if node.lie is None else node.lie(peer, body)
                for each in told:
                    other.received[node.name] = other.received.get(node.name, 0) + len(each)
                    other.give(events.Arrived(node.name, each))

        self.at(free_at, free)
        self.at(free_at + self.delay_s, arrive)

    def run(self, until: Callable[[], bool], limit_s: float = 3600.0) -> float:
        """Let time pass until something is so; return how long it took."""
        start = self.now
        while not until():
            due = [(node.core.deadline, node) for node in self.nodes if node.alive]
            timed = [(at, node.name) for at, node in due if at is not None]
            next_at = self._queue[0][0] if self._queue else float("inf")
            tick_at, name = min(timed, default=(float("inf"), -1))
            time = min(next_at, tick_at)
            assert time - start < limit_s, "it takes too long"
            self.now = max(self.now, time)
            if tick_at < next_at:
                self.nodes[name].give(Tick())
            else:
                _, _, do = heapq.heappop(self._queue)
                do()
        return self.now - start

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        self.at(end, lambda: None)
        self.run(lambda: self.now >= end)
