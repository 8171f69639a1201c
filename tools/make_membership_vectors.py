"""Make `vectors/membership.json`: realms, chains of invites, and what is signed for a channel.

.venv/bin/python tools/make_membership_vectors.py          # rewrite the file
.venv/bin/python tools/make_membership_vectors.py --check  # exit 1 if it would change
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.gossip.envelope import realm_key
from whispurrnet.trust import chain
from whispurrnet.trust.chain import Chain, Realm

FILE = Path(__file__).parent.parent / "vectors" / "membership.json"
WALL_S, LIFE_S = 1_760_000_000, 1000
SEEDS = [bytes([n]) * 32 for n in range(1, 6)]
FOUNDER, *KEYS = (SigningKey.from_bytes(seed) for seed in SEEDS)
NETWORK = realm_key(None)
REALM = chain.realm_of(NETWORK, FOUNDER.public)
BINDING, PSK = b"b" * 32, Secret(b"p" * 32)


def grown() -> list[Chain]:
    """The chain of the founder, and of four that were let in one by the other."""
    chains: list[Chain] = [()]
    for issuer, key in zip([FOUNDER, *KEYS], KEYS, strict=False):
        above = chains[-1]
        made = chain.issue(issuer, above, key.public, REALM, depth=4, life_s=LIFE_S, wall_s=WALL_S)
        chains.append(made)
    return chains


def good() -> list[dict[str, Any]]:
    """Each chain, and what it says."""
    made = []
    for one in grown():
        member = chain.verify(one, REALM, WALL_S)
        said = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in msgspec.structs.asdict(member).items()
        }
        made.append({"chain": chain.encode(one).hex(), "wall_s": WALL_S, **said})
    return made


def bad() -> list[dict[str, Any]]:
    """Chains to be refused, and why."""
    whole = grown()[2]
    first, second = whole
    other = chain.realm_of(NETWORK, KEYS[0].public)

    def forge(by: SigningKey, realm: Realm = REALM, **changes: Any) -> Chain:
        link = msgspec.structs.replace(second, **changes)
        signature = by.sign(chain._text(realm, by.public, link))  # noqa: SLF001
        return (first, msgspec.structs.replace(link, signature=signature))

    lies: dict[str, Chain] = {
        "a link is missing": (second,),
        "signed by another": forge(KEYS[3]),
        "of another realm": forge(KEYS[0], other),
        "as deep as its issuer": forge(KEYS[0], depth=first.depth),
        "outlives its issuer": forge(KEYS[0], not_after_s=first.not_after_s + 1),
        "in a circle": forge(KEYS[0], subject=FOUNDER.public),
        "expired": forge(KEYS[0], not_after_s=WALL_S),
    }
    return [
        {"why": why, "chain": chain.encode(lie).hex(), "wall_s": WALL_S}
        for why, lie in lies.items()
    ]


def channel() -> dict[str, Any]:
    """What the first member signs and shows in one channel."""
    made: dict[str, Any] = {"key": KEYS[0].public.hex(), "binding": BINDING.hex()}
    for name, purpose in (("shown", chain.SHOWN), ("asked", chain.ASKED)):
        made[name] = [
            chain.sign_for(KEYS[0], purpose, REALM, BINDING, role).hex() for role in (0, 1)
        ]
    return {
        **made,
        "psk": bytes(PSK).hex(),
        "invite_mac": chain.invite_mac(PSK, BINDING, KEYS[0].public).hex(),
    }


def text() -> str:
    """The whole file."""
    content = {
        "about": "Closed realms (trust/chain.py): made by tools/make_membership_vectors.py. The "
        "seeds are of the founder and of four members, each let in by the one before.",
        "network": bytes(NETWORK).hex(),
        "seeds": [seed.hex() for seed in SEEDS],
        "founder": FOUNDER.public.hex(),
        "realm": REALM.id.hex(),
        "good": good(),
        "bad": bad(),
        "channel": channel(),
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
