from __future__ import annotations

import pytest

from whispurrnet.sim.nat import HOLE_S, KINDS, Kind, Nats


def pair(caller: Kind, target: Kind) -> Nats:
    nats = Nats()
    nats.put("caller", caller)
    nats.put("target", target)
    return nats


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("caller", KINDS)
def test_who_has_dialled_nobody_is_reached_only_in_the_open(caller: Kind, target: Kind) -> None:
    assert pair(caller, target).dial("caller", "target", 5.0) is (target == "open")


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("caller", KINDS)
def test_who_dialled_the_caller_lets_it_in_according_to_its_kind(
    caller: Kind, target: Kind
) -> None:
    nats = pair(caller, target)
    nats.dial("target", "caller", 1.0)
    expected = {
        "open": True,
        "full_cone": True,
        "restricted": True,
        "port_restricted": caller != "symmetric",
        "symmetric": False,
    }[target]
    assert nats.dial("caller", "target", 2.0) is expected


def test_a_full_cone_that_dialled_anybody_lets_everybody_in_and_the_others_do_not() -> None:
    for kind in KINDS[1:]:
        nats = pair("open", kind)
        nats.dial("target", "somebody", 1.0)
        assert nats.dial("caller", "target", 2.0) is (kind == "full_cone")
        assert nats.dial("caller", "target", 500.0) is False
        assert nats.dial("caller", "target", 500.0, in_use=True) is (kind == "full_cone")


def test_a_hole_closes() -> None:
    nats = pair("port_restricted", "port_restricted")
    assert not nats.dial("target", "caller", 0.0)
    assert nats.dial("caller", "target", HOLE_S - 1.0)
    nats = pair("port_restricted", "port_restricted")
    nats.dial("target", "caller", 0.0)
    assert not nats.dial("caller", "target", HOLE_S + 1.0)


def test_who_crashed_has_no_holes() -> None:
    nats = pair("open", "restricted")
    nats.dial("target", "caller", 1.0)
    nats.forget("target")
    assert not nats.dial("caller", "target", 2.0)
    assert nats.kind("stranger") == "open"
