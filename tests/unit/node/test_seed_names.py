"""The names and units of the sources are accepted, and mean what they meant there."""

from __future__ import annotations

from pathlib import Path

import pytest

from whispurrnet.errors import ConfigError
from whispurrnet.node.bootstrap import Bootstrap
from whispurrnet.node.build import build
from whispurrnet.node.seed_names import SEED_NAMES
from whispurrnet.node.settings import KEYS, Settings

GOSSIP = """
maxHops = 10
gossipInterval = 5000
messageTTL = 300000
enableAutoPropagation = true
maxConcurrentGossip = 5
"""


def load(text: str, tmp_path: Path) -> Settings:
    path = tmp_path / "whispurr.toml"
    path.write_text(text)
    return Settings.load(path)[0]


def test_each_leads_to_a_key() -> None:
    assert {path for path, _ in SEED_NAMES.values()} <= KEYS.keys()


CONNECTION = """
timeout = 30000
maxRetries = 3
heartbeatInterval = 30000
relayServers = ["wss://relay1.example.com", "wss://relay2.example.com"]

[rtcConfig]
iceServers = [{ urls = "stun:stun.l.google.com:19302" }]
"""


def test_connections_by_the_names_of_the_readme(tmp_path: Path) -> None:
    settings = load(CONNECTION, tmp_path)
    session, nat = settings.session, settings.nat
    assert (session.timeout_ms, session.max_retries, session.heartbeat_s) == (30_000, 3, 30.0)
    assert [one.reveal() for one in nat.ice_servers] == ["stun:stun.l.google.com:19302"]
    relays = Bootstrap(nat.relays, 0.0, relay=True)
    called = [call.addresses for call in relays.calls([1, 2], 0)]
    assert called == [(f"/dns/relay{n}.example.com/tcp/443/wss",) for n in (1, 2)]
    assert not relays.problems(0.0)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("ws://192.0.2.7:8080", "/ip4/192.0.2.7/tcp/8080/ws"),
        ("ws://[2001:db8::7]/ws", "/ip6/2001:db8::7/tcp/80/ws"),
        ("wss://Relay.example/mesh/in", "/dns/relay.example/tcp/443/wss/http-path/mesh%2Fin"),
        ("/ip4/192.0.2.7/tcp/9000", "/ip4/192.0.2.7/tcp/9000"),
        ("WN1-4QZ7K", "WN1-4QZ7K"),
        ("https://relay.example", "https://relay.example"),
        ("wss://", "wss://"),
        ("ws://relay.example:99999", "ws://relay.example:99999"),
    ],
)
def test_urls_of_relays(written: str, address: str) -> None:
    assert Settings.load(flags={"relayServers": [written]})[0].nat.relays == (address,)


def test_gossip_by_the_names_of_the_readme(tmp_path: Path) -> None:
    settings = load(GOSSIP, tmp_path)
    gossip = settings.gossip
    assert (gossip.max_hops, gossip.sync_s, gossip.neighbours) == (10, 5.0, 5)
    assert (settings.message_ttl, gossip.enabled) == (300.0, True)
    config = build(settings).gossip
    assert (config.spread.hops_max, config.spread.sync_s) == (10, 5.0)
    assert config.membership.active == 5


def test_gossip_that_is_not_passed_on(tmp_path: Path) -> None:
    assert not build(load("enableAutoPropagation = false", tmp_path)).gossip.on


def test_the_constants_of_the_firmware(tmp_path: Path) -> None:
    text = """
    MAX_PEER_NODES = 100
    MAX_MESSAGE_SIZE = 1024
    GOSSIP_TIMEOUT_MS = 5000
    HEARTBEAT_INTERVAL = 30000
    GOSSIP_FANOUT = 3
    MESSAGE_TTL = 300000
    """
    settings = load(text, tmp_path)
    assert (settings.max_peers, settings.direct.body_max) == (100, 1024)
    assert (settings.gossip.timeout_s, settings.gossip.fanout) == (5.0, 3)
    assert (settings.session.heartbeat_s, settings.message_ttl) == (30.0, 300.0)


@pytest.mark.parametrize(
    "text",
    ['GOSSIP_FANOUT = "three"', "maxHops = 0", 'gossipInterval = "5 s"', "MESSAGE_TTL = true"],
)
def test_what_cannot_be_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is wrong"):
        load(text, tmp_path)


def test_the_key_of_a_topic_is_no_setting() -> None:
    Settings.load(None, {"WHISPURRNET_TOPIC_KEY": "5a" * 32})
    Settings.load(None, {"WHISPURRNET_OBJECT_KEY": "5a" * 32})


def test_ice_servers_of_browsers() -> None:
    servers = [
        {"urls": ["stun:h", "turn:h?transport=tcp"], "username": "a:b", "credential": "c@d"},
        {"urls": "stun:i"},
        "stun:j",
    ]
    wanted = ["stun:h", "turn:a%3Ab:c%40d@h?transport=tcp", "stun:i", "stun:j"]
    for flags in (
        {"iceServers": servers},
        {"rtcConfig": {"iceServers": servers}},
        {"rtcConfig.iceServers": servers},
    ):
        settings, _ = Settings.load(flags=flags)
        assert [one.reveal() for one in settings.nat.ice_servers] == wanted
        assert "c%40d" not in str(settings.to_json())
    with pytest.raises(ConfigError, match="nat.ice_servers"):
        Settings.load(flags={"rtcConfig": {"bundlePolicy": "balanced"}})
    with pytest.raises(ConfigError, match="nat.ice_servers"):
        Settings.load(flags={"iceServers": [{"urls": 4}]})
