"""Scenarios: the examples hold what they promise, and a run is repeated by its seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from whispurrnet.sim.report import encode
from whispurrnet.sim.run import Run, simulate
from whispurrnet.sim.scenario import Expect, Scenario, from_tree, load

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples" / "scenarios").glob("*.toml"))
DIGEST = """
from pathlib import Path
from whispurrnet.sim.run import simulate
from whispurrnet.sim.scenario import load
from whispurrnet.sim.report import encode
import sys
sys.stdout.buffer.write(encode(simulate(load(Path(sys.argv[1])))))
"""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_holds_what_it_promises(path: Path) -> None:
    scenario = load(path)
    assert scenario.expect != Expect(), "it promises something"
    for seed in (scenario.seed, scenario.seed + 1):
        result = simulate(msgspec.structs.replace(scenario, seed=seed))
        assert result.ok, result.breaches
        assert all(figures.messages for figures in result.work)


@pytest.mark.parametrize("name", ["hostile", "lossy"])
def test_a_run_does_not_depend_on_how_python_hashes(name: str) -> None:
    """Byte by byte the same result in other processes with other hash seeds."""
    path = ROOT / "examples" / "scenarios" / f"{name}.toml"
    results = set()
    for hash_seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", DIGEST, str(path)],
            cwd=ROOT,
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        results.add(done.stdout)
    assert len(results) == 1
    assert b'"digest"' in results.pop()


def test_same_seed_same_result_and_another_seed_another() -> None:
    scenario = load(ROOT / "examples" / "scenarios" / "quiet.toml")
    first = encode(simulate(scenario))
    assert first == encode(simulate(scenario))
    assert first != encode(simulate(msgspec.structs.replace(scenario, seed=99)))


def small(**more: object) -> Scenario:
    return from_tree({"nodes": 12, "work": [{"count": 100, "ttl_s": 5.0}], **more})


def test_what_is_not_mended_in_time_fails_and_says_so() -> None:
    """The control: a partition that outlives the whispers is seen in the figures."""
    cut = {"partition": [{"from_s": 5.0, "until_s": 29.0}], "wire": {"cut_after_s": 4.0}}
    result = simulate(small(**cut, expect={"delivery_min": 1.0}))
    assert not result.ok
    assert {breach.check for breach in result.breaches} == {"delivery_min"}
    assert 0.3 < result.work[0].delivery < 0.95
    assert simulate(small(expect={"delivery_min": 1.0})).ok


def test_who_crashes_is_gone_and_the_others_carry_on() -> None:
    for silent in (False, True):
        churn = {"crash_share": 0.25, "crash_at_s": 6.0, "silent": silent}
        run = Run(small(churn=churn))
        run.world.run(30.0)
        result = run.result()
        assert result.crashed == 3
        assert len(run.world.nodes) == 9
        assert result.work[0].delivery == 1.0


def test_who_comes_back_is_called_and_calls() -> None:
    run = Run(small(churn={"every_s": 2.0, "away_s": 1.0}))
    run.world.run(30.0)
    assert run.result().crashed >= 8
    assert run.connected() > 0.8
    assert any(run.world.life(name) > 1 and list(run.world.sessions(name)) for name in run.honest)


def test_behind_symmetric_nats_only_those_in_the_open_are_called() -> None:
    run = Run(small(nat={"symmetric": 0.5}, mesh={"calls": 3}))
    run.world.run(10.0)
    hidden = [name for name in run.honest if run.world.nats.kind(name) == "symmetric"]
    assert len(hidden) == 6
    for name in hidden:
        assert all(other not in hidden for other, _ in run.world.sessions(name))
    run.world.connect(hidden[0], hidden[1])
    run.world.run(20.0)
    assert hidden[1] not in [other for other, _ in run.world.sessions(hidden[0])]


def friends_behind_nats(relays: int, **more: object) -> Run:
    """Twelve nodes of which ten can be called through relays only; each wants three of the rest."""
    nat = {"symmetric": 10 / 12, "relays": relays}
    return Run(small(nat=nat, mesh={"calls": 3, "friends": True, "stagger_s": 5.0}, **more))


def paths(run: Run) -> set[str]:
    """How nodes behind NATs reach each other."""
    hidden = {name for name in run.honest if run.world.nats.kind(name) == "symmetric"}
    assert len(hidden) == 10
    return {
        record.live.path
        for name in hidden
        for record in run.world.nodes[name].roster
        if record.live is not None and run.world.far_end(name, record.live.link) in hidden
    }


def test_behind_symmetric_nats_they_meet_by_relays() -> None:
    run = friends_behind_nats(2, expect={"delivery_min": 1.0})
    run.world.run(30.0)
    assert paths(run) == {"relay"}
    result = run.result()
    assert result.ok, result.breaches
    assert result.relayed > 0.2
    control = friends_behind_nats(0)
    control.world.run(30.0)
    assert not paths(control)
    assert control.result().relayed == 0.0


def test_a_relay_that_comes_back_is_asked_again() -> None:
    run = friends_behind_nats(1)
    (relay,) = run._relays
    run.world.run(10.0)
    assert paths(run) == {"relay"}
    run.world.crash(relay)
    run.world.run(12.0)
    assert not paths(run)
    run._come_back(relay)
    run.world.run(30.0)
    assert run.world.nodes[relay].relaying.relay.places == 10


def test_half_of_the_nodes_hear_and_are_not_heard() -> None:
    cut = {"from_s": 5.0, "until_s": 40.0, "one_way": True}
    run = Run(small(partition=[cut], wire={"cut_after_s": 8.0}, duration_s=60.0))
    run.world.run(30.0)
    assert run.connected() <= 0.5
    run.world.run(60.0)
    assert run.connected() == 1.0


def test_settings_of_the_stack_reach_every_node() -> None:
    run = Run(small(node={"channel": {"heartbeat_s": 3.0}}))
    assert {stack.shared.config.channel.heartbeat_s for stack in run.world.nodes.values()} == {3.0}
