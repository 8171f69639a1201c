"""topology, sleep, wake and the instance, run as the shell would and against a real node."""

from __future__ import annotations

from typing import Any

from whispurrnet.cli.chum import instance_lines, map_lines

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32


def node(id: str, name: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "name": name, "told": True, "others": 0, "asleep": False} | more


def test_a_map_for_people() -> None:
    answer = {
        "nodes": [
            node(A, "me", others=2),
            node(B, "calm-finch\x1b", asleep=True),
            node(C, "far-owl", told=False),
        ],
        "links": [{"a": A, "b": B, "both": True}, {"a": B, "b": C, "both": False}],
        "silent": 1,
        "age_s": 0.1,
    }
    lines = map_lines(answer)
    assert lines[0] == "3 nodes, 2 links, 1 did not answer"
    assert lines[1] == "  me (this node)"
    assert "and 2 more" in lines[3]
    assert any("asleep" in line for line in lines)
    assert any("far-owl (one says so)" in line for line in lines)
    assert "\x1b" not in "".join(lines)


def test_a_map_with_nobody_else() -> None:
    (head, line) = map_lines({"nodes": [node(A, "me", others=1)], "links": [], "silent": 0})
    assert head == "1 node, 0 links"
    assert "nobody in the map and 1 more" in line


def test_topology_says_how_to_take_part(ada: Any) -> None:
    ran = ada("topology")
    assert ran.code == 2
    assert "lan.topology" in ran.err


def test_sleep_and_wake(ada: Any, pair: Any) -> None:
    try:
        ran = ada("sleep", "600", "--note", "good night")
        assert ran.code == 0
        assert ran.out == "○ asleep for 10 min\n"
        assert pair.call(lambda: pair.ada.asleep)
        assert "you tell your peers: asleep: good night" in ada("status").out
    finally:
        assert ada("wake").out == "● awake\n"
    assert not pair.call(lambda: pair.ada.asleep)
    assert ada("sleep", "--output", "json").json == {"asleep": True}
    assert ada("wake", "--output", "json").json == {"asleep": False}
    assert ada("sleep", "0").code == 2


def test_the_instance_is_shown_with_the_identity(ada: Any, pair: Any) -> None:
    told = ada("identity", "--output", "json").json["instance"]
    assert told["instance_id"] == pair.call(lambda: pair.ada.chum.instance_id)
    assert told["storage"]["healthy"]
    shown = ada("identity").out
    assert f"instance {told['instance_id'][:16]}, for this run" in shown
    assert "can: gossip" in shown


def test_a_store_that_is_ill_says_so() -> None:
    storage = {"objects": 1, "bytes": 2_000, "quota_bytes": 1_000, "healthy": False}
    lines = instance_lines(
        {
            "instance_id": A,
            "hardware": "none: nothing",
            "lasting": True,
            "node_type": "chum",
            "status": "Listening",
            "uptime_s": 3.0,
            "capabilities": [],
            "storage": storage,
        }
    )
    assert "from: none: nothing" in lines[0]
    assert "for this run" not in lines[0]
    assert "can: nothing" in lines[2]
    assert "of 1.0 kB; it is full or cannot be read" in lines[3]
