"""Reaching and being reached: what kind of NAT is in front of this node, and STUN for others.

`node.nat` asks only servers that somebody set: those of `nat.ice_servers`, and the node's own
relays, which answer STUN too. Without either nobody is asked.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.base.log import get
from whispurrnet.lan.multicast import local_addresses
from whispurrnet.nat import stun as stun_core
from whispurrnet.nat.behaviour import NatReport
from whispurrnet.node import reaching
from whispurrnet.node.reaching import Method, Reached
from whispurrnet.transport import stun
from whispurrnet.transport.webrtc_ice import parse_server
from whispurrnet.wire.address import Address, parse
from whispurrnet.wire.ticket import Ticket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer
    from whispurrnet.node.sections import NatSettings
    from whispurrnet.node.settings import Settings

log = get(__name__)
NO_SERVER = (
    "no STUN server is set, and none is asked by default; set nat.relays to a relay of yours "
    '(it answers STUN too), or nat.ice_servers = ["stun:HOST:3478"]'
)


QUICK = stun_core.Config(rto_s=0.3, sends_max=2, behaviour=False)
"""Does it answer at all? Less than a second, if it does not."""

FRESH_S = 600.0
"""For so long a relay that answered, or did not, is not asked again."""


class RelayStun:
    """Which of a node's relays answer STUN requests: those that help WebRTC without anybody else.

    Args:
        settings: Name the relays.
    """

    def __init__(self, settings: NatSettings) -> None:
        self._settings = settings
        self._answering: tuple[str, ...] = ()
        self._asked_at: float | None = None

    async def answering(self, now: float) -> tuple[str, ...]:
        """Those that do: `stun:HOST:PORT`; they are asked when it was long ago, or never."""
        if self._asked_at is None or now - self._asked_at > FRESH_S:
            self._asked_at = now
            urls = relays_of(self._settings)
            report = await stun.probe(urls, config=QUICK) if urls else None
            asked = report.asked if report is not None else ()
            self._answering = tuple(one.server for one in asked if one.seen_as)
        return self._answering


class Nat:
    """What stands between a node and others; `node.nat`.

    Args:
        node: Whose it is.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._server: stun.StunServer | None = None
        self._report: NatReport | None = None

    async def start(self) -> None:
        """Answer STUN requests, if `nat.stun_port` is set; one that is taken is a problem, no end.

        Raises:
            UsageError: `nat.stun_alternate` does not go with the other addresses.
        """
        wanted = self._node.settings.nat
        if not wanted.stun_port:
            return
        hosts = own_hosts(self._node.settings)
        if wanted.stun_alternate:
            kind = ":" in wanted.stun_alternate
            hosts = [host for host in hosts if host != wanted.stun_alternate]
            hosts.sort(key=lambda host: (":" in host) != kind)  # the alternate goes with the first
        server = stun.StunServer()
        try:
            await server.start(hosts, wanted.stun_port, wanted.stun_alternate)
        except HostError as error:
            log.warning("STUN is not answered: %s", error)
            self._node.failures["STUN requests are not answered"] = str(error)
            return
        self._server = server

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()

    @property
    def answers_at(self) -> tuple[str, ...]:
        """Where this node answers STUN requests: `192.0.2.1:3478`."""
        return tuple(map(str, self._server.places)) if self._server is not None else ()

    @property
    def servers(self) -> tuple[str, ...]:
        """The STUN servers of the settings: `stun:HOST:PORT`."""
        return stun_servers(self._node.settings.nat)

    def report(self) -> NatReport | None:
        """What was found out last; None: nothing yet."""
        return self._report

    async def probe(self, servers: Sequence[str] = ()) -> NatReport:
        """Ask STUN servers where this node is seen, and find out what its NAT does.

        Takes about three seconds: that something does not arrive is one of the answers.

        Args:
            servers: Whom to ask; by default those of the settings.

        Raises:
            UsageError: There is none, or one is not written like a server.
            HostError: This machine has no UDP.
        """
        asked = tuple(servers) or self.servers
        if not asked:
            raise UsageError(NO_SERVER)
        self._report = await stun.probe(asked)
        return self._report

    @property
    def attempts(self) -> int:
        """How often this node tried to get through NATs to a peer."""
        return self._node.stack.shared.meter.get("rtc_attempts")

    @property
    def successes(self) -> int:
        """How often it did."""
        return min(self._node.stack.shared.meter.get("rtc_links"), self.attempts)

    async def reach(
        self, peer: Peer, method: Method = "auto", *, timeout_s: float = 20.0
    ) -> Reached:
        """Try for a better path to a peer; see `reaching.reach`.

        Raises:
            NetworkError: The peer is not connected.
        """
        return await reaching.reach(self._node, peer, method, timeout_s)


def stun_servers(nat: NatSettings) -> tuple[str, ...]:
    """Whom a node asks where it is seen: its ICE servers, then its relays, each once."""
    found: dict[str, None] = {}
    for text in nat.ice_servers:
        server = parse_server(text.reveal(), secret=True)
        if server.scheme != "turns" and not server.over_tcp:
            found[_url(server.host.strip("[]"), server.port)] = None
    return tuple(dict.fromkeys((*found, *relays_of(nat))))


def relays_of(nat: NatSettings) -> tuple[str, ...]:
    """Where the relays of the settings answer STUN requests, if they do."""
    found = [
        _url(address.host, stun.PORT)
        for relay in nat.relays
        for address in _addresses_of(relay)
        if address.kind != "memory"
    ]
    return tuple(dict.fromkeys(found))


def own_hosts(settings: Settings) -> list[str]:
    """The addresses of this machine to answer at: that of `host` if it is one, else all."""
    with contextlib.suppress(UsageError):
        kind = "ip6" if ":" in settings.host else "ip4"
        chosen = parse(f"/{kind}/{settings.host}/tcp/0")
        if not chosen.is_unspecified:
            return [chosen.host]
    return list(dict.fromkeys((*map(str, local_addresses()), "127.0.0.1")))


def _addresses_of(relay: str) -> list[Address]:
    """The addresses in a ticket, or the one that it is."""
    if relay.startswith("/"):
        return [parse(relay)]
    return [parse(text) for text in Ticket.parse(relay).addresses]


def _url(host: str, port: int) -> str:
    return f"stun:[{host}]:{port}" if ":" in host else f"stun:{host}:{port}"
