"""Ports for `up`: the usual ones, or the next free ones when nobody chose."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from whispurrnet.base.errors import HostError
from whispurrnet.node.settings import Settings
from whispurrnet.wire.address import Address, parse

TRIES = 100
_FAMILIES = {"ip4": socket.AF_INET, "ip6": socket.AF_INET6}


def chosen(origin: str) -> bool:
    """Whether a person chose this value, or it is what it is by default."""
    return not (origin == "default" or origin.startswith("profile "))


def gateway_port(settings: Settings, origins: Mapping[str, str]) -> socket.socket:
    """A bound socket for the gateway, on the port of the settings or the next free one.

    Raises:
        HostError: A chosen port cannot be had, or none is free.
    """
    from whispurrnet.gateway.server import bind  # heavy, and not every node has a gateway

    if chosen(origins.get("port", "default")) or not settings.port:
        return bind(settings.host, settings.port)
    for port in range(settings.port, settings.port + TRIES):
        try:
            return bind(settings.host, port)
        except HostError as error:
            if not _is_taken(error):
                raise
    raise HostError(f"no port is free from {settings.port} on; choose one with --port")


def _is_taken(error: HostError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in {errno.EADDRINUSE, errno.EACCES}


def mesh_addresses(settings: Settings, origins: Mapping[str, str]) -> tuple[str, ...]:
    """Where to listen for peers: the settings, or the same on the next free port.

    Raises:
        HostError: No port is free.
    """
    if chosen(origins.get("listen", "default")):
        return settings.listen
    usual = [parse(text) for text in settings.listen]
    for step in range(TRIES):
        moved = [_moved(address, step) for address in usual]
        if all(_is_free(address) for address in moved):
            return tuple(str(address) for address in moved)
    raise HostError(f"no port is free from {usual[0].port} on; choose one with --listen")


def _moved(address: Address, step: int) -> Address:
    return parse(str(address).replace(f"/tcp/{address.port}", f"/tcp/{address.port + step}"))


def _is_free(address: Address) -> bool:
    family = _FAMILIES.get(address.kind)
    if family is None:
        return True
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address.host, address.port))
    except OSError as error:
        return error.errno not in {errno.EADDRINUSE, errno.EACCES}
    return True
