from __future__ import annotations

from typing import Any

import pytest

from whispurrnet.gateway.guard import is_loopback
from whispurrnet.node.settings import Settings
from whispurrnet.testing.virtual_loop import run

AWAY = ("192.0.2.9", 50_000)
STATUS = "/api/whispurrnet/status"
WITH_TOKEN = Settings().replace(gateway={"token": "night-bird"})
BEARER = {"authorization": "Bearer night-bird"}


def get(calling: Any, path: str = STATUS, **how: Any) -> Any:
    headers = how.pop("headers", {})
    method = how.pop("method", "GET")
    body = how.pop("content", None)

    async def call() -> Any:
        async with calling(how.pop("settings", None), **how) as http:
            return await http.request(method, path, headers=headers, content=body)

    return run(call())


def refused(answer: Any, status: int) -> bool:
    body = answer.json()
    return answer.status_code == status and set(body) == {"error", "cause", "cure", "kind"}


@pytest.mark.parametrize(
    "base", ["http://localhost:8765", "http://127.0.0.1:8765", "http://[::1]:9", "http://LOCALHOST"]
)
def test_this_machine_may_call(calling: Any, base: str) -> None:
    assert get(calling, base_url=base).status_code == 200


@pytest.mark.parametrize("path", [STATUS, "/openapi.json", "/docs", "/nothing", "/ws"])
@pytest.mark.parametrize("client", [AWAY, None, ("testclient", 1)])
def test_others_may_not(calling: Any, path: str, client: Any) -> None:
    assert refused(get(calling, path, client=client), 403)


def test_a_token_lets_others_in(calling: Any) -> None:
    how: dict[str, Any] = {"settings": WITH_TOKEN, "client": AWAY, "base_url": "http://node.test"}
    assert get(calling, headers=BEARER, **how).status_code == 200
    for wrong in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic night-bird"}):
        answer = get(calling, headers=wrong, **how)
        assert refused(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"


def test_an_empty_token_is_none(calling: Any) -> None:
    assert refused(get(calling, client=AWAY, headers={"authorization": "Bearer "}), 403)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "",
        "localhost:x",
        "[::1",
        "::1",
    ],
)
def test_a_rebinding_name_is_refused(calling: Any, host: str) -> None:
    assert refused(get(calling, headers={"host": host}), 403)


def test_two_hosts_are_refused(calling: Any) -> None:
    headers = [("host", "localhost"), ("host", "evil.example")]
    assert refused(get(calling, headers=headers), 403)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:3000", "https://localhost:8765", ""],
)
def test_pages_of_another_origin_are_refused(calling: Any, origin: str) -> None:
    assert refused(get(calling, headers={"origin": origin}), 403)
    token = get(calling, settings=WITH_TOKEN, headers={"origin": origin, **BEARER})
    assert refused(token, 403)


def test_own_and_allowed_origins_may_call(calling: Any) -> None:
    assert get(calling, headers={"origin": "http://localhost:8765"}).status_code == 200
    settings = Settings().replace(gateway={"allowed_origins": ("https://panel.example",)})
    answer = get(calling, settings=settings, headers={"origin": "https://panel.example"})
    assert answer.headers["access-control-allow-origin"] == "https://panel.example"
    wish = {"origin": "https://panel.example", "access-control-request-method": "POST"}
    answer = get(calling, settings=settings, method="OPTIONS", headers=wish)
    assert answer.status_code == 204
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in get(calling).headers


def test_cross_site_without_origin_is_refused(calling: Any) -> None:
    for site in ("cross-site", "same-site"):
        assert refused(get(calling, headers={"sec-fetch-site": site}), 403)
    assert get(calling, headers={"sec-fetch-site": "none"}).status_code == 200


def test_large_bodies_are_refused(calling: Any) -> None:
    settings = Settings().replace(gateway={"body_bytes_max": 100})
    how: dict[str, Any] = {"settings": settings, "method": "POST"}
    json = {"content-type": "application/json"}
    path = "/api/whispurrnet/resonance"
    assert refused(get(calling, path, headers=json, content=b"x" * 101, **how), 413)

    async def parts() -> Any:
        yield b"x" * 60
        yield b"x" * 60

    how = {"settings": settings, "method": "POST"}
    assert refused(get(calling, path, headers=json, content=parts(), **how), 413)


def test_answers_carry_the_headers_that_protect(calling: Any) -> None:
    headers = get(calling).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    policy = get(calling, "/docs").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("192.168.0.1", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_loopback(host: str, local: bool) -> None:
    assert is_loopback((host, 1)) is local
