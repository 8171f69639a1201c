"""Names of the sources for keys of ours, accepted in files and flags, and what turns their values.

Constants of the sources that are no setting here, such as sizes of keys and tags, are the same for
every node (`gossip.resonance`, `crypto`) and have no name here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast
from urllib.parse import quote, urlsplit

from whispurrnet.base.errors import UsageError
from whispurrnet.transport.webrtc_ice import text_of
from whispurrnet.wire.address import WEBSOCKET_PATH, at, parse

_PORTS: Final = {"ws": 80, "wss": 443}


def _level(value: object) -> object:
    """`Level3` of the sources is 3."""
    if isinstance(value, str) and value.startswith("Level"):
        return int(value[5:]) if value[5:].isdigit() else value
    return value


def _seconds(value: object) -> object:
    """Milliseconds of the sources."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value / 1000 if number else value  # type: ignore[operator]


def _ice_servers(value: object) -> object:
    """The `RTCIceServer`s of a browser: objects with `urls`, `username` and `credential`."""
    if not isinstance(value, list):
        return value
    found: list[object] = []
    for entry in cast("list[object]", value):
        if not isinstance(entry, Mapping):
            found.append(entry)
            continue
        fields = cast("Mapping[str, object]", entry)
        urls = fields.get("urls", fields.get("url"))
        user, secret = str(fields.get("username", "")), str(fields.get("credential", ""))
        each = cast("list[object]", urls if isinstance(urls, list) else [urls])
        found += [text_of(url, user, secret) if isinstance(url, str) else url for url in each]
    return found


def _rtc_config(value: object) -> object:
    """The `RTCConfiguration` of a browser; only its servers mean something here."""
    if not isinstance(value, Mapping):
        return value
    fields = cast("Mapping[str, object]", value)
    if fields.keys() <= {"iceServers"}:
        return _ice_servers(fields.get("iceServers", []))
    return fields


def _relay_servers(value: object) -> object:
    """URLs of relays, as `wss://relay.example`, among tickets and addresses."""
    return [*map(_relay_server, cast("list[object]", value))] if isinstance(value, list) else value


def _relay_server(value: object) -> object:
    """The address that a URL of a WebSocket means; without a path it is the one that relays have.

    What is none stays as it is, and is told of where relays are called.
    """
    if not isinstance(value, str) or "://" not in value:
        return value
    try:
        url = urlsplit(value)
        host, port = url.hostname or "", url.port or _PORTS[url.scheme]
        path = "" if url.path in {"", "/", WEBSOCKET_PATH} else quote(url.path[1:], safe="")
        try:
            place = f"/{at(host, port).kind}/{host}"
        except UsageError:
            place = f"/dns/{host}"
        text = f"{place}/tcp/{port}/{url.scheme}" + (f"/http-path/{path}" if path else "")
        return str(parse(text))
    except (ValueError, KeyError, UsageError):
        return value


def _same(value: object) -> object:
    return value


SEED_NAMES: dict[str, tuple[str, Callable[[object], object]]] = {
    # of the edge node, A17, A22 and A23
    "whispurrnet_host": ("host", _same),
    "whispurrnet_port": ("port", _same),
    "enable_stealth_mode": ("enable_stealth", _same),
    # of the synaptic mesh, D
    "listen_addrs": ("listen", _same),
    "bootstrap_peers": ("bootstrap", _same),
    "mlkem_security_level": ("session.level", _level),
    # of connections, B
    "timeout": ("session.timeout_ms", _same),
    "maxRetries": ("session.max_retries", _same),
    "heartbeatInterval": ("session.heartbeat_s", _seconds),
    # of WebRTC, B
    "iceServers": ("nat.ice_servers", _ice_servers),
    "rtcConfig": ("nat.ice_servers", _rtc_config),
    "rtcConfig.iceServers": ("nat.ice_servers", _ice_servers),
    "relayServers": ("nat.relays", _relay_servers),
    # of gossip, B19
    "maxHops": ("gossip.max_hops", _same),
    "gossipInterval": ("gossip.sync_s", _seconds),
    "messageTTL": ("message_ttl", _seconds),
    "enableAutoPropagation": ("gossip.enabled", _same),
    "maxConcurrentGossip": ("gossip.neighbours", _same),
    # of the firmware, A19 and A21
    "MAX_PEER_NODES": ("max_peers", _same),
    "MAX_MESSAGE_SIZE": ("direct.body_max", _same),
    "GOSSIP_TIMEOUT_MS": ("gossip.timeout_s", _seconds),
    "HEARTBEAT_INTERVAL": ("session.heartbeat_s", _seconds),
    "GOSSIP_FANOUT": ("gossip.fanout", _same),
    "MESSAGE_TTL": ("message_ttl", _seconds),
}
