"""The taking end of `whispurr receive`: from a code or a ticket to files in a folder."""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path

import msgspec

from whispurrnet.base.errors import UsageError
from whispurrnet.cli.context import current
from whispurrnet.cli.errands import Wanted, ask, asks, bar, from_thread, settings_for, tell
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import clean, colour, note, size, span
from whispurrnet.disk.errand import Errand, Kept, claim, waiting
from whispurrnet.extensions.filesync.invitation import key_of
from whispurrnet.node.handover import Handover, State
from whispurrnet.node.node import Node
from whispurrnet.node.node import open as open_node
from whispurrnet.node.pairing import Pairing
from whispurrnet.node.peer import Peer
from whispurrnet.node.seeking import reached
from whispurrnet.store.names import check
from whispurrnet.wire import words
from whispurrnet.wire.object_ticket import ObjectTicket, Offered, is_object_ticket
from whispurrnet.wire.ticket import PREFIX as NODE_PREFIX
from whispurrnet.wire.ticket import Ticket
from whispurrnet.wire.words import Code

VARIABLE = "WHISPURRNET_CODE"
FOLDER = ".whispurr-receive"
"""Where what has not come whole is kept: beside where it goes, on the same disk."""

TYPED_MAX = 5
"""How often a code may be typed wrong before the prompt gives up; nobody was asked by then."""


class Receiving(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    ticket: str | None = None
    to: Path
    yes: bool = False
    overwrite: bool = False
    wait_s: float = 120.0
    wanted: Wanted


class Begun(msgspec.Struct, frozen=True):
    """What is to be received."""

    errand: Errand
    code: Code | None = None
    """To be tried first, if what is offered is not known yet."""
    ticket: ObjectTicket | None = None
    kept: Kept | None = None


async def receive(asked: Receiving) -> int:
    """Receive what a code or a ticket stands for, or go on with what was begun.

    Raises:
        Fault: It cannot be received; says why.
        WhispurrError: It did not work; says why.
    """
    if not asked.to.is_dir():
        raise Fault("There is no such folder", str(asked.to), "make it first", Exit.USAGE)
    begun = choose(asked)
    errand, finished = begun.errand, False
    try:
        async with open_node(settings_for(asked.wanted, errand.objects)) as node:
            finished = await _receive(node, begun, asked)
    finally:
        if finished or errand.read() is None:
            errand.done()
        else:
            errand.release()
    return Exit.DONE if finished else Exit.FAILED


async def _receive(node: Node, begun: Begun, asked: Receiving) -> bool:
    """Whether it is done with: received, or not wanted."""
    offered, sources, kept = await _agree(node, begun, asked)
    target = _target(asked.to, offered)
    if begun.code is not None:
        begun.errand.write(kept)  # the code is used: from here on this is what opens it
    replace = asked.overwrite
    if not kept.placing:
        replace = _may_replace(target, asked)
        if begun.kept is None and not ask(_question(offered, target), yes=asked.yes):
            tell("refused", "nothing was received")
            return True
    begun.errand.write(kept)
    started = time.monotonic()
    with bar("receiving", offered.label) as shown:

        def show(state: State) -> None:
            shown(
                state.verified,
                state.total,
                rate_bps=state.rate_bps,
                waits=state.waits,
                sources=state.sources,
            )

        taking = await Handover(node).take(offered, sources, told=show)
    begun.errand.write(msgspec.structs.replace(kept, placing=True))
    await _place(node, offered, target, replace=replace, placing=kept.placing)
    passed_s = time.monotonic() - started
    told = await taking.arrived()
    tell(
        "received",
        f"{colour('✓', 'green')} {clean(offered.label)}, {size(offered.size)} in {span(passed_s)}: "
        f"{target}",
        path=str(target),
        oid=offered.root.hex(),
        bytes=offered.size,
        told=told,
    )
    return True


async def _agree(node: Node, begun: Begun, asked: Receiving) -> tuple[Offered, list[Peer], Kept]:
    """What is offered, who has it, and what to remember of it."""
    if begun.code is not None:
        said = {"looking": "looking for the sender", "pairing": "found somebody; checking the code"}
        shown: dict[str, None] = {}

        def told(what: str) -> None:
            if what not in shown and not current.json:
                shown[what] = None
                note(f"  {said[what]}")

        met = await Pairing(node).join(begun.code, timeout_s=asked.wait_s, told=told)
        offered = _no_folder_in_step(Offered.unpack(met.payload))
        tell("met", f"{colour('●', 'green')} met {met.peer.name}", peer=met.peer.name)
        kept = Kept(offered=met.payload, made_s=int(time.time()), met=True)
        return offered, [met.peer], kept
    ticket: Ticket | None = None
    if begun.kept is not None:
        kept, offered = begun.kept, Offered.unpack(begun.kept.offered)
        ticket = Ticket.parse(kept.ticket) if kept.ticket else None
    else:
        assert begun.ticket is not None
        offered, ticket = begun.ticket.offered, begun.ticket.node
        packed = offered.pack()
        kept = Kept(offered=packed, made_s=int(time.time()), met=True, ticket=ticket.text)
    peer = await reached(node, ticket) if ticket is not None else None
    return offered, [peer] if peer is not None else [], kept


async def _place(
    node: Node, offered: Offered, target: Path, *, replace: bool, placing: bool
) -> None:
    """Put what came where it belongs; what a former try has put there already stays."""
    oid = offered.root.hex()
    if placing and not offered.collection and _is_file(target):
        there = await node.objects.add(target, pin=False)
        if there.oid == oid:
            return
    with bar("placing", offered.label) as shown:
        await node.objects.export(
            oid,
            target,
            overwrite=replace or (placing and offered.collection),
            move=True,
            collection=offered.collection,
            progress=from_thread(shown, offered.size),
        )


def _is_file(target: Path) -> bool:
    return target.is_file() and not target.is_symlink()


def _target(folder: Path, offered: Offered) -> Path:
    try:
        return folder / check(offered.label)
    except UsageError as error:
        raise Fault(
            "The sender gave it a name that cannot be",
            str(error),
            "ask the sender to rename it",
            Exit.NOT_AUTHENTIC,
        ) from error


def _may_replace(target: Path, asked: Receiving) -> bool:
    """Whether what is there may be replaced: only if somebody said so."""
    if asked.overwrite or not os.path.lexists(target):
        return asked.overwrite
    question = f"{target} is there already; replace it?"
    if not asked.yes and asks() and ask(question, yes=False, usual=False):
        return True
    raise Fault(
        "Nothing is overwritten unless you say so",
        f"{target} is there already",
        "move it away, or say --overwrite, and run the same command again",
        Exit.USAGE,
    )


def _question(offered: Offered, target: Path) -> str:
    what = "folder" if offered.collection else "file"
    return f"receive the {what} {clean(offered.label)}, {size(offered.size)}, as {target}?"


# What to receive


def choose(asked: Receiving) -> Begun:
    """Find out what to receive: what was named, what was begun, or what is typed.

    Raises:
        Fault: It is nothing that can be received.
    """
    base = asked.to.resolve() / FOLDER
    if asked.ticket is not None:
        return _from_argument(asked.ticket, base)
    text = os.environ.get(VARIABLE, "").strip()
    typed = not text and sys.stdin.isatty()
    if not text and not typed:
        text = sys.stdin.readline(8192).strip()
    if not text:
        begun = _begun_before(base, asked)
        if begun is not None:
            return begun
    if typed:
        return _typed(base)
    if not text:
        raise Fault(
            "No code was given",
            "",
            f"type it when `whispurr receive` asks for it, or set {VARIABLE}",
            Exit.USAGE,
        )
    return _from_text(text, base)


def _from_argument(text: str, base: Path) -> Begun:
    if not is_object_ticket(text) and not text.strip().upper().startswith(NODE_PREFIX):
        raise Fault(
            "A code is a secret, and every user of this machine sees arguments",
            "it was given on the command line; a ticket may be, a code may not",
            f"type `whispurr receive` and then the code, or set {VARIABLE}; if anybody may have "
            "seen it, ask for a new one",
            Exit.USAGE,
        )
    return _from_text(text, base)


def _from_text(text: str, base: Path) -> Begun:
    if text.strip().upper().startswith(NODE_PREFIX):
        raise Fault(
            "That is the ticket of a node, not of a file",
            "",
            "connect to it with `whispurr join`; for a file ask for `whispurr send --ticket`",
            Exit.USAGE,
        )
    if not is_object_ticket(text):
        code = words.parse(text)
        return Begun(claim(base, secrets.token_hex(8)), code=code)
    ticket = ObjectTicket.parse(text)
    _no_folder_in_step(ticket.offered)
    errand = claim(base, ticket.offered.root.hex()[:32])
    return Begun(errand, ticket=ticket, kept=errand.read())


def _no_folder_in_step(offered: Offered) -> Offered:
    """What is offered, if it can be received: nobody has a folder of `whispurr sync` as files."""
    if key_of(offered) is not None:
        raise Fault(
            "That is a folder to keep in step, not one to receive",
            "it was made by `whispurr sync`",
            "whispurr sync FOLDER --with TICKET, or with a new code whispurr sync FOLDER --join",
            Exit.USAGE,
        )
    return offered


def _begun_before(base: Path, asked: Receiving) -> Begun | None:
    """What was begun here and not finished, if the person wants to go on with it."""
    found: Begun | None = None
    for errand in waiting(base):
        kept = errand.read()
        if found is None and kept is not None:
            try:
                offered = Offered.unpack(kept.offered)
            except UsageError:
                errand.release()
                continue
            question = f"go on receiving {offered.label}, {size(offered.size)}?"
            if ask(question, yes=asked.yes):
                tell("resumed", f"  going on with {clean(offered.label)}", name=offered.label)
                found = Begun(errand, kept=kept)
                continue
        errand.release()
    return found


def _typed(base: Path) -> Begun:
    """Ask for the code; words are completed with Tab, and a wrong one is noticed here."""
    try:
        import readline
    except ImportError:  # not on every system
        pass
    else:
        readline.set_completer_delims("")
        readline.set_completer(lambda text, n: [*words.complete(text), None][n])
        readline.parse_and_bind("tab: complete")
    for _ in range(TYPED_MAX):
        try:
            return _from_text(input("code: "), base)
        except EOFError:
            break
        except UsageError as error:
            note(f"  {clean(str(error))}")
    raise Fault("No code was given", "", "ask the sender to spell it", Exit.USAGE)
