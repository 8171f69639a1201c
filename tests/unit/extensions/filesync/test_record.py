"""Histories and verdicts: both sides judge alike, and nothing is lost that nobody has seen."""

from __future__ import annotations

from itertools import product

import pytest

from whispurrnet.extensions.filesync.history import after, bump, covers, union
from whispurrnet.extensions.filesync.record import (
    File,
    Verdict,
    is_kept,
    joined,
    judge,
    kept_name,
    same,
)

X, Y = b"x" * 32, b"y" * 32


def file(oid: bytes, history: dict[int, int], dot: tuple[int, int], ms: int = 0) -> File:
    return File("a", oid, 1 if oid else 0, False, ms, tuple(sorted(history.items())), *dot)


def test_histories() -> None:
    a = bump(bump((), 1), 1)
    assert a == ((1, 2),)
    b = bump((), 2)
    assert union(a, b) == ((1, 2), (2, 1)) == union(b, a)
    assert after(a, a)
    assert after(union(a, b), b)
    assert not after(a, b)
    assert covers(a, (1, 1)) and covers(a, (1, 2))
    assert not covers(a, (1, 3)) and not covers(a, (2, 1))


BASE = file(X, {1: 1}, (1, 1))
EDITED = file(Y, {1: 1, 2: 1}, (2, 1))
RIVAL = file(b"z" * 32, {1: 1, 3: 1}, (3, 1), ms=5)


@pytest.mark.parametrize(
    ("here", "there", "verdict"),
    [
        (None, BASE, Verdict.TAKE),
        (BASE, BASE, Verdict.NOTHING),
        (BASE, EDITED, Verdict.TAKE),
        (EDITED, BASE, Verdict.NOTHING),
        (EDITED, RIVAL, Verdict.KEEP),
        (RIVAL, EDITED, Verdict.NOTHING),
        (file(X, {1: 1}, (1, 1)), file(X, {2: 1}, (2, 1)), Verdict.JOIN),
        (file(b"", {1: 2}, (1, 2), 9), RIVAL, Verdict.YIELD),  # edit and deletion: the edit
        (RIVAL, file(b"", {1: 2}, (1, 2), 9), Verdict.NOTHING),
        # Its content was seen by who made theirs, and not the other way round: no copy of it.
        (file(X, {1: 1, 4: 1}, (1, 1), 9), file(Y, {1: 2}, (1, 2)), Verdict.YIELD),
        (file(Y, {1: 2}, (1, 2)), file(X, {1: 1, 4: 1}, (1, 1), 9), Verdict.NOTHING),
        # One history of two contents: an index was put back from a copy.
        (file(X, {1: 1}, (1, 1)), file(Y, {1: 1}, (1, 1)), Verdict.KEEP),
        (file(Y, {1: 1}, (1, 1)), file(X, {1: 1}, (1, 1)), Verdict.NOTHING),
    ],
)
def test_verdicts(here: File | None, there: File, verdict: Verdict) -> None:
    assert judge(here, there) is verdict


def test_exactly_one_of_two_rivals_yields() -> None:
    histories = [{1: 1}, {1: 2}, {2: 1}, {1: 1, 2: 1}, {1: 2, 3: 1}, {1: 1, 2: 2}]
    dots = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]
    versions = [
        file(oid, history, dot, ms)
        for history, dot, oid, ms in product(histories, dots, (b"", X, Y), (0, 1))
        if covers(tuple(sorted(history.items())), dot)
    ]
    acting = {Verdict.YIELD, Verdict.KEEP}
    for a, b in product(versions, versions):
        one, two = judge(a, b), judge(b, a)
        if (one in acting) or (two in acting):
            assert (one in acting) != (two in acting)
            assert not same(a, b)
        assert (one is Verdict.JOIN) == (two is Verdict.JOIN)
        if one is Verdict.JOIN:
            assert joined(a, b) == joined(b, a)


def test_the_name_of_what_is_kept() -> None:
    kept = kept_name(File("d/re.port.txt", X, 1, False, 1_700_000_000_000, ((1, 1),), 1 << 62, 1))
    assert kept == "d/re.port.conflict-400000-20231114-221320-78787878.txt"
    assert is_kept(kept) and not is_kept("d.conflict-x/a")
    for name in (".bashrc", "x", "é" * 127, "x." + "y" * 250):
        found = kept_name(File(name, X, 1, False, 0, ((1, 1),), 1 << 62, 1))
        assert len(found.encode()) <= 255
        assert ".conflict-400000-19700101-000000-78787878" in found
