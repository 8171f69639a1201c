"""The STUN client against NATs and servers made of a few lines, on given times."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal

import pytest

from whispurrnet.base.machine import Tick
from whispurrnet.nat import stun, stun_server
from whispurrnet.nat import stun_message as m
from whispurrnet.nat.behaviour import NatReport
from whispurrnet.nat.stun import Arrived, Begin, Config, Discovery, Done, Send, Unsent
from whispurrnet.nat.stun_message import Endpoint, Message, decode, encode

FOUR = tuple(
    tuple(Endpoint(host, port) for port in (3478, 3479)) for host in ("192.0.2.1", "192.0.2.2")
)
SERVER = FOUR[0][0]
HOME, OUTER = "192.168.1.2", "198.51.100.2"
DELAY_S = 0.05
Scope = Literal["any", "address", "port"]


class World:
    """A client behind a NAT, servers, and nothing lost unless told."""

    def __init__(
        self,
        mapping: Scope = "any",
        filtering: Scope = "any",
        *,
        outer: str = OUTER,
        hairpin: bool = False,
        loses: Callable[[int, Endpoint], bool] = lambda number, to: False,
    ) -> None:
        self.core = Discovery(Config(), entropy=Random(1).randbytes)
        self.mapping, self.filtering, self.hairpin, self.outer = mapping, filtering, hairpin, outer
        self.loses = loses
        self.now, self.sent = 0.0, 0
        self.wire: list[tuple[float, Endpoint, Endpoint, bytes]] = []
        self.outside: dict[tuple[int, object], Endpoint] = {}
        self.allowed: dict[Endpoint, list[Endpoint]] = {}
        self.responders: dict[Endpoint, tuple[stun_server.Responder, tuple[int, int]]] = {}
        self.sends: list[tuple[float, Send]] = []
        self.report: NatReport | None = None

    def serve(self, places: tuple[tuple[Endpoint, ...], ...]) -> None:
        responder = stun_server.Responder(places)
        for row, rows in enumerate(places):
            for column, place in enumerate(rows):
                self.responders[place] = responder, (row, column)

    def run(self, *servers: Endpoint, hosts: tuple[str, ...] = (HOME,)) -> NatReport:
        self.do(Begin(tuple((f"s{n}", place) for n, place in enumerate(servers)), hosts))
        while self.report is None:
            arrival = min(self.wire)[0] if self.wire else float("inf")
            deadline = self.core.deadline
            assert deadline is not None or self.wire, "nothing more would ever happen"
            if deadline is not None and deadline <= arrival:
                self.now = max(self.now, deadline)
                self.do(Tick())
            else:
                self.wire.sort()
                self.now, source, to, data = self.wire.pop(0)
                self.deliver(source, to, data)
        assert self.core.deadline is None
        return self.report

    def do(self, event: stun.Event) -> None:
        for effect in self.core.handle(event, self.now):
            if isinstance(effect, Done):
                assert self.report is None
                self.report = effect.report
            else:
                self.sends.append((self.now, effect))
                self.sent += 1
                if not self.loses(self.sent, effect.to):
                    self.send(effect)
        self.core.check_invariants()

    def send(self, effect: Send) -> None:
        scope = {"any": None, "address": effect.to.host, "port": effect.to}[self.mapping]
        outside = self.outside.setdefault(
            (effect.socket, scope), Endpoint(self.outer, 40_000 + len(self.outside))
        )
        self.allowed.setdefault(outside, []).append(effect.to)
        if effect.to.host != self.outer or self.hairpin:
            self.wire.append((self.now + DELAY_S, outside, effect.to, effect.data))

    def deliver(self, source: Endpoint, to: Endpoint, data: bytes) -> None:
        if to in self.responders:
            responder, corner = self.responders[to]
            for reply in responder.handle(stun_server.Arrived(corner, source, data), self.now):
                places = {at: place for place, (r, at) in self.responders.items() if r is responder}
                if reply.at in places:
                    answer = (self.now + DELAY_S, places[reply.at], reply.to, reply.data)
                    self.wire.append(answer)
        for (socket, _), outside in list(self.outside.items()):
            if outside == to and self.lets_in(to, source):
                self.do(Arrived(socket, source, data))

    def lets_in(self, to: Endpoint, source: Endpoint) -> bool:
        sent_to = self.allowed[to]
        if self.filtering == "address":
            return source.host in [place.host for place in sent_to]
        return self.filtering == "any" or source in sent_to


WORDS = {"any": "endpoint independent", "address": "address dependent"}


@pytest.mark.parametrize("filtering", ["any", "address", "port"])
@pytest.mark.parametrize("mapping", ["any", "address", "port"])
def test_every_behaviour_is_recognised(mapping: Scope, filtering: Scope) -> None:
    world = World(mapping, filtering)
    world.serve(FOUR)
    report = world.run(SERVER)
    port = "address and port dependent"
    assert (report.mapping, report.filtering) == (
        WORDS.get(mapping, port),
        WORDS.get(filtering, port),
    )
    assert report.note == ""
    assert report.hairpinning is False
    kinds = {"any": "full cone", "address": "restricted cone", "port": "port-restricted cone"}
    assert report.kind == (kinds[filtering] if mapping == "any" else "symmetric")
    assert world.now < 3.0


def test_losses_change_nothing() -> None:
    """Each request and test is lost once: the next of it gets through."""
    lost: dict[bytes, None] = {}
    world = World("any", "any")
    world.loses = lambda number, to: (
        world.sends[-1][1].data not in lost and not lost.update({world.sends[-1][1].data: None})
    )
    world.serve(FOUR)
    assert world.run(SERVER).kind == "full cone"


def test_retransmission_is_that_of_the_standard() -> None:
    """RFC 8489, 6.2.1: each wait is twice the one before; Rc and Rm are ours."""
    world = World()
    report = world.run(SERVER)
    assert [at for at, _ in world.sends] == [0.0, 0.5, 1.5, 3.5]
    assert world.now == 4.5
    assert report.kind == "blocked"
    assert report.asked[0].problem == "it did not answer"
    assert len({send.data for _, send in world.sends}) == 1, "the same transaction"


def test_hairpinning() -> None:
    world = World("any", "any", hairpin=True)
    world.serve(FOUR)
    assert world.run(SERVER).hairpinning is True


def test_no_nat() -> None:
    world = World("any", "any", outer=HOME)
    world.serve(FOUR)
    report = world.run(SERVER)
    assert (report.kind, report.hairpinning) == ("none", None)


def test_two_servers_without_a_second_address() -> None:
    for mapping, kind in (("any", "cone"), ("address", "symmetric"), ("port", "symmetric")):
        world = World(mapping, "port")  # type: ignore[arg-type]
        for place in (SERVER, FOUR[1][1]):
            world.serve(((place,),))
        report = world.run(SERVER, FOUR[1][1])
        assert report.kind == kind
        assert report.filtering == "unknown"
        assert "second address" in report.note
        assert world.now < 1.0, "all have answered: there is nothing to wait for"


def test_one_server_without_a_second_address_cannot_tell() -> None:
    world = World("port", "port")
    world.serve(((SERVER,),))
    report = world.run(SERVER)
    assert (report.kind, report.mapping) == ("unknown", "unknown")
    assert report.seen_as == (f"{OUTER}:40000",)
    assert "only one address" in report.note


def test_a_second_address_that_is_dead() -> None:
    world = World("any", "port")
    world.serve(FOUR)
    for place in (*FOUR[1], FOUR[0][1]):
        del world.responders[place]
    report = world.run(SERVER)
    assert (report.mapping, report.filtering) == ("unknown", "unknown")
    assert "did not answer" in report.note


def test_a_server_that_refuses() -> None:
    world = World()
    world.do(Begin((("s", SERVER),), (HOME,)))
    data = world.sends[0][1].data
    error = encode(Message(kind=m.ERROR, transaction=decode(data).transaction, error=500))
    world.do(Arrived(stun.FIRST, SERVER, error))
    assert world.report is not None
    assert world.report.asked[0].problem == "it refused with error 500"


@pytest.mark.parametrize("what", ["source", "transaction", "socket", "request", "nonsense"])
def test_forged_answers_count_for_nothing(what: str) -> None:
    world = World()
    world.do(Begin((("s", SERVER),), (HOME,)))
    key = decode(world.sends[0][1].data).transaction
    good = Message(kind=m.RESPONSE, transaction=key, mapped=Endpoint("203.0.113.9", 1))
    arrived = {
        "source": Arrived(stun.FIRST, FOUR[1][0], encode(good)),
        "transaction": Arrived(
            stun.FIRST, SERVER, encode(Message(kind=m.RESPONSE, transaction=bytes(12)))
        ),
        "socket": Arrived(stun.SECOND, SERVER, encode(good)),
        "request": Arrived(stun.FIRST, SERVER, encode(Message(kind=m.REQUEST, transaction=key))),
        "nonsense": Arrived(stun.FIRST, SERVER, b"what"),
    }[what]
    world.do(arrived)
    assert world.report is None
    world.do(Arrived(stun.FIRST, SERVER, encode(good)))  # the control: this one counts
    assert world.report is not None
    assert world.report.seen_as == ("203.0.113.9:1",)


def test_a_server_that_lies_about_its_other_address_is_not_followed() -> None:
    """The same address or the same port again would make the tests say nothing."""
    for other in (Endpoint(SERVER.host, 9), Endpoint("192.0.2.9", SERVER.port)):
        world = World()
        world.do(Begin((("s", SERVER),), (HOME,)))
        key = decode(world.sends[0][1].data).transaction
        lie = Message(kind=m.RESPONSE, transaction=key, mapped=Endpoint(OUTER, 1), other=other)
        world.do(Arrived(stun.FIRST, SERVER, encode(lie)))
        assert world.report is not None
        assert not world.report.asked[0].tells_behaviour


def test_no_way_to_a_server() -> None:
    world = World()
    world.do(Begin((("s", SERVER),), (HOME,)))
    world.do(Unsent(SERVER, "no way there"))
    assert world.report is not None
    assert world.report.kind == "blocked"
    assert world.report.asked[0].problem == "no way there"


def test_nobody_to_ask() -> None:
    report = World().run()
    assert (report.kind, report.note) == ("blocked", "no server was asked")


def test_the_time_of_an_answer_is_told_only_if_it_is_known() -> None:
    world = World(loses=lambda number, to: number == 1)
    world.serve(((SERVER,),))
    report = world.run(SERVER)
    assert report.asked[0].rtt_ms is None, "which of the two was answered?"
    world = World()
    world.serve(((SERVER,),))
    assert world.run(SERVER).asked[0].rtt_ms == pytest.approx(100.0)
