"""The commands of the how-tos on relays, paths, WebRTC and the browser, run as they stand there.

The public address of the pages, 203.0.113.7, is one in the laboratory too: of the public machine,
or of a router that forwards its port 9000 to a relay at home. The JavaScript of the browser's page
is run by `test_browser.py`.
"""

from __future__ import annotations

import asyncio
import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path

import pytest
from tests.interop.doc_lab import DOCS, Book, Person, blocks, whole
from tests.interop.lab import ROOT, sh
from tests.interop.nat_lab import HOME, NatLab
from tools.make_web import PAGE as BUILT
from tools.make_web import find

from whispurrnet.node.settings import Settings
from whispurrnet.wire.ticket import Ticket

pytestmark = pytest.mark.slow

NAMES = ("relay", "paths", "webrtc", "browser")
PAGES = [DOCS / f"{name}.md" for name in NAMES]
RELAY, PATHS, _, BROWSER_PAGE = PAGES
PUBLIC = "203.0.113.7"
PEER = "brave-otter-07"
UNIT = ROOT / "packaging" / "whispurr-relay.service"
SET_UP = "it installs, on the machine that reads the page; what it installs is run here from source"
KNOWN = {
    "pip install 'whispurrnet[webrtc]'": "test_the_extra_brings_what_the_page_says looks at it",
    "python3 -m venv /opt/whispurr": SET_UP,
    "/opt/whispurr/bin/pip install .": SET_UP,
    "journalctl -u whispurr-relay": "no systemd runs here",
}
"""What is not run, and why."""


JOIN = f'whispurr up --set "nat.relays=/ip4/{PUBLIC}/tcp/9000"'
FORWARDED = f"whispurr relay --public-address /ip4/{PUBLIC}/tcp/9000"
RUN: dict[str, tuple[str, ...]] = {
    "through": (
        "whispurr relay --listen /ip4/0.0.0.0/tcp/9000 --listen /ip4/0.0.0.0/tcp/8080/ws",
        "whispurr status --output json",
        JOIN,
        "whispurr ticket",
        "whispurr join TICKET",
        "whispurr peers",
        "whispurr status",
        "whispurr why PEER",
        f"whispurr why {PEER}",
    ),
    "forwarded": (FORWARDED,),
    "unit": (
        "install -m 644 packaging/whispurr-relay.service /etc/systemd/system/",
        "systemctl enable --now whispurr-relay",
    ),
    "loopback": (
        "whispurr nat PEER",
        "ip link add name d0 type bridge",
        "ip addr add 10.99.0.1/24 dev d0",
        "ip link set d0 up",
    ),
    "web": ("make web", "npm pack", "whispurr up"),
}
"""Which test runs what: they may be played by several processes."""


def share(part: str) -> AbstractContextManager[Book]:
    """The commands of one test, each of which it must run."""
    return Book(*PAGES).share(*RUN[part])


def test_every_command_is_run_or_has_a_reason() -> None:
    book = Book(*PAGES, known=KNOWN)
    for commands in RUN.values():
        for command in commands:
            book.take(command)
    book.close()


def at_home(lab: NatLab, tmp_path: Path, *places: str) -> list[Person]:
    return [Person(lab.inside(place), tmp_path / place) for place in places]


@pytest.mark.netns
def test_a_relay_and_who_is_reached_through_it(tmp_path: Path) -> None:
    async def test(exits: AsyncExitStack) -> None:
        lab = await exits.enter_async_context(NatLab("sym", "sym"))
        public = lab.name("pub")  # it has one address only, as most machines
        sh("ip", "-n", public, "addr", "flush", "dev", "net")
        sh("ip", "-n", public, "addr", "add", f"{PUBLIC}/32", "dev", "net")
        sh("ip", "-n", public, "route", "add", "198.51.100.0/24", "dev", "net")
        for router in ("na", "nb"):
            sh("ip", "-n", lab.name(router), "route", "add", f"{PUBLIC}/32", "dev", "wan")
        relay, ada, bob = at_home(lab, tmp_path, "pub", "a", "b")
        said = await relay.begin(exits, book.take(RUN["through"][0]))
        lines = [(await asyncio.wait_for(said.readuntil(b"nat.relays="), 20)).decode()]
        lines.append((await said.readline()).decode().strip().strip('"'))
        assert f"at:       /ip4/{PUBLIC}/tcp/9000" in lines[0]
        assert f"at:       /ip4/{PUBLIC}/tcp/8080/ws" in lines[0]
        assert f"ticket:   {lines[1]}\n" in lines[0], "the line that others need is ready to copy"
        ups = ((ada, book.take(JOIN)), (bob, "whispurr up"))
        await asyncio.gather(*(person.start(exits, line) for person, line in ups))
        ticket = await ada.reached(book.take("whispurr ticket"))
        await bob.run(book.take("whispurr join TICKET", TICKET=ticket))
        assert "relay (via " in await bob.run(book.take("whispurr peers"))
        carried = json.loads(await relay.run(book.take("whispurr status --output json")))["relay"]
        assert (carried["places"], carried["circuits"]) == (1, 1)
        status = json.loads(await bob.run(book.take("whispurr status") + " --output json"))
        (name,) = (p["name"] for p in status["peers"] if p["path"].startswith("relay"))
        line = book.take(f"whispurr why {PEER}", **{PEER: name})
        assert line == book.take("whispurr why PEER", PEER=name)
        told = await bob.soon(line, lambda said: "tried" in said and "Cure: " in said)
        assert told[2:].startswith(f"{name} is connected by relay (via ")

    with share("through") as book:
        asyncio.run(whole(test))


@pytest.mark.netns
def test_a_relay_behind_a_router_and_as_a_service(tmp_path: Path) -> None:
    async def test(exits: AsyncExitStack) -> None:
        lab = await exits.enter_async_context(NatLab("port", "port"))
        forward(lab)
        public, home, service = at_home(lab, tmp_path, "pub", "a", "b")
        told = await home.start(exits, book.take(FORWARDED))
        assert told["addresses"][0] == f"/ip4/{PUBLIC}/tcp/9000"
        unit = unit_of(UNIT)
        program, *words = shlex.split(unit["Service"]["ExecStart"])
        assert program == "/opt/whispurr/bin/whispurr"
        service.env |= dict(one.split("=") for one in unit["Service"]["Environment"].split())
        runtime = Path(service.env["XDG_RUNTIME_DIR"])
        assert runtime == Path("/run") / unit["Service"]["RuntimeDirectory"]
        service.env["XDG_RUNTIME_DIR"] = str(tmp_path / "service")
        assert (await service.start(exits, shlex.join(["whispurr", *words])))["type"] == "relay"
        await public.start(exits, JOIN)
        assert await public.reached("whispurr ticket")

    with share("forwarded") as book:
        asyncio.run(whole(test))


def forward(lab: NatLab) -> None:
    """The router of A has the public address, and forwards its port 9000 to A's."""
    router = lab.name("na")
    sh("ip", "-n", lab.name("pub"), "route", "add", f"{PUBLIC}/32", "dev", "net")
    sh("ip", "-n", router, "addr", "add", f"{PUBLIC}/32", "dev", "wan")
    for rule in (
        f"add rule ip lab arriving iifname wan tcp dport 9000 dnat to {HOME}:9000",
        "insert rule ip lab passing iifname wan ct status dnat accept",
    ):
        sh(*lab.inside("na"), "nft", rule)


@pytest.mark.netns
def test_a_machine_with_only_loopback(tmp_path: Path) -> None:
    pytest.importorskip("aiortc")

    async def test(exits: AsyncExitStack) -> None:
        lab = await exits.enter_async_context(NatLab("port", "port"))
        sh("ip", "-n", lab.name("a"), "link", "delete", "eth0")
        inside = lab.inside("a")
        relay, ada, bob = (Person(inside, tmp_path / name) for name in ("relay", "ada", "bob"))
        stays = "--no-lan --set gossip.enabled=false --set nat.upgrade=false --set nat.webrtc=on"
        up = await relay.start(exits, "whispurr relay --listen /ip4/127.0.0.1/tcp/9000")
        line = f"whispurr up {stays} --set nat.relays={up['ticket']}"
        for person in (ada, bob):
            await person.start(exits, line)
        told = Ticket.parse(await ada.reached("whispurr ticket"))
        through = tuple(one for one in told.addresses if "/relay/" in one)
        ticket = Ticket(static_key=told.static_key, addresses=through, expires_s=told.expires_s)
        await bob.run(f"whispurr join {ticket.text}")
        peers = json.loads(await bob.run("whispurr status --output json"))["peers"]
        (name,) = (p["name"] for p in peers if p["path"].startswith("relay"))
        line = book.take("whispurr nat PEER", PEER=name) + " --method stun"
        assert "no network address besides loopback" in await bob.run(line, 4)
        for command in ("link add name d0 type bridge", "addr add 10.99.0.1/24 dev d0"):
            await bob.run(book.take(f"ip {command}"))
        await bob.run(book.take("ip link set d0 up"))
        assert "webrtc" in await bob.run(line)

    with share("loopback") as book:
        asyncio.run(whole(test))


def test_the_unit_is_one_of_systemd(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not here")
    folder = tmp_path / "etc" / "systemd" / "system"
    folder.mkdir(parents=True)
    with share("unit") as book:
        place, enable = (shlex.split(book.take(command)) for command in RUN["unit"])
    assert str(ROOT / place[3]) == str(UNIT) and place[4] == "/etc/systemd/system/"
    sh(*place[:3], str(UNIT), str(folder))
    copy = folder / UNIT.name
    text = copy.read_text().replace("/opt/whispurr/bin/whispurr", sys.executable)
    copy.write_text(text)
    sh("systemd-analyze", "verify", str(copy))
    sh("systemctl", f"--root={tmp_path}", *(word for word in enable[1:] if word != "--now"))
    assert (folder / "multi-user.target.wants" / UNIT.name).is_symlink()
    copy.write_text(text.replace(sys.executable, "whispurr-that-is-not-here"))
    with pytest.raises(AssertionError):
        sh("systemd-analyze", "verify", str(copy))


def unit_of(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(path)
    return unit


def test_the_page_for_browsers(tmp_path: Path) -> None:
    npm = find()
    if npm is None:
        pytest.skip("there is no npm")

    async def test(exits: AsyncExitStack) -> None:
        await asyncio.to_thread(make, book.take("make web"))
        assert (BUILT / "whispurrnet.js").is_file()
        program, *words = book.take("npm pack").split()
        assert program == "npm"
        await asyncio.to_thread(npm.run, *words, "--silent", "--pack-destination", str(tmp_path))
        assert packed(tmp_path) >= {"src/index.js", "src/index.d.ts", "LICENSE", "README.md"}
        person = Person((), tmp_path / "home")
        quiet = "--no-lan --listen /ip4/127.0.0.1/tcp/0 --port 0"
        said = await person.start(exits, f"{book.take('whispurr up')} {quiet}")
        url = shown[0].replace(":8765", f":{said['port']}")
        (script,) = re.findall(r'<script .*src="/?(.*?)"', await asyncio.to_thread(fetch, url))
        assert await asyncio.to_thread(fetch, url + script)

    shown = re.findall(r"<(http://localhost:8765/)>", BROWSER_PAGE.read_text())
    with share("web") as book:
        asyncio.run(whole(test))


def packed(folder: Path) -> set[str]:
    (path,) = folder.glob("whispurrnet-*.tgz")
    with tarfile.open(path) as archive:
        return {name.removeprefix("package/") for name in archive.getnames()}


def make(command: str) -> None:
    """With what is installed: make would install when a lock file is new."""
    venv = sys.prefix
    words = (*command.split(), f"VENV={venv}", "-o", f"{venv}/.installed", "-C", str(ROOT))
    sh(*words)


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_its_settings_are_settings(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(page, "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        Settings.load(path)


def test_the_program_of_the_page_on_relays_runs() -> None:
    """And in it, at its end, what the page on paths says of `why`."""
    assert [page for page in PAGES if blocks(page, "python")] == [RELAY]
    (program,) = blocks(RELAY, "python")
    (load,) = re.findall(r"`(from whispurrnet[^`]*)`", PATHS.read_text())
    (why,) = re.findall(r"`(why\(node, [^`]*)`", PATHS.read_text())
    why = why.replace("node", "bob").replace(f'"{PEER}"', "peer.name")
    shown = 'print("reached by", peer.path)'
    program = f"{load}\n{program.replace(shown, f'{shown}; print({why})')}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    path, attempts = done.stdout.splitlines()
    assert path.startswith("reached by relay (via ") and attempts.startswith("(Tried(")


def test_the_extra_brings_what_the_page_says() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = extras["optional-dependencies"]["webrtc"]
    brought = {one.partition(">")[0]: one.partition("; ")[2] for one in wanted}
    assert brought["aiolibdatachannel"].startswith("python_version >= '3.12'")
    assert brought["aiortc"] == "python_version < '3.12' or sys_platform == 'win32'"


def test_a_command_that_nobody_runs_is_an_error(tmp_path: Path) -> None:
    """Controls: in a block, in a line, set in, and one that was taken but is on no page."""
    page = tmp_path / "page.md"
    for text in ("```sh\nwhispurr up\nmake tea\n```\n", "say `make tea` too", "    $ make tea\n"):
        page.write_text(f"`whispurr up`, or:\n{text}\n")
        made = Book(page)
        made.take("whispurr up")
        with pytest.raises(AssertionError, match="nobody runs: .*make tea"):
            made.close()
        made.take("make tea")
        made.close()
        with pytest.raises(AssertionError, match="no page has"):
            made.take("make coffee")
