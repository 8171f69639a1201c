"""Where a node listens: its transports, its listeners, and the local network."""

from __future__ import annotations

import socket
from itertools import zip_longest
from typing import TYPE_CHECKING

from whispurrnet.base.errors import HostError
from whispurrnet.base.log import get
from whispurrnet.lan.lan import Lan
from whispurrnet.lan.multicast import local_addresses
from whispurrnet.node.settings import Settings
from whispurrnet.node.status import Problem
from whispurrnet.stack import events
from whispurrnet.stack.reach import reach
from whispurrnet.transport.dialer import Dialer
from whispurrnet.transport.link import (
    Listener,
    ListenerState,
    Transport,
)
from whispurrnet.transport.memory import MemoryTransport
from whispurrnet.transport.relay import RelayTransport
from whispurrnet.transport.tcp import TcpTransport
from whispurrnet.transport.tls import Tls, load_certificate, make_certificate
from whispurrnet.transport.websocket import WebSocketTransport
from whispurrnet.wire.address import Address, parse

if TYPE_CHECKING:
    from whispurrnet.identity.ephemeral import Ephemeral
    from whispurrnet.node.driver import Driver

log = get(__name__)


class Listening:
    """The listeners of one node.

    Args:
        settings: Where to listen, and whether to be seen on the local network.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tls = Tls(ca_file=settings.tls.ca_file or None)
        self.transports: tuple[Transport, ...] = (
            TcpTransport(self._tls),
            WebSocketTransport(self._tls),
            MemoryTransport(),
        )
        self.relay = RelayTransport()
        self.dialer = self.relay.dialer = Dialer((*self.transports, self.relay))
        self.state = ListenerState.NOT_LISTENING
        self._listeners: list[Listener] = []
        self._lan: Lan | None = None
        self.problems: list[Problem] = []
        self.extra: tuple[str, ...] = ()
        """Addresses that somebody else listens on for us, such as the gateway's `/ws`."""
        self.relayed: tuple[str, ...] = ()
        """Addresses through relays at which this node has a place."""

    def certify(self, identity: Ephemeral) -> None:
        """This is who we are now: show a certificate, if a listener needs one; take new names.

        Raises:
            HostError: The files of the settings hold none.
        """
        if self._lan is not None:
            self._lan.renew()
        if not any(parse(text).is_tls for text in self._settings.listen):
            return
        files = self._settings.tls
        if files.chain_file or files.key_file:
            certificate = load_certificate(files.chain_file, files.key_file)
        else:
            certificate = make_certificate(identity.signing, wall_ms=identity.proof.timestamp_ms)
        self._tls.replace(certificate)

    async def start(self, driver: Driver) -> None:
        """Listen on every address of the settings.

        Raises:
            HostError: A port is taken, or there is no certificate.
        """
        self.state = ListenerState.STARTING
        self.certify(driver.stack.shared.identity)
        by_name = {name: t for t in self.transports for name in t.names}
        wanted = [parse(text) for text in self._settings.listen]
        for address in wanted:
            try:
                listener = await by_name[address.transport].listen(address, driver.accept)
            except HostError:
                if address.kind == "ip6" and self._listeners and not has_ipv6():
                    log.info("no IPv6 here; listening on IPv4 only")
                    continue
                await self.stop()
                raise
            self._listeners.append(listener)
        if self._settings.lan.enabled and not self._settings.enable_stealth:
            await self._start_lan(driver)
        self.state = ListenerState.LISTENING

    async def _start_lan(self, driver: Driver) -> None:
        wanted = self._settings.lan
        ports = [listener.address.port for listener in self._listeners]
        self._lan = driver.lan = Lan(
            wanted.methods,
            wanted.multicast_port,
            wanted.multicast_group,
            wanted.multicast_group6,
            service_port=next(filter(None, ports), self._settings.port or 9000),
        )
        failed = await self._lan.start(lambda data, _: driver.submit(events.Datagram(data)))
        for method, error in failed.items():
            log.warning("not seen on the local network by %s: %s", method, error)
        alone = not self._lan.methods
        told = [item for item in failed.items() if alone or item[0] in wanted.methods]
        for method, error in told[:1] if alone else told:
            by = "" if alone else f" by {method}"
            cure = "join by ticket, or choose other lan.methods or another lan.multicast_port"
            self.problems.append(Problem(f"not seen on the local network{by}", str(error), cure))

    async def stop(self) -> None:
        """Stop listening; links that are open stay."""
        self.state = ListenerState.SHUTTING_DOWN
        for listener in self._listeners:
            await listener.close()
        self._listeners.clear()
        if self._lan is not None:
            await self._lan.close()
        self.state = ListenerState.NOT_LISTENING

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, with real ports."""
        return (*(str(listener.address) for listener in self._listeners), *self.extra)

    @property
    def advertised(self) -> tuple[str, ...]:
        """Where others may reach it by itself: `0.0.0.0` becomes each address of this machine.

        Those that reach farthest come first, of each listener in turn.
        """
        places = [list(map(str, _reachable(parse(text)))) for text in self.addresses]
        for own in places:
            own.sort(key=reach, reverse=True)
        turns = [text for turn in zip_longest(*places) for text in turn if text is not None]
        turns.sort(key=reach, reverse=True)
        return tuple(dict.fromkeys((*self._settings.nat.public_addresses, *turns)))[:8]


def has_ipv6() -> bool:
    """Whether this machine has IPv6 at all."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _reachable(address: Address) -> list[Address]:
    if not address.is_unspecified:
        return [address]
    family = 4 if address.kind == "ip4" else 6
    return [address.with_host(str(host)) for host in local_addresses() if host.version == family]
