"""Objects between simulated nodes: slow, dying and lying sources, limits, priorities, cuts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from tests.sim.transfers import Item, Net, Node, make, make_cut

from whispurrnet.store import messages
from whispurrnet.store import transfer_events as events
from whispurrnet.store.object import Header, Mode, small_id
from whispurrnet.wire.ids import ObjectId

MIB = 1 << 20
Lie = Callable[[int, bytes], list[bytes]]


def have(node: Node, oid: ObjectId, item: Item) -> None:
    node.disk[oid] = item


def over(node: Node) -> bool:
    return bool(node.done or node.failed)


def swarm(seed: int, sources: int, size: int, **config: Any) -> tuple[Net, list[Node], ObjectId]:
    """So many nodes that have an object, and one that wants it, the last."""
    net = Net(seed, rate_bps=2e7, delay_s=0.005)
    nodes = [net.node(**config) for _ in range(sources + 1)]
    oid, item = make(net.rng.randbytes(size))
    for node in nodes[:-1]:
        have(node, oid, item)
        net.connect(node, nodes[-1])
    return net, nodes, oid


def fetch(node: Node, oid: ObjectId, sources: list[Node], **more: Any) -> None:
    names = tuple(source.name for source in sources)
    node.give(events.Fetch(oid=oid, sources=names, **more))


def spoil(body: bytes, at: int = -1) -> bytes:
    spoiled = bytearray(body)
    spoiled[at] ^= 1
    return bytes(spoiled)


def in_data(change: Callable[[bytes], list[bytes]]) -> Lie:
    """A liar that changes the parts of chunks that it sends."""

    def lie(_: int, body: bytes) -> list[bytes]:
        return change(body) if body[0] == messages.DATA else [body]

    return lie


def in_pages(**fields: Callable[[bytes], bytes]) -> Lie:
    """A liar that sends other pages than there are."""

    def lie(_: int, body: bytes) -> list[bytes]:
        if body[0] != messages.MESSAGES:
            return [body]
        told = messages.decode(body)
        for i, message in enumerate(told):
            if isinstance(message, messages.PageIs):
                known = {name: getattr(message, name) for name in message.__struct_fields__}
                known |= {name: flip(known[name]) for name, flip in fields.items()}
                told[i] = messages.PageIs(**known)
        return [messages.encode(*told)]

    return lie


LIES = {
    "a bit of a chunk": in_data(lambda body: [spoil(body)]),
    "too short, then the next": in_data(lambda body: [body[:-5]]),
    "too long": in_data(lambda body: [body + b"more"]),
    "twice": in_data(lambda body: [body, body]),
    "endless": in_data(lambda body: [body] + [body[:-1] + b"x"] * 200),
    "another chunk": in_data(lambda body: [body[:5] + b"\0\1\0\0" + body[9:]]),
    "another fetch": in_data(lambda body: [body[:1] + b"\0\1\0\0" + body[5:]]),
    "another place": in_data(lambda body: [body[:9] + b"\0\0\0\7" + body[13:]]),
    "nothing in it": in_data(lambda body: [body[:13]]),
    "half a header": in_data(lambda body: [body[:7]]),
    "a leaf": in_pages(leaves=spoil),
    "a page too short": in_pages(leaves=lambda leaves: leaves[:-32]),
    "the header": in_pages(header=spoil),
    "a proof": in_pages(proof=lambda proof: proof + bytes(32)),
    "lengths": in_pages(lengths=lambda lengths: lengths + bytes(8)),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_liar_among_three_is_found_and_named(lie: str) -> None:
    net, nodes, oid = swarm(1, 3, 3 * MIB)
    *sources, wants = nodes
    sources[0].lie = LIES[lie]
    fetch(wants, oid, sources)
    net.run(lambda: over(wants))
    assert wants.disk[oid].data == sources[1].disk[oid].data
    named = {peer for peer, *_ in wants.blamed} | {peer for peer, _ in wants.errors}
    assert named == {0}
    assert not wants.failed


@pytest.mark.parametrize("lie", ["a bit of a chunk", "a leaf", "too long"])
def test_with_only_a_liar_it_ends_and_says_why(lie: str) -> None:
    net, (liar, wants), oid = swarm(2, 1, MIB)
    liar.lie = LIES[lie]
    fetch(wants, oid, [liar])
    net.run(lambda: over(wants), 200)
    assert "nobody to get it from" in wants.failed[oid]
    assert wants.blamed[0][:2] == (0, oid)
    assert not wants.done


def test_without_the_check_what_is_stored_is_wrong() -> None:
    """The control: the test above can fail."""
    net, nodes, oid = swarm(1, 3, 3 * MIB, check=False)
    *sources, wants = nodes
    sources[0].lie = LIES["a bit of a chunk"]
    fetch(wants, oid, sources)
    net.run(lambda: over(wants))
    assert wants.disk[oid].data != sources[1].disk[oid].data


@pytest.mark.parametrize("ban", [True, False])
def test_a_liar_is_not_asked_again(ban: bool) -> None:
    net, nodes, oid = swarm(3, 2, 6 * MIB, ban=ban)
    *sources, wants = nodes
    net.rates[1, 2] = 2e6
    sources[0].lie = LIES["a bit of a chunk"]
    fetch(wants, oid, sources)
    net.run(lambda: over(wants))
    assert wants.done
    assert (len(wants.blamed) == 1) == ban  # without it, the liar lies on: the control
    assert [weight for *_, weight in wants.blamed][:2] == [1, 2][: len(wants.blamed)]


def test_lies_about_two_objects_weigh_more() -> None:
    net, (liar, wants), oid = swarm(4, 1, MIB)
    liar.lie = LIES["a bit of a chunk"]
    other, item = make(net.rng.randbytes(MIB))
    have(liar, other, item)
    for each in (oid, other):
        fetch(wants, each, [liar])
    net.run(lambda: len(wants.failed) == 2, 200)
    assert [weight for *_, weight in wants.blamed] == [1, 2]


def test_one_lies_one_dies_one_is_slow() -> None:
    net, nodes, oid = swarm(5, 3, 8 * MIB)
    liar, dies, slow, wants = nodes
    liar.lie = LIES["a bit of a chunk"]
    net.rates[slow.name, wants.name] = 2e6
    fetch(wants, oid, [liar, dies, slow])
    net.at(net.now + 0.2, lambda: net.kill(dies))
    net.run(lambda: over(wants), 30)
    assert wants.disk[oid].data == slow.disk[oid].data
    assert {peer for peer, *_ in wants.blamed} == {liar.name}
    assert wants.stored == slow.disk[oid].header.chunks


@pytest.mark.parametrize("endgame", [8, 0])
@pytest.mark.parametrize("double", [True, False])
def test_a_source_that_stalls_does_not_hold_up_the_others(double: bool, endgame: int) -> None:
    net, nodes, oid = swarm(6, 2, 4 * MIB, double=double, endgame=endgame)
    stalls, good, wants = nodes
    stalls.lie = in_data(lambda _: [])
    fetch(wants, oid, [stalls, good])
    took = net.run(lambda: over(wants), 60)
    assert wants.done
    assert (took < 3) == double  # without it, the stall has to end first: the control
    assert not wants.blamed


@pytest.mark.parametrize("endgame", [8, 0])
def test_the_last_chunks_do_not_wait_for_the_slowest(endgame: int) -> None:
    net, nodes, oid = swarm(38, 2, MIB, endgame=endgame)
    slow, fast, wants = nodes
    net.rates[slow.name, wants.name] = 1e5
    fetch(wants, oid, [slow, fast])
    took = net.run(lambda: over(wants), 60)
    assert wants.done
    assert (took < 0.2) == bool(endgame)
    assert sum(wants.received.values()) < MIB + (10 << 14)


def test_a_stall_has_a_deadline_and_a_word() -> None:
    net, (stalls, wants), oid = swarm(7, 1, MIB)
    stalls.lie = in_data(lambda _: [])
    fetch(wants, oid, [stalls])
    net.run(lambda: over(wants), 300)
    assert "it stalled" in wants.failed[oid]
    assert any("it stalled" in progress.waiting for _, progress in wants.progress)


def test_a_silent_source_ends_with_a_word() -> None:
    net, (silent, wants), oid = swarm(8, 1, MIB)
    silent.lie = lambda _peer, _body: []
    fetch(wants, oid, [silent])
    net.run(lambda: over(wants), 300)
    assert "it stalled" in wants.failed[oid]
    assert any("an answer" in progress.waiting for _, progress in wants.progress)


def test_who_may_not_have_it_is_not_told_that_it_is_there() -> None:
    net, (owner, wants), oid = swarm(9, 1, MIB)
    owner.denied.add(oid)
    other = ObjectId(bytes(32))
    for each in (oid, other):
        fetch(wants, each, [owner])
    net.run(lambda: len(wants.failed) == 2, 200)
    assert wants.failed[oid] == wants.failed[other]
    assert "not there, or not for us" in wants.failed[oid]


@pytest.mark.parametrize("all_of_them", [True, False])
def test_access_that_is_taken_back_ends_the_serving(all_of_them: bool) -> None:
    net, (owner, wants), oid = swarm(10, 1, 4 * MIB)
    fetch(wants, oid, [owner])
    net.wait(0.1)
    owner.denied.add(oid)
    owner.give(events.Recheck(None if all_of_them else oid))
    net.run(lambda: over(wants), 200)
    assert "not for us" in wants.failed[oid]
    assert wants.disk[oid].chunks


def test_a_cut_resumes_where_it_was() -> None:
    net, (owner, wants), oid = swarm(11, 1, 8 * MIB)
    fetch(wants, oid, [owner])
    for _ in range(5):
        net.wait(0.06)
        net.cut(owner, wants)
        net.wait(0.5)
        net.connect(owner, wants)
    net.run(lambda: over(wants), 30)
    size = wants.disk[oid].header.size
    assert wants.disk[oid].data == owner.disk[oid].data
    assert wants.received[owner.name] < size * 1.25  # what was on its way, five times


def test_what_is_known_is_not_sent_again() -> None:
    net, (owner, wants), oid = swarm(12, 1, 4 * MIB)
    item = owner.disk[oid]
    mine = wants.disk[oid] = Item(item.header)
    mine.chunks = {i: item.chunks[i] for i in range(200)}
    mine.pages = dict(item.pages)
    known = events.Known(header=item.header, pages=tuple(mine.pages.values()), runs=((0, 200),))
    fetch(wants, oid, [owner], known=known)
    net.run(lambda: over(wants), 30)
    assert mine.data == item.data
    assert wants.stored == 56
    assert wants.received[owner.name] < 57 * (1 << 14)


def test_a_part_of_an_object() -> None:
    net, (owner, wants), oid = swarm(13, 1, 4 * MIB)
    fetch(wants, oid, [owner], only=((3, 2), (100, 1), (255, 40)))
    net.run(lambda: over(wants), 30)
    assert sorted(wants.disk[oid].chunks) == [3, 4, 100, 255]
    assert wants.progress[-1][1].total == 4 << 14


@pytest.mark.parametrize("size", [0, 1, 1 << 14, (1 << 14) + 1])
def test_sizes_at_the_edge(size: int) -> None:
    net, (owner, wants), oid = swarm(14, 1, size)
    fetch(wants, oid, [owner])
    net.run(lambda: over(wants), 30)
    assert wants.disk[oid].data == owner.disk[oid].data


def test_many_pages() -> None:
    net = Net(15)
    net.checks = False
    owner, wants = net.node(), net.node()
    oid, item = make(net.rng.randbytes(3 * MIB), 10)
    have(owner, oid, item)
    net.connect(owner, wants)
    fetch(wants, oid, [owner])
    net.run(lambda: over(wants), 60)
    assert wants.disk[oid].data == item.data
    assert wants.disk[oid].pages == item.pages and len(item.pages) == 6


def test_an_object_that_is_cut_by_content() -> None:
    net = Net(33)
    liar, owner, wants = [net.node() for _ in range(3)]
    oid, item = make_cut(net.rng, 1100)
    liar.lie = LIES["a bit of a chunk"]
    for node in (liar, owner):
        have(node, oid, item)
        net.connect(node, wants)
    net.checks = False
    fetch(wants, oid, [liar, owner])
    net.run(lambda: over(wants), 60)
    assert wants.disk[oid].data == item.data
    assert wants.disk[oid].pages == item.pages
    assert {peer for peer, *_ in wants.blamed} == {0}
    assert wants.progress[-1][1].total == item.header.size
    mine = wants.disk[oid]
    mine.chunks = {i: item.chunks[i] for i in range(1, 1100)}
    known = events.Known(header=item.header, pages=tuple(mine.pages.values()), runs=((1, 1099),))
    wants.done.clear()
    fetch(wants, oid, [owner], known=known)
    net.run(lambda: over(wants), 60)
    assert mine.data == item.data


def test_those_who_fetch_the_same_give_it_to_each_other() -> None:
    net = Net(16, rate_bps=1e7, delay_s=0.002)
    seed, *others = [net.node(have_s=0.2, rest_s=0.2) for _ in range(4)]
    oid, item = make(net.rng.randbytes(6 * MIB))
    have(seed, oid, item)
    nodes = [seed, *others]
    for i, node in enumerate(nodes):
        for other in nodes[:i]:
            net.connect(node, other)
    for node in others:
        fetch(node, oid, [other for other in nodes if other is not node])
    # The seed's link is shared: 3 MB a second to each, a third of what one alone would take.
    for node in others:
        net.rates[seed.name, node.name] = 3e6
    took = net.run(lambda: all(map(over, others)), 30)
    assert all(node.disk[oid].data == item.data for node in others)
    given = sum(net.sent[seed.name, node.name] for node in others)
    assert given < 2 * item.header.size  # and not three times
    assert took < 1.5
    assert not any(node.blamed or node.errors for node in nodes)


def test_four_slow_sources_add_up() -> None:
    net, nodes, oid = swarm(17, 4, 12 * MIB)
    *sources, wants = nodes
    for source in sources:
        net.rates[source.name, wants.name] = 2e6
    fetch(wants, oid, sources)
    took = net.run(lambda: over(wants), 30)
    assert took < 12 * MIB / 7e6
    extra = wants.received
    assert sum(extra.values()) < 12 * MIB * 1.05


@pytest.mark.parametrize(("rate_bps", "delay_s", "log2"), [(6.25e6, 0.05, 18), (6e6, 0.05, 14)])
def test_a_long_path_is_kept_full(rate_bps: float, delay_s: float, log2: int) -> None:
    net = Net(18, rate_bps=rate_bps, delay_s=delay_s)
    net.checks = False
    owner, wants = net.node(), net.node()
    data = net.rng.randbytes(int(rate_bps * 4))
    oid, item = make(data, log2)
    have(owner, oid, item)
    net.connect(owner, wants)
    fetch(wants, oid, [owner])
    took = net.run(lambda: over(wants), 60)
    assert len(data) / took > 0.8 * rate_bps


def test_on_one_machine_little_is_on_its_way() -> None:
    net = Net(19, rate_bps=4e8, delay_s=0.0002)
    net.checks = False
    owner, wants = net.node(), net.node()
    oid, item = make(net.rng.randbytes(24 * MIB), 18)
    have(owner, oid, item)
    net.connect(owner, wants)
    fetch(wants, oid, [owner])
    most = 0

    def look() -> bool:
        nonlocal most
        most = max(most, wants.core.held_bytes)
        return over(wants)

    took = net.run(look, 60)
    assert most <= 12 << 18
    assert 24 * MIB / took > 0.9 * 4e8


@pytest.mark.parametrize(
    ("who", "limits"),
    [
        ("wants", {"down": 1e6}),
        ("owner", {"up": 1e6}),
        ("owner", {"up_peer": 1e6}),
        ("owner", {"up": 5e5}),
    ],
)
def test_limits_hold_within_a_tenth(who: str, limits: dict[str, float]) -> None:
    net, (owner, wants), oid = swarm(20, 1, 6 * MIB)
    (wants if who == "wants" else owner).give(events.SetLimits(**limits))
    fetch(wants, oid, [owner])
    took = net.run(lambda: over(wants), 60)
    (rate,) = limits.values()
    assert 0.9 * rate < 6 * MIB / took < 1.1 * rate


def test_a_limit_is_shared_by_those_who_want_something() -> None:
    net = Net(21, rate_bps=1e8)
    owner, *others = [net.node() for _ in range(4)]
    oid, item = make(net.rng.randbytes(4 * MIB))
    have(owner, oid, item)
    owner.give(events.SetLimits(up=2e6))
    for other in others:
        net.connect(owner, other)
        fetch(other, oid, [owner])
    net.wait(3)
    got = [other.received[0] for other in others]
    assert sum(got) == pytest.approx(6e6, rel=0.1)
    assert max(got) < 1.2 * min(got)


def test_a_low_limit_is_no_stall_for_many() -> None:
    net = Net(34, rate_bps=1e8)
    net.checks = False
    owner, *others = [net.node() for _ in range(9)]
    oid, item = make(net.rng.randbytes(1 << 15), 18)
    have(owner, oid, item)
    owner.give(events.SetLimits(up=4e3))
    for other in others:
        net.connect(owner, other)
        fetch(other, oid, [owner])
    took = net.run(lambda: all(map(over, others)), 90)
    assert all(other.done for other in others)
    assert 60 < took < 75
    assert all(other.received[0] < 36_000 for other in others)


def test_a_limit_of_nothing_is_a_pause() -> None:
    net, (owner, wants), oid = swarm(22, 1, 4 * MIB)
    wants.give(events.SetLimits(down=0))
    fetch(wants, oid, [owner])
    net.wait(300)
    assert not over(wants) and not wants.stored
    assert "limit" in wants.progress[-1][1].waiting
    wants.give(events.SetLimits())
    net.run(lambda: over(wants), 30)
    assert wants.done


@pytest.mark.parametrize("limits", [{}, {"down": 2e6}])
def test_what_is_urgent_goes_faster(limits: dict[str, float]) -> None:
    net = Net(23, rate_bps=4e6, delay_s=0.005)
    owner, wants = net.node(), net.node()
    net.connect(owner, wants)
    wants.give(events.SetLimits(**limits))
    oids = []
    for priority in (1, 3):
        oid, item = make(net.rng.randbytes(4 * MIB))
        have(owner, oid, item)
        oids.append(oid)
        fetch(wants, oid, [owner], priority=priority)
    net.run(lambda: bool(wants.done), 30)
    assert wants.done == [oids[1]]
    ratio = len(wants.disk[oids[0]].chunks) / 256
    assert 0.12 < ratio < 0.45  # four times as fast, but what is less urgent is not starved


def test_progress_is_told_four_times_a_second_at_most() -> None:
    net, (owner, wants), oid = swarm(24, 1, 8 * MIB)
    net.rates[owner.name, wants.name] = 2e6
    fetch(wants, oid, [owner])
    net.run(lambda: over(wants), 30)
    times = [at for at, _ in wants.progress][:-1]  # the last comes with the end
    assert all(b - a >= 0.25 - 1e-9 for a, b in pairwise(times))
    told = wants.progress[len(times) // 2][1]
    assert told.rate_bps == pytest.approx(2e6, rel=0.15)
    left = (told.total - told.verified) / 2e6
    assert told.eta_s == pytest.approx(left, rel=0.2)
    assert told.sources[0][1] == pytest.approx(2e6, rel=0.15)
    assert [p.verified for _, p in wants.progress] == sorted(p.verified for _, p in wants.progress)
    assert wants.progress[-1][1].verified == wants.progress[-1][1].total == 8 * MIB


def test_a_full_disk_ends_the_fetch_with_its_words() -> None:
    net, (owner, wants), oid = swarm(25, 1, MIB)
    wants.broken_disk = "there is no room left on the disk"
    fetch(wants, oid, [owner])
    net.run(lambda: over(wants), 30)
    assert wants.failed == {oid: wants.broken_disk}
    assert wants.core.held_bytes == 0


def test_a_file_that_changed_there() -> None:
    net, (owner, wants), oid = swarm(26, 1, 4 * MIB)
    fetch(wants, oid, [owner])
    net.wait(0.05)
    owner.broken_disk = "the file has changed"
    net.run(lambda: over(wants), 200)
    assert "changed" in wants.failed[oid]


def test_a_slow_disk_bounds_what_is_held() -> None:
    net, (owner, wants), oid = swarm(27, 1, 4 * MIB, unstored_bytes=1 << 18)
    wants.store_s = 0.5
    fetch(wants, oid, [owner])
    most = 0

    def look() -> bool:
        nonlocal most
        most = max(most, wants.core.held_bytes)
        return over(wants)

    net.run(look, 60)
    assert wants.done
    assert most < 2 << 20


def small(rng: Random, n: int) -> dict[ObjectId, messages.Whole]:
    wholes = {}
    for _ in range(n):
        data = rng.randbytes(rng.choice([0, 10, 1000, 16384]))
        header = Header(Mode.FIXED, 18, len(data))
        oid = small_id(header, data)
        wholes[oid] = (oid, header, data)
    return wholes


def test_small_objects_go_many_at_a_time() -> None:
    net = Net(28, rate_bps=1e8, delay_s=0.01)
    owner, wants = net.node(), net.node()
    net.connect(owner, wants)
    owner.small = small(net.rng, 5000)
    absent = ObjectId(b"x" * 32)
    wants.give(events.FetchSmall(0, (*owner.small, absent)))
    took = net.run(lambda: len(wants.small) == len(owner.small), 30)
    net.wait(0.1)
    assert wants.small == owner.small
    assert list(wants.missing) == [absent]
    assert took < 1.5


def test_a_lie_about_a_small_object() -> None:
    net = Net(29)
    liar, wants = net.node(), net.node()
    net.connect(liar, wants)
    liar.small = small(net.rng, 100)
    liar.lie = lambda _, body: [spoil(body) if body[0] == messages.SMALL else body]
    wants.give(events.FetchSmall(0, tuple(liar.small)))
    net.run(lambda: len(wants.small) + len(wants.missing) == len(liar.small), 30)
    assert wants.blamed[0][0] == liar.name
    assert "lied" in next(iter(wants.missing.values()))


def test_small_objects_of_who_is_gone_or_silent_are_missing() -> None:
    net = Net(30)
    owner, wants = net.node(), net.node()
    owner.small = small(net.rng, 100)
    oids = tuple(owner.small)
    wants.give(events.FetchSmall(0, oids))
    assert "not connected" in wants.missing[oids[0]]
    net.connect(owner, wants)
    owner.lie = lambda _peer, _body: []
    wants.missing.clear()
    wants.give(events.FetchSmall(0, oids))
    net.run(lambda: len(wants.missing) == len(oids), 60)
    assert "does not answer" in wants.missing[oids[0]]
    wants.missing.clear()
    wants.give(events.FetchSmall(0, oids))
    net.cut(owner, wants)
    assert "ended" in wants.missing[oids[0]]


def test_what_a_peer_may_ask_for_is_bounded() -> None:
    net, (owner, asks), oid = swarm(31, 1, MIB)
    many = messages.Request(1, oid, ((0, 300),), 2)
    pages = [messages.AskPage(2, oid, n) for n in range(20)]
    endless = messages.Request(3, oid, ((0, (1 << 32) - 1),), 2)
    smalls = [messages.AskSmall(tuple([oid] * 512)) for _ in range(5)]
    for told in ([many], pages, [endless], smalls):
        before = len(owner.errors)
        owner.give(events.Arrived(asks.name, messages.encode(*told)))
        assert len(owner.errors) == before + 1
    net.checks = False
    for ref in range(10, 300):
        asked = messages.Request(ref, oid, ((0, 4),), 2)
        owner.give(events.Arrived(asks.name, messages.encode(asked)))
        net.wait(0.001)
    owner.core.check_invariants()
    assert owner.core.served_bytes <= owner.core.config.held_bytes + (4 << 14)


def test_other_messages_are_passed_on() -> None:
    net, (owner, asks), _ = swarm(32, 1, 0)
    told = messages.Access(b"r" * 32, b"p" * 32)
    owner.give(events.Arrived(asks.name, messages.encode(told)))
    assert owner.passed == [(asks.name, told)]
    for body in (b"", b"\x09", b"\x00\xff", b"\x02short", b"\x01short"):
        owner.give(events.Arrived(asks.name, body))
    assert len(owner.errors) == 5
    assert net.now == 100.0


@pytest.mark.parametrize("told", ["have", "lacking"])
def test_who_says_over_and_over_what_it_has_is_stopped(told: str) -> None:
    net, (owner, wants), oid = swarm(35, 1, MIB)
    owner.give(events.SetLimits(up=0))
    fetch(wants, oid, [owner])
    net.wait(1)
    runs = tuple((2 * i, 1) for i in range(1000))
    message = messages.Have(1, oid, False, runs)
    body = messages.encode(message if told == "have" else messages.Lacking(1, runs))
    for _ in range(200):
        wants.give(events.Arrived(owner.name, body))
    assert 95 < len(wants.errors) < 105


def test_who_was_not_asked_for_long_has_not_stalled() -> None:
    """One says nothing to the first question; the other is asked only then, and has its time."""
    net, (silent, honest, wants), oid = swarm(44, 2, MIB, stall_s=2.0, page_wait_s=60.0)
    silent.lie = lambda _, body: []
    fetch(wants, oid, [silent, honest])
    took = net.run(lambda: over(wants), 30)
    assert wants.done and took < 4.0


def test_an_object_larger_than_the_limit_fails_at_once() -> None:
    net, (owner, wants), oid = swarm(36, 1, MIB, size_max=MIB - 1)
    fetch(wants, oid, [owner])
    net.run(lambda: over(wants), 30)
    assert "the limit is 1048575" in wants.failed[oid]
    assert not wants.stored


def test_memory_for_all_fetches_together_is_bounded() -> None:
    net = Net(37)
    owner, wants = net.node(), net.node(memory_bytes=1 << 18)
    net.connect(owner, wants)
    for _ in range(20):
        oid, item = make(net.rng.randbytes(1 << 18))
        have(owner, oid, item)
        fetch(wants, oid, [owner])
    most = 0

    def look() -> bool:
        nonlocal most
        most = max(most, wants.core.held_bytes)
        return len(wants.done) == 20

    net.run(look, 60)
    assert 1 << 17 < most < (1 << 18) + (1 << 14)
    assert not wants.core.held_bytes


def test_memory_for_all_who_are_served_is_bounded() -> None:
    net = Net(39, rate_bps=2e6)
    net.checks = False
    owner, *others = [net.node(held_bytes=1 << 16) for _ in range(11)]
    oid, item = make(net.rng.randbytes(1 << 18))
    have(owner, oid, item)
    for other in others:
        net.connect(owner, other)
        fetch(other, oid, [owner])
    most = 0

    def look() -> bool:
        nonlocal most
        most = max(most, owner.core.served_bytes)
        return all(map(over, others))

    net.run(look, 60)
    assert all(other.done for other in others)
    # What the last to read may add: as much as is read ahead for one.
    assert 1 << 15 < most <= (1 << 16) + (1 << 20)
    assert most < 10 * item.header.size // 2
    assert not owner.core.served_bytes


def test_a_page_that_nobody_asked_for_is_refused() -> None:
    net, (owner, wants), oid = swarm(40, 1, MIB)
    fetch(wants, oid, [owner])
    owner.give(events.SetLimits(up=0))
    net.wait(1)
    item = owner.disk[oid]
    told = messages.page_is(1, item.header, item.pages[0])
    wants.give(events.Arrived(owner.name, messages.encode(told)))  # that one was
    assert not wants.errors
    wants.give(events.Arrived(owner.name, messages.encode(told)))
    assert len(wants.errors) == 1
