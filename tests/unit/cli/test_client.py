from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from whispurrnet.cli.client import Client
from whispurrnet.cli.fault import Exit, Fault


class Strange(http.server.BaseHTTPRequestHandler):
    answer: tuple[int, bytes] = (200, b"{}")
    seen: dict[str, str]

    def do_GET(self) -> None:
        status, body = self.answer
        type(self).seen = dict(self.headers)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def strange() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Strange) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "code", "cause"),
    [
        ((200, b"<html>"), Exit.FAILED, "answered 200"),
        ((200, b"[]"), Exit.FAILED, "answered 200"),
        ((404, b"nothing"), Exit.FAILED, "answered 404"),
        ((400, b'{"error":"e","cause":"c.","cure":"q","kind":"usage"}'), Exit.USAGE, "c"),
        ((504, b'{"error":"e","cause":"c","kind":"unreachable"}'), Exit.NOT_REACHABLE, "c"),
        ((502, b'{"error":"e","cause":"c","kind":"not_authentic"}'), Exit.NOT_AUTHENTIC, "c"),
        ((500, b"{}"), Exit.FAILED, ""),
    ],
)
def test_answers_become_faults(
    strange: int, answer: tuple[int, bytes], code: Exit, cause: str
) -> None:
    Strange.answer = answer
    with pytest.raises(Fault) as caught:
        Client(f"http://127.0.0.1:{strange}").get("/status", dict[str, Any])
    assert caught.value.code == code
    assert cause in caught.value.cause


def test_the_token_is_sent(strange: int) -> None:
    Strange.answer = (200, b"{}")
    Client(f"http://127.0.0.1:{strange}", "night-bird").get("/status", dict[str, Any])
    assert Strange.seen["Authorization"] == "Bearer night-bird"


def test_nobody_there() -> None:
    with pytest.raises(Fault) as caught:
        Client("http://127.0.0.1:1").get("/status", dict[str, Any])
    assert caught.value.code == Exit.NOT_RUNNING
