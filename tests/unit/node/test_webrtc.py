"""The shell of WebRTC links: settings, and attempts with a library that is made up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from whispurrnet.base.errors import ConfigError, HostError
from whispurrnet.node import webrtc
from whispurrnet.node.sections import NatSettings, SecretText
from whispurrnet.node.webrtc import WebrtcShell, ice_of, webrtc_of
from whispurrnet.stack import events
from whispurrnet.transport import webrtc_backend as library


def test_the_servers() -> None:
    nat = NatSettings(
        ice_servers=(SecretText("stun:h"), SecretText("turn:h"), SecretText("turn:a:b@i")),
        turn_secret=SecretText("shared"),
        ice_policy="relay",
        host_candidates=False,
    )
    ice = ice_of(nat)
    assert ice.relay_only
    assert not ice.host
    assert [server.url for server in ice.servers] == [
        "stun:h:3478",
        "turn:h:3478?transport=udp",
        "turn:i:3478?transport=udp",
    ]
    assert ice.servers[1].credential
    assert ice.servers[1].username != ice_of(nat).servers[1].username  # nobody is told apart by it
    assert ice.servers[2].username == "a"
    with pytest.raises(ConfigError, match="nat.turn_secret"):
        ice_of(NatSettings(ice_servers=(SecretText("turn:h"),)))
    assert ice_of(NatSettings()).servers == ()


def test_whether_there_is_webrtc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "find", lambda *_: "aiortc")
    assert webrtc_of(NatSettings()) == (True, "")
    assert not webrtc_of(NatSettings(webrtc="off"))[0]
    assert not webrtc_of(NatSettings(), stealth=True)[0]
    assert webrtc_of(NatSettings(webrtc="on"), stealth=True)[0]

    def nothing(*_: Any) -> None:
        raise HostError("there is none; pip install it")

    monkeypatch.setattr(library, "find", nothing)
    assert webrtc_of(NatSettings()) == (False, "there is none; pip install it")
    with pytest.raises(HostError):
        webrtc_of(NatSettings(webrtc="on"))


class Driver:
    """Runs what the shell wants, and remembers what it says."""

    is_running = True

    def __init__(self) -> None:
        self.said: list[events.Event] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.performers: dict[type, Any] = {}

    def serve(self, performers: dict[type, Any]) -> None:
        self.performers = performers

    def spawn(self, work: Any) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    def submit(self, event: events.Event) -> None:
        self.said.append(event)

    def do(self, effect: Any) -> None:
        self.performers[type(effect)](effect)


class Connection:
    """A connection that fails as it is told to."""

    NAME = "made up"
    buffered, selected, turn = 0, None, None

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closed = False

    def connect(self, ice: library.Ice, hears: Any) -> Connection:
        self.hears = hears
        return self

    async def offer(self) -> str:
        if self.error is not None:
            raise self.error
        return "v=0\r\n"

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("error", "text"),
    [(HostError("no room; make some"), "no room"), (RuntimeError("secret"), "RuntimeError")],
)
def test_a_library_that_fails(error: Exception, text: str) -> None:
    async def main() -> None:
        driver, made = Driver(), Connection(error)
        shell = WebrtcShell(driver, NatSettings())  # type: ignore[arg-type]
        shell.backend = made  # type: ignore[assignment]
        driver.do(events.RtcStart(1, "", 5))
        await asyncio.gather(*driver.tasks)
        (said,) = driver.said
        assert isinstance(said, events.RtcFailed)
        assert text in said.reason
        assert "secret" not in said.reason
        assert made.closed

    asyncio.run(main())


def test_an_attempt_that_is_stopped_closes_and_says_nothing() -> None:
    async def main() -> None:
        driver, made = Driver(), Connection()
        shell = WebrtcShell(driver, NatSettings())  # type: ignore[arg-type]
        shell.backend = made  # type: ignore[assignment]
        driver.do(events.RtcStart(1, "", 5))
        await asyncio.sleep(0.01)
        assert driver.said == [events.RtcDescription(1, "v=0\r\n")]
        made.hears.rtc_found("", "")  # it has looked everywhere, and found nothing
        assert driver.said[1:] == [events.RtcFailed(1, webrtc.ALONE)]
        driver.do(events.RtcStop(1))
        driver.do(events.RtcAccept(1, "late"))
        await asyncio.gather(*driver.tasks)
        assert len(driver.said) == 2
        assert made.closed

    asyncio.run(main())
