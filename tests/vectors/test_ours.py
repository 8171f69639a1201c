"""Our own frozen vectors: what the browser and the device are held to must hold here first."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec
import pytest

from whispurrnet.base.errors import AuthError, LevelUnavailable
from whispurrnet.crypto import kex
from whispurrnet.crypto.hash import hkdf_expand
from whispurrnet.crypto.kex import KEM_LEVELS, Level, X25519Key, kem
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import HandshakeState, next_key
from whispurrnet.crypto.patterns import parse
from whispurrnet.identity.ephemeral import (
    Proof,
    seed_id,
    timestamp_of,
    validate_seed_id,
    verify_successor,
)
from whispurrnet.identity.instance import chum_instance_id
from whispurrnet.identity.persona import (
    Persona,
    PersonaProof,
    safety_number,
    verify_persona,
)

MAKER = Path(__file__).parents[2] / "tools" / "make_vectors.py"


@pytest.fixture(scope="module")
def maker():
    pytest.importorskip("kyber_py", reason="pip install kyber-py: the maker's deterministic ML-KEM")
    spec = importlib.util.spec_from_file_location("make_vectors", MAKER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_noise_hfs_is_what_the_maker_makes(ours, maker):
    """Both sides again, the encapsulating one through the oracle."""
    assert maker.noise_hfs() == ours("noise_hfs.json")


def test_identity_is_what_the_maker_makes(ours, maker):
    frozen = ours("identity.json")
    assert maker.identity(frozen["persona_post_quantum"]["mldsa_signature"]) == frozen


class Recorded:
    """The KEM of a session under test, which notes the secrets it gave."""

    def __init__(self, level, key):
        self._kem = kem(level)
        self._key = key
        self.public_bytes = self._kem.public_bytes
        self.ciphertext_bytes = self._kem.ciphertext_bytes
        self.secrets = []

    def generate(self, entropy):
        if self._key is not None:
            return self
        return self._kem.generate(entropy)

    @property
    def public(self):
        return self._key.public

    def decapsulate(self, ciphertext):
        self.secrets.append(self._key.decapsulate(ciphertext))
        return self.secrets[-1]


def initiator_of(vector, level, maker):
    """The recipient of the ciphertext, with the real library doing the work."""
    seed = bytes.fromhex(vector["init_kem_seed"])
    if level is Level.L1:
        private = maker.OracleKey(level, seed).private
        public = bytes.fromhex(vector["kem_public"])
        key = kex._ExtraKey(kem(level)._library, public, private)
    else:
        key = kem(level).generate(lambda _: seed)
    recorded = Recorded(level, key)
    secret = {
        f: bytes.fromhex(v) for f, v in vector.items() if isinstance(v, str) and "_n" not in f
    }
    state = HandshakeState(
        vector["protocol_name"],
        initiator=True,
        prologue=secret["prologue"],
        s=X25519Key.from_bytes(secret["init_static"]) if "init_static" in secret else None,
        e=X25519Key.from_bytes(secret["init_ephemeral"]),
        rs=secret.get("init_remote_static"),
        psks=[secret["psk"]],
        entropy=bytes,
        kem=recorded,
    )
    return state, recorded


def replay(vector, level, maker):
    state, recorded = initiator_of(vector, level, maker)
    assert recorded.public.hex() == vector["kem_public"]
    for message in vector["messages"]:
        payload, ciphertext = (bytes.fromhex(message[f]) for f in ("payload", "ciphertext"))
        if state.next_is_write:
            assert state.write(payload) == ciphertext
        else:
            assert state.read(ciphertext) == payload
    assert [secret.hex() for secret in recorded.secrets] == [vector["kem_secret"]]
    return state.finish()


@pytest.mark.parametrize("kem_name", KEM_LEVELS)
def test_noise_hfs_from_the_recipient(ours, maker, kem_name):
    level, number = KEM_LEVELS[kem_name], 0
    try:
        kem(level)
    except LevelUnavailable as error:
        pytest.skip(str(error))
    for vector in ours("noise_hfs.json")["vectors"]:
        if parse(vector["protocol_name"]).kem != kem_name:
            continue
        number += 1
        keys = replay(vector, level, maker)
        assert keys.hash.hex() == vector["handshake_hash"]
        assert keys.send.hex() == vector["key_init_to_resp"]
        assert keys.receive.hex() == vector["key_resp_to_init"]
        assert keys.exporter.hex() == vector["exporter"]
        assert next_key(keys.send).hex() == vector["next_key_init_to_resp"]
        for export in vector["exports"]:
            label, context = export["label"], bytes.fromhex(export["context"])
            value = bytes.fromhex(export["value"])
            assert keys.export(label, context, len(value)) == value
            info = label.encode() + b"\0" + keys.hash + context
            assert hkdf_expand(keys.exporter, info, len(value)) == value
    assert number == 3


def test_noise_hfs_covers_levels_and_patterns(ours):
    names = {vector["protocol_name"] for vector in ours("noise_hfs.json")["vectors"]}
    assert names == {
        f"Noise_{pattern}_25519+{kem_name}_ChaChaPoly_SHA256"
        for pattern in ("XKhfs+psk3", "XXhfs+psk3", "NNhfs+psk0")
        for kem_name in ("MLKEM512", "MLKEM768", "MLKEM1024")
    }


def test_noise_hfs_message_sizes(ours):
    """The sizes of CRYPTO.md 1.2, less the payloads of 32, 448 and 9 bytes."""
    sizes = {
        vector["protocol_name"]: [len(m["ciphertext"]) // 2 for m in vector["messages"]]
        for vector in ours("noise_hfs.json")["vectors"]
    }
    xk = "Noise_XKhfs+psk3_25519+MLKEM{}_ChaChaPoly_SHA256"
    core = {512: (864, 832, 64), 768: (1248, 1152, 64), 1024: (1632, 1632, 64)}
    for number, expected in core.items():
        found = sizes[xk.format(number)]
        assert tuple(map(int.__sub__, found, (32, 448, 9))) == expected


def test_a_changed_vector_is_seen(ours, maker):
    vector = ours("noise_hfs.json")["vectors"][1]
    flipped = bytearray.fromhex(vector["messages"][1]["ciphertext"])
    flipped[100] ^= 1
    vector["messages"][1]["ciphertext"] = flipped.hex()
    with pytest.raises(AuthError):
        replay(vector, Level.L3, maker)


def test_proofs(ours):
    frozen = ours("identity.json")
    for vector in frozen["proofs"]:
        proof = Proof.decode(bytes.fromhex(vector["encoded"]))
        assert proof.id.hex() == vector["id"]
        fields = msgspec.structs.asdict(proof)
        for name, value in vector["fields"].items():
            assert (
                fields[name].hex() if isinstance(fields[name], bytes) else fields[name]
            ) == value
        proof.verify(proof.timestamp_ms)
    assert len(frozen["proofs"]) == 2
    old, new, signature = (bytes.fromhex(v) for v in frozen["successor"].values())
    verify_successor(Proof.decode(old), Proof.decode(new), signature)


def test_seed_id(ours):
    vector = ours("identity.json")["seed_id"]
    assert seed_id(bytes.fromhex(vector["entropy"]), vector["timestamp_ms"]) == vector["text"]
    assert validate_seed_id(vector["text"])
    assert timestamp_of(vector["text"]) == vector["timestamp_ms"]


@pytest.mark.parametrize("name", ["persona", "persona_post_quantum"])
def test_persona(ours, name):
    vector = ours("identity.json")[name]
    proof = PersonaProof(
        **{
            field: bytes.fromhex(vector.get(field, ""))
            for field in ("signing_key", "signature", "mldsa_key", "mldsa_signature")
        }
    )
    found = verify_persona(proof, bytes.fromhex(vector["binding"]), vector["role"])
    assert found.hex() == vector["id"]
    persona = Persona(bytes.fromhex(vector["seed"]), post_quantum=bool(proof.mldsa_key))
    assert persona.id == found
    shown = persona.prove(bytes.fromhex(vector["binding"]), vector["role"])
    assert shown.signature == proof.signature
    assert verify_persona(shown, Secret.fromhex(vector["binding"]), vector["role"]) == found


def test_safety_number_and_chum(ours):
    number = ours("identity.json")["safety_number"]
    a, b = bytes.fromhex(number["a"]), bytes.fromhex(number["b"])
    assert safety_number(a, b) == safety_number(b, a) == number["text"]
    chum = ours("identity.json")["chum_instance_id"]
    inputs = (bytes.fromhex(chum[f]) for f in ("secret", "hardware_id", "instance"))
    assert chum_instance_id(*inputs).hex() == chum["id"]
