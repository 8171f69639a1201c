"""A small mesh heals at once: the second act of the demonstration, as whole nodes on virtual time.

Twelve nodes come within seconds, most by the ticket of one that came shortly before, so they push
out one another until each has enough. Then the two are gone whose leaving hurts most. The seeds
are those in which nodes were kept out for a minute by what had been said while the mesh grew:
backoffs of those who had pushed them out for others, and refusals of what had not been urgent.
"""

from __future__ import annotations

import itertools
from random import Random

import pytest
from tests.sim.meshes import Mesh, config

from whispurrnet.gossip import membership
from whispurrnet.sim.wire import Wire

FIRST = ("alice", "bob", "carol", "dave")
KNOWS = {"erin": "alice", "frank": "alice", "gina": "erin", "hugo": "bob", "iris": "gina",
         "jack": "frank", "kate": "hugo", "liam": "jack"}  # fmt: skip
"""Who comes later, and the one whose ticket each has."""

WAVES = (("erin", "frank"), ("gina", "hugo", "jack"), ("iris", "kate", "liam"))
NEEDED = 3
HEALED_S = 20.0


def grown(seed: int, wave_s: float, delay_s: float) -> Mesh:
    """Twelve nodes of six neighbours each; one of the first was away for a moment."""
    neighbours = membership.Config(active=6, outbound_min=NEEDED)
    wire = Wire(latency_min_s=delay_s / 3, latency_max_s=delay_s)
    mesh, rng = Mesh(seed, config(membership=neighbours), wire), Random(seed)
    for name in FIRST:
        mesh.add(name)
    for pair in itertools.combinations(FIRST, 2):
        mesh.call(*rng.choice([pair, pair[::-1]]))
    mesh.run(wave_s)
    for wave in WAVES:
        if wave is WAVES[1]:
            mesh.run(3.0)
            mesh.world.crash("carol")
            mesh.run(2.0)
            mesh.add("carol")
            for name in ("alice", "bob", "dave"):
                mesh.call("carol", name)
            mesh.run(3.0)
        for name in wave:
            mesh.add(name)
            mesh.friends([(name, KNOWS[name])])
        mesh.run(wave_s)
    return mesh


def in_need(mesh: Mesh) -> list[str]:
    """Who has too few neighbours, or those that are gone."""
    alive = set(mesh.world.nodes)
    found = {name: mesh.neighbours(name) for name in mesh.honest}
    return [name for name, near in found.items() if len(near) < NEEDED or not set(near) <= alive]


def settles_s(mesh: Mesh, limit_s: float) -> float:
    """How long it takes until nobody is in need and all are one mesh."""
    begun = mesh.world.now
    while in_need(mesh) or len(mesh.reachable("alice")) < len(mesh.honest):
        assert mesh.world.now - begun < limit_s, f"still in need: {in_need(mesh)}"
        mesh.run(0.25)
    return mesh.world.now - begun


def worst(mesh: Mesh) -> tuple[str, str]:
    """The two who are needed most."""
    others = [name for name in mesh.honest if name != "alice"]

    def short(pair: tuple[str, str]) -> int:
        left = [set(mesh.neighbours(name)) - {*pair} for name in mesh.honest if name not in pair]
        return sum(len(near) < NEEDED for near in left)

    return max(itertools.combinations(others, 2), key=short)


@pytest.mark.parametrize(
    ("seed", "wave_s", "rest_s", "delay_s"),
    [
        (132, 1, 0, 1.0),
        (356, 5, 0, 0.3),
        (330, 1, 10, 1.0),
        (307, 3, 30, 0.03),
        (295, 3, 30, 1.0),
        (35, 5, 30, 1.0),
        (23, 5, 30, 0.3),
        (7, 3, 30, 1.0),
    ],
)
def test_those_who_lose_neighbours_find_others_at_once(
    seed: int, wave_s: float, rest_s: float, delay_s: float
) -> None:
    mesh = grown(seed, wave_s, delay_s)
    settles_s(mesh, 60.0)
    mesh.run(rest_s)
    for name in worst(mesh):
        mesh.world.crash(name)
    settles_s(mesh, HEALED_S)
    mesh.check()
