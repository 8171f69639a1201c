"""The network interfaces of this machine, as far as finding each other needs to know them.

One entry for each interface that is up and has an IPv4 address or a link-local IPv6 one. On Linux
they are read from the kernel (`ioctl`, netdevice(7); `/proc/net/if_inet6`); elsewhere by the
library `ifaddr` where it is installed (it comes with the extra `mdns`), else the one that leads
outside stands for all.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

LIMITED = ipaddress.IPv4Address("255.255.255.255")
"""The broadcast address of whatever network one is on; routers never pass it on (RFC 919)."""

_GET_FLAGS, _GET_ADDRESS, _GET_BROADCAST = 0x8913, 0x8915, 0x8919  # from linux/sockios.h
_UP, _BROADCAST, _LOOPBACK = 0x1, 0x2, 0x8  # from linux/if.h
_LINK_SCOPE = "20"  # in the fourth column of if_inet6
_NOT_YET = 0x48  # tentative or found to be somebody else's, from linux/if_addr.h
_ROWS_MAX = 4_096


class Interface(msgspec.Struct, frozen=True):
    """One interface that is up."""

    name: str
    index: int
    ip4: ipaddress.IPv4Address | None
    """Its first IPv4 address."""
    ip6: ipaddress.IPv6Address | None
    """Its link-local IPv6 address."""
    broadcast: ipaddress.IPv4Address | None
    """What everybody on its IPv4 network hears; None where there is no such thing."""

    @property
    def is_loopback(self) -> bool:
        """Whether it leads back to this machine only."""
        return self.ip4 is not None and self.ip4.is_loopback


def interfaces(only: Sequence[str] | None = None) -> tuple[Interface, ...]:
    """Those that are up and have an address, by index.

    Args:
        only: The names of those to look at; all of them when None.
    """
    found = _of_linux() if sys.platform.startswith("linux") else _of_others()
    return tuple(entry for entry in found if only is None or entry.name in only)


def _of_linux() -> Iterator[Interface]:
    links6 = _links6()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for index, name in sorted(socket.if_nameindex()):
            flags = int.from_bytes(_ask(probe, _GET_FLAGS, name)[:2], sys.byteorder)
            ip4 = _address(_ask(probe, _GET_ADDRESS, name))
            ip6 = links6.get(name)
            if not flags & _UP or (ip4 is None and ip6 is None):
                continue
            broadcast = None
            if flags & _LOOPBACK and ip4 is not None:
                broadcast = ipaddress.IPv4Address("127.255.255.255")
            elif flags & _BROADCAST:
                broadcast = _address(_ask(probe, _GET_BROADCAST, name))
            yield Interface(name, index, ip4, ip6, broadcast)


def _ask(probe: socket.socket, what: int, name: str) -> bytes:
    """The 8 bytes of an answer about an interface, or none."""
    import fcntl

    with contextlib.suppress(OSError):  # it has none, or is gone
        return fcntl.ioctl(probe.fileno(), what, struct.pack("16s24x", name.encode()[:15]))[16:24]
    return b""


def _address(sockaddr: bytes) -> ipaddress.IPv4Address | None:
    packed = sockaddr[4:8]
    return ipaddress.IPv4Address(packed) if len(packed) == 4 and any(packed) else None


def _links6() -> dict[str, ipaddress.IPv6Address]:
    """The first link-local IPv6 address of each interface."""
    table = Path("/proc/net/if_inet6")
    if not table.exists():
        return {}
    found: dict[str, ipaddress.IPv6Address] = {}
    for line in table.read_text(encoding="ascii").splitlines()[:_ROWS_MAX]:
        packed, _, _, scope, flags, name = line.split()
        if scope == _LINK_SCOPE and not int(flags, 16) & _NOT_YET:
            found.setdefault(name, ipaddress.IPv6Address(bytes.fromhex(packed)))
    return found


def _of_others() -> Iterator[Interface]:
    if importlib.util.find_spec("ifaddr") is None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
            contextlib.suppress(OSError),
        ):
            probe.connect(("192.0.2.1", 9))  # connecting UDP sends nothing
            ip = ipaddress.IPv4Address(probe.getsockname()[0])
            yield Interface("", 0, ip, None, LIMITED)
        return
    import ifaddr

    for adapter in ifaddr.get_adapters():
        ip4, ip6, broadcast = None, None, None
        for entry in adapter.ips:
            if isinstance(entry.ip, str) and ip4 is None:
                network = ipaddress.IPv4Interface(f"{entry.ip}/{entry.network_prefix}").network
                ip4 = ipaddress.IPv4Address(entry.ip)
                broadcast = network.broadcast_address if network.prefixlen < 31 else None
            elif isinstance(entry.ip, tuple) and ip6 is None:
                address = ipaddress.IPv6Address(entry.ip[0])
                ip6 = address if address.is_link_local else None
        if ip4 is not None or ip6 is not None:
            yield Interface(str(adapter.nice_name), adapter.index or 0, ip4, ip6, broadcast)
