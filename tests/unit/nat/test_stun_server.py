"""The STUN server: what it answers, to whom, from where, how much and how often."""

from __future__ import annotations

import pytest

from whispurrnet.nat import stun_message as m
from whispurrnet.nat.stun_message import Endpoint, Message, decode, encode
from whispurrnet.nat.stun_server import (
    GROWTH_BYTES_MAX,
    Arrived,
    Config,
    Reply,
    Responder,
    network_of,
)

FOUR = tuple(
    tuple(Endpoint(host, port) for port in (3478, 3479)) for host in ("192.0.2.1", "192.0.2.2")
)
ONE = ((Endpoint("192.0.2.1", 3478),),)
CLIENT = Endpoint("198.51.100.7", 4711)
TRANSACTION = bytes(range(12))


def request(**what: bool) -> bytes:
    return encode(Message(kind=m.REQUEST, transaction=TRANSACTION, **what))


def ask(
    responder: Responder, data: bytes, *, at: tuple[int, int] = (0, 0), now: float = 0.0
) -> list[Reply]:
    return responder.handle(Arrived(at, CLIENT, data), now)


def test_it_says_where_it_sees_who_asks() -> None:
    (reply,) = ask(Responder(ONE), request())
    assert (reply.at, reply.to) == ((0, 0), CLIENT)
    message = decode(reply.data)
    assert message == Message(kind=m.RESPONSE, transaction=TRANSACTION, mapped=CLIENT)
    assert len(reply.data) - len(request()) == 12


@pytest.mark.parametrize("at", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("change", [(False, False), (False, True), (True, False), (True, True)])
def test_it_answers_from_where_it_is_asked_to(
    at: tuple[int, int], change: tuple[bool, bool]
) -> None:
    (reply,) = ask(Responder(FOUR), request(change_ip=change[0], change_port=change[1]), at=at)
    row, column = at[0] ^ change[0], at[1] ^ change[1]
    assert reply.at == (row, column)
    message = decode(reply.data)
    assert message.origin == FOUR[row][column]
    assert message.other == FOUR[1 - at[0]][1 - at[1]]
    assert message.mapped == reply.to == CLIENT


def test_without_a_second_address_a_change_is_refused() -> None:
    (reply,) = ask(Responder(ONE), request(change_port=True, fingerprint=True))
    message = decode(reply.data)
    assert (message.kind, message.error) == (m.ERROR, 420)
    assert bytes.fromhex("000a00020003") in reply.data
    assert message.fingerprint


def test_what_must_be_understood_and_is_not_is_named() -> None:
    data = bytearray(request())
    data[3] = 4
    (reply,) = ask(Responder(FOUR), bytes(data) + bytes.fromhex("70000000"))
    assert decode(reply.data).error == 420
    assert bytes.fromhex("000a00027000") in reply.data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        request()[:-1],
        request() + b"more",
        encode(Message(kind=m.INDICATION, transaction=TRANSACTION)),
        encode(Message(kind=m.RESPONSE, transaction=TRANSACTION, mapped=CLIENT)),
        encode(Message(kind=m.ERROR, transaction=TRANSACTION, error=400)),
        request(fingerprint=True)[:-1] + b"\x00",
    ],
)
def test_all_else_is_met_with_silence(data: bytes) -> None:
    """Above all answers: two servers that answered those would talk to each other for ever."""
    responder = Responder(FOUR)
    assert ask(responder, data) == []
    assert responder.answered == responder.refused == 0


def test_port_0_is_not_answered() -> None:
    event = Arrived((0, 0), Endpoint("198.51.100.7", 0), request())
    assert Responder(ONE).handle(event, 0.0) == []


def test_an_answer_is_little_longer_than_the_question() -> None:
    six = tuple(tuple(Endpoint(f"2001:db8::{h}", p) for p in (1, 2)) for h in (1, 2))
    source = Endpoint("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 65535)
    questions = [request(), request(fingerprint=True), request(change_ip=True)]
    attributes = b"".join((0x7000 + n).to_bytes(2, "big") + bytes(2) for n in range(24))
    questions += [b"\x00\x01\x00\x60" + request()[4:] + attributes]
    for places in (ONE, FOUR, six):
        for question in questions:
            for reply in Responder(places).handle(Arrived((0, 0), source, question), 0.0):
                assert len(reply.data) - len(question) <= GROWTH_BYTES_MAX


def test_a_network_is_answered_so_often_and_no_more() -> None:
    config = Config(per_s=2.0)
    responder = Responder(ONE, config)
    neighbours = [Endpoint(f"198.51.100.{n}", 4711) for n in range(1, 101)]
    answers = [responder.handle(Arrived((0, 0), one, request()), 0.0) for one in neighbours]
    assert sum(map(len, answers)) == 10, "five times a second's worth at once, all of a /24"
    assert responder.refused == 90
    other = Endpoint("198.51.101.1", 4711)
    assert responder.handle(Arrived((0, 0), other, request()), 0.0)
    assert ask(responder, request(), now=1.0)


def test_all_together_are_answered_so_often() -> None:
    responder = Responder(ONE, Config(total_per_s=50.0))
    answers = [
        responder.handle(Arrived((0, 0), Endpoint(f"10.0.{n}.1", 1), request()), 0.0)
        for n in range(100)
    ]
    assert sum(map(len, answers)) == 50


def test_what_is_kept_of_networks_is_bounded() -> None:
    responder = Responder(ONE, Config(networks_max=16))
    for n in range(200):
        responder.handle(Arrived((0, 0), Endpoint(f"10.0.{n}.1", 1), request()), 0.0)
    assert len(responder._networks) == 16


def test_networks() -> None:
    assert network_of("198.51.100.7") == "198.51.100.0/24"
    assert network_of("2001:db8:1:2ff::1") == "2001:db8:1:200::/56"
