from __future__ import annotations

import pytest

from whispurrnet.cli import flags, up
from whispurrnet.cli.fault import Fault
from whispurrnet.crypto.keys import Secret
from whispurrnet.wire.ticket import Ticket

TICKET = Ticket(static_key=b"k" * 32, addresses=("/ip4/127.0.0.1/tcp/1",))
INVITE = Ticket(static_key=b"k" * 32, addresses=TICKET.addresses, psk=Secret(b"p" * 32))


def test_set_is_a_setting_and_its_value() -> None:
    found = flags.environment(("max_peers=7", "log.level=debug"))
    assert found["WHISPURRNET_MAX_PEERS"] == "7"
    assert found["WHISPURRNET_LOG_LEVEL"] == "debug"
    for wrong in ("max_peers", "max_pears=7", "=7"):
        with pytest.raises(Fault, match="--set"):
            flags.environment((wrong,))


def test_an_invite_is_no_argument() -> None:
    assert flags.public((TICKET.text, "/ip4/127.0.0.1/tcp/1")) == (
        TICKET.text,
        "/ip4/127.0.0.1/tcp/1",
    )
    with pytest.raises(Fault, match="secret"):
        flags.public((TICKET.text, INVITE.text))


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"type": "peer_up", "name": "a\x1b", "path": "direct tcp"}, "connected (direct tcp)"),
        ({"type": "peer_down", "name": "a\x1b", "reason": "b\x07"}, "is gone: b"),
        ({"type": "path_changed", "name": "a\x1b", "path": "direct tcp"}, "by direct tcp now"),
        ({"type": "rotated"}, "whispurr ticket"),
        ({"type": "message", "name": "a"}, ""),
    ],
)
def test_lines_of_what_happens(event: dict[str, str], line: str) -> None:
    shown = up.event_line(event)
    assert line in shown
    assert "\x1b" not in shown.replace("\x1b[", "")
    assert "\x07" not in shown
