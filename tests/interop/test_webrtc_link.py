"""The rules of `transport.link`, held by WebRTC: with each library that is here, and across them.

On Python 3.11 that is aiortc; `test_webrtc_python.py` runs this file on a newer one, with both.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tests.interop import test_transports as rules
from tests.interop.rtc_lab import BACKENDS, PAIRS, RtcTransport, Side, agree, need_interface
from tests.interop.test_transports import test_a_slow_reader_holds_the_writer as _slow_reader
from tests.interop.test_transports import (  # noqa: F401 - run here, with the worlds below
    test_abort_is_immediate,
    test_after_an_own_close_nothing_arrives,
    test_bytes_arrive_in_order_across_many_writes_of_many_sizes,
    test_close_from_the_side_that_accepted,
    test_close_sends_what_was_written,
    test_nothing_arrives_while_paused,
    test_reading_may_be_paused_before_it_starts,
    test_what_is_written_in_the_callback_is_the_first_to_arrive,
)

from whispurrnet.base.errors import LimitError, NetworkError, ProtocolError
from whispurrnet.transport import webrtc, webrtc_backend, webrtc_sdp
from whispurrnet.transport.link import HIGH_WATER, Link, LinkHandler
from whispurrnet.wire.address import parse

if not BACKENDS:
    pytest.skip("no WebRTC library is installed: whispurrnet[webrtc]", allow_module_level=True)

test_a_slow_reader_holds_the_writer = _slow_reader


class World(rules.World):
    """Two libraries in one process."""

    def __init__(self, near: str, far: str) -> None:
        need_interface()
        self.kind = "webrtc"
        self.where = "/webrtc"
        self.transport = RtcTransport(near, far)


# aiortc on uvloop loses half its speed, and tests nothing of ours
WORLDS = [
    (near, far, loop)
    for near, far in PAIRS
    for loop in rules.LOOPS
    if loop == "asyncio" or near == far == "aiolibdatachannel"
]


@pytest.fixture(params=WORLDS, ids="-".join)
def both(request: pytest.FixtureRequest) -> tuple[World, str]:
    near, far, loop = request.param
    return World(near, far), loop


def test_a_link_says_who_and_how(both: tuple[World, str]) -> None:
    world, loop = both

    async def main() -> None:
        async with world.pair() as pair:
            assert pair.near.path == pair.far.path == "webrtc"
            assert pair.far.inbound
            assert not pair.near.inbound
            assert pair.near.binding == pair.far.binding
            assert len(pair.near.binding) == 33
            assert pair.near.binding[0] == 2
            near, far = world.transport.backends  # type: ignore[attr-defined]
            for link, name in ((pair.near, near), (pair.far, far)):
                assert link.remote.transport == "webrtc"
                assert (link.remote == webrtc.UNKNOWN["no"]) == (name == "aiolibdatachannel")
                assert not link.remote.host.startswith("127.")

    rules.play(loop, main)


def test_who_takes_no_link_ends_it(both: tuple[World, str]) -> None:
    world, loop = both

    async def main() -> None:
        def accept(link: Link) -> LinkHandler:
            raise LimitError("enough links; try again later")

        listener = await world.transport.listen(parse(world.where), accept)
        here = rules.Recorder()
        with contextlib.suppress(NetworkError):  # it is lost before it is open here
            await world.transport.dial(listener.address, here)
            await here.until(lambda: here.lost)

    rules.play(loop, main)


def test_a_closed_link_does_not_linger_for_ever(
    both: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, loop = both
    monkeypatch.setattr("whispurrnet.transport.webrtc.LINGER_S", 0.05)

    async def main() -> None:
        async with world.pair() as pair:
            pair.near.pause_reading()
            while not pair.there.paused:
                pair.far.write(b"x" * 65536)
                await asyncio.sleep(0)
            pair.far.close()
            # A goodbye among so many datagrams may be lost: the other side may hear of it by the
            # consent checks of ICE only, after half a minute, or by the session's heartbeat.
            await pair.there.until(lambda: pair.there.lost)

    rules.play(loop, main)


def test_a_peer_that_disappears_does_not_hold_the_writer(both: tuple[World, str]) -> None:
    """Both close at once while both have much to say: neither waits for the other."""
    world, loop = both

    async def main() -> None:
        async with world.pair() as pair:
            for link in (pair.near, pair.far):
                link.write(b"x" * 3_000_000)
                link.close()
            await pair.here.until(lambda: pair.here.lost)
            await pair.there.until(lambda: pair.there.lost)
            assert pair.here.lost == pair.there.lost == ["closed here"]

    rules.play(loop, main)


def test_thousands_of_small_messages_to_a_slow_reader_are_all_kept(
    both: tuple[World, str],
) -> None:
    """aiolibdatachannel's own queue would drop the oldest of more than 1024."""
    world, loop = both

    async def main() -> None:
        async with world.pair() as pair:
            pair.near.pause_reading()
            count = 2500 if world.transport.backends[0] == "aiolibdatachannel" else 250
            for n in range(count):
                pair.far.write(n.to_bytes(2, "big"))
                pair.far._pump()  # or they would go in one
            await asyncio.sleep(0.3)
            pair.near.resume_reading()
            await pair.here.until(lambda: len(pair.here.data) == 2 * count)
            assert bytes(pair.here.data) == b"".join(n.to_bytes(2, "big") for n in range(count))

    rules.play(loop, main)


def test_who_sends_more_than_it_may_is_cut_off(both: tuple[World, str]) -> None:
    world, loop = both

    async def main() -> None:
        async with world.pair() as pair:
            pair.near.pause_reading()
            pair.far._acknowledged = 1 << 30  # it believes that everything was taken
            for _ in range(40):
                pair.far.write(b"x" * 65536)
                await asyncio.sleep(0.01)
            await pair.here.until(lambda: pair.here.lost)
            assert pair.here.lost == ["the peer sent more than it may"]
            assert pair.far._unsent <= HIGH_WATER or pair.there.paused

    rules.play(loop, main)


@pytest.mark.parametrize("word", ["99999999", "what is this, a word of thirty-three letters"])
def test_who_talks_nonsense_is_cut_off(both: tuple[World, str], word: str) -> None:
    world, loop = both

    async def main() -> None:
        async with world.pair() as pair:
            pair.far._connection.send("of-a-later-version")
            pair.far.write(b"still here")
            await pair.here.until(lambda: pair.here.data == b"still here")
            pair.far._connection.send(word)
            await pair.here.until(lambda: pair.here.lost)

    rules.play(loop, main)


@pytest.mark.parametrize(("near", "far"), PAIRS)
def test_another_certificate_than_that_of_the_description_is_refused(near: str, far: str) -> None:
    """The library holds the DTLS to the fingerprint that the binding is made of."""
    need_interface()

    def tamper(sdp: str) -> str:
        real = next(line for line in sdp.splitlines() if line.startswith("a=fingerprint"))
        return sdp.replace(real, "a=fingerprint:sha-256 " + ":".join(["AB"] * 32))

    async def main() -> None:
        one, other = Side(near), Side(far)
        try:
            with pytest.raises(Exception):  # noqa: B017, PT011 - lost, or never open
                async with asyncio.timeout(4):
                    await agree(one, other, tamper)
            assert not (one.open.is_set() and not one.lost)
        finally:
            await one.connection.close()
            await other.connection.close()

    asyncio.run(main())


@pytest.mark.parametrize("name", BACKENDS)
def test_what_a_peer_may_write_is_refused_without_a_trace(name: str) -> None:
    async def main() -> None:
        side = Side(name)
        try:
            sdp = await side.connection.offer()
            good = webrtc_sdp.ours(sdp, host=True)
            other = Side(name)
            for bad in ("", "v=0\r\n", good[:60], good.replace("ice-ufrag", "nothing")):
                with pytest.raises(ProtocolError):
                    await other.connection.answer(webrtc_sdp.theirs(bad))
            await other.connection.close()
        finally:
            await side.connection.close()

    asyncio.run(main())


def test_no_server_is_asked_that_nobody_has_set() -> None:
    """Without a list of servers, aiortc would ask Google's."""
    if "aiortc" not in BACKENDS:
        pytest.skip("aiortc is not installed")

    async def main() -> None:
        side = Side("aiortc")
        try:
            sdp = await side.connection.offer()
            assert "srflx" not in sdp
            gatherer = side.connection._pc.sctp.transport.transport.iceGatherer  # type: ignore[attr-defined]
            assert gatherer._connection.stun_server is None
        finally:
            await side.connection.close()

    asyncio.run(main())


def test_the_better_library_is_taken() -> None:
    assert BACKENDS[0] == webrtc_backend.load().NAME
    assert webrtc_backend.find() == BACKENDS[0]
