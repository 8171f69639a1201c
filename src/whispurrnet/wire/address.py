"""Addresses: where a node may be reached, written as multiaddr text.

    /ip4/127.0.0.1/tcp/9000              plain TCP
    /ip4/192.0.2.7/tcp/9000/tls          TCP inside TLS 1.3
    /ip6/::1/tcp/8765/ws                 WebSocket; `/ws` is also the HTTP path asked for
    /dns4/node.example/tcp/443/wss       WebSocket inside TLS
    /ip6zone/eth0/ip6/fe80::1/tcp/9000   a link-local address, with the interface it belongs to
    /memory/alice                        inside one process

Any of them may end in `/p2p/` and the 64 hexadecimal characters of the node's id. A WebSocket
below another HTTP path ends in `/http-path/`, the path percent-encoded without its first slash.

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

Kind = Literal["ip4", "ip6", "dns", "dns4", "dns6", "memory"]
TransportName = Literal["tcp", "tls", "ws", "wss", "memory"]

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
_KINDS: dict[str, Kind] = {"ip4": "ip4", "ip6": "ip6", "dns": "dns", "dns4": "dns4", "dns6": "dns6"}
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ZONE = re.compile(r"[A-Za-z0-9_.@-]{1,32}")
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

    def __str__(self) -> str:
        """The canonical multiaddr text; `parse` of it is equal to this address."""
        if self.kind == "memory":
            text = f"/memory/{self.host}"
        else:
            host, _, zone = self.host.partition("%")
            text = f"/ip6zone/{zone}" if zone else ""
            text += f"/{self.kind}/{host}/tcp/{self.port}"
            if self.transport != "tcp":
                text += f"/{self.transport}"
            if self.path != WEBSOCKET_PATH and self.transport in {"ws", "wss"}:
                text += f"/http-path/{quote(self.path[1:], safe='')}"
        return text + (f"/p2p/{self.peer_id}" if self.peer_id else "")

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
        return f"[{self.host}]:{self.port}" if self.kind == "ip6" else f"{self.host}:{self.port}"

    def with_port(self, port: int) -> Address:
        """This address at another port."""
        return msgspec.structs.replace(self, port=port)

    def with_host(self, host: str) -> Address:
        """This address at an IP address, for a listener on 0.0.0.0 that tells where it is."""
        return msgspec.structs.replace(
            at(host, self.port, self.transport), peer_id=self.peer_id, path=self.path
        )

    def with_peer(self, peer_id: str) -> Address:
        """This address naming who is there; empty takes the name away."""
        return msgspec.structs.replace(self, peer_id=peer_id)


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
    if parts[0] == "memory":
        if len(parts) != 2 or not _NAME.fullmatch(parts[1]):
            _refuse(f"{text[:70]!r}: a memory address is one name", "/memory/alice")
        return Address("memory", parts[1], 0, "memory", peer_id)
    zone = ""
    if parts[0] == "ip6zone" and len(parts) > 2:
        _, zone, *parts = parts
        if parts[0] != "ip6" or not _ZONE.fullmatch(zone):
            _refuse(
                f"{text[:70]!r}: a zone goes before an ip6", "/ip6zone/eth0/ip6/fe80::1/tcp/9000"
            )
    if len(parts) < 4:
        _refuse(f"{text[:70]!r} is too short")
    kind_text, host_text, protocol, port_text, *rest = parts
    kind = _KINDS.get(kind_text)
    if kind is None:
        _refuse(f"unknown kind of address /{kind_text[:20]}; known are ip4, ip6, dns, dns4, dns6")
    host = _host(kind, host_text, zone)
    if protocol != "tcp":
        _refuse(f"/{protocol[:20]} after the host; only /tcp is spoken")
    if not _PORT.fullmatch(port_text) or int(port_text) > PORT_MAX:
        _refuse(f"port {port_text[:20]!r} is not a number from 0 to {PORT_MAX}")
    path = _path(rest)
    transport = _ENDINGS.get(tuple(rest))
    if transport is None or (path and transport not in {"ws", "wss"}):
        ending = "/".join(rest)[:40]
        _refuse(f"unknown ending /{ending}; known are /tls, /ws and /wss", EXAMPLE + "/ws")
    return Address(kind, host, int(port_text), transport, peer_id, path or WEBSOCKET_PATH)


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


def _peer(text: str) -> str:
    if not _PEER.fullmatch(text.lower()):
        _refuse(
            f"/p2p/{text[:20]}: an id is 64 hexadecimal characters, as `whispurr identity` "
            "prints it (ids of libp2p need the bridge)",
            f"{EXAMPLE}/p2p/{'0a' * PEER_ID_BYTES}",
        )
    return text.lower()


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
