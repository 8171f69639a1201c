"""Public objects go packed to those who can unpack; others do not; bombs harm nobody."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import zstandard
from tests.sim.transfers import Net, Node, make

from whispurrnet.store import messages, packing
from whispurrnet.store import transfer_events as events
from whispurrnet.store.packing import pack
from whispurrnet.wire.ids import ObjectId

CHUNK = 1 << 18
LINE = b"%016x: what is said often takes little room\n"


def text(size: int) -> bytes:
    """Lines that pack to a fifth or so."""
    rng = Random(1)
    lines = size // len(LINE % 1) + 1
    return b"".join(LINE % rng.getrandbits(63) for _ in range(lines))[:size]


def kinds(node: Node) -> dict[int, int]:
    """Count the frames that a node sends, by their kind."""
    seen: dict[int, int] = {}

    def note(_: int, body: bytes) -> list[bytes]:
        seen[body[0]] = seen.get(body[0], 0) + 1
        return [body]

    node.lie = note
    return seen


def pair(
    seed: int, *, public: bool = True, wants_pack: bool = True, size: int = 20 * CHUNK
) -> tuple[Net, Node, Node, ObjectId, bytes]:
    net = Net(seed, rate_bps=2e7, delay_s=0.005)
    owner, wants = net.node(), net.node(pack=wants_pack)
    data = text(size)
    oid, item = make(data, 18)
    item.public = public
    owner.disk[oid] = item
    net.connect(owner, wants)
    return net, owner, wants, oid, data


def got(net: Net, wants: Node, oid: ObjectId, sources: tuple[int, ...] = (0,), **more: Any) -> None:
    wants.give(events.Fetch(oid=oid, sources=sources, **more))
    net.run(lambda: bool(wants.done or wants.failed), 100)


def test_a_public_object_takes_little_of_the_wire() -> None:
    net, owner, wants, oid, data = pair(1)
    seen = kinds(owner)
    got(net, wants, oid)
    assert wants.disk[oid].data == data and not wants.errors and not wants.blamed
    assert messages.DATA not in seen and seen[messages.PACKED] >= 20
    assert net.sent[0, 1] < len(data) // 4
    told = wants.progress[-1][1]
    assert told.verified == told.total == len(data)
    assert not wants.disk[oid].public, "what is fetched is not public by that"


@pytest.mark.parametrize(
    ("public", "wants_pack", "library"),
    [(False, True, True), (True, False, True), (True, True, False)],
)
def test_otherwise_nothing_is_packed(
    public: bool, wants_pack: bool, library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not library:
        monkeypatch.setattr(packing, "_zstandard", lambda: None)
    net, owner, wants, oid, data = pair(2, public=public, wants_pack=wants_pack)
    seen = kinds(owner)
    got(net, wants, oid)
    assert wants.disk[oid].data == data
    assert messages.PACKED not in seen
    assert net.sent[0, 1] >= len(data)


def test_the_lengths_of_what_is_not_public_tell_nothing() -> None:
    """Two contents of one length: the same frames, to the byte; were they public, others."""
    lengths: dict[tuple[bool, int], list[int]] = {}
    for public in (False, True):
        for which in (0, 1):
            net = Net(3)
            owner, wants = net.node(), net.node()
            data = text(4 * CHUNK) if which else net.rng.randbytes(4 * CHUNK)
            oid, item = make(data, 18)
            item.public = public
            owner.disk[oid] = item
            some = lengths[public, which] = []
            owner.lie = lambda _, body, some=some: [some.append(len(body)) or body]  # type: ignore[misc]
            net.connect(owner, wants)
            got(net, wants, oid)
            assert wants.disk[oid].data == data
    assert lengths[False, 0] == lengths[False, 1]
    assert lengths[True, 0] != lengths[True, 1]


def test_who_takes_it_back_sends_no_more_packed() -> None:
    """Whether it is public is looked up again together with who may have it."""
    net, owner, wants, oid, data = pair(4, size=60 * CHUNK)
    net.rates[0, 1] = 1e6
    seen = kinds(owner)
    wants.give(events.Fetch(oid=oid, sources=(0,)))
    net.wait(0.5)
    owner.disk[oid].public = False
    owner.give(events.Recheck(oid))
    net.wait(2.0)
    before = seen[messages.PACKED]
    net.run(lambda: bool(wants.done), 100)
    assert seen[messages.PACKED] == before
    assert wants.disk[oid].data == data and not wants.errors


def packed_lie(change: Callable[[bytes], list[bytes]]) -> Callable[[int, bytes], list[bytes]]:
    return lambda _, body: change(body) if body[0] == messages.PACKED else [body]


def as_packed(body: bytes, packed: bytes) -> bytes:
    ref, index, _, _, _ = messages.read_part(body)
    return messages.packed_header(ref, index, 0, len(packed)) + packed


def whole(body: bytes, length: int) -> bytes:
    ref, index, offset, _, part = messages.read_part(body)
    return messages.packed_header(ref, index, offset, length) + part


BOMB = zstandard.ZstdCompressor(level=19).compress(bytes(1 << 30))
assert len(BOMB) < 1 << 16
FLIP_AT = messages.PACKED_HEADER_BYTES

LIES: dict[str, Callable[[bytes], list[bytes]]] = {
    "a bomb": lambda body: [as_packed(body, BOMB)],
    "zeros": lambda body: [as_packed(body, zstandard.compress(bytes(CHUNK)))],
    "one byte short": lambda body: [as_packed(body, zstandard.compress(text(CHUNK - 1)))],
    "no frame": lambda body: [as_packed(body, b"x" * 100)],
    "as long as the chunk": lambda body: [whole(body, CHUNK)],
    "longer than any": lambda body: [whole(body, (1 << 32) - 1)],
    "a byte flipped": lambda body: [
        body[:FLIP_AT] + bytes([body[FLIP_AT] ^ 1]) + body[FLIP_AT + 1 :]
    ],
    "in the middle": lambda body: [body[:200] + bytes([body[200] ^ 64]) + body[201:]],
    "twice as long": lambda body: [whole(body, 2 * messages.read_part(body)[3]), body],
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_liar_is_named_and_nothing_of_his_is_stored(lie: Callable[[bytes], list[bytes]]) -> None:
    net, owner, wants, oid, data = pair(5)
    liar = net.node()
    liar.disk[oid] = owner.disk[oid]
    liar.lie = packed_lie(lie)
    net.connect(liar, wants)
    net.rates[0, 1] = 1e6
    got(net, wants, oid, (0, liar.name))
    assert wants.disk[oid].data == data
    assert {peer for peer, *_ in wants.blamed} | {peer for peer, _ in wants.errors} == {liar.name}
    assert wants.core.held_bytes == 0


def test_without_the_check_the_zeros_would_be_stored() -> None:
    """The control of the test above."""
    net = Net(6)
    liar, wants = net.node(), net.node(check=False)
    oid, item = make(text(2 * CHUNK), 18)
    item.public = True
    liar.disk[oid] = item
    liar.lie = packed_lie(LIES["zeros"])
    net.connect(liar, wants)
    got(net, wants, oid)
    assert wants.disk[oid].data == bytes(2 * CHUNK)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bound no more than a chunk is ever made; a careless unpacker makes a gigabyte."""
    made = []

    def watched(packed: bytes, length: int) -> bytes:
        chunk = packing_unpack(packed, length)
        made.append(len(chunk))
        return chunk

    def careless(packed: bytes, length: int) -> bytes:
        assert length == CHUNK
        said = zstandard.frame_content_size(packed)
        made.append(said)
        return bytes(length)

    packing_unpack = packing.unpack
    for unpack, most in ((watched, CHUNK), (careless, 1 << 30)):
        made.clear()
        monkeypatch.setattr(packing, "unpack", unpack)
        net, owner, wants, oid, _ = pair(7, size=4 * CHUNK)
        owner.lie = packed_lie(LIES["a bomb"])
        wants.give(events.Fetch(oid=oid, sources=(0,)))
        net.wait(2.0)
        assert wants.blamed and not wants.stored
        assert max(made, default=0) == (most if unpack is careless else 0)


def test_who_never_offered_gets_nothing_packed() -> None:
    net, owner, wants, oid, data = pair(8, public=False, wants_pack=False)
    sent = iter([True])

    def lie(_: int, body: bytes) -> list[bytes]:
        if body[0] != messages.DATA or not next(sent, False):
            return [body]
        return [as_packed(body, pack(text(CHUNK))), body]

    owner.lie = lie
    got(net, wants, oid)
    assert [word for _, word in wants.errors] == [
        "a peer sends a packed chunk that nobody can unpack"
    ]
    assert wants.disk[oid].data == data


def test_what_is_cancelled_while_it_comes_is_let_pass() -> None:
    """A slow source's chunks are asked of another, too; what still comes of them is no fault."""
    net, slow, wants, oid, data = pair(9, size=40 * CHUNK)
    fast = net.node()
    fast.disk[oid] = slow.disk[oid]
    net.connect(fast, wants)
    net.rates[slow.name, wants.name] = 3e4
    got(net, wants, oid, (slow.name, fast.name))
    net.wait(20.0)
    assert wants.disk[oid].data == data
    assert not wants.errors and not wants.blamed
    wants.core.check_invariants()


def test_half_a_chunk_said_to_be_plain_is_half_a_chunk() -> None:
    net, liar, wants, oid, data = pair(13)
    liar.lie = packed_lie(
        lambda body: [messages.data_header(*messages.read_part(body)[:3]) + body[FLIP_AT:]]
    )
    honest = net.node()
    honest.disk[oid] = liar.disk[oid]
    net.connect(honest, wants)
    got(net, wants, oid, (liar.name, honest.name))
    assert wants.disk[oid].data == data and not wants.errors


def test_a_mixture_of_packed_and_plain_chunks() -> None:
    net = Net(10, rate_bps=1e7, delay_s=0.01)
    owner, wants = net.node(), net.node()
    data = b"".join(text(CHUNK) if n % 2 else net.rng.randbytes(CHUNK) for n in range(12)) + text(
        100
    )
    oid, item = make(data, 18)
    item.public = True
    owner.disk[oid] = item
    seen = kinds(owner)
    net.connect(owner, wants)
    got(net, wants, oid)
    assert wants.disk[oid].data == data and not wants.errors
    assert seen[messages.DATA] > 6 and seen[messages.PACKED] > 5


def test_a_low_limit_cuts_packed_chunks_into_parts() -> None:
    net, owner, wants, oid, data = pair(11, size=3 * CHUNK)
    owner.give(events.SetLimits(up=2e4))
    seen = kinds(owner)
    got(net, wants, oid)
    assert wants.disk[oid].data == data and not wants.blamed
    assert seen[messages.PACKED] > 12


def test_rates_are_told_in_bytes_of_the_object() -> None:
    net, _, wants, oid, data = pair(12, size=100 * CHUNK)
    net.rates[0, 1] = 3e5
    got(net, wants, oid)
    told = [p for at, p in wants.progress if p.sources and p.rate_bps]
    took = wants.progress[-1][0] - 100
    assert told[-2].sources[0][1] == pytest.approx(len(data) / took, rel=0.4)


def test_an_older_peer_is_understood() -> None:
    """It says nothing of packing in its requests, and knows no such field in ours."""
    message = messages.Request(1, ObjectId(bytes(32)), ((0, 1),), 2, unpacks=True)
    body = messages.encode(message)
    assert body[1:4] == b"\x91\x96\x01" and body[-1] == 0xC3  # an array of six: the tag first
    (short,) = messages.decode(body[:2] + b"\x95" + body[3:-1])
    assert short == messages.Request(1, message.oid, message.runs, 2, unpacks=False)
    assert messages.decode(body[:2] + b"\x97" + body[3:] + b"\x05") == [message]
