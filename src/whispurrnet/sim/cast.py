"""Who takes part in a simulation: who is hostile, where everybody is, and who listens to what."""

from __future__ import annotations

from random import Random

from whispurrnet.sim.adversary import KINDS, Adversary
from whispurrnet.sim.nat import KINDS as NATS
from whispurrnet.sim.scenario import Scenario
from whispurrnet.sim.world import World

HOSTS_PER_PREFIX = 250


def part(scenario: Scenario, share: float) -> int:
    """How many nodes a share of all of them is."""
    return round(share * scenario.nodes)


class Cast:
    """The roles of all nodes; each has its address, and its NAT, in the world.

    Args:
        scenario: Says how many of each kind there are.
        world: Told who is where.
        rng: Chooses.
    """

    def __init__(self, scenario: Scenario, world: World, rng: Random) -> None:
        self.names = tuple(f"n{number}" for number in range(scenario.nodes))
        self.hostile: dict[str, Adversary] = {}
        self.listeners: dict[str, dict[str, None]] = {}
        """Who listens, by intent."""
        self.hidden: tuple[str, ...] = ()
        """Who stands behind a NAT."""
        self.relays: tuple[str, ...] = ()
        left = list(self.names)
        rng.shuffle(left)
        kinds = {
            left.pop(): kind
            for kind in KINDS
            for _ in range(part(scenario, getattr(scenario.hostile, kind)))
        }
        self.honest = tuple(name for name in self.names if name not in kinds)
        for name, kind in kinds.items():
            self.hostile[name] = KINDS[kind](
                Random(rng.random()), self.honest, scenario.hostile.from_s
            )
        self._place(scenario, world)
        self._hide(scenario, world, rng)
        for work in scenario.work:
            if work.kind == "resonance":
                some = rng.sample(self.honest, round(work.listeners * len(self.honest)))
                self.listeners.setdefault(work.intent, {}).update(dict.fromkeys(some))

    def _place(self, scenario: Scenario, world: World) -> None:
        """Each honest node in a network of its own, the hostile ones in few."""
        for number, name in enumerate(self.honest):
            world.place(name, f"{11 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.7")
        prefixes = scenario.hostile.prefixes
        for number, name in enumerate(self.hostile):
            turn, prefix = divmod(number, prefixes)
            prefix += turn // HOSTS_PER_PREFIX * prefixes
            host = turn % HOSTS_PER_PREFIX + 1
            world.place(name, f"20.{prefix >> 8}.{prefix & 255}.{host}")

    def _hide(self, scenario: Scenario, world: World, rng: Random) -> None:
        """Put honest nodes behind NATs, and make some of the others relays."""
        left = list(self.honest)
        rng.shuffle(left)
        for kind in NATS[1:]:
            for _ in range(min(len(left), part(scenario, getattr(scenario.nat, kind)))):
                world.nats.put(left.pop(), kind)
        self.hidden = tuple(name for name in self.honest if name not in left)
        self.relays = tuple(left[: scenario.nat.relays])
