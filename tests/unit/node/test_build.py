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
                "gossip.neighbours": 12,
                "gossip.fanout": 4,
                "gossip.max_hops": 3,
                "gossip.stem": False,
                "gossip.stamp_bits": 9,
                "gossip.shard_bits": 2,
                "gossip.link_messages_per_s": 7.0,
                "gossip.link_bytes_per_s": 1000.0,
                "gossip.sync_s": 17.0,
                "gossip.timeout_s": 0.7,
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
    gossip = config.gossip
    assert (gossip.on, gossip.share, gossip.shard_bits) == (True, True, 2)
    assert (gossip.membership.active, gossip.spread.fanout) == (12, 4)
    assert (gossip.spread.hops_max, gossip.spread.served_hop) == (3, 3)
    assert (gossip.spread.sync_s, gossip.spread.want_after_s) == (17.0, 0.7)
    assert (gossip.stem.on, gossip.stamp.base_bits) == (False, 9)
    assert (gossip.standing.messages_per_s, gossip.standing.messages_burst) == (7.0, 35.0)
    assert (gossip.standing.bytes_per_s, gossip.standing.bytes_burst) == (1000.0, 4000.0)
    assert config.network_secret is not None


@pytest.mark.parametrize(
    ("change", "on"),
    [({}, True), ({"enable_stealth": True}, False), ({"lan.enabled": False}, False)],
)
def test_stealth_and_lan_switch_the_beacon(change: dict[str, bool], on: bool) -> None:
    assert build(Settings().replace(**change)).beacon_on is on


@pytest.mark.parametrize(
    ("change", "on", "shared"),
    [
        ({}, True, True),
        ({"gossip.enabled": False}, False, True),
        ({"gossip.share_address": False}, True, False),
        ({"enable_stealth": True}, True, False),
    ],
)
def test_who_takes_part_and_whose_address_is_told(
    change: dict[str, bool], on: bool, shared: bool
) -> None:
    gossip = build(Settings().replace(**change)).gossip
    assert (gossip.on, gossip.share) == (on, shared)


def test_one_secret_makes_one_key_and_none_makes_none() -> None:
    def key(text: str) -> bytes | None:
        return network_key(Settings().replace(network_secret=text))

    assert key("") is None
    assert key("correct horse") == key("correct horse") != key("correct horsf")


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="network_secret"):
        build(Settings().replace(network_secret="short"))
