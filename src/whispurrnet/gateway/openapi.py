"""OpenAPI 3.1 from the routes' own types, and a page that shows it without any script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import msgspec

from whispurrnet.gateway.answers import SCHEMA, ErrorAnswer
from whispurrnet.gateway.route import Route

_REF = "#/components/schemas/{name}"
_STYLE = (
    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:.1rem .3rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0}"
)


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The OpenAPI document of the routes."""
    types: list[Any] = [ErrorAnswer]
    for route in routes:
        types += [kind for kind in (route.ask, route.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "WhispurrNet node",
            "version": f"{SCHEMA}.0",
            "description": f"The REST API of a WhispurrNet node, program version {version}. "
            "It answers its own machine only, or a client that shows the bearer token.",
        },
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, by_type: dict[int, dict[str, Any]]) -> dict[str, Any]:
    refusal = {"application/json": {"schema": by_type[id(ErrorAnswer)]}}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "responses": {
            "200": {
                "description": "Done.",
                "content": {"application/json": {"schema": by_type[id(route.answer)]}},
            },
            "4XX": {"description": "Refused: you can change it.", "content": refusal},
            "5XX": {"description": "The peer, the network or the host.", "content": refusal},
        },
    }
    parameters = [
        {
            "name": name,
            "in": "path" if f"{{{name}}}" in route.path else "query",
            "required": f"{{{name}}}" in route.path,
            "schema": msgspec.json.schema(kind),
        }
        for name, kind in route.parameters.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.ask is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": by_type[id(route.ask)]}},
        }
    return operation


def page(routes: Sequence[Route]) -> str:
    """The routes as a page: no script, nothing from elsewhere."""
    rows = "".join(
        f"<tr><td>{route.method}</td><td><code>{html.escape(route.path)}</code></td>"
        f"<td>{html.escape(route.summary)}</td></tr>"
        for route in routes
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>WhispurrNet REST</title>'
        f"<style>{_STYLE}</style><h1>WhispurrNet REST</h1>"
        f'<p>The exact types: <a href="/openapi.json">/openapi.json</a>. Events: WebSocket '
        f"<code>/api/whispurrnet/events</code>.</p><table>{rows}</table></html>"
    )
