"""Sets that are kept in step, in whole stacks: who may follow, what comes, and what ends it."""

from __future__ import annotations

import pytest
from tests.unit.stack.object_world import CHUNK, Shelves, some

from whispurrnet.base.errors import UsageError
from whispurrnet.stack import events, object_events
from whispurrnet.store import access, sync_events
from whispurrnet.store import transfer_events as moves
from whispurrnet.wire.ids import ObjectId

SET = b"\7" * 32


class Club(Shelves):
    """Anna has a set of objects, and ben wants to follow."""

    def __init__(self, count: int = 30) -> None:
        super().__init__("anna", "ben")
        self.ben, self.anna = self.meet("anna", "ben")
        self.oids = [self.add("anna", b"object %d" % n, SET) for n in range(count)]
        self.tell("anna", object_events.JoinSet(SET, self.entries("anna", self.oids)))

    def follow(self, wait_s: float = 10.0) -> None:
        self.tell("ben", object_events.JoinSet(SET, (), (self.anna,)), 0.1)
        self._fetch_needs(wait_s)

    def _fetch_needs(self, wait_s: float) -> None:
        """What a shell does: fetch what is needed, until nothing new is."""
        end, asked = self.world.now + wait_s, 0
        while self.world.now < end:
            needs = self.of("ben", sync_events.Need)
            for need in needs[asked:]:
                oids = tuple(ObjectId(one.oid) for one in need.entries)
                self.tell("ben", moves.FetchSmall(need.peer, oids), 0.0)
            asked = len(needs)
            self.run(0.5)

    @property
    def followed(self) -> int:
        progress = self.world.nodes["ben"].exchange.sets.progress(SET)
        return progress.objects if progress is not None else -1


def test_who_may_follows_and_gets_all_and_what_is_new() -> None:
    club = Club()
    club.tell("anna", object_events.Share(SET, access.Everyone()))
    club.follow()
    assert club.followed == 30
    assert club.of("ben", sync_events.Synced)
    more = club.add("anna", b"more", SET)
    club.tell("anna", object_events.PutInSet(SET, club.entries("anna", [more], 9)), 0.0)
    club._fetch_needs(5.0)
    assert club.followed == 31 and more in club.kept["ben"]


def test_who_may_not_is_told_and_gets_nothing() -> None:
    club = Club()
    club.follow()
    assert club.followed == 0
    (ended, *_) = club.of("ben", sync_events.Ended)
    assert ended.peer == club.anna and ended.text
    assert not club.of("ben", sync_events.Need)


def test_by_capability() -> None:
    club = Club()
    cap = club.cap("anna", SET)
    club.tell("ben", object_events.HoldCap(club.anna, SET, cap))
    club.follow()
    assert club.followed == 30


def test_taken_back_it_ends() -> None:
    club = Club()
    club.tell("anna", object_events.Share(SET, access.Everyone()))
    club.follow()
    club.tell("anna", object_events.Unshare(SET))
    needs = len(club.of("ben", sync_events.Need))
    more = club.add("anna", b"more", SET)
    club.tell("anna", object_events.PutInSet(SET, club.entries("anna", [more], 9)), 0.0)
    club._fetch_needs(10.0)
    assert more not in club.kept["ben"]
    assert len(club.of("ben", sync_events.Need)) == needs, "it is not even told of"
    assert club.followed == 30


def test_after_the_session_ended_it_goes_on() -> None:
    club = Club()
    club.tell("anna", object_events.Share(SET, access.Everyone()))
    club.follow()
    club.tell("anna", events.Disconnect(club.ben), 5.0)
    more = club.add("anna", b"more", SET)
    club.tell("anna", object_events.PutInSet(SET, club.entries("anna", [more], 9)), 0.0)
    club.meet("ben", "anna")
    club._fetch_needs(10.0)
    assert club.followed == 31


def test_left_and_dropped() -> None:
    club = Club()
    sets = club.world.nodes["anna"].exchange.sets
    club.tell("anna", object_events.DropFromSet(SET, club.oids[0]))
    club.tell("anna", object_events.DropFromSet(SET, b"\1" * 32))
    progress = sets.progress(SET)
    assert progress is not None and progress.objects == 29
    club.tell("anna", sync_events.Leave(SET))
    assert sets.progress(SET) is None
    assert sets.entries(SET, club.oids) == []
    club.tell("anna", object_events.PutInSet(SET, club.entries("anna", club.oids[:1])))
    with pytest.raises(UsageError):
        club.world.nodes["anna"].handle(sync_events.Leave(SET), club.world.now)


def test_what_is_put_twice_is_in_it_once() -> None:
    club = Club(3)
    club.tell("anna", object_events.PutInSet(SET, club.entries("anna", club.oids, 99)))
    progress = club.world.nodes["anna"].exchange.sets.progress(SET)
    assert progress is not None and progress.objects == 3


def test_an_earlier_time_elsewhere_is_told_to_the_shell() -> None:
    """Both put in the same object; anna says since when it is in hers."""
    club = Club(3)
    both = club.add("anna", b"of both", SET)
    club.add("ben", b"of both", SET)
    club.tell("anna", object_events.Share(SET, access.Everyone()))
    club.tell("ben", object_events.JoinSet(SET, club.entries("ben", [both], 99), (club.anna,)))
    club.tell("anna", object_events.PutInSet(SET, club.entries("anna", [both], 7)), 10.0)
    assert [(one.oid, one.time_s) for one in club.of("ben", sync_events.Retime)] == [(both, 7)]
    (entry,) = club.world.nodes["ben"].exchange.sets.entries(SET, [both])
    assert entry.time_s == 7


def test_a_large_object_of_a_set_is_for_its_followers() -> None:
    club = Club(1)
    large = club.add("anna", some(2 * CHUNK), SET)
    club.tell("anna", object_events.PutInSet(SET, club.entries("anna", [large], 9)))
    assert not club.fetch("ben", large, club.anna)
    club.tell("anna", object_events.Share(SET, access.Everyone()))
    assert club.fetch("ben", large, club.anna)
