"""Make our own frozen vectors: `vectors/noise_hfs.json` and `vectors/identity.json`.

They are what the browser and the device are held to, so they change only when the protocol does.
No vectors are published for Noise `hfs` with ML-KEM; these come from our engine with `kyber-py` as
the KEM, which takes the 32 bytes of an encapsulation as an argument, so everything can be replayed.

    .venv/bin/python tools/make_vectors.py          # rewrite both files
    .venv/bin/python tools/make_vectors.py --check  # exit 1 if they would change
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from kyber_py.ml_kem import ML_KEM_512, ML_KEM_768, ML_KEM_1024

from whispurrnet.crypto.hash import sha256
from whispurrnet.crypto.kex import KEM_LEVELS, Level, X25519Key
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import HandshakeState, next_key
from whispurrnet.crypto.patterns import parse
from whispurrnet.identity.ephemeral import Ephemeral, seed_id
from whispurrnet.identity.instance import chum_instance_id
from whispurrnet.identity.persona import Persona, safety_number

FOLDER = Path(__file__).parent.parent / "vectors"
PATTERNS = ("XKhfs+psk3", "XXhfs+psk3", "NNhfs+psk0")
PAYLOADS = (b"the first whisper".ljust(32, b"\0"), b"the second".ljust(448, b"\0"), b"the third")
EXPORTS = (("rekey", b"\x01", 32), ("channel-binding", b"", 32), ("frame-mask", b"i2r", 64))
NAME = "Noise_{pattern}_25519+{kem}_ChaChaPoly_SHA256"
ORACLES = {Level.L1: ML_KEM_512, Level.L3: ML_KEM_768, Level.L5: ML_KEM_1024}
WALL_MS = 1_800_000_000_123


class OracleKey:
    """A key of `kyber-py`: slow, not constant in time, and deterministic."""

    def __init__(self, level: Level, seed: bytes) -> None:
        self._library = ORACLES[level]
        self.public, self.private = self._library.key_derive(seed)

    def decapsulate(self, ciphertext: bytes) -> Secret:
        """As FIPS 203, algorithm 21."""
        return Secret(self._library.decaps(self.private, ciphertext))


class OracleKem:
    """ML-KEM whose encapsulation is given its 32 random bytes."""

    def __init__(self, level: Level, m: bytes) -> None:
        self.level = level
        self.name = next(name for name, its in KEM_LEVELS.items() if its is level)
        self._m = m
        public, _ = ORACLES[level].key_derive(bytes(64))
        self.public_bytes = len(public)
        self.ciphertext_bytes = len(self.encapsulate(public)[0])

    def generate(self, entropy: Any) -> OracleKey:
        """The key of 64 bytes of entropy: `d | z`."""
        return OracleKey(self.level, entropy(64))

    def encapsulate(self, public: bytes) -> tuple[bytes, Secret]:
        """As FIPS 203, algorithm 17, with `m` as given."""
        secret, ciphertext = ORACLES[self.level]._encaps_internal(public, self._m)  # noqa: SLF001
        return ciphertext, Secret(secret)


def chance(label: str, n: int) -> bytes:
    """Bytes that look random and are always the same for one label."""
    blocks = (sha256(b"WN1 vectors", label.encode(), bytes((i,))) for i in range(-(-n // 32)))
    return b"".join(blocks)[:n]


def handshake_vector(pattern: str, kem_name: str) -> dict[str, Any]:
    """One handshake, with everything that is needed to replay either side."""
    name = NAME.format(pattern=pattern, kem=kem_name)
    level = KEM_LEVELS[kem_name]
    secrets = {
        label: chance(f"{name} {label}", size)
        for label, size in (
            ("init_static", 32),
            ("init_ephemeral", 32),
            ("init_kem_seed", 64),
            ("resp_static", 32),
            ("resp_ephemeral", 32),
            ("resp_kem_m", 32),
            ("psk", 32),
        )
    }
    key = {
        label: X25519Key.from_bytes(secret)
        for label, secret in secrets.items()
        if label.endswith(("_static", "_ephemeral"))
    }
    knows_static = parse(name).responder_static_known
    has_statics = not pattern.startswith("NN")
    prologue = b"WN1 vectors"
    kem = OracleKem(level, secrets["resp_kem_m"])
    kem_key = OracleKey(level, secrets["init_kem_seed"])
    initiator = HandshakeState(
        name,
        initiator=True,
        prologue=prologue,
        s=key["init_static"] if has_statics else None,
        e=key["init_ephemeral"],
        rs=key["resp_static"].public if knows_static else None,
        psks=[secrets["psk"]],
        entropy=lambda n: secrets["init_kem_seed"][:n],
        kem=kem,
    )
    responder = HandshakeState(
        name,
        initiator=False,
        prologue=prologue,
        s=key["resp_static"] if has_statics else None,
        e=key["resp_ephemeral"],
        psks=[secrets["psk"]],
        entropy=bytes,
        kem=kem,
    )
    messages = []
    for payload in PAYLOADS[: len(parse(name).messages)]:
        writer, reader = (
            (initiator, responder) if initiator.next_is_write else (responder, initiator)
        )
        message = writer.write(payload)
        assert reader.read(message) == payload
        messages.append({"payload": payload.hex(), "ciphertext": message.hex()})
    ours, theirs = initiator.finish(), responder.finish()
    assert (ours.send, ours.receive) == (theirs.receive, theirs.send)
    ciphertext, secret = kem.encapsulate(kem_key.public)
    vector = {"protocol_name": name, "prologue": prologue.hex()}
    vector |= {
        label: value.hex()
        for label, value in secrets.items()
        if has_statics or not label.endswith("_static")
    }
    if knows_static:
        vector["init_remote_static"] = key["resp_static"].public.hex()
    return vector | {
        "kem_public": kem_key.public.hex(),
        "kem_ciphertext": ciphertext.hex(),
        "kem_secret": secret.hex(),
        "messages": messages,
        "handshake_hash": ours.hash.hex(),
        "key_init_to_resp": ours.send.hex(),
        "key_resp_to_init": ours.receive.hex(),
        "next_key_init_to_resp": next_key(ours.send).hex(),
        "exporter": ours.exporter.hex(),
        "exports": [
            {
                "label": label,
                "context": context.hex(),
                "value": ours.export(label, context, n).hex(),
            }
            for label, context, n in EXPORTS
        ],
    }


def noise_hfs() -> dict[str, Any]:
    """The content of `noise_hfs.json`."""
    return {
        "about": (
            "Noise rev34 with hfs rev1 and ML-KEM (FIPS 203). init_kem_seed is d|z of the e1 key, "
            "resp_kem_m the 32 random bytes of the encapsulation; psk is the only one. Transport "
            "keys are those of Split(); exporter = HMAC-SHA256(ck, 'WN1 exporter'), value = "
            "HKDF-Expand(exporter, label|00|handshake_hash|context)."
        ),
        "vectors": [
            handshake_vector(pattern, kem_name) for pattern in PATTERNS for kem_name in KEM_LEVELS
        ],
    }


def proof_vector(identity: Ephemeral) -> dict[str, Any]:
    """An identity's proof, field by field and encoded."""
    fields = {
        field: value.hex() if isinstance(value, bytes) else value
        for field, value in msgspec.structs.asdict(identity.proof).items()
    }
    return {"fields": fields, "encoded": identity.proof.encode().hex(), "id": identity.id.hex()}


def drawn(label: str) -> Iterator[bytes]:
    """Endless draws for one identity."""
    number = 0
    while True:
        yield chance(f"{label} {number}", 32)
        number += 1


def identity(mldsa_signature: str | None) -> dict[str, Any]:
    """The content of `identity.json`.

    Args:
        mldsa_signature: The one already frozen, as ML-DSA signs differently each time.
    """
    made = []
    for label, lifetime_s in (("hour", 3600), ("day", 86400)):
        draws = drawn(label)
        made.append(
            Ephemeral.generate(lambda _, draws=draws: next(draws), WALL_MS, lifetime_s=lifetime_s)
        )
    binding = chance("binding", 32)
    persona = Persona(chance("persona", 32))
    quantum = Persona(chance("persona", 32), post_quantum=True)
    shown, shown_quantum = persona.prove(binding, 0), quantum.prove(binding, 1)
    return {
        "about": "Identity proofs, ids, personas and safety numbers; see identity/*.py.",
        "proofs": [proof_vector(one) for one in made],
        "successor": {
            "old": made[0].proof.encode().hex(),
            "new": made[1].proof.encode().hex(),
            "signature": made[0].sign_successor(made[1].proof).hex(),
        },
        "seed_id": {
            "entropy": chance("seed", 32).hex(),
            "timestamp_ms": WALL_MS,
            "text": seed_id(chance("seed", 32), WALL_MS),
        },
        "persona": {
            "seed": chance("persona", 32).hex(),
            "binding": binding.hex(),
            "role": 0,
            "id": persona.id.hex(),
            "signing_key": shown.signing_key.hex(),
            "signature": shown.signature.hex(),
        },
        "persona_post_quantum": {
            "seed": chance("persona", 32).hex(),
            "binding": binding.hex(),
            "role": 1,
            "id": quantum.id.hex(),
            "signing_key": shown_quantum.signing_key.hex(),
            "signature": shown_quantum.signature.hex(),
            "mldsa_key": shown_quantum.mldsa_key.hex(),
            "mldsa_signature": mldsa_signature or shown_quantum.mldsa_signature.hex(),
        },
        "safety_number": {
            "a": persona.id.hex(),
            "b": quantum.id.hex(),
            "text": safety_number(persona.id, quantum.id),
        },
        "chum_instance_id": {
            "secret": chance("chum", 32).hex(),
            "hardware_id": b"machine".hex(),
            "instance": b"one".hex(),
            "id": chum_instance_id(chance("chum", 32), b"machine", b"one").hex(),
        },
    }


def frozen(name: str) -> dict[str, Any]:
    """The file as it is, or nothing."""
    path = FOLDER / name
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return content


def main() -> int:
    """Write both files, or only compare."""
    signature = frozen("identity.json").get("persona_post_quantum", {}).get("mldsa_signature")
    made = {"noise_hfs.json": noise_hfs(), "identity.json": identity(signature)}
    changed = [name for name, content in made.items() if content != frozen(name)]
    for name in changed:
        sys.stdout.write(f"{name} {'differs' if '--check' in sys.argv else 'written'}\n")
        if "--check" not in sys.argv:
            (FOLDER / name).write_text(json.dumps(made[name], indent=1) + "\n")
    return 1 if changed and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
