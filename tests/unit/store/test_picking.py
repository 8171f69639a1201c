from __future__ import annotations

from random import Random

import pytest

from whispurrnet.store.picking import FREE, Picker
from whispurrnet.store.source import Source


def source(*spans: tuple[int, int], complete: bool = False) -> Source:
    made = Source(1, 1, 0.0)
    made.complete = complete
    for start, stop in spans:
        made.have.add(start, stop)
    return made


def all_of(picker: Picker, one: Source, sources: list[Source]) -> list[int]:
    taken = []
    while (index := picker.next(one, sources, lambda _: True, {})) is not None:
        picker.take(index)
        taken.append(index)
        picker.check_invariants()
    return taken


def test_the_rarest_come_first() -> None:
    whole = source(complete=True)
    sources = [whole, source((0, 6)), source((0, 3), (8, 9))]
    picker = Picker(10, None, ())
    assert all_of(picker, whole, sources) == [6, 7, 9, 3, 4, 5, 8, 0, 1, 2]


def test_only_what_a_source_has() -> None:
    one = source((2, 4), (9, 12))
    picker = Picker(10, None, [(3, 1)])
    assert all_of(picker, one, [one]) == [2, 9]
    picker.give_back(9)
    assert all_of(picker, one, [one]) == [9]


def test_from_where_one_begins() -> None:
    whole = source(complete=True)
    picker = Picker(6, None, ())
    picker.begin_at(4)
    assert all_of(picker, whole, [whole]) == [4, 5, 0, 1, 2, 3]


def test_chunks_without_a_page_wait() -> None:
    whole = source(complete=True)
    picker = Picker(2000, None, ())
    lacking: dict[int, None] = {}
    assert picker.next(whole, [whole], lambda page: page == 1, lacking) == 512
    assert list(lacking) == [0]
    lacking = {}
    assert picker.next(whole, [whole], lambda page: page == 3, lacking) is None
    assert list(lacking) == [0, 1]


def test_only_some_are_wanted_and_those_beyond_the_end_are_not_there() -> None:
    picker = Picker(10, [(2, 3), (8, 100), (50, 2)], [(3, 1)])
    assert picker.all == [(2, 3), (8, 2)]
    assert [i for i in range(10) if picker.state[i] == FREE] == [2, 4, 8, 9]
    assert picker.left == 4


def test_the_way_of_a_chunk() -> None:
    picker = Picker(2, None, ())
    picker.take(0)
    picker.verified(0)
    picker.give_back(0)  # too late
    assert not picker.stored(1) and picker.stored(0) and not picker.stored(0)
    assert not picker.stored(-1) and not picker.stored(9)
    assert (picker.free, picker.left, picker.unstored) == (1, 1, 0)


@pytest.mark.parametrize("seed", range(5))
def test_each_chunk_is_found_once(seed: int) -> None:
    rng = Random(seed)
    sources = [source(*((a, a + rng.randrange(1, 30)) for a in rng.sample(range(90), 5)))]
    sources += [source((0, 40)), source((40, 100))]
    picker = Picker(100, None, ())
    taken = [index for one in sources for index in all_of(picker, one, sources)]
    assert sorted(taken) == list(range(100))
