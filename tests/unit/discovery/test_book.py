"""The address book: order, age, bounds, and claims that cannot push out what worked."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.discovery.book import Book, Config, Source

ALICE, BOB, CAROL = b"a" * 32, b"b" * 32, b"c" * 32


def test_unknown_peers_have_no_addresses() -> None:
    book = Book()
    assert book.dial_order(ALICE, now=0.0) == ()
    assert book.entries(ALICE) == ()
    assert ALICE not in book
    assert len(book) == 0
    book.failed(ALICE, "/x", now=0.0)
    book.forget(ALICE)
    assert not book.learn(ALICE, [], Source.HEARD, now=0.0)
    assert ALICE not in book


def test_dial_order() -> None:
    book = Book()
    book.learn(ALICE, ["/heard"], Source.HEARD, now=3.0)
    book.learn(ALICE, ["/told"], Source.TOLD, now=2.0)
    book.learn(ALICE, ["/given"], Source.GIVEN, now=1.0)
    assert book.dial_order(ALICE, 4.0) == ("/given", "/told", "/heard")
    book.worked(ALICE, "/heard", now=5.0)
    assert book.dial_order(ALICE, 6.0) == ("/heard", "/given", "/told")
    book.worked(ALICE, "/told", now=6.0)
    assert book.dial_order(ALICE, 7.0) == ("/told", "/heard", "/given")
    book.failed(ALICE, "/told", now=8.0)
    assert book.dial_order(ALICE, 9.0) == ("/heard", "/given", "/told")
    book.failed(ALICE, "/given", now=8.0)
    book.failed(ALICE, "/given", now=9.0)
    assert book.dial_order(ALICE, 9.0) == ("/heard", "/told", "/given")
    book.worked(ALICE, "/given", now=10.0)
    assert book.dial_order(ALICE, 11.0)[0] == "/given"


def test_learn_tells_what_is_new_and_keeps_the_better_source() -> None:
    book = Book()
    assert book.learn(ALICE, ["/a", "/b"], Source.GIVEN, now=0.0)
    assert not book.learn(ALICE, ["/a"], Source.HEARD, now=1.0)
    assert book.learn(ALICE, ["/a", "/c"], Source.HEARD, now=2.0)
    (entry,) = [entry for entry in book.entries(ALICE) if entry.address == "/a"]
    assert entry.source is Source.GIVEN
    assert entry.heard_at == 2.0


def test_claims_never_push_out_what_worked() -> None:
    book = Book(Config(peers_max=3, addresses_max=4))
    book.worked(ALICE, "/good", now=0.0)
    for n in range(100):
        book.learn(ALICE, [f"/lie/{n}"], Source.HEARD, now=1.0 + n)
        book.learn(b"%032d" % n, ["/x"], Source.GIVEN, now=1.0 + n)
    assert book.dial_order(ALICE, 200.0)[0] == "/good"
    assert len(book.dial_order(ALICE, 200.0)) == 4
    assert len(book) == 1 + 3


def test_what_was_only_heard_does_not_push_out_what_was_given() -> None:
    book = Book(Config(addresses_max=2))
    book.learn(ALICE, ["/1", "/2"], Source.GIVEN, now=0.0)
    assert not book.learn(ALICE, ["/lie"], Source.HEARD, now=5.0)
    assert set(book.dial_order(ALICE, 6.0)) == {"/1", "/2"}


def test_a_long_list_is_cut() -> None:
    book = Book(Config(addresses_max=3))
    endless = (f"/{n}" for n in range(10**9))
    book.learn(ALICE, endless, Source.HEARD, now=0.0)
    assert len(book.entries(ALICE)) == 3


@pytest.mark.parametrize("address", ["", "/" + "x" * 255])
def test_a_bad_address_changes_nothing(address: str) -> None:
    book = Book()
    with pytest.raises(UsageError, match="not an address"):
        book.learn(ALICE, ["/good", address], Source.TOLD, now=0.0)
    assert ALICE not in book


def test_age() -> None:
    book = Book(Config(age_max_s=100.0))
    book.learn(ALICE, ["/heard"], Source.HEARD, now=0.0)
    book.learn(ALICE, ["/given"], Source.GIVEN, now=0.0)
    book.learn(BOB, ["/b"], Source.TOLD, now=0.0)
    book.worked(CAROL, "/c", now=90.0)
    assert book.dial_order(ALICE, 100.0) == ("/given", "/heard")
    assert book.dial_order(ALICE, 101.0) == ("/given",)
    assert book.expire(101.0) == 2
    assert BOB not in book
    assert book.peers() == (CAROL, ALICE)
    assert book.expire(191.0) == 1
    assert book.peers() == (ALICE,)


def test_a_new_key_takes_the_addresses_along() -> None:
    book = Book()
    book.worked(ALICE, "/a", now=0.0)
    book.learn(BOB, ["/b", "/a"], Source.TOLD, now=1.0)
    book.move(ALICE, BOB, now=2.0)
    assert ALICE not in book
    assert book.dial_order(BOB, 3.0) == ("/a", "/b")
    book.move(CAROL, BOB, now=2.0)
    book.move(BOB, BOB, now=2.0)
    assert book.dial_order(BOB, 3.0) == ("/a", "/b")


def test_the_most_lately_used_come_first() -> None:
    book = Book()
    book.learn(ALICE, ["/a"], Source.HEARD, now=0.0)
    book.learn(BOB, ["/b"], Source.HEARD, now=0.0)
    book.worked(CAROL, "/c", now=0.0)
    assert book.peers() == (CAROL, BOB, ALICE)


@pytest.mark.parametrize("seed", range(20))
def test_any_walk_stays_within_bounds(seed: int) -> None:
    rng = Random(seed)
    book = Book(Config(peers_max=3, addresses_max=2, age_max_s=5.0))
    peers = [bytes([n]) * 32 for n in range(8)]
    now = 0.0
    for _ in range(300):
        now += rng.random()
        peer, address = rng.choice(peers), f"/{rng.randrange(4)}"
        match rng.randrange(6):
            case 0 | 1:
                book.learn(peer, [address], rng.choice(list(Source)), now)
            case 2:
                book.worked(peer, address, now)
            case 3:
                book.failed(peer, address, now)
            case 4:
                book.move(peer, rng.choice(peers), now)
            case _:
                book.expire(now)
        assert len(book) <= 6
        for known in book.peers():
            assert 1 <= len(book.entries(known)) <= 2
