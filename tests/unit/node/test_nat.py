"""The node and its NAT: whom it asks, what it answers, and what is said of paths."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import whispurrnet
from whispurrnet.errors import NetworkError, UsageError
from whispurrnet.node.nat import RelayStun, own_hosts, relays_of, stun_servers
from whispurrnet.node.sections import NatSettings, SecretText
from whispurrnet.node.settings import Settings

QUIET: dict[str, Any] = {
    "lan": {"enabled": False},
    "gateway": {"enabled": False},
    "host": "127.0.0.1",
    "port": 0,
    "listen": ("/ip4/127.0.0.1/tcp/0",),
}


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nobody_is_asked_unless_set() -> None:
    assert stun_servers(NatSettings()) == ()

    async def test() -> None:
        async with whispurrnet.open(**QUIET) as node:
            assert node.nat.report() is None
            assert node.nat.answers_at == ()
            with pytest.raises(UsageError, match="none is asked by default"):
                await node.nat.probe()

    asyncio.run(test())


def test_ice_servers_come_first_then_the_own_relays() -> None:
    nat = NatSettings(
        relays=("/ip4/192.0.2.1/tcp/9000", "/ip6/2001:db8::1/tcp/9000/ws", "/memory/x"),
        ice_servers=tuple(
            map(
                SecretText,
                (
                    "stun:stun.example.org",
                    "turn:ada:secret@192.0.2.9:3478",
                    "turn:ada:secret@192.0.2.8:3478?transport=tcp",
                    "turns:ada:secret@192.0.2.7",
                ),
            )
        ),
    )
    servers = stun_servers(nat)
    own = ("stun:192.0.2.1:3478", "stun:[2001:db8::1]:3478")
    assert servers == ("stun:stun.example.org:3478", "stun:192.0.2.9:3478", *own)
    assert relays_of(nat) == own
    assert "secret" not in str(servers)


def test_where_it_answers() -> None:
    assert own_hosts(Settings(host="192.0.2.5")) == ["192.0.2.5"]
    assert "127.0.0.1" in own_hosts(Settings())


def test_a_node_answers_and_asks() -> None:
    port = free_port()

    async def test() -> None:
        async with (
            whispurrnet.open(**QUIET, nat={"stun_port": port}) as server,
            whispurrnet.open(**QUIET) as node,
        ):
            assert server.nat.answers_at == (f"127.0.0.1:{port}",)
            report = await node.nat.probe([f"stun:127.0.0.1:{port}"])
            assert node.nat.report() is report
            assert report.kind == "none"
            assert (node.nat.attempts, node.nat.successes) == (0, 0)
            async with whispurrnet.open(**QUIET, nat={"stun_port": port}) as other:
                assert other.nat.answers_at == ()
                (problem,) = (one for one in other.problems if "STUN" in one.what)
                assert "cannot be had" in problem.why
                assert "nat.stun_port" in problem.cure
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", port))

    asyncio.run(test())


def test_a_relay_without_stun_is_asked_seldom() -> None:
    async def test() -> None:
        relays = RelayStun(NatSettings(relays=("/ip4/127.0.0.1/tcp/9",)))
        assert await relays.answering(0.0) == ()
        async with asyncio.timeout(0.1):
            assert await relays.answering(500.0) == (), "without asking again"
        assert await RelayStun(NatSettings()).answering(0.0) == ()

    asyncio.run(test())


def test_a_peer_that_is_reached_directly_needs_no_better_path() -> None:
    async def test() -> None:
        async with whispurrnet.open(**QUIET) as a, whispurrnet.open(**QUIET) as b:
            peer = await b.connect(a.ticket)
            for method in ("auto", "stun"):
                reached = await b.nat.reach(peer, method)  # type: ignore[arg-type]
                assert (reached.ok, reached.path) == (True, "direct tcp")
                assert reached.verdict == f"{peer.name} is reached by direct tcp"
            for method in ("turn", "relay"):
                reached = await b.nat.reach(peer, method)  # type: ignore[arg-type]
                assert not reached.ok
                assert "already; a worse path is not taken" in reached.verdict
            await b.disconnect(peer)
            while peer.connected:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            with pytest.raises(NetworkError, match="is not connected"):
                await b.nat.reach(peer)

    asyncio.run(test())


def test_a_relayed_peer_is_reached_otherwise_on_request() -> None:
    """Through a relay on this machine: `stun` tries WebRTC alone; without it there is a reason."""

    async def test() -> None:
        async with (
            whispurrnet.open(**QUIET, nat={"relay": True}) as relay,
            whispurrnet.open(
                **{**QUIET, "listen": ()}, nat={"relays": (relay.ticket.text,), "webrtc": "off"}
            ) as a,
            whispurrnet.open(**{**QUIET, "listen": ()}, nat={"webrtc": "off"}) as b,
        ):
            async with asyncio.timeout(10):
                while not any("/relay/" in one for one in a.ticket.addresses):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            peer = await b.connect(a.ticket)
            assert (await b.nat.reach(peer, "relay")).ok
            reached = await b.nat.reach(peer, "stun", timeout_s=3)
            assert not reached.ok
            (tried,) = reached.attempts
            assert (tried.method, tried.ok) == ("stun", False)
            assert "cannot make WebRTC links" in tried.reason
            reached = await b.nat.reach(peer, "auto", timeout_s=3)
            assert "WebRTC could not be tried" in reached.verdict
            assert [one.method for one in reached.attempts] == ["relay"]

    asyncio.run(test())
