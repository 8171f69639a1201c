"""status and doctor: how it is, why, and what to do."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from whispurrnet.cli.client import Client, find
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.mesh import gossip_lines, neighbour_lines, processing_lines
from whispurrnet.cli.render import (
    DASH,
    clean,
    colour,
    note,
    say,
    show_json,
    show_json_line,
    span,
    table,
)

WATCH_S = 1.0
_MARKS = {"ok": ("✓", "green"), "problem": ("✗", "red"), "not checked": (DASH, "dim")}


def status(
    *,
    detailed: Annotated[
        bool, Parameter(negative="", help="Neighbours and the counters of gossip, too.")
    ] = False,
    watch: Annotated[bool, Parameter(negative="", help="Show it again every second.")] = False,
) -> int:
    """How the node is, and every peer; the first line is the verdict."""
    client = find()
    if not watch:
        _show_status(_status(client, detailed=detailed))
        return Exit.DONE
    _watch(lambda: _status(client, detailed=detailed))
    return Exit.DONE


def _status(client: Client, *, detailed: bool) -> dict[str, Any]:
    answer = client.get("/status", dict[str, Any])
    if detailed:
        answer["neighbours"] = client.get("/neighbours", list[dict[str, Any]])
        answer["stats"] = client.get("/stats", dict[str, Any])
        answer["sync"] = client.get("/sync?items=10", list[dict[str, Any]])
    return answer


def _show_status(answer: dict[str, Any]) -> None:
    if current.json:
        show_json(answer)
    else:
        for line in status_lines(answer):
            say(line)


def _watch(ask: Callable[[], dict[str, Any]]) -> None:
    """Show it again every second, until Ctrl-C: in place on a terminal, else one after another."""
    if current.json:
        while True:
            show_json_line(ask())
            time.sleep(WATCH_S)
    if not sys.stdout.isatty():
        while True:
            _show_status(ask())
            say()
            time.sleep(WATCH_S)
    from rich.live import Live
    from rich.text import Text

    def shown() -> Text:
        text = Text.from_ansi("\n".join(status_lines(ask())))
        text.no_wrap, text.overflow = True, "ellipsis"
        return text

    with Live(shown(), auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_S)
            live.update(shown(), refresh=True)


def status_lines(answer: dict[str, Any]) -> list[str]:
    """The status, for people."""
    problems = answer["problems"]
    mark = colour("▲", "yellow") if problems else colour("●", "green")
    expires = span(answer["expires_s"])
    lines = [
        f"{mark} {clean(answer['verdict'])}",
        f"  {answer['name']} (expires in {expires}), {answer['profile']}, {answer['state']}",
    ]
    if answer.get("presence", "online") != "online" or answer.get("note"):
        lines.append(f"  you tell your peers: {_told(answer)}")
    lines += relay_lines(answer.get("relay", {}))
    for problem in problems:
        lines.append(f"  {colour('✗', 'red')} {clean(problem['what'])}: {clean(problem['why'])}")
        lines.append(f"    Cure: {clean(problem['cure'])}")
    lines += peer_lines(answer["peers"])
    if "neighbours" in answer:
        lines += ["", *neighbour_lines(answer["neighbours"])]
        lines += [*gossip_lines(answer["stats"]), *processing_lines(answer["stats"])]
        lines += [line for folder in answer["sync"] for line in ("", *folder_lines(folder))]
    return lines


def relay_lines(relay: dict[str, Any]) -> list[str]:
    """What the node is as a relay, and at how many it has a place; nothing if neither."""
    lines: list[str] = []
    if relay.get("on"):
        carried = f"{relay['carried_bytes'] / 1e6:,.1f} MB"
        lines.append(
            f"  relay: {relay['places']} reached through it, {relay['circuits']} pairs, {carried}"
        )
    if relay.get("wanted"):
        lines.append(f"  reached through {relay['held']} of {relay['wanted']} relays")
    return lines


def peer_lines(peers: list[dict[str, Any]]) -> list[str]:
    """The table of peers; a row that is not green says why and what to do."""
    if not peers:
        return []
    rows = []
    for peer in peers:
        rtt = f"{peer['rtt_ms']:.1f} ms" if peer["rtt_ms"] is not None else DASH
        seen = "now" if peer["connected"] else f"{span(peer['seen_s'])} ago"
        if peer["connected"]:
            told = _told(peer)
            reason = "" if told == "online" else told
            if peer.get("reason"):
                reason += f"{', ' * bool(reason)}{peer['reason']} → whispurr why {peer['name']}"
        else:
            reason = f"{peer['reason']} → whispurr why {peer['name']}"
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


def folder_lines(folder: dict[str, Any]) -> list[str]:
    """How the folder of the settings is."""
    name = clean(folder["name"])
    if folder["totals"] is None:
        why = clean(folder["trouble"]) or "paused"
        return [f"folder {name}: {why}"]
    from whispurrnet.cli.sync import lines
    from whispurrnet.extensions.filesync.filesync import Status

    known = {key: folder[key] for key in Status.__struct_fields__}
    return [f"folder {name}:", *(f"  {line}" for line in lines(msgspec.convert(known, Status)))]


def _told(who: dict[str, Any]) -> str:
    """A presence and the words to it; a node of an older program says nothing."""
    state, words = who.get("presence") or "online", who.get("note")
    return f"{state}: {clean(words)}" if words else str(state)


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
    from whispurrnet.cli.checks import local_checks

    client = find()
    checks = [dict(check) for check in local_checks(client.port)]
    if report:
        return _report(client, checks)
    running = True
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
        show_json({"verdict": verdict, "ok": not problems, "checks": checks})
    else:
        _show(verdict, checks, problems)
    if running:
        return Exit.FAILED if problems else Exit.DONE
    return Exit.NOT_RUNNING


def _report(client: Client, checks: list[dict[str, Any]]) -> int:
    from whispurrnet.cli.checks import versions
    from whispurrnet.cli.report import redacted, report_lines

    try:
        node = client.get("/report", dict[str, Any])
    except Fault as fault:
        if fault.code != Exit.NOT_RUNNING:
            raise
        node = None
    made = redacted(versions(), checks, node)
    if current.json:
        show_json(made)
    else:
        for line in report_lines(made):
            say(line)
    return Exit.DONE if node is not None else Exit.NOT_RUNNING


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
