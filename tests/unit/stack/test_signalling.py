"""Attempts between whole nodes, with peer connections that are made up."""

from __future__ import annotations

import msgspec
import pytest
from tests.sim.rtc import Rtc

from whispurrnet.nat import signal_messages as wire
from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events, greeting
from whispurrnet.stack.config import Config
from whispurrnet.wire import frame

ABLE = Config(beacon_on=False, webrtc=True)
UNABLE = Config(beacon_on=False)


class Pair:
    """Two nodes that are connected over TCP."""

    def __init__(
        self, rtc: Rtc | None = None, *, b: Config = ABLE, wire_: Wire | None = None
    ) -> None:
        self.rtc = rtc or Rtc(7)
        self.world = self.rtc.world = World(3, wire_ or Wire(), self.rtc.observe())
        self.a, self.b = self.world.add("a", ABLE), self.world.add("b", b)
        self.world.connect("a", "b")
        self.world.run(20.0)

    def handle(self, name: str) -> int:
        ((_, handle),) = self.world.sessions(name)
        return handle

    def attempt(self, name: str = "a", wait_s: float = 40.0) -> None:
        self.world.inject(name, events.TryWebrtc(self.handle(name)))
        self.world.run(self.world.now + wait_s)

    def paths(self) -> set[str]:
        return {
            record.live.path
            for node in (self.a, self.b)
            for record in node.roster
            if record.live is not None
        }


@pytest.mark.parametrize("who", ["a", "b"])
def test_either_side_may_begin(who: str) -> None:
    pair = Pair()
    pair.attempt(who)
    assert pair.paths() == {"webrtc"}
    for name in ("a", "b"):
        assert pair.rtc.ended(name) == [events.RtcEnded(pair.handle(name), True, "")]
        assert pair.world.nodes[name].shared.meter.get("rtc_links") == 1
    assert pair.a.signalling.deadline is None


def test_capabilities_are_told() -> None:
    pair = Pair(b=UNABLE)
    (at_a,), (at_b,) = pair.a.roster, pair.b.roster
    assert at_b.capabilities & greeting.WEBRTC
    assert not at_a.capabilities & greeting.WEBRTC
    assert not pair.a.signalling.begin(pair.handle("a"), pair.world.now)
    assert not pair.a.signalling.able(pair.handle("a"))
    pair.attempt()
    assert pair.rtc.starts == 0


def test_a_peer_that_is_not_there() -> None:
    pair = Pair()
    assert not pair.a.signalling.begin(99, pair.world.now)
    assert not pair.a.signalling.tries(99)


def test_no_path_and_the_session_stays() -> None:
    heard: list[tuple[int, bool, str, bool]] = []
    pair = Pair(Rtc(7, works=0.0))
    pair.a.signalling.ended = lambda *what: heard.append(what)
    pair.world.inject("a", events.TryWebrtc(pair.handle("a")))
    pair.world.run(pair.world.now + 5)
    assert pair.a.signalling.tries(pair.handle("a"))
    assert pair.b.signalling.tries(pair.handle("b"))
    pair.world.run(pair.world.now + 40)
    assert pair.paths() == {"tcp"}
    ((peer, ok, reason, offerer),) = heard
    assert (peer, ok, offerer) == (pair.handle("a"), False, True)
    assert "no WebRTC link came about" in reason
    assert len(pair.rtc.ended("b")) == 1
    assert not pair.a.signalling.tries(pair.handle("a"))


def test_another_certificate_at_the_other_end() -> None:
    """The control of it is every other test here."""
    pair = Pair(Rtc(7, binding=b"\x02" + b"\x01" * 32))
    pair.attempt()
    assert pair.paths() == {"tcp"}
    (failed,) = pair.rtc.ended("a")
    assert "somebody sits between" in failed.reason
    assert [one.ok for one in pair.rtc.ended("b")] == [False]


def test_the_shell_fails() -> None:
    pair = Pair(Rtc(7, works=0.0))
    pair.world.inject("a", events.TryWebrtc(pair.handle("a")))
    pair.world.run(pair.world.now + 2)
    start = next(e for e in pair.rtc.news["a"] if isinstance(e, events.RtcStart))
    pair.world.inject("a", events.RtcFailed(start.rtc, "no address"))
    pair.world.run(pair.world.now + 2)
    assert pair.rtc.ended("a") == [events.RtcEnded(pair.handle("a"), False, "no address")]
    assert "could make no WebRTC link" in pair.rtc.ended("b")[0].reason
    for late in (
        events.RtcDescription(start.rtc, "v=0"),
        events.RtcFound(start.rtc, "candidate:1", "0"),
        events.RtcOpened(start.rtc),
        events.RtcFailed(start.rtc, "again"),
    ):
        pair.world.inject("a", late)
    pair.world.run(pair.world.now + 1)
    assert len(pair.rtc.ended("a")) == 1


def test_what_is_late_is_counted_and_what_is_malformed_ends_the_session() -> None:
    pair = Pair()
    live = next(record.live for record in pair.b.roster if record.live)
    body = wire.encode(wire.End(5, 3, ""))
    pair.b._on_frame(live, frame.SIGNAL, body, pair.world.now)
    assert pair.b.shared.meter.get("signals_late") == 1
    record = next(record for record in pair.a.roster if record.live)
    assert record.live is not None
    record.live.gossip.put(frame.SIGNAL, b"\xc1", 7)
    pair.a.links.dirty[record.live.link] = record.live
    pair.world.inject("a", events.Flush())
    pair.world.run(pair.world.now + 0.5)
    assert pair.b.shared.meter.get("protocol_errors") == 1


def test_a_peer_in_a_small_node() -> None:
    """As many attempts as the settings allow, and no more."""
    small = msgspec.structs.replace(
        ABLE, signal=msgspec.structs.replace(ABLE.signal, attempts_max=1)
    )
    rtc = Rtc(7, works=0.0)
    world = rtc.world = World(3, Wire(), rtc.observe())
    hub = world.add("hub", small)
    for name in ("a", "b"):
        world.add(name, ABLE)
        world.connect(name, "hub")
    world.run(20.0)
    handles = [handle for _, handle in world.sessions("hub")]
    begun = [hub.signalling.begin(handle, world.now) for handle in handles]
    assert begun == [True, False]
