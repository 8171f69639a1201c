"""Codes of words: the lists, and what people type."""

from __future__ import annotations

import os
from itertools import combinations, pairwise

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.wire.words import (
    LIVING,
    MADE,
    WORDS_MAX,
    Code,
    code,
    complete,
    nameplates,
    parse,
)


def sound(word: str) -> str:
    """How a word sounds, roughly: its first letter, and classes of consonants."""
    for letters, one in (("ph", "f"), ("ck", "k"), ("gh", "g"), ("wh", "w"), ("kn", "n")):
        word = word.replace(letters, one)
    classes = dict(zip("bpfvcksgjqxzdtlmnr", "bbffkksgjkszddlmnr", strict=True))
    heard = word[0] if word[0] in "aeiouy" else ""
    for letter in word:
        one = classes.get(letter, "")
        if one and not heard.endswith(one):
            heard += one
    return heard


def distance(one: str, other: str) -> int:
    """How many letters have to change."""
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        new = [at]
        for place, match in enumerate(other, 1):
            new.append(min(new[-1] + 1, row[place] + 1, row[place - 1] + (letter != match)))
        row = new
    return row[-1]


@pytest.mark.parametrize("words", [LIVING, MADE], ids=["living", "made"])
def test_a_list_holds_256_words_that_differ(words: tuple[str, ...]) -> None:
    assert len(words) == len(set(words)) == 256
    assert list(words) == sorted(words)
    assert all(word.isascii() and word.islower() and 4 <= len(word) <= 9 for word in words)
    assert len({sound(word) for word in words}) == 256
    assert all(distance(*two) >= 3 for two in combinations(words, 2))


def test_no_word_begins_another_or_is_in_both_lists() -> None:
    words = sorted((*LIVING, *MADE))
    assert len(set(words)) == 512
    assert not [two for two in pairwise(words) if two[1].startswith(two[0])]
    assert all(distance(one, other) >= 2 for one in LIVING for other in MADE)


def test_sounds_are_told_apart() -> None:
    """The control: the measures above do find what is too much alike."""
    assert sound("larch") == sound("lurk") or distance("lemon", "lemur") < 3
    assert sound("cable") == sound("cobble")
    assert distance("kitten", "sitting") == 3


def test_a_code_goes_through_text() -> None:
    assert code(7, lambda n: bytes(range(n))).words == (LIVING[0], MADE[1])
    for words in range(2, WORDS_MAX + 1):
        made = code(words, os.urandom, words)
        assert parse(made.text) == made
        assert len(made.words) == words
    one = Code(7, ("otter", "lantern"))
    assert one.text == "7-otter-lantern"
    assert (one.secret, one.salt, one.name) == (b"otter-lantern", b"7", "pair/7")
    assert "otter" not in f"{one!r}{one}"


@pytest.mark.parametrize(
    "text",
    ["7-otter-laptop", " 7 Otter  LAPTOP\n", "7.otter_laptop", "7\N{EN DASH}otter\u2011laptop"],
)
def test_what_people_type_is_read(text: str) -> None:
    assert parse(text) == Code(7, ("otter", "laptop"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is empty"),
        ("otter-laptop", "not a number"),
        ("0-otter-laptop", "1 to 999"),
        ("1000-otter-laptop", "1 to 999"),
        ("\u0667-otter-laptop", "not a number"),
        ("7", "0 words"),
        ("7-otter", "1 words"),
        ("7-oter-laptop", "did you mean 'otter'"),
        ("7-otter-labtop", "did you mean 'laptop'"),
        ("7-qqqq-laptop", "letter by letter"),
        ("7-laptop-otter", "two swapped"),
        ("7-otter-laptop-piano", "two swapped"),
        ("7-" + "otter-laptop-" * 5, "10 words"),
        ("7-" + "otter-laptop-" * 500, "too many"),
    ],
)
def test_what_is_no_code_is_explained(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse(text)


def test_numbers_and_counts_have_bounds() -> None:
    for number in (0, 1000):
        with pytest.raises(UsageError):
            code(number, os.urandom)
    for words in (1, 9):
        with pytest.raises(UsageError):
            code(7, os.urandom, words)
    tried = nameplates(os.urandom, 5)
    assert len(set(tried)) == 5
    assert sorted(nameplates(os.urandom, 5000)) == list(range(1, 1000))


def test_words_are_completed() -> None:
    assert complete("7-ott") == ["7-otter"]
    assert complete("7-otter-lap") == ["7-otter-laptop"]
    assert complete("7-Otter-LAP") == ["7-Otter-laptop"]
    assert len(complete("7-otter-")) == 256
    for none in (
        "",
        "7",
        "ott",
        "7-oter-l",
        "x-ott",
        "7-otter-qq",
        "7" + "-otter-laptop" * 4 + "-",
    ):
        assert complete(none) == []
