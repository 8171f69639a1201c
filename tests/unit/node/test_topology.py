"""The map of a network: what is put together, who may ask, who is named."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from whispurrnet.base.errors import LimitError, NetworkError, ProtocolError, UsageError
from whispurrnet.node.topology import (
    ANSWERS_BURST,
    PEERS_MAX,
    REQUEST,
    Known,
    MapLink,
    Mapper,
    Near,
    chart,
    decode,
)
from whispurrnet.stack import greeting
from whispurrnet.testing.virtual_loop import run

ME, ANN, BEN, CY = (letter * 32 for letter in (b"m", b"a", b"b", b"c"))


def known(*ids: bytes, name: str = "ann", asleep: bool = False) -> Known:
    return Known(ids, name, asleep)


def draw(*peers: tuple[Known, Near | None], near: Near | None = None) -> Any:
    return chart((ME, "me", near or Near((), 0)), peers, age_s=0.5, silent=1)


def test_a_link_that_both_tell_of_is_one() -> None:
    drawn = draw((known(ANN), Near((BEN,), 2)), (known(BEN, name="ben"), Near((ANN,), 0)))
    assert [(node.name, node.told, node.others) for node in drawn.nodes] == [
        ("me", True, 0),
        ("ann", True, 2),
        ("ben", True, 0),
    ]
    assert set(drawn.links) == {
        MapLink(ANN.hex(), ME.hex(), True),
        MapLink(BEN.hex(), ME.hex(), True),
        MapLink(ANN.hex(), BEN.hex(), True),
    }
    assert (drawn.age_s, drawn.silent) == (0.5, 1)


def test_who_is_only_told_of_is_in_the_map_by_the_word_of_one() -> None:
    drawn = draw((known(ANN), Near((CY,), 0)))
    (far,) = [node for node in drawn.nodes if node.id == CY.hex()]
    assert not far.told
    assert far.name
    assert MapLink(ANN.hex(), CY.hex(), False) in drawn.links


def test_an_id_of_before_is_the_same_node() -> None:
    old = b"o" * 32
    drawn = draw((known(old, ANN), Near((BEN,), 0)), (known(BEN, name="ben"), Near((old,), 0)))
    assert len(drawn.nodes) == 3
    assert MapLink(ANN.hex(), BEN.hex(), True) in drawn.links


def test_nobody_is_told_of_our_own_sessions_but_by_ourselves() -> None:
    """Or a liar could say that we are connected to it, or it to itself."""
    drawn = draw((known(ANN), Near((ME, ANN), 0)))
    assert [link for link in drawn.links if {link.a, link.b} != {ANN.hex(), ME.hex()}] == []
    assert len(drawn.nodes) == 2


def test_who_is_silent_or_asleep_is_there_by_our_own_word() -> None:
    drawn = draw((known(ANN, asleep=True), None))
    assert drawn.nodes[1].asleep
    assert not drawn.nodes[1].told
    assert drawn.links == (MapLink(ANN.hex(), ME.hex(), True),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([1, [b"short"], 0]),
        msgspec.msgpack.encode([1, [ANN, ANN], 0]),
        msgspec.msgpack.encode([1, [bytes([n % 256, n // 256]) * 16 for n in range(300)], 0]),
        msgspec.msgpack.encode([1, [], -1]),
        msgspec.msgpack.encode([2, [], 0]),
        msgspec.msgpack.encode([1, [], 0, "more"]),
        msgspec.msgpack.encode("name" * 10),
    ],
)
def test_a_malformed_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(body)


def test_an_answer_comes_back_as_it_was() -> None:
    assert decode(msgspec.msgpack.encode(Near((ANN, BEN), 3))) == Near((ANN, BEN), 3)


NOBODY = Near((), 0)


class Rig:
    """A node with peers that are not there."""

    def __init__(self, *, mapped: bool = True) -> None:
        self.id, self.name, self.clock = ME.hex(), "me", 0.0
        self.peers: tuple[Any, ...] = ()
        self.stack: Any = SimpleNamespace(shared=SimpleNamespace(config=SimpleNamespace()))
        self.stack.shared.config.mapped = mapped

    def now(self) -> float:
        return self.clock

    def add(
        self,
        id: bytes,
        *,
        mapped: bool = True,
        address: str = "/ip4/192.168.1.9/tcp/9000",
        says: Near | Exception | bytes = NOBODY,
        presence: str = "online",
    ) -> Any:
        asked: list[str] = []

        async def request(name: str, *, timeout_s: float) -> bytes:
            asked.append(name)
            if isinstance(says, Exception):
                raise says
            return says if isinstance(says, bytes) else msgspec.msgpack.encode(says)

        record = SimpleNamespace(
            id=id,
            ids=[id],
            live=SimpleNamespace(address=address),
            capabilities=greeting.MAPPED * mapped,
        )
        peer = SimpleNamespace(
            record=record, handle=len(self.peers) + 1, name=chr(id[0]), request=request,
            presence=(presence, ""), asked=asked,
        )  # fmt: skip
        self.peers = (*self.peers, peer)
        return peer

    def mapper(self) -> Mapper:
        node: Any = self
        return Mapper(node)


def ask(rig: Rig, peer: Any, mapper: Mapper | None = None) -> Near:
    request: Any = SimpleNamespace(sender=peer)
    return decode((mapper or rig.mapper()).answer(request))


def test_only_who_agreed_is_named_and_the_rest_counted() -> None:
    rig = Rig()
    asker = rig.add(ANN)
    rig.add(BEN)
    rig.add(CY, mapped=False)
    rig.add(b"w" * 32, address="/ip4/93.184.216.34/tcp/9000")
    assert ask(rig, asker) == Near((BEN,), 2)


def test_who_did_not_agree_or_is_not_on_this_network_is_told_nothing() -> None:
    rig = Rig()
    stranger = rig.add(ANN, mapped=False)
    far = rig.add(BEN, address="/ip4/93.184.216.34/tcp/9000")
    for peer in (stranger, far):
        with pytest.raises(UsageError, match="only who agreed"):
            ask(rig, peer)


def test_who_did_not_agree_tells_nothing_and_draws_nothing() -> None:
    rig = Rig(mapped=False)
    peer = rig.add(ANN)
    with pytest.raises(UsageError, match=r"lan\.topology = true"):
        ask(rig, peer)
    with pytest.raises(UsageError, match=r"lan\.topology = true"):
        run(rig.mapper().draw(1.0))
    assert not peer.asked


def test_who_asks_too_often_has_to_wait() -> None:
    rig = Rig()
    peer, mapper = rig.add(ANN), rig.mapper()
    for _ in range(ANSWERS_BURST):
        ask(rig, peer, mapper)
    with pytest.raises(LimitError):
        ask(rig, peer, mapper)
    assert ask(rig, rig.add(BEN), mapper) == Near((ANN,), 0), "another is answered"
    rig.clock += 5.0
    ask(rig, peer, mapper)


def test_an_answer_names_no_more_than_fit() -> None:
    rig = Rig()
    asker = rig.add(ANN)
    for n in range(PEERS_MAX + 10):
        rig.add(b"%032d" % n)
    near = ask(rig, asker)
    assert len(near.peers) == PEERS_MAX
    assert near.others == 10


def test_the_map_is_drawn_from_all_who_answer() -> None:
    rig = Rig()
    ann = rig.add(ANN, says=Near((BEN,), 4))
    rig.add(BEN, says=NetworkError("away"))
    rig.add(CY, says=b"\xc1")
    sleeper = rig.add(b"s" * 32, presence="asleep")
    hidden = rig.add(b"h" * 32, mapped=False)

    async def drawing() -> Any:
        async with asyncio.timeout(5):
            return await rig.mapper().draw(1.0)

    drawn = run(drawing())
    assert ann.asked == [REQUEST]
    assert not sleeper.asked
    assert not hidden.asked
    assert drawn.silent == 2
    assert [node.name for node in drawn.nodes] == ["me", "a", "b", "c", "s"]
    assert drawn.nodes[0].others == 1
    assert MapLink(ANN.hex(), BEN.hex(), False) in drawn.links
