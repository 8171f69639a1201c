"""The client of the REST API: standard library only, so that a short command stays short."""

from __future__ import annotations

import http.client
import os
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from whispurrnet.cli import running
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import BY_KIND, Exit, Fault, not_running
from whispurrnet.cli.render import note

AnswerT = TypeVar("AnswerT")
PREFIX = "/api/whispurrnet"
TOKEN_VARIABLE = "WHISPURRNET_GATEWAY_TOKEN"  # noqa: S105 - the name, not the token


class Client:
    """Calls one node.

    Args:
        url: Such as `http://127.0.0.1:8765`.
        token: The bearer token, for a node on another machine.
    """

    def __init__(self, url: str, token: str = "") -> None:
        """Take the parts of the URL."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme not in {"http", "https"} or not parts.hostname or not port:
            raise Fault(
                "--api is not a port or URL", f"it is {url!r}", "such as --api 8766", Exit.USAGE
            )
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._token = token
        self.port = port

    def get(
        self, path: str, kind: type[AnswerT], patience_s: float = 10.0, **query: Any
    ) -> AnswerT:
        """GET."""
        asked = f"?{urlencode(query)}" if query else ""
        return self._call("GET", path + asked, None, kind, patience_s)

    def post(
        self, path: str, kind: type[AnswerT], body: object = None, patience_s: float = 10.0
    ) -> AnswerT:
        """POST."""
        return self._call("POST", path, body, kind, patience_s)

    def delete(self, path: str, kind: type[AnswerT], body: object = None) -> AnswerT:
        """DELETE."""
        return self._call("DELETE", path, body, kind, 10.0)

    def _call(
        self, method: str, path: str, body: object, kind: type[AnswerT], patience_s: float
    ) -> AnswerT:
        status, data = self._exchange(method, PREFIX + path, body, patience_s + 10)
        try:
            if status == http.client.OK:
                return msgspec.json.decode(data, type=kind)
            refused = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise Fault(
                "The answer is not one of a node",
                f"port {self.port} answered {status}",
                "something else may use that port; name another with --api PORT",
            ) from error
        raise Fault(
            str(refused.get("error", "Refused")),
            str(refused.get("cause", "")).rstrip("."),
            str(refused.get("cure", "")),
            BY_KIND.get(str(refused.get("kind")), Exit.FAILED),
        )

    def _exchange(
        self, method: str, path: str, body: object, timeout_s: float
    ) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self.port, timeout=timeout_s)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except TimeoutError as error:
            raise Fault(
                "The node did not answer in time",
                f"{timeout_s:.0f} s passed",
                "see `whispurr status`; restart it with `whispurr up`",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise not_running(self.port) from error
        finally:
            connection.close()


def find() -> Client:
    """The node this command is for: --api, else the one that runs here."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    api = current.api
    if api:
        bare = api.removeprefix(":")
        return Client(f"http://127.0.0.1:{bare}" if bare.isdigit() else api, token)
    nodes = running.nodes()
    if len(nodes) > 1:
        others = ", ".join(f"--api {node.port}" for node in nodes[1:])
        note(f"{len(nodes)} nodes run here; this is for :{nodes[0].port} (others: {others})")
    port = nodes[0].port if nodes else running.DEFAULT_PORT
    return Client(f"http://127.0.0.1:{port}", token)
