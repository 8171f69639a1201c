"""Make `vectors/sync.json`: proofs of access, messages, and a whole comparison of two sets, frozen.

.venv/bin/python tools/make_sync_vectors.py          # rewrite the file
.venv/bin/python tools/make_sync_vectors.py --check  # exit 1 if it would change
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from whispurrnet.crypto.hash import sha256
from whispurrnet.store.access import proof
from whispurrnet.store.sync_messages import (
    FRAME_MAX,
    NO_ACCESS,
    Entry,
    SyncAnnounce,
    SyncAnswer,
    SyncClose,
    SyncDescribe,
    SyncEnd,
    SyncMessage,
    SyncOpen,
    SyncOpened,
    SyncQuery,
    SyncRefused,
)
from whispurrnet.wire.codec import Codec
from whispurrnet.wire.items import Items
from whispurrnet.wire.reconcile import Reconciler

FILE = Path(__file__).parent.parent / "vectors" / "sync.json"
SET = b"s" * 32
COMMON, OURS, THEIRS = range(400), range(400, 410), range(410, 415)


def item(n: int) -> tuple[int, bytes]:
    """The time and the id that a number stands for in this file."""
    return 1_700_000_000 + 60 * (n % 100), sha256(b"whispurrnet sync vector", b"%d" % n)


def proofs() -> list[dict[str, Any]]:
    """What each end of a session shows."""
    return [
        {
            "cap": (b"c" * 32).hex(),
            "root": root.hex(),
            "handshake": (b"h" * 32).hex(),
            "initiator": initiator,
            "proof": proof(b"c" * 32, root, b"h" * 32, initiator=initiator).hex(),
        }
        for root in (SET, bytes(range(32)))
        for initiator in (True, False)
    ]


def messages() -> list[dict[str, str]]:
    """One of each."""
    entry = Entry(*item(1), 1024)
    made: list[SyncMessage] = [
        SyncOpen(SET, 1, 1, 7),
        SyncOpen(SET, 1, 1, 2**53 - 1, b"p" * 32),
        SyncOpened(SET, 1),
        SyncRefused(SET, NO_ACCESS, "there is no such set here, or you may not see it"),
        SyncQuery(SET, Reconciler(Items()).initiate()),
        SyncAnswer(SET, b"\x61"),
        SyncEnd(SET, all=True),
        SyncDescribe(SET, (entry.oid, item(2)[1])),
        SyncAnnounce(SET, (entry, Entry(*item(2), 300, collection=True))),
        SyncClose(SET),
    ]
    codec: Codec[SyncMessage] = Codec(SyncMessage)
    return [{"name": type(one).__name__, "body": codec.encode_all([one]).hex()} for one in made]


def comparison(frame_max: int) -> dict[str, Any]:
    """All frames of one comparison, and what came of it."""
    asker = Reconciler(Items(map(item, (*COMMON, *OURS))), frame_max)
    asked = Reconciler(Items(map(item, (*COMMON, *THEIRS))), frame_max)
    frames: list[dict[str, Any]] = []
    query: bytes | None = asker.initiate()
    while query is not None:
        answer = asked.answer(query)
        frame = {"query": query.hex(), "answer": answer.hex()}
        query, have, need = asker.continue_(answer)
        frames.append(
            frame | {"have": [id.hex() for id in have], "need": [id.hex() for id in need]}
        )
    return {"frame_max": frame_max, "frames": frames}


def sync() -> dict[str, Any]:
    """The file."""
    return {
        "about": "Made by tools/make_sync_vectors.py. Item n has the time 1700000000 + 60 (n mod "
        "100) and the id SHA-256('whispurrnet sync vector' | n in decimal); both sides hold items "
        "0 to 399, the asker 400 to 409 besides, the other 410 to 414.",
        "proofs": proofs(),
        "messages": messages(),
        "comparisons": [comparison(4096), comparison(FRAME_MAX)],
    }


def main() -> int:
    """Write the file, or only compare."""
    made = json.dumps(sync(), indent=1) + "\n"
    if FILE.exists() and FILE.read_text() == made:
        return 0
    if "--check" in sys.argv:
        sys.stdout.write("sync.json differs\n")
        return 1
    FILE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
