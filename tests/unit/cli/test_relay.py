"""What `whispurr relay` says, and what it is by default."""

from __future__ import annotations

import asyncio
import json

import pytest

import whispurrnet
from whispurrnet.cli import health, relay
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Fault
from whispurrnet.node.settings import Settings


def test_an_address_that_is_none_is_refused_with_an_example() -> None:
    with pytest.raises(Fault, match="--public-address"):
        relay.relay(public_address=("203.0.113.7:9000",))


def test_what_is_sensible_are_settings() -> None:
    settings = Settings().replace(**relay.nested(relay.SENSIBLE))
    assert settings.nat.relay
    assert settings.accept_first_contact
    assert not settings.gossip.enabled


@pytest.mark.parametrize("output", ["text", "json"])
def test_it_says_what_others_have_to_do(
    output: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "output", output)

    async def main() -> str:
        nat = {"relay": True, "public_addresses": ("/ip4/203.0.113.7/tcp/9000",)}
        listen = ("/ip4/127.0.0.1/tcp/0",)
        async with whispurrnet.open(listen=listen, nat=nat, lan={"enabled": False}, port=0) as node:
            relay.greet(node)
            return node.ticket.text

    ticket = asyncio.run(main())
    said = capsys.readouterr().out
    if output == "json":
        told = json.loads(said)
        assert told["ticket"] == ticket
        assert told["addresses"][0] == "/ip4/203.0.113.7/tcp/9000"
    else:
        assert f'whispurr up --set "nat.relays={ticket}"' in said
        assert "24 h" in said
        assert "/ip4/203.0.113.7/tcp/9000" in said


def test_status_counts_what_it_carries_and_where_it_has_places() -> None:
    assert health.relay_lines({}) == []
    quiet = {"on": False, "places": 0, "circuits": 0, "carried_bytes": 0, "held": 0, "wanted": 0}
    assert health.relay_lines(quiet) == []
    carries = quiet | {"on": True, "places": 3, "circuits": 2, "carried_bytes": 1_500_000}
    (line,) = health.relay_lines(carries)
    assert line == "  relay: 3 reached through it, 2 pairs, 1.5 MB"
    (line,) = health.relay_lines(quiet | {"held": 1, "wanted": 2})
    assert "1 of 2 relays" in line
