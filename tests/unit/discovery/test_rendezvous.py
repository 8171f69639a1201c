"""Contacts left under a name at a point, and who finds them there."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.discovery import notices
from whispurrnet.discovery.notices import (
    BUSY,
    CONTACT_BYTES_MAX,
    FULL,
    NO_POINT,
    TOO_MANY,
    Name,
    NoticeCodec,
)
from whispurrnet.discovery.registry import Bounds
from whispurrnet.discovery.rendezvous import (
    Arrived,
    Config,
    Down,
    Effect,
    Find,
    Found,
    Register,
    Rejected,
    Rendezvous,
    Send,
    Up,
    Withdraw,
)

REALM = b"r" * 32
CODEC = NoticeCodec()


class Net:
    """Cores that are all connected; core `n` is peer `n` to every other."""

    def __init__(self, count: int, config: Config | None = None, realm: bytes = REALM) -> None:
        self.now = 0.0
        self.rng = Random(7)
        config = config or Config(requests_per_s=1000.0)
        self.cores = [Rendezvous(config, realm, entropy=self.rng.randbytes) for _ in range(count)]
        self.news: list[tuple[int, Effect]] = []
        self.sent: list[tuple[int, int, notices.Message]] = []
        for one in range(count):
            for other in range(count):
                if one != other:
                    self.cores[one].handle(Up(other, bytes([other]) * 32), 0.0)

    def give(self, who: int, event: object) -> None:
        queue = [(who, event)]
        while queue:
            who, event = queue.pop(0)
            for effect in self.cores[who].handle(event, self.now):  # type: ignore[arg-type]
                if isinstance(effect, Send):
                    self.sent += [(who, effect.peer, it) for it in CODEC.decode(effect.body)]
                    queue.append((effect.peer, Arrived(who, effect.body)))
                else:
                    self.news.append((who, effect))
            self.cores[who].check_invariants()

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        end = self.now + seconds
        while True:
            due = [
                (at, n) for n, core in enumerate(self.cores) if (at := core.deadline) is not None
            ]
            if not due or min(due)[0] > end:
                break
            at, who = min(due)
            self.now = max(self.now, at)
            self.give(who, Tick())
        self.now = end

    def found(self, who: int, name: str, *peers: int) -> set[bytes]:
        self.news.clear()
        self.give(who, Find(name, peers))
        news = [effect for n, effect in self.news if n == who and isinstance(effect, Found)]
        assert [effect.done for effect in news] == [False] * (len(news) - 1) + [True]
        contacts = [contact for effect in news for contact in effect.contacts]
        assert len(contacts) == len(set(contacts))
        return set(contacts)


def register(name: str, contact: bytes, *peers: int, ttl_s: int = 600) -> Register:
    return Register(name, contact, ttl_s, peers)


def talk(core: Rendezvous, peer: int, message: notices.Message, now: float = 0.0) -> list[Effect]:
    return core.handle(Arrived(peer, CODEC.encode(message)), now)


def said(effects: list[Effect]) -> list[notices.Message]:
    return [it for e in effects if isinstance(e, Send) for it in CODEC.decode(e.body)]


def point(config: Config | None = None, guests: int = 3) -> Rendezvous:
    core = Rendezvous(config or Config(), REALM, entropy=Random(8).randbytes)
    for peer in range(guests):
        core.handle(Up(peer, peer.to_bytes(32, "big")), 0.0)
    return core


def test_two_meet_at_a_third() -> None:
    net = Net(3)
    net.give(1, register("cats of the roof", b"one is here", 0))
    assert net.found(2, "cats of the roof", 0) == {b"one is here"}
    assert net.found(2, "cats of the cellar", 0) == set()
    assert net.found(1, "cats of the roof", 0) == set()  # nobody finds oneself
    assert net.cores[0].kept == 1


def test_who_is_registered_answers_for_itself() -> None:
    """Also where it is left nowhere, and is no point; whoever else is there comes too."""
    net = Net(3)
    net.give(0, register("moon", b"anna"))
    assert net.found(2, "moon", 0) == {b"anna"}
    assert net.found(2, "sun", 0) == set()
    net.give(1, register("moon", b"ben", 0))
    assert net.found(2, "moon", 0) == {b"anna", b"ben"}
    assert net.found(1, "moon", 0) == {b"anna"}
    net.give(0, Withdraw("moon"))
    assert net.found(2, "moon", 0) == {b"ben"}
    net = Net(2, Config(point=False))
    net.give(0, register("moon", b"anna"))
    assert net.found(1, "moon", 0) == {b"anna"}
    assert net.found(1, "sun", 0) == set()


def test_what_is_answered_for_itself_comes_once_among_many() -> None:
    net = Net(72)
    for guest in range(1, 71):
        net.give(guest, register("moon", b"guest %d" % guest, 0))
    net.give(0, register("moon", b"the point"))
    expected = {b"guest %d" % guest for guest in range(1, 71)} | {b"the point"}
    assert net.found(71, "moon", 0) == expected


def test_a_point_learns_neither_name_nor_contact() -> None:
    net = Net(2)
    net.give(1, register("roof", b"my address", 0))
    [message] = [it for who, _, it in net.sent if who == 1]
    assert isinstance(message, notices.Register)
    assert b"roof" not in message.contact and b"my address" not in message.contact
    assert len(message.contact) == 256
    stranger = Name(b"s" * 32, "roof")
    assert stranger.key != message.name_key
    assert stranger.open(message.contact) is None
    assert Name(REALM, "roof").open(message.contact) == b"my address"


def test_a_registration_is_renewed_until_it_is_withdrawn() -> None:
    net = Net(3)
    net.give(1, register("roof", b"here", 0, ttl_s=100))
    for _ in range(30):
        net.wait(50)
        assert net.found(2, "roof", 0) == {b"here"}
    assert 15 <= len([it for _, _, it in net.sent if isinstance(it, notices.Register)]) <= 22
    net.give(1, Withdraw("roof"))
    net.give(1, Withdraw("roof"))
    assert net.found(2, "roof", 0) == set()
    assert net.cores[0].kept == 0
    assert net.cores[1].deadline is None


def test_who_vanishes_expires() -> None:
    net = Net(3)
    net.give(1, register("roof", b"here", 0, ttl_s=100))
    net.give(1, Down(0))
    net.give(0, Down(1))
    assert net.cores[1].deadline is None
    net.wait(99)
    assert net.found(2, "roof", 0) == {b"here"}
    net.wait(1)
    assert net.found(2, "roof", 0) == set()
    assert net.cores[0].deadline is None


def test_a_point_that_comes_later_gets_it_then() -> None:
    core = point(guests=0)
    assert core.handle(register("roof", b"x", 5), 0.0) == []
    assert isinstance(said(core.handle(Up(5, b"k" * 32), 1.0))[0], notices.Register)
    core.handle(Down(5), 2.0)
    assert isinstance(said(core.handle(Up(5, b"k" * 32), 3.0))[0], notices.Register)
    core.check_invariants()


def test_registering_again_replaces_contact_and_points() -> None:
    net = Net(4)
    net.give(1, register("roof", b"old", 0, 2))
    net.give(1, register("roof", b"new", 2, 2))
    assert net.found(3, "roof", 0) == set()
    assert net.found(3, "roof", 0, 2) == {b"new"}


def test_the_contact_found_at_two_points_is_found_once() -> None:
    net = Net(4)
    net.give(1, register("roof", b"here", 0, 2))
    assert net.found(3, "roof", 0, 2, 2) == {b"here"}


def test_many_come_page_by_page() -> None:
    net = Net(101)
    for who in range(1, 100):
        net.give(who, register("roof", b"%d" % who, 0))
    net.sent.clear()
    assert len(net.found(100, "roof", 0)) == 99
    assert len([it for _, _, it in net.sent if isinstance(it, notices.Discover)]) == 4


def test_a_cookie_leads_to_what_came_since() -> None:
    core = point(Config(requests_per_s=100.0), guests=5)
    for peer in range(4):
        talk(core, peer, notices.Register(b"n" * 32, b"%d" % peer, 600))
    ask = notices.Discover(b"n" * 32, 3, b"")
    [first] = said(talk(core, 4, ask))
    assert isinstance(first, notices.Registrations)
    assert first.entries == (b"0", b"1", b"2")
    [second] = said(talk(core, 4, notices.Discover(b"n" * 32, 3, first.cookie)))
    assert isinstance(second, notices.Registrations)
    assert second.entries == (b"3",)
    talk(core, 1, notices.Register(b"n" * 32, b"new", 600))
    [third] = said(talk(core, 4, notices.Discover(b"n" * 32, 3, second.cookie)))
    assert isinstance(third, notices.Registrations)
    assert third.entries == (b"new",)
    for other in (b"?" * 16, b"short", bytes(16)):
        [again] = said(talk(core, 4, notices.Discover(b"n" * 32, 32, other)))
        assert isinstance(again, notices.Registrations)
        assert again.entries == (b"0", b"2", b"3", b"new")


# Points that do not, or lie


def test_the_bounds_of_a_point() -> None:
    bounds = Bounds(per_owner=2, per_name=2, total=3)
    core = point(Config(bounds=bounds, requests_per_s=100.0), guests=4)

    def ask(peer: int, name: bytes) -> int:
        messages = said(talk(core, peer, notices.Register(name * 32, b"x", 600)))
        core.check_invariants()
        assert all(isinstance(it, notices.Refused) and it.asked == 1 for it in messages)
        return messages[0].reason if messages else 0  # type: ignore[union-attr]

    assert [ask(0, b"a"), ask(0, b"b"), ask(0, b"c")] == [0, 0, TOO_MANY]
    assert [ask(1, b"a"), ask(2, b"a"), ask(2, b"b")] == [0, FULL, FULL]
    assert ask(0, b"a") == 0  # again is not more
    talk(core, 0, notices.Unregister(b"b" * 32))
    talk(core, 0, notices.Unregister(b"z" * 32))
    assert ask(2, b"b") == 0
    core.handle(Tick(), 601.0)
    assert core.kept == 0


def test_too_many_requests_are_refused() -> None:
    core = point(Config(requests_per_s=1.0))
    ask = notices.Discover(b"n" * 32, 1, b"")
    answers = [said(talk(core, 0, ask))[0] for _ in range(9)]
    assert answers[-1] == notices.Refused(b"n" * 32, 3, BUSY)
    assert all(isinstance(answer, notices.Registrations) for answer in answers[:-1])
    assert isinstance(said(talk(core, 1, ask))[0], notices.Registrations)


def test_who_is_no_point_says_so_and_is_asked_again_much_later() -> None:
    net = Net(2, Config(point=False))
    net.give(1, register("roof", b"x", 0))
    assert net.news == [(1, Rejected("roof", 0, NO_POINT))]
    net.wait(200)
    assert len(net.news) == 1
    net.wait(200)
    assert len(net.news) == 2
    assert net.found(1, "roof", 0) == set()


def test_a_refusal_counts_once_and_only_from_a_point() -> None:
    core = point()
    core.handle(register("roof", b"x", 1), 0.0)
    no = notices.Refused(Name(REALM, "roof").key, 1, 77)
    assert talk(core, 0, no) == []
    assert talk(core, 1, no) == [Rejected("roof", 1, 77)]
    assert talk(core, 1, no) == []
    assert talk(core, 1, notices.Refused(b"?" * 32, 1, 1)) == []
    assert talk(core, 1, notices.Refused(b"?" * 32, 3, 1)) == []
    core.check_invariants()


def test_a_point_that_is_silent_is_waited_for_and_no_longer() -> None:
    core = point()
    core.handle(Find("roof", (0, 1, 9)), 0.0)
    name = Name(REALM, "roof")
    sealed = name.seal(b"here", Random(1).randbytes)
    answer = notices.Registrations(name.key, (b"junk", sealed, sealed), b"")
    assert talk(core, 2, answer) == []  # was not asked
    assert talk(core, 0, answer) == [Found("roof", (b"here",), done=False)]
    assert talk(core, 0, answer) == []  # has answered
    assert core.deadline == 10.0
    assert core.handle(Tick(), 10.0) == [Found("roof", (), done=True)]
    assert core.deadline is None


def test_a_point_that_goes_is_not_waited_for() -> None:
    core = point()
    core.handle(Find("roof", (0, 1)), 0.0)
    assert core.handle(Down(0), 1.0) == []
    assert core.handle(Down(1), 1.0) == [Found("roof", (), done=True)]
    assert core.handle(Find("roof", (0, 1)), 2.0) == [Found("roof", (), done=True)]


def test_a_point_that_never_ends_is_cut_short() -> None:
    core = point(Config(pages_max=3, contacts_max=70))
    core.handle(Find("roof", (0,)), 0.0)
    name, rng = Name(REALM, "roof"), Random(2)
    found = 0
    for page in range(3):
        entries = tuple(name.seal(rng.randbytes(9), rng.randbytes) for _ in range(32))
        effects = talk(core, 0, notices.Registrations(name.key, entries, b"more"))
        assert len(said(effects)) == (page < 2)
        [news] = [it for it in effects if isinstance(it, Found)]
        found += len(news.contacts)
        assert news.done == (page == 2)
    assert found == 70


def test_what_strangers_send_is_ignored() -> None:
    core = point(guests=0)
    assert core.handle(Arrived(3, b"anything"), 0.0) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        CODEC.encode(notices.Register(b"n" * 31, b"x", 600)),
        CODEC.encode(notices.Register(b"n" * 32, b"x" * 1025, 600)),
        CODEC.encode(notices.Register(b"n" * 32, b"", 600)),
        CODEC.encode(notices.Register(b"n" * 32, b"x", 59)),
        CODEC.encode(notices.Register(b"n" * 32, b"x", 7201)),
        CODEC.encode(notices.Discover(b"n" * 32, 33, b"")),
        CODEC.encode(notices.Discover(b"n" * 32, 1, b"c" * 17)),
        CODEC.encode(notices.Registrations(b"n" * 32, (b"x",) * 33, b"")),
        CODEC._codec.encode_all([notices.Unregister(b"n" * 32)] * 9),
        bytes(notices.BODY_BYTES_MAX + 1),
    ],
)
def test_malformed_bodies(body: bytes) -> None:
    core = point()
    with pytest.raises(ProtocolError):
        core.handle(Arrived(0, body), 0.0)
    assert core.kept == 0


# Our own mistakes


@pytest.mark.parametrize(
    "event",
    [
        register("", b"x", 0),
        register("a" * 257, b"x", 0),
        register("\ud800", b"x", 0),
        register("roof", bytes(CONTACT_BYTES_MAX + 1), 0),
        register("roof", b"x", 0, ttl_s=59),
        register("roof", b"x", 0, ttl_s=7201),
        register("roof", b"x", *range(17)),
        Find("", (0,)),
        Find("roof", tuple(range(20))),
    ],
)
def test_what_cannot_be(event: Register | Find) -> None:
    core = point(guests=20)
    with pytest.raises(UsageError):
        core.handle(event, 0.0)
    core.check_invariants()
    assert core.deadline is None


def test_too_many_names() -> None:
    core = point(Config(names_max=1))
    core.handle(register("one", b"x", 0), 0.0)
    core.handle(Find("one", (0,)), 0.0)
    with pytest.raises(LimitError):
        core.handle(register("two", b"x", 0), 0.0)
    with pytest.raises(LimitError):
        core.handle(Find("two", (0,)), 0.0)
    core.handle(register("one", b"y", 0), 0.0)
    assert core.handle(Find("one", (0,)), 0.0) == []  # it is on its way


@pytest.mark.parametrize("size", [0, 1, 214, 215, CONTACT_BYTES_MAX])
def test_contacts_of_any_size(size: int) -> None:
    name = Name(REALM, "roof")
    sealed = name.seal(b"c" * size, Random(3).randbytes)
    assert len(sealed) == (256 if size <= 214 else 1024)
    assert name.open(sealed) == b"c" * size
    for junk in (b"", sealed[:20], sealed[:39], sealed[:-1], b"x" + sealed[1:]):
        assert name.open(junk) is None
    assert Name(REALM, "cellar").open(sealed) is None
