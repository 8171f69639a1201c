"""The encrypted channel: two ends facing each other, on a clock of the test's own."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from whispurrnet.base.errors import AuthError, ProtocolError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.kex import Level
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import TransportKeys
from whispurrnet.session.channel import (
    Arrived,
    Channel,
    Config,
    Dead,
    Effect,
    Event,
    FrameIn,
    Leave,
    Left,
    Ping,
    Rekeyed,
    Rtt,
    Suspended,
)
from whispurrnet.session.control import Control
from whispurrnet.session.record import RECORD_ROOM
from whispurrnet.wire.frame import CONTROL, DIRECT, FRAME_MAX, STREAM, encode

KEYS = [Secret(bytes([n]) * 32) for n in range(4)]
HI = encode(DIRECT, b"hi")


def control(kind: int, rest: bytes = b"") -> bytes:
    return encode(CONTROL, bytes((kind,)) + rest)


class Pair:
    """Two channels and the bytes between them."""

    def __init__(self, config: Config | None = None, *, level: Level = Level.L3) -> None:
        self.now = 100.0
        self.entropy: Callable[[int], bytes] = random.Random(7).randbytes
        self.config = config or Config()
        self.ends = [self.channel(initiator=True, level=level), self.channel(level=level)]
        self.news: list[list[Effect]] = [[], []]

    def channel(self, *, initiator: bool = False, level: Level = Level.L3) -> Channel:
        send, receive = KEYS[:2] if initiator else KEYS[1::-1]
        keys = TransportKeys(send=send, receive=receive, hash=bytes(KEYS[2]), exporter=KEYS[3])
        return Channel(
            self.config,
            keys,
            initiator=initiator,
            level=level,
            entropy=self.entropy,
            now=self.now,
        )

    def seal(self, sender: int, *frames: bytes) -> bytes:
        return self.ends[sender].seal(frames, sum(map(len, frames)), self.now)

    def handle(self, end: int, event: Event) -> list[Effect]:
        effects = self.ends[end].handle(event, self.now)
        self.news[end] += effects
        return effects

    def send(self, sender: int, *frames: bytes) -> list[Effect]:
        return self.handle(1 - sender, Arrived(self.seal(sender, *frames)))

    def settle(self) -> None:
        """Let both say what they have to, until neither has."""
        for _ in range(20):
            pending = [n for n in (0, 1) if self.ends[n].control_pending]
            if not pending:
                return
            for n in pending:
                self.send(n)
        raise AssertionError("they never stop talking")

    def wait(self, seconds: float, *, cut: bool = False) -> None:
        """Let time pass, ticking each end whenever it asked for it."""
        until = self.now + seconds
        while True:
            due = [end.deadline for end in self.ends if end.deadline is not None]
            if not due or min(due) > until:
                break
            self.now = max(self.now, min(due))
            for n in (0, 1):
                if (deadline := self.ends[n].deadline) is not None and deadline <= self.now:
                    self.handle(n, Tick())
            if not cut:
                self.settle()
        self.now = until


def test_frames_arrive_in_order_and_whole() -> None:
    pair = Pair()
    frames = [encode(DIRECT, b"one"), encode(STREAM, b"two"), encode(200, b"")]
    assert pair.send(0, *frames) == [
        FrameIn(DIRECT, b"one"),
        FrameIn(STREAM, b"two"),
        FrameIn(200, b""),
    ]
    assert pair.send(1, HI) == [FrameIn(DIRECT, b"hi")]
    assert pair.send(0) == []
    assert pair.ends[0].records_sent == 2
    assert pair.ends[0].bytes_sent == pair.ends[1].bytes_received == 2 * 258


def test_a_full_record() -> None:
    pair = Pair()
    assert pair.ends[0].room == RECORD_ROOM
    body = bytes(RECORD_ROOM - 3)
    assert pair.send(0, encode(DIRECT, body)) == [FrameIn(DIRECT, body)]
    with pytest.raises(UsageError):
        pair.send(0, encode(DIRECT, bytes(FRAME_MAX)))


@pytest.mark.parametrize("chunk", [1, 100, 10_000])
def test_bytes_may_be_cut_anywhere(chunk: int) -> None:
    pair = Pair()
    bodies = [bytes([n]) * (n * 997 % 30_000) for n in range(0, 40, 3)]
    wire = b"".join(pair.seal(0, encode(DIRECT, body)) for body in bodies)
    for start in range(0, len(wire), chunk):
        pair.handle(1, Arrived(wire[start : start + chunk]))
    assert pair.news[1] == [FrameIn(DIRECT, body) for body in bodies]


def test_a_forged_byte_ends_the_channel_without_a_word() -> None:
    pair = Pair()
    record = bytearray(pair.seal(0, HI))
    record[100] ^= 1
    with pytest.raises(AuthError):
        pair.handle(1, Arrived(bytes(record)))
    assert pair.ends[1].over
    assert pair.ends[1].deadline is None
    assert pair.handle(1, Arrived(pair.seal(0, HI))) == []
    assert not pair.ends[1].control_pending
    with pytest.raises(ProtocolError, match="over"):
        pair.seal(1, HI)


def test_a_record_again_or_out_of_order_or_reflected_ends_the_channel() -> None:
    for attack in ("replay", "reorder", "reflect"):
        pair = Pair()
        first, second = pair.seal(0, HI), pair.seal(0, HI)
        victim = 0 if attack == "reflect" else 1
        wire = {"replay": first + first, "reorder": second + first, "reflect": first}[attack]
        with pytest.raises(ProtocolError):
            pair.handle(victim, Arrived(wire + bytes(70_000)))


@pytest.mark.parametrize(
    "plaintext",
    [
        b"\x04\xff\xffhi",
        b"\x04\xff\xff",
        (HI + b"\x05").ljust(240, b"\xff"),
        encode(CONTROL, b""),
        control(Control.PING, b"short"),
        control(Control.PONG, bytes(9)),
        control(Control.REKEY1, b"not a message"),
        control(Control.REKEY2, bytes(1152)),
        control(Control.SWITCH),
        control(Control.SWITCH) + HI,
    ],
)
def test_a_peer_that_breaks_the_protocol_is_left(plaintext: bytes) -> None:
    pair = Pair()
    with pytest.raises(ProtocolError):
        pair.send(0, plaintext)
    assert pair.ends[1].over


def test_an_unknown_control_frame_is_counted_and_ignored() -> None:
    pair = Pair()
    assert pair.send(0, control(99, b"from a newer version"), HI) == [FrameIn(DIRECT, b"hi")]
    assert pair.ends[1].unknown == 1


# Heartbeat


def test_a_ping_measures_the_round_trip() -> None:
    pair = Pair()
    pair.handle(0, Ping())
    pair.send(0)
    pair.now += 0.25
    assert pair.send(1, HI) == [Rtt(0.25), FrameIn(DIRECT, b"hi")]
    assert pair.ends[0].rtt_s == 0.25
    assert pair.ends[1].rtt_s is None


def test_a_pong_nobody_asked_for_is_ignored() -> None:
    assert Pair().send(0, control(Control.PONG, bytes(8))) == []


def test_an_idle_channel_lives_on_pings() -> None:
    pair = Pair(Config(rekey_after_s=1e9, stale_after_s=1e9))
    pair.wait(3600.0)
    assert not any(isinstance(effect, Dead) for news in pair.news for effect in news)
    assert 119 <= pair.ends[0].records_sent <= 245
    assert pair.ends[0].bytes_sent <= 245 * 258


def test_any_traffic_is_life() -> None:
    pair = Pair(Config(heartbeat_s=10.0))
    for _ in range(100):
        pair.now += 9.0
        for n in (0, 1):
            assert pair.send(n, HI) == [FrameIn(DIRECT, b"hi")]
            assert pair.handle(n, Tick()) == []
            assert not pair.ends[n].control_pending


def test_three_silent_heartbeats_are_death() -> None:
    pair = Pair(Config(heartbeat_s=10.0))
    pair.wait(29.9, cut=True)
    assert pair.ends[0].control_pending
    assert pair.news == [[], []]
    pair.wait(0.1, cut=True)
    assert pair.news == [[Dead()], [Dead()]]
    assert pair.ends[0].over
    assert pair.ends[0].deadline is None


def test_bytes_that_are_no_record_are_no_life() -> None:
    pair = Pair(Config(heartbeat_s=10.0))
    record = pair.seal(0, HI)
    pair.now += 20.0
    pair.handle(1, Arrived(record[:-1]))
    pair.now += 10.0
    assert pair.handle(1, Tick()) == [Dead()]


def test_who_stopped_reading_takes_nobody_for_dead() -> None:
    pair = Pair(Config(heartbeat_s=10.0))
    pair.handle(0, Suspended(True))
    pair.wait(500.0, cut=True)
    assert pair.news == [[], [Dead()]]
    assert pair.ends[0].control_pending  # it still shows that it lives itself
    pair.handle(0, Suspended(False))
    pair.wait(29.0, cut=True)
    assert pair.news[0] == []
    pair.wait(1.0, cut=True)
    assert pair.news[0] == [Dead()]


def test_answers_to_pings_are_bounded() -> None:
    pair = Pair()
    for n in range(1000):
        pair.send(0, control(Control.PING, n.to_bytes(8, "big")))
    assert RECORD_ROOM - pair.ends[1].room == 8 * (3 + 1 + 8)
    for _ in range(1000):
        pair.handle(0, Ping())
    assert RECORD_ROOM - pair.ends[0].room == 3 + 1 + 8


# The end


def test_goodbye_is_the_last_word() -> None:
    pair = Pair()
    pair.handle(0, Leave(7))
    wire = pair.seal(0, HI) + pair.seal(0, HI)
    assert pair.handle(1, Arrived(wire)) == [FrameIn(DIRECT, b"hi"), Left(7)]
    assert pair.ends[1].over
    assert pair.handle(1, Tick()) == []


def test_who_leaves_asks_for_nothing_more() -> None:
    pair = Pair(Config(rekey_records=1))
    pair.handle(0, Leave(1))
    pair.seal(0)
    assert not pair.ends[0].control_pending
    pair.now += 60.0
    pair.handle(0, Tick())
    pair.handle(0, Ping())
    assert not pair.ends[0].control_pending
    deadline = pair.ends[0].deadline
    assert deadline is not None
    assert deadline > pair.now


def test_leaving_in_the_middle_of_a_rekey() -> None:
    pair = Pair(Config(rekey_records=1))
    pair.send(0, HI)  # the offer is pending
    pair.send(0, HI)  # and answered
    pair.handle(1, Leave(2))
    assert pair.send(1, HI) == [FrameIn(DIRECT, b"hi"), Left(2)]


# Rekey


def crossed(pair: Pair) -> None:
    """Frames pass in both directions, under the keys of the moment."""
    for n in (0, 1):
        assert FrameIn(DIRECT, b"hi") in pair.send(n, HI)


@pytest.mark.parametrize("level", [Level.L3, Level.L5])
@pytest.mark.parametrize("offers", [0, 1])
def test_new_keys_after_so_many_records(offers: int, level: Level) -> None:
    pair = Pair(Config(rekey_records=10), level=level)
    for _ in range(9):
        pair.send(offers, HI)
    assert not pair.ends[offers].control_pending
    pair.send(offers, HI)
    assert pair.ends[offers].control_pending
    pair.settle()
    assert [end.epoch for end in pair.ends] == [1, 1]
    assert [Rekeyed(1) in news for news in pair.news] == [True, True]
    crossed(pair)


def test_new_keys_after_so_many_bytes() -> None:
    pair = Pair(Config(rekey_bytes=1_000_000))
    body = encode(DIRECT, bytes(60_000))
    for _ in range(20):
        pair.send(1, body)
    pair.settle()
    assert pair.ends[0].epoch == 1
    crossed(pair)


def test_new_keys_after_so_long_give_or_take_ten_percent() -> None:
    times = set()
    for seed in range(20):
        pair = Pair(Config(heartbeat_s=1e6, stale_after_s=1e7))
        pair.entropy = random.Random(seed).randbytes
        pair.ends = [pair.channel(initiator=True), pair.channel()]
        due = [end.deadline for end in pair.ends]
        assert all(deadline and 3240 <= deadline - 100.0 <= 3960 for deadline in due)
        times.update(due)
        pair.wait(4000.0)
        assert [end.epoch for end in pair.ends] == [1, 1]
    assert len(times) == 40


def test_an_idle_channel_takes_new_keys_each_hour_for_days() -> None:
    pair = Pair()
    pair.wait(86_400.0)
    assert pair.ends[0].epoch == pair.ends[1].epoch
    assert 22 <= pair.ends[0].epoch <= 28
    crossed(pair)


def test_new_keys_all_the_time_do_not_make_a_busy_loop() -> None:
    pair = Pair(Config(rekey_after_s=0.01))
    pair.wait(20.0)
    assert 32 < pair.ends[0].epoch < 1000
    assert pair.ends[0].deadline is not None
    assert pair.ends[0].deadline > pair.now


def test_frames_flow_in_both_directions_all_through_a_rekey() -> None:
    pair = Pair(Config(rekey_records=25))
    rng = random.Random(3)
    wires: list[list[bytes]] = [[], []]
    sent = [0, 0]
    while min(sent) < 2000:
        n = rng.randrange(2)
        if rng.random() < 0.5:
            pair.now += 0.02
            wires[n].append(pair.seal(n, encode(DIRECT, sent[n].to_bytes(4, "big"))))
            sent[n] += 1
        elif wires[n]:
            pair.handle(1 - n, Arrived(wires[n].pop(0)))
    for n in (0, 1):
        pair.handle(1 - n, Arrived(b"".join(wires[n])))
    for n in (0, 1):
        bodies = [effect.body for effect in pair.news[1 - n] if isinstance(effect, FrameIn)]
        assert bodies == [k.to_bytes(4, "big") for k in range(sent[n])]
    assert pair.ends[0].epoch > 10


def test_glare_is_settled_for_the_initiator() -> None:
    pair = Pair(Config(rekey_records=2))
    wires = [b"".join(pair.seal(n, HI) for _ in range(3)) for n in (0, 1)]  # each with its offer
    for n in (0, 1):
        pair.handle(1 - n, Arrived(wires[n]))
    assert not pair.ends[0].control_pending  # it ignores the other's offer
    assert pair.ends[1].control_pending  # and that one answers
    pair.settle()
    assert [end.epoch for end in pair.ends] == [1, 1]
    crossed(pair)


def test_nothing_is_sealed_under_the_old_keys_after_the_switch() -> None:
    pair = Pair(Config(rekey_records=3))
    for _ in range(4):
        pair.send(0, HI)
    old = pair.channel(initiator=False)  # still at the keys of epoch 0
    wire = pair.seal(1, HI)  # REKEY2, hi, SWITCH
    pair.handle(0, Arrived(wire))
    assert pair.ends[0].epoch == 1
    stale = old.seal([HI], len(HI), pair.now)
    with pytest.raises(ProtocolError):
        pair.handle(0, Arrived(stale + bytes(70_000)))


def test_the_switch_is_the_last_frame_of_its_record() -> None:
    pair = Pair(Config(rekey_records=3))
    for _ in range(4):
        pair.send(0, HI)
    pending = pair.ends[1]._pending
    pending._first.append(control(Control.SWITCH))
    pending.bytes += 4
    with pytest.raises(ProtocolError, match="after the switch"):
        pair.send(1, HI)


def test_a_peer_that_never_answers_a_rekey_is_left_after_two_hours() -> None:
    pair = Pair()
    for _ in range(7100 // 20):
        pair.now += 20.0
        for n in (0, 1):
            pair.handle(n, Tick())
            pair.ends[n]._pending.clear()  # the offer is lost, and so is everything of control
            pair.send(n, HI)
    assert not pair.ends[0].over
    pair.now += 120.0
    pair.send(1, HI)
    assert pair.handle(0, Tick()) == [Dead(stale=True)]


def test_keys_are_never_used_for_too_many_records() -> None:
    pair = Pair(Config(rekey_records=100, records_max=120, next_key_records=50))
    for _ in range(120):
        pair.seal(0, HI)
    with pytest.raises(ProtocolError, match="rekey"):
        pair.seal(0, HI)
    assert pair.ends[0].over


def test_the_keys_turn_within_an_epoch() -> None:
    pair = Pair(Config(next_key_records=16))
    for _ in range(100):
        crossed(pair)


def test_a_channel_that_is_due_all_the_time_still_offers_seldom() -> None:
    pair = Pair(Config(rekey_records=1))
    for _ in range(1000):
        pair.now += 0.001
        crossed(pair)
    assert 32 < pair.ends[0].epoch < 100


def test_room_leaves_place_for_what_is_pending() -> None:
    pair = Pair(Config(rekey_records=2))
    for _ in range(2):
        pair.send(0, HI)
    room = pair.ends[0].room
    assert room < RECORD_ROOM - 1248
    assert pair.send(0, encode(DIRECT, bytes(room - 3))) == [FrameIn(DIRECT, bytes(room - 3))]
    room = pair.ends[1].room
    assert pair.send(1, encode(DIRECT, bytes(room - 3)))[-1] == Rekeyed(1)
