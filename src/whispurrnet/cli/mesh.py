"""why, discover, neighbours: who is there in the mesh, and why or why not."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from whispurrnet.base.errors import UsageError
from whispurrnet.cli.client import find
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import DASH, clean, colour, note, say, show_json, span, table


def why(
    peer: Annotated[
        str, Parameter(help="Its name, the beginning of its id, its address, or its ticket.")
    ],
) -> int:
    """Why a peer is connected or not, whose fault it is, and what to do."""
    from whispurrnet.wire.ticket import Ticket

    with contextlib.suppress(UsageError):
        if not peer.startswith("/") and Ticket.parse(peer).single_use:
            raise Fault(
                "An invite is a secret, and every user of this machine sees arguments",
                "it was given on the command line",
                "ask by the name or the address of the peer",
                Exit.USAGE,
            )
    answer = find().get("/why", dict[str, Any], peer=peer)
    if current.json:
        show_json(answer)
        return Exit.DONE
    for line in why_lines(answer):
        say(line)
    return Exit.DONE


def why_lines(answer: dict[str, Any]) -> list[str]:
    """The answer, for people: the verdict first."""
    fine = answer["connected"] and not answer["place"]
    mark = colour("●", "green") if fine else colour("▲", "yellow")
    lines = [f"{mark} {clean(answer['verdict'])}"]
    if answer["place"]:
        lines.append(f"  At fault: {answer['place']}")
    lines += [f"  {DASH} {clean(fact)}" for fact in answer["facts"]]
    lines += [f"  Cure: {clean(cure)}" for cure in answer["cures"]]
    return lines


def discover(
    *,
    method: Annotated[
        Literal["multicast", "mdns", "broadcast", "exchange", "all"],
        Parameter(help="Where to look; exchange: what peers told already."),
    ] = "all",
    count: Annotated[int, Parameter(help="End when so many are found.")] = 20,
    timeout: Annotated[float, Parameter(help="Seconds to look.")] = 6.0,
) -> int:
    """Who is near, and by what it was found."""
    found = find().get(
        "/discover",
        list[dict[str, Any]],
        patience_s=timeout,
        method=method,
        count=count,
        timeout_s=timeout,
    )
    if current.json:
        show_json(found)
        return Exit.DONE
    if not found:
        say(f"{DASH} nobody was found within {span(timeout)}")
        note(
            "  is `whispurr up` running there, with the same network_secret? See `whispurr doctor`"
        )
        return Exit.NOT_REACHABLE
    rows = [
        (
            row["name"] or f"key {row['key'][:8]}",
            "yes" if row["connected"] else "no",
            ", ".join(row["sources"]),
            " ".join(row["addresses"][:3]),
        )
        for row in found
    ]
    for line in table(("node", "connected", "found by", "addresses"), rows):
        say(line)
    return Exit.DONE


def neighbour_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The table of neighbours."""
    if not rows:
        return ["  no neighbours: nothing spreads through this node yet"]
    cells = [
        (
            row["name"],
            row["path"],
            "we called" if row["outbound"] else "it called",
            "friend" if row["friend"] else "",
            f"{row['score']:.2f}",
            span(row["since_s"]),
        )
        for row in rows
    ]
    return table(("neighbour", "path", "outbound", "friend", "score", "since"), cells)


def gossip_lines(stats: dict[str, Any]) -> list[str]:
    """The counters of gossip, and how much of what came was new."""
    share = stats.get("gossipEfficiency")
    told = (
        f"{100 * share:.0f} % of all copies were new" if share is not None else "nothing came yet"
    )
    counts = stats.get("gossip", {})
    pairs = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    return [f"  gossip: {told}", *([f"    {pairs}"] if pairs else [])]


def processing_lines(stats: dict[str, Any]) -> list[str]:
    """How long it takes to deal with what arrives."""
    p50, p99 = stats.get("messageProcessingLatency"), stats.get("messageProcessingLatencyP99")
    if p50 is None or p99 is None:
        return []
    return [f"  what arrives is dealt with in {p50:.3g} ms (median), {p99:.3g} ms (p99)"]
