"""A real browser as a node: headless Chromium against nodes, by WebSocket, relay and WebRTC."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec.msgpack import decode, encode
from tests.interop.rtc_lab import need_interface
from tests.interop.served import Served

from whispurrnet.gateway.web import folder
from whispurrnet.lan.multicast import local_addresses
from whispurrnet.transport.link import Link
from whispurrnet.transport.splice import _Half
from whispurrnet.wire.ticket import Ticket

sync_api = pytest.importorskip("playwright.sync_api")

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or ""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SHOW_ADDRESSES = "--disable-features=WebRtcHideLocalIpsWithMdns"
QUIET: dict[str, Any] = {"lan": {"enabled": False}, "port": 0, "host": "127.0.0.1"}
ELSEWHERE = "http://localhost:8080"
LIBRARY = "const wn = await import('/web/whispurrnet.js');"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on this machine"),
]

Answer = TypeVar("Answer")


class Hall(Served):
    """A node with its gateway, in a thread of its own, and what is done there."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**QUIET, "listen": ("/ip4/127.0.0.1/tcp/0",), **settings})

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://localhost:{self.port}/"

    def do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run something in the loop of the node."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def call(self, work: Callable[[], Answer]) -> Answer:
        async def called() -> Answer:
            return work()

        return self.do(called())

    def peer(self, name: str) -> Any:
        """The peer with this id, once it is there."""
        return self.soon(lambda: next((p for p in self.node.peers if p.id == name), None))

    def soon(self, look: Callable[[], Answer]) -> Answer:
        """What `look` gives, once it gives something."""

        async def looked() -> Answer:
            async with asyncio.timeout(15):
                while not (found := look()):  # noqa: ASYNC110 - what it looks at is anything
                    await asyncio.sleep(0.02)
            return found

        return self.do(looked())


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The page, made of what stands in `browser/` now."""
    subprocess.run(
        [sys.executable, ROOT / "tools" / "make_web.py", "--if-possible"], check=True, timeout=110
    )
    if not folder().joinpath("whispurrnet.js").is_file():
        pytest.skip("the page was not built: there is no npm")


@pytest.fixture(scope="module")
def hall() -> Iterator[Hall]:
    """A node that is a relay and serves the page."""
    others = {"allowed_origins": (ELSEWHERE,)}
    with Hall(nat={"relay": True, "webrtc": "on"}, gateway=others) as served:
        yield served


@pytest.fixture(scope="module")
def playing() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playing: Any) -> Iterator[Any]:
    browser = playing.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def tab(chromium: Any, hall: Hall) -> Iterator[Callable[[], Any]]:
    """Opens tabs that share nothing, each with the page, connected to the node that served it."""
    contexts, faults = [], []

    def opened(*, connected: bool = True) -> Any:
        contexts.append(chromium.new_context())
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda one: one.type == "error" and faults.append(one.text))
        page.goto(hall.url)
        if connected:
            until(page, "window.node?.peers.length && node.neighbours")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


def until(page: Any, expression: str) -> None:
    """Wait for an expression to be true; the page's policy lets no string become a program."""
    said = page.evaluate(
        f"""async () => {{
            for (let n = 0; n < 750; n += 1) {{
                if ({expression}) return true;
                await new Promise((resolve) => setTimeout(resolve, 20));
            }}
            return document.getElementById('state')?.textContent;
        }}"""
    )
    assert said is True, f"{expression}: {said}"


def name_of(page: Any) -> str:
    return str(page.evaluate("node.id"))


def test_the_page_whispers_and_is_whispered_to(hall: Hall, tab: Callable[[], Any]) -> None:
    page = tab()
    peer = hall.peer(name_of(page))
    assert "Connected to" in page.text_content("#state")
    row = page.text_content("#peers tr")
    assert hall.node.identity.id[:8] in row and "ws" in row and "X25519 + ML-KEM-768" in row

    async def heard() -> str:
        async for message in hall.node.messages():
            if message.kind == "WHISPER":
                return message.body.decode()
        raise AssertionError

    hearing = asyncio.run_coroutine_threadsafe(heard(), hall.loop)
    page.fill("#words", "from the <b>tab</b>")
    page.click("#whisper button")
    page.wait_for_selector("#whispers >> text=✓ received")
    assert hearing.result(10) == "from the <b>tab</b>"

    async def whisper() -> None:
        await hall.node.whisper(peer, b"to the <img src=x> tab").received()

    hall.do(whisper())
    page.wait_for_selector("#whispers >> text=to the <img src=x> tab")
    assert page.query_selector("#whispers img") is None


def test_resonance_both_ways(hall: Hall, tab: Callable[[], Any]) -> None:
    page = tab()
    key = bytes(range(32))

    async def join() -> Any:
        return hall.node.join("tea/green", key=key)

    topic = hall.do(join())
    page.fill("#topic", "tea/green")
    page.fill("#key", key.hex())
    page.click("#join button")
    page.wait_for_selector("#resonances >> text=listening to tea/green")
    page.fill("#message", "the kettle is on")
    page.click("#resonate button")
    assert hall.do(anext(topic)).body == b"the kettle is on"
    hall.do(topic.send(b"coming"))
    page.wait_for_selector("#resonances >> text=coming")
    hall.do(hall.node.emergency(b"fire"))
    page.wait_for_selector("#resonances >> text=fire")
    page.evaluate("node.broadcast('put out', {urgent: true})")
    hall.call(topic.close)


def test_who_is_not_who_it_should_be_is_refused(hall: Hall, tab: Callable[[], Any]) -> None:
    page = tab()
    told = Ticket.parse(hall.node.ticket.text)
    wrong = Ticket(static_key=bytes(31) + b"\x09", addresses=told.addresses)
    before = len(hall.node.peers)
    said = page.evaluate(
        "ticket => node.connect(ticket, {timeoutS: 1, keep: false})"
        ".then(() => 'connected', (error) => error.name)",
        wrong.text,
    )
    assert said in {"AuthError", "IdentityChanged", "NetworkError"}
    assert len(hall.node.peers) == before
    assert page.evaluate("node.peers.length") == 1


def test_a_tab_that_closes_is_gone(hall: Hall, tab: Callable[[], Any]) -> None:
    page = tab()
    name = name_of(page)
    peer = hall.peer(name)
    page.close()
    hall.soon(lambda: not peer.connected)


def test_the_page_from_another_machine_over_plain_http(chromium: Any) -> None:
    """No secure context: the page says so, and works all the same."""
    need_interface()
    here = next(str(one) for one in local_addresses() if one.version == 4 and not one.is_loopback)
    with Hall(host="0.0.0.0", gateway={"web": "open"}) as served:
        page = chromium.new_page()
        page.goto(served.url.replace("localhost", here))
        until(page, "window.node?.peers.length && node.neighbours")
        assert page.evaluate("isSecureContext") is False
        assert "could have changed" in page.text_content("#context")
        page.evaluate("node.whisper(node.peers[0], 'from afar').received()")
        refused = page.evaluate("fetch('/api/whispurrnet/status').then((one) => one.status)")
        assert refused == 403, "the page is open, the API is not"
        page.close()


SECRET = "what nobody between may read"


@pytest.fixture
def tapped(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that passes through the relay, as it sees it."""
    passed: list[bytes] = []
    copy = _Half.link_data

    def tap(half: _Half, link: Link, data: bytes) -> None:
        passed.append(bytes(data))
        copy(half, link, data)

    monkeypatch.setattr(_Half, "link_data", tap)
    return passed


def test_two_tabs_talk_through_the_relay_which_cannot_read_it(
    hall: Hall, tab: Callable[[], Any], tapped: list[bytes]
) -> None:
    one, other = tab(), tab()
    ticket = one.evaluate(
        f"""async () => {{
            {LIBRARY}
            const {{ ticket }} = await wn.pageNode();
            window.relayed = await wn.open({{ endpoint: {{ relays: [ticket], webrtc: false }} }});
            window.heard = [];
            relayed.on('whisper', (message) => heard.push(message.text));
            while (!relayed.ticket) await new Promise((resolve) => setTimeout(resolve, 20));
            return relayed.ticket;
        }}"""
    )
    path, took_ms = other.evaluate(
        f"""async ([ticket, text]) => {{
            {LIBRARY}
            const started = performance.now();
            window.caller = await wn.open({{ bootstrap: [ticket], endpoint: {{ webrtc: false }} }});
            const peer = caller.peers.find((one) => one.path === 'relay');
            for (let n = 0; n < 20; n += 1) await caller.whisper(peer, text + n).received();
            window.callee = peer;
            return [peer.path, performance.now() - started];
        }}""",
        [ticket, SECRET],
    )
    assert path == "relay"
    assert one.evaluate("heard") == [f"{SECRET}{n}" for n in range(20)], "in order, each once"
    seen = b"".join(tapped)
    assert len(seen) > 20 * len(SECRET), f"{len(seen)} bytes in {took_ms} ms"
    assert SECRET.encode() not in seen
    one.evaluate("relayed.close()")
    gone = other.evaluate(
        "async () => caller.whisper(callee, 'too late', { ttlS: 1 }).received()"
        ".then(() => 'received', (error) => error.name)"
    )
    assert gone == "NetworkError", "what nobody took is not acknowledged"


def test_two_tabs_of_the_page_find_a_direct_path(hall: Hall, tab: Callable[[], Any]) -> None:
    need_interface()
    one, other = tab(), tab()
    until(one, "node.ticket")
    other.fill("#ticket", one.evaluate("node.ticket"))
    other.click("#connect button")
    until(other, "node.peers.length == 2")
    peer = f"node.peer('{name_of(one)}')"
    other.evaluate(f"{peer}.upgrade()")
    until(other, f"{peer}.path == 'webrtc'")
    other.select_option("#to", name_of(one))
    other.fill("#words", "between us")
    other.click("#whisper button")
    other.wait_for_selector("#whispers >> text=✓ received")
    one.wait_for_selector("#whispers >> text=between us")


def test_a_private_topic_passes_the_node_unread(hall: Hall, tab: Callable[[], Any]) -> None:
    one, other = tab(), tab()
    key = "ab" * 32
    one.evaluate(f"window.topic = node.join('den/north', {{ key: '{key}' }}); null")

    async def join() -> Any:
        return hall.node.join("den/north")

    public = hall.do(join())
    other.evaluate(f"node.resonate('den/north', '{SECRET}', {{ key: '{key}', signed: true }})")
    told = one.evaluate("topic.next().then(({ value }) => [value.text, value.from])")
    assert told == [SECRET, name_of(other)]
    other.evaluate("node.resonate('den/north', 'in the open')")
    assert hall.do(anext(public)).body == b"in the open", "what was private is not even there"
    hall.call(public.close)


ADDRESSES = """async () => {
    const connection = new RTCPeerConnection();
    connection.createDataChannel('x');
    const found = [];
    connection.onicecandidate = ({ candidate }) => candidate && found.push(candidate.address);
    await connection.setLocalDescription();
    while (connection.iceGatheringState !== 'complete') {
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    connection.close();
    return found;
}"""


@pytest.mark.parametrize("hidden", [True, False], ids=["mdns", "addresses"])
def test_webrtc_to_a_node(hall: Hall, playing: Any, hidden: bool) -> None:
    """It moves over without losing or doubling what is said meanwhile."""
    need_interface()
    flags = FLAGS if hidden else (*FLAGS, SHOW_ADDRESSES)
    browser = playing.chromium.launch(executable_path=CHROMIUM, headless=True, args=flags)
    page = browser.new_page()
    page.goto(hall.url)
    until(page, "window.node?.peers.length && node.neighbours")
    addresses = page.evaluate(ADDRESSES)
    assert addresses and all(one.endswith(".local") == hidden for one in addresses)
    peer = hall.peer(name_of(page))

    async def collect() -> list[str]:
        heard: list[str] = []
        async for message in hall.node.messages():
            heard.append(message.body.decode())
            if heard[-1] == "the last":
                return heard
        raise AssertionError

    collecting = asyncio.run_coroutine_threadsafe(collect(), hall.loop)
    path, took_ms = page.evaluate(
        """async () => {
            const [peer] = node.peers;
            const sent = [];
            const started = performance.now();
            let moved = false;
            const moving = peer.upgrade().then((path) => { moved = true; return path; });
            while (!moved) {
                sent.push(node.whisper(peer, `${sent.length}`).received());
                await new Promise((resolve) => setTimeout(resolve, 5));
            }
            const took = performance.now() - started;
            sent.push(node.whisper(peer, 'the last').received());
            await Promise.all(sent);
            return [await moving, took];
        }"""
    )
    heard = collecting.result(15)
    assert heard[:-1] == [str(n) for n in range(len(heard) - 1)]
    assert path == "webrtc" and took_ms < 5000
    assert hall.call(lambda: peer.path) == "direct webrtc"

    async def whisper() -> None:
        await hall.node.whisper(peer, b"back through the channel").received()

    hall.do(whisper())
    page.wait_for_selector("#whispers >> text=back through the channel")
    browser.close()


# What the documentation shows

SNIPPETS = re.findall(
    r"^```js\n(.*?)^```",
    (ROOT / "docs" / "how-to" / "browser.md").read_text(),
    re.MULTILINE | re.DOTALL,
)
SEED = ROOT.parent / "shared" / "seeds" / "003-synaptic-mesh-p2p.txt"


def program(*snippets: str) -> str:
    """What runs these, one after the other, with the library that the node serves."""
    text = re.sub(r"import (\{.*?\}) from '[^']*';", r"const \1 = wn;", "\n".join(snippets))
    return f"async (ticket) => {{ {LIBRARY} {text} }}"


def test_the_example_of_the_synaptic_mesh_runs_word_for_word(
    hall: Hall, tab: Callable[[], Any]
) -> None:
    (example,) = (one for one in SNIPPETS if "WasmP2PClient" in one)
    if SEED.exists():
        of_the_seed = SEED.read_text().partition("// Initialize client")[2].partition("```")[0]
        assert example.partition("// Initialize client")[2] == of_the_seed
    page = tab()
    said: list[str] = []
    page.on("console", lambda one: said.append(one.text))

    async def meet() -> Any:
        for name in ("peer1", "peer2", "agent-2"):
            hall.node.register(name)
        return hall.node.messages()

    messages = hall.do(meet())
    page.evaluate(program(example, "window.client = client;"))
    message = hall.do(anext(messages))
    assert message.kind == "Thought"
    assert decode(message.body) == ["agent-1", "agent-2", b"\x01\x02\x03\x04"]

    async def answer() -> None:
        body = encode(["agent-2", "agent-1", b"\x05"])
        await hall.node.whisper(message.sender, body, kind="Response").received()

    hall.do(answer())
    until(page, "true")
    assert any(text.startswith("Received:") for text in said)
    named = tab()  # another one finds it by its name, and nobody who is not there
    named.evaluate(
        program(example.partition("// Set message")[0].replace("node-123", "node-456"))[:-1]
        + "const at = create_neural_message;"
        "window.far = await client.send_message(at('Command', 'me', 'node-123'), Uint8Array.of(7));"
        "window.lost = await client.send_message(at('Command', 'me', 'nobody'), Uint8Array.of(7))"
        ".catch((error) => error.message); }"
    )
    assert named.evaluate("far") == 1
    assert "nobody is there" in named.evaluate("lost")


@pytest.mark.parametrize(
    ("origin", "granted", "works"),
    [(ELSEWHERE, True, True), (ELSEWHERE, False, False), ("http://localhost:8081", True, False)],
    ids=["allowed", "no-permission", "no-origin"],
)
def test_a_page_from_elsewhere_needs_the_node_and_the_user_to_allow_it(
    hall: Hall, chromium: Any, origin: str, granted: bool, works: bool
) -> None:
    """Chromium asks the user (Local Network Access), the node looks at the origin."""
    context = chromium.new_context()
    if granted:
        context.grant_permissions(["local-network-access"], origin=origin)
    page = context.new_page()
    page.route(f"{origin}/", lambda route: route.fulfill(body="mine", content_type="text/html"))
    page.goto(f"{origin}/")
    (url,) = re.findall(r"'(http:[^']*)'", SNIPPETS[0])
    found = page.evaluate(
        """([url, ticket]) => import(url)
            .then(({ open }) => open({ bootstrap: [ticket] }))
            .then((node) => node.peers.length, (error) => error.message)""",
        [
            url.replace("http://localhost:8765/", hall.url),
            hall.call(lambda: hall.node.ticket.text),
        ],
    )
    assert (found == 1) == works, found
    context.close()


def test_the_snippets_of_the_how_to_run(hall: Hall, tab: Callable[[], Any]) -> None:
    assert len(SNIPPETS) == 7 and "/web/whispurrnet.js" in SNIPPETS[0]
    page = tab()
    said: list[str] = []
    page.on("console", lambda one: said.append(one.text))

    async def brew() -> None:
        while True:
            await hall.node.resonate("tea/green#hot", b"one cup left")
            await asyncio.sleep(0.5)

    brewing = asyncio.run_coroutine_threadsafe(brew(), hall.loop)
    page.evaluate(program(*SNIPPETS[1:5]), hall.call(lambda: hall.node.ticket.text))
    brewing.cancel()
    page.evaluate(program(SNIPPETS[6]))
    assert "1 one cup left" in said and said[-1] == "1"
