"""The known answers of FIPS 203 and 204 that the vectors package of `cryptography` carries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from whispurrnet.base.errors import AuthError
from whispurrnet.crypto.kex import Level, kem
from whispurrnet.crypto.sign import MlDsaKey, mldsa_verify

cryptography_vectors = pytest.importorskip(
    "cryptography_vectors", reason="pip install cryptography-vectors brings these known answers"
)
FOLDER = Path(cryptography_vectors.__file__).parent / "asymmetric"


def answers(path: Path) -> Iterator[dict[str, bytes]]:
    """The records of a NIST response file."""
    record: dict[str, bytes] = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(" = ")
        if name == "count" and record:
            yield record
            record = {}
        if value and len(value) % 2 == 0 and name not in ("count", "mlen", "smlen"):
            record[name] = bytes.fromhex(value)
    yield record


@pytest.mark.parametrize(
    ("file", "level"), [("kat_MLKEM_768.rsp", Level.L3), ("kat_MLKEM_1024.rsp", Level.L5)]
)
def test_mlkem(file, level):
    tested, number = kem(level), 0
    for answer in answers(FOLDER / "MLKEM" / file):
        number += 1
        key = tested.generate(lambda _, seed=answer["d"] + answer["z"]: seed)
        assert key.public == answer["pk"]
        assert key.decapsulate(answer["ct"]) == answer["ss"]
        assert key.decapsulate(answer["ct_n"]) == answer["ss_n"], "implicit rejection"
    assert number == 1000


def test_mldsa_65():
    number = 0
    for answer in answers(FOLDER / "MLDSA" / "kat_MLDSA_65_det_pure.rsp"):
        number += 1
        key, context = MlDsaKey.from_seed(answer["xi"]), answer.get("ctx", b"")
        message = answer["msg"]
        assert key.public == answer["pk"]
        signature = answer["sm"][: len(answer["sm"]) - len(message)]
        mldsa_verify(key.public, message, signature, context)
        mldsa_verify(key.public, message, key.sign(message, context), context)
        with pytest.raises(AuthError):
            mldsa_verify(key.public, message + b"!", signature, context)
    assert number == 100
