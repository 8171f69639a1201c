"""OpenAPI 3.1 from the routes' own types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from whispurrnet.gateway.answers import SCHEMA, ErrorAnswer
from whispurrnet.gateway.examples import EXAMPLES
from whispurrnet.gateway.route import Route

_REF = "#/components/schemas/{name}"
BYTES = "application/octet-stream"
_BYTES = {BYTES: {"schema": {"type": "string", "format": "binary"}}}


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The OpenAPI document of the routes."""
    types: list[Any] = [ErrorAnswer]
    for route in routes:
        types += [kind for kind in (route.ask, route.answer) if kind not in (None, bytes)]
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
                "content": _BYTES
                if route.answer is bytes
                else {"application/json": {"schema": by_type[id(route.answer)]}},
            },
            "4XX": {"description": "Refused: you can change it.", "content": refusal},
            "5XX": {"description": "The peer, the network or the host.", "content": refusal},
        },
    }
    parameters = [
        {
            "name": name,
            "in": "path" if f"{{{name}}}" in route.path else "query",
            "required": f"{{{name}}}" in route.path or name in route.required,
            "schema": msgspec.json.schema(kind),
        }
        for name, kind in route.parameters.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.ask is bytes:
        operation["requestBody"] = {"required": True, "content": _BYTES}
    elif route.ask is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {
                    "schema": by_type[id(route.ask)],
                    "example": EXAMPLES[route.ask.__name__],
                }
            },
        }
    return operation
