"""STUN on real sockets of the loopback interface: the client asks, the server answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.nat import stun, stun_server
from whispurrnet.nat import stun_message as m
from whispurrnet.nat.stun_message import Endpoint, Message, decode, encode
from whispurrnet.transport.stun import StunServer, own_host, place_of, probe

QUICK = stun.Config(rto_s=0.05, sends_max=2)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("stun:relay.example.org", ("relay.example.org", 3478)),
        ("stun:relay.example.org:19302", ("relay.example.org", 19302)),
        ("turn:198.51.100.20:3478?transport=udp", ("198.51.100.20", 3478)),
        ("192.0.2.1", ("192.0.2.1", 3478)),
        ("192.0.2.1:9", ("192.0.2.1", 9)),
        ("stun:[2001:db8::1]:9", ("2001:db8::1", 9)),
        ("[2001:db8::1]", ("2001:db8::1", 3478)),
        ("2001:db8::1", ("2001:db8::1", 3478)),
    ],
)
def test_places(text: str, place: tuple[str, int]) -> None:
    assert place_of(text) == place


@pytest.mark.parametrize(
    "text", ["", "stun:", "https://example.org/", "host:0", "host:70000", "a:b"]
)
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError, match="write it like stun:"):
        place_of(text)


def two_free_ports() -> int:
    """A port that is free with the next one, on both addresses."""
    for _ in range(50):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            first = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            for host, one in (
                ("127.0.0.1", port + 1),
                ("127.0.0.2", port),
                ("127.0.0.2", port + 1),
            ):
                other = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                other.bind((host, one))
            return int(port)
    raise AssertionError("no ports are free")


@contextlib.contextmanager
def closing(server: StunServer) -> Iterator[StunServer]:
    try:
        yield server
    finally:
        server.close()


def test_no_nat_between_a_machine_and_itself() -> None:
    async def test() -> None:
        with closing(StunServer()) as server:
            await server.start(["127.0.0.1"], 0)
            (place,) = server.places
            report = await probe([str(place)], config=QUICK)
            assert report.kind == "none"
            assert report.seen_as[0].startswith("127.0.0.1:")
            assert report.asked[0].rtt_ms is not None
            assert server.answered == 1

    asyncio.run(test())


def test_all_four_corners_answer() -> None:
    async def test() -> None:
        with closing(StunServer()) as server:
            await server.start(["127.0.0.1"], two_free_ports(), "127.0.0.2")
            report = await probe([str(server.places[0])], config=QUICK)
            assert report.asked[0].tells_behaviour
            assert report.filtering == "endpoint independent"
            assert server.answered == 5

    asyncio.run(test())


def test_who_does_not_answer_and_who_is_not_there() -> None:
    async def test() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            port = silent.getsockname()[1]
            report = await probe([f"127.0.0.1:{port}", "stun:nobody.invalid"], config=QUICK)
            assert report.kind == "blocked"
            assert [one.problem for one in report.asked] == ["it did not answer", "no such host"]

    asyncio.run(test())


def test_garbage_is_met_with_silence_and_a_flood_with_less() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        with (
            closing(StunServer(stun_server.Config(per_s=2.0))) as server,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        ):
            client.setblocking(False)
            await server.start(["127.0.0.1"], 0)
            place = (server.places[0].host, server.places[0].port)
            client.connect(place)
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            request = encode(Message(kind=m.REQUEST, transaction=bytes(12)))
            for _ in range(30):
                client.send(request)
            async with asyncio.timeout(5):
                for _ in range(10):
                    answer = decode(await loop.sock_recv(client, 2048))
                    assert answer.mapped == Endpoint(*client.getsockname())
                while server.answered + server.refused < 30:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert (server.answered, server.refused) == (10, 20)

    asyncio.run(test())


def test_a_port_that_is_taken() -> None:
    async def test() -> None:
        with closing(StunServer()) as server, closing(StunServer()) as other:
            await server.start(["127.0.0.1"], 0)
            with pytest.raises(HostError, match=r"UDP port \d+ for STUN cannot be had"):
                await other.start(["127.0.0.1"], server.places[0].port)

    asyncio.run(test())


@pytest.mark.parametrize("alternate", ["127.0.0.1", "::1"])
def test_addresses_that_do_not_go_together(alternate: str) -> None:
    async def test() -> None:
        with (
            closing(StunServer()) as server,
            pytest.raises(UsageError, match="nat.stun_alternate"),
        ):
            await server.start(["127.0.0.1"], 3478, alternate)

    asyncio.run(test())


def test_from_where_this_machine_would_speak() -> None:
    assert own_host(Endpoint("127.0.0.1", 9)) == "127.0.0.1"
