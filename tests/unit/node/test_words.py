"""Friendly names: the same everywhere, well spread, easy to type."""

from __future__ import annotations

import re
from collections import Counter

from whispurrnet.node.words import ADJECTIVES, ANIMALS, name_of


def test_the_lists() -> None:
    for words in (ADJECTIVES, ANIMALS):
        assert len(words) == len(set(words)) == 64
        assert list(words) == sorted(words)
        assert all(re.fullmatch("[a-z]{3,8}", word) for word in words)
    assert not set(ADJECTIVES) & set(ANIMALS)


def test_names_never_change() -> None:
    """Another release must show the same peer under the same name."""
    assert name_of(bytes(32)) == "proud-hawk-52"
    assert name_of(bytes(range(32))) == "solar-cat-30"
    assert name_of(b"") == "brave-osprey-72"


def test_shape() -> None:
    for n in range(1_000):
        assert re.fullmatch(r"[a-z]+-[a-z]+-\d\d", name_of(n.to_bytes(32, "big")))


def test_names_are_spread_over_all_words() -> None:
    names = [name_of(n.to_bytes(32, "big")).split("-") for n in range(20_000)]
    adjectives, animals, numbers = (Counter(part) for part in zip(*names, strict=True))
    assert (len(adjectives), len(animals), len(numbers)) == (64, 64, 100)
    assert max(adjectives.values()) < 2 * min(adjectives.values())
    assert max(animals.values()) < 2 * min(animals.values())


def test_two_ids_may_share_a_name() -> None:
    names = {name_of(n.to_bytes(32, "big")) for n in range(3_000)}
    assert 2_950 < len(names) < 3_000
