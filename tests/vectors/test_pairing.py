"""Frozen pairings and tickets of objects: what is made today is what was frozen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from whispurrnet.crypto.hash import sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.session.joining import Answered, Ask, Begin, Joined, Joining
from whispurrnet.session.pairing import Answer, Asked, Config, Offering, Paired
from whispurrnet.wire import words
from whispurrnet.wire.object_ticket import ObjectTicket, Offered

MAKER = Path(__file__).parents[2] / "tools" / "make_pairing_vectors.py"


def test_the_file_is_what_the_maker_makes() -> None:
    subprocess.run([sys.executable, str(MAKER), "--check"], check=True, timeout=60)


def test_the_words_are_what_they_were(ours) -> None:
    every = " ".join((*words.LIVING, *words.MADE)).encode()
    assert sha256(every).hex() == ours("pairing.json")["words"]


def test_both_sides_say_what_was_frozen(ours) -> None:
    for given in ours("pairing.json")["vectors"]:
        raw = {k: bytes.fromhex(v) for k, v in given.items() if k not in {"code", "messages"}}
        frozen = [bytes.fromhex(message) for message in given["messages"]]
        code, scalar = words.parse(given["code"]), Secret(raw["scalar"])
        offering = Offering(
            Config(),
            code.nameplate,
            scalar,
            raw["payload"],
            entropy=lambda n, raw=raw: raw["secret_b"][:n],
            now=0.0,
        )
        joining = Joining(
            Config(),
            code.nameplate,
            scalar,
            entropy=lambda n, raw=raw: raw["secret_a"][:n],
        )
        said, paired = [], []
        effect = joining.handle(Begin(1, raw["binding"]), 0.0)[0]
        while isinstance(effect, Ask):
            said.append(effect.body)
            for came in offering.handle(Asked(1, 1, raw["binding"], effect.body), 0.0):
                if isinstance(came, Answer):
                    said.append(came.body)
                    effect = joining.handle(Answered(came.body), 0.0)[0]
                elif isinstance(came, Paired):
                    paired.append(came.key)
        assert said == frozen
        assert isinstance(effect, Joined)
        assert effect.key == raw["key"]
        assert paired == [raw["key"]]
        assert effect.payload == raw["payload"]


def test_tickets_of_objects_are_what_they_were(ours) -> None:
    for given in ours("pairing.json")["tickets"]:
        ticket = ObjectTicket.parse(given["ticket"])
        assert ticket.text == given["ticket"]
        assert ticket.node.text == given["node"]
        assert ticket.offered == Offered.unpack(bytes.fromhex(given["offered"]))
        assert ticket.offered.meeting == given["meeting"]
        assert ticket.offered.tag.hex() == given["tag"]
