"""The page at `/`: to whom it goes, what it may do, and what it says when it was not built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from whispurrnet.gateway import web
from whispurrnet.node.settings import Settings
from whispurrnet.testing.virtual_loop import run
from whispurrnet.wire.ticket import Ticket

AWAY = ("192.0.2.9", 50_000)
PATHS = ("/", "/web/page.js", "/web/node.json")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a page that was built."""
    for name in ("index.html", *web.ASSETS):
        (tmp_path / name).write_text(f"this is {name}")
    (tmp_path / "secret.txt").write_text("no part of the page")
    monkeypatch.setattr(web, "folder", lambda: tmp_path)
    return tmp_path


def get(calling: Any, path: str, web: str = "local", **how: Any) -> Any:
    headers = how.pop("headers", {})
    method = how.pop("method", "GET")
    settings = Settings().replace(gateway={"web": web})

    async def call() -> Any:
        async with calling(settings, **how) as http:
            return await http.request(method, path, headers=headers)

    return run(call())


def test_the_page_may_run_its_own_script_and_call_nodes(calling: Any, page: Path) -> None:
    answer = get(calling, "/")
    assert answer.status_code == 200 and answer.text == "this is index.html"
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "connect-src 'self' ws: wss:;" in policy
    assert "unsafe" not in policy and "default-src 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_it_is_made_of_has_its_types_and_nothing_else_is_served(
    calling: Any, page: Path
) -> None:
    for name, media_type in web.ASSETS.items():
        answer = get(calling, f"/web/{name}")
        assert answer.headers["content-type"].startswith(media_type)
        assert answer.text == f"this is {name}"
    for path in ("/web/secret.txt", "/web/index.html", "/web/..%2fsecret.txt", "/web/"):
        assert get(calling, path).status_code == 404


def test_it_is_told_where_the_node_is(calling: Any, page: Path) -> None:
    told = get(calling, "/web/node.json").json()
    assert set(told) == {"ticket", "relay"} and told["relay"] is False
    assert Ticket.parse(told["ticket"]).psk is None


@pytest.mark.parametrize("path", PATHS)
def test_others_get_it_only_where_it_is_open(calling: Any, page: Path, path: str) -> None:
    away = {"client": AWAY, "base_url": "http://node.test"}
    assert get(calling, path, **away).status_code == 403
    assert get(calling, path, "open", **away).status_code == 200
    assert get(calling, path, "off").status_code == 404
    assert get(calling, path, "off", **away).status_code == 403


def test_an_open_page_opens_nothing_else(calling: Any, page: Path) -> None:
    away = {"client": AWAY, "base_url": "http://node.test"}
    for path in ("/api/whispurrnet/status", "/docs", "/openapi.json", "/web", "/webs/x"):
        assert get(calling, path, "open", **away).status_code == 403
    assert get(calling, "/", "open", method="POST", **away).status_code == 403
    foreign = {"origin": "https://evil.example"}
    assert get(calling, "/web/node.json", "open", headers=foreign, **away).status_code == 403


def test_a_page_that_was_not_built_says_how(
    calling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "folder", lambda: tmp_path / "none")
    answer = get(calling, "/")
    assert answer.status_code == 200 and "make web" in answer.text
    assert get(calling, "/web/page.js").status_code == 404
