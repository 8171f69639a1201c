"""Who may call: the REST API answers this machine only, unless a token is shown.

The port is open to the network, because peers reach the P2P WebSocket on it; peers are
authenticated by the handshake inside. Everything else is refused to

- a client beyond loopback without the bearer token (compared in constant time),
- a request whose `Host` is not this machine's own name (DNS rebinding),
- a page of another origin (`Origin`, `Sec-Fetch-Site`), unless that origin is allowed by name.

The token stands for the first two; a browser never sends it by itself, yet the third holds still.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whispurrnet.gateway.refusal import Refusal, refuse
from whispurrnet.gateway.web import is_page
from whispurrnet.node.settings import Settings

P2P_PATH = "/ws"
UPLOAD_PATH = "/api/whispurrnet/objects"
"""What is posted there goes to the disk, and is bounded by what the disk has room for."""
LOCAL_NAMES = frozenset(("localhost", "127.0.0.1", "[::1]"))
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
)


class Guard:
    """ASGI middleware that lets through only who may call."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Guard an application by the section `gateway` of the settings."""
        self._app = app
        self._token = settings.gateway.token.reveal()
        self._allowed = frozenset(settings.gateway.allowed_origins)
        self._body_max = settings.gateway.body_bytes_max
        self._page_is_open = settings.gateway.web == "open"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan" or _is_p2p(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        try:
            self._check(scope, headers)
        except Refusal as refusal:
            await _send_refusal(scope, refusal, receive, send)
            return
        extra = list(_HEADERS)
        if origin in self._allowed:
            extra += _cors(origin)
        if scope["type"] == "http" and _is_preflight(scope, headers):
            await _send_empty(send, [*_HEADERS, *_preflight(origin)])
            return
        bounded = receive if _is_upload(scope) else self._bounded(receive)
        await self._app(scope, bounded, _with_headers(send, extra))

    def _check(self, scope: Scope, headers: Headers) -> None:
        known = self._knows_token(headers) or (self._page_is_open and _is_page(scope))
        if not known and not is_loopback(scope.get("client")):
            if self._token:
                raise refuse(
                    401,
                    "A token is needed",
                    "The request comes from beyond this machine.",
                    "Send `Authorization: Bearer TOKEN` with the node's gateway.token.",
                    "refused",
                )
            raise refuse(
                403,
                "This API answers its own machine only",
                "The request comes from beyond this machine, and no token is set.",
                "Set WHISPURRNET_GATEWAY_TOKEN on the node and send it as a bearer token.",
                "refused",
            )
        hosts = headers.getlist("host")
        if not known and (len(hosts) != 1 or _host_name(hosts[0]) not in LOCAL_NAMES):
            raise refuse(
                403,
                "The host name is not this machine's own",
                "Another name that leads here may be a DNS rebinding attack.",
                "Use http://localhost or http://127.0.0.1, or send the bearer token.",
                "refused",
            )
        self._check_origin(scope, headers, hosts)
        length = int(_digits(headers.get("content-length", "0")))
        if length > self._body_max and not _is_upload(scope):
            raise _too_large(self._body_max)

    def _check_origin(self, scope: Scope, headers: Headers, hosts: list[str]) -> None:
        origins = headers.getlist("origin")
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        own = f"{scheme}://{hosts[0].lower()}" if hosts else ""
        foreign = any(origin not in self._allowed and origin != own for origin in origins)
        site = headers.get("sec-fetch-site", "none")
        if foreign or (not origins and site in {"cross-site", "same-site"}):
            raise refuse(
                403,
                "Pages of another origin may not call this API",
                "The request was made by a web page that this node did not serve.",
                "Add the page's origin to gateway.allowed_origins if you trust it.",
                "refused",
            )

    def _knows_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if not self._token or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), self._token.encode())

    def _bounded(self, receive: Receive) -> Receive:
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > self._body_max:
                    raise _too_large(self._body_max)
            return message

        return bounded


def is_loopback(client: tuple[str, int] | None) -> bool:
    """Whether a client's address is this machine's own loopback."""
    if client is None:
        return False
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _is_p2p(scope: Scope) -> bool:
    return bool(scope["type"] == "websocket" and scope["path"] == P2P_PATH)


def _is_page(scope: Scope) -> bool:
    return bool(
        scope["type"] == "http" and scope["method"] in {"GET", "HEAD"} and is_page(scope["path"])
    )


def _is_upload(scope: Scope) -> bool:
    return bool(
        scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == UPLOAD_PATH
    )


def _host_name(host: str) -> str:
    """The name of a `Host`, without its port; brackets of IPv6 stay."""
    name, colon, port = host.strip().lower().rpartition(":")
    if colon and port.isdigit() and (not name.startswith("[") or name.endswith("]")):
        return name
    return host.strip().lower()


def _digits(text: str) -> str:
    return text if text.isascii() and text.isdigit() and len(text) < 20 else "0"


def _too_large(limit: int) -> Refusal:
    return refuse(
        413,
        "The body is too large",
        f"It has more than {limit} bytes.",
        "Send less, or raise gateway.body_bytes_max.",
        "limit",
    )


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "OPTIONS" and "access-control-request-method" in headers


def _cors(origin: str) -> list[tuple[bytes, bytes]]:
    return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]


def _preflight(origin: str) -> Iterable[tuple[bytes, bytes]]:
    return [
        *_cors(origin),
        (b"access-control-allow-methods", b"GET, POST, DELETE"),
        (b"access-control-allow-headers", b"authorization, content-type"),
        (b"access-control-max-age", b"600"),
    ]


def _with_headers(send: Send, extra: list[tuple[bytes, bytes]]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name for name, _ in message.get("headers", ())}
            more = [pair for pair in extra if pair[0] not in given]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return sending


async def _send_empty(send: Send, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _send_refusal(scope: Scope, refusal: Refusal, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4403, "reason": refusal.answer.error})
        return
    headers = [*_HEADERS, (b"content-type", b"application/json"), (b"connection", b"close")]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    body = msgspec.json.encode(refusal.answer)
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
