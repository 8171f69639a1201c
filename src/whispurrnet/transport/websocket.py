"""WebSocket, as client and as server, plain (`ws`) or inside TLS (`wss`).

The links themselves, and what they look like on the wire, are in `websocket_link`, which is read
when the first one is made: a node that speaks TCP alone starts sooner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whispurrnet.transport.link import Accept, LinkHandler
from whispurrnet.transport.tcp import TcpListener, connect, listen
from whispurrnet.transport.tls import Tls
from whispurrnet.wire.address import Address

if TYPE_CHECKING:
    from whispurrnet.transport.websocket_link import WebSocketLink


class WebSocketTransport:
    """WebSocket, plain and inside TLS; see `TcpTransport` for `tls`."""

    names = ("ws", "wss")

    def __init__(self, tls: Tls | None = None) -> None:
        self._tls = tls or Tls()

    async def dial(
        self, address: Address, handler: LinkHandler, *, host: str | None = None
    ) -> WebSocketLink:
        """Open a link; see `Transport.dial`."""
        from whispurrnet.transport.websocket_link import WebSocketLink

        link = WebSocketLink(lambda _: handler, address, inbound=False)
        assert link.opened is not None
        try:
            await connect(link, self._tls, host)
            await link.opened
        finally:
            if not link.is_open:
                link.give_up()
        return link

    async def listen(self, address: Address, accept: Accept) -> TcpListener:
        """Take links in; see `Transport.listen`."""
        from whispurrnet.transport.websocket_link import WebSocketLink

        return await listen(
            address, self._tls, lambda: WebSocketLink(accept, address, inbound=True)
        )
