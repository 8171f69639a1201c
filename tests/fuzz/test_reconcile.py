"""Random walks: sets that change while they are reconciled, through a line that spoils messages."""

from __future__ import annotations

import os
from random import Random

from whispurrnet.base.errors import ProtocolError
from whispurrnet.wire.reconcile import FRAME_MIN, Items, Reconciler

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 12
KINDS = ["add", "remove", "drop", "ask", "ask", "spoil", "noise", "splice"]

Item = tuple[int, bytes]


class Side:
    def __init__(self, common: set[Item]) -> None:
        self.items = Items(common)
        self.model = set(common)


def spoil(rng: Random, kind: str, message: bytes, others: list[bytes]) -> bytes:
    raw = bytearray(message)
    match kind:
        case "spoil":
            for _ in range(rng.choice([1, 1, 3])):
                raw[rng.randrange(len(raw))] = rng.choice([0, 1, 2, 0x61, 0x80, 0xFF])
        case "noise":
            raw[1:] = rng.randbytes(rng.randrange(200))
        case _:
            at = rng.randrange(len(raw))
            raw[at:] = rng.choice(others)[rng.randrange(at + 1) :]
    return bytes(raw)


def converse(rng: Random, kind: str, one: Side, other: Side, sent: list[bytes]) -> None:
    frame_max = rng.choice([FRAME_MIN, 60_000])
    asker = Reconciler(one.items, frame_max, rounds_max=rng.choice([3, 500]))
    asked = Reconciler(other.items, frame_max)
    have: list[bytes] = []
    need: list[bytes] = []
    query: bytes | None = asker.initiate()
    while query is not None:
        sent.append(query)
        if kind != "ask" and rng.random() < 0.5:
            query = spoil(rng, kind, query, sent)
        try:
            answer = asked.answer(query)
        except ProtocolError:
            assert kind != "ask"
            return
        assert len(answer) <= frame_max
        sent.append(answer)
        if kind != "ask" and rng.random() < 0.5:
            answer = spoil(rng, kind, answer, sent)
        left = asker.rounds_left
        try:
            query, more_have, more_need = asker.continue_(answer)
        except ProtocolError:
            assert kind != "ask"
            assert asker.rounds_left == left
            return
        assert query is None or len(query) <= frame_max
        assert len(more_need) <= 2048
        have += more_have
        need += more_need
    assert {id for _, id in one.model}.issuperset(have)
    if kind == "ask" and asker.complete:
        assert sorted(have) == sorted(id for _, id in one.model - other.model)
        assert sorted(need) == sorted(id for _, id in other.model - one.model)


def walk(seed: int) -> None:
    rng = Random(seed)
    span = rng.choice([1, 5, 1000])

    def item() -> Item:
        short = rng.random() < 0.2
        return rng.randrange(span), (rng.randbytes(2) + bytes(30) if short else rng.randbytes(32))

    times: dict[bytes, int] = {}  # each id has one time
    common = {item() for _ in range(rng.choice([0, 5, 50, 50, 50, 500]))}
    times.update((id, time) for time, id in sorted(common))
    common = {(time, id) for id, time in times.items()}
    sides = [Side(common), Side(common)]
    sent: list[bytes] = [b"\x61"]
    odds = [rng.random() ** 2 for _ in KINDS]
    for kind in rng.choices(KINDS, odds, k=STEPS):
        side = rng.choice(sides)
        match kind:
            case "add":
                for _ in range(rng.choice([1, 10, 40])):
                    time, id = item()
                    new = (times.setdefault(id, time), id)
                    assert side.items.add(*new) == (new not in side.model)
                    side.model.add(new)
            case "remove":
                count = min(len(side.model), rng.choice([1, 10, 40]))
                for gone in rng.sample(sorted(side.model), count):
                    assert side.items.remove(*gone)
                    side.model.remove(gone)
            case "drop":
                before = rng.randrange(span + 1) if rng.random() < 0.3 else 1
                kept = {entry for entry in side.model if entry[0] >= before}
                assert side.items.drop_before(before) == len(side.model) - len(kept)
                side.model = kept
            case _:
                converse(rng, kind, *rng.sample(sides, 2), sent)
                del sent[:-8]
        side.items.check_invariants()


def test_random_walks() -> None:
    for seed in range(RUNS):
        try:
            walk(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
