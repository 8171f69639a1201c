"""Make `vectors/gossip.json`: realms, the resonance ladder, envelopes and stamps, frozen.

.venv/bin/python tools/make_gossip_vectors.py          # rewrite the file
.venv/bin/python tools/make_gossip_vectors.py --check  # exit 1 if it would change
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whispurrnet.crypto.keys import Secret
from whispurrnet.gossip import ladder, stamp
from whispurrnet.gossip.envelope import BUCKETS, Inside, Realm, parse, realm_key, seal
from whispurrnet.identity.ephemeral import Ephemeral

FILE = Path(__file__).parent.parent / "vectors" / "gossip.json"
NETWORK_SECRET, TOPIC_KEY = Secret(b"n" * 32), Secret(b"t" * 32)
WALL_MS, EXPIRY_S = 1_760_000_000_000, 1_760_000_100
INTENT = "health/sensor/heart#eu#urgent"
INTERESTS = (
    "health/sensor",
    "health/sensor/lung",
    "health/finance",
    "music",
    "health/sensor/heart#calm",
)
REALMS = (("open", None), ("private", NETWORK_SECRET))


def entropy(label: str) -> Callable[[int], bytes]:
    """Bytes that are the same each time: one SHAKE-128 for each call, of the label and a count."""
    calls = iter(range(1000))
    return lambda n: hashlib.shake_128(f"{label} {next(calls)}".encode()).digest(n)


def realms() -> list[dict[str, Any]]:
    """The open mesh and a private network: the keys and hints of both."""
    made = []
    for name, secret in REALMS:
        key = realm_key(secret)
        realm = Realm(key)
        made.append(
            {
                "name": name,
                "network_secret": secret.hex() if secret else None,
                "realm_key": key.hex(),
                "base": realm.base.hex(),
                "hints": [
                    {"expiry_s": at, "hint": realm.hint(at).hex()}
                    for at in (0, EXPIRY_S, EXPIRY_S + 3600, 2**32 - 6)
                ],
                "mac": realm.mac(b"data").hex(),
            }
        )
    return made


def rungs() -> dict[str, Any]:
    """The features of an intent, their keys and slots, and how much some interests match."""
    base, nonce = Realm(realm_key(None)).base, b"n" * 12
    wanted = [(interest, ladder.features(interest)) for interest in INTERESTS]
    message = dict(ladder.features(INTENT))
    return {
        "intent": INTENT,
        "nonce": nonce.hex(),
        "features": [
            {
                "name": name,
                "weight": weight,
                "key": (key := ladder.feature_key(base, name)).hex(),
                "slot": ladder.slot(key, nonce).hex(),
            }
            for name, weight in (*ladder.features(INTENT), *ladder.features(ladder.EVERYONE))
        ],
        "interests": [
            {"interest": interest, "match": ladder.match(features, message)}
            for interest, features in wanted
        ],
    }


def envelopes() -> list[dict[str, Any]]:
    """One of each kind: public, private, for everyone and urgent, signed, of another size."""
    alice = Ephemeral.generate(entropy("alice"), WALL_MS)
    plain = Inside(kind=7, strength=0.75, priority=5, intent=INTENT, payload=b"72 bpm")
    alarm = Inside(kind=1, strength=1.0, priority=10, intent=ladder.EVERYONE, payload=b"fire")
    long = Inside(kind=7, strength=1.0, priority=0, intent="a", payload=bytes(range(256)) * 2)
    kinds: list[tuple[str, str, Inside, Secret | None, Ephemeral | None]] = [
        ("public", "open", plain, None, None),
        ("private topic", "open", plain, TOPIC_KEY, None),
        ("everyone, urgent, signed", "private", alarm, None, alice),
        ("longer", "private", long, None, None),
    ]
    made = []
    for name, where, inside, topic_key, signer in kinds:
        raw = seal(
            Realm(realm_key(dict(REALMS)[where])),
            inside,
            topic_key=topic_key,
            expiry_s=EXPIRY_S,
            urgent=inside is alarm,
            shard=3,
            entropy=entropy(name),
            signer=signer,
        )
        made.append(
            {
                "name": name,
                "realm": where,
                "topic_key": topic_key.hex() if topic_key else None,
                "kind": inside.kind,
                "strength": inside.strength,
                "priority": inside.priority,
                "intent": inside.intent,
                "payload": inside.payload.hex(),
                "author": signer.id.hex() if signer else None,
                "id": parse(raw).id.hex(),
                "raw": raw.hex(),
            }
        )
    return made


def stamps() -> list[dict[str, Any]]:
    """The first stamps, from 0, of one id."""
    id = bytes(range(16))
    return [
        {
            "id": id.hex(),
            "expiry_s": EXPIRY_S,
            "bits": bits,
            "value": stamp.solve(id, EXPIRY_S, bits).hex(),
        }
        for bits in (0, 8, 14)
    ]


def gossip() -> dict[str, Any]:
    """The whole file."""
    return {
        "about": "What the mesh relays, frozen. The ladder is in the open realm. Envelopes: sealed "
        "with 12 bytes of nonce, then the filling slots, from SHAKE-128 of `<name> <call>`; they "
        "open at `wall_ms`. Stamps: the first value from 0.",
        "wall_ms": WALL_MS,
        "expiry_s": EXPIRY_S,
        "buckets": list(BUCKETS),
        "realms": realms(),
        "ladder": rungs(),
        "vectors": envelopes(),
        "stamps": stamps(),
    }


def main() -> int:
    """Write the file, or only compare."""
    made = json.dumps(gossip(), indent=1) + "\n"
    if FILE.exists() and FILE.read_text() == made:
        return 0
    if "--check" in sys.argv:
        sys.stdout.write("gossip.json differs\n")
        return 1
    FILE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
