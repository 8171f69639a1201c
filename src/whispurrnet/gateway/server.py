"""The port: uvicorn's protocols inside the node's own loop, without its server around them.

No signal handlers, no ticking, no server header, no access log, no compression. The port is open
to the network, so connections are bounded in number, and one that does not finish a request's
head in time is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from whispurrnet.base.errors import HostError
from whispurrnet.gateway.app import create_app
from whispurrnet.gateway.guard import is_loopback
from whispurrnet.gateway.live import Live
from whispurrnet.node.settings import Settings
from whispurrnet.transport.tcp import stop_serving
from whispurrnet.wire.address import at

if TYPE_CHECKING:
    from whispurrnet.extensions.filesync.keeper import Keeper
    from whispurrnet.node.node import Node

HEAD_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 2.0
MESSAGE_MAX = 4 * 2**20
STRANGERS_MAX = 1024


_SILENT = logging.getLogger("whispurrnet.gateway.silent")
_SILENT.disabled = True  # what uvicorn writes holds addresses and paths


class Door(H11Protocol):
    """One connection: HTTP until it upgrades; does not wait for ever for a request's head."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Make one for a connection to come."""
        super().__init__(*arguments, **named)
        self.logger = _SILENT
        self.access_log = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or close it when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > STRANGERS_MAX and not is_loopback(self.client):
            transport.abort()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the clock runs while a head is unfinished."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._wait_no_more()
        elif self._timer is None:
            self._wait()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection to the WebSocket protocol."""
        self._wait_no_more()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Socket(WebSocketsSansIOProtocol):
    """One WebSocket, which writes no log."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Make one for an upgraded connection."""
        super().__init__(*arguments, **named)
        self.logger = _SILENT
        self.conn.logger = _SILENT


class Gateway:
    """The gateway of one node.

    Args:
        node: The running node.
        settings: Its settings; `host` and `port` say where.
        origins: Where each setting came from.
        bound: A socket from `bind`, if the port was chosen before; otherwise `start` binds.
        keepers: What keeps the folders of the settings in step.
    """

    def __init__(
        self,
        node: Node,
        settings: Settings,
        *,
        origins: Mapping[str, str] | None = None,
        bound: socket.socket | None = None,
        keepers: Sequence[Keeper] = (),
    ) -> None:
        """Prepare; `start` opens the port."""
        self._node = node
        self._settings = settings
        self._bound = bound
        self._live = Live(node)
        self._app = create_app(node, settings, self._live, origins, keepers)
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on; 0 before `start`."""
        if self._server is None or not self._server.sockets:
            return 0
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Open the port and look at the node.

        Raises:
            HostError: The port cannot be had.
        """
        bound = self._bound or bind(self._settings.host, self._settings.port)
        config = _config(self._app)
        loop = asyncio.get_running_loop()

        def door() -> asyncio.Protocol:
            return Door(config, self._state, {}, loop)

        ready = asyncio.Event()
        self._watch = loop.create_task(self._live.run(ready.set))
        await ready.wait()
        self._server = await loop.create_server(door, sock=bound, backlog=256)
        host = str(bound.getsockname()[0])
        self._node.also_at(str(at(host, self.port, "ws")))

    async def stop(self) -> None:
        """Close the port, let requests end for a moment, then cut what is left."""
        if self._server is not None:
            await stop_serving(self._server)
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        tasks = list(self._state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to a host and port.

    Raises:
        HostError: The port is in use or not allowed, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        bound.bind((host, port))
        bound.listen(256)
    except OSError as error:
        bound.close()
        reason = error.strerror or type(error).__name__
        cure = "choose another with --port or WHISPURRNET_PORT"
        raise HostError(f"port {port} cannot be had ({reason}); {cure}") from error
    bound.setblocking(False)
    return bound


def _config(app: Any) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=Door,
        ws=Socket,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        ws_max_size=MESSAGE_MAX,
    )
    config.load()
    return config
