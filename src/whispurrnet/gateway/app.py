"""The application behind the port: the guard, the routes, the two WebSockets, the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.routing import Route as StarletteRoute
from starlette.websockets import WebSocket

from whispurrnet.base import log
from whispurrnet.gateway import docs_page, metrics, openapi, web
from whispurrnet.gateway.api import Api
from whispurrnet.gateway.guard import P2P_PATH, Guard
from whispurrnet.gateway.live import Live
from whispurrnet.gateway.refusal import Refusal, refuse
from whispurrnet.gateway.route import PREFIX, refusal_response
from whispurrnet.node.settings import Settings
from whispurrnet.transport.asgi import serve
from whispurrnet.version import VERSION

if TYPE_CHECKING:
    from whispurrnet.extensions.filesync.keeper import Keeper
    from whispurrnet.node.node import Node

_LOG = log.get(__name__)


def create_app(
    node: Node,
    settings: Settings,
    live: Live | None = None,
    origins: Mapping[str, str] | None = None,
    keepers: Sequence[Keeper] = (),
) -> Starlette:
    """The ASGI application of a node.

    Args:
        node: The running node.
        settings: Its settings.
        live: What looks at the node; its `run` is the caller's to run.
        origins: Where each setting came from, for `config show --origin`.
        keepers: What keeps the folders of the settings in step.
    """
    watcher = live if live is not None else Live(node)
    table = Api(node, settings, watcher, origins or {}, keepers).routes()
    document = openapi.document(table, VERSION)
    described = msgspec.json.encode(document)
    shown = docs_page.page(document)

    async def schema(_: Request) -> Response:
        return Response(described, media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(shown, headers={"content-security-policy": docs_page.POLICY})

    async def figures(_: Request) -> Response:
        if not settings.gateway.metrics:
            raise _metrics_are_off()
        text = metrics.exposition(node, await metrics.storage(node))
        return Response(text, media_type=metrics.MEDIA_TYPE)

    async def p2p(socket: WebSocket) -> None:
        await serve(socket.scope, socket.receive, socket.send, node.accept_link)

    routes: list[BaseRoute] = [
        *(
            StarletteRoute(one.path, one.endpoint, methods=[one.method], name=one.name)
            for one in table
        ),
        StarletteRoute("/openapi.json", schema),
        StarletteRoute("/docs", docs),
        StarletteRoute("/docs/{name}", _asset),
        StarletteRoute("/metrics", figures),
        WebSocketRoute(f"{PREFIX}/events", watcher.stream),
        WebSocketRoute(P2P_PATH, p2p),
        *web.routes(node, settings),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, settings=settings)],
        exception_handlers={HTTPException: _not_served, Refusal: _refused, Exception: _failed},
    )


async def _asset(request: Request) -> Response:
    """What the page of the API is made of."""
    name = request.path_params["name"]
    if name not in docs_page.ASSETS:
        raise HTTPException(404)
    return Response(docs_page.asset(name), media_type=docs_page.ASSETS[name])


def _metrics_are_off() -> Refusal:
    return refuse(
        404,
        "Metrics are off",
        "gateway.metrics is false.",
        "Set gateway.metrics = true and start the node again.",
        "not_found",
    )


async def _not_served(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    cause = {404: "There is no such path.", 405: "The path is there, but not for this method."}
    refusal = refuse(
        error.status_code,
        "Not served",
        cause.get(error.status_code, str(error.detail)),
        "See /docs for what is.",
        "not_found",
    )
    response = refusal_response(refusal)
    response.headers.update(error.headers or {})
    return response


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return refusal_response(error)


async def _failed(_: Request, error: Exception) -> Response:
    _LOG.error("a request failed: %s", type(error).__name__)
    return refusal_response(
        refuse(500, "A bug of ours", type(error).__name__, "Please report it.", "host")
    )
