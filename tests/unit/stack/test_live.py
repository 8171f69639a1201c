"""What goes into the next record: gossip in bulk when it is alone, in turns when it is not."""

from __future__ import annotations

from typing import Any

from whispurrnet.stack.live import Live
from whispurrnet.wire import frame

ROOM = 1000


class Channel:
    """Seals nothing, and shows what it was given."""

    room = ROOM
    control_pending = False

    def seal(self, frames: list[bytes], size: int, now: float) -> bytes:
        record = b"".join(frames)
        assert len(record) == size <= ROOM
        return record


class Queue:
    """Whispers, or bytes of streams, of one priority."""

    def __init__(self, *bodies: bytes, priority: int = 5) -> None:
        self.bodies = list(bodies)
        self._priority = priority

    def priority(self, _: int = 0) -> int | None:
        return self._priority if self.bodies else None

    def pull(self, *_: Any) -> bytes:
        return self.bodies.pop(0)


def live(*, whispers: Queue | None = None) -> tuple[Live, Any]:
    keys: Any = None
    one = Live(link=1, peer=2, initiator=True, keys=keys)
    channel: Any = Channel()
    mux: Any = Queue()
    one.channel, one.mux = channel, mux
    return one, whispers or Queue()


def bodies(record: bytes | None) -> list[bytes]:
    found = []
    while record:
        size = int.from_bytes(record[1:3], "big")
        found.append(record[3 : 3 + size])
        record = record[3 + size :]
    return found


def test_gossip_alone_fills_a_record_and_the_rest_waits_for_the_next() -> None:
    one, courier = live()
    for n in range(12):
        one.gossip.put(frame.GOSSIP, b"%d" % (n % 10) * 97, 5)
    one.gossip.put(frame.GOSSIP, b"alarm", 10)
    first = bodies(one.next_record(courier, 0.0))
    assert first == [b"alarm", *(b"%d" % n * 97 for n in range(9))]
    assert len(bodies(one.next_record(courier, 0.0))) == 3
    assert one.next_record(courier, 0.0) is None


def test_what_is_as_urgent_takes_turns_with_gossip() -> None:
    one, courier = live(whispers=Queue(b"one", b"two"))
    for n in range(4):
        one.gossip.put(frame.GOSSIP, b"%d" % n, 5)
    said = bodies(one.next_record(courier, 0.0))
    assert said == [b"0", b"one", b"1", b"two", b"2", b"3"]


def test_what_is_more_urgent_than_gossip_goes_first() -> None:
    one, courier = live(whispers=Queue(b"one", b"two", priority=9))
    one.gossip.put(frame.GOSSIP, b"0", 5)
    assert bodies(one.next_record(courier, 0.0)) == [b"one", b"two", b"0"]
