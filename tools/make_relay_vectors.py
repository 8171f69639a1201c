"""Make `vectors/relay.json`: RELAY frames, addresses through relays, and the links of a circuit.

.venv/bin/python tools/make_relay_vectors.py          # rewrite the file
.venv/bin/python tools/make_relay_vectors.py --check  # exit 1 if it would change
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from whispurrnet.base.machine import Tick
from whispurrnet.crypto.hash import sha256
from whispurrnet.nat import relay_messages as messages
from whispurrnet.nat.relay import Relay
from whispurrnet.nat.relay_events import (
    Allowance,
    Arrived,
    Config,
    Effect,
    Event,
    Joined,
    Send,
    Splice,
    Up,
)
from whispurrnet.wire import address, frame

FILE = Path(__file__).parent.parent / "vectors" / "relay.json"
KEY = sha256(b"static key of the relay")
IDS = {"guest": sha256(b"id of the guest"), "caller": sha256(b"id of the caller")}
TOKENS = [sha256(b"token", bytes([n])) for n in range(4)]
PEERS = {"guest": 1, "caller": 2}
PACK = msgspec.msgpack.encode

MESSAGES = [
    messages.Reserve(),
    messages.Reserved(3600, 1_000_000, 1 << 40),
    messages.Refused(0, messages.TOO_MANY, "all places are taken; again in 60 s"),
    messages.Refused(2**32 - 1, messages.NOBODY, "nobody with that id has a place here"),
    messages.Connect(1, IDS["guest"]),
    messages.Granted(1, TOKENS[0]),
    messages.Incoming(TOKENS[1], IDS["caller"]),
    messages.Release(),
]
MALFORMED = {
    "no bytes": b"",
    "no array": b"\x00",
    "a nonce of 0 in Connect": PACK([[4, 0, IDS["guest"]]]),
    "an id of 31 bytes": PACK([[4, 1, bytes(31)]]),
    "a token of 33 bytes": PACK([[5, 1, bytes(33)]]),
    "a token that is text": PACK([[5, 1, "t" * 32]]),
    "a code above 255": PACK([[3, 0, 256, ""]]),
    "a text of 201 characters": PACK([[3, 0, 1, "x" * 201]]),
    "nine messages": PACK([[1]] * 9),
}
LATER = [PACK([[99, 1], [1]]), PACK([[200, {"a": 1}]]), PACK([[1, "more"]])]
PLACES = [
    "/ip4/192.0.2.7/tcp/9000",
    "/ip4/192.0.2.7/tcp/9000/tls",
    "/ip6/2001:db8::7/tcp/8080/ws",
    "/dns4/relay.example/tcp/443/wss",
    "/dns/relay.example/tcp/443/wss/http-path/mesh%2Frelay",
    "/ip6zone/eth0/ip6/fe80::1/tcp/9000",
    "/memory/relay",
]


def said() -> list[dict[str, Any]]:
    """Each message, alone in its frame, and all of them in one."""
    made = []
    for message in MESSAGES:
        fields = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in msgspec.structs.asdict(message).items()
        }
        body = messages.encode(message)
        made.append({"name": type(message).__name__, "fields": fields, "body": body.hex()})
    return made


def addresses() -> dict[str, Any]:
    """Addresses through the relay: what they say, how else they are written, and what is none."""
    ending = f"/relay/{KEY.hex()}/p2p/{IDS['guest'].hex()}"
    good = []
    for place in PLACES:
        parsed = address.parse(place + ending)
        fields = msgspec.structs.asdict(parsed)
        good.append({"text": str(parsed), **fields, "base": str(parsed.base)})
    upper = PLACES[0] + f"/relay/{KEY.hex().upper()}/p2p/{IDS['guest'].hex().upper()}"
    return {
        "good": good,
        "written": [{"as": upper, "text": str(address.parse(upper))}],
        "bad": [
            PLACES[0] + f"/relay/{KEY.hex()}",
            PLACES[0] + f"/relay/{KEY.hex()[2:]}/p2p/{IDS['guest'].hex()}",
            PLACES[0] + f"/relay//p2p/{IDS['guest'].hex()}",
            PLACES[0] + ending.replace(KEY.hex(), "zz" * 32),
            PLACES[0] + f"/relay/{KEY.hex()}" + ending,
            PLACES[0] + f"/p2p/{IDS['guest'].hex()}" + ending,
            "/ip4/192.0.2.7/udp/50000/webrtc" + ending,
            ending,
        ],
    }


class Script:
    """A relay whose tokens are given, and what it does step by step."""

    def __init__(self) -> None:
        tokens = iter(TOKENS)
        config = Config(on=True, expires_s=3600, circuit=Allowance(bytes_per_s=1_000_000))
        self.core = Relay(config, entropy=lambda n: next(tokens)[:n])
        self.names = {peer: name for name, peer in PEERS.items()}
        self.steps: list[dict[str, Any]] = []
        for name, peer in PEERS.items():
            self.core.handle(Up(peer, IDS[name], ""), 0.0)

    def say(self, who: str, message: messages.Asking, at_s: float) -> None:
        """A message of a peer in its session."""
        body = messages.encode(message).hex()
        self._step({"at_s": at_s, "who": who, "body": body}, Arrived(PEERS[who], message), at_s)

    def begin(self, link: int, first: bytes, at_s: float) -> None:
        """The first bytes of a new link."""
        given = {"at_s": at_s, "link": link, "begins": first.hex()}
        self.core.handle(Tick(), at_s)
        expected = self.core.expects(first[: messages.TOKEN_BYTES])
        if len(first) < messages.TOKEN_BYTES or not expected:
            self.steps.append({**given, "is": "unfinished" if expected else "no token"})
        elif len(first) > messages.TOKEN_BYTES:
            self.steps.append({**given, "is": "closed"})
        else:
            self._step({**given, "is": "token"}, Joined(link, first), at_s)

    def _step(self, given: dict[str, Any], event: Event, at_s: float) -> None:
        effects = self.core.handle(event, at_s)
        self.steps.append({**given, "then": [shown for e in effects for shown in self._show(e)]})

    def _show(self, effect: Effect) -> list[dict[str, Any]]:
        match effect:
            case Send(peer, messages.Refused(nonce, code)):
                return [{"to": self.names[peer], "nonce": nonce, "code": code}]
            case Send(peer, message):
                return [{"to": self.names[peer], "body": messages.encode(message).hex()}]
            case Splice(_, caller, target, _):
                ready = messages.READY.hex()
                return [{"to": link, "bytes": ready} for link in (caller, target)]
        raise AssertionError(effect)


def circuit() -> list[dict[str, Any]]:
    """A place, a refusal, and two circuits: one that comes about, one for which a link is late."""
    script = Script()
    script.say("caller", messages.Connect(1, sha256(b"id of nobody")), 0.0)
    script.say("guest", messages.Reserve(), 0.0)
    script.say("caller", messages.Connect(2, IDS["guest"]), 1.0)
    script.begin(1, TOKENS[0][:5], 1.0)
    script.begin(1, TOKENS[0], 1.0)
    script.begin(2, b"\x01\x03\x01\x00" + bytes(28), 1.5)
    script.begin(3, TOKENS[1], 2.0)
    script.begin(4, TOKENS[1], 2.0)
    script.say("caller", messages.Connect(3, IDS["guest"]), 3.0)
    script.begin(5, TOKENS[2] + b"\x00", 3.0)
    script.begin(6, TOKENS[3], 13.0)
    return script.steps


def text() -> str:
    """The whole file."""
    content = {
        "about": "Relays (nat/relay_messages.py, nat/relay.py, wire/address.py): made by "
        "tools/make_relay_vectors.py. Bodies are of RELAY frames; `later` are of a later version "
        "and are read as `as`. In `circuit` two peers have sessions with the relay; `who` says a "
        "body in its own, a `link` begins with bytes. `no token`: these bytes are the handshake's. "
        "`closed`: nothing may follow a token before `ready`. Each token is good for one link and "
        "for `token_s`. Of a refusal only nonce and code are shown: its text is for people.",
        "type": frame.RELAY,
        "messages": said(),
        "together": messages.encode(*MESSAGES).hex(),
        "later": [
            {"body": body.hex(), "as": messages.encode(*messages.decode(body)).hex()}
            for body in LATER
        ],
        "malformed": [{"why": why, "body": body.hex()} for why, body in MALFORMED.items()],
        "addresses": addresses(),
        "ready": messages.READY.hex(),
        "token_s": Config().token_s,
        "ids": {name: id.hex() for name, id in IDS.items()},
        "tokens": [token.hex() for token in TOKENS],
        "circuit": circuit(),
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
