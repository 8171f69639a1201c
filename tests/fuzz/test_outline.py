"""Random walks: pages of a few objects, spoiled in every way, offered to who wants one of them."""

from __future__ import annotations

import os
from random import Random

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.object import Header, Mode, Page
from whispurrnet.store.outline import Growing, Outline

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 8


def make(rng: Random) -> Outline:
    count = rng.choice([1, 2, 511, 512, 513, 1025, 1200])
    leaves = rng.randbytes(32 * count)
    if rng.random() < 0.5:
        lengths = [rng.randint(256, 4096) for _ in range(count)]
        return Outline(Header(Mode.CDC, 10, sum(lengths)), leaves, lengths)
    mode = rng.choice([Mode.FIXED, Mode.SEALED])
    return Outline(Header(mode, 10, 1024 * count - rng.randrange(1024)), leaves)


def spoil(rng: Random, raw: bytes, others: list[bytes]) -> bytes:
    kind = rng.choice(["flip", "cut", "more", "other", "empty", "twice"])
    changed = bytearray(raw)
    match kind:
        case "flip" if raw:
            changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        case "cut":
            del changed[rng.choice([0, len(raw) // 2, max(0, len(raw) - 32)]) :]
        case "more":
            changed += rng.randbytes(rng.choice([1, 4, 32, 64]))
        case "other":
            changed[:] = rng.choice(others)
        case "twice":
            changed += bytes(changed)
        case _:
            changed.clear()
    return bytes(changed)


def walk(seed: int, world: list[Outline]) -> None:
    rng = Random(seed)
    wanted = rng.choice(world)
    growing = Growing(wanted.id)
    taken: dict[int, Page] = {}
    for _ in range(STEPS):
        source = wanted if rng.random() < 0.8 else rng.choice(world)
        number = rng.randrange(source.pages)
        page, header = source.page(number), source.header.pack()
        if rng.random() < 0.5:
            others = [part for o in world for part in (o.page(0).leaves, o.page(0).proof)]
            fields = [page.leaves, page.lengths, page.proof, header]
            at = rng.randrange(4)
            fields[at] = spoil(rng, fields[at], others)
            index = rng.choice([number, number, number, 0, number + 1, -1, 1 << 31])
            page, header = Page(index, *fields[:3]), fields[3]
        honest = (
            page.index < wanted.pages
            and page.index >= 0
            and page == wanted.page(page.index)
            and header == wanted.header.pack()
        )
        before = growing.header, growing.chunks, dict(growing._pages), dict(growing._offsets)
        try:
            growing.put(header, page)
        except ProtocolError:
            assert not honest, seed
            after = growing.header, growing.chunks, dict(growing._pages), dict(growing._offsets)
            assert before == after, seed
        else:
            assert honest, seed
            taken[page.index] = page
    assert growing._pages == taken
    assert growing.complete == (len(taken) == wanted.pages)
    for number in taken:
        for index in range(number * 512, min(wanted.chunks, number * 512 + 512), 37):
            assert growing.leaf(index) == wanted.leaf(index)
            assert growing.bounds(index) == wanted.bounds(index)


def test_only_what_is_proven_is_kept() -> None:
    world = [make(Random(seed)) for seed in range(12)]
    for seed in range(RUNS):
        walk(seed, world)
