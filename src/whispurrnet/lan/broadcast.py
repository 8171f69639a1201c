"""Beacons by UDP broadcast, for networks that do not pass multicast from one machine to another.

The same datagram as by multicast, on the same port, to everybody on the IPv4 network of each
interface: to the network's own broadcast address, and to 255.255.255.255 for those who believe to
be on a network of another size. Each interface has a socket of its own, bound to its address, and
Linux sends what goes to 255.255.255.255 by the interface that has it. Time to live is 1.

Where the system allows it (Linux does) the ears are bound to the broadcast addresses, so nothing
that was sent to this machine alone is heard, from wherever; elsewhere what comes from a public
address is dropped.

Source: RFC 919, sections 5 and 7.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import sys
from collections.abc import Sequence

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.lan.interfaces import LIMITED, Interface, interfaces
from whispurrnet.lan.multicast import DATAGRAM_BYTES_MAX, HOPS, OnDatagram

BURST_MAX = 32
"""How many datagrams are read before others get their turn."""


class Broadcast:
    """Everybody on the IPv4 networks of this machine hears what anybody sends.

    Args:
        port: The UDP port; every node of a network uses the same.
        interfaces: Names of the interfaces to use; all of them when None.
    """

    def __init__(self, port: int, *, interfaces: Sequence[str] | None = None) -> None:
        if not 0 < port < 1 << 16:
            raise UsageError(
                f"nobody can broadcast to port {port}; take one from 1 to 65535, such as 9746"
            )
        self._port = port
        self._only = interfaces
        self._hear: OnDatagram | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ears: dict[str, socket.socket] = {}
        self._mouths: dict[Interface, socket.socket] = {}

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The names of the interfaces it sends on."""
        return tuple(interface.name for interface in self._mouths)

    async def start(self, on_datagram: OnDatagram) -> None:
        """Listen, and call `on_datagram` for each datagram, also for those sent here.

        It does not wait; it is one of several methods, and others do.

        Raises:
            HostError: The port cannot be listened on; names it and the cure.
        """
        self._hear, self._loop = on_datagram, asyncio.get_running_loop()
        try:
            self._listen("" if _is_open() else str(LIMITED))
        except (OSError, NotImplementedError) as error:
            self.close()
            reason = (getattr(error, "strerror", None) or "the loop cannot").lower()
            raise HostError(
                f"cannot listen for broadcasts on UDP port {self._port}: {reason}; stop the "
                "program that has it for itself, or choose another port"
            ) from error
        self._refresh()

    def send(self, data: bytes) -> None:
        """Send one datagram on each interface; one that cannot take it is passed over."""
        if self._hear is None:
            return
        self._refresh()
        for interface, mouth in self._mouths.items():
            for target in dict.fromkeys((interface.broadcast, LIMITED)):
                # 255.255.255.255 leads nowhere from loopback
                if target is not None and not (interface.is_loopback and target == LIMITED):
                    with contextlib.suppress(OSError):  # down, or full: the next one may go
                        mouth.sendto(data, (str(target), self._port))

    def close(self) -> None:
        """Stop listening and sending."""
        for address in list(self._ears):
            self._deafen(address)
        for mouth in self._mouths.values():
            mouth.close()
        self._mouths.clear()
        self._hear = None

    def _refresh(self) -> None:
        """Take interfaces that have appeared or changed, and forget those that are gone."""
        present = {found: None for found in interfaces(self._only) if found.ip4 and found.broadcast}
        for gone in [interface for interface in self._mouths if interface not in present]:
            self._mouths.pop(gone).close()
        for interface in present:
            if interface not in self._mouths:
                with contextlib.suppress(OSError):  # tried again the next time
                    self._mouths[interface] = _mouth(str(interface.ip4))
        if not _is_open():
            wanted = {str(LIMITED), *(str(interface.broadcast) for interface in present)}
            for address in [address for address in self._ears if address not in wanted]:
                self._deafen(address)
            for address in sorted(wanted - self._ears.keys()):
                with contextlib.suppress(OSError):
                    self._listen(address)

    def _listen(self, address: str) -> None:
        """Hear what is sent to an address, or to any when it is empty."""
        assert self._loop is not None
        ear = _socket()
        try:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            ear.bind((address, self._port))
            self._loop.add_reader(ear, self._read, ear)
        except BaseException:
            ear.close()
            raise
        self._ears[address] = ear

    def _deafen(self, address: str) -> None:
        assert self._loop is not None
        ear = self._ears.pop(address)
        self._loop.remove_reader(ear)
        ear.close()

    def _read(self, ear: socket.socket) -> None:
        for _ in range(BURST_MAX):
            try:
                data, (host, *_) = ear.recvfrom(DATAGRAM_BYTES_MAX + 1)
            except OSError:  # nothing more, or about something that was sent
                return
            if len(data) > DATAGRAM_BYTES_MAX or (_is_open() and not _is_near(host)):
                continue
            if self._hear is not None:
                self._hear(data)
            if ear.fileno() < 0:  # closed by whoever heard it
                return


def _is_open() -> bool:
    """Whether ears hear everything sent to the port: not all systems bind to a broadcast."""
    return not sys.platform.startswith("linux")


def _is_near(host: str) -> bool:
    return not ipaddress.IPv4Address(host).is_global


def _mouth(ip: str) -> socket.socket:
    mouth = _socket()
    try:
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOPS)
        mouth.bind((ip, 0))
    except OSError:
        mouth.close()
        raise
    return mouth


def _socket() -> socket.socket:
    created = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    created.setblocking(False)
    created.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    return created
