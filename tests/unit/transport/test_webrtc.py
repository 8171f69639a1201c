"""The link alone, on a connection that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from whispurrnet.crypto.hash import sha256
from whispurrnet.transport.link import HIGH_WATER, Link
from whispurrnet.transport.webrtc import (
    END,
    TELL_BYTES,
    UNKNOWN,
    WINDOW_BYTES,
    WebrtcLink,
    binding_of,
)
from whispurrnet.transport.webrtc_backend import BUFFER_BYTES, MESSAGE_BYTES_MAX
from whispurrnet.wire.address import parse


class Wire:
    """A connection."""

    hears: WebrtcLink

    def __init__(self, selected: tuple[str, int] | None = None) -> None:
        self.selected = selected
        self.turn: tuple[str, int] | None = None
        self.buffered = 0
        self.sent: list[bytes | str] = []
        self.closed = 0

    def send(self, data: bytes | str) -> None:
        self.sent.append(data)

    async def close(self) -> None:
        self.closed += 1
        await asyncio.sleep(0)

    @property
    def texts(self) -> list[str]:
        return [one for one in self.sent if isinstance(one, str)]

    @property
    def size(self) -> int:
        return sum(len(one) for one in self.sent if isinstance(one, bytes))


class Told:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data = b""

    def link_data(self, link: Link, data: bytes) -> None:
        self.data += data

    def link_lost(self, link: Link, reason: str) -> None:
        self.calls.append(reason)

    def link_paused(self, link: Link) -> None:
        self.calls.append("paused")

    def link_resumed(self, link: Link) -> None:
        self.calls.append("resumed")


def play(test: Callable[[Wire, Told, WebrtcLink], Awaitable[None]]) -> None:
    async def main() -> None:
        wire, told = Wire(), Told()
        link = WebrtcLink(wire, told, inbound=True, binding=b"\x02" * 33)  # type: ignore[arg-type]
        await test(wire, told, link)

    asyncio.run(main())


def test_the_binding_as_documented() -> None:
    assert binding_of(b"a" * 32, b"b" * 32) == b"\x02" + sha256(
        b"WN1 webrtc" + b"a" * 32 + b"b" * 32
    )
    assert binding_of(b"a" * 32, b"b" * 32) != binding_of(b"b" * 32, b"a" * 32)


@pytest.mark.parametrize(
    ("selected", "text"),
    [(None, "/webrtc"), (("192.0.2.7", 5000), "/ip4/192.0.2.7/udp/5000/webrtc"),
     (("2001:db8::7", 5000), "/ip6/2001:db8::7/udp/5000/webrtc")],
)  # fmt: skip
def test_where_it_leads(selected: tuple[str, int] | None, text: str) -> None:
    async def main() -> None:
        link = WebrtcLink(Wire(selected), Told(), inbound=True, binding=b"")  # type: ignore[arg-type]
        assert str(link.remote) == text
        assert parse(text) == link.remote
        assert (link.remote == UNKNOWN["no"]) == (selected is None)

    asyncio.run(main())


def test_messages_are_short_and_small_ones_go_together() -> None:
    async def test(wire: Wire, told: Told, link: WebrtcLink) -> None:
        link.write(b"a")
        link.write(bytearray(b"b"))
        assert wire.sent == []
        await asyncio.sleep(0)
        assert wire.sent == [b"ab"]
        link.write(b"x" * (2 * MESSAGE_BYTES_MAX + 5))
        assert [len(one) for one in wire.sent[1:]] == [MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, 5]
        assert all(type(one) is bytes for one in wire.sent)

    play(test)


def test_no_more_than_the_window_is_sent_unread() -> None:
    async def test(wire: Wire, told: Told, link: WebrtcLink) -> None:
        for _ in range(5):
            link.write(b"x" * (WINDOW_BYTES // 4))
        assert wire.size == WINDOW_BYTES
        assert told.calls == ["paused"]
        link.rtc_message(str(TELL_BYTES))
        assert wire.size == WINDOW_BYTES + TELL_BYTES
        assert told.calls == ["paused", "resumed"]

    play(test)


def test_no_more_than_the_library_takes_is_handed_to_it() -> None:
    async def test(wire: Wire, told: Told, link: WebrtcLink) -> None:
        wire.buffered = BUFFER_BYTES
        link.write(b"x" * (HIGH_WATER + 1))
        assert wire.sent == []
        assert told.calls == ["paused"]
        wire.buffered = 0
        link.rtc_low()
        assert wire.size == HIGH_WATER + 1
        assert told.calls == ["paused", "resumed"]

    play(test)


def test_a_library_that_counts_wrong_does_not_stop_the_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lost word of the library costs a moment, not the link."""
    monkeypatch.setattr("whispurrnet.transport.webrtc.NUDGE_S", 0.001)

    async def test(wire: Wire, told: Told, link: WebrtcLink) -> None:
        wire.buffered = BUFFER_BYTES
        link.write(b"x" * 3 * MESSAGE_BYTES_MAX)
        while wire.size < 3 * MESSAGE_BYTES_MAX:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        link.write(b"x" * 2 * WINDOW_BYTES)
        await asyncio.sleep(0.2)
        assert wire.size <= WINDOW_BYTES  # and no more than the other side allows

    play(test)


def test_the_other_side_hears_how_far_we_have_read() -> None:
    async def test(wire: Wire, told: Told, link: WebrtcLink) -> None:
        link.rtc_message(b"x" * (TELL_BYTES - 1))
        assert wire.texts == []
        link.rtc_message(b"x")
        assert wire.texts == [str(TELL_BYTES)]
        link.pause_reading()
        for _ in range(64):
            link.rtc_message(b"x" * MESSAGE_BYTES_MAX)
        assert wire.texts == [str(TELL_BYTES)]  # not what waits here
        assert told.calls == []
        link.rtc_message(b"x")
        await asyncio.sleep(0.01)
        assert told.calls == ["the peer sent more than it may"]

    play(test)


@pytest.mark.parametrize("text", ["1", "9" * 33, "a word of a later version, but too long"])
def test_nonsense_ends_it(text: str) -> None:
    async def test(wire: Wire, told: Told, link: WebrtcLink) -> None:
        link.rtc_message(text)
        await asyncio.sleep(0.01)
        assert len(told.calls) == 1
        assert wire.closed == 1
        link.rtc_lost("again")
        link.rtc_message(b"late")
        link.abort()
        await asyncio.sleep(0.01)
        assert len(told.calls) == 1

    play(test)


@pytest.mark.parametrize("text", ["", "news", "-1", "1.5", "\N{ARABIC-INDIC DIGIT ONE}", "0"])
def test_other_words_are_of_a_later_version(text: str) -> None:
    async def test(wire: Wire, told: Told, link: WebrtcLink) -> None:
        link.rtc_message(text)
        await asyncio.sleep(0.01)
        assert told.calls == []

    play(test)


def test_the_count_never_goes_back() -> None:
    async def test(wire: Wire, told: Told, link: WebrtcLink) -> None:
        link.write(b"x" * MESSAGE_BYTES_MAX)
        link.rtc_message("100")
        link.rtc_message("99")
        await asyncio.sleep(0.01)
        assert told.calls == ["the peer took bytes that were not sent"]

    play(test)


def test_closing_waits_for_what_was_written() -> None:
    async def test(wire: Wire, told: Told, link: WebrtcLink) -> None:
        wire.buffered = BUFFER_BYTES
        link.write(b"last words")
        link.close()
        await asyncio.sleep(0.01)
        assert wire.texts == []
        wire.buffered = 0
        link.rtc_low()
        assert wire.sent == [b"last words", END]
        assert wire.closed == 0  # the other side closes when it has read that
        link.rtc_message(b"too late")
        link.rtc_lost("the peer closed the WebRTC link")
        await asyncio.sleep(0.01)
        assert told.calls == ["closed here"]
        assert told.data == b""

    play(test)


def test_the_end_is_read_after_all_before_it() -> None:
    async def test(wire: Wire, told: Told, link: WebrtcLink) -> None:
        link.pause_reading()
        link.rtc_message(b"last words")
        link.rtc_message(END)
        await asyncio.sleep(0.01)
        assert told.calls == []
        link.resume_reading()
        await asyncio.sleep(0.01)
        assert told.data == b"last words"
        assert told.calls == ["closed by the peer"]
        assert wire.closed == 1

    play(test)


def test_a_link_that_nobody_reads_is_cut_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whispurrnet.transport.webrtc.LINGER_S", 0.01)

    async def test(wire: Wire, told: Told, link: WebrtcLink) -> None:
        link.write(b"x" * 2 * WINDOW_BYTES)
        link.close()
        await asyncio.sleep(0.05)
        assert told.calls == ["paused", "closed here"]

    play(test)
