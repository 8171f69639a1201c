"""Closed realms at large: what one dishonest member can do with all those it lets in."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from tests.sim.meshes import Mesh, config

from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.gossip import membership, views
from whispurrnet.gossip.contact import pick
from whispurrnet.gossip.envelope import realm_key
from whispurrnet.sim.adversary import Adversary
from whispurrnet.sim.world import EPOCH_MS
from whispurrnet.stack.belonging import Holding
from whispurrnet.stack.config import Config, MembersConfig
from whispurrnet.trust import chain
from whispurrnet.trust.chain import Chain

FOUNDER = SigningKey.from_bytes(b"f" * 32)
REALM = chain.realm_of(realm_key(None), FOUNDER.public)
PER_INVITER = membership.Config().per_inviter
HONEST, SYBILS = 12, 200


def seed(name: str) -> Secret:
    return Secret(name.encode().ljust(32))


def let_in(name: str, by: SigningKey = FOUNDER, above: Chain = ()) -> Holding:
    """A membership, as by an invite."""
    key = SigningKey.from_bytes(seed(name))
    made = chain.issue(
        by, above, key.public, REALM, depth=4, life_s=86_400, wall_s=EPOCH_MS // 1000
    )
    return Holding(seed(name), chain.encode(made))


def closed(settings: Config) -> Config:
    return msgspec.structs.replace(settings, members=MembersConfig(founder=FOUNDER.public))


def sybils(tree: bool) -> list[Holding]:
    """The memberships that one invitee gives itself: side by side, or two deep."""
    own = let_in("mallory")
    first = chain.decode(own.chain)
    made = [
        let_in(f"sybil{n}", SigningKey.from_bytes(seed("mallory")), first) for n in range(SYBILS)
    ]
    if not tree:
        return made
    branches = made[: SYBILS // 4]
    return [
        let_in(
            f"sybil{n}",
            SigningKey.from_bytes(branches[n % len(branches)].seed),
            chain.decode(branches[n % len(branches)].chain),
        )
        if n >= len(branches)
        else branches[n]
        for n in range(SYBILS)
    ]


def surround(settings: Config, *, tree: bool, keep: bool) -> tuple[int, int]:
    """The crowd calls one node, each from a network of its own.

    Returns how many of them had a place near it at most, and how many of the honest at the end.
    """
    mesh = Mesh(1, closed(settings))
    names = [f"n{number}" for number in range(HONEST)]
    for number, name in enumerate(names):
        mesh.world.place(name, f"11.{number}.0.7")
        mesh.add(name, holding=let_in(name))
    for number in range(HONEST):
        for step in (1, 3, 5):
            mesh.call(names[number], names[(number + step) % HONEST])
    mesh.run(8.0)
    assert len(mesh.neighbours("n0")) >= 4, "the honest are one mesh"
    most = 0
    passive = closed(config(membership=membership.Config(dials_max=0)))
    for number, holding in enumerate(sybils(tree)):
        name = f"sybil{number}"
        mesh.world.place(name, f"20.{number}.0.7")
        mesh.add(name, passive, Adversary(mesh.rng, ()), holding=holding)
        mesh.world.later(number * 0.1, lambda name=name: mesh.world.connect(name, "n0", keep=keep))
    for _ in range(60):
        mesh.run(0.5)
        most = max(most, sum(name in mesh.evil for name in mesh.neighbours("n0")))
    return most, sum(name not in mesh.evil for name in mesh.neighbours("n0"))


def anybody(self: views.ActiveView, link: views.Link, rng: Random) -> views.Link | None:
    """Who makes room for a newcomer, if not even those who stand long are safe."""
    return pick([one for one in self.members.values() if self.fits(link, one)], rng)


def greedy(per_inviter: int) -> Config:
    """A node that takes anybody in anybody's place, but for the share of an inviter."""
    return config(
        membership=membership.Config(
            outbound_min=0, per_inviter=per_inviter, evict_s=0.001, evict_burst=1e9
        )
    )


@pytest.mark.parametrize("tree", [False, True], ids=["side-by-side", "two-deep"])
def test_two_hundred_invitees_of_one_hold_no_more_than_its_share(
    tree: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where nothing else protects those who are there already."""
    monkeypatch.setattr(views.ActiveView, "victim", anybody)
    most, honest = surround(greedy(PER_INVITER), tree=tree, keep=False)
    assert 0 < most <= PER_INVITER
    assert honest >= 8 - PER_INVITER


@pytest.mark.parametrize("tree", [False, True], ids=["side-by-side", "two-deep"])
def test_without_the_share_they_hold_more(tree: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.ActiveView, "victim", anybody)
    most, _ = surround(greedy(99), tree=tree, keep=False)
    assert most > PER_INVITER


def test_nor_as_guests() -> None:
    """Who says that it wants this very node is no neighbour, and there are few of one branch."""
    most, honest = surround(config(), tree=True, keep=True)
    assert 0 < most <= 2 * PER_INVITER
    assert honest >= 4


def test_a_branch_without_an_inviter_s_share_fills_the_guests() -> None:
    free = config(membership=membership.Config(per_inviter=99))
    most, _ = surround(free, tree=True, keep=True)
    assert most > 2 * PER_INVITER


def test_a_realm_in_which_the_founder_let_in_everybody_is_one_mesh() -> None:
    """The founder's own invitees each answer for themselves, so its share cuts nobody off."""
    mesh = Mesh(2, closed(config()))
    for number in range(30):
        name = f"n{number}"
        mesh.add(name, holding=let_in(name))
        if number:
            mesh.call(name, f"n{mesh.rng.randrange(min(number, 4))}")
    mesh.run(60.0)
    assert sorted(mesh.reachable("n0")) == sorted(mesh.honest)
    assert sum(len(mesh.neighbours(name)) for name in mesh.honest) / 30 > PER_INVITER
    number = mesh.publish("n7")
    mesh.run(5.0)
    assert mesh.delivery([number]) == 1.0


def test_a_realm_of_one_branch_is_one_mesh_too() -> None:
    """Each has no more than the share of neighbours, and that is enough."""
    mesh = Mesh(3, closed(config()))
    root = let_in("root")
    for number in range(30):
        name = f"n{number}"
        by = SigningKey.from_bytes(root.seed)
        mesh.add(name, holding=let_in(name, by, chain.decode(root.chain)))
        if number:
            mesh.call(name, f"n{mesh.rng.randrange(min(number, 4))}")
    mesh.run(120.0)
    assert sorted(mesh.reachable("n0")) == sorted(mesh.honest)
    assert max(len(mesh.neighbours(name)) for name in mesh.honest) <= PER_INVITER
