"""The interfaces of this machine, as they are and as they might be."""

from __future__ import annotations

import ipaddress
import socket
import sys
from types import SimpleNamespace

import pytest

from whispurrnet.lan import interfaces as module
from whispurrnet.lan.interfaces import Interface, interfaces

LOOPBACK = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux")


@linux
def test_loopback_is_one_with_a_broadcast_address_of_its_own() -> None:
    (found,) = interfaces([LOOPBACK])
    assert found.name == LOOPBACK
    assert found.index == socket.if_nametoindex(LOOPBACK)
    assert found.ip4 == ipaddress.IPv4Address("127.0.0.1")
    assert found.broadcast == ipaddress.IPv4Address("127.255.255.255")
    assert found.is_loopback


@linux
def test_each_has_an_address_that_can_be_bound_and_they_stand_by_index() -> None:
    found = interfaces()
    assert [entry.index for entry in found] == sorted(entry.index for entry in found)
    assert {entry.name for entry in found} <= {name for _, name in socket.if_nameindex()}
    for entry in found:
        assert entry.ip4 or entry.ip6
        if entry.ip4:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((str(entry.ip4), 0))
        if entry.ip6:
            assert entry.ip6.is_link_local


@linux
def test_those_that_are_down_or_gone_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = (socket.if_nametoindex(LOOPBACK), LOOPBACK)
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(9999, "ghost"), real])
    assert [entry.name for entry in interfaces()] == [LOOPBACK]
    assert interfaces(["ghost"]) == ()
    ask = module._ask
    monkeypatch.setattr(
        module, "_ask", lambda p, what, n: b"" if what == module._GET_FLAGS else ask(p, what, n)
    )
    assert interfaces() == ()


@linux
def test_without_ipv6_there_are_no_link_local_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Path", lambda _: SimpleNamespace(exists=lambda: False))
    assert module._links6() == {}


@linux
def test_of_ipv6_addresses_the_first_link_local_one_that_is_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = """
fd000000000000000000000000000002 04 40 00 80     eth0
fe800000000000000000000000000001 04 40 20 c0     eth0
fe800000000000000000000000000002 04 40 20 80     eth0
fe800000000000000000000000000003 04 40 20 80     eth0
fe800000000000000000000000000004 05 40 20 88     eth1
"""
    path = SimpleNamespace(exists=lambda: True, read_text=lambda encoding: table.lstrip())
    monkeypatch.setattr(module, "Path", lambda _: path)
    assert module._links6() == {"eth0": ipaddress.IPv6Address("fe80::2")}


def test_elsewhere_a_library_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ifaddr", reason="the extra `mdns` is not installed")
    import ifaddr

    def adapter(index: int, name: str, *ips: tuple[object, int]) -> SimpleNamespace:
        entries = [SimpleNamespace(ip=ip, network_prefix=prefix) for ip, prefix in ips]
        return SimpleNamespace(index=index, nice_name=name, ips=entries)

    monkeypatch.setattr(module.sys, "platform", "darwin")
    monkeypatch.setattr(
        ifaddr,
        "get_adapters",
        lambda: [
            adapter(1, "en0", ("10.1.2.3", 16), ("10.9.9.9", 24), (("fe80::1", 0, 1), 64)),
            adapter(2, "utun0", ("10.8.0.1", 32)),
            adapter(3, "en1", (("2001:db8::1", 0, 0), 64)),
        ],
    )
    ip4, ip6 = ipaddress.IPv4Address, ipaddress.IPv6Address
    assert interfaces() == (
        Interface("en0", 1, ip4("10.1.2.3"), ip6("fe80::1"), ip4("10.1.255.255")),
        Interface("utun0", 2, ip4("10.8.0.1"), None, None),
    )


def test_elsewhere_without_it_one_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "darwin")
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    found = interfaces()
    assert len(found) <= 1
    assert all(entry.broadcast == module.LIMITED for entry in found)
