from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.cli.membership import lines
from whispurrnet.node.membership import public_of

KEYS = {"founder": "aa" * 32, "key": "bb" * 32}


def answer(role: str, **more: Any) -> dict[str, Any]:
    plain = {"links": 1, "may_invite": False, "expires_s": None, "members": 0}
    return {"role": role, **KEYS, **plain, **more}


def test_a_founder_s_key_is_made_and_only_its_public_half_is_shown(
    run: Any, tmp_path: Path
) -> None:
    path = tmp_path / "founder.key"
    ran = run("membership", "init", str(path))
    assert ran.code == 0
    secret = path.read_text().strip()
    assert secret not in ran.out + ran.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (founder,) = re.findall(r'founder = "([0-9a-f]{64})"', ran.out)
    assert founder == public_of(bytes.fromhex(secret))
    assert f'key_file = "{path}"' in ran.out
    assert run("membership", "init", str(path)).code == 1, "none is overwritten"
    assert path.read_text().strip() == secret


def test_the_same_as_json(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "founder.key"
    ran = run("membership", "init", str(path), "--output", "json")
    said = json.loads(ran.out)
    assert said == {"path": str(path), "founder": public_of(bytes.fromhex(path.read_text()))}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer("open"), "open"),
        (answer("founder", may_invite=True), "founded"),
        (answer("member", expires_s=86_400.0, may_invite=True), "1 invite from the founder; for"),
        (answer("member", links=4, members=3), "4 invites from the founder"),
        (answer("member", links=4), "our invites make no members"),
        (answer("outsider"), "next: ask a member for an invite"),
    ],
)
def test_what_a_node_is_for_people(given: dict[str, Any], words: str) -> None:
    assert words in "\n".join(lines(given))


def test_an_open_realm_says_so(ada: Any) -> None:
    ran = ada("membership", "show")
    assert ran.code == 0
    assert "everybody belongs to it" in ran.out
