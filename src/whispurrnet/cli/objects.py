"""objects: what is kept, named by what it is: add, get, list, pin, unpin, gc, share.

These commands open the folder of objects themselves, with the rights of who calls them: a path is
never given to a node that may run for somebody else. While a node uses the folder, they say so.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from whispurrnet.base.errors import UsageError
from whispurrnet.cli.context import current
from whispurrnet.cli.errands import Wanted, bar, from_thread, settings_for
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.flags import loop_factory
from whispurrnet.cli.render import note, say, show_json, size, table
from whispurrnet.cli.sealing import SEALED, add_sealed, check_sealing, refuse_keys, write
from whispurrnet.cli.secret_key import OBJECT_VARIABLE, object_key
from whispurrnet.cli.sending import Sending, serve_ticket
from whispurrnet.node.handover import Handover, State
from whispurrnet.node.holdings import ObjectInfo
from whispurrnet.node.node import Node
from whispurrnet.node.node import open as open_node
from whispurrnet.node.seeking import reached
from whispurrnet.node.settings import Settings, find_file
from whispurrnet.store.names import check, normal
from whispurrnet.wire.ids import parse_object_id
from whispurrnet.wire.object_ticket import ObjectTicket, Offered, is_object_ticket

Folder = Annotated[
    Path | None,
    Parameter(name="--in", help="The folder of objects; usually `objects.folder`, or your own."),
]
Oid = Annotated[str, Parameter(name="OBJECT", help="Its id, or the beginning of it.")]
Via = Annotated[tuple[str, ...], Parameter(help="Tickets of meeting places.")]
Change = Annotated[tuple[str, ...], Parameter(name="--set", help="Any setting.")]

ID_CHARS = 64
START_CHARS_MIN = 4
"""Fewer characters of an id say nothing."""

LISTED_MAX = 1_000_000
PAGE = 1000


def folder_of(given: Path | None) -> Path:
    """The folder that is meant."""
    if given is not None:
        return given
    from whispurrnet.cli.flags import environment

    settings, _ = Settings.load(find_file(), environment(()))
    if settings.objects.folder:
        return Path(settings.objects.folder).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("whispurrnet", appauthor=False)) / "objects"


@asynccontextmanager
async def _alone(folder: Path) -> AsyncGenerator[Node]:
    """A node that speaks to nobody, for its objects."""
    quiet: dict[str, Any] = {
        "listen": (),
        "lan": {"enabled": False},
        "gateway": {"enabled": False},
        "objects": {"folder": str(folder)},
    }
    async with open_node(**quiet) as node:
        for line in node.objects.notes:
            note(f"  {line}")
        yield node


def _run(work: Coroutine[Any, Any, int]) -> int:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work)


async def _all(node: Node) -> list[ObjectInfo]:
    found: list[ObjectInfo] = []
    while len(found) < LISTED_MAX:
        page = await node.objects.list(after=found[-1].oid if found else "", limit=PAGE)
        found += page
        if len(page) < PAGE:
            break
    return found


async def _whole(node: Node, start: str) -> str:
    """The id that begins so.

    Raises:
        UsageError: There is none, or more than one.
    """
    text = start.strip().lower()
    if len(text) == ID_CHARS:
        return parse_object_id(text).hex()
    found = [info.oid for info in await _all(node) if info.oid.startswith(text)]
    if len(text) < START_CHARS_MIN or len(found) != 1:
        which = "none" if not found else f"{len(found)}"
        raise UsageError(f"{which} of the objects begin with {text[:20]!r}; give more of the id")
    return found[0]


def _lines(infos: list[ObjectInfo]) -> list[str]:
    rows = [
        (
            info.oid[:16],
            size(info.size),
            "folder" if info.collection else "sealed" if info.mode == SEALED else "file",
            "whole" if info.complete else "in part",
            "pinned" if info.pinned else "",
            "where it was" if info.reference else "here",
            time.strftime("%Y-%m-%d %H:%M", time.localtime(info.added_ms / 1000)),
        )
        for info in infos
    ]
    return table(("object", "size", "what", "state", "kept", "bytes are", "since"), rows)


def add(
    *paths: Annotated[Path, Parameter(help="Files and folders.")],
    copy: Annotated[
        bool, Parameter(negative="", help="Copy them; otherwise they must stay as they are.")
    ] = False,
    cdc: Annotated[
        bool, Parameter(negative="", help="Cut by content: versions share what is the same.")
    ] = False,
    public: Annotated[
        bool, Parameter(negative="", help="It is no secret, and may be packed on its way.")
    ] = False,
    sealed: Annotated[
        bool, Parameter(negative="", help="Encrypt them; each gets a key, which is told once.")
    ] = False,
    key_file: Annotated[
        Path | None, Parameter(help="Write the key of the sealed object there; new.")
    ] = None,
    folder: Folder = None,
) -> int:
    """Keep files and folders, pinned, under the ids of what they are."""
    if not paths:
        raise Fault("There is nothing to add", "", "whispurr objects add FILE...", Exit.USAGE)
    if sealed or key_file is not None:
        check_sealing(paths, key_file, sealed=sealed, open_mode=cdc or public)

    async def work() -> int:
        if sealed:
            async with _alone(folder_of(folder)) as node:
                return await add_sealed(node, paths, key_file)
        added: list[ObjectInfo] = []
        async with _alone(folder_of(folder)) as node:
            for path in paths:
                with bar("reading", path.name, lines=False) as shown:
                    told = from_thread(shown, 0)
                    more = {"copy": copy, "public": public, "progress": told}
                    added.append(await _add(node, path.resolve(), more, cdc=cdc))
        if current.json:
            show_json(added)
        else:
            for path, info in zip(paths, added, strict=True):
                say(f"{info.oid}  {size(info.size)}  {path}")
        return Exit.DONE

    return _run(work())


async def _add(node: Node, path: Path, more: dict[str, Any], *, cdc: bool) -> ObjectInfo:
    if os.path.isdir(path):  # noqa: ASYNC240 - nobody else runs in this loop
        return await node.objects.add_folder(path, **more)
    return await node.objects.add(path, mode="cdc" if cdc else "fixed", **more)


def get(
    what: Annotated[str, Parameter(name="OBJECT", help="An id that is here, or a ticket.")],
    *more: Annotated[str, Parameter(show=False)],
    to: Annotated[Path | None, Parameter(help="The file or folder to write.")] = None,
    overwrite: Annotated[bool, Parameter(negative="", help="Replace files.")] = False,
    sealed: Annotated[
        bool, Parameter(negative="", help=f"Open it by its key: asked for, or {OBJECT_VARIABLE}.")
    ] = False,
    key_file: Annotated[
        Path | None, Parameter(allow_leading_hyphen=True, help="Holds the key; - asks for it.")
    ] = None,
    key: Annotated[str | None, Parameter(show=False)] = None,
    folder: Folder = None,
    via: Via = (),
    change: Change = (),
) -> int:
    """Write an object to a file or a folder; one of a ticket is fetched first, and kept."""
    refuse_keys(*more, key or "", str(key_file or ""), given=key is not None)
    if more:
        cure = "whispurr objects get OBJECT --to PATH"
        raise Fault("One object is written at a time", f"{more[0]!r} is too much", cure, Exit.USAGE)
    if key_file is not None and not sealed:
        raise Fault("--key-file goes with --sealed", "", "say --sealed, too", Exit.USAGE)
    opening = object_key(key_file) if sealed else None

    async def work() -> int:
        place = folder_of(folder)
        if is_object_ticket(what):
            ticket = ObjectTicket.parse(what)
            return await _fetch(ticket, place, to, overwrite, via, change, opening)
        async with _alone(place) as node:
            oid = await _whole(node, what)
            target = to or Path(oid[:16])
            count = await write(node, oid, target, overwrite=overwrite, key=opening)
        return _written(oid, target, count)

    return _run(work())


async def _fetch(
    ticket: ObjectTicket,
    place: Path,
    to: Path | None,
    overwrite: bool,
    via: tuple[str, ...],
    change: tuple[str, ...],
    key: bytes | None,
) -> int:
    offered = ticket.offered
    if key is not None and to is None:
        to = Path(check(offered.label))
    async with open_node(settings_for(Wanted(via=via, changes=change), place)) as node:
        peer = await reached(node, ticket.node)
        with bar("receiving", offered.label, lines=False) as shown:

            def show(state: State) -> None:
                shown(state.verified, state.total, rate_bps=state.rate_bps, waits=state.waits)

            sources = [] if peer is None else [peer]
            taking = await Handover(node).take(offered, sources, told=show)
        oid = offered.root.hex()
        await node.objects.pin(oid)
        target, count = to or Path(check(offered.label)), 0
        if to is not None:
            count = await write(node, oid, target, overwrite=overwrite, key=key)
        await taking.arrived()
    if to is None:
        if current.json:
            show_json({"oid": oid})
        else:
            say(f"{oid}  {size(offered.size)}  is kept")
            note(f"  next: whispurr objects get {oid[:16]} --to PATH")
        return Exit.DONE
    return _written(oid, target, count)


def _written(oid: str, target: Path, count: int) -> int:
    if current.json:
        show_json({"oid": oid, "path": str(target), "files": count})
    else:
        say(f"{target}: {count} file{'s' * (count != 1)}")
    return Exit.DONE


def listed(*, folder: Folder = None) -> int:
    """What is kept, and how much room it takes."""

    async def work() -> int:
        async with _alone(folder_of(folder)) as node:
            infos, room = await _all(node), await node.objects.metrics()
        if current.json:
            show_json({"objects": infos, "storage": room})
            return Exit.DONE
        if not infos:
            say("nothing yet; whispurr objects add FILE")
            return Exit.DONE
        for line in _lines(infos):
            say(line)
        say(f"  {len(infos)} objects, {size(room.bytes)}")
        return Exit.DONE

    return _run(work())


def pin(what: Oid, *, folder: Folder = None) -> int:
    """Keep an object, and what it names, until it is unpinned."""
    return _run(_pinned(what, folder, keep=True))


def unpin(what: Oid, *, folder: Folder = None) -> int:
    """Do not keep an object any more; it goes with the next gc."""
    return _run(_pinned(what, folder, keep=False))


async def _pinned(what: str, folder: Path | None, *, keep: bool) -> int:
    async with _alone(folder_of(folder)) as node:
        oid = (await node.objects.info(await _whole(node, what))).oid
        await (node.objects.pin(oid) if keep else node.objects.unpin(oid))
    if current.json:
        show_json({"oid": oid, "pinned": keep})
    else:
        say(f"{oid[:16]} is {'kept' if keep else 'not kept any more'}")
    return Exit.DONE


def gc(*, folder: Folder = None) -> int:
    """Remove what nobody keeps and nobody has used for an hour."""

    async def work() -> int:
        async with _alone(folder_of(folder)) as node:
            report = await node.objects.gc()
        if current.json:
            show_json(report)
        else:
            say(", ".join(f"{name} {value}" for name, value in msgspec.to_builtins(report).items()))
        return Exit.DONE

    return _run(work())


def share(
    what: Oid,
    *,
    label: Annotated[str, Parameter(help="What to call it there.")] = "",
    show_qr: Annotated[bool, Parameter(name="--qr", negative="", help="As a QR code.")] = False,
    folder: Folder = None,
    via: Via = (),
    change: Change = (),
) -> int:
    """Print a ticket for an object, and serve it until Ctrl-C."""

    async def work() -> int:
        place = folder_of(folder)
        wanted = Wanted(via=via, changes=change)
        asked = Sending(paths=(), ticket=True, qr=show_qr, wanted=wanted)
        async with open_node(settings_for(wanted, place)) as node:
            info = await node.objects.info(await _whole(node, what))
            cap = node.objects.share(info.oid)
            called = check(normal(label or info.oid[:16]))
            root = parse_object_id(info.oid)
            offered = Offered(root, cap, called, info.size, info.collection)
            await serve_ticket(node, offered, asked)
        return Exit.DONE

    return _run(work())
