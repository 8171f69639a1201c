"""The frozen objects: what is made today is what was frozen, and what was frozen is believed.

The second half computes the ids once more from the words of `docs/protocol/objects.md` alone.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import blake3
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.hash import sha256
from whispurrnet.store.manifest import decode
from whispurrnet.store.object import Header, Page
from whispurrnet.store.outline import Growing
from whispurrnet.store.sealing import unseal
from whispurrnet.wire.ids import ObjectId

MAKER = Path(__file__).parents[2] / "tools" / "make_object_vectors.py"


def content(size: int) -> bytes:
    return bytes(n * n % 251 for n in range(size))


def digest(context: str, data: bytes) -> bytes:
    return blake3.blake3(data, derive_key_context=f"whispurrnet obj {context} v1").digest()


def pairs(level: list[bytes]) -> bytes:
    while len(level) > 1:
        level = [
            digest("node", level[i] + level[i + 1]) if i + 1 < len(level) else level[i]
            for i in range(0, len(level), 2)
        ]
    return level[0]


def test_what_is_made_is_what_was_frozen() -> None:
    done = subprocess.run([sys.executable, MAKER, "--check"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_ids_follow_from_the_words_of_the_page(ours: Any) -> None:
    vectors = ours("objects.json")["objects"]
    assert len(vectors) == 20
    for vector in vectors:
        data, step = content(vector["size"]), 1 << vector["chunk_log2"]
        lengths = vector.get("lengths") or [step] * max(1, -(-len(data) // step))
        at, leaves, bottom = 0, [], []
        for length in lengths:
            leaves.append(digest("leaf", data[at : at + length]))
            where = at.to_bytes(8, "big") + length.to_bytes(4, "big")
            bottom.append(digest("cut", leaves[-1] + where) if vector["mode"] == 1 else leaves[-1])
            at += length
        root = pairs(bottom)
        if vector["mode"] == 1:
            root = digest("cuts", len(leaves).to_bytes(4, "big") + root)
        header = bytes([1, vector["mode"], vector["chunk_log2"]]) + len(data).to_bytes(8, "big")
        assert header.hex() == vector["header"]
        assert digest("root", header + root).hex() == vector["id"]
        pages = b"".join(leaves)
        for page in vector["pages"]:
            part = pages[page["index"] * 512 * 32 :][: 512 * 32]
            assert page.get("leaves", part.hex()) == part.hex()
            assert page.get("leaves_sha256", sha256(part).hex()) == sha256(part).hex()


def test_frozen_pages_are_believed_and_no_changed_byte_of_them(ours: Any) -> None:
    believed = 0
    for vector in ours("objects.json")["objects"]:
        oid, header = ObjectId(bytes.fromhex(vector["id"])), bytes.fromhex(vector["header"])
        assert Header.unpack(header).pack() == header
        for said in vector["pages"]:
            if "leaves" not in said:
                continue
            fields = [bytes.fromhex(said[name]) for name in ("leaves", "lengths", "proof")]
            Growing(oid).put(header, Page(said["index"], *fields))
            believed += 1
            for number, field in enumerate(fields):
                for at in range(len(field)):
                    changed = bytearray(field)
                    changed[at] ^= 0x10
                    other = [*fields[:number], bytes(changed), *fields[number + 1 :]]
                    with pytest.raises(ProtocolError):
                        Growing(oid).put(header, Page(said["index"], *other))
            for at in range(len(header)):
                changed = bytearray(header)
                changed[at] ^= 1
                with pytest.raises(ProtocolError):
                    Growing(oid).put(bytes(changed), Page(said["index"], *fields))
    assert believed == 17


def test_frozen_collections_are_read(ours: Any) -> None:
    for vector in ours("objects.json")["manifests"]:
        data = bytes.fromhex(vector["manifest"])
        assert [entry.name for entry in decode(data)] == vector["names"]
        header = bytes([1, 0, 18]) + len(data).to_bytes(8, "big")
        assert digest("root", header + digest("leaf", data)).hex() == vector["id"]


def test_frozen_sealed_objects_open(ours: Any) -> None:
    frozen = ours("objects.json")["sealed"]
    key = bytes.fromhex(frozen["key"])
    whole = [vector for vector in frozen["vectors"] if "sealed" in vector]
    assert len(whole) == 4
    for vector in whole:
        sealed = bytes.fromhex(vector["sealed"])
        assert len(sealed) == vector["sealed_bytes"]
        assert b"".join(unseal(key, len(sealed), [sealed])) == content(vector["size"])
        plain = ChaCha20Poly1305(key).decrypt(bytes(11) + b"\1", sealed, None)
        assert plain[:8] == vector["size"].to_bytes(8, "big")
        assert plain[8:].rstrip(b"\0") == content(vector["size"]).rstrip(b"\0")
