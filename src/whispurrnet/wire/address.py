"""Addresses: where a node may be reached, written as multiaddr text.

    /ip4/127.0.0.1/tcp/9000              plain TCP
    /ip4/192.0.2.7/tcp/9000/tls          TCP inside TLS 1.3
    /ip6/::1/tcp/8765/ws                 WebSocket; `/ws` is also the HTTP path asked for
    /dns4/node.example/tcp/443/wss       WebSocket inside TLS
    /ip6zone/eth0/ip6/fe80::1/tcp/9000   a link-local address, with the interface it belongs to
    /memory/alice                        inside one process
    /ip4/192.0.2.7/udp/50000/webrtc      where a WebRTC link came from; nobody can dial that
    /ip4/192.0.2.20/udp/50001/turn       the same, carried by a TURN server, at its address
    /webrtc, /turn, /webrtc-or-turn      the same, where the library does not tell more

Any of them may end in `/p2p/` and the 64 hexadecimal characters of the node's id. A WebSocket
below another HTTP path ends in `/http-path/`, the path percent-encoded without its first slash.

    /ip4/192.0.2.7/tcp/9000/relay/KEY/p2p/ID

is the node ID where the relay that holds the static key KEY (64 hexadecimal characters) carries
links to it: before `/relay` stands where the relay itself is reached (`docs/protocol/relay.md`).

An address is said by somebody, and says nothing of who answers there: the handshake does.

Source: multiformats/multiaddr, README and protocols.csv (the subset above).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Literal, NoReturn
from urllib.parse import quote, unquote, urlsplit

import msgspec

from whispurrnet.base.errors import UsageError
from whispurrnet.wire.ids import PEER_ID_BYTES

Kind = Literal["ip4", "ip6", "dns", "dns4", "dns6", "memory", "webrtc"]
TransportName = Literal[
    "tcp", "tls", "ws", "wss", "memory", "webrtc", "turn", "webrtc-or-turn"
]  # fmt: skip

TEXT_CHARS_MAX = 512
PATH_CHARS_MAX = 128
PORT_MAX = 65535
WEBSOCKET_PATH = "/ws"

EXAMPLE = "/ip4/192.0.2.7/tcp/9000"

_ENDINGS: dict[tuple[str, ...], TransportName] = {
    (): "tcp",
    ("tls",): "tls",
    ("ws",): "ws",
    ("wss",): "wss",
    ("tls", "ws"): "wss",
}
_OVER_WEBRTC: dict[str, TransportName] = {
    "webrtc": "webrtc",
    "turn": "turn",
    "webrtc-or-turn": "webrtc-or-turn",
}
_KINDS: dict[str, Kind] = {"ip4": "ip4", "ip6": "ip6", "dns": "dns", "dns4": "dns4", "dns6": "dns6"}
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ZONE = re.compile(r"[A-Za-z0-9_.@-]{1,32}")
_RELAY = re.compile(r"[0-9a-f]{64}")
_PEER = re.compile(rf"[0-9a-f]{{{2 * PEER_ID_BYTES}}}")
_HTTP_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")


class Address(msgspec.Struct, frozen=True):
    """One place a node may be reached at; make it with `parse` or `at`, which check it."""

    kind: Kind
    """What `host` is: an IP address, a DNS name (any, v4 only, v6 only), or a memory name."""

    host: str
    """Canonical: lower case, IPv6 compressed, a zone after `%`."""

    port: int
    """0 asks a listener for any free port; always 0 for memory."""

    transport: TransportName
    """What is spoken there."""

    peer_id: str = ""
    """64 hexadecimal characters, or empty when the address does not say who is there."""

    path: str = WEBSOCKET_PATH
    """The HTTP path of a WebSocket; means nothing for other transports."""

    relay: str = ""
    """Of an address through a relay: its static key, 64 hexadecimal characters; else empty."""

    def __str__(self) -> str:
        """The canonical multiaddr text; `parse` of it is equal to this address."""
        if self.kind == "memory":
            text = f"/memory/{self.host}"
        elif self.kind == "webrtc":
            text = f"/{self.transport}"
        else:
            host, _, zone = self.host.partition("%")
            text = f"/ip6zone/{zone}" if zone else ""
            text += f"/{self.kind}/{host}/{self.protocol}/{self.port}"
            if self.transport != "tcp":
                text += f"/{self.transport}"
            if self.path != WEBSOCKET_PATH and self.transport in {"ws", "wss"}:
                text += f"/http-path/{quote(self.path[1:], safe='')}"
        text += f"/relay/{self.relay}" if self.relay else ""
        return text + (f"/p2p/{self.peer_id}" if self.peer_id else "")

    @property
    def is_relayed(self) -> bool:
        """Whether it leads through a relay."""
        return bool(self.relay)

    @property
    def base(self) -> Address:
        """Where the relay itself is reached; of a direct address, where the node is."""
        return msgspec.structs.replace(self, relay="", peer_id="")

    @property
    def protocol(self) -> str:
        """What its port belongs to: `tcp` or `udp`."""
        return "udp" if self.transport in _OVER_WEBRTC else "tcp"

    @property
    def is_ip(self) -> bool:
        """Whether `host` is an IP address, so that nothing needs to be resolved."""
        return self.kind in {"ip4", "ip6"}

    @property
    def is_tls(self) -> bool:
        """Whether TLS is spoken there."""
        return self.transport in {"tls", "wss"}

    @property
    def is_unspecified(self) -> bool:
        """Whether it is 0.0.0.0 or ::, which one can listen on but not be reached at."""
        return self.is_ip and ipaddress.ip_address(self.host).is_unspecified

    @property
    def place(self) -> str:
        """The host and port for people, `[::1]:9000`."""
        if self.kind == "memory":
            return f"memory {self.host!r}"
        if self.kind == "webrtc":
            return "a WebRTC link"
        return f"[{self.host}]:{self.port}" if self.kind == "ip6" else f"{self.host}:{self.port}"

    def with_port(self, port: int) -> Address:
        """This address at another port."""
        return msgspec.structs.replace(self, port=port)

    def with_host(self, host: str) -> Address:
        """This address at an IP address, for a listener on 0.0.0.0 that tells where it is."""
        return msgspec.structs.replace(
            at(host, self.port, self.transport),
            peer_id=self.peer_id,
            path=self.path,
            relay=self.relay,
        )

    def with_peer(self, peer_id: str) -> Address:
        """This address naming who is there; empty takes the name away."""
        return msgspec.structs.replace(self, peer_id=peer_id)

    def through(self, relay_key: bytes, peer_id: bytes) -> Address:
        """The address of a node at the relay that is here.

        Args:
            relay_key: The relay's static key, 32 bytes.
            peer_id: The id of the node, 32 bytes.
        """
        return msgspec.structs.replace(self, relay=relay_key.hex(), peer_id=peer_id.hex())


def at(host: str, port: int, transport: TransportName = "tcp") -> Address:
    """The address of an IP address and a port, as sockets tell them.

    Raises:
        UsageError: `host` is not an IP address.
    """
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        _refuse(f"{host[:70]!r} is not an IP address", "192.0.2.7 or ::1")
    return Address("ip4" if ip.version == 4 else "ip6", str(ip), port, transport)


def parse(text: str) -> Address:
    """Read an address.

    Raises:
        UsageError: It is not one; the message names the wrong part and shows a right one.
    """
    if len(text) > TEXT_CHARS_MAX:
        _refuse(f"an address of {len(text)} characters; at most {TEXT_CHARS_MAX} are read")
    if not text.startswith("/"):
        _refuse(f"{text[:70]!r} is not an address", _guess(text))
    parts = text.split("/")[1:]
    peer_id = ""
    if len(parts) >= 2 and parts[-2] == "p2p":
        peer_id = _peer(parts.pop())
        parts.pop()
    relay = _relay(parts, peer_id)
    if parts[:1] == ["memory"]:
        if len(parts) != 2 or not _NAME.fullmatch(parts[1]):
            _refuse(f"{text[:70]!r}: a memory address is one name", "/memory/alice")
        return Address("memory", parts[1], 0, "memory", peer_id, relay=relay)
    unsaid = _OVER_WEBRTC.get("/".join(parts))
    if unsaid is not None and not relay:
        return Address("webrtc", "", 0, unsaid, peer_id)
    zone = _zone(parts, text)
    if len(parts) < 4:
        _refuse(f"{text[:70]!r} is too short")
    kind_text, host_text, protocol, port_text, *rest = parts
    kind = _KINDS.get(kind_text)
    if kind is None:
        _refuse(f"unknown kind of address /{kind_text[:20]}; known are ip4, ip6, dns, dns4, dns6")
    host = _host(kind, host_text, zone)
    over = _OVER_WEBRTC.get("/".join(rest))
    if protocol == "udp" and over is not None and _is_port(port_text) and not relay:
        return Address(kind, host, int(port_text), over, peer_id)
    if protocol != "tcp":
        _refuse(f"/{protocol[:20]} after the host; only /tcp is spoken")
    if not _is_port(port_text):
        _refuse(f"port {port_text[:20]!r} is not a number from 0 to {PORT_MAX}")
    path = _path(rest)
    transport = _ENDINGS.get(tuple(rest))
    if transport is None or (path and transport not in {"ws", "wss"}):
        ending = "/".join(rest)[:40]
        _refuse(f"unknown ending /{ending}; known are /tls, /ws and /wss", EXAMPLE + "/ws")
    return Address(kind, host, int(port_text), transport, peer_id, path or WEBSOCKET_PATH, relay)


def _zone(parts: list[str], text: str) -> str:
    """Take `ip6zone/...` off the front of `parts`; empty without one."""
    if parts[:1] != ["ip6zone"] or len(parts) < 3:
        return ""
    zone = parts[1]
    del parts[:2]
    if parts[0] != "ip6" or not _ZONE.fullmatch(zone):
        _refuse(f"{text[:70]!r}: a zone goes before an ip6", "/ip6zone/eth0/ip6/fe80::1/tcp/9000")
    return zone


def _host(kind: Kind, text: str, zone: str) -> str:
    if kind in {"ip4", "ip6"}:
        try:
            ip = ipaddress.ip_address(f"{text}%{zone}" if zone else text)
        except ValueError:
            ip = None
        if ip is None or ip.version != int(kind[-1]) or ("%" in text):
            _refuse(
                f"{text[:70]!r} is not an {'IPv4' if kind == 'ip4' else 'IPv6'} address; "
                "a name is written /dns/NAME",
                EXAMPLE if kind == "ip4" else "/ip6/2001:db8::7/tcp/9000",
            )
        return str(ip)
    name = text.lower().removesuffix(".")
    if not name or len(name) > 253 or not all(map(_LABEL.fullmatch, name.split("."))):
        _refuse(
            f"{text[:70]!r} is not a DNS name (other scripts are written as xn--...)",
            "/dns/node.example/tcp/9000",
        )
    return name


def _is_port(text: str) -> bool:
    return bool(_PORT.fullmatch(text)) and int(text) <= PORT_MAX


def _peer(text: str) -> str:
    if not _PEER.fullmatch(text.lower()):
        _refuse(
            f"/p2p/{text[:20]}: an id is 64 hexadecimal characters, as `whispurr identity` "
            "prints it (ids of libp2p need the bridge)",
            f"{EXAMPLE}/p2p/{'0a' * PEER_ID_BYTES}",
        )
    return text.lower()


def _relay(parts: list[str], peer_id: str) -> str:
    """Take `/relay/...` off the end of `parts`; empty without one."""
    if len(parts) < 2 or parts[-2] != "relay":
        return ""
    key = parts.pop().lower()
    parts.pop()
    if not _RELAY.fullmatch(key) or not peer_id:
        _refuse(
            f"/relay/{key[:20]}: the relay's key is 64 hexadecimal characters, and after it comes "
            "who is reached there",
            f"{EXAMPLE}/relay/{'0b' * 32}/p2p/{'0a' * PEER_ID_BYTES}",
        )
    return key


def _path(rest: list[str]) -> str:
    """Take `/http-path/...` off the end of `rest`; empty without one."""
    if len(rest) < 2 or rest[-2] != "http-path":
        return ""
    path = "/" + unquote(rest.pop())
    rest.pop()
    if not _HTTP_PATH.fullmatch(path) or len(path) > PATH_CHARS_MAX:
        _refuse(f"{path[:70]!r} is not an HTTP path", EXAMPLE + "/ws/http-path/mesh")
    return path


def _guess(text: str) -> str:
    """What somebody may have meant who wrote host:port or a ws:// URL."""
    scheme, separator, rest = text.partition("://")
    transport = {"tcp": "", "ws": "/ws", "wss": "/wss", "tls": "/tls"}.get(
        scheme if separator else "tcp"
    )
    try:
        parts = urlsplit("//" + (rest if separator else text))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return EXAMPLE
    if transport is None or not host or port is None:
        return EXAMPLE
    try:
        kind = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        kind = "dns"
    try:
        return str(parse(f"/{kind}/{host}/tcp/{port}{transport}"))
    except UsageError:
        return EXAMPLE


def _refuse(what: str, example: str = EXAMPLE) -> NoReturn:
    raise UsageError(f"{what}; write it like {example}")
