"""Whatever text comes, `Ticket.parse` gives a ticket with that very text, or a UsageError."""

from __future__ import annotations

import base64
import os
from random import Random

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.wire import ticket as module
from whispurrnet.wire.ticket import Ticket

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))


def some_ticket(rng: Random) -> Ticket:
    return Ticket(
        static_key=rng.randbytes(32),
        addresses=tuple(f"/memory/{rng.random()}" for _ in range(rng.randrange(9))),
        expires_s=rng.randrange(2**32),
        psk=rng.choice([None, Secret(rng.randbytes(32))]),
        persona=rng.choice([None, rng.randbytes(32)]),
    )


def mangled_body(rng: Random) -> str:
    """Bytes changed at will under a check that is right: what a hostile maker would send."""
    body = bytearray(module._encode(some_ticket(rng)))
    for _ in range(rng.randrange(1, 4)):
        match rng.randrange(4):
            case 0:
                body[rng.randrange(len(body))] = rng.randrange(256)
            case 1:
                del body[rng.randrange(1, len(body) + 1) :]
            case 2:
                body += rng.randbytes(rng.randrange(1, 40))
            case _:
                at = rng.randrange(len(body))
                body[at:at] = rng.randbytes(rng.randrange(1, 3))
    check = module._check_bytes(bytes(body))
    return "WN1-" + base64.b32encode(bytes(body) + check).decode().rstrip("=")


def mangled_text(rng: Random) -> str:
    letters = list(some_ticket(rng).text)
    for _ in range(rng.randrange(1, 4)):
        letters[rng.randrange(len(letters))] = chr(rng.choice([rng.randrange(128), 0x17F, 0x131]))
    return "".join(letters)


def noise(rng: Random) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    return rng.choice(["WN1-", "whispurr:WN1-", ""]) + "".join(
        rng.choices(letters, k=rng.randrange(200))
    )


def test_parse_never_surprises() -> None:
    read = 0
    for seed in range(RUNS):
        rng = Random(seed)
        text = rng.choice([mangled_body, mangled_text, noise])(rng)
        try:
            ticket = Ticket.parse(text)
        except UsageError:
            continue
        read += 1
        canonical = "".join(text.split()).upper().removeprefix("WHISPURR:")
        assert ticket.text == canonical, f"seed {seed}"
    assert 0 < read < RUNS
