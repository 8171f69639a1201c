"""What waits for the next record besides the frames of the stack."""

from __future__ import annotations

from whispurrnet.session.control import Control, Pending
from whispurrnet.wire.frame import CONTROL, DIRECT, encode, parse


def test_control_goes_around_the_frames() -> None:
    pending = Pending()
    assert pending.bytes == 0
    pending.put(Control.PING, b"12345678")
    pending.put_last(Control.SWITCH)
    pending.put(Control.PONG, b"abcdefgh")
    assert (pending.ping, pending.pongs, pending.switch) == (True, 1, True)
    frames = pending.around([encode(DIRECT, b"hi")])
    assert parse(b"".join(frames)) == [
        (CONTROL, b"\x0112345678"),
        (CONTROL, b"\x02abcdefgh"),
        (DIRECT, b"hi"),
        (CONTROL, b"\x05"),
    ]
    assert pending.bytes == sum(map(len, frames)) - 5
    pending.clear()
    assert (pending.bytes, pending.ping, pending.pongs, pending.switch) == (0, False, 0, False)
    assert pending.around([]) == [b""]


def test_goodbye_replaces_the_switch() -> None:
    pending = Pending()
    pending.put_last(Control.SWITCH)
    pending.put_last(Control.GOODBYE, b"\x03")
    assert not pending.switch
    assert parse(b"".join(pending.around([]))) == [(CONTROL, b"\x06\x03")]
    assert pending.bytes == 5
