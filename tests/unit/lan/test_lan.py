"""The local network as one thing: what is tried, what works, and who hears what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from whispurrnet.base.errors import HostError
from whispurrnet.lan import lan as module
from whispurrnet.lan.lan import Lan, Method, expand


class Fake:
    """One method; refuses to start if told to."""

    refused: str = ""

    def __init__(self, *how: Any, **more: Any) -> None:
        self.how, self.more = how, more
        self.sent: list[bytes] = []
        self.hear: Any = None
        self.closed = 0

    async def start(self, hear: Any) -> None:
        if self.refused:
            raise HostError(self.refused)
        self.hear = hear

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed += 1


class FakeMdns(Fake):
    renewed = 0

    def renew(self) -> None:
        self.renewed += 1

    async def close(self) -> None:  # type: ignore[override]
        self.closed += 1


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Multicast", type("Multicast", (Fake,), {}))
    monkeypatch.setattr(module, "Broadcast", type("Broadcast", (Fake,), {}))
    monkeypatch.setattr(module, "Mdns", type("Mdns", (FakeMdns,), {}))
    monkeypatch.setattr(module.mdns, "is_installed", lambda: True)


@pytest.mark.parametrize(
    ("methods", "installed", "tried"),
    [
        (("auto",), True, ("multicast", "broadcast", "mdns")),
        (("auto",), False, ("multicast", "broadcast")),
        (("mdns", "auto"), False, ("multicast", "broadcast", "mdns")),
        (("mdns", "broadcast", "mdns"), True, ("broadcast", "mdns")),
        ((), True, ()),
    ],
)
def test_what_is_tried(
    monkeypatch: pytest.MonkeyPatch, methods: tuple[str, ...], installed: bool, tried: tuple[str]
) -> None:
    monkeypatch.setattr(module.mdns, "is_installed", lambda: installed)
    assert expand(methods) == tried


def test_all_methods_send_and_each_says_what_it_heard() -> None:
    async def main() -> None:
        heard: list[tuple[bytes, Method]] = []
        lan = Lan(("auto",), 9746, "g4", "g6", service_port=9000, interfaces=["lo"])
        assert lan.methods == ()
        lan.send(b"nobody")
        assert await lan.start(lambda data, method: heard.append((data, method))) == {}
        assert lan.methods == ("multicast", "broadcast", "mdns")
        lan.send(b"all")
        lan.renew()
        made: list[Any] = list(lan._made.values())
        assert [one.sent for one in made] == [[b"all"]] * 3
        assert [one.how for one in made] == [(9746, "g4", "g6"), (9746,), (9000,)]
        assert [one.more for one in made] == [{"interfaces": ["lo"]}] * 3
        assert made[2].renewed == 1
        for one in made:
            one.hear(b"x")
        assert heard == [(b"x", method) for method in lan.methods]
        await lan.close()
        assert lan.methods == ()
        assert [one.closed for one in made] == [1, 1, 1]

    asyncio.run(main())


def test_what_cannot_be_had_leaves_the_others_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(module.Multicast, "refused", "no group")
        lan = Lan(("multicast", "broadcast"), 9746, service_port=9000)
        failed = await lan.start(lambda *_: None)
        assert {method: str(error) for method, error in failed.items()} == {"multicast": "no group"}
        assert lan.methods == ("broadcast",)
        lan.send(b"on")
        assert [one.sent for one in lan._made.values()] == [[], [b"on"]]  # type: ignore[union-attr]
        await lan.close()
        assert [one.closed for one in lan._made.values()] == [1, 1]  # type: ignore[union-attr]

    asyncio.run(main())
