"""Make `vectors/signal.json`: SIGNAL frames, and what a WebRTC link binds a session to.

.venv/bin/python tools/make_signal_vectors.py          # rewrite the file
.venv/bin/python tools/make_signal_vectors.py --check  # exit 1 if it would change
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from whispurrnet.crypto.hash import sha256
from whispurrnet.nat import signal_messages as messages
from whispurrnet.transport.webrtc import binding_of
from whispurrnet.transport.webrtc_sdp import fingerprint
from whispurrnet.wire import frame

FILE = Path(__file__).parent.parent / "vectors" / "signal.json"
PACK = msgspec.msgpack.encode
CERTIFICATES = {name: sha256(name.encode()) for name in ("offerer", "answerer")}


def sdp(who: str, setup: str) -> str:
    """A short description with the fingerprint of one side."""
    digest = CERTIFICATES[who].hex(":").upper()
    lines = (
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=sctp-port:5000",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789abcdefghijkl",
        f"a=fingerprint:sha-256 {digest}",
        f"a=setup:{setup}",
    )
    return "".join(line + "\r\n" for line in lines)


OFFER, ANSWER = sdp("offerer", "actpass"), sdp("answerer", "active")
MESSAGES: list[messages.Message] = [
    messages.Offer(7, OFFER),
    messages.Answer(7, ANSWER),
    messages.Candidate(7, "candidate:1 1 UDP 2122317823 192.0.2.7 50000 typ host", "0"),
    messages.Candidate(2**32 - 1, "", ""),
    messages.End(7, messages.FAILED, "no path was found"),
]
MALFORMED = {
    "no bytes": b"",
    "no array": b"\xc1",
    "no kind": PACK([]),
    "a list of messages": PACK([[1, 7, "v=0"]]),
    "too few fields": PACK([1, 7]),
    "an attempt below 0": PACK([1, -1, "v=0"]),
    "an attempt above 32 bits": PACK([1, 1 << 32, "v=0"]),
    "no description": PACK([1, 7, ""]),
    "a zero byte": PACK([2, 7, "v=0\0"]),
    "not ASCII": PACK([1, 7, "v=\N{SNOWMAN}"]),
    "a second line in a candidate": PACK([3, 7, "c\r\na=fingerprint:sha-256 00", "0"]),
    "a candidate of 513 characters": PACK([3, 7, "c" * 513, "0"]),
    "a mid of 17 characters": PACK([3, 7, "c", "m" * 17]),
    "a code above 255": PACK([4, 7, 256, ""]),
    "a text of 201 characters": PACK([4, 7, 1, "x" * 201]),
}
LATER = [PACK([5, 7]), PACK([99, {"a": 1}])]


def said() -> list[dict[str, Any]]:
    """Each message in its frame."""
    return [
        {
            "name": type(message).__name__,
            "fields": msgspec.structs.asdict(message),
            "body": messages.encode(message).hex(),
        }
        for message in MESSAGES
    ]


def text() -> str:
    """The whole file."""
    sides = fingerprint(OFFER), fingerprint(ANSWER)
    content = {
        "about": "WebRTC signalling (nat/signal_messages.py) and the binding of its links "
        "(transport/webrtc.py): made by tools/make_signal_vectors.py. A body is one message; "
        "`later` are of a later version, and are passed over. `binding` follows from the "
        "fingerprints, and they from the descriptions of the first two messages.",
        "type": frame.SIGNAL,
        "messages": said(),
        "later": [body.hex() for body in LATER],
        "malformed": [{"why": why, "body": body.hex()} for why, body in MALFORMED.items()],
        "bound": {
            "label": b"WN1 webrtc".hex(),
            "offerer": sides[0].hex(),
            "answerer": sides[1].hex(),
            "binding": binding_of(*sides).hex(),
            "the other way round": binding_of(*reversed(sides)).hex(),
        },
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
