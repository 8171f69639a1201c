"""Each kind does the harm it is for, and an honest node in its place does not."""

from __future__ import annotations

import pytest

from whispurrnet.sim.adversary import KINDS, Eavesdropper
from whispurrnet.sim.run import Run
from whispurrnet.sim.scenario import Hostile, Scenario, from_tree
from whispurrnet.trust.policy import Verdict


def live(kind: str = "", nodes: int = 10, count: int = 100, **more: object) -> Run:
    """A run of thirty seconds with three nodes of one kind."""
    tree = {"nodes": nodes, "hostile": {kind: 3 / nodes} if kind else {}, **more}
    run = Run(from_tree({"work": [{"count": count}], **tree}))
    run.world.run(30.0)
    return run


def test_every_kind_has_a_share_in_a_scenario() -> None:
    assert set(KINDS) == set(Hostile.__struct_fields__) - {"from_s", "prefixes"}


@pytest.mark.parametrize("kind", KINDS)
def test_honest_nodes_are_served_whatever_the_others_do(kind: str) -> None:
    run = live(kind)
    result = run.result()
    assert result.ok, result.breaches
    assert result.hostile == {kind: 3}
    assert result.work[0].delivery == 1.0
    assert result.connected == 1.0


def test_liars_are_found_out() -> None:
    def errors(run: Run) -> int:
        stacks = [run.world.nodes[name] for name in run.honest]
        return sum(stack.shared.meter.get("protocol_errors") for stack in stacks)

    run = live("liar")
    assert errors(run) >= 10
    run.world.run(90.0)
    verdicts = [
        stack.shared.verdict(record, run.world.now)
        for stack in (run.world.nodes[name] for name in run.honest)
        for record in stack.roster
    ]
    assert Verdict.SLOW in verdicts or Verdict.REFUSE in verdicts
    assert not errors(live())


def test_a_flood_is_one() -> None:
    assert live("flooder").world.bytes_sent > 4 * live().world.bytes_sent


def test_an_eclipser_calls_everybody_and_comes_from_few_networks() -> None:
    run = live("eclipser", nodes=20, mesh={"calls": 1}, hostile={"eclipser": 0.5, "prefixes": 2})
    called = {name for name in run.honest for other, _ in run.world.sessions(name)}
    assert called == set(run.honest)
    assert run.eclipsed() >= 0.5
    prefixes = {run.world.address(name).rpartition(".")[0] for name in run.hostile}
    assert len(prefixes) == 2
    assert live(nodes=20, mesh={"calls": 1}).eclipsed() == 0.0


def test_what_a_replayer_writes_twice_is_noticed() -> None:
    run = live("replayer")
    downs = sum(run.world.nodes[name].shared.meter.get("protocol_errors") for name in run.honest)
    assert downs > 0


def test_an_eavesdropper_hears_only_what_is_for_it() -> None:
    run = live("eavesdropper")
    spies = [spy for spy in run.hostile.values() if isinstance(spy, Eavesdropper)]
    heard = b"".join(note.body for spy in spies for note in spy.notes)
    for message in run.ledger.messages:
        assert message.payload not in heard, "whispers of others are not carried by it"


def test_a_black_hole_hears_nothing() -> None:
    run = live("black_hole")
    name = next(iter(run.hostile))
    author, handle = next(
        (name_, handle)
        for name_ in run.honest
        for other, handle in run.world.sessions(name_)
        if other == name
    )
    from whispurrnet.stack import events

    run.world.inject(author, events.Post(peer=handle, id=10**6, kind=1, body=b"hello"))
    run.world.run(40.0)
    assert run.world.nodes[author].courier.queued(handle), "nobody has acknowledged it"


def test_they_wait_for_their_time() -> None:
    early = Run(Scenario(nodes=10, hostile=Hostile(flooder=0.3, from_s=25.0)))
    early.world.run(24.0)
    before = early.world.bytes_sent
    early.world.run(27.0)
    assert early.world.bytes_sent > 2 * before
