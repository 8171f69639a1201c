from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store import messages
from whispurrnet.store.object import CUTS_HEAD, PAGE_LEAVES, PROOF_MAX, Header, Mode, Page
from whispurrnet.wire import frame
from whispurrnet.wire.ids import ObjectId

OID = ObjectId(b"o" * 32)
HEADER = Header(Mode.FIXED, 18, 3)
MESSAGES = [
    messages.Request(1, OID, ((0, 4), (9, 1)), 4),
    messages.AskPage(1, OID, 0),
    messages.PageIs(1, HEADER.pack(), 0, bytes(32), b"", b""),
    messages.Have(1, OID, True, ()),
    messages.Lacking(1, ((3, 4),)),
    messages.Cancel(1, ()),
    messages.Refused(1, messages.NOT_HERE, "no"),
    messages.AskSmall((OID,)),
    messages.NotHere((OID, OID)),
    messages.Metrics(1, 2, 3, 4, 5, 6),
    messages.Access(OID, bytes(32)),
]


def test_what_is_said_is_heard() -> None:
    assert messages.decode(messages.encode(*MESSAGES)) == MESSAGES


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_garbage_is_refused(message: messages.Message) -> None:
    body = messages.encode(message)
    rng = Random(1)
    for _ in range(200):
        changed = bytearray(body)
        changed[rng.randrange(1, len(body))] = rng.randrange(256)
        try:
            messages.decode(bytes(changed))
        except ProtocolError:
            continue


@pytest.mark.parametrize(
    "message",
    [
        messages.Request(1, OID, ((0, 0),), 2),
        messages.Request(1, OID, ((0, 1 << 32),), 2),
        messages.Request(1 << 32, OID, (), 2),
        messages.Request(1, OID, (), 5),
        messages.Request(1, OID, ((0, 1),) * 65, 2),
        messages.Have(1, OID, False, ((0, 1),) * 1025),
        messages.AskSmall((OID,) * 513),
        messages.Refused(1, 1, "x" * 201),
        messages.Access(OID, bytes(31)),
        messages.AskPage(1, ObjectId(bytes(31)), 0),
    ],
)
def test_what_is_out_of_bounds_is_refused(message: messages.Message) -> None:
    with pytest.raises(ProtocolError):
        messages.decode(messages.encode(message))


def test_the_longest_messages_fit() -> None:
    lengths = bytes(CUTS_HEAD.size + 4 * PAGE_LEAVES)
    page = Page(0, bytes(32 * PAGE_LEAVES), lengths, bytes(32 * PROOF_MAX))
    longest = [
        messages.page_is(1, HEADER, page),
        messages.AskSmall((OID,) * messages.SMALL_ASK_MAX),
        messages.Have(1, OID, False, (((1 << 32) - 1, (1 << 32) - 1),) * messages.HAVE_RUNS_MAX),
    ]
    for message in longest:
        body = messages.encode(message)
        assert messages.decode(body) == [message]
        assert len(body) <= 24_000
    assert messages.page_of(messages.page_is(1, HEADER, page)) == page


def test_too_many_messages_are_refused() -> None:
    with pytest.raises(ProtocolError):
        messages.decode(b"\0" + messages._codec.encode_all([MESSAGES[5]] * 65))
    with pytest.raises(ProtocolError):
        messages.decode(bytes(messages.BODY_BYTES_MAX + 1))


def test_parts_of_chunks() -> None:
    body = messages.data_header(1, 2, 3) + b"part"
    assert messages.read_data(body) == (1, 2, 3, b"part")
    assert len(body) == messages.DATA_HEADER_BYTES + 4
    with pytest.raises(ProtocolError):
        messages.read_data(body[:12])


def test_small_objects() -> None:
    wholes = [
        (OID, Header(Mode.FIXED, 18, len(data)), data) for data in (b"", b"abc", bytes(16384))
    ]
    body = b"".join(messages.small_parts(wholes))
    assert len(body) <= frame.FRAME_MAX
    assert messages.read_small(body) == wholes
    for end in range(2, len(body), 97):
        try:
            assert messages.read_small(body[:end]) in ([], wholes[:1], wholes[:2])
        except ProtocolError:
            continue
    large = Header(Mode.FIXED, 18, 16385)
    with pytest.raises(ProtocolError):
        messages.read_small(b"\x02" + OID + large.pack() + bytes(16385))
