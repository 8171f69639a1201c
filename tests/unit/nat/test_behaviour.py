"""What a NAT is called, who can meet, and that it is said in words."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest

from whispurrnet.nat import behaviour as b


@pytest.mark.parametrize(
    ("mapping", "filtering", "kind"),
    [
        (b.INDEPENDENT, b.INDEPENDENT, "full cone"),
        (b.INDEPENDENT, b.BY_ADDRESS, "restricted cone"),
        (b.INDEPENDENT, b.BY_PORT, "port-restricted cone"),
        (b.INDEPENDENT, b.UNKNOWN, "cone"),
        (b.BY_ADDRESS, b.INDEPENDENT, "symmetric"),
        (b.BY_PORT, b.BY_PORT, "symmetric"),
        (b.UNKNOWN, b.BY_PORT, "unknown"),
    ],
)
def test_kinds(mapping: b.Behaviour, filtering: b.Behaviour, kind: b.Kind) -> None:
    assert b.kind_of(mapping, filtering, translated=True) == kind
    assert b.kind_of(mapping, filtering, translated=False) == "none"


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("full cone", "full cone", True),
        ("full cone", "symmetric", True),
        ("restricted cone", "symmetric", True),
        ("port-restricted cone", "port-restricted cone", True),
        ("port-restricted cone", "full cone", True),
        ("port-restricted cone", "symmetric", False),
        ("symmetric", "symmetric", False),
        ("none", "symmetric", True),
        ("blocked", "none", False),
        ("cone", "symmetric", None),
        ("cone", "cone", True),
        ("unknown", "full cone", None),
    ],
)
def test_who_can_meet(one: b.Kind, other: b.Kind, meet: bool | None) -> None:
    assert b.can_meet(one, other) is b.can_meet(other, one) is meet


def test_every_kind_has_its_words() -> None:
    kinds = get_args(b.Kind)
    assert set(b.MEANINGS) == set(kinds)
    for kind in kinds:
        assert b.MEANINGS[kind].endswith(".")
        assert b.reachable(kind).endswith(".")
    for one, other in itertools.product(kinds, kinds):
        assert b.can_meet(one, other) in (True, False, None)
