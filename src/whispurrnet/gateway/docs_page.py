"""The page that documents the API: every route, its types and an example, from this node alone.

It is whole without a script. The script beside it lets the GET routes be tried; page, style and
script come from the same port, and the policy of the page allows nothing from anywhere else.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from whispurrnet.gateway.examples import PARAMETERS

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ASSETS = {"page.js": "text/javascript", "page.css": "text/css"}

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>WhispurrNet REST</title>
<meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="/docs/page.css"></head><body>
<h1>WhispurrNet REST</h1>
<p>The node on this machine answers here, and nothing on this page comes from elsewhere. Exact types
for programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1). What happens, as it happens:
WebSocket <code>/api/whispurrnet/events</code>. Figures for Prometheus, where
<code>gateway.metrics</code> is on: <code>/metrics</code>.</p>
<p>A refusal is <code>{"error", "cause", "cure", "kind"}</code>: status 4xx if you can change it,
5xx if the peer, the network or the machine must.</p>
"""


def asset(name: str) -> bytes:
    """One of `ASSETS`."""
    assert name in ASSETS
    return resources.files("whispurrnet.gateway").joinpath("page", name).read_bytes()


def page(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document of ours."""
    parts = [_HEAD, "<h2>Routes</h2>"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(_route(path, method.upper(), operation))
    parts.append("<h2>Types</h2>")
    for name, schema in document["components"]["schemas"].items():
        parts.append(
            f'<details id="{_text(name)}"><summary><code>{_text(name)}</code> '
            f"{_text(schema.get('description', ''))}</summary>{_pre(schema)}</details>"
        )
    parts.append('<script src="/docs/page.js"></script></body></html>')
    return "\n".join(parts)


def _route(path: str, method: str, operation: Mapping[str, Any]) -> str:
    title = f"<b>{method}</b> <code>{_text(path)}</code> {_text(operation['summary'])}"
    parts = [f"<details><summary>{title}</summary>"]
    parameters = operation.get("parameters", ())
    if parameters:
        rows = "".join(
            f"<tr><td><code>{_text(one['name'])}</code></td><td>{one['in']}"
            f"{', required' if one['required'] else ''}</td>"
            f"<td><code>{_text(_plain(one['schema']))}</code></td></tr>"
            for one in parameters
        )
        parts.append(f"<table>{rows}</table>")
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None and "requestBody" in operation:
        parts.append("<p>Takes bytes, such as</p>")
        parts.append(f"<pre>{_text(_curl(path, method, None))}</pre>")
    elif content is not None:
        parts.append(f"<p>Takes {_link(content['schema'])}, such as</p>")
        parts.append(f"<pre>{_text(_curl(path, method, content['example']))}</pre>")
    answer = operation["responses"]["200"]["content"].get("application/json")
    given = _link(answer["schema"]) if answer is not None else "bytes"
    parts.append(f"<p>Answers {given}.</p>")
    if method == "GET" and answer is not None:
        parts.append(_form(path, parameters))
    return "".join([*parts, "</details>"])


def _form(path: str, parameters: Any) -> str:
    fields = "".join(
        f"<label>{_text(one['name'])} "
        f'<input name="{_text(one["name"])}" value="{_text(PARAMETERS.get(one["name"], ""))}"'
        f"{' required' if one['required'] else ''}></label>"
        for one in parameters
    )
    return (
        f'<form data-path="{_text(path)}" hidden>{fields}<button>Try it</button> '
        '<span class="said"></span></form><pre class="answer" hidden></pre>'
    )


def _curl(path: str, method: str, example: Any) -> str:
    media, body = "application/octet-stream", "--data-binary @FILE"
    if example is not None:
        media, body = "application/json", f"-d '{msgspec.json.encode(example).decode()}'"
    for name, value in PARAMETERS.items():
        path = path.replace(f"{{{name}}}", value)
    return (
        f"curl -X {method} http://localhost:8765{path} \\\n"
        f'  -H "Content-Type: {media}" \\\n  {body}'
    )


def _link(schema: Mapping[str, Any]) -> str:
    """A type, by name where it has one."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}"><code>{name}</code></a>'
    if schema.get("type") == "array" and "items" in schema:
        return f"a list of {_link(schema['items'])}"
    return f"<code>{_text(_plain(schema))}</code>"


def _plain(schema: Mapping[str, Any]) -> str:
    """A small type in one line."""
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    bounds = {
        "minimum": "from",
        "exclusiveMinimum": "above",
        "maximum": "to",
        "exclusiveMaximum": "below",
    }
    said = [f"{word} {schema[key]:g}" for key, word in bounds.items() if key in schema]
    return " ".join([str(schema.get("type", "any")), *said])


def _pre(value: object) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f"<pre>{_text(text)}</pre>"


def _text(text: str) -> str:
    return html.escape(text, quote=True)
