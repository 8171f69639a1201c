"""Make `vectors/pairing.json`: codes, runs of SPAKE2 from both sides, and tickets of objects.

.venv/bin/python tools/make_pairing_vectors.py          # rewrite the file
.venv/bin/python tools/make_pairing_vectors.py --check  # exit 1 if it would change
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whispurrnet.crypto.hash import sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.pake import Pake, stretch
from whispurrnet.session import pairing_messages as wire
from whispurrnet.wire import words
from whispurrnet.wire.ids import ObjectId
from whispurrnet.wire.object_ticket import ObjectTicket, Offered
from whispurrnet.wire.ticket import Ticket

FILE = Path(__file__).parent.parent / "vectors" / "pairing.json"
CODES = ("7-otter-laptop", "999-zebra-zeppelin-acorn-accordion")
PAYLOAD = b"what the code was for"


def seeded(seed: bytes) -> Callable[[int], bytes]:
    """Bytes that look random and are the same each time."""

    def entropy(n: int) -> bytes:
        parts = [sha256(seed, bytes((at,))) for at in range(-(-n // 32))]
        return b"".join(parts)[:n]

    return entropy


def run(text: str) -> dict[str, Any]:
    """A whole pairing, as both sides see it."""
    code = words.parse(text)
    scalar = stretch(code.secret, code.salt)
    binding = sha256(b"binding", text.encode())
    ids = wire.identities(binding)
    a = Pake("A", scalar, ids, seeded(b"joins" + text.encode()))
    b = Pake("B", scalar, ids, seeded(b"offers" + text.encode()))
    at_a, at_b = a.finish(b.share), b.finish(a.share)
    key = at_a.check(at_b.confirm)
    assert key == at_b.check(at_a.confirm)
    messages = (
        wire.ask(wire.Hello(wire.VERSION, code.nameplate, a.share)),
        wire.answer(wire.Share(b.share)),
        wire.ask(wire.Confirm(code.nameplate, at_a.confirm)),
        wire.answer(wire.Welcome(at_b.confirm, wire.seal(key, PAYLOAD))),
    )
    return {
        "code": text,
        "scalar": bytes(scalar).hex(),
        "binding": binding.hex(),
        "secret_a": seeded(b"joins" + text.encode())(64).hex(),
        "secret_b": seeded(b"offers" + text.encode())(64).hex(),
        "messages": [message.hex() for message in messages],
        "key": bytes(key).hex(),
        "payload": PAYLOAD.hex(),
    }


def tickets() -> list[dict[str, Any]]:
    """Tickets of objects, and what follows from them."""
    node = Ticket(static_key=b"k" * 32, addresses=("/ip4/192.0.2.7/tcp/9000",), expires_s=1)
    root, cap = ObjectId(sha256(b"root")), Secret(sha256(b"cap"))
    made = (
        Offered(root, cap, "film.mp4", 10_000_000_000, collection=False),
        Offered(root, None, "Bilder \N{SNOWMAN}", 0, collection=True),
    )
    return [
        {
            "offered": offered.pack().hex(),
            "node": node.text,
            "ticket": ObjectTicket(offered, node).text,
            "meeting": offered.meeting,
            "tag": offered.tag.hex(),
        }
        for offered in made
    ]


def text() -> str:
    """The file."""
    content = {
        "about": "Pairing by a code of words (session/pairing.py) and tickets of objects "
        "(wire/object_ticket.py): made by tools/make_pairing_vectors.py. The secrets are what "
        "each side drew, 64 bytes before they are reduced.",
        "words": sha256(" ".join((*words.LIVING, *words.MADE)).encode()).hex(),
        "vectors": [run(code) for code in CODES],
        "tickets": tickets(),
    }
    return json.dumps(content, indent=1) + "\n"


def main() -> int:
    """Write the file, or see whether it is as it should be."""
    made = text()
    if "--check" in sys.argv:
        return int(FILE.read_text() != made)
    FILE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
