"""Membership: what each event does, one core at a time."""

from __future__ import annotations

import itertools
from random import Random

import msgspec
import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.gossip.contact import Contact
from whispurrnet.gossip.membership import (
    Active,
    Arrived,
    Ban,
    Config,
    Consider,
    Dial,
    Down,
    Effect,
    Event,
    Failed,
    Graft,
    Inactive,
    Me,
    Membership,
    Release,
    Seek,
    Send,
    Tick,
    Up,
)
from whispurrnet.gossip.neighbours import (
    BODY_BYTES_MAX,
    CONTACTS_MAX,
    ForwardJoin,
    Join,
    Message,
    Neighbor,
    NeighborReply,
    Prune,
    Shuffle,
    ShuffleReply,
    codec,
)

WALL_S = 1_760_000_000
CODEC = codec()


def key_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def contact_of(number: int, expires_s: int = WALL_S + 3600) -> Contact:
    return Contact(key_of(number), (f"/memory/n{number}",), expires_s)


class Core:
    """A membership whose effects are easy to read: messages are decoded."""

    def __init__(self, config: Config | None = None, *, consents: bool = True) -> None:
        self.now = 0.0
        self.core = Membership(config, Random(1), lambda: WALL_S + int(self.now))
        self.feed(Me(key_of(0), contact_of(0) if consents else None))

    def feed(self, event: Event) -> list[object]:
        return [plain(effect) for effect in self.core.handle(event, self.now)]

    def up(
        self, peer: int, *, outbound: bool = False, prefix: str = "", friend: bool = False
    ) -> list[object]:
        return self.feed(Up(peer, key_of(peer), None, outbound, prefix, friend))

    def hear(self, peer: int, message: Message) -> list[object]:
        return self.feed(Arrived(peer, CODEC.encode_all([message])))

    def neighbour(self, peer: int, *, outbound: bool = False, prefix: str = "") -> None:
        """Let a peer be active."""
        self.up(peer, outbound=outbound, prefix=prefix)
        if outbound:
            self.hear(peer, NeighborReply(True, contact_of(peer), ()))
        else:
            self.hear(peer, Neighbor(False, contact_of(peer)))
        assert peer in self.core.active

    def wait(self, seconds: float) -> list[object]:
        """Let time pass, with all its ticks."""
        effects: list[object] = []
        until = self.now + seconds
        while (due := self.core.deadline) is not None and due <= until:
            self.now = max(self.now, due)
            effects += self.feed(Tick())
        self.now = until
        return effects

    def passive(self) -> set[int]:
        return {int.from_bytes(one.key, "big") for one in self.core.passive}


def plain(effect: Effect) -> object:
    if isinstance(effect, Send):
        [message] = CODEC.decode_all(effect.body)
        return effect.peer, message
    return effect


def kinds(effects: list[object]) -> list[str]:
    return [type(effect[1] if isinstance(effect, tuple) else effect).__name__ for effect in effects]


# Joining


def test_the_first_session_begins_with_a_join_and_the_answer_makes_it_active() -> None:
    core = Core()
    assert core.up(1, outbound=True) == [(1, Join(contact_of(0)))]
    assert core.hear(1, NeighborReply(True, contact_of(1), (contact_of(2),))) == [Active(1)]
    assert core.core.active == (1,)
    assert core.passive() == {2}
    [dial] = [one for one in core.wait(2) if isinstance(one, Dial)]
    assert dial == Dial(contact_of(2)), "one is few, so it is soon"


def test_who_does_not_consent_joins_without_a_contact() -> None:
    core = Core(consents=False)
    assert core.up(1, outbound=True) == [(1, Join(None))]


def test_a_join_is_answered_and_told_to_the_others() -> None:
    core = Core()
    core.neighbour(1)
    core.up(2)
    assert core.hear(2, Join(contact_of(2))) == [
        (2, NeighborReply(True, contact_of(0), (contact_of(1),))),
        Active(2),
        (1, ForwardJoin(contact_of(2), 6)),
    ]
    core.up(3)
    assert kinds(core.hear(3, Join(None))) == ["NeighborReply", "Active"]


def test_a_join_gets_a_place_of_the_newer_half_when_all_are_taken() -> None:
    core = Core()
    for peer in range(1, 5):
        core.neighbour(peer)
        core.now += 1
    core.up(9)
    effects = core.hear(9, Join(contact_of(9)))
    assert kinds(effects)[:4] == ["Prune", "Inactive", "NeighborReply", "Active"]
    assert core.core.active[:2] == (1, 2)
    assert 9 in core.core.active


def test_somebody_new_is_remembered_near_the_end_of_the_walk_and_passed_on() -> None:
    core = Core()
    core.neighbour(1)
    core.neighbour(2)
    assert core.hear(1, ForwardJoin(contact_of(7), 6)) == [(2, ForwardJoin(contact_of(7), 5))]
    assert core.passive() == set()
    assert core.hear(1, ForwardJoin(contact_of(7), 3)) == [(2, ForwardJoin(contact_of(7), 2))]
    assert core.hear(1, ForwardJoin(contact_of(8), 0)) == []
    assert core.hear(1, ForwardJoin(contact_of(0), 6)) == [], "that is us"
    assert core.hear(1, ForwardJoin(contact_of(2), 0)) == []
    assert core.passive() == {7, 8}
    assert core.hear(1, ForwardJoin(contact_of(9), 16)) == [(2, ForwardJoin(contact_of(9), 5))]


# Asking and answering


def test_what_is_dialled_is_asked_once_it_is_up() -> None:
    core = Core()
    core.neighbour(1)
    core.feed(Consider(contact_of(2)))
    assert Dial(contact_of(2)) in core.wait(2)
    assert core.wait(10) == [], "while it is called, it is not called again"
    assert core.up(2, outbound=True) == [(2, Neighbor(True, contact_of(0)))]
    assert core.hear(2, NeighborReply(True, contact_of(2), ())) == [Active(2)]
    assert core.core.anchors() == (contact_of(2),)


def test_anchors_are_called_first_and_who_stands_longest_is_one() -> None:
    core = Core(Config(dials_max=1))
    for number in range(10, 20):
        core.feed(Consider(contact_of(number)))
    core.feed(Consider(contact_of(20), is_first=True))
    assert core.wait(2) == [Dial(contact_of(20))]
    for peer in (3, 1, 2):
        core.neighbour(peer, outbound=True)
        core.now += 1
    assert core.core.anchors() == (contact_of(3), contact_of(1))
    assert core.core.since(1) == pytest.approx(3, abs=0.1)
    assert core.core.since(9) is None


def test_a_refusal_teaches_and_rests() -> None:
    core = Core()
    core.neighbour(9)
    core.up(1, outbound=True)
    assert core.hear(1, NeighborReply(False, None, (contact_of(2),))) == []
    assert core.passive() == {2}
    assert Dial(contact_of(2)) in core.wait(2)
    core.feed(Failed(key_of(2)))
    assert core.passive() == {2}, "the last few are not given up: it may be us"
    effects = core.wait(57)
    assert {kind for kind in kinds(effects) if kind not in ("Shuffle", "Seek")} == set()
    assert (1, Neighbor(True, contact_of(0))) in core.wait(90)


def test_who_was_refused_without_need_asks_again_in_need_and_once() -> None:
    """A no to whoever would merely like to come is none to whoever needs it."""
    core = Core(Config(active=6, outbound_min=3))
    for peer in (1, 2, 3):
        core.neighbour(peer, outbound=True)
    core.feed(Consider(contact_of(4)))
    assert Dial(contact_of(4)) in core.wait(8), "three are enough; one more would be nice"
    assert core.up(4, outbound=True) == [(4, Neighbor(False, contact_of(0)))]
    core.hear(4, NeighborReply(False, None, ()))
    assert not [kind for kind in kinds(core.wait(30)) if kind in ("Neighbor", "Dial")]
    core.feed(Down(1))
    effects = core.wait(8)
    assert (4, Neighbor(True, contact_of(0))) in effects or Dial(contact_of(4)) in effects
    core.hear(4, NeighborReply(False, None, ()))
    again = [effect for effect in core.wait(60) if effect == (4, Neighbor(True, contact_of(0)))]
    assert again == [], "now it has refused that, too"


def test_without_any_neighbour_a_rest_is_short_and_grows() -> None:
    core = Core()
    core.up(1, outbound=True)
    asked: list[float] = []
    while core.now < 300:
        core.hear(1, NeighborReply(False, None, ()))
        asked.append(core.now)
        while not any(kind == "Neighbor" for kind in kinds(core.wait(0.1))):
            assert core.now < 1000
    pauses = [round(b - a) for a, b in itertools.pairwise(asked)]
    assert 4 <= pauses[0] <= 12
    assert asked[3] < 60
    assert all(pause >= 60 for pause in pauses[5:]), "or we would break the protocol one day"


def test_those_who_do_not_answer_are_called_again_soon_without_any_neighbour() -> None:
    core = Core()
    core.feed(Consider(contact_of(1)))
    dialled: list[float] = []
    while core.now < 300:
        if Dial(contact_of(1)) in core.wait(0.1):
            dialled.append(core.now)
            core.feed(Failed(key_of(1)))
    assert len([at for at in dialled if at < 60]) >= 3
    assert len(dialled) <= 12


def test_who_cannot_be_reached_is_given_up_when_there_are_others() -> None:
    core = Core(Config(dials_max=1))
    for number in range(10, 30):
        core.feed(Consider(contact_of(number)))
    [dial] = core.wait(2)
    assert isinstance(dial, Dial)
    core.feed(Failed(dial.contact.key))
    assert len(core.passive()) == 19
    [again] = core.wait(2)
    assert isinstance(again, Dial)
    core.wait(59)
    assert int.from_bytes(again.contact.key, "big") not in core.passive(), "nobody said so"


def test_who_has_a_session_is_asked_there() -> None:
    core = Core()
    core.up(1)
    core.feed(Consider(contact_of(1)))
    effects = core.wait(8)
    assert effects == [(1, Join(contact_of(0))), Seek(), Seek()], "nobody else is known"


def test_an_answer_that_comes_too_late_is_taken_back() -> None:
    core = Core(Config(active=4, outbound_min=2))
    core.up(1)
    assert (1, Join(contact_of(0))) in core.wait(8)
    core.wait(9)  # too long for an answer, and too short to ask again
    core.neighbour(2)
    core.neighbour(3)
    assert kinds(core.hear(1, NeighborReply(True, None, ()))) == ["Prune"]
    assert core.core.active == (2, 3)


def test_both_may_ask_at_once() -> None:
    core = Core()
    core.up(1, outbound=True)
    assert kinds(core.hear(1, Neighbor(False, None))) == ["NeighborReply", "Active"]
    assert core.hear(1, NeighborReply(True, None, ())) == []
    assert core.core.active == (1,)
    assert kinds(core.hear(1, Neighbor(False, None))) == ["NeighborReply"], "it still is"


def test_a_full_view_refuses_whoever_is_not_in_need() -> None:
    core = Core()
    for peer in range(1, 5):
        core.neighbour(peer)
    core.up(9)
    [(peer, reply)] = core.hear(9, Neighbor(False, None))  # type: ignore[misc]
    assert peer == 9
    assert not reply.accepted
    assert len(reply.contacts) == 4
    core.up(10, prefix="p")
    assert kinds(core.hear(10, Neighbor(True, None))) == [
        *("Prune", "Inactive", "NeighborReply", "Active")
    ]


def test_a_session_we_began_is_released_if_it_is_not_needed() -> None:
    core = Core()
    for peer in range(1, 9):
        core.neighbour(peer, outbound=True)
    assert core.up(9, outbound=True) == [Release(9)]
    assert core.up(10) == []
    core.feed(Up(9, key_of(9), None, False, "", False))
    assert core.feed(Down(9)) == []


# Leaving


def test_a_prune_ends_it_and_both_wait() -> None:
    core = Core()
    core.neighbour(1)
    effects = core.hear(1, Prune((contact_of(2),), 60))
    assert effects == [Inactive(1)]
    assert core.passive() == {1, 2}
    [(_, reply)] = core.hear(1, Neighbor(True, None))  # type: ignore[misc]
    assert not reply.accepted, "it said so itself"
    core.now += 60
    assert kinds(core.hear(1, Neighbor(True, None))) == ["NeighborReply", "Active"]


def test_who_is_pushed_out_for_another_waits_a_moment_only() -> None:
    """It did nothing wrong, and everybody may have pushed it out in the same second."""
    core = Core()
    for peer in range(1, 5):
        core.neighbour(peer)
    core.up(9)
    [(gone, prune), *_] = core.hear(9, Neighbor(True, None))  # type: ignore[misc]
    assert isinstance(prune, Prune)
    assert prune.backoff_s == Config().evicted_backoff_s == 10
    core.feed(Down(next(peer for peer in core.core.active if peer != 9)))  # so there is room
    assert not accepts(core, gone), "but not at once, or two would push out each other for ever"
    core.now += 10
    assert accepts(core, gone)


def test_who_is_pushed_out_for_another_asks_again_after_a_moment() -> None:
    core = Core()
    core.neighbour(1, outbound=True)
    core.neighbour(2, outbound=True)
    core.hear(1, Prune((), 10))
    assert (1, Neighbor(True, contact_of(0))) not in core.wait(14)
    assert (1, Neighbor(True, contact_of(0))) in core.wait(14)


def accepts(core: Core, peer: int) -> bool:
    """Whether a peer that asks politely is taken."""
    replies = [one[1] for one in core.hear(peer, Neighbor(False, None)) if isinstance(one, tuple)]
    return any(isinstance(one, NeighborReply) and one.accepted for one in replies)


def test_a_ban_ends_it_and_both_wait() -> None:
    core = Core()
    core.neighbour(1, outbound=True)
    core.neighbour(2)
    assert core.feed(Ban(1))[:2] == [(1, Prune((), 60)), Inactive(1)]
    assert core.hear(1, Neighbor(True, None))[0] == (
        *(1, NeighborReply(False, contact_of(0), (contact_of(2),))),
    )
    assert core.feed(Ban(77)) == []


def test_down_ends_it_and_it_can_be_called_again() -> None:
    core = Core()
    core.neighbour(1)
    assert core.feed(Down(1)) == [Inactive(1)]
    assert core.feed(Down(1)) == []
    assert Dial(contact_of(1)) in core.wait(2)


def test_friends_are_active_while_up_and_do_not_count() -> None:
    core = Core()
    assert core.up(50, friend=True) == [Active(50), (50, Join(contact_of(0)))]
    for peer in range(1, 5):
        core.neighbour(peer)
    assert len(core.core.active) == 5
    assert core.hear(50, NeighborReply(False, None, ())) == []
    assert core.hear(50, Prune((), 60)) == []
    assert core.feed(Ban(50)) == []
    assert core.core.active[0] == 50
    assert core.feed(Down(50)) == [Inactive(50)]


def test_a_session_that_takes_the_place_of_another_keeps_the_place_if_it_fits() -> None:
    core = Core()
    for peer in range(1, 5):
        core.neighbour(peer)
    core.neighbour(5, outbound=True)
    assert core.up(5, outbound=True) == []
    assert kinds(core.up(5)) == ["Prune", "Inactive"], "four have called already"
    assert core.up(4, friend=True) == []
    assert core.core.active == (4, 1, 2, 3)
    assert core.up(4) == []
    assert core.core.active == (1, 2, 3, 4)


def test_two_handles_that_turn_out_to_be_one_peer() -> None:
    core = Core()
    core.neighbour(1)
    assert core.feed(Up(2, key_of(1), None, False, "", False)) == [Inactive(1)]
    assert core.feed(Up(2, key_of(3), None, False, "", False)) == []
    assert core.feed(Down(1)) == []


def test_who_wrongly_thinks_that_it_is_our_neighbour_is_told_now_and_then() -> None:
    core = Core()
    core.up(1)
    shuffle = Shuffle(1, 3, (contact_of(2),))
    assert core.hear(1, shuffle) == [(1, Prune((), 0))]
    assert core.hear(1, shuffle) == []
    assert core.passive() == set()


# Shuffling


def test_a_shuffle_brings_contacts_and_its_answer_others() -> None:
    core = Core()
    core.neighbour(1)
    core.feed(Consider(contact_of(7)))
    shuffles = [
        one[1] for one in core.wait(40) if isinstance(one, tuple) and isinstance(one[1], Shuffle)
    ]
    walk = shuffles[0]
    assert walk.ttl == 6
    assert set(walk.contacts) == {contact_of(0), contact_of(7)}
    core.hear(1, ShuffleReply(walk.walk, (contact_of(8), contact_of(0), contact_of(1))))
    assert core.passive() == {7, 8}
    core.hear(1, ShuffleReply(walk.walk, (contact_of(9),)))
    assert core.passive() == {7, 8}, "one walk, one answer"


def test_a_shuffle_is_passed_on_and_its_answer_back() -> None:
    core = Core()
    core.neighbour(1)
    core.neighbour(2)
    some = (contact_of(7),)
    assert core.hear(1, Shuffle(5, 6, some)) == [(2, Shuffle(5, 5, some))]
    assert core.hear(1, ShuffleReply(5, some)) == [], "not from there"
    assert core.hear(2, ShuffleReply(5, some)) == [(1, ShuffleReply(5, some))]
    assert core.passive() == set()


def test_a_shuffle_ends_where_it_comes_again_or_can_go_no_further() -> None:
    core = Core()
    core.neighbour(1)
    some = (contact_of(7),)
    [(peer, reply)] = core.hear(1, Shuffle(5, 6, some))  # type: ignore[misc]
    assert (peer, reply) == (1, ShuffleReply(5, (contact_of(0),)))
    assert core.passive() == {7}
    core.neighbour(2)
    assert kinds(core.hear(1, Shuffle(6, 6, some))) == ["Shuffle"]
    assert kinds(core.hear(2, Shuffle(6, 6, some))) == ["ShuffleReply"]


def test_what_has_expired_is_neither_kept_nor_told() -> None:
    core = Core()
    core.neighbour(1)
    core.feed(Consider(contact_of(7, WALL_S + 10)))
    core.feed(Consider(contact_of(0)))
    assert core.passive() == {7}
    core.now = 4000
    core.up(2)
    assert core.hear(2, Neighbor(False, None))[0] == (2, NeighborReply(True, contact_of(0), ()))
    assert core.passive() == set()


# Who breaks the protocol


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x90\x90",
        b"\xc1",
        b"\x91\x91\x01",
        bytes(BODY_BYTES_MAX + 1),
        CODEC.encode_all([Prune((), 1), Prune((), 1)]),
        CODEC.encode_all([NeighborReply(True, None, ())]),
        CODEC.encode_all([Join(contact_of(9))]),
        CODEC.encode_all([Neighbor(True, contact_of(9))]),
        CODEC.encode_all([Shuffle(1, 1, (contact_of(9),) * (CONTACTS_MAX + 1))]),
        CODEC.encode_all([Prune((), 3601)]),
        CODEC.encode_all([ForwardJoin(contact_of(9), 17)]),
        CODEC.encode_all([ForwardJoin(Contact(b"short", ("/memory/a",), 1), 1)]),
        CODEC.encode_all([ForwardJoin(Contact(bytes(32), (), 1), 1)]),
        CODEC.encode_all([ForwardJoin(Contact(bytes(32), ("a" * 201,), 1), 1)]),
    ],
)
def test_a_body_that_is_wrong_changes_nothing(body: bytes) -> None:
    core = Core()
    core.up(1)
    with pytest.raises(ProtocolError):
        core.feed(Arrived(1, body))
    assert core.core.active == core.core.passive == ()


def test_a_message_of_a_newer_version_is_left_out() -> None:
    core = Core()
    core.up(1)
    assert core.feed(Arrived(1, msgspec.msgpack.encode([[99, "new"]]))) == []
    assert core.core.unknown == 1
    assert core.feed(Arrived(77, b"whatever, from nobody")) == []


def test_one_join_in_a_session() -> None:
    core = Core()
    core.up(1)
    core.hear(1, Join(None))
    with pytest.raises(ProtocolError, match="joined twice"):
        core.hear(1, Join(None))


def test_an_account_outlives_the_session() -> None:
    core = Core()
    for _ in range(8):
        core.up(1)
        core.hear(1, Join(None))
        core.feed(Down(1))
    core.up(1)
    with pytest.raises(ProtocolError, match="too often"):
        core.hear(1, Join(None))


def test_nobody_is_awake_for_nothing() -> None:
    core = Core(Config(active=4, outbound_min=2))
    assert core.core.deadline is not None
    ticks = 0
    while core.now < 3600:
        core.now = core.core.deadline or core.now
        core.feed(Tick())
        ticks += 1
    assert ticks < 120, "alone, it looks around less and less often"


# Those found elsewhere, anchors, and giving way


def test_an_anchor_is_called_at_once_and_before_all_others() -> None:
    core = Core(Config(dials_max=1))
    for number in range(10, 30):
        core.feed(Consider(contact_of(number)))
    core.feed(Consider(contact_of(5), is_first=True))
    assert core.wait(0) == [Dial(contact_of(5))]


def test_an_anchor_that_has_expired_is_not_called() -> None:
    core = Core()
    core.feed(Consider(contact_of(5, WALL_S), is_first=True))
    assert set(kinds(core.wait(8))) == {"Seek"}


def test_anchors_are_those_we_called_and_stand_longest() -> None:
    core = Core()
    core.neighbour(1)
    for peer in (4, 2, 3):
        core.wait(1)
        core.neighbour(peer, outbound=True)
    assert core.core.anchors() == (contact_of(4), contact_of(2))
    core.now += 3600
    assert core.core.anchors() == (), "their keys are of no use any more"


def test_nobody_is_told_of_who_did_not_agree() -> None:
    core = Core()
    core.feed(Consider(contact_of(5), is_shared=False))
    core.up(1)
    [reply] = core.hear(1, Neighbor(False, None))[:1]
    assert reply == (1, NeighborReply(True, contact_of(0), ()))
    assert Dial(contact_of(5)) in core.wait(2)
    core.up(5, outbound=True)
    core.hear(5, NeighborReply(True, None, ()))
    assert set(core.core.active) == {1, 5}
    core.up(2)
    assert core.hear(2, Neighbor(False, None))[0] == (2, NeighborReply(True, contact_of(0), ()))
    assert core.core.anchors() == ()


def test_who_is_told_of_by_others_did_agree() -> None:
    core = Core()
    core.feed(Consider(contact_of(5), is_shared=False))
    core.neighbour(1)
    core.hear(1, ForwardJoin(contact_of(5), 0))
    core.up(2)
    reply = core.hear(2, Neighbor(False, None))[0]
    assert reply == (2, NeighborReply(True, contact_of(0), (contact_of(1), contact_of(5))))


def full(config: Config | None = None) -> Core:
    """A core with eight neighbours, four of each kind, who knows two more."""
    core = Core(config)
    for peer in range(1, 9):
        core.neighbour(peer, outbound=peer > 4)
    for number in (20, 21):
        core.feed(Consider(contact_of(number)))
    assert core.wait(5) == []
    return core


def test_a_member_gives_way_once_another_stands() -> None:
    core = full()
    dials = core.feed(Graft((3, 1, 2)))
    assert set(map(str, dials)) == {str(Dial(contact_of(20))), str(Dial(contact_of(21)))}
    assert core.feed(Graft((3, 1, 2))) == [], "two at a time"
    assert len(core.core.active) == 8
    first = dials[0]
    assert isinstance(first, Dial)
    peer = int.from_bytes(first.contact.key, "big")
    assert core.up(peer, outbound=True) == [(peer, Neighbor(True, contact_of(0)))]
    assert 3 in core.core.active, "not before"
    effects = core.hear(peer, NeighborReply(True, None, ()))
    assert kinds(effects) == ["Prune", "Inactive", "Active"]
    assert 3 not in core.core.active and peer in core.core.active
    assert kinds(core.hear(3, Neighbor(True, None))) == ["NeighborReply"], "it has to wait"
    assert 3 not in core.core.active


def test_nobody_gives_way_to_who_refuses_or_cannot_be_reached() -> None:
    core = full()
    before = core.core.active
    for dial in core.feed(Graft((3, 1))):
        assert isinstance(dial, Dial)
    core.feed(Failed(key_of(20)))
    core.up(21, outbound=True)
    assert kinds(core.hear(21, NeighborReply(False, None, ()))) == ["Release"]
    assert core.core.active == before
    core.feed(Down(21))
    assert core.feed(Graft((3, 1))) == [], "both rest"
    core.wait(70)
    assert len(core.feed(Graft((3, 1)))) == 2
    core.wait(20)  # no answer at all
    assert core.core.active == before


def test_friends_give_way_to_nobody_and_without_contacts_nothing_changes() -> None:
    core = full()
    core.up(9, friend=True)
    assert core.feed(Graft((9, 77))) == []
    bare = Core()
    for peer in range(1, 5):
        bare.neighbour(peer)
    assert bare.feed(Graft((1, 2))) == []


def test_who_is_gone_when_the_other_stands_need_not_go() -> None:
    core = full()
    [dial, _] = core.feed(Graft((3, 1)))
    assert isinstance(dial, Dial)
    core.feed(Down(3))
    peer = int.from_bytes(dial.contact.key, "big")
    core.up(peer, outbound=True)
    assert kinds(core.hear(peer, NeighborReply(True, None, ()))) == ["Active"]
    assert len(core.core.active) == 8
