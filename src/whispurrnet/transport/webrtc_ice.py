"""STUN and TURN servers: read from a setting, with credentials that nothing prints.

    stun:stun.example.org:3478
    turn:alice:secret@turn.example.org:3478
    turn:turn.example.org:3478?transport=tcp        with `nat.turn_secret`
    turns:alice:secret@turn.example.org:5349

A user and a secret may be percent-encoded. None is known by default: no third party learns of a
node's links unless its owner names one.

Source: RFC 7064 and 7065 (URIs); draft-uberti-behave-turn-rest-00 (credentials for a while).
"""

from __future__ import annotations

import base64
import hmac
import re
from urllib.parse import quote, unquote

from whispurrnet.base.errors import ConfigError

EXAMPLE = "stun:stun.example.org:3478 or turn:user:secret@turn.example.org:3478"
TURN_TTL_S = 6 * 3600
"""How long made credentials are good, in seconds."""

_SERVER = re.compile(
    r"(stun|turn|turns):(?:([^@]*)@)?(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_.-]{1,253})(?::([0-9]{1,5}))?"
    r"(?:\?transport=(udp|tcp))?"
)


class IceServer:
    """One STUN or TURN server; its `repr` says no secret."""

    __slots__ = ("credential", "host", "port", "scheme", "transport", "username")

    def __init__(
        self,
        scheme: str,
        host: str,
        port: int,
        transport: str = "udp",
        username: str = "",
        credential: str = "",
    ) -> None:
        self.scheme = scheme
        """`stun`, `turn` or `turns`."""
        self.host = host
        """A name or an IP address, of IPv6 in brackets."""
        self.port = port
        self.transport = transport
        """`udp` or `tcp`, between us and the server."""
        self.username = username
        self.credential = credential

    @property
    def is_turn(self) -> bool:
        """Whether it carries what cannot go directly."""
        return self.scheme != "stun"

    @property
    def over_tcp(self) -> bool:
        """Whether it is reached over TCP, which not every library can."""
        return self.is_turn and self.transport == "tcp"

    @property
    def url(self) -> str:
        """The address of it, without user and secret."""
        ending = f"?transport={self.transport}" if self.is_turn else ""
        return f"{self.scheme}:{self.host}:{self.port}{ending}"

    def __eq__(self, other: object) -> bool:
        """Whether it is the same server with the same credentials."""
        if not isinstance(other, IceServer):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        """By its address."""
        return hash(self.url)

    def __repr__(self) -> str:
        """Its address, and whether it has credentials."""
        return f"<{self.url}{' with credentials' if self.credential else ''}>"

    def for_a_while(self, secret: str, now_s: int, chance: bytes) -> IceServer:
        """This TURN server with credentials made for it, unless it has some.

        Args:
            secret: What coturn has as `static-auth-secret`.
            now_s: Unix time in seconds.
            chance: Random bytes, so that the server cannot tell users apart by name.
        """
        if not self.is_turn or self.username or not secret:
            return self
        username = f"{now_s + TURN_TTL_S}:{chance.hex()}"
        digest = hmac.digest(secret.encode(), username.encode(), "sha1")
        credential = base64.b64encode(digest).decode()
        return IceServer(self.scheme, self.host, self.port, self.transport, username, credential)


def parse_server(text: str, *, secret: bool = False) -> IceServer:
    """Read one server.

    Args:
        text: As above.
        secret: Whether there is a `nat.turn_secret` to make credentials from.

    Raises:
        ConfigError: It is none; says what is wrong, but not what was written.
    """
    match = _SERVER.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"nat.ice_servers: that is no STUN or TURN server; write it like {EXAMPLE}"
        )
    scheme, user, host, port, transport = match.groups()
    username, _, credential = (user or "").partition(":")
    if scheme == "stun" and user:
        raise ConfigError("nat.ice_servers: a STUN server takes no user; leave it out")
    if scheme != "stun" and not (username and credential) and not secret:
        raise ConfigError(
            f"nat.ice_servers: {scheme}:{host} needs a user and a secret, as in "
            f"{scheme}:user:secret@{host}, or nat.turn_secret"
        )
    number = int(port) if port else 5349 if scheme == "turns" else 3478
    if not 0 < number <= 65535:
        raise ConfigError(f"nat.ice_servers: {port} is not a port; 3478 is usual")
    over = transport or ("tcp" if scheme == "turns" else "udp")
    return IceServer(scheme, host, number, over, unquote(username), unquote(credential))


def text_of(urls: str, username: str, credential: str) -> str:
    """One entry of a browser's `iceServers` as it is written here."""
    scheme, _, rest = urls.partition(":")
    if not username or scheme == "stun":
        return urls
    return f"{scheme}:{quote(username, safe='')}:{quote(credential, safe='')}@{rest}"
