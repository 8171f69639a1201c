"""Make `vectors/moves.json`: how a session is named that moves, and what is said of it.

.venv/bin/python tools/make_moves_vectors.py          # rewrite the file
.venv/bin/python tools/make_moves_vectors.py --check  # exit 1 if it would change
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from whispurrnet.crypto.hash import sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import TransportKeys
from whispurrnet.stack import greeting
from whispurrnet.stack.moving import SESSION
from whispurrnet.wire import frame

FILE = Path(__file__).parent.parent / "vectors" / "moves.json"
PACK = msgspec.msgpack.encode
EXPORTER, HASH = sha256(b"exporter"), sha256(b"handshake hash")
DIRECT = "/ip4/192.0.2.7/tcp/9000"
RELAYED = (
    f"/dns/{'relay-of-somebody.' * 3}example/tcp/8443/wss/http-path/mesh/relay/{'0b' * 32}"
    f"/p2p/{'0a' * 32}"
)
HELLO = greeting.Hello(
    version=greeting.VERSION,
    profile="mesh",
    capabilities=greeting.GOSSIPS | greeting.RELAYS | greeting.WEBRTC,
    heartbeat_ms=30_000,
    addresses=(DIRECT, RELAYED),
    persona=None,
)
MALFORMED = {
    "a session of 33 bytes": PACK([[8, bytes(33)]]),
    "a session that is text": PACK([[8, "s" * 32]]),
    "no session": PACK([[8]]),
    "no array": PACK([8]),
    "nine greetings": PACK([[9]] * 9),
}


def session() -> bytes:
    """What both sides call the session of this handshake."""
    keys = TransportKeys(Secret(bytes(32)), Secret(bytes(32)), HASH, Secret(EXPORTER))
    return bytes(keys.export(SESSION))


def bodies() -> dict[str, bytes]:
    """Bodies of PEER frames: which link they are for, and who says them."""
    moves = greeting.Moves(session())
    return {
        "new link, who called: this link is for that session": greeting.encode(HELLO, moves),
        "new link, who was called: it moves": greeting.encode(moves),
        "new link, who was called: a new session": greeting.encode(greeting.Moves(b"")),
        "old link, last of all; new link: I have all of the old one": greeting.encode(
            greeting.Moved()
        ),
    }


def text() -> str:
    """The whole file."""
    content: dict[str, Any] = {
        "about": "How a session moves to another link (stack/greeting.py, stack/moving.py): made "
        "by tools/make_moves_vectors.py. The name of a session is HKDF-Expand(exporter, label | 00 "
        "| hash, 32) of the handshake that began it. Bodies are of PEER frames.",
        "type": frame.PEER,
        "session": {
            "exporter": EXPORTER.hex(),
            "hash": HASH.hex(),
            "label": SESSION,
            "name": session().hex(),
        },
        "capabilities": {"relays": greeting.RELAYS, "webrtc": greeting.WEBRTC},
        "goodbyes": {"taken over": greeting.DUPLICATE, "later": greeting.LATER},
        "bodies": [{"says": says, "body": body.hex()} for says, body in bodies().items()],
        "later": [
            {"body": body.hex(), "as": greeting.encode(*greeting.decode(body)).hex()}
            for body in (PACK([[9], [99, 1]]), PACK([[8, b"", 1]]))
        ],
        "malformed": [{"why": why, "body": body.hex()} for why, body in MALFORMED.items()],
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
