"""nat: what kind of NAT this node is behind, and how a peer is reached through it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from whispurrnet.cli.client import find
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit
from whispurrnet.cli.render import DASH, clean, colour, note, say, show_json, table

PROBE_S = 15.0


def nat(
    peer: Annotated[
        str, Parameter(help="A peer to reach: its name, or the beginning of its id.")
    ] = "",
    *,
    method: Annotated[
        Literal["auto", "stun", "turn", "relay"],
        Parameter(help="How to reach it; auto: the best that works."),
    ] = "auto",
    server: Annotated[
        tuple[str, ...],
        Parameter(help="Ask this STUN server, such as stun:relay.example.org:3478."),
    ] = (),
    timeout: Annotated[float, Parameter(help="Seconds to try for.")] = 20.0,
) -> int:
    """What kind of NAT this node is behind; with a peer, try for the best path to it.

    Without a peer, STUN servers are asked: those named, or those of the settings (nat.ice_servers,
    and the relays in nat.relays).
    """
    if peer:
        return _reach(peer, method, timeout)
    answer = find().post(
        "/nat/probe", dict[str, Any], {"servers": list(server)}, patience_s=PROBE_S
    )
    if current.json:
        show_json(answer)
    else:
        for line in report_lines(answer):
            say(line)
    return Exit.DONE if answer["report"]["kind"] != "blocked" else Exit.NOT_REACHABLE


def report_lines(answer: dict[str, Any]) -> list[str]:
    """What was found out, for people: the verdict first."""
    report = answer["report"]
    fine = report["kind"] not in {"blocked", "unknown", "symmetric"}
    mark = colour("●", "green") if fine else colour("▲", "yellow")
    lines = [f"{mark} {answer['meaning']}", f"  {answer['reachable']}"]
    words = {True: "yes", False: "no", None: "unknown"}
    facts = (
        ("seen as", ", ".join(map(clean, report["seen_as"])) or DASH),
        ("mapping", report["mapping"]),
        ("filtering", report["filtering"]),
        ("hairpinning", words[report["hairpinning"]]),
    )
    lines += [f"  {name:<12} {value}" for name, value in facts]
    rows = [
        (
            one["server"],
            one["seen_as"] or DASH,
            DASH if one["rtt_ms"] is None else f"{one['rtt_ms']:.1f} ms",
            one["problem"] or ("tells all" if one["tells_behaviour"] else "tells where, not what"),
        )
        for one in report["asked"]
    ]
    lines += table(("asked", "saw this node at", "round trip", "answer"), rows)
    if report["note"]:
        lines.append(f"  Not known: {clean(report['note'])}")
    if answer["attempts"]:
        lines.append(f"  direct paths: {answer['successes']} of {answer['attempts']} attempts")
    if answer["answers_at"]:
        lines.append(f"  this node answers others at {', '.join(answer['answers_at'])}")
    return lines


def _reach(peer: str, method: str, timeout_s: float) -> int:
    answer = find().post(
        "/nat/reach",
        dict[str, Any],
        {"peer": peer, "method": method, "timeout_s": timeout_s},
        patience_s=timeout_s + 5,
    )
    if current.json:
        show_json(answer)
    else:
        for line in reach_lines(answer):
            say(line)
        if not answer["ok"]:
            note("  see `whispurr nat` for this node's own NAT, and docs/how-to/nat.md")
    return Exit.DONE if answer["ok"] else Exit.NOT_REACHABLE


def reach_lines(answer: dict[str, Any]) -> list[str]:
    """What was tried, for people: the verdict first."""
    mark = colour("●", "green") if answer["ok"] else colour("▲", "yellow")
    lines = [f"{mark} {clean(answer['verdict'])}"]
    rows = [
        (
            one["method"],
            one["place"] or DASH,
            "yes" if one["ok"] else "no",
            f"{one['seconds']:.1f} s",
            one["reason"],
        )
        for one in answer["attempts"]
    ]
    if rows:
        lines += table(("tried", "where", "worked", "took", "why"), rows)
    return lines
