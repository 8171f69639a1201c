"""Random walks of two muxes facing each other, with a liar between them or without.

Without a liar every byte written arrives, once and in order, and both ends agree in the end. With
one, only `ProtocolError` comes out, and what an end holds stays within its windows.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from whispurrnet.base.errors import LimitError, ProtocolError
from whispurrnet.session import segment
from whispurrnet.session.mux import (
    Arrived,
    Closed,
    Config,
    Consumed,
    Data,
    Effect,
    Finish,
    Finished,
    Mux,
    Open,
    Opened,
    Reset,
    ResetBy,
    Write,
)

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 80
CONFIG = Config(streams_max=3, stream_window=60, session_window=100, buffer_low=20)
KINDS = ["open", "write", "finish", "reset", "consume", "frame", "lie"]


class End:
    """One mux and what its application saw and did."""

    def __init__(self, *, initiator: bool) -> None:
        self.mux = Mux(CONFIG, initiator=initiator)
        self.written: dict[int, bytearray] = {}
        self.finished: dict[int, None] = {}
        self.received: dict[int, bytearray] = {}
        self.unread: dict[int, int] = {}
        self.ended: dict[int, None] = {}
        self.reset: dict[int, None] = {}
        self.closed: dict[int, None] = {}

    def see(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Opened(id):
                    assert id not in self.received
                    self.begin(id)
                case Data(id, data):
                    assert data
                    assert id not in self.ended
                    assert id not in self.reset
                    self.received[id] += data
                    self.unread[id] += len(data)
                    assert sum(self.unread.values()) <= CONFIG.session_window
                    assert self.unread[id] <= CONFIG.stream_window
                case Finished(id):
                    assert id not in self.ended
                    self.ended[id] = None
                case ResetBy(id):
                    self.drop(id)
                case Closed(id):
                    assert id in self.ended
                    assert id in self.finished
                    assert id not in self.closed
                    self.closed[id] = None

    def begin(self, id: int) -> None:
        self.written[id] = bytearray()
        self.received[id] = bytearray()
        self.unread[id] = 0

    def drop(self, id: int) -> None:
        self.reset[id] = None
        self.unread[id] = 0

    def act(self, kind: str, rng: Random) -> None:
        """Something an application may do."""
        if kind == "open":
            id = self.mux.next_id()
            try:
                self.mux.handle(Open(id, "s" * rng.randrange(3), rng.randrange(11)), 0.0)
            except LimitError:
                return
            self.begin(id)
            return
        live = [id for id in self.written if id not in self.reset]
        if not live:
            return
        id = rng.choice(live[-6:])
        match kind:
            case "write" if id not in self.finished:
                data = rng.randbytes(rng.randrange(90))
                self.written[id] += data
                self.see(self.mux.handle(Write(id, data), 0.0))
            case "finish":
                self.finished[id] = None
                self.see(self.mux.handle(Finish(id), 0.0))
            case "reset" if id not in self.closed:
                self.see(self.mux.handle(Reset(id, rng.randrange(9)), 0.0))
                self.drop(id)
            case "consume":
                self.consume(id, rng.randint(0, self.unread[id]))

    def consume(self, id: int, n: int) -> None:
        self.unread[id] -= n
        self.see(self.mux.handle(Consumed(id, n), 0.0))

    def pull(self, room: int) -> bytes | None:
        priority = self.mux.priority()
        body = self.mux.pull(room)
        assert priority is not None or body is None
        assert body is None or len(body) <= room
        self.see(self.mux.drain())
        return body

    def check(self) -> None:
        """What must hold whoever is on the other side."""
        mux = self.mux
        assert len(mux._streams) <= 4 * CONFIG.streams_max + CONFIG.streams_max
        assert len(mux._control) <= 200
        held = {id: s.inflow.received - s.inflow.consumed for id, s in mux._streams.items()}
        assert held == {id: self.unread[id] for id in held}
        for priority, queue in enumerate(mux._out._queues):
            assert bool(queue) == bool(mux._out._filled >> priority & 1)
            assert all(s.ready and not s.gone for s in queue)
            assert len(set(map(id, queue))) == len(queue)
        queued = sum(map(len, mux._out._queues)) + len(mux._out._blocked)
        assert queued == sum(s.ready for s in mux._streams.values())
        for stream in mux._streams.values():
            assert stream.ready or not stream.sendable


def lie(rng: Random) -> bytes:
    """A frame that may be anything, but mostly nearly right."""
    id = rng.randrange(12)
    return rng.choice(
        [
            segment.open_(id, rng.randrange(11), "x"),
            segment.header(segment.Kind.DATA, id) + rng.randbytes(rng.randrange(70)),
            segment.header(segment.Kind.END, id) + rng.randbytes(rng.randrange(20)),
            segment.reset(id, 1),
            segment.credit(id, rng.choice([0, 50, 100, 2**64 - 1])),
            rng.randbytes(rng.randrange(20)),
        ]
    )


def settle(ends: list[End], wires: list[list[bytes]]) -> None:
    """Both read everything, until nothing moves."""
    moved = True
    while moved:
        moved = False
        for n in (0, 1):
            while (body := ends[n].pull(1000)) is not None:
                wires[n].append(body)
            for body in wires[n]:
                moved = True
                ends[1 - n].see(ends[1 - n].mux.handle(Arrived(body), 0.0))
            wires[n].clear()
            for id, unread in list(ends[1 - n].unread.items()):
                if unread:
                    moved = True
                    ends[1 - n].consume(id, unread)


def agree(ends: list[End]) -> None:
    """What was written was read, and nothing is left over."""
    for sender, receiver in (ends, ends[::-1]):
        for id, written in sender.written.items():
            if id in sender.reset or id in receiver.reset:
                continue
            assert receiver.received[id] == written
            assert (id in receiver.ended) == (id in sender.finished)
            assert (id in receiver.closed) == (id in sender.closed)
        for id in sender.reset:
            assert id not in receiver.received or id in receiver.reset | receiver.closed
        assert sender.mux._streams.keys() == receiver.mux._streams.keys()
        assert sender.mux._out.sent == receiver.mux._inflow.received


def walk(seed: int, *, lies: bool) -> None:
    rng = Random(seed)
    ends = [End(initiator=True), End(initiator=False)]
    wires: list[list[bytes]] = [[], []]
    odds = [rng.random() ** 3 for _ in KINDS]
    odds[-1] *= lies
    for kind in rng.choices(KINDS, odds, k=STEPS):
        n = rng.randrange(2)
        if kind == "frame":
            if (body := ends[n].pull(rng.choice([6, 20, 1000]))) is not None:
                wires[n].append(body)
            if wires[n] and rng.random() < 0.8:
                ends[1 - n].see(ends[1 - n].mux.handle(Arrived(wires[n].pop(0)), 0.0))
        elif kind == "lie":
            ends[n].see(ends[n].mux.handle(Arrived(lie(rng)), 0.0))
        else:
            ends[n].act(kind, rng)
        ends[n].check()
    settle(ends, wires)
    if not lies:
        agree(ends)


@pytest.mark.parametrize("seed", [0])
def test_honest_walks(seed: int) -> None:
    for n in range(RUNS):
        try:
            walk(seed + n, lies=False)
        except BaseException as error:
            error.add_note(f"walk({seed + n}, lies=False)")
            raise


@pytest.mark.parametrize("seed", [0])
def test_walks_with_a_liar(seed: int) -> None:
    for n in range(RUNS):
        try:
            walk(seed + n, lies=True)
        except ProtocolError:
            continue
        except BaseException as error:
            error.add_note(f"walk({seed + n}, lies=True)")
            raise
