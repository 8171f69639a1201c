"""A route: method, path, what it takes and gives, in one line of a table.

A handler gets a `Call`, whose body is decoded and whose parameters are converted, and returns a
structure. Whatever goes wrong with the request is a `Refusal` before the handler runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from whispurrnet.base.errors import WhispurrError
from whispurrnet.gateway.refusal import Refusal, from_body, from_error, refuse

BodyT = TypeVar("BodyT")
PREFIX = "/api/whispurrnet"
BODY_TIMEOUT_S = 30.0
_JSON = "application/json"


class Call(msgspec.Struct, frozen=True):
    """One request, understood."""

    body: Any
    parameters: Mapping[str, Any]
    request: Request | None = None
    """For handlers that take or give bytes."""

    def ask(self, kind: type[BodyT]) -> BodyT:
        """The body, as the type the route declares."""
        assert isinstance(self.body, kind)
        return self.body


Handler = Callable[[Call], Awaitable[object]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the API."""

    method: str
    path: str
    summary: str
    handler: Handler
    answer: Any
    ask: type | None = None
    """What it takes, and `answer` what it gives, as JSON; `bytes` is a body of bytes."""
    parameters: dict[str, Any] = {}
    """Of the path or the query, with their types."""
    required: tuple[str, ...] = ()
    """Those of the query that may not be missing."""

    @property
    def name(self) -> str:
        """A name for it, unique within the API."""
        words = self.path.replace("{", "").replace("}", "").strip("/").split("/")[2:]
        return "_".join((self.method.lower(), *words))

    async def endpoint(self, request: Request) -> Response:
        """Serve one request."""
        try:
            parameters = self._parameters(request)
            answer = await self.handler(Call(await self._body(request), parameters, request))
            return answer if isinstance(answer, Response) else json_response(answer)
        except WhispurrError as error:
            return refusal_response(from_error(error))
        except Refusal as refusal:
            return refusal_response(refusal)

    async def _body(self, request: Request) -> object:
        if self.ask is None or self.ask is bytes:
            return None
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != _JSON:
            raise refuse(
                415,
                "The body must be JSON",
                f"The Content-Type is not {_JSON}.",
                f'Send -H "Content-Type: {_JSON}".',
            )
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.body()
            return msgspec.json.decode(body, type=self.ask)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise from_body(error) from None
        except TimeoutError:
            raise refuse(
                408, "The body did not come", f"{BODY_TIMEOUT_S:g} s passed.", "Send it again."
            ) from None
        except ClientDisconnect:
            raise refuse(
                400, "The body did not come", "The client left.", "Send it again."
            ) from None

    def _parameters(self, request: Request) -> dict[str, Any]:
        given = {**request.query_params, **request.path_params}
        unknown = given.keys() - self.parameters.keys()
        if unknown:
            known = ", ".join(self.parameters) or "none"
            raise refuse(
                400,
                "The request was wrong",
                f"Unknown parameter `{min(unknown)[:64]}`.",
                f"Known parameters: {known}.",
            )
        missing = [name for name in self.required if name not in given]
        if missing:
            raise refuse(
                400,
                "The request was wrong",
                f"The parameter `{missing[0]}` is missing.",
                f"Ask for {self.path}?{missing[0]}=...",
            )
        try:
            return {
                name: msgspec.convert(given[name], kind, strict=False)
                for name, kind in self.parameters.items()
                if name in given
            }
        except msgspec.ValidationError as error:
            raise from_body(error) from None


def maker(method: str) -> Callable[..., Route]:
    """What makes the lines of one method in a table of routes."""

    def make(
        path: str,
        handler: Any,
        answer: Any,
        ask: Any = None,
        *,
        required: tuple[str, ...] = (),
        **parameters: Any,
    ) -> Route:
        return Route(
            method=method,
            path=PREFIX + path,
            summary=handler.__doc__ or "",
            handler=handler,
            answer=answer,
            ask=ask,
            parameters=parameters,
            required=required,
        )

    return make


def json_response(answer: object, status: int = 200) -> Response:
    """A structure as a response."""
    return Response(msgspec.json.encode(answer), status, media_type=_JSON)


def refusal_response(refusal: Refusal) -> Response:
    """A refusal as a response."""
    response = json_response(refusal.answer, refusal.status)
    response.headers.update(refusal.headers)
    return response
