"""The cache: what it holds, for how long, and how much of it."""

from __future__ import annotations

from random import Random

from whispurrnet.gossip.cache import Cache, Held


def name(n: int) -> bytes:
    return n.to_bytes(16, "big")


def held(expires_at: float, size: int = 10, stamped_s: int = 7) -> Held:
    return Held(bytes(size), expires_at, stamped_s, urgent=False)


def test_what_was_put_is_served_until_it_expires() -> None:
    cache = Cache(1000)
    cache.put(name(1), held(100.5))
    assert cache.get(name(1), 100.4) == held(100.5)
    assert cache.get(name(1), 100.5) is None
    assert cache.serves(name(1), 100.4)
    assert not cache.serves(name(1), 100.5)
    assert cache.get(name(2), 0.0) is None
    assert name(1) in cache


def test_what_expired_is_forgotten_at_once() -> None:
    cache = Cache(1000)
    assert cache.deadline is None
    cache.put(name(1), held(100.5))
    cache.put(name(2), held(91.1))
    cache.put(name(3), held(119.0))
    assert cache.deadline == 91.25
    cache.expire(91.2)
    assert len(cache) == 3
    cache.expire(91.25)
    assert name(2) not in cache
    assert len(cache) == 2
    assert cache.deadline == 100.5
    cache.expire(200.0)
    assert len(cache) == cache.bytes_held == len(cache.items) == 0
    assert cache.deadline is None
    cache.check_invariants()


def test_when_there_is_too_much_the_first_goes_first() -> None:
    cache = Cache(100)
    for n in range(10):
        cache.put(name(n), held(100.0 - n, size=30))
        assert cache.bytes_held <= 100
        cache.check_invariants()
    assert [n for n in range(10) if name(n) in cache] == [7, 8, 9]
    cache.put(name(99), held(100.0, size=101))
    assert name(99) not in cache
    assert len(cache) == 3


def test_the_same_again_changes_nothing() -> None:
    cache = Cache(100)
    cache.put(name(1), held(100.0, size=60))
    cache.put(name(1), held(200.0, size=60))
    assert cache.bytes_held == 60
    cache.check_invariants()


def test_items_are_what_is_held() -> None:
    cache = Cache(1000)
    cache.put(name(1), held(100.0, stamped_s=5))
    cache.put(name(2), held(200.0, stamped_s=4))
    assert (5, name(1) + bytes(16)) in cache.items
    assert (4, name(2) + bytes(16)) in cache.items
    assert cache.items.ids(0, 2) == [name(2) + bytes(16), name(1) + bytes(16)]
    cache.expire(100.0)
    assert (5, name(1) + bytes(16)) not in cache.items
    cache.put(name(3), held(300.0))
    cache.expire(300.0)  # before anybody asked for the items
    assert len(cache.items) == 0


def test_a_random_walk_holds_its_invariants() -> None:
    rng = Random(1)
    cache, now = Cache(2000), 0.0
    for n in range(3000):
        now += rng.random()
        cache.put(name(rng.randrange(n + 1)), held(now + 60 * rng.random(), rng.randrange(300)))
        if rng.random() < 0.2:
            cache.expire(now)
        if rng.random() < 0.1:
            assert len(cache.items) == len(cache)
        if n % 50 == 0:
            cache.check_invariants()
            cache.items.check_invariants()
