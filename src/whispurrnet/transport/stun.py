"""STUN over UDP: the sockets of the client and of the server; `nat.stun*` decide.

A server binds to addresses of this machine one by one, never to "any": the answer has to come from
where the request went. Cancelling is safe everywhere: the sockets are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.nat import stun, stun_server
from whispurrnet.nat.behaviour import Asked, NatReport
from whispurrnet.nat.stun_message import Endpoint
from whispurrnet.nat.stun_server import Corner, Responder

PORT: Final = 3478
RESOLVE_S: Final = 5.0
_SCHEMES: Final = ("stun", "turn")
_OnDatagram: TypeAlias = Callable[[Endpoint, bytes], None]


class _Socket(asyncio.DatagramProtocol):
    """One UDP socket; hands over what arrives."""

    def __init__(self, on_datagram: _OnDatagram) -> None:
        self._on_datagram = on_datagram

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """A datagram came."""
        self._on_datagram(Endpoint(str(addr[0]).partition("%")[0], int(addr[1])), data)

    def error_received(self, exc: Exception) -> None:
        """A datagram of ours was refused somewhere; the core waits for its answer in vain."""


async def _open(on_datagram: _OnDatagram, host: str, port: int) -> asyncio.DatagramTransport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Socket(on_datagram), local_addr=(host, port)
    )
    return transport


# The client


def place_of(server: str) -> tuple[str, int]:
    """The host and port of a STUN (or TURN) server: `stun:HOST[:PORT]`, `HOST[:PORT]`.

    Raises:
        UsageError: It is neither.
    """
    scheme, colon, rest = server.strip().partition(":")
    text = rest if colon and scheme.lower() in _SCHEMES else server.strip()
    host, port = text.partition("?")[0], ""
    if host.startswith("["):
        host, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if not host or "/" in host or (port and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise UsageError(
            f"{server[:70]!r} is not a STUN server; write it like stun:relay.example.org:3478"
        )
    return host, int(port or PORT)


async def probe(servers: Sequence[str], *, config: stun.Config | None = None) -> NatReport:
    """Ask STUN servers where this machine is seen, and how the NAT in front of it behaves.

    Args:
        servers: As `place_of` reads them; over IPv4 if any has such an address, else over IPv6.
        config: How long to wait for answers.

    Raises:
        UsageError: One is not written like a server.
        HostError: This machine has no UDP.
    """
    wanted = [(server, *place_of(server)) for server in servers]
    found = await asyncio.gather(*(_resolve(host, port) for _, host, port in wanted))
    families = {family for places in found for family, _ in places}
    family = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
    asked: list[tuple[str, Endpoint]] = []
    lost: list[Asked] = []
    for (server, *_), places in zip(wanted, found, strict=True):
        place = next((place for kind, place in places if kind == family), None)
        if place is None:
            problem = "its name has no address of the kind asked" if places else "no such host"
            lost.append(Asked(server=server, problem=problem))
        else:
            asked.append((server, place))
    report = await _Probe(config or stun.Config()).run(asked, family)
    return msgspec.structs.replace(report, asked=(*report.asked, *lost))


async def _resolve(host: str, port: int) -> list[tuple[int, Endpoint]]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_S):
            rows = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, TimeoutError, UnicodeError):
        return []
    return [(int(row[0]), Endpoint(str(row[4][0]), port)) for row in rows]


class _Probe:
    """The driver of one `stun.Discovery`."""

    def __init__(self, config: stun.Config) -> None:
        self._core = stun.Discovery(config, entropy=secrets.token_bytes)
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[NatReport] = self._loop.create_future()
        self._sockets: list[asyncio.DatagramTransport] = []
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, servers: list[tuple[str, Endpoint]], family: int) -> NatReport:
        """Ask, and wait for the report."""
        any_host = "0.0.0.0" if family == socket.AF_INET else "::"  # noqa: S104 - a client
        try:
            for number in (stun.FIRST, stun.SECOND):
                self._sockets.append(await _open(self._arrived(number), any_host, 0))
            hosts = [own_host(place) for _, place in servers]
            self._submit(stun.Begin(tuple(servers), tuple(host for host in hosts if host)))
            return await self._done
        except OSError as error:
            raise HostError(
                f"UDP cannot be used on this machine ({error.strerror}); "
                "STUN and WebRTC need it, relays do not"
            ) from error
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for transport in self._sockets:
                transport.close()

    def _arrived(self, number: int) -> _OnDatagram:
        return lambda source, data: self._submit(stun.Arrived(number, source, data))

    def _tick(self) -> None:
        self._submit(Tick())

    def _submit(self, event: stun.Event) -> None:
        if self._done.done():
            return
        for effect in self._core.handle(event, time.monotonic()):
            if isinstance(effect, stun.Done):
                self._done.set_result(effect.report)
                return
            self._sockets[effect.socket].sendto(effect.data, (effect.to.host, effect.to.port))
        if self._timer is not None:
            self._timer.cancel()
        due = self._core.deadline
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, due - time.monotonic()), self._tick)


def own_host(place: Endpoint) -> str:
    """The address of this machine from which it would speak to a place; empty: no way there."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as trial:
        trial.connect((place.host, place.port))
        return str(trial.getsockname()[0])
    return ""


# The server


class StunServer:
    """Answers binding requests at some addresses of this machine.

    Args:
        config: How many are answered.
    """

    def __init__(self, config: stun_server.Config | None = None) -> None:
        self._config = config
        self._responders: list[Responder] = []
        self._sockets: list[asyncio.DatagramTransport] = []
        self.places: tuple[Endpoint, ...] = ()
        """Where it answers, with real ports; of four corners only the first."""

    @property
    def answered(self) -> int:
        """How many requests were answered."""
        return sum(one.answered for one in self._responders)

    @property
    def refused(self) -> int:
        """How many were not, because there were too many."""
        return sum(one.refused for one in self._responders)

    async def start(self, hosts: Sequence[str], port: int, alternate: str = "") -> None:
        """Begin to answer.

        Args:
            hosts: Addresses of this machine.
            port: The UDP port; 0: any free one, without an alternate.
            alternate: A second address beside the first of `hosts`, and of its family; with it the
                next port is used too (RFC 5780).

        Raises:
            HostError: A port cannot be had, or an address is not of this machine.
            UsageError: The addresses do not go together.
        """
        try:
            for host in hosts:
                if alternate and host == hosts[0]:
                    await self._four(host, alternate, port)
                elif host != alternate:
                    await self._one(host, port)
        except BaseException:
            self.close()
            raise

    async def _one(self, host: str, port: int) -> None:
        opened = await self._bind(host, port, (0, 0), number := len(self._responders))
        assert number == len(self._responders)
        self._responders.append(Responder(((opened,),), self._config))
        self.places = (*self.places, opened)

    async def _four(self, host: str, alternate: str, port: int) -> None:
        one, two = ipaddress.ip_address(host), ipaddress.ip_address(alternate)
        if one == two or one.version != two.version or not 0 < port < 65535:
            raise UsageError(
                f"nat.stun_alternate: {alternate} does not go with {host}, port {port}; "
                "it is another address of the same family, and the port is below 65535"
            )
        rows = tuple(tuple(Endpoint(h, p) for p in (port, port + 1)) for h in (host, alternate))
        self._responders.append(Responder(rows, self._config))
        for row, places in enumerate(rows):
            for column, place in enumerate(places):
                await self._bind(place.host, place.port, (row, column), len(self._responders) - 1)
        self.places = (*self.places, rows[0][0])

    async def _bind(self, host: str, port: int, corner: Corner, number: int) -> Endpoint:
        at = len(self._sockets)

        def arrived(source: Endpoint, data: bytes) -> None:
            event = stun_server.Arrived(corner, source, data)
            for reply in self._responders[number].handle(event, time.monotonic()):
                # The corners of one responder lie side by side, in order.
                sender = self._sockets[at - _index(corner) + _index(reply.at)]
                sender.sendto(reply.data, (reply.to.host, reply.to.port))

        try:
            opened = await _open(arrived, host, port)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise HostError(
                f"UDP port {port} for STUN cannot be had at {host} ({reason}); stop what uses it, "
                "choose another nat.stun_port, or 0 for none"
            ) from error
        self._sockets.append(opened)
        bound = opened.get_extra_info("sockname")
        return Endpoint(str(bound[0]), int(bound[1]))

    def close(self) -> None:
        """Answer no more."""
        for transport in self._sockets:
            transport.close()
        self._sockets.clear()


def _index(corner: Corner) -> int:
    return 2 * corner[0] + corner[1]
