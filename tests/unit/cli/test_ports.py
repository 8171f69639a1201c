from __future__ import annotations

import socket

import pytest

from whispurrnet.base.errors import HostError
from whispurrnet.cli import ports
from whispurrnet.gateway.server import bind
from whispurrnet.node.settings import Settings

LOCAL = Settings().replace(host="127.0.0.1")


def taken() -> socket.socket:
    return bind("127.0.0.1", 0)


def test_the_next_port_when_nobody_chose() -> None:
    with taken() as other:
        port = other.getsockname()[1]
        settings = LOCAL.replace(port=port)
        with ports.gateway_port(settings, {}) as got:
            assert got.getsockname()[1] > port


def test_a_chosen_port_is_not_exchanged() -> None:
    with taken() as other:
        settings = LOCAL.replace(port=other.getsockname()[1])
        with pytest.raises(HostError, match="cannot be had.*; choose another"):
            ports.gateway_port(settings, {"port": "flag"})


def test_a_wrong_host_is_an_error_at_once() -> None:
    with pytest.raises(HostError, match="cannot be had"):
        ports.gateway_port(LOCAL.replace(host="192.0.2.1"), {})


def test_no_port_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "TRIES", 1)
    with taken() as other:
        port = other.getsockname()[1]
        with pytest.raises(HostError, match="no port is free"):
            ports.gateway_port(LOCAL.replace(port=port), {})
        settings = LOCAL.replace(listen=(f"/ip4/127.0.0.1/tcp/{port}",))
        with pytest.raises(HostError, match="no port is free"):
            ports.mesh_addresses(settings, {})


def test_mesh_addresses_move_together() -> None:
    with taken() as other:
        port = other.getsockname()[1]
        settings = LOCAL.replace(
            listen=(f"/ip4/127.0.0.1/tcp/{port}", f"/ip6/::1/tcp/{port}", "/memory/moon")
        )
        moved = ports.mesh_addresses(settings, {})
        got = int(moved[0].rpartition("/")[2])
        assert got > port
        assert moved[1:] == (f"/ip6/::1/tcp/{got}", "/memory/moon")
        assert ports.mesh_addresses(settings, {"listen": "flag"}) == settings.listen
