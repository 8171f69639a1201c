from __future__ import annotations

from typing import Any


def test_list(ada: Any, pair: Any) -> None:
    ran = ada("trust", "list")
    assert pair.bob.name in ran.out
    assert "only an ephemeral identity" in ran.out
    assert ada("trust", "list", "--output", "json").json[0]["trust"] == "unknown"


def test_ephemeral_peers_cannot_be_verified(ada: Any, pair: Any) -> None:
    for what in ("verify", "revoke"):
        ran = ada("trust", what, pair.bob.name)
        assert ran.code == 2
        assert "long-term identity" in ran.err
