"""The one shape of a protocol core, shown by the smallest core there is."""

from __future__ import annotations

import msgspec
import pytest

from whispurrnet.base.machine import Machine, Received, Send, Tick


class Echo:
    """Sends back what it received, one second later."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, str, bytes]] = []

    @property
    def deadline(self) -> float | None:
        return self._waiting[0][0] if self._waiting else None

    def handle(self, event: Received[str, bytes] | Tick, now: float) -> list[Send[str, bytes]]:
        match event:
            case Received(peer, message):
                self._waiting.append((now + 1.0, peer, message))
                return []
            case Tick():
                due = [entry for entry in self._waiting if entry[0] <= now]
                del self._waiting[: len(due)]
                return [Send(peer, message) for _, peer, message in due]


def test_a_core_is_driven_by_events_and_time_alone() -> None:
    core: Machine[Received[str, bytes] | Tick, Send[str, bytes]] = Echo()
    assert core.deadline is None
    assert core.handle(Received("ada", b"hello"), 5.0) == []
    assert core.deadline == 6.0
    assert core.handle(Tick(), 5.5) == []
    assert core.handle(Tick(), 6.0) == [Send("ada", b"hello")]


def test_events_do_not_change() -> None:
    event = Received("ada", b"hello")
    with pytest.raises(AttributeError):
        event.peer = "bob"  # type: ignore[misc]
    assert msgspec.structs.asdict(event) == {"peer": "ada", "message": b"hello"}
