"""The simulated relay links: pairs end together, and a cut is told of."""

from __future__ import annotations

from tests.sim.test_relay import Town

from whispurrnet.stack import events


def test_both_sides_of_a_pair_end_together() -> None:
    town = Town()
    town.call("alice", "bob")
    town.run(5.0)
    relay = town.world.nodes["relay0"].relaying.relay
    assert relay.circuits == 1
    assert not town.world.is_direct("alice", town.peer("alice", "bob"))
    alice = town.world.nodes["alice"]
    record = alice.roster.get(town.peer("alice", "bob"))
    assert record is not None and record.live is not None
    town.world.inject("alice", events.Disconnect(record.handle))
    town.run(5.0)
    assert relay.circuits == 0
    assert not town.path("bob", "alice")


def test_the_same_seed_is_the_same_run() -> None:
    digests = set()
    for _ in range(2):
        town = Town(7, relays=2, loss=0.05)
        town.call("alice", "bob")
        town.run(5.0)
        town.whisper(50)
        town.run(20.0)
        digests.add(town.world.digest)
    assert len(digests) == 1
