"""Neighbours who bring nothing give way, and nobody else does: docs/decisions/0012."""

from __future__ import annotations

from random import Random

import pytest
from tests.sim.meshes import Hole, Mesh, config

from whispurrnet.discovery.book import Source
from whispurrnet.gossip import silence
from whispurrnet.stack import events

VICTIM = "n29"


def grown(seed: int, *, on: bool, nodes: int = 30) -> Mesh:
    """A mesh that has come to rest."""
    mesh = Mesh(seed, config(silence=silence.Config(on=on)))
    mesh.join(nodes)
    mesh.run(60)
    return mesh


def speak(mesh: Mesh, talkers: list[str], seconds: int) -> list[int]:
    """A message a second, by one of these."""
    rng, numbers = Random(1), []
    for _ in range(seconds):
        numbers.append(mesh.publish(rng.choice(talkers)))
        mesh.run(1)
    return numbers


def grafts(mesh: Mesh) -> int:
    """How often any honest node called others in the place of its neighbours."""
    nodes = mesh.world.nodes
    return sum(nodes[name].shared.meter.get("gossip_grafts") for name in mesh.honest)


def among_the_mute(seed: int, *, on: bool) -> tuple[int, int]:
    """Five of a node's neighbours swallow all; how many do after four minutes, and of how many."""
    mesh = grown(seed, on=on)
    mute = Random(seed).sample(mesh.neighbours(VICTIM), 5)
    for name in mute:
        node, hole = mesh.world.nodes[name], Hole()
        node._adversary = mesh.evil[name] = hole  # type: ignore[attr-defined]
        hole.enter(mesh.world, name, node)
    numbers = speak(mesh, [name for name in mesh.honest if name != VICTIM], 240)
    mesh.run(20)
    assert all(VICTIM in mesh.reached(number) for number in numbers), "comparing repairs it all"
    mesh.check()
    after = mesh.neighbours(VICTIM)
    return sum(name in mute for name in after), len(after)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_node_among_the_mute_gets_out(seed: int) -> None:
    mute, neighbours = among_the_mute(seed, on=True)
    assert mute <= 3, "when less than half are silent that is enough"
    assert neighbours >= 7


def test_switched_off_it_stays_among_them() -> None:
    mute, neighbours = among_the_mute(1, on=False)
    assert mute == 5
    assert neighbours >= 7


@pytest.mark.parametrize("gap_s", [0, 1, 10])
def test_a_healthy_mesh_never_churns(gap_s: int) -> None:
    """Whether it says nothing at all, a message a second, or one every ten seconds."""
    mesh = grown(3, on=True)
    before = {name: sorted(mesh.neighbours(name)) for name in mesh.honest}
    if gap_s == 1:
        speak(mesh, mesh.honest, 150)
    for _ in range(60 if gap_s == 10 else 0):
        mesh.publish("n4")
        mesh.run(gap_s)
    mesh.run(600 if gap_s == 0 else 1)
    assert grafts(mesh) == 0
    after = {name: sorted(mesh.neighbours(name)) for name in mesh.honest}
    changed = sum(before[name] != after[name] for name in before)
    assert changed <= 3, "the ordinary coming and going at most"


def test_a_mesh_with_one_speaker_does_not_churn() -> None:
    """Its own neighbours get all first from it; the others still say that they have it."""
    mesh = grown(4, on=True)
    for _ in range(200):
        mesh.publish("n5")
        mesh.run(0.5)
    assert grafts(mesh) == 0


def test_who_is_in_need_calls_whom_its_address_book_has() -> None:
    mesh = grown(5, on=True, nodes=6)
    stack = mesh.add("x")
    other = mesh.world.nodes["n3"].shared
    book = stack.shared.calls.book
    book.learn(other.identity.proof.static_key, other.addresses, Source.GIVEN, mesh.world.now)
    mesh.run(60)
    assert len(mesh.neighbours("x")) >= 4, "through the one it knew it finds the others"


def test_without_a_book_it_stays_alone() -> None:
    mesh = grown(5, on=True, nodes=6)
    mesh.add("x")
    mesh.run(60)
    assert mesh.neighbours("x") == []


def test_anchors_lead_back_into_the_mesh() -> None:
    """A node that restarts knows nobody but two; the others do not call it."""
    mesh = grown(6, on=True, nodes=10)
    anchors = mesh.world.nodes["n9"].gossiping.anchors()
    assert len(anchors) == 2
    mesh.crash("n9")
    again = mesh.add("again")
    mesh.world.inject("again", events.Anchors(anchors))
    mesh.run(5)
    keys = {record.static_key for record in again.roster if record.live is not None}
    assert {one.key for one in anchors} & keys
    mesh.run(60)
    assert len(mesh.neighbours("again")) >= 4
