"""The giving end of `whispurr send`: a node that offers files until who takes them has them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from pathlib import Path

import msgspec

from whispurrnet.base.errors import UsageError
from whispurrnet.cli.context import current
from whispurrnet.cli.errands import (
    Bar,
    Wanted,
    bar,
    from_thread,
    settings_for,
    state_folder,
    tell,
    via_words,
)
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import clean, colour, note, qr, say, size, span
from whispurrnet.disk.errand import Errand, Kept, claim, waiting
from whispurrnet.node.handover import Giving, Handover
from whispurrnet.node.node import Node
from whispurrnet.node.node import open as open_node
from whispurrnet.node.pairing import Offer, Pairing
from whispurrnet.store.names import check, check_all, normal
from whispurrnet.wire.ids import parse_object_id
from whispurrnet.wire.object_ticket import ObjectTicket, Offered

PLACE_S = 3.0
"""How long to wait for a meeting place before a code is made all the same."""

FORGOTTEN_S = 7 * 86_400
"""What was not gone on with for so long is forgotten, and how long a ticket may be good."""


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    paths: tuple[Path, ...]
    ticket: bool = False
    qr: bool = False
    words: int = 2
    keep: bool = False
    new: bool = False
    wanted: Wanted


async def send(asked: Sending) -> int:
    """Offer files until they have arrived.

    Raises:
        Fault: A path cannot be sent.
        WhispurrError: It did not work; says why.
    """
    paths = _checked(asked.paths)
    base = state_folder("sending")
    _forget_old(base)
    told = "\0".join(str(path) for path in paths).encode("utf-8", "surrogateescape")
    errand = claim(base, hashlib.sha256(told).hexdigest()[:32])
    kept = errand.read()
    finished = False
    try:
        life_s = float(FORGOTTEN_S) if asked.ticket else None
        wanted = msgspec.structs.replace(asked.wanted, life_s=life_s)
        async with open_node(settings_for(wanted, errand.objects)) as node:
            size_of, root, collection = await _add(node, paths)
            offered, met = _offer(node, kept, root, _label(paths), size_of, collection, asked)
            made = Kept(offered=offered.pack(), made_s=int(time.time()), met=met)
            errand.write(made)
            await _serve(node, offered, errand, made, asked)
        finished = True
    finally:
        kept = errand.read()
        if finished or kept is None or not (kept.met or asked.ticket):
            errand.done()  # nobody has what would let him go on
        else:
            errand.release()
    return Exit.DONE


def _checked(given: tuple[Path, ...]) -> tuple[Path, ...]:
    """The paths, absolute; nothing is asked of who does not know what it sends."""
    for path in given:
        if not path.exists():
            raise Fault("There is nothing to send", f"{path} does not exist", "", Exit.USAGE)
    paths = tuple(path.resolve() for path in given)
    try:
        check_all(normal(path.name) for path in paths)
    except UsageError as error:
        cause = str(error)
        raise Fault("That name cannot be sent", cause, "rename it", Exit.USAGE) from error
    return paths


def _label(paths: tuple[Path, ...]) -> str:
    return check(normal(paths[0].name)) if len(paths) == 1 else f"{len(paths)} files"


def _forget_old(base: Path) -> None:
    for errand in waiting(base):
        kept = errand.read()
        if kept is None or kept.made_s + FORGOTTEN_S < time.time():
            errand.done()
        else:
            errand.release()


async def _add(node: Node, paths: tuple[Path, ...]) -> tuple[int, str, bool]:
    """Read what is sent; its size, its id, and whether it is a collection."""
    total, named = 0, dict[str, str]()
    for path in paths:
        label, done = normal(path.name), [0]
        with bar("reading", label) as shown:

            def tally(so_far: int, done: list[int] = done, shown: Bar = shown) -> None:
                done[0] = max(done[0], so_far)
                from_thread(shown, 0)(so_far)

            add = node.objects.add_folder if path.is_dir() else node.objects.add
            info = await add(path, progress=tally)
        named[label] = info.oid
        total += done[0] if path.is_dir() else info.size
    if len(paths) == 1:
        return total, named[normal(paths[0].name)], paths[0].is_dir()
    return total, (await node.objects.wrap(named)).oid, True


def _offer(
    node: Node,
    kept: Kept | None,
    root: str,
    label: str,
    size_of: int,
    collection: bool,
    asked: Sending,
) -> tuple[Offered, bool]:
    """What is offered; the same as before if it was begun before and has not changed."""
    if kept is not None and not asked.new:
        with contextlib.suppress(UsageError):
            before = Offered.unpack(kept.offered)
            if before.root.hex() == root and before.cap is not None:
                node.objects.adopt(root, before.cap)
                return before, kept.met and not asked.ticket
        note("  what was begun before is not the same any more; this is a new offer")
    cap = node.objects.share(root)
    return Offered(parse_object_id(root), cap, label, size_of, collection), False


async def _serve(node: Node, offered: Offered, errand: Errand, kept: Kept, asked: Sending) -> None:
    handover = Handover(node)
    giving = handover.give(offered)
    offer: Offer | None = None
    if kept.met:
        _say_resumed(offered, asked)
    elif asked.ticket:
        _say_ticket(node, offered, asked)
    else:
        await _at_a_place(node, asked)
        offer = await Pairing(node).offer(offered.pack(), count=asked.words)
        _say_code(offered, offer, asked)
        met = await offer.met()
        kept = msgspec.structs.replace(kept, met=True)
        errand.write(kept)
        tell("met", f"{colour('●', 'green')} met {met.peer.name}", peer=met.peer.name)
    await _watch(giving, offered, offer, asked)


async def _at_a_place(node: Node, asked: Sending) -> None:
    """Wait a little for a place that was named: only there is told which codes are taken."""
    if not asked.wanted.via:
        return
    with contextlib.closing(node.events()) as feed, contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PLACE_S):
            while not node.meeting_places:
                await anext(feed)


async def serve_ticket(node: Node, offered: Offered, asked: Sending) -> None:
    """Print the ticket of an object that is shared, and serve it for ever."""
    giving = Handover(node).give(offered)
    _say_ticket(node, offered, asked)
    await _watch(giving, offered, None, asked)


async def _watch(giving: Giving, offered: Offered, offer: Offer | None, asked: Sending) -> None:
    """Show how far those are who take it, until one has it, or for ever."""
    with contextlib.closing(giving.news()) as news:
        while True:
            with bar("sending", offered.label) as shown:
                started, before = time.monotonic(), -1
                async for got in news:
                    if offer is not None:
                        offer.settle()
                    if before < 0:
                        started, before = time.monotonic(), got.verified
                    passed_s = max(0.5, time.monotonic() - started)
                    shown(got.verified, got.total, rate_bps=(got.verified - before) / passed_s)
                    if got.arrived:
                        break
                else:
                    return
            tell(
                "arrived",
                f"{colour('✓', 'green')} {clean(offered.label)} has arrived at {got.peer.name}",
                peer=got.peer.name,
                bytes=got.total,
            )
            if not (asked.keep or asked.ticket):
                await asyncio.sleep(0.2)  # let the answer to the last question leave
                return


# What is said


def _say_what(offered: Offered) -> None:
    say(f"{colour('●', 'green')} {clean(offered.label)}, {size(offered.size)}")


def _say_code(offered: Offered, offer: Offer, asked: Sending) -> None:
    command = f"whispurr receive{via_words(asked.wanted.via)}"
    good_s = offer.good_for_s
    if current.json:
        tell(
            "offer",
            "",
            code=offer.code.text,
            command=command,
            name=offered.label,
            size=offered.size,
            oid=offered.root.hex(),
            expires_s=round(good_s),
        )
        return
    _say_what(offered)
    say(f"  code:   {colour(offer.code.text, 'bold')}   (for {span(good_s)}, for one try)")
    say(f"  there:  {command}")
    note("  and type the code; both have to be on one network, or name a place with --via")


def _say_ticket(node: Node, offered: Offered, asked: Sending) -> None:
    ticket = ObjectTicket(offered, node.ticket)
    command = f"whispurr receive {ticket.text}{via_words(asked.wanted.via)}"
    if current.json:
        tell(
            "offer",
            "",
            ticket=ticket.text,
            command=command,
            name=offered.label,
            size=offered.size,
            oid=offered.root.hex(),
        )
        return
    _say_what(offered)
    say(f"  there:  {command}")
    if asked.qr:
        for line in qr(ticket.text):
            say(f"  {line}")
    note("  good while this runs; whoever has the ticket can have the files")


def _say_resumed(offered: Offered, asked: Sending) -> None:
    if current.json:
        tell("resumed", "", name=offered.label, size=offered.size, oid=offered.root.hex())
        return
    _say_what(offered)
    say("  going on with who has begun to receive it; no new code is needed")
    note(f"  there, if it stopped:  whispurr receive{via_words(asked.wanted.via)}")
    note("  for somebody else:     whispurr send --new")
