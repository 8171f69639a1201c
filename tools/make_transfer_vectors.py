"""Make `vectors/transfer.json`: the bodies of OBJECT frames, frozen, and packed chunks to read.

.venv/bin/python tools/make_transfer_vectors.py          # rewrite the file
.venv/bin/python tools/make_transfer_vectors.py --check  # exit 1 if it would change

What a packer makes of a chunk is not fixed by the protocol, only that it can be read. So the packed
chunks here are written by hand after RFC 8878, and do not change with the library.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from whispurrnet.store import messages
from whispurrnet.store.messages import Message
from whispurrnet.store.object import Header, Mode, small_id
from whispurrnet.store.outline import Outline
from whispurrnet.wire.ids import ObjectId

FILE = Path(__file__).parent.parent / "vectors" / "transfer.json"
DATA = b"the bytes of an object"
HEADER = Header(Mode.FIXED, 18, len(DATA))
OID = small_id(HEADER, DATA)
OTHER = ObjectId(bytes(range(32)))


def spoken() -> list[dict[str, str]]:
    """The body of a frame for each kind of message, and one with several."""
    page = Outline.of(HEADER, DATA).page(0)
    cut = Header(Mode.CDC, 10, 1300)
    cut_page = Outline.of(cut, bytes(n * n % 251 for n in range(1300)), [1024, 276]).page(0)
    made: list[Message] = [
        messages.Request(1, OID, (), 2),
        messages.Request(2, OTHER, ((0, 4), (9, 1), (2**32 - 1, 1)), 4, unpacks=True),
        messages.AskPage(1, OID, 0),
        messages.PageIs(1, HEADER.pack(), 0, page.leaves, page.lengths, page.proof),
        messages.PageIs(3, cut.pack(), 0, cut_page.leaves, cut_page.lengths, cut_page.proof),
        messages.Have(1, OID, complete=True, runs=()),
        messages.Have(2**32 - 1, OTHER, complete=False, runs=((3, 2), (70_000, 1))),
        messages.Lacking(2, ((9, 1),)),
        messages.Cancel(2, ((0, 4),)),
        messages.Cancel(1, ()),
        messages.Refused(2, messages.NOT_HERE, "it is not here, or not for you"),
        messages.AskSmall((OID, OTHER)),
        messages.NotHere((OTHER,)),
        messages.Metrics(12, 2**40, 1, 0, 2**41, 3),
        messages.Access(OID, b"p" * 32),
    ]
    bodies = [(type(one).__name__, messages.encode(one)) for one in made]
    bodies.append(("Request AskPage", messages.encode(made[0], made[2])))
    return [{"messages": name, "body": body.hex()} for name, body in bodies]


def parts() -> list[dict[str, Any]]:
    """Parts of chunks, plain and packed."""
    plain = messages.data_header(1, 7, 65_536) + b"part"
    packed = messages.packed_header(1, 7, 3, 100) + b"part"
    return [
        {"ref": 1, "index": 7, "offset": 65_536, "packed": 0, "part": "70617274", "body": plain},
        {"ref": 1, "index": 7, "offset": 3, "packed": 100, "part": "70617274", "body": packed},
    ]


def packed_chunks() -> list[dict[str, Any]]:
    """Zstandard frames by hand: magic, descriptor, length, then one last block."""

    def frame(length: int, kind: int, said: int, content: bytes) -> str:
        # A single segment whose length takes four bytes; the block's length, its kind, the last.
        head = b"\x28\xb5\x2f\xfd\xa0" + length.to_bytes(4, "little")
        return (head + (said << 3 | kind << 1 | 1).to_bytes(3, "little") + content).hex()

    return [
        {"about": "one byte again and again", "length": 1000, "packed": frame(1000, 1, 1000, b"a")},
        {"about": "as it is", "length": 5, "packed": frame(5, 0, 5, b"bytes")},
        {"about": "refused: it holds more", "length": 999, "packed": frame(999, 1, 1000, b"a")},
        {"about": "refused: it holds less", "length": 1001, "packed": frame(1001, 1, 1000, b"a")},
        {"about": "refused: it says less", "length": 1000, "packed": frame(999, 1, 999, b"a")},
    ]


def transfer() -> dict[str, Any]:
    """The whole file."""
    small = b"".join(messages.small_parts([(OID, HEADER, DATA)]))
    return {
        "about": "Made by tools/make_transfer_vectors.py: bodies of OBJECT frames. Each of "
        "`messages` holds the messages it names. `packed` are chunks packed by hand and the "
        "length of the chunk; those that are refused say so.",
        "messages": spoken(),
        "parts": [one | {"body": one["body"].hex()} for one in parts()],
        "small": {"id": OID.hex(), "data": DATA.hex(), "body": small.hex()},
        "packed": packed_chunks(),
    }


def main() -> int:
    """Write the file, or only compare."""
    made = json.dumps(transfer(), indent=1) + "\n"
    if FILE.exists() and FILE.read_text() == made:
        return 0
    if "--check" in sys.argv:
        sys.stdout.write("transfer.json differs\n")
        return 1
    FILE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
