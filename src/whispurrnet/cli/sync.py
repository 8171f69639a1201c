"""sync: a folder kept the same on several machines, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from whispurrnet.base.errors import UsageError, WhispurrError
from whispurrnet.cli.context import current
from whispurrnet.cli.errands import Wanted, settings_for, tell, via_words
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.files import Change, Config, Limit, Via
from whispurrnet.cli.flags import loop_factory, public
from whispurrnet.cli.render import clean, colour, note, say, show_json_line, size
from whispurrnet.extensions.filesync import invitation
from whispurrnet.extensions.filesync.filesync import FileSync, Status
from whispurrnet.extensions.filesync.invitation import call, invited, key_of, seek
from whispurrnet.extensions.filesync.journal import KEY_BYTES, kept_key
from whispurrnet.extensions.filesync.paths import OWN
from whispurrnet.node.node import Node
from whispurrnet.node.node import open as open_node
from whispurrnet.node.pairing import Pairing
from whispurrnet.wire import words
from whispurrnet.wire.object_ticket import ObjectTicket, Offered
from whispurrnet.wire.ticket import Ticket

VARIABLE = "WHISPURRNET_CODE"
ITEMS_SHOWN = 10


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    folder: Path
    key: bytes | None
    """The folder's key, from a ticket or kept in the folder."""
    named: tuple[str, ...]
    tickets: tuple[Ticket, ...]
    code: bool
    join: words.Code | None
    once: bool
    wanted: Wanted


def sync(
    folder: Annotated[Path, Parameter(help="The folder; nothing outside of it is touched.")],
    *,
    peers: Annotated[
        tuple[str, ...],
        Parameter(name="--with", help="The folder's ticket, a node's ticket, or a peer's id."),
    ] = (),
    code: Annotated[
        bool, Parameter(negative="", help="Give out a code of words for another machine.")
    ] = False,
    join: Annotated[
        bool, Parameter(negative="", help="Take part in a folder by its code, which is asked for.")
    ] = False,
    once: Annotated[
        bool, Parameter(negative="", help="End when the folder is the same as a peer's.")
    ] = False,
    via: Via = (),
    limit: Limit = None,
    change: Change = (),
    config: Config = None,
) -> int:
    """Keep a folder the same here and elsewhere, until Ctrl-C."""
    if not folder.is_dir():
        raise Fault("There is no such folder", str(folder), "make it first", Exit.USAGE)
    folder = folder.resolve()
    named, tickets, key = _peers(peers)
    kept = kept_key(folder)
    if key is not None and kept is not None and key != kept:
        raise Fault(
            "This folder is shared already, under another key",
            str(folder),
            f"take another folder; or delete {folder / OWN} to share it anew",
            Exit.USAGE,
        )
    asked = Asked(
        folder=folder,
        key=key or kept,
        named=named,
        tickets=tickets,
        code=code,
        join=_typed() if join else None,
        once=once,
        wanted=Wanted(via=via, limit_mb_s=limit, changes=change, config=config),
    )
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return int(runner.run(_run(asked)))


def _peers(given: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Ticket, ...], bytes | None]:
    """Ids of peers, tickets of nodes, and the key of the folder, of what stands after --with."""
    found = invited(public(given))
    return found.named, found.tickets, found.key


def _typed() -> words.Code:
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        if sys.stdin.isatty():
            print("code: ", end="", file=sys.stderr, flush=True)
        text = sys.stdin.readline(8192).strip()
    return words.parse(text)


def _offered(key: bytes, folder: Path) -> Offered:
    return invitation.offer(key, clean(folder.name))


async def _run(asked: Asked) -> int:
    objects = asked.folder / OWN / "objects"
    objects.parent.mkdir(mode=0o700, exist_ok=True)
    async with open_node(settings_for(asked.wanted, objects)) as node:
        key, known = asked.key, list(asked.named)
        if asked.join is not None:
            met = await Pairing(node).join(asked.join)
            offered = Offered.unpack(met.payload)
            key = key_of(offered)
            if key is None:
                raise UsageError("the code is not one of a shared folder; see `whispurr receive`")
        if key is None and not known and not asked.tickets:
            key = secrets.token_bytes(KEY_BYTES)
        extension = FileSync(asked.folder, named=known, key=key)
        async with extension.on(node):
            with _stopped() as stopped:
                return await _serve(node, extension, asked, stopped)


async def _serve(node: Node, extension: FileSync, asked: Asked, stopped: asyncio.Event) -> int:
    key = extension.key
    tasks: list[asyncio.Task[None]] = [
        node.spawn(call(node, extension, asked.tickets, admit=key is None, failed=_missed))
    ]
    if key is not None:
        await _say_how(node, key, asked)
        tasks.append(node.spawn(seek(node, extension, key)))
    watching = node.spawn(_watch(extension, asked, stopped))
    try:
        await stopped.wait()
    finally:
        for task in (*tasks, watching):
            task.cancel()
    status = extension.status()
    if status.trouble:
        raise Fault("The folder cannot be kept in step", status.trouble, "", Exit.FAILED)
    return Exit.FAILED if asked.once and status.items else Exit.DONE


def _missed(why: str) -> None:
    note(f"  {clean(why)}")


async def _say_how(node: Node, key: bytes, asked: Asked) -> None:
    """Print the other side's command."""
    offered = _offered(key, asked.folder)
    ticket = ObjectTicket(offered, node.ticket).text
    via = via_words(asked.wanted.via)
    said: dict[str, object] = {"folder": str(asked.folder), "ticket": ticket}
    if asked.code:
        offer = await Pairing(node).offer(offered.pack())
        said["code"] = offer.code.text
    if current.json:
        show_json_line({"type": "sharing", **said})
        return
    say(f"{colour('●', 'green')} {clean(asked.folder.name)} is kept in step, until Ctrl-C")
    if asked.code:
        say(f"  code:   {colour(str(said['code']), 'bold')}   (for one try)")
        say(f"  there:  whispurr sync FOLDER --join{via}")
        return
    say(f"  there:  whispurr sync FOLDER --with {ticket}{via}")
    note("  whoever has this ticket can read and change the folder")


async def _watch(extension: FileSync, asked: Asked, stopped: asyncio.Event) -> None:
    """Say what has changed, until it is done."""
    last = ""
    async for status in extension.changes():
        text = "\n".join(lines(status))
        if text != last:
            last = text
            if current.json:
                show_json_line({"type": "status", **msgspec.to_builtins(status)})
            else:
                say(text)
        if status.trouble:
            break
        if asked.once and status.peers:
            with contextlib.suppress(TimeoutError, WhispurrError):
                await extension.settled(timeout_s=1.0)
                break
            waiting = [item for item in extension.status().items if not _ends(item.reason)]
            if status.items and not waiting:
                break
    if not extension.status().trouble:
        done = extension.status()
        tell("done", "\n".join(lines(done)) if "\n".join(lines(done)) != last else "")
    stopped.set()


def _ends(reason: str) -> bool:
    """Whether nothing will change by waiting."""
    return "rename" in reason or "link" in reason or "cannot be had everywhere" in reason


def lines(status: Status) -> list[str]:
    """How the folder is, for people: the verdict first."""
    totals = status.totals
    what = f"{totals.files} files, {size(totals.bytes)}"
    if status.trouble:
        found = [f"{colour('✗', 'red')} {clean(status.trouble)}"]
    elif not status.peers:
        found = [f"{colour('…', 'yellow')} waiting for somebody else; {what} here"]
    elif totals.wanted or totals.behind:
        parts = []
        if totals.wanted:
            parts.append(f"{totals.wanted} to change here ({size(totals.wanted_bytes)})")
        if totals.behind:
            parts.append(f"{totals.behind} to change elsewhere")
        found = [f"{colour('↕', 'yellow')} {what}: {', '.join(parts)}"]
    else:
        names = ", ".join(clean(name) for name in status.peers)
        found = [f"{colour('✓', 'green')} {what}, the same as with {names}"]
    for item in status.items[:ITEMS_SHOWN]:
        found.append(f"    {clean(item.path)}: {clean(item.here)}; {clean(item.there)}")
        found.append(f"      {clean(item.reason)}")
    if len(status.items) > ITEMS_SHOWN:
        found.append(f"    and {len(status.items) - ITEMS_SHOWN} more")
    if totals.kept:
        found.append(f"    {totals.kept} kept of conflicts: look for `.conflict-` in names")
    found += [f"    {clean(why)}" for why in status.refused]
    found += [f"    {clean(why)}" for why in status.notes]
    return found


@contextlib.contextmanager
def _stopped() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C sets."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in numbers:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
