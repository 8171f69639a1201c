"""From settings to cores: every figure arrives where it belongs."""

from __future__ import annotations

import pytest

from whispurrnet.base.errors import ConfigError
from whispurrnet.crypto.kex import Level
from whispurrnet.node.build import build, network_key
from whispurrnet.node.settings import Settings


def test_the_figures_arrive() -> None:
    config = build(
        Settings().replace(
            **{
                "max_peers": 7,
                "session.level": 5,
                "session.min_level": 5,
                "session.heartbeat_s": 11.0,
                "session.timeout_ms": 4_000,
                "session.max_retries": 2,
                "direct.window": 99,
                "identity.lifetime_s": 5000.0,
                "lan.interval_s": 3.0,
                "resonance_timeout": 12.0,
                "network_secret": "a long enough secret",
            }
        )
    )
    assert (config.pool.peers_max, config.links_max) == (7, 28)
    assert (config.pool.dial_timeout_s, config.pool.retries_max) == (4.0, 2)
    assert (config.handshake.level, config.handshake.min_level) == (Level.L5, Level.L5)
    assert config.channel.heartbeat_s == 11.0
    assert config.courier.window == 99
    assert config.identity.lifetime_s == 5000.0
    assert config.beacon.interval_s == 3.0
    assert config.resonance_timeout_s == 12.0
    assert config.network_secret is not None


@pytest.mark.parametrize(
    ("change", "on"),
    [({}, True), ({"enable_stealth": True}, False), ({"lan.enabled": False}, False)],
)
def test_stealth_and_lan_switch_the_beacon(change: dict[str, bool], on: bool) -> None:
    assert build(Settings().replace(**change)).beacon_on is on


def test_one_secret_makes_one_key_and_none_makes_none() -> None:
    def key(text: str) -> bytes | None:
        return network_key(Settings().replace(network_secret=text))

    assert key("") is None
    assert key("correct horse") == key("correct horse") != key("correct horsf")


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="network_secret"):
        build(Settings().replace(network_secret="short"))
