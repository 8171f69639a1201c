"""The encrypted channel of one session: frames in, records out, and back.

`seal` packs frames into a record; `Arrived` bytes become `FrameIn`. Frames of the type CONTROL
are the channel's own: they go in front of whatever is sealed next and never reach the stack.

    CONTROL = kind u8 | rest
    PING 1, PONG 2   token 8            any record counts as life; PING makes one if there is none
    REKEY1 3, REKEY2 4   Noise message  (see `rekey`)
    SWITCH 5                            the last frame of the last record of an epoch
    GOODBYE 6        reason u8          the last frame of all

Source: Noise revision 34, section 11.3 (rekey).

Invariants:
    - a byte that is not authentic changes nothing but the bytes of one record held back;
    - a peer can make us hold one record, eight answers to its PINGs and one exchange of keys;
    - after an error, GOODBYE or `Dead`, the channel is over and says nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.aead import CHACHA_NAME, TAG_BYTES, Suite
from whispurrnet.crypto.kex import Entropy, Level
from whispurrnet.crypto.noise import TransportKeys
from whispurrnet.session.control import PONGS_MAX, SWITCH_BODY, TOKEN_BYTES, Control, Pending
from whispurrnet.session.heartbeat import PINGS_MAX, Heartbeat
from whispurrnet.session.record import (
    HEAD_BYTES,
    NEXT_KEY_RECORDS,
    RECORD_BYTES_MAX,
    RECORD_ROOM,
    RECORDS_MAX,
    Opener,
    Reader,
    Sealer,
)
from whispurrnet.session.rekey import Rekey
from whispurrnet.wire.frame import CONTROL, parse

OFFER_AGAIN_S = 1.0  # when new keys are due but were taken only just now


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one channel."""

    rekey_after_s: float = 3600.0
    """Take new keys after so long, give or take 10 %, in seconds."""

    rekey_records: int = 2**20
    """Take new keys after sending so many records."""

    rekey_bytes: int = 2**30
    """Take new keys after sending so many bytes."""

    next_key_records: int = NEXT_KEY_RECORDS
    """Turn the key of a direction forward after so many records; both sides must agree."""

    records_max: int = RECORDS_MAX
    """Never use keys for more records than this: the channel ends instead."""

    stale_after_s: float = 7200.0
    """Never use keys for longer than this, in seconds: the channel ends instead."""

    heartbeat_s: float = 30.0
    """Say PING when nothing was sent or nothing was heard for so long, in seconds."""

    dead_after: int = 3
    """After so many heartbeats without a sign of life the peer is taken for dead."""


# Events and effects


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """Bytes came over the link, cut anywhere."""

    data: bytes


class Leave(msgspec.Struct, frozen=True):
    """Say goodbye; seal what is pending once more, then close the link."""

    reason: int


class Ping(msgspec.Struct, frozen=True):
    """Measure the round trip now; `Rtt` is the answer."""


class Suspended(msgspec.Struct, frozen=True):
    """The stack stopped reading the link (or reads again), so silence means nothing."""

    suspended: bool


class FrameIn(msgspec.Struct, frozen=True, gc=False):
    """A frame from the peer, of any type but CONTROL."""

    type: int
    body: bytes


class Rekeyed(msgspec.Struct, frozen=True):
    """The peer sends under new keys from here on."""

    epoch: int


class Rtt(msgspec.Struct, frozen=True):
    """A PING came back."""

    seconds: float


class Left(msgspec.Struct, frozen=True):
    """The peer said goodbye; the channel is over."""

    reason: int


class Dead(msgspec.Struct, frozen=True):
    """The peer is silent, or (`stale`) gave no new keys in time; the channel is over."""

    stale: bool = False


Event: TypeAlias = Arrived | Tick | Leave | Ping | Suspended
Effect: TypeAlias = FrameIn | Rekeyed | Rtt | Left | Dead


class Channel:
    """One end of an encrypted channel over an ordered, reliable link.

    After each `handle` and `seal`, look at `control_pending`: something may have to be sealed
    though no frame of the stack is waiting.
    """

    def __init__(
        self,
        config: Config,
        keys: TransportKeys,
        *,
        initiator: bool,
        level: Level,
        entropy: Entropy,
        now: float,
        suite: Suite = CHACHA_NAME,
    ) -> None:
        self.config, self.suite = config, suite
        self.records_sent = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.unknown = 0
        """How many CONTROL frames of unknown kind were ignored."""
        self._initiator = initiator
        self._entropy = entropy
        self._sealer, opener = self._directions(keys, 0)
        self._reader = Reader(opener)
        self._next: tuple[Sealer, Opener] | None = None
        self._rekey = Rekey(keys, initiator=initiator, level=level, entropy=entropy)
        self._pending = Pending()
        self.heartbeat = Heartbeat(config.heartbeat_s, config.dead_after, now)
        self._over = self._leaving = False
        self._deadline: float | None = None
        self._begin_epoch(now)

    @property
    def deadline(self) -> float | None:
        """When to look whether a PING, new keys or the end is due, in seconds; often too early."""
        return self._deadline

    @property
    def epoch(self) -> int:
        """How many times the peer has switched to new keys."""
        return self._reader.opener.epoch

    @property
    def rtt_s(self) -> float | None:
        """The round trip, smoothed, in seconds; None until the first was measured."""
        return self.heartbeat.rtt_s

    @property
    def over(self) -> bool:
        """Whether nothing more will come of this channel."""
        return self._over

    @property
    def control_pending(self) -> bool:
        """Whether there is something to seal besides the frames of the stack."""
        return self._pending.bytes > 0

    @property
    def room(self) -> int:
        """How many bytes of frames the next record has room for."""
        return RECORD_ROOM - self._pending.bytes

    def seal(self, frames: Sequence[bytes | memoryview], size: int, now: float) -> bytes:
        """One record for the link: what is pending of CONTROL, and the frames.

        Args:
            frames: Whole frames, in order; may be empty.
            size: How many bytes they have together, at most `room`.
            now: Monotonic time in seconds.

        Raises:
            UsageError: They do not fit.
            ProtocolError: The channel is over, or its keys are used up.
        """
        if self._over:
            raise ProtocolError("the channel is over; open a new one")
        pending = self._pending
        try:
            if pending.bytes:
                record = self._sealer.seal(pending.around(frames), size + pending.bytes)
                if pending.switch:
                    self._switch_send()
                pending.clear()
            else:
                record = self._sealer.seal(frames, size)
        except ProtocolError:
            self._end()
            raise
        self.heartbeat.sent_at = now
        self.records_sent += 1
        self.bytes_sent += len(record)
        sealer, config = self._sealer, self.config
        if sealer.counter >= config.rekey_records or sealer.bytes >= config.rekey_bytes:
            self._offer(now)
        return record

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            AuthError: A record is not the peer's next; close the link without a word.
            ProtocolError: The peer broke the protocol; close the link. The channel is over.
        """
        effects: list[Effect] = []
        if self._over:
            return effects
        try:
            self._react(event, now, effects)
        except ProtocolError:
            self._end()
            raise
        if __debug__:
            self._check()
        return effects

    def _check(self) -> None:
        assert len(self._reader) < RECORD_BYTES_MAX
        assert len(self.heartbeat) <= PINGS_MAX
        assert 0 <= self._pending.bytes < RECORD_ROOM // 2

    def _react(self, event: Event, now: float, effects: list[Effect]) -> None:
        match event:
            case Arrived(data):
                for plaintext in self._reader.read(data):
                    self._on_record(plaintext, now, effects)
                    if self._over:
                        break
            case Tick():
                self._on_tick(now, effects)
            case Leave(reason):
                self._leaving = True
                self._pending.put_last(Control.GOODBYE, bytes((reason & 0xFF,)))
                self._arm()
            case Ping():
                self._ask(now)
            case Suspended(suspended):
                self.heartbeat.suspend(suspended, now)
                self._arm()

    def _on_record(self, plaintext: bytes, now: float, effects: list[Effect]) -> None:
        self.heartbeat.heard_at = now
        self.bytes_received += HEAD_BYTES + len(plaintext) + TAG_BYTES
        frames = parse(plaintext)
        for frame in frames:
            type, body = frame
            if type != CONTROL:
                effects.append(FrameIn(type, body))
            elif body[:1] == SWITCH_BODY and frame is not frames[-1]:
                raise ProtocolError("a frame after the switch to new keys")
            else:
                self._on_control(body, now, effects)
                if self._over:
                    return

    def _on_control(self, body: bytes, now: float, effects: list[Effect]) -> None:
        if not body:
            raise ProtocolError("a control frame is empty")
        kind, rest = body[0], body[1:]
        match kind:
            case Control.PING | Control.PONG if len(rest) != TOKEN_BYTES:
                raise ProtocolError(f"a PING or PONG with a token of {len(rest)} bytes")
            case Control.PING:
                if self._pending.pongs < PONGS_MAX:
                    self._pending.put(Control.PONG, rest)
            case Control.PONG:
                if (seconds := self.heartbeat.answer(rest, now)) is not None:
                    effects.append(Rtt(seconds))
            case Control.REKEY1:
                if not self._leaving and (answer := self._rekey.answer(rest, now)) is not None:
                    self._pending.put(Control.REKEY2, answer[0])
                    self._begin_switch(answer[1])
            case Control.REKEY2:
                self._begin_switch(self._rekey.finish(rest))
            case Control.SWITCH:
                effects.append(self._switch_receive(now))
            case Control.GOODBYE:
                effects.append(Left(rest[0] if rest else 0))
                self._end()
            case _:
                self.unknown += 1

    # Keys

    def _directions(self, keys: TransportKeys, epoch: int) -> tuple[Sealer, Opener]:
        config = self.config
        masks = [keys.export("frame-mask", side) for side in (b"initiator", b"responder")]
        if not self._initiator:
            masks.reverse()
        limits = {"next_key_records": config.next_key_records, "records_max": config.records_max}
        return (
            Sealer(keys.send, masks[0], epoch, suite=self.suite, **limits),
            Opener(keys.receive, masks[1], epoch, suite=self.suite, **limits),
        )

    def _offer(self, now: float) -> None:
        if not self._leaving and (offer := self._rekey.offer(now)) is not None:
            self._pending.put(Control.REKEY1, offer)

    def _begin_switch(self, keys: TransportKeys) -> None:
        self._next = self._directions(keys, self._rekey.epoch + 1)
        if not self._leaving:
            self._pending.put_last(Control.SWITCH)

    def _switch_receive(self, now: float) -> Rekeyed:
        self._rekey.switched_receive()
        assert self._next is not None
        self._reader.opener = self._next[1]
        self._begin_epoch(now)
        return Rekeyed(self.epoch)

    def _switch_send(self) -> None:
        assert self._next is not None
        self._sealer = self._next[0]
        self._rekey.switched_send()
        self._arm()

    def _begin_epoch(self, now: float) -> None:
        jitter = int.from_bytes(self._entropy(2), "big") / 0xFFFF  # 0 to 1
        self._stale_at = now + self.config.stale_after_s
        self._rekey_at = now + self.config.rekey_after_s * (0.9 + 0.2 * jitter)
        self._arm()

    # Time

    def _on_tick(self, now: float, effects: list[Effect]) -> None:
        stale = now >= self._stale_at
        if stale or now >= self.heartbeat.dead_at:
            effects.append(Dead(stale))
            self._end()
            return
        if now >= self.heartbeat.ask_at:
            self._ask(now)
        if now >= self._rekey_at:
            self._offer(now)
            self._rekey_at = now + OFFER_AGAIN_S
        self._arm()

    def _arm(self) -> None:
        """Set the deadline. What comes and goes only moves it later, so that costs nothing."""
        heartbeat = self.heartbeat
        due = min(self._stale_at, heartbeat.dead_at)
        if not self._leaving:
            due = min(due, heartbeat.ask_at)
            if self._rekey.idle:
                due = min(due, self._rekey_at)
        self._deadline = due

    def _ask(self, now: float) -> None:
        if self._leaving or self._pending.ping:
            self.heartbeat.wait(now)
            return
        token = self._entropy(TOKEN_BYTES)
        self.heartbeat.ask(token, now)
        self._pending.put(Control.PING, token)

    def _end(self) -> None:
        self._over = True
        self._deadline = None
