"""Random walks: three nodes fetch from each other and from a liar; links break, disks fail."""

from __future__ import annotations

import os
from random import Random

import pytest
from tests.sim.transfers import Item, Net, Node, make

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store import messages
from whispurrnet.store import transfer_events as events
from whispurrnet.store.object import Header, Mode, small_id
from whispurrnet.wire.ids import ObjectId

RUNS = int(os.environ.get("FUZZ_RUNS", "1000")) // 4
STEPS = 30
LIAR = 3


class World:
    """Three nodes and a liar, all connected at first."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        net = self.net = Net(rng.randrange(1 << 30), rate_bps=rng.choice([1e5, 1e7]))
        config = {
            "window_max": rng.choice([2, 64]),
            "unstored_bytes": rng.choice([1, 4096, 1 << 20]),
            "memory_bytes": rng.choice([2048, 1 << 26]),
            "active_max": rng.choice([1, 64]),
            "held_bytes": rng.choice([1024, 1 << 25]),
            "refs_max": rng.choice([1, 64]),
            "read_ahead": rng.choice([1, 4]),
            "pack": rng.random() < 0.8,
            "stall_s": 3.0,
            "rest_s": 0.5,
            "source_wait_s": 5.0,
            "hopeless_wait_s": 1.0,
        }
        for _ in range(LIAR + 1):
            net.node(**config)
        self.honest, self.liar = net.nodes[:LIAR], net.nodes[LIAR]
        self.liar.lie = self.lie
        self.odds = rng.choice([0.0, 0.02, 0.5])
        self.heard = [b""]
        self.objects: dict[ObjectId, Item] = {}
        self.smalls: dict[ObjectId, messages.Whole] = {}
        for _ in range(3):
            size = rng.choice([0, 700, 1024, 5000, 9000])
            data = rng.choice([rng.randbytes, lambda n: (b"more and more " * n)[:n]])(size)
            oid, item = make(data, 10)
            item.public = rng.random() < 0.5
            self.objects[oid] = item
            for node in net.nodes:
                if rng.random() < 0.5:
                    node.disk[oid] = item
        for _ in range(4):
            data = rng.randbytes(rng.choice([0, 30, 3000]))
            header = Header(Mode.FIXED, 18, len(data))
            oid = small_id(header, data)
            self.smalls[oid] = (oid, header, data)
            rng.choice(net.nodes).small[oid] = self.smalls[oid]
        for i, node in enumerate(net.nodes):
            for other in net.nodes[:i]:
                net.connect(node, other)

    def lie(self, _: int, body: bytes) -> list[bytes]:
        rng = self.rng
        if rng.random() >= self.odds:
            self.heard.append(body)
            return [body]
        match rng.randrange(5):
            case 0:
                changed = bytearray(body)
                for _ in range(2):
                    changed[rng.randrange(len(changed))] = rng.randrange(256)
                return [bytes(changed)]
            case 1:
                return [rng.choice(self.heard)]
            case 2:
                return []
            case 3:
                return [body, body]
            case _:
                return [body[: rng.randrange(len(body) + 1)]]

    def step(self) -> None:
        rng, net = self.rng, self.net
        node = rng.choice(self.honest)
        other = rng.choice([each for each in net.nodes if each is not node])
        oid = rng.choice(list(self.objects))
        match rng.randrange(12):
            case 0 | 1 | 2:
                self.fetch(node, oid)
            case 3:
                if other.name in node.up:
                    net.cut(node, other)
                else:
                    net.connect(node, other)
            case 4:
                node.give(events.AddSource(oid, other.name))
            case 5:
                node.stop(oid)
            case 6:
                oids = tuple(dict.fromkeys(rng.choices(list(self.smalls), k=2)))
                node.give(events.FetchSmall(other.name, oids))
            case 7:
                rates = [rng.choice([None, 0.0, 2e3, 1e6]) for _ in range(3)]
                node.give(events.SetLimits(down=rates[0], up=rates[1], up_peer=rates[2]))
            case 8:
                node.broken_disk = rng.choice(["", "", "no room"])
            case 9:
                node.give(events.Recheck(rng.choice([oid, None])))
            case 10:
                if other.name in node.up and other is self.liar:
                    node.give(events.Arrived(LIAR, self.made_up(oid)))
            case _:
                net.wait(rng.choice([0.0, 0.001, 0.01, 0.3, 4.0]))

    def fetch(self, node: Node, oid: ObjectId) -> None:
        rng = self.rng
        item = node.disk.get(oid)
        if item is not None and item.complete:
            return
        known = None
        if item is not None and oid not in node.fetching:
            runs = tuple((index, 1) for index in sorted(item.chunks))
            known = events.Known(header=item.header, pages=tuple(item.pages.values()), runs=runs)
        elif item is None:
            node.disk.pop(oid, None)
        sources = tuple(rng.sample([n for n in range(LIAR + 1) if n != node.name], 2))
        node.fetching.add(oid)
        node.give(events.Fetch(oid=oid, sources=sources, priority=rng.randrange(5), known=known))

    def made_up(self, oid: ObjectId) -> bytes:
        rng = self.rng
        ref = rng.randrange(4)
        run = ((rng.randrange(10), rng.choice([1, 300, (1 << 32) - 1])),)
        match rng.randrange(8):
            case 7:
                n = rng.choice([1, 40, 1024, (1 << 32) - 1])
                return messages.packed_header(ref, rng.randrange(10), 0, n) + bytes(40)
            case 0:
                return messages.encode(messages.Request(ref, oid, run, rng.randrange(5), True))
            case 1:
                return messages.encode(messages.AskPage(ref, oid, rng.randrange(3)))
            case 2:
                return messages.encode(messages.Cancel(ref, rng.choice([(), run])))
            case 3:
                return messages.encode(messages.Have(ref, oid, rng.random() < 0.5, run))
            case 4:
                return messages.encode(messages.Lacking(ref, run))
            case 5:
                return messages.encode(messages.Refused(ref, rng.randrange(7), "no"))
            case _:
                return messages.data_header(ref, rng.randrange(10), 0) + bytes(1024)

    def end(self) -> None:
        """Heal everything: each fetch ends, and what it stored is right."""
        net = self.net
        for node in self.honest:
            node.broken_disk = ""
            node.give(events.SetLimits())
            for other in net.nodes:
                if other is not node and other.name not in node.up:
                    net.connect(node, other)
        net.run(lambda: not any(node.core.fetching for node in self.honest), 600)
        net.wait(1.0)
        for node in self.honest:
            assert {peer for peer, *_ in node.blamed} <= {LIAR}
            assert {peer for peer, _ in node.errors} <= {LIAR}, node.errors
            assert node.core.held_bytes == 0
            for oid in node.done:
                assert node.disk[oid].data == self.objects[oid].data
            for oid, item in node.disk.items():
                for index, chunk in item.chunks.items():
                    assert chunk == self.objects[oid].chunks[index]
            for oid, whole in node.small.items():
                assert whole == self.smalls[oid]


@pytest.mark.parametrize("part", range(2))
def test_walks(part: int) -> None:
    for seed in range(part, RUNS, 2):
        world = World(Random(seed))
        try:
            for _ in range(STEPS):
                world.step()
            world.end()
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


def test_bodies_that_make_no_sense_are_refused_or_mean_nothing() -> None:
    rng = Random(1)
    net = Net(1)
    node, other = net.node(), net.node()
    net.connect(node, other)
    for _ in range(RUNS * 8):
        body = bytes((rng.randrange(4),)) + rng.randbytes(rng.randrange(40))
        try:
            node.core.handle(events.Arrived(1, body), net.now)
        except ProtocolError:
            continue
        node.core.check_invariants()
