from __future__ import annotations

from typing import Any

from tests.unit.cli.test_talk import until

from whispurrnet.cli.mesh import gossip_lines, neighbour_lines, processing_lines, why_lines


def test_why_a_connected_peer(ada: Any, pair: Any) -> None:
    name = pair.call(lambda: pair.bob.name)
    until(lambda: bool(pair.call(pair.ada.neighbours)))
    ran = ada("why", name)
    assert ran.code == 0
    assert ran.out.startswith(f"● {name} is connected by direct tcp\n")
    assert "neighbour for" in ran.out
    answer = ada("why", name, "--output", "json").json
    assert (answer["connected"], answer["neighbour"], answer["place"]) == (True, True, "")


def test_why_nobody(ada: Any, pair: Any) -> None:
    ran = ada("why", "nobody")
    assert ran.code == 2
    assert "no peer is called 'nobody'" in ran.err
    ran = ada("why", "/ip4/127.0.0.1/tcp/9")
    assert "nobody calls it" in ran.out
    assert "At fault: you" in ran.out
    invite = pair.call(lambda: pair.bob.invite().text)
    ran = ada("why", invite)
    assert ran.code == 2
    assert invite not in ran.out + ran.err


def test_the_place_of_a_fault_and_its_cure_are_shown() -> None:
    lines = why_lines(
        {
            "verdict": "lone-wolf-88 is not connected: nothing listens there",
            "connected": False,
            "place": "the peer",
            "facts": ["gone 7 s ago"],
            "cures": ["start it\x1b[2J"],
        }
    )
    assert lines[0].startswith("▲ lone-wolf-88 is not connected")
    assert lines[1] == "  At fault: the peer"
    assert lines[-1].startswith("  Cure: start it")
    assert "\x1b" not in "".join(lines)


def test_discover(ada: Any, pair: Any) -> None:
    ran = ada("discover", "--method", "exchange")
    assert ran.code == 0
    assert pair.call(lambda: pair.bob.name) in ran.out
    found = ada("discover", "--method", "exchange", "--count", "1", "--output", "json").json
    assert found[0]["connected"]
    assert "peer" in found[0]["sources"]
    assert ada("discover", "--method", "kademlia").code == 2


def test_neighbours_and_gossip_as_tables() -> None:
    row = {
        "name": "calm-finch-12",
        "path": "direct tcp",
        "outbound": True,
        "friend": True,
        "score": -0.125,
        "since_s": 7.0,
    }
    head, line = neighbour_lines([row])
    assert head.split()[0] == "neighbour"
    assert line.split() == [
        "calm-finch-12",
        "direct",
        "tcp",
        "we",
        "called",
        "friend",
        "-0.12",
        "7",
        "s",
    ]
    assert "no neighbours" in neighbour_lines([])[0]
    counts = {"received": 3, "duplicates": 1, "served": 0}
    told, listed = gossip_lines({"gossipEfficiency": 0.75, "gossip": counts})
    assert "75 % of all copies were new" in told
    assert listed.strip() == "received 3, duplicates 1"
    assert gossip_lines({"gossipEfficiency": None}) == ["  gossip: nothing came yet"]


def test_how_long_messages_take() -> None:
    stats = {"messageProcessingLatency": 0.1254, "messageProcessingLatencyP99": 12.0}
    (line,) = processing_lines(stats)
    assert line.strip() == "what arrives is dealt with in 0.125 ms (median), 12 ms (p99)"
    nothing = {"messageProcessingLatency": None, "messageProcessingLatencyP99": None}
    assert processing_lines(nothing) == processing_lines({}) == []
