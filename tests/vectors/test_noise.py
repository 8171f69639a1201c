"""The published Noise vectors, every one of them, through our engine."""

from __future__ import annotations

import pytest

from whispurrnet.crypto.kex import X448Key, X25519Key
from whispurrnet.crypto.noise import HandshakeState
from whispurrnet.crypto.patterns import PATTERNS, parse
from whispurrnet.crypto.symmetric import CipherState


def no_entropy(n: int) -> bytes:
    raise AssertionError(f"a vector brings its own ephemeral keys, yet {n} bytes were drawn")


def side(vector, prefix, initiator):
    name = vector["protocol_name"]
    key = X448Key if parse(name).dh == "448" else X25519Key

    def own(field):
        text = vector.get(f"{prefix}_{field}")
        return key.from_bytes(bytes.fromhex(text)) if text else None

    remote = vector.get(f"{prefix}_remote_static")
    return HandshakeState(
        name,
        initiator=initiator,
        prologue=bytes.fromhex(vector[f"{prefix}_prologue"]),
        s=own("static"),
        e=own("ephemeral"),
        rs=bytes.fromhex(remote) if remote else None,
        psks=[bytes.fromhex(psk) for psk in vector.get(f"{prefix}_psks", [])],
        entropy=no_entropy,
    )


def run(vector) -> None:
    initiator, responder = side(vector, "init", True), side(vector, "resp", False)
    messages = [
        (bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]
    ]
    suite = parse(vector["protocol_name"])
    rounds = len(suite.messages)
    for number, (payload, ciphertext) in enumerate(messages[:rounds]):
        writer, reader = (initiator, responder) if number % 2 == 0 else (responder, initiator)
        assert writer.next_is_write and not reader.next_is_write
        assert writer.write(payload) == ciphertext
        assert reader.read(ciphertext) == payload
    assert initiator.done and responder.done
    assert initiator.hash == responder.hash
    if "handshake_hash" in vector:
        assert initiator.hash.hex() == vector["handshake_hash"]
    ours, theirs = initiator.finish(), responder.finish()
    links = (
        (CipherState(suite.cipher, ours.send), CipherState(suite.cipher, theirs.receive)),
        (CipherState(suite.cipher, theirs.send), CipherState(suite.cipher, ours.receive)),
    )
    for number, (payload, ciphertext) in enumerate(messages[rounds:], rounds):
        seal, unseal = links[0 if rounds == 1 else number % 2]
        assert seal.encrypt(b"", payload) == ciphertext
        assert unseal.decrypt(b"", ciphertext) == payload
    assert len(messages) > rounds, "a vector without a transport message tests no keys"


@pytest.mark.parametrize(
    ("name", "count", "patterns"),
    [("noise/cacophony.txt", 944, 59), ("noise/snow.txt", 408, 51)],
)
def test_published(published, name, count, patterns):
    seen, number = set(), 0
    for vector in published(name)["vectors"]:
        number += 1
        run(vector)
        seen.add(vector["protocol_name"].split("_")[1])
    assert number == count
    assert len(seen) == patterns


def test_every_pattern_is_covered(published):
    names = {
        vector["protocol_name"].split("_")[1]
        for file in ("noise/cacophony.txt", "noise/snow.txt")
        for vector in published(file)["vectors"]
    }
    assert set(PATTERNS) <= names


def test_one_wrong_byte_is_seen(published):
    """The runner itself can fail."""
    vector = published("noise/cacophony.txt")["vectors"][100]
    vector["messages"][-1]["ciphertext"] = "00" + vector["messages"][-1]["ciphertext"][2:]
    with pytest.raises(AssertionError):
        run(vector)
