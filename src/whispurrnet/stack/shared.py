"""What the parts of one stack share: its cores, its tables, and the effects of this turn."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from whispurrnet.base.meter import Meter
from whispurrnet.base.timers import Timers
from whispurrnet.direct.courier import Courier
from whispurrnet.discovery.beacon import Beacon
from whispurrnet.gossip.envelope import realm_key
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.identity.persona import Persona
from whispurrnet.session.gate import Gate
from whispurrnet.session.pool import Pool, Rng
from whispurrnet.stack import events, greeting
from whispurrnet.stack.belonging import Belonging, Holding
from whispurrnet.stack.calls import Calls
from whispurrnet.stack.config import Config
from whispurrnet.stack.roster import Record, Roster
from whispurrnet.trust.evidence import Evidence
from whispurrnet.trust.invites import Invites
from whispurrnet.trust.pins import Pins, Trust
from whispurrnet.trust.policy import Policy, Verdict

ROTATE, RETIRE, BEACON_CALL, LINK = "rotate", "retire", "call", "link"


class Shared:
    """The state that more than one part of a stack reads or writes.

    Args:
        config: Settings of every core.
        entropy: Gives that many random bytes.
        wall: Unix time in milliseconds.
        rng: Chance that needs no secrecy: jitter.
        persona: The long-term identity, if there is one.
        pins: Whom we know already.
        holding: Our key in a closed realm, and how we belong to it.
        now: Monotonic time in seconds.
    """

    def __init__(
        self,
        config: Config,
        *,
        entropy: Callable[[int], bytes],
        wall: Callable[[], int],
        rng: Rng,
        persona: Persona | None,
        pins: Pins | None,
        holding: Holding | None,
        now: float,
    ) -> None:
        self.config = config
        self.handshake = msgspec.structs.replace(
            config.handshake, network_secret=config.network_secret
        )
        self.entropy = entropy
        self.wall = wall
        self.persona = persona
        self.pins = Pins() if pins is None else pins
        self.invites = Invites(entropy=entropy)
        self.belonging = Belonging(
            config.members, realm_key(config.network_secret), holding, entropy, wall
        )
        self.evidence = Evidence()
        self.policy = Policy()
        self.identity: Ephemeral = self.new_identity()
        self.previous: list[Ephemeral] = []
        self.direct: tuple[str, ...] = ()
        """Where others reach us without anybody's help."""
        self.relayed: tuple[str, ...] = ()
        """Where they reach us through relays."""
        self.presence = greeting.PRESENT
        self.out: list[events.Effect] = []
        self.meter = Meter()
        self.timers: Timers[tuple[str, object]] = Timers()
        self.courier = Courier(config.courier, entropy=entropy)
        self.roster = Roster(config.records_max, self.courier.queued)
        self.calls = Calls(Pool(config.pool, rng=rng), self.roster.reached)
        self.gate = Gate(
            entropy,
            half_open_max=self.handshake.half_open_max,
            handshakes_per_s_max=self.handshake.handshakes_per_s_max,
        )
        self.beacon = Beacon(
            config.beacon, network_secret=config.network_secret, entropy=entropy, wall=wall
        )
        self.timers.set((ROTATE, 0), now + config.identity.lifetime_s)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where others reach us: at most 8 places, some of each kind."""
        relayed = self.relayed[: greeting.ADDRESSES_MAX // 2]
        return (*self.direct[: greeting.ADDRESSES_MAX - len(relayed)], *relayed)

    def new_identity(self) -> Ephemeral:
        """A fresh ephemeral identity, made of nothing older."""
        return Ephemeral.generate(
            self.entropy,
            self.wall(),
            lifetime_s=int(self.config.identity.lifetime_s),
            overlap_s=int(self.config.identity.overlap_s),
        )

    @property
    def identities(self) -> tuple[Ephemeral, ...]:
        """Those that others may still use to reach us, the current one first."""
        return (self.identity, *self.previous)

    def verdict(self, record: Record, now: float) -> Verdict:
        """How a peer is treated, by our trust in it and by what it did."""
        level = self.pins.level(record.persona) if record.persona is not None else Trust.UNKNOWN
        return self.policy.judge(level, self.evidence.counts(record.deeds, now)).verdict

    def count(self, name: str) -> None:
        """Note that something happened; `base.meter` lists what."""
        self.meter.count(name)
