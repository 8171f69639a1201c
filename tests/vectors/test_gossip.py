"""The frozen mesh: what is made today is what was frozen, and what was frozen still opens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.crypto.keys import Secret
from whispurrnet.gossip import ladder, stamp
from whispurrnet.gossip.envelope import BUCKETS, Realm, author, parse, realm_key, verify
from whispurrnet.gossip.keyring import Keyring

MAKER = Path(__file__).parents[2] / "tools" / "make_gossip_vectors.py"


def unhex(text: str | None) -> Secret | None:
    return None if text is None else Secret(bytes.fromhex(text))


@pytest.fixture
def given(ours) -> dict[str, Any]:
    return ours("gossip.json")


@pytest.fixture
def realms(given) -> dict[str, Realm]:
    return {one["name"]: Realm(realm_key(unhex(one["network_secret"]))) for one in given["realms"]}


def test_what_is_made_is_what_was_frozen():
    done = subprocess.run([sys.executable, MAKER, "--check"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_realms(given, realms):
    assert len(given["realms"]) == 2
    for vector in given["realms"]:
        realm = realms[vector["name"]]
        assert realm_key(unhex(vector["network_secret"])).hex() == vector["realm_key"]
        assert realm.base.hex() == vector["base"]
        assert realm.mac(b"data").hex() == vector["mac"]
        for hint in vector["hints"]:
            assert realm.hint(hint["expiry_s"]).hex() == hint["hint"]


def test_the_ladder(given, realms):
    vector = given["ladder"]
    nonce = bytes.fromhex(vector["nonce"])
    assert len(vector["features"]) == 6
    for feature in vector["features"]:
        key = ladder.feature_key(realms["open"].base, feature["name"])
        assert key.hex() == feature["key"]
        assert ladder.slot(key, nonce).hex() == feature["slot"]
    message = dict(ladder.features(vector["intent"]))
    matches = [one["match"] for one in vector["interests"]]
    assert matches == [1.0, 0.5, 1 / 3, 0.0, 6 / 7]
    for one in vector["interests"]:
        assert ladder.match(ladder.features(one["interest"]), message) == one["match"]


def test_envelopes_open(given, realms):
    assert tuple(given["buckets"]) == BUCKETS
    assert len(given["vectors"]) == 4
    for vector in given["vectors"]:
        envelope = parse(bytes.fromhex(vector["raw"]))
        assert envelope.id.hex() == vector["id"]
        assert envelope.expiry_s == given["expiry_s"]
        assert envelope.shard == 3
        assert envelope.urgent == ("urgent" in vector["name"])
        realm = realms[vector["realm"]]
        verify(realm, envelope)
        keyring = Keyring(realm)
        if vector["intent"]:
            keyring.listen(vector["intent"], key=unhex(vector["topic_key"]))
        (heard,) = keyring.open(envelope)
        inside = heard.inside
        assert heard.strength == inside.strength == vector["strength"]
        assert (inside.kind, inside.priority) == (vector["kind"], vector["priority"])
        assert (inside.intent, inside.payload.hex()) == (vector["intent"], vector["payload"])
        said = author(envelope, inside, given["wall_ms"])
        assert (said.hex() if said else None) == vector["author"]


def test_stamps(given):
    assert [vector["bits"] for vector in given["stamps"]] == [0, 8, 14]
    for vector in given["stamps"]:
        id, value = bytes.fromhex(vector["id"]), bytes.fromhex(vector["value"])
        assert stamp.verify(id, vector["expiry_s"], value, vector["bits"])
        assert stamp.solve(id, vector["expiry_s"], vector["bits"]) == value
