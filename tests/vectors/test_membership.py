"""Frozen memberships: what is made today is what was frozen, and what was refused still is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.base.errors import AuthError
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.gossip.envelope import realm_key
from whispurrnet.trust import chain
from whispurrnet.trust.chain import Realm

MAKER = Path(__file__).parents[2] / "tools" / "make_membership_vectors.py"


@pytest.fixture
def given(ours) -> dict[str, Any]:
    return ours("membership.json")


@pytest.fixture
def realm(given) -> Realm:
    assert given["network"] == realm_key(None).hex()
    found = chain.realm_of(realm_key(None), bytes.fromhex(given["founder"]))
    assert found.id.hex() == given["realm"]
    return found


def test_what_is_made_is_what_was_frozen():
    done = subprocess.run([sys.executable, MAKER, "--check"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_good_chains(given, realm):
    assert len(given["good"]) == 5
    for vector in given["good"]:
        found = chain.decode(bytes.fromhex(vector["chain"]))
        assert chain.encode(found).hex() == vector["chain"]
        member = chain.verify(found, realm, vector["wall_s"])
        for name in ("key", "inviter", "branch"):
            assert getattr(member, name).hex() == vector[name]
        assert (member.depth, member.expires_s) == (vector["depth"], vector["expires_s"])


def test_bad_chains(given, realm):
    assert len(given["bad"]) == 7
    for vector in given["bad"]:
        with pytest.raises(AuthError):
            chain.verify(chain.decode(bytes.fromhex(vector["chain"])), realm, vector["wall_s"])


def test_what_is_signed_for_a_channel(given, realm):
    vector = given["channel"]
    key = SigningKey.from_bytes(bytes.fromhex(given["seeds"][1]))
    binding = bytes.fromhex(vector["binding"])
    assert key.public.hex() == vector["key"]
    for name, purpose in (("shown", chain.SHOWN), ("asked", chain.ASKED)):
        for role, signature in enumerate(vector[name]):
            assert chain.sign_for(key, purpose, realm, binding, role).hex() == signature
    psk = Secret(bytes.fromhex(vector["psk"]))
    assert chain.invite_mac(psk, binding, key.public).hex() == vector["invite_mac"]
