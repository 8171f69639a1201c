"""Policy: from a level of trust and the evidence to a verdict, with its reason.

Bad deeds weigh, good deeds make up for a few of them, and a verified peer has more patience from
us; a revoked one has none. The verdict falls back by itself as the evidence fades.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from whispurrnet.trust.evidence import Kind
from whispurrnet.trust.pins import Trust


class Verdict(Enum):
    """How a peer is treated."""

    ALLOW = "allow"
    SLOW = "slow"
    """Its messages wait: less of everything, later."""
    REFUSE = "refuse"
    """Its session ends, and it gets no other for now."""


class Judgement(msgspec.Struct, frozen=True):
    """A verdict and why."""

    verdict: Verdict
    reason: str
    """For people; empty when all is well. Names no peer."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the policy: what a deed weighs, and when it is enough."""

    malformed: float = 4.0
    forged: float = 10.0
    flooded: float = 2.0
    delivered: float = 0.05
    """What one good deed makes up for."""

    delivered_max: float = 5.0
    """What all good deeds together make up for: credit for abuse cannot be saved up."""

    slow_at: float = 8.0
    refuse_at: float = 20.0
    verified_factor: float = 3.0
    """So much more it takes with a verified peer."""


_DEEDS = {
    Kind.FORGED: "it sent what does not authenticate",
    Kind.MALFORMED: "it breaks the protocol",
    Kind.FLOODED: "it sends more than the limits allow",
}


class Policy:
    """The rules by which peers are treated."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._weights = {
            Kind.FORGED: self.config.forged,
            Kind.MALFORMED: self.config.malformed,
            Kind.FLOODED: self.config.flooded,
        }

    def judge(self, level: Trust, counts: Mapping[Kind, float]) -> Judgement:
        """How to treat a peer.

        Args:
            level: How far it is trusted (`Pins.level`).
            counts: What it did lately (`Evidence.counts`).
        """
        if level is Trust.REVOKED:
            return Judgement(Verdict.REFUSE, "you revoked it")
        config = self.config
        weighed = {kind: weight * counts.get(kind, 0.0) for kind, weight in self._weights.items()}
        credit = min(config.delivered_max, config.delivered * counts.get(Kind.DELIVERED, 0.0))
        load = sum(weighed.values()) - credit
        patience = config.verified_factor if level is Trust.VERIFIED else 1.0
        if load < config.slow_at * patience:
            return Judgement(Verdict.ALLOW, "")
        worst = max(weighed, key=lambda kind: weighed[kind])
        refuse = load >= config.refuse_at * patience
        return Judgement(Verdict.REFUSE if refuse else Verdict.SLOW, _DEEDS[worst])
