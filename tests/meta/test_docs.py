"""The documentation says what is so: pages, settings, programs, and what stays on the disk."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from whispurrnet.gateway.api import PREFIX, Api
from whispurrnet.node.settings import ENV_RESERVED, KEYS, SEED_NAMES, Settings, env_name

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
WRITTEN = [page for page in PAGES if page.name != "performance.md"]  # measured, not written
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def shown(language: str) -> list[tuple[str, str]]:
    """Each block in a language, and the page it stands on."""
    return [
        (str(page.relative_to(ROOT)), block)
        for page in PAGES
        for name, block in FENCE.findall(page.read_text())
        if name == language
    ]


def links(page: Path) -> set[Path]:
    return {(page.parent / target).resolve() for target in LINK.findall(page.read_text())}


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = {DOCS / "decisions"}, [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [target for target in links(page) if target.suffix == ".md"]
    lost = {page for page in PAGES if page not in reached and page.parent not in reached}
    assert not lost


def test_every_protocol_page_is_in_its_index() -> None:
    folder = DOCS / "protocol"
    assert links(folder / "README.md") >= set(folder.glob("*.md")) - {folder / "README.md"}


# What is not promised

CLAIMS = re.compile(
    r"zero[- ]metadata|undetectable|untraceable|anonymous|military[- ]grade|unbreakable|"
    r"quantum[- ]proof|100 ?%|perfectly|blazing|ready for production",
    re.IGNORECASE,
)
QUOTED = re.compile(r"\"[^\"]*\"|`[^`]*`")


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_no_page_claims_what_cannot_be_kept(page: Path) -> None:
    """Between quotation marks such words may stand: there they are disclaimed."""
    assert not CLAIMS.findall(QUOTED.sub("", page.read_text()))


def test_the_readme_keeps_figures_of_speed_to_their_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert not re.findall(r"\d[\d,.]* ?(?:messages/s|MB/s|handshakes|requests/s|µs|us\b)", text)
    assert "docs/performance.md" in text


def test_every_part_has_its_security_considerations() -> None:
    text = (DOCS / "threat-model.md").read_text().partition("## Part by part")[2]
    table = text.partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    packages = {init.parent.name for init in (ROOT / "src" / "whispurrnet").glob("*/__init__.py")}
    assert named == packages
    for place in re.findall(r"`(tests/[^`]+)`", table):
        assert (ROOT / place).exists(), place


# What can be typed


@pytest.mark.parametrize(("page", "block"), shown("toml"))
def test_shown_settings_are_settings(page: str, block: str, tmp_path: Path) -> None:
    path = tmp_path / "whispurr.toml"
    path.write_text(block)
    Settings.load(path)


@pytest.mark.parametrize(("page", "block"), shown("python"))
def test_shown_python_is_python(page: str, block: str) -> None:
    compile(block, page, "exec")


def test_shown_keys_and_variables_exist() -> None:
    sections = {key.partition(".")[0] for key in KEYS if "." in key}
    variables = {env_name(key) for key in KEYS}
    reserved = ENV_RESERVED
    for page in PAGES:
        text = page.read_text()
        if page.name == "features.md":
            continue  # it names modules, also those to come
        for key in re.findall(r"`([a-z_]+\.[a-z0-9_]+)(?: = [^`]*)?`", text):
            if key.partition(".")[0] in sections:
                section, _, name = key.partition(".")
                module = ROOT / "src" / "whispurrnet" / section / f"{name}.py"
                assert key in KEYS or module.exists(), f"{page.name}: {key}"
        for variable in re.findall(r"WHISPURRNET_[A-Z_]+[A-Z]", text):
            assert variable in variables | reserved, f"{page.name}: {variable}"


def test_the_seeds_spellings_that_are_shown_are_accepted() -> None:
    text = (DOCS / "how-to" / "configure.md").read_text()
    assert all(f"`{name}`" in text for name in SEED_NAMES)


def test_shown_routes_are_served() -> None:
    """Every `curl` line, and every call in the table of the how-to."""
    routes = {
        (route.method, re.sub(r"\{\w+\}", "1", route.path))
        for route in Api.routes(Api.__new__(Api))
    }
    called = 0
    for page in PAGES:
        for line in page.read_text().replace("\\\n", " ").splitlines():
            if line.startswith("curl ") and (match := re.search(rf"{PREFIX}/\S+", line)):
                assert ("POST" if "-X POST" in line else "GET", match[0]) in routes
                called += 1
    table = (DOCS / "how-to" / "rest.md").read_text()
    for method, path in re.findall(r"`(GET|POST|DELETE) ([a-z/0-9]+)", table):
        assert (method, f"{PREFIX}/{path}") in routes
        called += 1
    assert called >= 9


# What stays on the disk


def test_up_leaves_nothing_on_disk(tmp_path: Path) -> None:
    """While it runs, one file of its port and process number; afterwards, nothing."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WHISPURRNET_")}
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR"):
        place = tmp_path / name.lower()
        place.mkdir(mode=0o700)
        environment[name] = str(place)
    command = [sys.executable, "-B", "-m", "whispurrnet", "up", "--output", "json", "--port", "0"]
    listen = ["--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/tcp/0/tls"]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--no-lan", *listen],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
    ) as node:
        try:
            assert node.stdout is not None
            up = json.loads(node.stdout.readline())
            files = [path for path in tmp_path.rglob("*") if path.is_file()]
            assert [path.name for path in files] == [f"{up['port']}.json"]
            assert json.loads(files[0].read_text()) == {"port": up["port"], "pid": node.pid}
            node.send_signal(signal.SIGTERM)
            assert node.wait(20) == 0
        finally:
            node.kill()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
