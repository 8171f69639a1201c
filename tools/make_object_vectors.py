"""Make `vectors/objects.json`: objects, pages, proofs, manifests and sealed objects, frozen.

.venv/bin/python tools/make_object_vectors.py          # rewrite the file
.venv/bin/python tools/make_object_vectors.py --check  # exit 1 if it would change
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from whispurrnet.crypto.hash import sha256
from whispurrnet.store.manifest import Entry, Kind, encode
from whispurrnet.store.object import Header, Mode, Page
from whispurrnet.store.outline import Outline
from whispurrnet.store.sealing import SEGMENT_BYTES, seal

FILE = Path(__file__).parent.parent / "vectors" / "objects.json"
KEY = bytes(range(32))
SIZES = (
    *((Mode.FIXED, 18, size) for size in (0, 1, 5, 16_384, 262_143, 262_144, 262_145, 1_000_000)),
    *((Mode.FIXED, 10, size) for size in (1_024, 1_025, 3_000, 524_288, 524_289, 1_600_000)),
    *((Mode.SEALED, 18, size) for size in (272, 300_000)),
)
CUTS: tuple[tuple[int, list[int]], ...] = (
    (18, [0]),
    (18, [5]),
    (18, [65_536, 1_048_576, 100]),
    (10, [256 + 37 * i % 3_000 for i in range(600)]),
)
PAGE_WHOLE_MAX = 6


def content(size: int) -> bytes:
    """The bytes of an object: (n * n) mod 251 for each n."""
    period = bytes(n * n % 251 for n in range(251))
    return (period * (size // 251 + 1))[:size]


def page(made: Page) -> dict[str, Any]:
    """A page; of long leaves only the hash."""
    short = len(made.leaves) <= 32 * PAGE_WHOLE_MAX
    return {
        "index": made.index,
        "leaves" if short else "leaves_sha256": (
            made.leaves if short else sha256(made.leaves)
        ).hex(),
        "lengths" if short else "lengths_sha256": (
            made.lengths if short else sha256(made.lengths)
        ).hex(),
        "proof": made.proof.hex(),
    }


def object_(mode: Mode, chunk_log2: int, size: int, lengths: list[int]) -> dict[str, Any]:
    """One object with all its pages."""
    header = Header(mode, chunk_log2, size)
    outline = Outline.of(header, content(size), lengths)
    made: dict[str, Any] = {
        "mode": int(mode),
        "chunk_log2": chunk_log2,
        "size": size,
        "header": header.pack().hex(),
        "chunks": outline.chunks,
        "id": outline.id.hex(),
        "pages": [page(outline.page(number)) for number in range(outline.pages)],
    }
    if lengths:
        made["lengths"] = lengths
    return made


def manifests() -> list[dict[str, Any]]:
    """An empty folder, and one with each kind of entry."""
    file = bytes.fromhex(object_(Mode.FIXED, 18, 5, [])["id"])
    empty = encode([])
    header = Header(Mode.FIXED, 18, len(empty))
    folder = Outline.of(header, empty).id
    full = encode(
        [
            Entry("Übung.txt", file, 5, Kind.FILE, False, 1_700_000_000_000),
            Entry("run", file, 5, Kind.FILE, True),
            Entry("empty", folder, len(empty), Kind.FOLDER),
        ]
    )
    return [
        {
            "names": names,
            "manifest": data.hex(),
            "id": Outline.of(Header(Mode.FIXED, 18, len(data)), data).id.hex(),
        }
        for names, data in (([], empty), (["empty", "run", "Übung.txt"], full))
    ]


def sealed() -> list[dict[str, Any]]:
    """Sealed objects: the whole of a small one, the hash of others."""
    made = []
    for size in (0, 5, 248, 249, 65_512, 65_513, 300_000):
        data = b"".join(seal(KEY, size, [content(size)]))
        vector = {
            "size": size,
            "sealed_bytes": len(data),
            "segments": -(-len(data) // SEGMENT_BYTES),
            "sealed_sha256": sha256(data).hex(),
        }
        if len(data) < 300:
            vector["sealed"] = data.hex()
        made.append(vector)
    return made


def objects() -> dict[str, Any]:
    """The whole file."""
    return {
        "about": "Objects, frozen. The bytes of an object are n*n mod 251 for each n. Of pages "
        "with more than six leaves only the SHA-256 of leaves and lengths is given. `lengths` of "
        "an object are those of its chunks, where it is cut by content.",
        "objects": [
            *(object_(*said, []) for said in SIZES),
            *(object_(Mode.CDC, log2, sum(lengths), lengths) for log2, lengths in CUTS),
        ],
        "manifests": manifests(),
        "sealed": {"key": KEY.hex(), "vectors": sealed()},
    }


def main() -> int:
    """Write the file, or only compare."""
    made = json.dumps(objects(), indent=1, ensure_ascii=False) + "\n"
    if FILE.exists() and FILE.read_text() == made:
        return 0
    if "--check" in sys.argv:
        sys.stdout.write("objects.json differs\n")
        return 1
    FILE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
