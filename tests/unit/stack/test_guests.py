"""Guests: few, of one network fewer, and of one branch no more than may be neighbours."""

from __future__ import annotations

from whispurrnet.stack.guests import GUESTS_PER_PREFIX, Guests


def test_there_is_room_for_so_many_and_for_another_when_one_leaves() -> None:
    guests = Guests(3, 5)
    for peer in range(5):
        guests.welcome(peer, "", b"")
    assert [peer for peer in range(5) if peer in guests] == [0, 1, 2]
    guests.leave(1)
    guests.leave(4)
    guests.welcome(4, "", b"")
    assert (len(guests), 4 in guests, 1 in guests) == (3, True, False)


def test_a_network_and_a_branch_have_their_share() -> None:
    guests = Guests(16, 3)
    for peer in range(8):
        guests.welcome(peer, "10.0.0", b"")
    assert len(guests) == GUESTS_PER_PREFIX
    for peer in range(10, 18):
        guests.welcome(peer, "", b"branch")
    assert len(guests) == GUESTS_PER_PREFIX + 3


def test_who_is_a_guest_already_does_not_stand_in_its_own_way() -> None:
    guests = Guests(1, 1)
    guests.welcome(1, "10.0.0", b"one")
    guests.welcome(1, "", b"other")
    guests.welcome(2, "10.0.0", b"one")
    assert 1 in guests and 2 not in guests
