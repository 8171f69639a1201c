"""The two views: who has a place in them, and who makes room."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.gossip.contact import Contact, pick, prefix_of, prefix_of_host, sample
from whispurrnet.gossip.views import (
    LIFETIME_S_MAX,
    ActiveView,
    Entry,
    Guard,
    Link,
    PassiveView,
    newest,
)

NOW_S = 1_760_000_000


def contact(number: int, host: str = "10.0.0.1", expires_s: int = NOW_S + 100) -> Contact:
    return Contact(number.to_bytes(32, "big"), (f"/ip4/{host}/tcp/{number + 1}",), expires_s)


def link(
    peer: int,
    *,
    outbound: bool = False,
    prefix: str = "",
    inviter: bytes = b"",
    friend: bool = False,
    since: float = 0.0,
) -> Link:
    bucket = TokenBucket(1, 1)
    one = Link(peer, peer.to_bytes(32, "big"), Guard(bucket, bucket, bucket), bucket)
    one.outbound, one.prefix, one.inviter = outbound, prefix, inviter
    one.friend, one.since = friend, since
    return one


def view(*links: Link) -> ActiveView:
    active = ActiveView(8, 4, 2, 3)
    for one in links:
        assert active.fits(one)
        active.add(one)
        active.check()
    return active


# Prefixes and choices


@pytest.mark.parametrize(
    ("host", "prefix"),
    [
        ("198.50.100.7", "198.50.100.0/24"),
        ("2600:1:2:3::4", "2600:1:2::/48"),
        ("::ffff:198.50.100.7", "198.50.100.0/24"),
        ("127.0.0.1", ""),
        ("10.1.2.3", ""),
        ("192.168.1.9", ""),
        ("::1", ""),
        ("fe80::1%eth0", ""),
        ("node.example", ""),
        ("", ""),
    ],
)
def test_the_network_of_an_address(host: str, prefix: str) -> None:
    assert prefix_of_host(host) == prefix


def test_the_network_of_a_contact_is_that_of_its_first_public_address() -> None:
    key = bytes(32)
    public, private = "/ip4/198.50.100.7/tcp/1", "/ip4/10.0.0.1/tcp/1"
    assert prefix_of(Contact(key, (private, public), 1)) == "198.50.100.0/24"
    assert prefix_of(Contact(key, (private, "/new/kind"), 1)) == ""
    assert prefix_of(Contact(key, ("/new/kind", "?"), 1)) is None


def test_choices() -> None:
    rng = Random(1)
    assert pick([], rng) is None
    assert {pick("abc", rng) for _ in range(50)} == set("abc")
    assert sample(range(5), 9, rng) != sample(range(5), 9, rng)
    assert sorted(sample(range(5), 9, rng)) == [0, 1, 2, 3, 4]
    assert len(sample(range(5), 2, rng)) == 2


# The active view


def test_half_of_the_places_are_for_those_we_called() -> None:
    active = view(*(link(peer) for peer in range(4)))
    assert not active.fits(link(9))
    assert active.fits(link(9, outbound=True))
    active = view(*(link(peer, outbound=True) for peer in range(8)))
    assert not active.fits(link(9, outbound=True))


def test_a_network_and_an_inviter_have_their_share() -> None:
    active = view(*(link(peer, outbound=True, prefix="p") for peer in range(2)))
    assert not active.fits(link(9, outbound=True, prefix="p"))
    assert not active.prefix_fits("p")
    assert active.fits(link(9, outbound=True, prefix="q"))
    active = view(*(link(peer, outbound=True, inviter=b"i") for peer in range(3)))
    assert not active.fits(link(9, outbound=True, inviter=b"i"))
    assert active.fits(link(9, outbound=True, inviter=b"j"))
    assert active.fits(link(9, outbound=True))


def test_who_is_asked_has_a_place() -> None:
    active = view(*(link(peer) for peer in range(3)))
    asked = link(3)
    active.ask(asked)
    assert not active.fits(link(4))
    assert active.fits(asked), "its own place is not in its way"
    active.unask(asked)
    assert active.fits(link(4))


def test_friends_do_not_count() -> None:
    active = view(*(link(peer) for peer in range(4)), *(link(peer, friend=True) for peer in (4, 5)))
    assert active.fits(link(6, friend=True))
    assert active.lacking == 2
    assert active.outbound_lacking == 4
    assert [one.peer for one in active.links] == [4, 5, 0, 1, 2, 3]
    active.remove(active.friends[4])
    assert [one.peer for one in active.links] == [5, 0, 1, 2, 3]


def test_the_newer_half_makes_room_and_only_where_it_helps() -> None:
    rng = Random(1)
    active = view(*(link(peer, since=peer) for peer in range(4)), link(9, outbound=True, since=9))
    chosen = [active.victim(link(20), rng) for _ in range(50)]
    assert {one.peer for one in chosen if one} == {2, 3}
    active = view(link(0, prefix="p"), link(1, prefix="p", since=1), link(2, since=2))
    chosen = [active.victim(link(20, prefix="p"), rng) for _ in range(50)]
    assert {one.peer for one in chosen if one} == {1}


# The passive view


def test_a_contact_is_taken_once_and_while_it_holds() -> None:
    passive = PassiveView(8, Random(1))
    assert passive.add(contact(1), b"s", NOW_S)
    assert not passive.add(contact(1), b"s", NOW_S)
    assert not passive.add(contact(2, expires_s=NOW_S), b"s", NOW_S)
    assert not passive.add(contact(3, expires_s=NOW_S + LIFETIME_S_MAX + 1), b"s", NOW_S)
    assert not passive.add(Contact(bytes(32), ("nonsense",), NOW_S + 9), b"s", NOW_S)
    assert len(passive) == 1
    passive.purge(NOW_S + 99)
    assert contact(1).key in passive
    passive.purge(NOW_S + 100)
    assert len(passive) == 0


def test_a_new_address_is_believed_only_from_the_node_itself() -> None:
    passive = PassiveView(8, Random(1))
    passive.add(contact(1), b"s", NOW_S)
    passive.add(contact(1, "10.6.6.6", NOW_S + 500), b"t", NOW_S)
    assert passive.sample(9) == [contact(1)]
    passive.add(contact(1, expires_s=NOW_S + 500), b"t", NOW_S)
    assert passive.sample(9) == [contact(1, expires_s=NOW_S + 500)], "that it still holds, is"
    passive.add(contact(1, "10.6.6.6", NOW_S + 50), b"t", NOW_S, is_direct=True)
    assert passive.sample(9) == [contact(1, "10.6.6.6", NOW_S + 50)]
    passive.purge(NOW_S + 50)
    assert len(passive) == 0


def test_a_source_replaces_its_own_when_its_share_is_full() -> None:
    passive = PassiveView(16, Random(1))
    for number in range(10):
        passive.add(contact(number), b"", NOW_S)
    for number in range(100, 150):
        assert passive.add(contact(number), b"liar", NOW_S)
    assert [entry.source for entry in passive.entries].count(b"liar") == 4
    assert len(passive) == 14


def test_the_largest_source_makes_room_when_all_is_full() -> None:
    passive = PassiveView(8, Random(1))
    for number in range(8):
        passive.add(contact(number), b"", NOW_S)
    for source in (b"a", b"b", b"c"):
        passive.add(contact(50 + source[0]), source, NOW_S)
    assert len(passive) == 8
    assert sorted(entry.source for entry in passive.entries if entry.source) == [b"a", b"b", b"c"]


def test_what_was_told_makes_room_first() -> None:
    passive = PassiveView(8, Random(1))
    for number in range(8):
        passive.add(contact(number), bytes([number]), NOW_S)
    passive.add(contact(50), b"new", NOW_S, spare=[bytes(32), contact(3).key])
    assert bytes(32) not in passive, "key 0 is the first that may go"
    assert contact(3).key in passive
    assert len(passive) == 8


def test_one_network_has_an_eighth() -> None:
    passive = PassiveView(16, Random(1))
    taken = [passive.add(contact(n, f"198.50.100.{n}"), bytes([n]), NOW_S) for n in range(1, 6)]
    assert taken == [True, True, False, False, False]


def test_a_sample_leaves_out_whom_it_should() -> None:
    passive = PassiveView(8, Random(1))
    for number in range(4):
        passive.add(contact(number), b"", NOW_S)
    keys = {one.key for one in passive.sample(9, but=(contact(2).key,))}
    assert keys == {contact(number).key for number in (0, 1, 3)}
    passive.discard(contact(0).key)
    passive.discard(contact(0).key)
    assert len(passive) == 3


def test_of_several_keys_at_one_place_the_last_is_good() -> None:
    here, there = ("/ip4/198.51.100.1/tcp/9",), ("/ip4/198.51.100.2/tcp/9",)
    known = [
        Contact(bytes([number]) * 32, addresses, NOW_S + left_s)
        for number, addresses, left_s in (
            (1, here, 10),
            (2, here, 20),
            (3, there, 5),
            (4, here, 15),
        )
    ]
    entries = [Entry(one, b"s", "") for one in known]
    assert [one.contact for one in newest(entries)] == [known[1], known[2]]
