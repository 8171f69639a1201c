from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.store.runs import Runs, pack

SPANS = st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(1, 8)))


@given(SPANS)
def test_runs_are_a_set(steps: list[tuple[bool, int, int]]) -> None:
    runs, known = Runs(), set[int]()
    for add, start, count in steps:
        if add:
            runs.add(start, start + count)
            known |= set(range(start, start + count))
        else:
            runs.remove(start, start + count)
            known -= set(range(start, start + count))
        assert [i for i in range(50) if i in runs] == sorted(known)
        spans = runs.spans()
        assert all(a < b for a, b in spans)
        assert all(a[1] < b[0] for a, b in pairwise(spans)) or not add


@given(SPANS)
def test_they_are_bounded(steps: list[tuple[bool, int, int]]) -> None:
    runs = Runs(3)
    for _, start, count in steps:
        runs.add(start, start + count)
        assert len(runs) <= 3


@given(st.lists(st.integers(0, 40)))
def test_pack_keeps_the_order(indexes: list[int]) -> None:
    packed = pack(indexes)
    assert [i for start, count in packed for i in range(start, start + count)] == indexes


def test_pack_joins() -> None:
    assert pack([3, 4, 5, 9, 10, 2]) == [(3, 3), (9, 2), (2, 1)]
    assert pack([]) == []
