"""Beacons on UDP multicast: one datagram goes to everybody on the local network.

Groups are joined, and datagrams sent, on each interface by its index, never on "any": the system
would choose one, and not the one that matters. Interfaces that appear later are found at the next
`send`; one that is down or has no way to multicast is passed over. Datagrams come back to this
machine too, so that several nodes on it find each other. They never leave the local network (time
to live 1). Who sent one is not told: what counts is signed inside (a namespace with only loopback
shows 0.0.0.0 as source).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from whispurrnet.base.errors import HostError, UsageError

GROUP4 = "239.192.74.1"
GROUP6 = "ff12::7e5a"
DATAGRAM_BYTES_MAX = 1500
HOPS = 1

OnDatagram: TypeAlias = Callable[[bytes], None]
IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Multicast:
    """A place on the local network where everybody hears what anybody sends.

    Args:
        port: The UDP port; every node of a network uses the same.
        group4: The IPv4 group, or empty for none.
        group6: The IPv6 group, or empty for none.
        interfaces: Names of the interfaces to use; all of them when None.
    """

    def __init__(
        self,
        port: int,
        group4: str = GROUP4,
        group6: str = GROUP6,
        *,
        interfaces: Sequence[str] | None = None,
    ) -> None:
        self._port = port
        self._only = None if interfaces is None else frozenset(interfaces)
        self._parties = [_Party(group, port) for group in (group6, group4) if group]
        self._receivers: list[asyncio.DatagramTransport] = []

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The names of the interfaces it is heard on, of either family."""
        names = {name: None for party in self._parties for name in party.senders}
        return tuple(names)

    async def start(self, on_datagram: OnDatagram) -> None:
        """Listen, and call `on_datagram` for each datagram, also for those sent here.

        Cancelling is safe: close it.

        Raises:
            HostError: Neither family can be listened on; names the port and the cure.
            UsageError: The port or a group is not one.
        """
        reason = "no group is set"
        loop = asyncio.get_running_loop()
        for party in self._parties:
            try:
                receiver = party.open()
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                continue
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Receiver(on_datagram), sock=receiver
            )
            self._receivers.append(transport)
        if not self._receivers:
            raise HostError(
                f"cannot listen for beacons on UDP port {self._port}: {reason}; stop the program "
                "that has it for itself, choose another port, or turn the beacons off"
            )
        self._refresh()

    def send(self, data: bytes) -> None:
        """Send one datagram on each interface; one that cannot take it is passed over."""
        self._refresh()
        for party in self._parties:
            party.send(data)

    def close(self) -> None:
        """Stop listening and sending."""
        for transport in self._receivers:
            transport.close()
        self._receivers.clear()
        for party in self._parties:
            party.close()

    def _refresh(self) -> None:
        """Join on interfaces that have appeared, and forget those that are gone."""
        present = {
            name: index
            for index, name in socket.if_nameindex()
            if self._only is None or name in self._only
        }
        for party in self._parties:
            party.refresh(present)


class _Party:
    """One family's group: a socket that hears all interfaces, and one to send on each."""

    def __init__(self, group: str, port: int) -> None:
        try:
            address = ipaddress.ip_address(group)
        except ValueError:
            address = ipaddress.ip_address("::")
        if not address.is_multicast or not 0 < port < 1 << 16:
            raise UsageError(
                f"{group} port {port} is not where beacons can go; take a multicast group and a "
                f"port from 1 to 65535, such as {GROUP4} and 9746"
            )
        self.senders: dict[str, socket.socket] = {}
        self._indices: dict[str, int] = {}
        self._group = str(address)
        self._port = port
        self._v6 = address.version == 6
        self._receiver: socket.socket | None = None

    def open(self) -> socket.socket:
        """The socket that hears; several programs of one machine may have it at once."""
        receiver = self._socket()
        try:
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if self._v6:
                receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # Bound to the group where the system allows it: then nothing else comes in.
            anywhere = self._v6 or sys.platform == "win32"
            receiver.bind(("" if anywhere else self._group, self._port))
        except OSError:
            receiver.close()
            raise
        self._receiver = receiver
        return receiver

    def refresh(self, present: dict[str, int]) -> None:
        """Join on what is new, leave what is gone."""
        known = present == self._indices and len(present) == len(self.senders)
        if self._receiver is None or known:
            return
        for name in [name for name, i in self._indices.items() if present.get(name) != i]:
            if name in self.senders:
                self.senders.pop(name).close()
        for name, index in present.items():
            if name not in self.senders:
                # No multicast on it, or not now: passed over, and tried again the next time.
                with contextlib.suppress(OSError):
                    self._join(self._receiver, index)
                    self.senders[name] = self._sender(index)
        self._indices = present

    def send(self, data: bytes) -> None:
        """Send on each interface."""
        for name, sender in self.senders.items():
            zone = self._indices[name]
            target = (self._group, self._port, 0, zone) if self._v6 else (self._group, self._port)
            with contextlib.suppress(OSError):  # down, no address, or full: the next one may go
                sender.sendto(data, target)

    def close(self) -> None:
        """Close the senders; the receiver belongs to the loop."""
        for sender in self.senders.values():
            sender.close()
        self.senders.clear()
        self._indices = {}
        self._receiver = None

    def _socket(self) -> socket.socket:
        family = socket.AF_INET6 if self._v6 else socket.AF_INET
        created = socket.socket(family, socket.SOCK_DGRAM)
        created.setblocking(False)
        return created

    def _join(self, receiver: socket.socket, index: int) -> None:
        if self._v6:
            level, option = socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP
            request = socket.inet_pton(socket.AF_INET6, self._group) + struct.pack("@I", index)
        else:
            level, option = socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP
            request = socket.inet_aton(self._group) + _by_index(index)
        try:
            receiver.setsockopt(level, option, request)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:  # joined before it got this name
                raise

    def _sender(self, index: int) -> socket.socket:
        sender = self._socket()
        try:
            if self._v6:
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS)
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
            else:
                group = b"" if sys.platform == "win32" else bytes(4)
                sender.setsockopt(
                    socket.IPPROTO_IP, socket.IP_MULTICAST_IF, group + _by_index(index)
                )
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        except OSError:
            sender.close()
            raise
        return sender


class _Receiver(asyncio.DatagramProtocol):
    """Hands datagrams on."""

    def __init__(self, on_datagram: OnDatagram) -> None:
        self._on_datagram = on_datagram

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Hand it on, unless it is too long to be one."""
        if len(data) <= DATAGRAM_BYTES_MAX:
            self._on_datagram(bytes(data))

    def error_received(self, exc: Exception) -> None:
        """Ignored: it is about something that was sent."""


def local_addresses() -> tuple[IpAddress, ...]:
    """The IP addresses of this machine that others on its networks can reach.

    Link-local IPv6 ones are left out: they mean nothing without the reader's own interface. The
    loopback address stands in when there is no other.
    """
    found = [*_addresses4(), *_addresses6()]
    reachable = [ip for ip in found if not (ip.is_loopback or ip.is_unspecified)]
    reachable = [ip for ip in reachable if ip.version == 4 or not ip.is_link_local]
    return tuple(dict.fromkeys(reachable)) or (ipaddress.IPv4Address("127.0.0.1"),)


def _addresses4() -> list[IpAddress]:
    """One IPv4 address of each interface."""
    if not sys.platform.startswith("linux"):
        return _by_route(socket.AF_INET, "192.0.2.1")
    import fcntl

    get_address = 0x8915  # SIOCGIFADDR, from linux/sockios.h
    found: list[IpAddress] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("16s24x", name.encode()[:15])
            with contextlib.suppress(OSError):  # it has none
                answer = fcntl.ioctl(probe.fileno(), get_address, request)
                found.append(ipaddress.IPv4Address(answer[20:24]))
    return found


def _addresses6() -> list[IpAddress]:
    """The IPv6 addresses of all interfaces."""
    table = Path("/proc/net/if_inet6")
    if not table.exists():
        return _by_route(socket.AF_INET6, "2001:db8::1")
    lines = table.read_text(encoding="ascii").splitlines()
    return [ipaddress.IPv6Address(bytes.fromhex(line.split()[0])) for line in lines if line]


def _by_route(family: socket.AddressFamily, towards: str) -> list[IpAddress]:
    """The address this machine would send from; connecting UDP sends nothing."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((towards, 9))
        return [ipaddress.ip_address(probe.getsockname()[0].partition("%")[0])]
    return []


def _by_index(index: int) -> bytes:
    """How an IPv4 interface is named by its index: in `ip_mreqn`, on Windows 0.0.0.index."""
    if sys.platform == "win32":
        return struct.pack("!I", index)
    return struct.pack("@4si", bytes(4), index)
