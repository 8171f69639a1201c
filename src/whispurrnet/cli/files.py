"""send, receive: files from one person to another, by a code of words or by a ticket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from whispurrnet.cli.errands import Wanted
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.flags import loop_factory
from whispurrnet.cli.receiving import Receiving
from whispurrnet.cli.receiving import receive as take
from whispurrnet.cli.render import note
from whispurrnet.cli.sending import Sending
from whispurrnet.cli.sending import send as give

Via = Annotated[
    tuple[str, ...], Parameter(help="Tickets of nodes at which both sides meet; the same there.")
]
Limit = Annotated[float | None, Parameter(help="Megabytes a second at most.")]
Change = Annotated[
    tuple[str, ...], Parameter(name="--set", help="Any setting, such as lan.enabled=false.")
]
Config = Annotated[
    Path | None, Parameter(env_var="WHISPURRNET_CONFIG", help="Another settings file.")
]


def send(
    *paths: Annotated[Path, Parameter(help="Files and folders.")],
    ticket: Annotated[
        bool, Parameter(negative="", help="Print a ticket instead of a code; serve until Ctrl-C.")
    ] = False,
    show_qr: Annotated[
        bool, Parameter(name="--qr", negative="", help="Show the ticket as a QR code, too.")
    ] = False,
    words: Annotated[int, Parameter(help="How many words the code has, 2 to 8.")] = 2,
    keep: Annotated[bool, Parameter(negative="", help="Go on when it has arrived.")] = False,
    new: Annotated[
        bool, Parameter(negative="", help="For somebody else than who has begun to receive it.")
    ] = False,
    via: Via = (),
    limit: Limit = None,
    change: Change = (),
    config: Config = None,
) -> int:
    """Send files to somebody who is told a code; run it again to go on after a crash."""
    if not paths:
        raise Fault("There is nothing to send", "", "whispurr send FILE...", Exit.USAGE)
    wanted = Wanted(via=via, limit_mb_s=limit, changes=change, config=config)
    asked = Sending(
        paths=paths,
        ticket=ticket or show_qr,
        qr=show_qr,
        words=words,
        keep=keep,
        new=new,
        wanted=wanted,
    )
    return _run(give(asked), "the other side keeps what it has; run the same command to go on")


def receive(
    ticket: Annotated[
        str | None, Parameter(help="A ticket of a file; a code is asked for instead.")
    ] = None,
    *,
    to: Annotated[Path, Parameter(help="The folder it goes to.")] = Path(),
    yes: Annotated[bool, Parameter(negative="", help="Do not ask before it is received.")] = False,
    overwrite: Annotated[
        bool, Parameter(negative="", help="Replace files that are there.")
    ] = False,
    wait: Annotated[float, Parameter(help="Seconds to look for the sender.")] = 120.0,
    via: Via = (),
    limit: Limit = None,
    change: Change = (),
    config: Config = None,
) -> int:
    """Receive what somebody sends; asks for the code. Run it again to go on after a crash."""
    wanted = Wanted(via=via, limit_mb_s=limit, changes=change, config=config)
    asked = Receiving(
        ticket=ticket, to=to, yes=yes, overwrite=overwrite, wait_s=wait, wanted=wanted
    )
    return _run(take(asked), "what came is kept; run the same command to go on")


def _run(work: Any, afterwards: str) -> int:
    """Run it on the fastest loop there is."""
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return int(runner.run(work))
    except KeyboardInterrupt:
        note(f"  {afterwards}")
        raise
