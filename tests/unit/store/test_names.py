"""Names that came from somebody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import UsageError
from whispurrnet.store.names import check, check_all, check_path, fault, folded, normal

GOOD = [
    *("a", "README.md", ".hidden", "...a", "one two", "Übung.txt", "名前", "👩\u200d🔬.png"),
    *("a" * 255, "console", "com10", "nul_", "aux1.txt", "lpt", "com0x", "~", "-rf", "$x", "%41"),
]
BAD = [
    *("", ".", "..", "/", "a/b", "/etc/passwd", "..\\x", "a\\b", "c:", "C:\\x", "file:stream"),
    *("a\0b", "a\nb", "a\x7f", "a\x1b[2J", "\x85", "a<b", "a>b", 'a"b', "a|b", "a?b", "a*b"),
    *("CON", "con", "Con.txt", "NUL", "nul.tar.gz", "prn", "AUX.h", "com1", "COM9.log", "lpt1"),
    *("com0", "LPT\u00b9", "com\u00b2.x", "conin$", "CLOCK$", "nul .txt"),
    *("a.", "a ", "a..", "...", " ", "a" * 256, "ä" * 128, "a\u0308"),
    *("a\u202egnp.exe", "a\u2066b", "\ufeffa", "a\u200bb", "a\u2028b", "\ud800"),
]


@pytest.mark.parametrize("name", GOOD)
def test_good_names_stay_as_they_are(name: str) -> None:
    assert fault(name) == ""
    assert check(name) == name


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_bad_names_are_refused_with_the_name_and_the_reason(name: str) -> None:
    with pytest.raises(UsageError, match="the name") as caught:
        check(name)
    assert repr(name[:80]) in str(caught.value)
    assert str(caught.value).endswith(fault(name))
    assert str(caught.value).isprintable()
    with pytest.raises(UsageError):
        check_path(["a", name])
    with pytest.raises(UsageError):
        check_all(["fine", name])


@pytest.mark.parametrize(
    ("one", "other"),
    [("a", "A"), ("Übung", "übung"), ("straße", "STRASSE"), ("a", "a"), ("ab", "a\u200db")],
)
def test_names_that_some_systems_take_for_one_are_refused(one: str, other: str) -> None:
    assert folded(one) == folded(other)
    with pytest.raises(UsageError) as caught:
        check_all([one, "b", other])
    assert repr(one) in str(caught.value) or one == other
    assert repr(other) in str(caught.value)


def test_paths_are_bounded() -> None:
    assert check_path(["a"] * 32) == ("a",) * 32
    for parts in ([], ["a"] * 33):
        with pytest.raises(UsageError, match="parts"):
            check_path(parts)
    check_all(["a", "b", "ab"])


@given(st.text(max_size=300))
def test_what_passes_is_one_part_of_a_path(name: str) -> None:
    assert check(normal("e\u0301")) == "é"
    if not fault(name):
        assert name not in {"", ".", ".."}
        assert not {"/", "\\", "\0"} & set(name)
        assert len(name.encode()) <= 255
        assert name == name.strip("\n\r\t")
