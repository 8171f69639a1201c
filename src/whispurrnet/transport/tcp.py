"""Links over TCP, plain or inside TLS.

The hot path is one Python call a read and one a write: `asyncio.Protocol`, no streams, no tasks.
Works on asyncio's loops and on uvloop. What WebSockets share with it is here too.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar, cast

from whispurrnet.base.errors import AuthError, LimitError, UsageError
from whispurrnet.transport.faults import dial_error, listen_error, lost_reason
from whispurrnet.transport.link import (
    HANDSHAKE_TIMEOUT_S,
    HIGH_WATER,
    LINGER_S,
    LOW_WATER,
    NO_BINDING,
    NOBODY,
    UNSENT_MAX,
    Accept,
    LinkHandler,
    ListenerState,
)
from whispurrnet.transport.tls import Tls, outer
from whispurrnet.wire.address import Address, TransportName, at

BACKLOG = 1024
CLOSED_HERE = "closed here"

_FAMILIES = {
    "ip4": socket.AF_INET,
    "dns4": socket.AF_INET,
    "ip6": socket.AF_INET6,
    "dns6": socket.AF_INET6,
}


class TcpLink(asyncio.Protocol):
    """A link over one TCP connection; see `Link` for its rules.

    Args:
        accept: Gives the handler, when the connection stands.
        path: How the link is called.
        remote: The address that was dialled, or None when the other side opened it.
    """

    def __init__(self, accept: Accept, path: TransportName, remote: Address | None = None) -> None:
        self.handler: LinkHandler = NOBODY
        self.path: str = path
        self.inbound = remote is None
        self.binding = NO_BINDING
        self.certified = b""
        """The Ed25519 key in the identity-bound certificate that was shown, or nothing."""
        self.refused: AuthError | LimitError | None = None
        """Why the link was given up before it was handed to anybody."""
        self.accept = accept
        self.fresh: set[TcpLink] | None = None
        """Where it stands while it is connected and not yet open, if its listener wants to know."""
        self.transport: asyncio.Transport
        self.reason = ""
        """Why it ends, while it ends by our doing; empty while it is open."""
        self._name = path
        self._remote = remote
        self._linger: asyncio.TimerHandle | None = None
        self._held = False  # reading is paused

    @property
    def remote(self) -> Address:
        """Where the other side is; see `Link.remote`."""
        assert self._remote is not None, "known since the connection was made"
        return self._remote

    def write(self, data: bytes) -> None:
        """Send; see `Link.write`."""
        if not self.reason:
            self.transport.write(data)

    def close(self) -> None:
        """Send what was written, then close; see `Link.close`."""
        if not self.reason:
            self.leave(CLOSED_HERE)
            self.half_close()

    def abort(self) -> None:
        """Close at once; see `Link.abort`."""
        self.reason = self.reason or CLOSED_HERE
        self.transport.abort()

    def pause_reading(self) -> None:
        """Let the other side wait; see `Link.pause_reading`."""
        self._held = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Let data arrive again; see `Link.resume_reading`."""
        self._held = False
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def leave(self, reason: str) -> None:
        """Stop for `reason`: nothing more is read or written, and it ends within `LINGER_S`."""
        self.reason = reason
        self._linger = asyncio.get_running_loop().call_later(LINGER_S, self.transport.abort)

    def half_close(self) -> None:
        """Close once everything is sent, and the other side has closed too.

        What still comes is read and dropped: closing a socket with unread bytes resets the
        connection, and then the other side may lose what was sent last.
        """
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.resume_reading()
            try:
                self.transport.write_eof()
            except OSError:  # the other side reset the connection, and we hear of it soon
                self.transport.abort()
        else:  # TLS says goodbye by itself
            self.transport.close()

    def open(self) -> None:
        """Hand the link to whoever wants it; aborts it when nobody does."""
        self._settled()
        try:
            self.handler = self.accept(self)
        except LimitError as error:
            self.refuse(error)

    def refuse(self, error: AuthError | LimitError) -> None:
        """Give the link up before it is handed to anybody."""
        self.refused = error
        self.reason = "refused"
        self.transport.abort()

    def _settled(self) -> None:
        if self.fresh is not None:
            self.fresh.discard(self)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn who is there, and go on to what is spoken inside."""
        self.transport = cast("asyncio.Transport", transport)
        if self.fresh is not None:
            self.fresh.add(self)
        self.transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        sock = self.transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_MAX)
        if self._remote is None:
            self._remote = _peer(self.transport, self._name)
        try:
            self.binding, self.certified = outer(transport, self._remote, inbound=self.inbound)
        except AuthError as error:
            self.refuse(error)
        else:
            self.connected()
            if self._held:  # uvloop and asyncio before 3.11.5 start reading after this call anyway
                asyncio.get_running_loop().call_soon(self._hold)

    def connected(self) -> None:
        """The connection stands, and TLS in it if there is any."""
        self.open()

    def _hold(self) -> None:
        if self._held and not self.transport.is_closing():
            self.transport.resume_reading()  # they think it is paused, and would do nothing
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Hand it on."""
        if not self.reason:
            self.handler.link_data(self, data)

    def pause_writing(self) -> None:
        """The buffer is above the high-water mark."""
        if not self.reason:
            self.handler.link_paused(self)

    def resume_writing(self) -> None:
        """The buffer is at the low-water mark."""
        if not self.reason:
            self.handler.link_resumed(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the handler; asyncio calls this once."""
        self._settled()
        if self._linger is not None:
            self._linger.cancel()
        self.reason = self.reason or lost_reason(error)
        self.handler.link_lost(self, self.reason)


AnyLink = TypeVar("AnyLink", bound=TcpLink)


async def connect(link: AnyLink, tls: Tls, host: str | None) -> AnyLink:
    """Connect a link to the address it was made for. Cancelling is safe: nothing stays open.

    Args:
        link: Its `remote` is where to go.
        tls: Used when the address asks for it.
        host: The IP address of that name, when it is known already.

    Raises:
        NetworkError: Nobody answers there; names the place.
        AuthError: The certificate shown there is not valid.
    """
    address = link.remote
    context = tls.client_context(address) if address.is_tls else None
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: link,
            host or address.host,
            address.port,
            family=0 if host else _FAMILIES.get(address.kind, 0),
            ssl=context,
            # An IP address is never sent as a name (RFC 6066, section 3).
            server_hostname=None if context is None else "" if address.is_ip else address.host,
            ssl_handshake_timeout=None if context is None else HANDSHAKE_TIMEOUT_S,
        )
    except OSError as error:
        raise dial_error(address, error) from error
    if isinstance(link.refused, AuthError):
        raise AuthError(f"{address}: {link.refused}") from link.refused
    if link.refused is not None:
        raise link.refused
    return link


class TcpListener:
    """A TCP port that is listened on."""

    def __init__(self, server: asyncio.Server, address: Address, fresh: set[TcpLink]) -> None:
        self.address = address
        self.state = ListenerState.LISTENING
        self._server = server
        self._fresh = fresh

    async def close(self) -> None:
        """Take no more links; those that are open stay. Cancelling is safe."""
        self.state = ListenerState.NOT_LISTENING
        try:
            await stop_serving(self._server)
        finally:
            for link in list(self._fresh):
                link.abort()


async def stop_serving(server: asyncio.Server) -> None:
    """Close a server; what it has accepted already it takes in first. Cancelling is safe.

    asyncio makes the transport of a connection in the turn of the loop after the one that accepted
    it. If the server is closed between the two, `Server._attach` fails, and nobody ever closes the
    socket. Not `wait_closed`: from Python 3.12 on it waits for the links too.
    """
    loop = asyncio.get_running_loop()
    try:
        if isinstance(loop, asyncio.SelectorEventLoop):
            for sock in server.sockets:
                loop.remove_reader(sock.fileno())
            await asyncio.sleep(0)
    finally:
        server.close()


async def listen(address: Address, tls: Tls, make: Callable[[], TcpLink]) -> TcpListener:
    """Listen on a TCP port. Cancelling is safe.

    Args:
        address: Where: an IP address; port 0 takes a free one.
        tls: Used when the address asks for it.
        make: A fresh link for each connection.

    Raises:
        HostError: The port is taken or not allowed, or there is no certificate.
        UsageError: Not an IP address.
    """
    if not address.is_ip:
        raise UsageError(
            f"cannot listen on a name, {address}; listen on an IP address, such as "
            "/ip4/0.0.0.0/tcp/9000"
        )
    context: ssl.SSLContext | None = tls.server_context() if address.is_tls else None
    fresh: set[TcpLink] = set()

    def made() -> TcpLink:
        link = make()
        link.fresh = fresh
        return link

    try:
        server = await asyncio.get_running_loop().create_server(
            made,
            address.host,
            address.port,
            family=_FAMILIES[address.kind],
            backlog=BACKLOG,
            ssl=context,
            ssl_handshake_timeout=None if context is None else HANDSHAKE_TIMEOUT_S,
        )
    except OSError as error:
        raise listen_error(address, error) from error
    return TcpListener(server, address.with_port(server.sockets[0].getsockname()[1]), fresh)


class TcpTransport:
    """TCP, plain and inside TLS.

    Args:
        tls: The certificate to show, and what to ask of others; without it, this node dials TLS
            with the system's trust and does not listen with TLS.
    """

    names = ("tcp", "tls")

    def __init__(self, tls: Tls | None = None) -> None:
        self._tls = tls or Tls()

    async def dial(
        self, address: Address, handler: LinkHandler, *, host: str | None = None
    ) -> TcpLink:
        """Open a link; see `Transport.dial`."""
        link = TcpLink(lambda _: handler, address.transport, address)
        return await connect(link, self._tls, host)

    async def listen(self, address: Address, accept: Accept) -> TcpListener:
        """Take links in; see `Transport.listen`."""
        return await listen(address, self._tls, lambda: TcpLink(accept, address.transport))


def _peer(transport: asyncio.BaseTransport, name: TransportName) -> Address:
    """Where an inbound connection comes from."""
    host, port = (transport.get_extra_info("peername") or ("::", 0))[:2]
    return at(host, port, name)
