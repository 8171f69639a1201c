"""Two stores of a million ids that differ in ten: what it takes until both know.

`python -m bench.reconcile reconcile LEVEL` measures once and prints one JSON object. Two cores of
`store.sync` talk to each other, and every message is encoded; nothing waits, and nothing is
fetched. The bytes are those of all messages, from opening the set to the last announcement.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any

from bench.common import result, scaled
from whispurrnet.base.machine import Tick
from whispurrnet.store.sync import Sync
from whispurrnet.store.sync_events import Arrived, Config, Join, Need, Send, Up
from whispurrnet.store.sync_messages import Entry, SyncMessage, SyncQuery
from whispurrnet.wire.codec import Codec
from whispurrnet.wire.items import Items

COUNT, DIFFERENT = 1_000_000, 10
SET = bytes(32)
DAYS_S = 30 * 86_400


class Store:
    """What one side has that the other has not; the rest is only in its items."""

    def __init__(self, common: list[tuple[int, bytes]], own: list[Entry], seed: int) -> None:
        self.own = {entry.oid: entry for entry in own}
        self.needed: list[bytes] = []
        self.core = Sync(Config(), self, Random(seed))
        self.items = Items([*common, *((entry.time_s, entry.oid) for entry in own)])

    def entries(self, set: bytes, oids: Sequence[bytes]) -> list[Entry]:
        return [self.own[oid] for oid in oids if oid in self.own]

    def prove(self, peer: int, set: bytes) -> bytes:
        return b""

    def admit(self, peer: int, set: bytes, proof: bytes) -> bool:
        return True

    def allowed(self, peer: int, set: bytes) -> bool:
        return True


def reconcile() -> dict[str, dict[str, Any]]:
    """Bytes, round trips and processor time."""
    rng = Random(1)
    count = scaled(COUNT)
    common = [(rng.randrange(DAYS_S), rng.randbytes(32)) for _ in range(count)]
    own = [Entry(rng.randrange(DAYS_S), rng.randbytes(32), 1024) for _ in range(DIFFERENT)]
    stores = [Store(common, own[:5], 1), Store(common, own[5:], 2)]
    codec: Codec[SyncMessage] = Codec(SyncMessage)
    sent = rounds = 0
    now = 0.0
    started = time.process_time()
    events: deque[tuple[int, Join | Up | Arrived | Tick]] = deque()
    events += [(at, Join(SET, store.items, (1 - at,))) for at, store in enumerate(stores)]
    events += [(at, Up(1 - at)) for at in range(2)]
    while events:
        at, event = events.popleft()
        for effect in stores[at].core.handle(event, now):
            if isinstance(effect, Send):
                body = codec.encode_all([effect.message])
                sent += len(body)
                rounds += isinstance(effect.message, SyncQuery)
                events += [(1 - at, Arrived(at, message)) for message in codec.decode_all(body)]
            elif isinstance(effect, Need):
                stores[at].needed += [entry.oid for entry in effect.entries]
        if not events and now < 1.0:  # what is to be announced waits a moment
            now += 0.1
            events += [(at, Tick()) for at in range(2)]
    took = time.process_time() - started
    for at, store in enumerate(stores):
        assert sorted(store.needed) == sorted(stores[1 - at].own), "not all was found"
    return {
        "reconcile": result(sent / 1024, count),
        "reconcile_rounds": result(float(rounds), count),
        "reconcile_cpu": result(took * 1e3, count, "both sides"),
    }


if __name__ == "__main__":
    print(json.dumps(reconcile()))
