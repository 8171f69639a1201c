"""Where a node listens: what is advertised, what is tolerated, and when TLS needs a certificate."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import os
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from whispurrnet.base.errors import HostError
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.node import listening as module
from whispurrnet.node.listening import Listening
from whispurrnet.node.settings import Settings
from whispurrnet.testing.virtual_loop import run
from whispurrnet.transport.link import NOBODY, Accept, ListenerState
from whispurrnet.wire.address import Address

HERE = tuple(map(ipaddress.ip_address, ("192.0.2.1", "198.51.100.2", "2001:db8::1", "2001:db8::2")))
IDENTITY = Ephemeral.generate(os.urandom, 1_800_000_000_000)
QUIET = {"lan.enabled": False}


class FakeListener:
    state = ListenerState.LISTENING

    def __init__(self, address: Address) -> None:
        self.address = address
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class FakeTransport:
    """Listens everywhere but at the hosts that are refused."""

    names = ("tcp", "tls", "ws", "wss")

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.open: list[FakeListener] = []

    async def listen(self, address: Address, accept: Accept) -> FakeListener:
        if address.host in self.refused:
            raise HostError(f"port {address.port} is taken; choose another")
        self.open.append(FakeListener(address))
        return self.open[-1]


def driver() -> Any:
    return SimpleNamespace(
        stack=SimpleNamespace(shared=SimpleNamespace(identity=IDENTITY)),
        accept=lambda _: NOBODY,
        submit=lambda _: None,
        lan=None,
    )


def make(*listen: str, transport: FakeTransport | None = None, **more: Any) -> Listening:
    found = Listening(Settings().replace(**{"listen": listen, **QUIET, **more}))
    if transport is not None:
        found.transports = (transport,)  # type: ignore[assignment]
    return found


def real(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


# Addresses


@pytest.mark.parametrize(
    ("listen", "advertised"),
    [
        ("/ip4/127.0.0.1/tcp/9000", ["/ip4/127.0.0.1/tcp/9000"]),
        ("/ip4/0.0.0.0/tcp/9000/ws", [f"/ip4/{ip}/tcp/9000/ws" for ip in HERE[:2]]),
        ("/ip6/::/tcp/9000", [f"/ip6/{ip}/tcp/9000" for ip in HERE[2:]]),
    ],
)
def test_an_unspecified_address_becomes_those_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, listen: str, advertised: list[str]
) -> None:
    monkeypatch.setattr(module, "local_addresses", lambda: HERE)

    async def main() -> None:
        found = make(listen, transport=FakeTransport())
        await found.start(driver())
        assert found.addresses == (listen,)
        assert list(found.advertised) == advertised

    run(main())


def test_an_address_is_advertised_once_and_eight_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(ipaddress.ip_address(f"192.0.2.{n}") for n in range(1, 20))
    monkeypatch.setattr(module, "local_addresses", lambda: many)

    async def main() -> None:
        found = make("/ip4/192.0.2.1/tcp/9000", "/ip4/0.0.0.0/tcp/9000", transport=FakeTransport())
        await found.start(driver())
        assert len(found.advertised) == len(set(found.advertised)) == 8

    run(main())


def test_of_many_addresses_the_farthest_of_each_listener_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = [ipaddress.ip_address(f"10.0.0.{n}") for n in range(1, 10)]
    far = ipaddress.ip_address("198.51.101.7")
    monkeypatch.setattr(module, "local_addresses", lambda: (*near, far))

    async def main() -> None:
        found = make("/ip4/0.0.0.0/tcp/9000", "/ip4/0.0.0.0/tcp/8080/ws", transport=FakeTransport())
        await found.start(driver())
        first, second, *others = found.advertised
        assert first == "/ip4/198.51.101.7/tcp/9000"
        assert second == "/ip4/198.51.101.7/tcp/8080/ws"
        assert sum(text.endswith("/ws") for text in others) == 3

    run(main())


def test_where_somebody_else_listens_for_us_is_advertised_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "local_addresses", lambda: HERE[:1])
    found = make()
    found.extra = ("/ip4/0.0.0.0/tcp/8765/ws",)
    assert found.addresses == found.extra
    assert found.advertised == ("/ip4/192.0.2.1/tcp/8765/ws",)


def test_a_real_port_is_told_and_is_given_back() -> None:
    async def main() -> None:
        found = make("/ip4/127.0.0.1/tcp/0")
        assert found.state is ListenerState.NOT_LISTENING
        await found.start(driver())
        assert found.state is ListenerState.LISTENING
        (address,) = found.addresses
        port = int(address.rsplit("/", 1)[1])
        assert port
        second = make(address)
        with pytest.raises(HostError, match=str(port)):
            await second.start(driver())
        await found.stop()
        assert found.state is ListenerState.NOT_LISTENING
        assert not found.addresses
        await second.start(driver())
        await second.stop()

    real(main)


# What the machine refuses


@pytest.mark.parametrize("host", ["::", "2001:db8::1"])
def test_without_ipv6_it_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(module, "has_ipv6", lambda: False)

    async def main() -> None:
        found = make(
            "/ip4/0.0.0.0/tcp/9000", f"/ip6/{host}/tcp/9000", transport=FakeTransport(host)
        )
        await found.start(driver())
        assert found.addresses == ("/ip4/0.0.0.0/tcp/9000",)
        assert found.state is ListenerState.LISTENING

    run(main())


@pytest.mark.parametrize(
    ("listen", "refused", "ipv6"),
    [
        (("/ip6/::/tcp/9000",), "::", False),  # there is nothing else
        (("/ip4/0.0.0.0/tcp/9000", "/ip6/::/tcp/9000"), "::", True),  # taken there
        (("/ip4/127.0.0.1/tcp/9000", "/ip4/0.0.0.0/tcp/9001"), "0.0.0.0", False),
    ],
)
def test_any_other_refusal_is_an_error_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, listen: tuple[str, ...], refused: str, ipv6: bool
) -> None:
    monkeypatch.setattr(module, "has_ipv6", lambda: ipv6)

    async def main() -> None:
        transport = FakeTransport(refused)
        found = make(*listen, transport=transport)
        with pytest.raises(HostError, match="is taken; choose another"):
            await found.start(driver())
        assert all(listener.closed for listener in transport.open)
        assert len(transport.open) == len(listen) - 1
        assert not found.addresses
        assert found.state is ListenerState.NOT_LISTENING

    run(main())


@pytest.mark.parametrize("built", [False, True])
def test_a_machine_has_ipv6_if_a_socket_can_be_bound(
    monkeypatch: pytest.MonkeyPatch, built: bool
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError

    monkeypatch.setattr(module.socket, "has_ipv6", built)
    monkeypatch.setattr(module.socket, "socket", refuse)
    assert not module.has_ipv6()


# Certificates


@pytest.mark.parametrize(
    ("listen", "needed"),
    [
        ((), False),
        (("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/memory/a"), False),
        (("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/tls"), True),
        (("/ip4/127.0.0.1/tcp/0/wss",), True),
    ],
)
def test_a_certificate_is_made_only_when_one_is_shown(
    monkeypatch: pytest.MonkeyPatch, listen: tuple[str, ...], needed: bool
) -> None:
    made: list[int] = []
    make_certificate = module.make_certificate

    def count(signing: Any, *, wall_ms: int) -> Any:
        made.append(wall_ms)
        return make_certificate(signing, wall_ms=wall_ms)

    monkeypatch.setattr(module, "make_certificate", count)
    found = make(*listen)
    found.certify(IDENTITY)
    assert made == [IDENTITY.proof.timestamp_ms] * needed
    if needed:
        found._tls.server_context()
    else:
        with pytest.raises(HostError, match="certificate"):
            found._tls.server_context()


@pytest.mark.parametrize(
    ("listen", "read"), [("/ip4/127.0.0.1/tcp/0", False), ("/ip4/127.0.0.1/tcp/0/tls", True)]
)
def test_a_certificate_of_the_settings_is_read_if_it_is_needed(listen: str, read: bool) -> None:
    found = make(listen, **{"tls.chain_file": "/nowhere/chain", "tls.key_file": "/nowhere/key"})
    if read:
        with pytest.raises(HostError, match="/nowhere/"):
            found.certify(IDENTITY)
    else:
        found.certify(IDENTITY)


# The local network


class FakeLan:
    """Knows three methods, of which some are refused."""

    made: list[FakeLan]
    refused: tuple[str, ...]

    def __init__(self, methods: tuple[str, ...], *_: Any, service_port: int) -> None:
        self.made.append(self)
        self.service_port = service_port
        self.methods: tuple[str, ...] = ()
        self.renewed = 0
        self.closed = False

    async def start(self, hear: Any) -> dict[str, HostError]:
        known = ("multicast", "broadcast", "mdns")
        self.methods = tuple(method for method in known if method not in self.refused)
        return {method: HostError("the port is taken") for method in self.refused}

    def renew(self) -> None:
        self.renewed += 1

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("lan", "stealth"), list(itertools.product((False, True), repeat=2)))
@pytest.mark.parametrize(
    ("methods", "refused", "problems"),
    [
        (("auto",), (), ()),
        (("auto",), ("multicast",), ()),
        (("auto", "mdns"), ("multicast", "mdns"), ("not seen on the local network by mdns",)),
        (("auto",), ("multicast", "broadcast", "mdns"), ("not seen on the local network",)),
    ],
)
def test_the_local_network_is_used_unless_it_is_off_or_refuses(
    monkeypatch: pytest.MonkeyPatch,
    lan: bool,
    stealth: bool,
    methods: tuple[str, ...],
    refused: tuple[str, ...],
    problems: tuple[str, ...],
) -> None:
    FakeLan.made, FakeLan.refused = [], refused
    monkeypatch.setattr(module, "Lan", FakeLan)

    async def main() -> None:
        change = {"lan.enabled": lan, "enable_stealth": stealth, "lan.methods": methods}
        found = make("/memory/lan", **change)
        shell = driver()
        await found.start(shell)
        wanted = lan and not stealth
        assert len(FakeLan.made) == wanted
        assert (shell.lan is not None) == wanted
        assert found.state is ListenerState.LISTENING
        assert [problem.what for problem in found.problems] == list(problems if wanted else ())
        assert all(problem.why == "the port is taken" for problem in found.problems)
        assert all(problem.cure for problem in found.problems)
        found.certify(IDENTITY)
        await found.stop()
        for used in FakeLan.made:
            assert used.service_port == 8765, "in memory there are no ports"
            assert used.renewed == 1, "a new identity has new names"
            assert used.closed

    run(main())
