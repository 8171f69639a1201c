"""The page of the node: chat and resonance from a browser, which is a node itself.

`browser/` is bundled into `gateway/web` when the wheel is made, and by `make web`. The page and
what it is made of come from this port alone; it may open WebSockets to other nodes, for that is
what it is for.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute

from whispurrnet.gateway.refusal import refuse
from whispurrnet.node.settings import Settings

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from whispurrnet.node.node import Node

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ASSETS: Final = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "whispurrnet.js": "text/javascript",
}
_NOT_BUILT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>WhispurrNet</title></head><body>
<h1>WhispurrNet</h1>
<p>This node runs. Its page for browsers was not built: it needs Node.js 20 or newer with npm.
In the source folder, say <code>make web</code>, and start the node again. Packages from an index
have it.</p>
<p><a href="/docs">The API of this node</a></p></body></html>
"""


class Told(msgspec.Struct, frozen=True):
    """What a page is told of the node that served it."""

    ticket: str
    relay: bool
    """Whether it may have a place for the page, so that others reach it."""


def is_page(path: str) -> bool:
    """Whether a path is of the page, and not of the API."""
    return path == "/" or path.startswith("/web/")


def folder() -> Traversable:
    """Where the page is, if it was built."""
    return resources.files("whispurrnet.gateway").joinpath("web")


def routes(node: Node, settings: Settings) -> list[BaseRoute]:
    """The page, what it is made of, and whose it is."""

    async def page(_: Request) -> Response:
        _check(settings)
        html = folder().joinpath("index.html")
        if not html.is_file():
            return HTMLResponse(_NOT_BUILT)
        return HTMLResponse(html.read_bytes(), headers={"content-security-policy": POLICY})

    async def asset(request: Request) -> Response:
        _check(settings)
        name = request.path_params["name"]
        file = folder().joinpath(name)
        if name not in ASSETS or not file.is_file():
            raise HTTPException(404)
        return Response(file.read_bytes(), media_type=ASSETS[name])

    async def told(_: Request) -> Response:
        _check(settings)
        body = msgspec.json.encode(Told(node.ticket.text, settings.nat.relay))
        return Response(body, media_type="application/json")

    return [
        StarletteRoute("/", page),
        StarletteRoute("/web/node.json", told),
        StarletteRoute("/web/{name}", asset),
    ]


def _check(settings: Settings) -> None:
    if settings.gateway.web == "off":
        raise refuse(
            404,
            "The page is off",
            'gateway.web is "off".',
            'Set gateway.web = "local" and start the node again.',
            "not_found",
        )
