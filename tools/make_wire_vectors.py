"""Make `vectors/wire.json`: frames, direct messages, records, mac1 and tickets, frozen.

.venv/bin/python tools/make_wire_vectors.py          # rewrite the file
.venv/bin/python tools/make_wire_vectors.py --check  # exit 1 if it would change
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from whispurrnet.crypto.aead import AESGCM_NAME, CHACHA_NAME, Suite
from whispurrnet.crypto.keys import Secret
from whispurrnet.direct.messages import Ack, Cancel, Request, Response, Resume, Skip, Whisper, codec
from whispurrnet.session.gate import address_macs
from whispurrnet.session.record import SIZES, Sealer
from whispurrnet.wire import frame
from whispurrnet.wire.ticket import Ticket

FILE = Path(__file__).parent.parent / "vectors" / "wire.json"
KEY, MASK_KEY = Secret(b"k" * 32), Secret(b"m" * 32)
MESSAGES = {
    "whisper": Whisper(1, 7, 300_000, 5, b"I saw you again"),
    "whisper without a receipt": Whisper(1, 0, 0, 5, b""),
    "ack": Ack(5, b"streamid", 7, 6),
    "resume": Resume(5, b"streamid", 7),
    "skip": Skip(5, 7, 9),
    "request": Request(3, "echo", 30_000, 5, b"ping"),
    "response": Response(3, "", b"pong"),
    "cancel": Cancel(3),
}


def frames() -> list[dict[str, Any]]:
    """Frames, one of each kind of length, and a message cut into parts."""
    whole = [
        {"type": kind, "body": body.hex(), "frame": frame.encode(kind, body).hex()}
        for kind, body in ((frame.DIRECT, b"\x90"), (frame.STREAM, b"x" * 300), (frame.PEER, b""))
    ]
    parts = frame.split(frame.DIRECT, bytes(range(100)), 48, number=9)
    cut = {
        "type": frame.DIRECT,
        "body": bytes(range(100)).hex(),
        "number": 9,
        "fragments": [frame.encode(frame.FRAGMENT, part).hex() for part in parts],
    }
    return [*whole, cut]


def records(suite: Suite) -> list[dict[str, Any]]:
    """Records of one direction in order; the key turns after every second one."""
    sealer = Sealer(KEY, MASK_KEY, 3, suite=suite, next_key_records=2)
    made = []
    for size in (0, 100, 240, 241, 5_000, SIZES[-1] - 16):
        body = bytes(n % 251 for n in range(max(0, size - frame.HEADER_BYTES)))
        content = [frame.encode(frame.DIRECT, body)] if size else []
        sealed = sealer.seal(content, sum(map(len, content)))
        long = len(sealed) > 1_100
        made.append(
            {
                "counter": sealer.counter - 1,
                "body_bytes": len(body) if size else None,
                "record_bytes": len(sealed),
                "begins": sealed[:64].hex() if long else sealed.hex(),
                "ends": sealed[-64:].hex(),
            }
        )
    return made


def tickets() -> list[dict[str, Any]]:
    """A plain ticket and an invite."""
    made = []
    for psk, persona in ((None, None), (Secret(b"p" * 32), b"o" * 32)):
        ticket = Ticket(
            static_key=b"s" * 32,
            addresses=("/ip4/192.0.2.7/tcp/9000", "/dns4/node.example/tcp/443/wss"),
            expires_s=1_800_000_000,
            psk=psk,
            persona=persona,
        )
        made.append(
            {
                "static_key": ticket.static_key.hex(),
                "addresses": list(ticket.addresses),
                "expires_s": ticket.expires_s,
                "psk": psk.hex() if psk else None,
                "persona": persona.hex() if persona else None,
                "text": ticket.text,
            }
        )
    return made


def wire() -> dict[str, Any]:
    """The whole file."""
    m1 = bytes(n % 256 for n in range(1316))
    encode = codec().encode_all
    return {
        "about": "What travels, frozen. Records: one direction, keys and epoch as given, a key "
        "turn (Noise Rekey) after every `next_key_records`; a body is n mod 251 for each n, in one "
        "DIRECT frame.",
        "frames": frames(),
        "direct": [
            {"name": name, "body": encode([message]).hex()} for name, message in MESSAGES.items()
        ],
        "records": {
            "key": KEY.hex(),
            "mask_key": MASK_KEY.hex(),
            "epoch": 3,
            "next_key_records": 2,
            "vectors": records(CHACHA_NAME),
            "vectors_aes": records(AESGCM_NAME),
        },
        "mac1": {
            "m1": m1.hex(),
            "static_key": (b"s" * 32).hex(),
            "network_secret": (b"n" * 32).hex(),
            "open_mesh": address_macs(m1, b"s" * 32, None)[-32:].hex(),
            "private": address_macs(m1, b"s" * 32, Secret(b"n" * 32))[-32:].hex(),
            "first_contact": address_macs(m1, None, None)[-32:].hex(),
        },
        "tickets": tickets(),
    }


def main() -> int:
    """Write the file, or only compare."""
    made = json.dumps(wire(), indent=1) + "\n"
    if FILE.exists() and FILE.read_text() == made:
        return 0
    if "--check" in sys.argv:
        sys.stdout.write("wire.json differs\n")
        return 1
    FILE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
