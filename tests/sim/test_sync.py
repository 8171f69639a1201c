"""Sets kept in step: of any size, over cuts, in chains, among liars; and what defends them."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from bench.reconcile import reconcile
from tests.sim.sets import SET, Net, Node, entry, follow

from whispurrnet.store import sync_follow
from whispurrnet.store.sync_events import Config, Leave, Unfollow
from whispurrnet.store.sync_messages import (
    BUSY,
    CLOSED,
    NO_ACCESS,
    VERSION,
    Entry,
    SyncAnnounce,
    SyncAnswer,
    SyncClose,
    SyncDescribe,
    SyncEnd,
    SyncMessage,
    SyncOpen,
    SyncOpened,
    SyncQuery,
    SyncRefused,
)
from whispurrnet.wire.items import Items
from whispurrnet.wire.ranges import Writer, parse
from whispurrnet.wire.reconcile import Reconciler

MINE, YOURS, BOTH = range(1000), range(1000, 2000), range(2000, 9000)


def pair(
    net: Net, mine: list[Entry], yours: list[Entry], config: Config | None = None
) -> list[Node]:
    """Two that follow each other, and are not connected yet."""
    a, b = net.node(config), net.node(config)
    a.join(mine, [1])
    b.join(yours, [0])
    return [a, b]


@pytest.mark.parametrize(
    ("mine", "yours", "both"),
    [(0, 0, 0), (0, 0, 3000), (1, 0, 0), (0, 700, 0), (300, 300, 0), (5, 5, 2000), (900, 0, 50)],
)
def test_two_end_with_the_same_set(mine: int, yours: int, both: int) -> None:
    net = Net(mine + yours)
    common = [entry(n) for n in BOTH[:both]]
    a, b = pair(
        net,
        common + [entry(n) for n in MINE[:mine]],
        common + [entry(n) for n in YOURS[:yours]],
    )
    net.watch = mine + yours < 100
    net.link(a, b)
    net.run(10.0)
    assert a.has == b.has and len(a.has) == mine + yours + both
    assert a.core.progress(SET) == b.core.progress(SET)
    assert a.synced + b.synced >= 1
    assert not a.faults + b.faults and not a.ended + b.ended
    assert max(a.fetched.values(), default=1) == 1, "none twice"
    net.run(600.0)
    assert net.messages < 60 + (mine + yours) / 20
    for node in (a, b):
        node.core.check_invariants()


def test_one_compares_for_both() -> None:
    net = Net()
    a, b = pair(net, [entry(1)], [entry(2)])
    net.link(a, b)
    net.run(30.0)
    assert a.has == b.has
    assert a.synced + b.synced == 1
    net.run(1000.0)
    assert a.synced + b.synced <= 5, "and so it stays"


def test_who_only_follows_changes_nothing() -> None:
    net = Net()
    a, b = net.node(), net.node()
    a.join([entry(1)])
    b.join([entry(2)], [0])
    net.link(a, b)
    net.run(400.0)
    assert len(a.has) == 1 and len(b.has) == 2


def test_what_is_new_arrives_by_itself() -> None:
    """In a chain, at once, and each once."""
    net = Net()
    a, b, c = (net.node() for _ in range(3))
    for node, sources in ((a, [1]), (b, [0, 2]), (c, [1])):
        node.join([], sources)
    net.link(a, b)
    net.link(b, c)
    net.run(5.0)
    messages = net.messages
    a.add(entry(1))
    net.run(0.5)
    assert c.has.keys() == b.has.keys() == a.has.keys()
    assert net.messages - messages == 2, "two announcements"
    for n in range(2, 400):
        c.add(entry(n))
    net.run(1.0)
    assert len(a.has) == 399
    assert net.messages - messages <= 2 + 2 * 4


@pytest.mark.parametrize("which", ["both", "new"])
def test_a_cut_at_each_message(which: str) -> None:
    """Whenever the session ends: the next one ends with the same set, and nothing comes twice."""
    common = [entry(n) for n in BOTH[:40]]
    mine = common + [entry(n) for n in MINE[:40]]
    yours = common + [entry(n) for n in YOURS[:70]] if which == "both" else common
    cut = 1
    while True:
        net = Net(cut)
        a, b = pair(net, mine, yours)
        net.cut_after = cut
        net.link(a, b)
        net.run(1.0)
        a.add(entry(9999))
        net.run(30.0)
        assert a.has == b.has, f"cut after {cut}"
        assert max((a.fetched + b.fetched).values()) == 1
        assert not a.objections + b.objections
        if net.messages < cut:
            break
        cut += 1
    assert cut > 8


def test_the_earlier_time_holds() -> None:
    net = Net()
    same = [(n, 500 + n, 400 + 2 * n) for n in range(200)]
    a, b = pair(net, [entry(n, one) for n, one, _ in same], [entry(n, two) for n, _, two in same])
    net.link(a, b)
    net.run(700.0)
    assert not a.fetched + b.fetched
    alike = [n for n, one, two in same if a.has[entry(n).oid] == b.has[entry(n).oid]]
    assert len(alike) > 180, "all but neighbours whose order did not matter"
    assert all(a.has[entry(n).oid].time_s == min(same[n][1:]) for n in alike)
    sent = net.bytes
    net.run(1500.0)
    assert net.bytes - sent < 8 * 800, "what was found is found for good"


@pytest.mark.soak
def test_a_hundred_thousand_objects() -> None:
    count = 100_000
    net = Net()
    net.watch = False
    a, b = net.node(), net.node()
    a.join([entry(n) for n in range(count)])
    b.join([], [0])
    net.link(a, b)
    net.run(20.0)
    assert len(b.has) == count
    assert net.bytes < count * 120


@pytest.mark.soak
def test_two_stores_of_a_million() -> None:
    figures = reconcile()
    assert figures["reconcile"]["value"] < 64.0
    assert figures["reconcile_rounds"]["value"] == 3.0


def test_a_time_that_is_later_is_asked_about_once() -> None:
    """The source does not follow us, so it keeps its time."""
    net = Net()
    a, b = net.node(), net.node()
    a.join([entry(n, 500) for n in range(40)], [1])
    b.join([entry(n, 900) for n in range(40)])
    net.link(a, b)
    net.run(2000.0)
    assert a.synced > 4
    assert b.looked == 40 and not a.fetched


def test_several_sources() -> None:
    """What one cannot give comes from another; what goes with one is needed of the next."""
    net = Net()
    sources = [net.node() for _ in range(3)]
    for at, node in enumerate(sources):
        node.join([entry(n) for n in range(at * 100, at * 100 + 250)])
    me = net.node()
    me.join([], [0, 1, 2])
    for node in sources:
        net.link(node, me)
    net.run(0.14)  # all have told what they have, and nothing is fetched
    assert len(me.fetching) == 450 and not me.fetched
    net.cut(sources[0], me)
    net.run(10.0)
    assert me.has.keys() >= {entry(n).oid for n in range(100, 450)}
    net.link(sources[0], me)
    net.run(10.0)
    assert len(me.has) == 450
    assert max(me.fetched.values()) == 1
    assert not me.fetching and not me.faults


def test_a_large_set_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower from nothing: it asks for no more than it can fetch, and as long as it brings."""
    monkeypatch.setattr(sync_follow, "ROUNDS_MIN", 4)
    count = 20_000
    net = Net()
    net.watch = False
    a, b = net.node(), net.node(Config(wanted_max=500))
    a.join([entry(n) for n in range(count)])
    b.join([], [0])
    net.link(a, b)
    known = 0
    for _ in range(300):
        net.run(0.2)
        progress = b.core.progress(SET)
        assert progress is not None
        known = max(known, progress.wanted)
    assert len(b.has) == count
    assert known <= 500 + 1024 + 750, "nor learns of more"
    assert b.fetching_max <= 500 + 1024
    assert net.bytes < count * 130
    assert net.messages < count / 20
    assert not b.faults and not a.objections


SLOW_TO_TELL = Config(announced_max=50)
SLOW_TO_READ = Config(announced_per_s=10.0)
FULL = Config(wanted_max=100)


@pytest.mark.parametrize(
    ("source", "follower"), [(SLOW_TO_TELL, FULL), (Config(), SLOW_TO_READ), (Config(), FULL)]
)
@pytest.mark.parametrize("again", [True, False])
def test_a_burst_is_caught_up_with(source: Config, follower: Config, again: bool) -> None:
    """More is new at once than is announced, read or fetched: comparing finds it."""
    net = Net()
    a, b = net.node(source), net.node(msgspec.structs.replace(follower, again=again))
    a.join()
    b.join([], [0])
    net.link(a, b)
    net.run(2.0)
    for n in range(1000):
        a.add(entry(n))
    net.run(60.0)
    assert (len(b.has) == 1000) is again, "a node that compares once misses it"


# Access


def test_only_who_may_see_it_follows() -> None:
    net = Net()
    a, b, stranger = (net.node() for _ in range(3))
    a.key = b.key = b"k" * 32
    stranger.key = b"guess".ljust(32)
    a.join([entry(1)])
    for node in (b, stranger):
        node.join([], [0])
        net.link(a, node)
    net.run(5.0)
    assert b.has.keys() == a.has.keys()
    assert not stranger.has
    assert [(one.code, one.theirs) for one in stranger.ended] == [(NO_ACCESS, True)]
    b.banned[0] = a.banned[1] = None
    a.add(entry(2))
    net.run(5.0)
    assert len(b.has) == 1, "what is taken back holds for what is new"
    assert b.ended[-1].code == NO_ACCESS
    stranger.key = a.key
    net.run(100.0)
    assert stranger.has.keys() == a.has.keys(), "it asks again"


def test_a_set_that_is_not_here_looks_like_one_that_may_not_be_seen() -> None:
    answers = []
    for joined in (True, False):
        net = Net()
        a, b = net.node(), net.node()
        a.banned[1] = None
        if joined:
            a.join([entry(1)])
        b.join([], [0])
        net.link(a, b)
        net.send(1, 0, SyncQuery(SET, Reconciler(Items()).initiate()))
        net.send(1, 0, SyncDescribe(SET, (entry(1).oid,)))
        net.run(1.0)
        answers.append((b.ended, net.messages, net.bytes))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("gate", [True, False])
def test_who_was_not_let_in_learns_nothing(gate: bool) -> None:
    """A peer that asks without having opened."""
    net = Net()
    a, spy = net.node(Config(gate=gate)), net.node(kind=Spy)
    a.key = b"k" * 32
    a.join([entry(n) for n in range(10)])
    net.link(a, spy)
    net.send(1, 0, SyncOpen(SET, 1, 1, 0))
    net.send(1, 0, SyncQuery(SET, Reconciler(Items()).initiate()))
    net.send(1, 0, SyncDescribe(SET, (entry(1).oid,)))
    net.run(1.0)
    a.add(entry(11))
    net.run(1.0)
    assert isinstance(spy, Spy)
    leaks = [m for m in spy.heard if isinstance(m, SyncAnswer | SyncAnnounce | SyncOpened)]
    assert bool(leaks) is not gate


def test_leaving_and_following_no_longer() -> None:
    net = Net()
    a, b = pair(net, [entry(1)], [])
    net.link(a, b)
    net.run(30.0)
    b.handle(Unfollow(SET, 0))
    net.run(1.0)
    a.add(entry(2))
    b.add(entry(3))
    net.run(5.0)
    assert len(b.has) == 2 and len(a.has) == 3
    follow(b, a)
    net.run(5.0)
    assert a.has == b.has
    a.handle(Leave(SET))
    net.run(1.0)
    assert [(one.code, one.theirs) for one in b.ended] == [(CLOSED, True)]
    assert a.core.sets() == [] and a.core.deadline is None


def test_versions_that_do_not_meet() -> None:
    net = Net()
    a, new = net.node(), net.node(kind=Spy)
    a.join([entry(1)])
    net.link(a, new)
    net.send(1, 0, SyncOpen(SET, 2, 3, 0))
    net.run(1.0)
    assert isinstance(new, Spy)
    (said,) = new.heard
    assert isinstance(said, SyncRefused) and said.code == VERSION
    assert "speak version 1" in said.text and "2 to 3" in said.text
    (told,) = a.ended
    assert told.code == VERSION and "2 to 3" in told.text, "both are told"


def test_a_refusal_for_good_and_one_for_now() -> None:
    for code, opens in ((VERSION, 1), (BUSY, 3), (99, 3)):
        net = Net()
        a, b = net.node(), net.node(kind=Spy)
        a.join([], [1])
        net.link(a, b)
        for _ in range(2):
            net.run(1.0)
            net.send(1, 0, SyncRefused(SET, code, "go away"))
            net.run(80.0)
        assert isinstance(b, Spy)
        assert sum(isinstance(m, SyncOpen) for m in b.heard) == opens
        assert {one.text for one in a.ended} <= {
            "go away",
            "it does not answer whether we may follow",
        }


# Liars


class Spy(Node):
    """Says nothing by itself."""

    def __init__(self, net: Net, name: int, config: Config) -> None:
        super().__init__(net, name, config)
        self.heard: list[SyncMessage] = []

    def hear(self, peer: int, message: SyncMessage) -> None:
        self.heard.append(message)
        if isinstance(message, SyncOpen):
            self.net.send(self.name, peer, SyncOpened(SET, 1))
        self.lie(peer, message)

    def lie(self, peer: int, message: SyncMessage) -> None:
        """What it does instead."""


class Inventor(Spy):
    """Has whatever is asked for, and more each time; none of it can be fetched.

    Left alone it knocks, to be heard again.
    """

    def lie(self, peer: int, message: SyncMessage) -> None:
        rng = self.net.rng
        if isinstance(message, SyncClose):
            knock = SyncOpen(SET, 1, 1, 0)
            for n in range(20):
                self.net.after(n, lambda: self.net.send(self.name, peer, knock))
        if isinstance(message, SyncQuery):
            items = Items((5, rng.randbytes(32)) for _ in range(700))
            answer = Reconciler(items, 23_900).answer(message.query)
            self.net.send(self.name, peer, SyncAnswer(SET, answer))
        if isinstance(message, SyncDescribe):
            entries = [Entry(5, oid, 1000) for oid in message.oids]
            self.net.send(self.name, peer, SyncAnnounce(SET, tuple(entries[:256])))
            self.net.send(self.name, peer, SyncAnnounce(SET, tuple(entries[256:])))


class Quibbler(Spy):
    """Differs in everything, for ever, and names nothing."""

    def lie(self, peer: int, message: SyncMessage) -> None:
        if isinstance(message, SyncQuery):
            writer = Writer(23_900)
            for part in parse(message.query):
                writer.fingerprint(part.bound, self.net.rng.randbytes(16))
            self.net.send(self.name, peer, SyncAnswer(SET, writer.message()))


class Flooder(Spy):
    """Announces what nobody has, all day."""

    def lie(self, peer: int, message: SyncMessage) -> None:
        if isinstance(message, SyncOpen):
            self.net.after(0.1, lambda: self.flood(peer))

    def flood(self, peer: int) -> None:
        rng = self.net.rng
        entries = tuple(Entry(5, rng.randbytes(32), 1000) for _ in range(256))
        self.net.send(self.name, peer, SyncAnnounce(SET, entries))
        self.net.send(self.name, peer, SyncEnd(SET, all=False))
        self.net.after(0.01, lambda: self.flood(peer))


class Mute(Spy):
    """Lets follow, and then says no more."""


def beside(liar: type[Spy], seconds: float, config: Config | None = None) -> tuple[Node, Spy]:
    """A node with an honest source of 3,000 objects, and a liar."""
    net = Net(7)
    net.watch = False
    honest, me, bad = net.node(), net.node(config), net.node(kind=liar)
    honest.join([entry(n) for n in range(3000)])
    me.join([entry(n) for n in range(1000)], [0, 2])
    net.link(me, bad)
    net.link(me, honest)
    net.run(seconds)
    assert len([oid for oid in me.has if oid in honest.has]) == 3000, "the honest one is heard"
    assert len(me.has) == 3000
    me.core.check_invariants()
    assert isinstance(bad, Spy)
    return me, bad


def test_objects_that_do_not_exist() -> None:
    me, bad = beside(Inventor, 60.0)
    assert [fault.peer for fault in me.faults] == [2]
    assert "does not give" in me.ended[-1].text and me.ended[-1].peer == 2
    queries = sum(isinstance(message, SyncQuery) for message in bad.heard)
    assert queries <= 8
    assert me.fetching_max <= 2 * (2048 + 1024)


def test_a_comparison_without_end() -> None:
    _, bad = beside(Quibbler, 100.0)
    queries = sum(isinstance(message, SyncQuery) for message in bad.heard)
    assert 64 < queries < 3 * 120


@pytest.mark.parametrize("bounded", [True, False])
def test_a_flood_of_ids(bounded: bool) -> None:
    net = Net(7)
    net.watch = False
    me, bad = net.node(Config(bounded=bounded)), net.node(kind=Flooder)
    me.fetch = lambda *_: None  # type: ignore[method-assign,misc]
    me.join([], [1])
    net.link(me, bad)
    net.run(5.0 if bounded else 1.0)
    assert (me.fetching_max <= 2048) is bounded
    assert isinstance(bad, Spy)
    if bounded:
        assert me.looked <= 4 * 2000 + 5 * 2000
        assert sum(isinstance(m, SyncQuery) for m in bad.heard) <= 2, "and it sets no pace"


def test_a_source_that_says_nothing() -> None:
    me, bad = beside(Mute, 200.0)
    assert {fault.kind for fault in me.faults} == {"unserved"}
    assert sum(isinstance(message, SyncQuery) for message in bad.heard) in (2, 3)


def test_a_follower_that_asks_too_much() -> None:
    """Its questions wait, one at a time; others are served as ever."""
    net = Net()
    net.watch = False
    a, bad, b = net.node(), net.node(kind=Spy), net.node()
    a.join([entry(n) for n in range(3000)])
    net.link(a, bad)
    net.send(1, 0, SyncOpen(SET, 1, 1, 0))
    net.run(0.1)
    assert isinstance(bad, Spy)
    query = Reconciler(Items()).initiate()
    for _ in range(50):
        for _ in range(40):
            net.send(1, 0, SyncQuery(SET, query))
        net.send(1, 0, SyncDescribe(SET, tuple(Random(1).randbytes(32) for _ in range(512))))
        net.run(0.1)
    answers = sum(isinstance(message, SyncAnswer) for message in bad.heard)
    assert answers <= 4 * 64 + 5 * 64 + 2
    assert a.objections, "a query before the last one was answered"
    a.core.check_invariants()
    b.join([], [0])
    net.link(a, b)
    net.run(5.0)
    assert len(b.has) == 3000


def test_a_follower_that_wants_everything_described() -> None:
    net = Net()
    a, bad = net.node(Config(described_per_s=1000.0)), net.node(kind=Spy)
    a.join([entry(n) for n in range(10)])
    net.link(a, bad)
    net.send(1, 0, SyncOpen(SET, 1, 1, 0))
    for n in range(100):
        net.send(1, 0, SyncDescribe(SET, tuple(Random(n).randbytes(32) for _ in range(512))))
    net.run(1.0)
    assert len(a.objections) > 90
    assert set(a.objections) == {"too many objects to be described at a time"}
    assert a.looked <= 2 * 1024
    net.run(10.0)
    assert a.looked == (100 - len(a.objections)) * 512, "what waits is done in its turn"


def test_knocking_all_day() -> None:
    net = Net()
    a, bad = net.node(), net.node(kind=Spy)
    net.link(a, bad)
    for n in range(500):
        net.send(1, 0, SyncOpen(Random(n).randbytes(32), 1, 1, 0))
    net.run(1.0)
    assert isinstance(bad, Spy) and len(bad.heard) <= 66
    assert {fault.kind for fault in a.faults} == {"flood"}


def test_a_version_that_was_not_offered() -> None:
    net = Net()
    a, bad = net.node(), net.node(kind=Spy)
    a.join([entry(1)], [1])
    net.link(a, bad)
    net.send(1, 0, SyncOpened(SET, 2))
    net.run(1.0)
    assert a.objections == ["a set was opened in a version that was not offered"]
    progress = a.core.progress(SET)
    assert progress is not None and progress.sources == 1, "the right answer counts"


def test_messages_that_are_malformed() -> None:
    net = Net()
    a, bad = net.node(), net.node(kind=Spy)
    a.join([entry(1)], [1])
    net.link(a, bad)
    net.send(1, 0, SyncOpen(SET, 1, 1, 0))
    net.run(1.0)
    before = a.core.progress(SET)
    for message in (SyncQuery(SET, b"\x61\xff"), SyncAnswer(SET, b"\xff"), SyncAnswer(SET, b"")):
        net.send(1, 0, message)
        net.run(0.1)
        assert a.core.progress(SET) == before
    assert len(a.objections) == 3
    a.core.check_invariants()
