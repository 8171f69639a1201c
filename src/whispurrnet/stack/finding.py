"""Whom we reach and who finds us: the calls that were asked for, and beacons."""

from __future__ import annotations

from collections.abc import Sequence

from whispurrnet.base.errors import IdentityChanged, LimitError, NetworkError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.discovery import beacon
from whispurrnet.discovery.book import Source
from whispurrnet.session import handshake
from whispurrnet.stack import events
from whispurrnet.stack.calls import Call
from whispurrnet.stack.roster import Record
from whispurrnet.stack.shared import BEACON_CALL, Shared

PENDING_CALLS_MAX = 256
"""Strangers found at once that are given time to call first."""


class Finding:
    """Calls and beacons.

    Args:
        shared: What the parts of the stack share.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def connect(self, event: events.Connect, now: float) -> None:
        """Reach a peer, unless it is connected already."""
        if not event.addresses:
            raise UsageError("there is no address to call; a ticket has at least one")
        call = Call(event.static_key, event.addresses)
        call.expected_id, call.persona, call.psk = event.expected_id, event.persona, event.psk
        call.persistent, call.invited = event.persistent, event.psk is not None
        call.keep, call.relay = event.keep, event.relay
        known = self._connected_as(event)
        if known is not None and event.persona not in (None, known.persona):
            raise IdentityChanged(
                "the peer with the key in this ticket is connected, and does not hold the "
                "long-term identity in it; ask for a new ticket over a channel you trust"
            )
        call.refs.append(event.ref)
        if known is not None:
            self._keep(call, known, now)
        else:
            self.call(call, Source.GIVEN, now)

    def _keep(self, call: Call, known: Record, now: float) -> None:
        """Whoever is asked for is connected, perhaps by its own doing: call it if that ends."""
        shared = self._shared
        call.static_key, call.expected_id = known.static_key, None
        call.psk, call.invited = known.psk, False
        target, effects = shared.calls.want(call, Source.GIVEN, now)
        known.target = known.target or target
        shared.out += effects
        shared.out += shared.calls.answered(target, known.handle, now)

    def _connected_as(self, event: events.Connect) -> Record | None:
        """The live peer that a `Connect` asks for, if it is connected already."""
        for record in self._shared.roster:
            if record.live is not None and (
                (event.static_key is not None and record.static_key == event.static_key)
                or (event.persona is not None and record.persona == event.persona)
                or (event.expected_id is not None and record.id == event.expected_id)
            ):
                return record
        return None

    def call(self, call: Call, source: Source, now: float) -> None:
        """Have a target called, unless it is connected already."""
        if call.static_key is not None and self._shared.roster.reached(call.static_key):
            return
        _, effects = self._shared.calls.want(call, source, now)
        self._shared.out += effects

    def call_found(self, call: Call, now: float) -> None:
        """Have somebody called whom a beacon found, if there is room for that."""
        try:
            self.call(call, Source.HEARD, now)
        except LimitError:
            self._shared.count("beacons_ignored")

    def dial_failed(self, event: events.DialFailed, now: float) -> None:
        """None of a target's addresses answered."""
        found = self._shared.calls.dialled(event.dial)
        if self._shared.calls.taken(event.dial) is not None:
            self._shared.calls.fell(event.dial, event.reason, now)
        if found is not None:
            target, _ = found
            self._shared.out += self._shared.calls.failed(target, NetworkError(event.reason), now)

    def listening(self, event: events.Listening, now: float) -> None:
        """We are reachable at other addresses from now on."""
        self._shared.direct = event.addresses
        self.announce(now)

    def announce(self, now: float) -> None:
        """Tell the local network who we are now."""
        if self._shared.config.beacon_on and self._shared.direct:
            update = beacon.Update(self._shared.identity, self._shared.direct)
            self._from_beacon(self._shared.beacon.handle(update, now), now)

    def datagram(self, event: events.Datagram, now: float) -> None:
        """Somebody on the local network said something."""
        if self._shared.config.beacon_on:
            self._from_beacon(self._shared.beacon.handle(beacon.Datagram(event.data), now), now)

    def _from_beacon(self, effects: Sequence[beacon.Effect], now: float) -> None:
        shared = self._shared
        for effect in effects:
            match effect:
                case beacon.Announce(data):
                    shared.out.append(events.Announce(data))
                case beacon.Found(proof, addresses):
                    known = shared.roster.find(proof.id)
                    ours = {identity.id for identity in shared.identities}
                    if (known is not None and known.live is not None) or proof.id in ours:
                        continue
                    call = Call(proof.static_key, addresses)
                    call.expected_id, call.keep = proof.id, False
                    if handshake.keep_first(shared.identity.proof.static_key, proof.static_key):
                        self.call_found(call, now)
                    elif len(shared.timers) < shared.config.links_max + PENDING_CALLS_MAX:
                        due = now + shared.config.patience_s
                        shared.timers.set((BEACON_CALL, call), due)

    @property
    def deadline(self) -> float | None:
        """When the beacon or a dial is due."""
        shared = self._shared
        due = shared.calls.deadline
        spoken = shared.beacon.deadline if shared.config.beacon_on and shared.direct else None
        return spoken if due is None or (spoken is not None and spoken < due) else due

    def tick(self, now: float) -> None:
        """Dial and announce what is due."""
        shared = self._shared
        shared.out += shared.calls.tick(now)
        due = shared.beacon.deadline
        if shared.config.beacon_on and shared.direct and due is not None and due <= now:
            self._from_beacon(shared.beacon.handle(Tick(), now), now)
