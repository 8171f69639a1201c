"""What the operating system says, in words that name the place and the cure.

An `OSError` never escapes a transport: who dialled gets a NetworkError or AuthError, who listens a
HostError, and a link that was lost one phrase.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl

from whispurrnet.base.errors import AuthError, HostError, NetworkError, WhispurrError
from whispurrnet.wire.address import Address

_DIAL = {
    errno.ECONNREFUSED: "nothing listens there; check the port, and that the node is up",
    errno.EHOSTUNREACH: "no route to that host; check that it is on and in reach",
    errno.ENETUNREACH: "no route to that network; check that this machine is online",
    errno.EADDRNOTAVAIL: "this machine has no way to such an address; check its network",
    errno.EAFNOSUPPORT: "this machine does not speak that kind of address; use another one",
    errno.ETIMEDOUT: "no answer; check that the host is on, and that no firewall is between",
    errno.ECONNRESET: "it hung up at once; check that this port belongs to a node",
    errno.EPIPE: "it hung up at once; check that this port belongs to a node",
    errno.ECONNABORTED: "it hung up at once; check that this port belongs to a node",
    errno.EACCES: "this machine does not allow it; check its firewall",
    errno.EPERM: "this machine does not allow it; check its firewall",
    errno.EMFILE: "too many open files on this machine; close some, or raise `ulimit -n`",
    errno.ENFILE: "too many open files on this machine; close some, or raise `ulimit -n`",
}
_LISTEN = {
    errno.EADDRINUSE: "is taken by another program; stop it, or choose another (0: any free one)",
    errno.EACCES: "needs permission (ports below 1024 often do); choose a port from 1024 up",
    errno.EPERM: "needs permission (ports below 1024 often do); choose a port from 1024 up",
    errno.EADDRNOTAVAIL: "is not at an address of this machine; /ip4/0.0.0.0 listens on all",
    errno.EAFNOSUPPORT: "is of a kind this machine does not speak; listen on the other kind",
    errno.EMFILE: "cannot be opened: too many open files; close some, or raise `ulimit -n`",
}
_LOST = {
    errno.ECONNRESET: "reset by the peer",
    errno.EPIPE: "reset by the peer",
    errno.ECONNABORTED: "reset by the peer",
    errno.ETIMEDOUT: "the peer no longer answers",
    errno.EHOSTUNREACH: "the peer cannot be reached any more",
    errno.ENETUNREACH: "this machine went offline",
    errno.ENETDOWN: "this machine went offline",
}


def dial_error(address: Address, error: OSError) -> WhispurrError:
    """Why dialling failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return AuthError(
            f"the certificate at {address} is not valid: {error.verify_message.rstrip('.')}; check "
            "name and clock (a node that has a certificate of its own is dialled by IP address)"
        )
    if isinstance(error, ssl.SSLError):
        return NetworkError(
            f"cannot reach {address}: no TLS 1.3 is spoken there; check the port and the ending"
        )
    if isinstance(error, socket.gaierror):
        return NetworkError(
            f"cannot resolve {address.host} (for {address}); check the name and this machine's DNS"
        )
    why = _DIAL.get(error.errno or 0) or ("no answer" if isinstance(error, TimeoutError) else "")
    return NetworkError(f"cannot reach {address}: {why or _plain(error)}")


def listen_error(address: Address, error: OSError) -> HostError:
    """Why listening failed."""
    why = _LISTEN.get(error.errno or 0) or f"cannot be opened: {_plain(error)}"
    return HostError(f"port {address.port} ({address}) {why}")


def lost_reason(error: Exception | None) -> str:
    """Why a link was lost, as one phrase."""
    if error is None:
        return "closed by the peer"
    if isinstance(error, ssl.SSLError):
        return "TLS failed"
    if isinstance(error, OSError):
        return _LOST.get(error.errno or 0) or _plain(error)
    return "the connection broke"


def _plain(error: OSError) -> str:
    """What the operating system calls it, without the addresses that asyncio adds."""
    return os.strerror(error.errno).lower() if error.errno else "the connection broke"
