"""What every link shares: its constants, and the handler of nobody."""

from __future__ import annotations

from whispurrnet.transport import link
from whispurrnet.transport.link import NOBODY, ListenerState
from whispurrnet.transport.memory import MemoryLink
from whispurrnet.wire.address import parse


def test_the_water_marks_leave_room_between_them() -> None:
    assert 0 < link.LOW_WATER < link.HIGH_WATER


def test_no_binding_is_zeros() -> None:
    assert bytes(33) == link.NO_BINDING


def test_the_states_have_the_names_of_the_seeds() -> None:
    names = [state.value for state in ListenerState]
    assert names == ["NotListening", "Starting", "Listening", "ShuttingDown"]


def test_nobody_hears_everything_and_says_nothing() -> None:
    from whispurrnet.testing.virtual_loop import run

    async def main() -> None:
        some = MemoryLink(parse("/memory/a"), NOBODY, inbound=True)
        NOBODY.link_data(some, b"x")
        NOBODY.link_paused(some)
        NOBODY.link_resumed(some)
        NOBODY.link_lost(some, "gone")

    run(main())
