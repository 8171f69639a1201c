"""`whispurr sync`: what stands after --with, and how a folder is told to people."""

from __future__ import annotations

from pathlib import Path

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.cli import sync
from whispurrnet.crypto.keys import Secret
from whispurrnet.extensions.filesync.filesync import Status
from whispurrnet.extensions.filesync.invitation import root_of
from whispurrnet.extensions.filesync.model_events import Item, Totals
from whispurrnet.wire.ids import ObjectId
from whispurrnet.wire.object_ticket import ObjectTicket, Offered
from whispurrnet.wire.ticket import Ticket

NODE = Ticket(static_key=b"s" * 32, addresses=("/ip4/127.0.0.1/tcp/9000",))
KEY = b"k" * 32


def status(*items: Item, trouble: str = "", peers: tuple[str, ...] = (), **totals: int) -> Status:
    zero = dict.fromkeys(Totals.__struct_fields__, 0)
    return Status(Totals(**{**zero, **totals}), items, peers, (), trouble, ())


def test_the_ticket_of_a_folder_names_its_key_and_a_node() -> None:
    offered = sync._offered(KEY, Path("/home/ada/notes"))
    assert offered.label == "notes"
    named, tickets, key = sync._peers((ObjectTicket(offered, NODE).text, "AB" * 32, NODE.text))
    assert named == ("ab" * 32,)
    assert tickets == (NODE, NODE)
    assert key == KEY
    assert root_of(KEY).find(KEY) == -1


def test_the_ticket_of_a_file_is_refused() -> None:
    ticket = ObjectTicket(Offered(ObjectId(b"o" * 32), Secret(KEY), "x", 1, False), NODE)
    with pytest.raises(UsageError, match="not one of a shared folder"):
        sync._peers((ticket.text,))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (status(files=2), "waiting for somebody else; 2 files"),
        (status(files=2, peers=("bob",)), "2 files, 0 B, the same as with bob"),
        (status(peers=("bob",), wanted=1, wanted_bytes=9, behind=3), "1 to change here (9 B)"),
        (status(peers=("bob",), behind=3), "3 to change elsewhere"),
        (status(trouble="the folder is gone"), "the folder is gone"),
    ],
)
def test_the_verdict_comes_first(told: Status, words: str) -> None:
    assert words in sync.lines(told)[0]


def test_each_thing_has_its_reason_and_no_peer_writes_to_the_terminal() -> None:
    item = Item("a\x1b[2J", "here", "there", "rename\x07 it")
    shown = "\n".join(sync.lines(status(*[item] * 12, kept=2)))
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert "here; there" in shown
    assert "and 2 more" in shown
    assert "2 kept of conflicts" in shown
