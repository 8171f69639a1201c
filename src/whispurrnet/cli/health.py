"""status and doctor: how it is, why, and what to do."""

from __future__ import annotations

import time
from typing import Annotated, Any

from cyclopts import Parameter

from whispurrnet.cli.client import Client, find
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import DASH, clean, colour, note, say, show_json, span, table

_MARKS = {"ok": ("✓", "green"), "problem": ("✗", "red"), "not checked": (DASH, "dim")}


def status(
    *,
    watch: Annotated[bool, Parameter(negative="", help="Show it again every two seconds.")] = False,
) -> int:
    """How the node is, and every peer; the first line is the verdict."""
    client = find()
    while True:
        answer = client.get("/status", dict[str, Any])
        if current.json:
            show_json(answer)
        else:
            for line in status_lines(answer):
                say(line)
        if not watch:
            return Exit.DONE
        time.sleep(2.0)
        say()


def status_lines(answer: dict[str, Any]) -> list[str]:
    """The status, for people."""
    problems = answer["problems"]
    mark = colour("▲", "yellow") if problems else colour("●", "green")
    expires = span(answer["expires_s"])
    lines = [
        f"{mark} {clean(answer['verdict'])}",
        f"  {answer['name']} (expires in {expires}), {answer['profile']}, {answer['state']}",
    ]
    for problem in problems:
        lines.append(f"  {colour('✗', 'red')} {clean(problem['what'])}: {clean(problem['why'])}")
        lines.append(f"    Cure: {clean(problem['cure'])}")
    return lines + peer_lines(answer["peers"])


def peer_lines(peers: list[dict[str, Any]]) -> list[str]:
    """The table of peers; a row that is not green says why and what to do."""
    if not peers:
        return []
    rows = []
    for peer in peers:
        rtt = f"{peer['rtt_ms']:.1f} ms" if peer["rtt_ms"] is not None else DASH
        seen = "now" if peer["connected"] else f"{span(peer['seen_s'])} ago"
        reason = "" if peer["connected"] else f"{peer['reason']} → {peer['cure']}"
        row = (
            peer["name"],
            peer["path"],
            rtt,
            seen,
            _exchange(peer["suite"]),
            peer["trust"],
            str(peer["queued"]),
        )
        rows.append((*row, reason))
    return table(("peer", "path", "rtt", "seen", "suite", "trust", "queued", ""), rows)


def _exchange(suite: str) -> str:
    """The key exchange in a suite's name: `X25519+MLKEM768`."""
    parts = suite.split("_")
    return parts[2].replace("25519+", "X25519+") if len(parts) == 5 else DASH


def doctor(
    *,
    report: Annotated[
        bool, Parameter(negative="", help="A text to paste: no id, address or name is in it.")
    ] = False,
) -> int:
    """What is wrong, why, and what to do; works without a running node, too."""
    from whispurrnet.cli.checks import local_checks, versions

    client = find()
    running = True
    checks = [dict(check) for check in local_checks(client.port)]
    try:
        checks += _node_checks(client)
    except Fault as fault:
        if fault.code != Exit.NOT_RUNNING:
            raise
        running = False
        checks.append(
            {
                "title": "a node runs here",
                "state": "problem",
                "cause": "nothing answers",
                "cure": "whispurr up",
            }
        )
    problems = sum(check["state"] == "problem" for check in checks)
    verdict = "all is well" if not problems else f"{problems} to look at"
    if current.json:
        answer = {"verdict": verdict, "ok": not problems, "checks": checks}
        show_json({**answer, "versions": versions()} if report else answer)
    else:
        if report:
            for name, version in versions().items():
                say(f"  {name} {version}")
        _show(verdict, checks, problems)
    if running:
        return Exit.FAILED if problems else Exit.DONE
    return Exit.NOT_RUNNING


def _node_checks(client: Client) -> list[dict[str, Any]]:
    return list(client.get("/doctor", dict[str, Any])["checks"])


def _show(verdict: str, checks: list[dict[str, Any]], problems: int) -> None:
    mark = colour("▲", "yellow") if problems else colour("●", "green")
    say(f"{mark} {verdict}")
    for check in checks:
        letter, name = _MARKS[check["state"]]
        say(f"  {colour(letter, name)} {clean(check['title'])}")
        if check["cause"]:
            say(f"      {clean(check['cause'])}")
        if check["cure"]:
            say(f"      Cure: {clean(check['cure'])}")
    if problems:
        note("  `whispurr doctor --report` makes a text that is safe to paste.")
