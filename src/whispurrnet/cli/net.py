"""peers, join, ticket, ping, identity: who is there, and how to reach them."""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated, Any

from cyclopts import Parameter

from whispurrnet.base.errors import UsageError
from whispurrnet.cli.chum import instance_lines
from whispurrnet.cli.client import find
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.health import peer_lines
from whispurrnet.cli.render import clean, note, qr, say, show_json, show_json_line, size, span

TICKET_VARIABLE = "WHISPURRNET_TICKET"


def peers() -> int:
    """Every peer: path, suite, trust, traffic."""
    answer = find().get("/peers", list[dict[str, Any]])
    if current.json:
        show_json(answer)
        return Exit.DONE
    if not answer:
        say("nobody yet; whispurr ticket here, whispurr join there")
    for line in peer_lines(answer):
        say(line)
    for peer in answer:
        if peer["connected"]:
            traffic = f"sent {size(peer['bytes_sent'])}, received {size(peer['bytes_received'])}"
            say(f"  {peer['name']}: {peer['suite']}, {traffic}")
    return Exit.DONE


def join(
    ticket: Annotated[
        str | None, Parameter(help="A ticket or address; an invite is asked for instead.")
    ] = None,
    *,
    timeout: Annotated[float | None, Parameter(help="Seconds to try.")] = None,
) -> int:
    """Connect to a node by its ticket."""
    from whispurrnet.wire.ticket import Ticket

    client = find()
    text = _given_ticket() if ticket is None else ticket.strip()
    if ticket is not None and not text.startswith("/"):
        try:
            secret = Ticket.parse(text).single_use
        except UsageError as error:
            cause, _, cure = str(error).partition("; ")
            raise Fault("That is not a ticket", cause, cure, Exit.USAGE) from error
        if secret:
            raise Fault(
                "An invite is a secret, and every user of this machine sees arguments",
                "it was given on the command line",
                f"ask for a new one; type `whispurr join` and paste it, or set {TICKET_VARIABLE}",
                Exit.USAGE,
            )
    body = {"ticket": text} | ({"timeout_s": timeout} if timeout is not None else {})
    peer = client.post("/connect", dict[str, Any], body, patience_s=timeout or 120)
    if current.json:
        show_json(peer)
    else:
        say(f"● connected to {peer['name']} ({peer['path']}, level {peer['level']})")
        say(f"  next: whispurr whisper {peer['name']} hello · whispurr chat {peer['name']}")
    return Exit.DONE


def _given_ticket() -> str:
    text = os.environ.get(TICKET_VARIABLE, "")
    if not text and sys.stdin.isatty():
        text = input("ticket: ")
    elif not text:
        text = sys.stdin.read(8192)
    if not text.strip():
        raise Fault("No ticket was given", "", "whispurr join WN1-...", Exit.USAGE)
    return text.strip()


def ticket(
    *,
    qr_code: Annotated[
        bool, Parameter(name="--qr", negative="", help="As a QR code, too.")
    ] = False,
    invite: Annotated[
        bool, Parameter(negative="", help="Lets one stranger in, once; keep it secret.")
    ] = False,
) -> int:
    """The ticket others join with, as text or QR code."""
    client = find()
    kind = dict[str, Any]
    answer = client.post("/invite", kind) if invite else client.get("/ticket", kind)
    if current.json:
        show_json(answer)
        return Exit.DONE
    say(answer["ticket"])
    if qr_code:
        for line in qr(answer["uri"].upper()):
            say(line)
    note(f"  on the other side: {answer['command']}" + ("   and paste it there" if invite else ""))
    return Exit.DONE


def ping(
    peer: Annotated[str, Parameter(help="Its name, or the beginning of its id.")],
    *,
    count: Annotated[int, Parameter(help="How often.")] = 3,
    timeout: Annotated[float, Parameter(help="Seconds to wait for each answer.")] = 5.0,
) -> int:
    """Measure the round trip to a peer."""
    client = find()
    for number in range(count):
        if number:
            time.sleep(0.5)
        body = {"peer": peer, "timeout_s": timeout}
        answer = client.post("/ping", dict[str, Any], body, patience_s=timeout)
        if current.json:
            show_json_line(answer)
        else:
            say(f"{clean(answer['peer'])}: {answer['rtt_ms']:.2f} ms by {answer['path']}")
    return Exit.DONE


def identity(
    *, rotate: Annotated[bool, Parameter(negative="", help="Take a new one now.")] = False
) -> int:
    """Who the node is at the moment; sessions carry on when it changes."""
    client = find()
    kind = dict[str, Any]
    answer = client.post("/rotate", kind) if rotate else client.get("/identity", kind)
    answer["instance"] = client.get("/instance", kind)
    if current.json:
        show_json(answer)
    else:
        say(f"{answer['name']} (expires in {span(answer['expires_s'])})")
        say(f"  {answer['id']}")
        for line in instance_lines(answer["instance"]):
            say(line)
    return Exit.DONE
