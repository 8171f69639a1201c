"""name, presence: be found under a name, find who is, and tell peers how this node is doing."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from whispurrnet.cli.client import find as node
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import DASH, clean, note, say, show_json, span, table

NAME_MAX = 1024

NameText = Annotated[
    str | None,
    Parameter(name="NAME", help="Otherwise it is asked for, and no other user sees it."),
]


def register(name: NameText = None) -> int:
    """Be found under a name by those of the realm who know it, until the node ends."""
    answer = node().post("/names", dict[str, Any], {"name": _given(name)})
    count = answer["places"]
    if current.json:
        show_json(answer)
    elif count:
        say(f"● to be found at {count} meeting place{'' if count == 1 else 's'}")
    else:
        say("… there is no meeting place yet: it is left at the first that connects")
    return Exit.DONE if count else Exit.NOT_REACHABLE


def withdraw(name: NameText = None) -> int:
    """Be found under it no longer."""
    text = _given(name)
    client = node()
    known = text in client.get("/names", dict[str, Any])["names"]
    answer = client.delete("/names", dict[str, Any], {"name": text})
    if current.json:
        show_json(answer)
    else:
        say("○ withdrawn" if known else f"{DASH} this node was not registered under it")
    return Exit.DONE


def show() -> int:
    """The names under which this node is to be found."""
    answer = node().get("/names", dict[str, Any])
    if current.json:
        show_json(answer)
        return Exit.DONE
    for name in answer["names"]:
        say(clean(name))
    if not answer["names"]:
        say(f"{DASH} none; whispurr name register")
    return Exit.DONE


def find(
    name: NameText = None,
    *,
    count: Annotated[int, Parameter(help="End when so many are found.")] = 20,
    timeout: Annotated[float, Parameter(help="Seconds to wait for the meeting places.")] = 12.0,
) -> int:
    """Who is registered under a name: a ticket for each, to join by."""
    ask = {"name": _given(name), "count": count, "timeout_s": timeout}
    answer = node().post("/names/find", dict[str, Any], ask, patience_s=timeout)
    found = answer["found"]
    if current.json:
        show_json(answer)
        return Exit.DONE if found else Exit.NOT_REACHABLE
    if not found:
        asked = answer["places"]
        say(
            f"{DASH} nobody is registered under it, by the word of {asked} meeting place"
            f"{'' if asked == 1 else 's'}"
        )
        note("  peers are the meeting places: it takes one that both of you are connected to")
        return Exit.NOT_REACHABLE
    rows = [(f"key {row['key'][:8]}", _left(row), " ".join(row["addresses"][:3])) for row in found]
    for line in table(("node", "valid for", "addresses"), rows):
        say(line)
    for row in found:
        say(f"whispurr join {row['ticket']}")
    return Exit.DONE


def presence(
    state: Annotated[
        Literal["online", "away", "busy", "asleep"] | None,
        Parameter(help="What peers are told from now on; otherwise it is shown."),
    ] = None,
    *,
    words: Annotated[
        str | None, Parameter(name="--note", help="What to say to that; at most 120 characters.")
    ] = None,
) -> int:
    """Tell the peers how this node is doing."""
    client = node()
    answer = client.get("/presence", dict[str, Any])
    if state is not None or words is not None:
        ask = {"state": state or answer["state"], "note": words or ""}
        answer = client.post("/presence", dict[str, Any], ask)
    if current.json:
        show_json(answer)
    else:
        said = f": {clean(answer['note'])}" if answer["note"] else ""
        say(f"{answer['state']}{said}")
    return Exit.DONE


def _given(name: str | None) -> str:
    """The name that was given, or the one that is typed or piped in."""
    typed = name or ""
    if name is None:
        typed = input("name: ") if sys.stdin.isatty() else sys.stdin.readline(NAME_MAX)
    if not typed.strip():
        raise Fault("No name was given", "", "whispurr name find NAME", Exit.USAGE)
    return typed.strip()


def _left(row: dict[str, Any]) -> str:
    return span(max(0.0, row["expires_s"] - time.time()))
