"""topology, sleep, wake: who is connected to whom around here, and how to be quiet."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from whispurrnet.cli.client import find
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit
from whispurrnet.cli.render import DASH, clean, note, say, show_json, size, span


def topology(
    *, timeout: Annotated[float, Parameter(help="Seconds that peers are given to answer.")] = 3.0
) -> int:
    """Who is connected to whom on this network, among those who agreed (lan.topology)."""
    answer = find().get("/topology", dict[str, Any], patience_s=timeout, timeout_s=timeout)
    if current.json:
        show_json(answer)
        return Exit.DONE
    for line in map_lines(answer):
        say(line)
    if len(answer["nodes"]) == 1:
        note("  in a map is whoever is on this network and has set lan.topology = true")
    return Exit.DONE


def map_lines(answer: dict[str, Any]) -> list[str]:
    """The map, for people: each node, and below it those it is connected to."""
    names = {node["id"]: clean(node["name"]) for node in answer["nodes"]}
    near: dict[str, list[str]] = {id: [] for id in names}
    for link in answer["links"]:
        sure = "" if link["both"] else " (one says so)"
        near[link["a"]].append(names[link["b"]] + sure)
        near[link["b"]].append(names[link["a"]] + sure)
    count, links = len(names), len(answer["links"])
    head = f"{count} node{'' if count == 1 else 's'}, {links} link{'' if links == 1 else 's'}"
    silent = answer["silent"]
    lines = [head + (f", {silent} did not answer" if silent else "")]
    for number, node in enumerate(answer["nodes"]):
        here = " (this node)" if number == 0 else ""
        state = " asleep" if node["asleep"] else ""
        others = f" and {node['others']} more" if node["others"] else ""
        if not near[node["id"]]:
            lines.append(f"  {names[node['id']]}{here}{state} {DASH} nobody in the map{others}")
            continue
        lines.append(f"  {names[node['id']]}{here}{state}")
        lines += [f"    {DASH} {other}" for other in sorted(near[node["id"]])]
        if others:
            lines.append(f"    {DASH}{others}")
    return lines


def sleep(
    seconds: Annotated[
        float | None, Parameter(name="SECONDS", help="For how long; otherwise until it wakes.")
    ] = None,
    *,
    words: Annotated[
        str, Parameter(name="--note", help="What to tell the peers; at most 120 characters.")
    ] = "",
) -> int:
    """Speak seldom from now on: peers are told, and let wait what can."""
    answer = find().post("/sleep", dict[str, Any], {"for_s": seconds, "note": words})
    if current.json:
        show_json(answer)
        return Exit.DONE
    until = "until it is used, or: whispurr wake" if seconds is None else f"for {span(seconds)}"
    say(f"○ asleep {until}")
    return Exit.DONE


def wake() -> int:
    """Be awake again; whatever else you do wakes the node too."""
    answer = find().delete("/sleep", dict[str, Any])
    if current.json:
        show_json(answer)
    else:
        say("● awake")
    return Exit.DONE


def instance_lines(answer: dict[str, Any]) -> list[str]:
    """Who the node is on its machine, for people."""
    store = answer["storage"]
    quota = "" if store["quota_bytes"] is None else f" of {size(store['quota_bytes'])}"
    health = "" if store["healthy"] else "; it is full or cannot be read"
    lasting = "" if answer["lasting"] else ", for this run"
    return [
        f"  instance {answer['instance_id'][:16]}{lasting}, from: {answer['hardware']}",
        f"  {answer['node_type']}, {answer['status']} for {span(answer['uptime_s'])}",
        f"  can: {', '.join(answer['capabilities']) or 'nothing'}",
        f"  store: {store['objects']} objects, {size(store['bytes'])}{quota}{health}",
    ]
