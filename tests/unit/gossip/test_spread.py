"""Spread: what one node does with what its neighbours push, announce, ask and compare."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from random import Random

import pytest
from tests.sim.overlay import Plain, body

from whispurrnet.base.errors import ProtocolError
from whispurrnet.gossip.spread import (
    Add,
    Arrived,
    Config,
    Deliver,
    Effect,
    Event,
    Fault,
    Publish,
    Remove,
    Send,
    Spread,
    Sync,
    Tick,
    Useful,
)
from whispurrnet.gossip.spread_frames import (
    CONTROL,
    IHAVE,
    IWANT,
    ONLY_ANNOUNCED,
    PAYLOAD,
    PUSH,
    SYNC,
    SYNCED,
    URGENT,
    ihave,
    iwant,
    push,
)

ID = b"i" * 16
LARGE = Config().eager_bytes_max + 1


class Node:
    """One core, its neighbours 0 to n-1, and what it sends them."""

    def __init__(self, peers: int = 8, **settings: float | bool) -> None:
        self.checker = Plain()
        self.core = Spread(Config(**settings), self.checker, Random(1))  # type: ignore[arg-type]
        for peer in range(peers):
            self.do(Add(peer), 0.0)

    def do(self, event: Event, now: float) -> list[Effect]:
        effects = self.core.handle(event, now)
        self.core.check_invariants()
        return effects

    def pushed(self, peer: int, message: bytes, now: float, hop: int = 0) -> list[Effect]:
        return self.do(Arrived(peer, push(hop, message)), now)

    def run(self, until: float) -> list[tuple[float, Effect]]:
        """What it does by itself, comparisons left out."""
        done: list[tuple[float, Effect]] = []
        while (due := self.core.deadline) is not None and due <= until:
            done += [(round(due, 3), effect) for effect in self.do(Tick(), due)]
            after = self.core.deadline
            assert after is None or after > due, "a tick settles what was due"
        return [(at, effect) for at, effect in done if not is_kind(effect, SYNC)]


def is_kind(effect: Effect, kind: int) -> bool:
    return isinstance(effect, Send) and effect.data[0] == kind


def to(effects: list[Effect], kind: int) -> list[int]:
    return [
        effect.peer for effect in effects if isinstance(effect, Send) and effect.data[0] == kind
    ]


def message(
    id: bytes = ID, expires_at: float = 300.0, *, urgent: bool = False, size: int = 64
) -> bytes:
    return body(id, expires_at, urgent=urgent, size=size)


# Forwarding


def test_who_publishes_pushes_to_all() -> None:
    node = Node()
    effects = node.do(Publish(message()), 1.0)
    assert effects[:8] == [Send(peer, push(0, message()), PAYLOAD) for peer in range(8)]
    item = node.checker.inspect(message(), 1.0)
    assert effects[8:] == [Deliver(message(), 0, item)]
    assert node.core.has(ID)
    assert node.core.stats["published"] == 1
    assert node.do(Publish(message()), 1.0) == [], "once is enough"


def test_who_receives_announces_to_four_and_then_pushes_to_three() -> None:
    node = Node()
    effects = node.pushed(2, message(), 1.0, hop=4)
    assert effects[0] == Useful(2)
    announced, pushed = to(effects, IHAVE), to(effects, PUSH)
    assert len(announced) == 4 and len(pushed) == 3
    assert sorted(announced + pushed) == [0, 1, 3, 4, 5, 6, 7]
    assert [effect.data[0] for effect in effects if isinstance(effect, Send)] == [IHAVE] * 4 + [
        PUSH
    ] * 3
    assert {effect.data for effect in effects if is_kind(effect, PUSH)} == {push(5, message())}  # type: ignore[union-attr]
    assert isinstance(effects[-1], Deliver) and effects[-1].hop == 4


def test_whom_it_pushes_to_is_chance() -> None:
    chosen = dict[tuple[int, ...], None]()
    node = Node()
    for n in range(200):
        effects = node.pushed(0, message(bytes((n,)) * 16), 1.0 + n)
        chosen[tuple(sorted(to(effects, PUSH)))] = None
    assert len(chosen) > 30, "of 35"


def test_who_announced_gets_neither() -> None:
    node = Node()
    for peer in (3, 4, 5, 6, 7):
        node.do(Arrived(peer, ihave(0, [ID])), 1.0)
    effects = node.pushed(0, message(), 1.1)
    assert sorted(to(effects, PUSH)) == [1, 2]
    assert to(effects, IHAVE) == []


def test_a_copy_is_counted_and_nothing_else() -> None:
    node = Node()
    node.pushed(0, message(), 1.0)
    assert node.pushed(1, message(), 1.1) == []
    assert node.core.stats["duplicates"] == 1
    assert node.checker.admitted[ID] == 1


def test_who_sends_a_copy_is_not_told_of_it_any_more() -> None:
    node = Node(peers=2)
    node.pushed(0, message(b"a" * 16), 1.0)
    for n, arrived in enumerate((push(1, message(b"b" * 16)), ihave(0, [b"b" * 16]))):
        node = Node(fanout=0)
        node.pushed(0, message(b"a" * 16), 1.0)
        node.pushed(0, message(b"b" * 16), 1.01)
        node.do(Arrived(5, arrived), 1.02)
        announced = [effect.peer for _, effect in node.run(1.2) if is_kind(effect, IHAVE)]  # type: ignore[union-attr]
        assert announced == [1, 2, 3, 4, 6, 7], n


def test_at_the_last_hop_it_is_only_announced() -> None:
    node = Node()
    effects = node.pushed(0, message(), 1.0, hop=10)
    assert to(effects, PUSH) == []
    assert [effect.data for effect in effects if isinstance(effect, Send)] == [
        ihave(ONLY_ANNOUNCED, [ID])
    ] * 7
    assert to(Node().pushed(0, message(), 1.0, hop=9), PUSH) != []


def test_beyond_the_last_hop_it_is_refused() -> None:
    node = Node()
    assert node.pushed(0, message(), 1.0, hop=11) == [Fault(0, "malformed")]
    assert not node.core.has(ID)


def test_what_is_large_is_only_announced_also_by_who_publishes_it() -> None:
    for effects in (
        Node().do(Publish(message(size=LARGE)), 1.0),
        Node().pushed(0, message(size=LARGE), 1.0),
    ):
        assert to(effects, PUSH) == []
        announced = [effect.data for effect in effects if isinstance(effect, Send)]
        assert announced == [ihave(ONLY_ANNOUNCED, [ID])] * len(announced)
        assert len(announced) >= 7


def test_what_is_urgent_is_pushed_to_all_at_every_hop() -> None:
    node = Node()
    effects = node.pushed(3, message(urgent=True), 1.0, hop=7)
    assert to(effects, PUSH) == [0, 1, 2, 4, 5, 6, 7]
    assert all(effect.priority == URGENT for effect in effects if isinstance(effect, Send))
    effects = node.pushed(3, message(b"u" * 16, urgent=True), 1.0, hop=10)
    assert to(effects, IHAVE) == [0, 1, 2, 4, 5, 6, 7], "the announcement does not wait either"
    effects = node.pushed(3, message(b"v" * 16, urgent=True), 1.0, hop=10)
    assert to(effects, IHAVE) == [0, 1, 2, 4, 5, 6, 7]


# Refusing


def test_what_has_expired_is_not_taken() -> None:
    node = Node()
    assert node.pushed(0, message(expires_at=1.0), 1.0) == [Fault(0, "expired")]
    assert node.do(Publish(message(expires_at=1.0)), 1.0) == []
    assert not node.core.has(ID)
    assert node.core.stats["expired"] == 1


def test_what_is_forged_is_not_taken_and_does_not_keep_the_true_one_out() -> None:
    node = Node()
    forged = message()[:29] + b"forged".ljust(35, b"\x00")
    assert node.pushed(0, forged, 1.0) == [Fault(0, "invalid")]
    assert not node.core.has(ID)
    assert isinstance(node.pushed(1, message(), 1.0)[0], Useful)


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"\x00",
            b"\x06",
            b"\xff",
            b"\x01",
            b"\x01\x00",
            b"\x01\x00short",
            b"\x02",
            b"\x02\x00",
        ),
        *(b"\x02\x00" + b"x" * 15, b"\x03", b"\x03" + b"x" * 17, b"\x03" + bytes(16 * 257)),
        *(b"\x04", b"\x04\xff", b"\x04\x61\xff"),
    ],
)
def test_what_is_malformed_is_a_fault_and_changes_nothing(data: bytes) -> None:
    node = Node()
    before = node.core.deadline
    assert node.do(Arrived(3, data), 1.0) == [Fault(3, "malformed")]
    assert node.core.deadline == before


def test_a_malformed_answer_of_the_one_that_was_asked_is_a_fault() -> None:
    node = Node()
    assert node.do(Arrived(3, b"\x05\xff"), 1.0) == [], "nobody asked"
    node.do(Sync(3), 1.0)
    assert node.do(Arrived(3, b"\x05\xff"), 1.0) == [Fault(3, "malformed")]


def test_what_cannot_be_published_is_said() -> None:
    with pytest.raises(ProtocolError):
        Node().do(Publish(b"short"), 1.0)


def test_strangers_are_not_heard() -> None:
    node = Node(peers=1)
    for event in (Arrived(5, push(0, message())), Remove(5), Sync(5)):
        assert node.do(event, 1.0) == []
    assert not node.core.has(ID)
    assert node.core.expects(5) == 0


# Asking and serving


def test_what_is_announced_and_not_pushed_is_asked_for() -> None:
    node = Node()
    node.do(Arrived(3, ihave(0, [ID])), 1.0)
    assert [peer for _, effect in node.run(1.39) for peer in to([effect], IWANT)] == []
    done = [(at, effect) for at, effect in node.run(1.5) if isinstance(effect, Send)]
    assert done == [(1.4, Send(3, iwant([ID]), CONTROL))]
    assert node.core.expects(3) == 1
    effects = node.pushed(3, message(), 1.5, hop=5)
    assert len(to(effects, PUSH)) == 3
    assert node.core.stats["repaired"] == 1
    assert node.core.expects(3) == 0
    assert [effect for _, effect in node.run(30.0) if is_kind(effect, IWANT)] == []


def test_what_nobody_pushes_is_asked_for_soon() -> None:
    node = Node()
    node.do(Arrived(3, ihave(ONLY_ANNOUNCED, [ID])), 1.0)
    assert [at for at, effect in node.run(1.3) if is_kind(effect, IWANT)] == [1.1]


def test_what_came_is_not_asked_for() -> None:
    node = Node()
    node.do(Arrived(3, ihave(0, [ID])), 1.0)
    node.pushed(0, message(), 1.2)
    node.do(Arrived(4, ihave(0, [ID])), 1.3)
    assert [effect for _, effect in node.run(30.0) if is_kind(effect, IWANT)] == []


def test_who_announces_and_never_serves_is_at_fault() -> None:
    node = Node()
    node.do(Arrived(3, ihave(0, [ID, b"j" * 16])), 1.0)
    faults = [(at, effect) for at, effect in node.run(6.0) if isinstance(effect, Fault)]
    assert faults == [(4.4, Fault(3, "unserved"))]


def test_without_retry_it_asks_once() -> None:
    for retry, tries in ((True, 2), (False, 1)):
        node = Node(retry=retry)
        node.do(Arrived(3, ihave(0, [ID])), 1.0)
        node.do(Arrived(4, ihave(0, [ID])), 1.0)
        asked = [effect for _, effect in node.run(3.0) if is_kind(effect, IWANT)]
        assert len(asked) == tries


def test_who_asks_is_served_until_it_expires() -> None:
    node = Node()
    node.pushed(0, message(), 1.0)
    assert node.do(Arrived(3, iwant([b"?" * 16, ID])), 299.9) == [
        Send(3, push(5, message()), PAYLOAD)
    ]
    assert node.do(Arrived(3, iwant([ID])), 300.0) == []
    node.pushed(0, message(b"u" * 16, urgent=True), 1.0)
    assert node.do(Arrived(3, iwant([b"u" * 16])), 2.0)[0].priority == URGENT  # type: ignore[union-attr]


def test_who_asks_for_all_again_and_again_is_served_within_bounds() -> None:
    node = Node(served_bytes_per_s=100 * 1024)
    node.pushed(0, message(size=1024), 1.0)
    served = sum(len(node.do(Arrived(3, iwant([ID] * 256)), 2.0 + n / 10)) for n in range(20))
    assert 200 <= served <= 400
    assert len(node.do(Arrived(4, iwant([ID])), 4.0)) == 1, "others are"


def test_announcements_go_together() -> None:
    node = Node(fanout=0)
    first = node.pushed(0, message(b"a" * 16), 1.0)
    assert len(to(first, IHAVE)) == 7
    assert to(node.pushed(0, message(b"b" * 16), 1.01), IHAVE) == []
    assert to(node.pushed(0, message(b"c" * 16), 1.02), IHAVE) == []
    done = node.run(1.2)
    assert [at for at, _ in done] == [1.06] * 7
    assert done[0][1] == Send(1, ihave(0, [b"b" * 16, b"c" * 16]), CONTROL)


def test_who_announces_too_much_is_at_fault() -> None:
    node = Node(announced_max=10)
    ids = [bytes((n,)) * 16 for n in range(30)]
    assert node.do(Arrived(3, ihave(0, ids[:10])), 1.0) == []
    assert node.do(Arrived(3, ihave(0, ids)), 1.0) == [Fault(3, "flood")]


def announced_bytes(announced_max: int) -> int:
    """How much memory is taken by what one neighbour announces, in bytes."""
    node = Spread(Config(announced_max=announced_max), Plain(), Random(1))
    node.handle(Add(0), 0.0)
    rng = Random(2)
    frames = [ihave(0, [rng.randbytes(16) for _ in range(256)]) for _ in range(100)]
    tracemalloc.start()
    for frame in frames:
        node.handle(Arrived(0, frame), 1.0)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken


def test_what_is_announced_takes_bounded_memory() -> None:
    assert announced_bytes(4096) < 4096 * 800
    assert announced_bytes(1024) < 1024 * 800
    assert announced_bytes(10**9) > 4 * 4096 * 800, "without the bound it grows"


def test_what_is_announced_is_forgotten_when_nobody_brings_it() -> None:
    node = Node(unserved_s=0.4)
    rng = Random(3)
    for n in range(200):
        node.run(n / 10)
        for peer in range(8):
            node.do(Arrived(peer, ihave(0, [rng.randbytes(16)])), n / 10)
    node.run(60.0)
    assert len(node.core._wants) == 0


# Comparing


def compare(asker: Node, answerer: Node, now: float) -> int:
    """Let one compare with the other, and ask for what it lacks; how many messages it got."""
    effects, got = asker.do(Sync(0), now), 0
    for _ in range(100):
        sent = [effect for effect in effects if isinstance(effect, Send) and effect.peer == 0]
        if not sent:
            due = asker.core.deadline
            if due is None or due > now + 2:
                break
            effects = asker.do(Tick(), due)
            continue
        effects = []
        for frame in sent:
            for answer in answerer.do(Arrived(0, frame.data), now):
                if isinstance(answer, Send) and answer.peer == 0:
                    got += answer.data[0] == PUSH
                    effects += asker.do(Arrived(0, answer.data), now)
    return got


def test_a_comparison_brings_what_was_missed() -> None:
    asker, answerer = Node(peers=3, sync_s=1e6), Node(peers=3, sync_s=1e6)
    asker.run(3.0), answerer.run(3.0)
    rng = Random(4)
    bodies = [message(rng.randbytes(16), 100.0 + n) for n in range(60)]
    for text in bodies[:50]:
        answerer.pushed(1, text, 4.0)
    for text in bodies[20:]:
        asker.pushed(1, text, 4.0)
    answerer.run(5.0), asker.run(5.0)
    assert compare(asker, answerer, 5.0) == 20
    assert all(asker.core.has(text[:16]) for text in bodies)
    assert asker.core.stats["repaired"] == 20
    answerer.run(8.0)
    assert answerer.core.stats["asked"] == 10, "it was told what it lacks"


def test_what_a_comparison_brought_is_announced_and_not_pushed() -> None:
    node, other = Node(sync_s=1e6), Node(sync_s=1e6)
    node.run(3.0), other.run(3.0)
    other.pushed(1, message(), 4.0)
    query = node.do(Sync(3), 5.0)[0].data  # type: ignore[union-attr]
    answer = other.do(Arrived(0, query), 5.0)[0].data  # type: ignore[union-attr]
    assert (query[0], answer[0]) == (SYNC, SYNCED)
    assert node.do(Arrived(3, answer), 5.0) == []
    node.run(5.2)
    effects = node.pushed(3, message(), 5.3, hop=5)
    assert to(effects, PUSH) == []
    assert len(to(effects, IHAVE)) == 7


def test_it_compares_soon_after_the_first_neighbour_came_and_then_each_minute() -> None:
    node = Node(peers=0)
    assert node.core.deadline is None
    node.do(Add(0), 10.0)
    times = []
    while (due := node.core.deadline) is not None and due < 500.0:
        times += [due] * len(to(node.do(Tick(), due), SYNC))
    assert times[0] <= 12.0
    assert all(48.0 <= after - before <= 72.0 for before, after in pairwise(times))
    node.do(Remove(0), 500.0)
    assert node.core.deadline is None


def test_who_compares_all_the_time_is_at_fault() -> None:
    node = Node()
    query = node.do(Sync(0), 1.0)[0].data  # type: ignore[union-attr]
    done = [node.do(Arrived(3, query), 1.0)[0] for _ in range(70)]
    assert sum(is_kind(effect, SYNCED) for effect in done) == 64
    assert done[-1] == Fault(3, "flood")


# Time and neighbours


def test_a_neighbour_that_is_gone_gets_nothing() -> None:
    node = Node(fanout=0)
    node.pushed(0, message(b"a" * 16), 1.0)
    node.pushed(0, message(b"b" * 16), 1.01)
    node.do(Arrived(5, ihave(0, [ID])), 1.0)
    node.do(Remove(5), 1.02)
    sent = [effect.peer for _, effect in node.run(60.0) if isinstance(effect, Send)]
    assert sent and 5 not in sent
    assert 5 not in to(node.pushed(0, message(b"c" * 16), 61.0), IHAVE)
    node.do(Add(5), 62.0)
    node.do(Add(5), 62.0)
    assert 5 in to(node.pushed(0, message(b"d" * 16), 63.0), IHAVE)


@pytest.mark.parametrize("after_s", [1.0, 299.0, 301.0, 329.0, 331.0, 601.0])
@pytest.mark.parametrize("begun", [0.0, 100.0, 299.5, 300.0, 571.0])
def test_a_replay_is_not_delivered(begun: float, after_s: float) -> None:
    node = Node(sync_s=7.0)
    node.pushed(7, message(b"e" * 16, 300.0), 0.0)
    node.pushed(0, message(expires_at=begun + 330.0), begun)
    node.run(begun + after_s)
    effects = node.pushed(1, message(expires_at=begun + 330.0), begun + after_s)
    assert effects in ([], [Fault(1, "expired")])
    node.do(Arrived(2, ihave(0, [ID])), begun + after_s)
    node.run(begun + after_s + 2)
    assert node.checker.admitted[ID] == 1


def test_when_all_is_quiet_it_forgets_and_rests() -> None:
    node = Node(peers=1)
    node.pushed(0, message(), 1.0)
    node.do(Remove(0), 2.0)
    assert node.core.deadline == 300
    assert node.do(Tick(), 300.0) == []
    assert node.core.deadline is None
    assert len(node.core._cache) == 0


def test_more_ids_than_are_remembered_do_no_harm() -> None:
    node = Node(seen_max=20)
    for _ in range(2):
        for n in range(100):
            node.pushed(0, message(n.to_bytes(16, "big")), 1.0)
    assert len(node.core._seen) <= 20
