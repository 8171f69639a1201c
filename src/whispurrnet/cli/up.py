"""up: a node with its gateway, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from whispurrnet.base import log
from whispurrnet.cli import running
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit
from whispurrnet.cli.flags import environment, loop_factory, public
from whispurrnet.cli.ports import gateway_port, mesh_addresses
from whispurrnet.cli.render import DASH, clean, colour, note, qr, say, show_json_line, span
from whispurrnet.gateway.server import Gateway
from whispurrnet.node.node import open as open_node
from whispurrnet.node.settings import Settings, find_file
from whispurrnet.wire.address import parse

if TYPE_CHECKING:
    from whispurrnet.extensions.filesync.keeper import Keeper
    from whispurrnet.node.node import Node

_QR_COLUMNS = 60


def up(
    *,
    port: Annotated[int | None, Parameter(help="For REST and WebSocket; 0 any.")] = None,
    host: Annotated[str | None, Parameter(help="The address to bind it to.")] = None,
    listen: Annotated[
        tuple[str, ...], Parameter(help="Where peers call, such as /ip4/0.0.0.0/tcp/9000.")
    ] = (),
    bootstrap: Annotated[
        tuple[str, ...], Parameter(help="Tickets or addresses to connect to at the start.")
    ] = (),
    profile: Annotated[
        Literal["mesh", "synaptic", "chum", "device"] | None, Parameter(help="A set of defaults.")
    ] = None,
    level: Annotated[Literal[1, 3, 5] | None, Parameter(help="The security level.")] = None,
    lan: Annotated[bool | None, Parameter(help="Be found on the local network.")] = None,
    change: Annotated[
        tuple[str, ...],
        Parameter(name="--set", help="Any setting, such as max_peers=10."),
    ] = (),
    config: Annotated[
        Path | None, Parameter(env_var="WHISPURRNET_CONFIG", help="Another settings file.")
    ] = None,
    show_qr: Annotated[
        bool, Parameter(name="--qr", help="Show the ticket as a QR code, on a terminal.")
    ] = True,
) -> int:
    """Start a node and keep it running until Ctrl-C.

    Everything has a default: an ephemeral identity, nothing on disk, found on the local network.
    """
    flags: dict[str, Any] = {
        "port": port,
        "host": host,
        "listen": listen or None,
        "bootstrap": public(bootstrap) or None,
        "profile": profile,
        "session.level": level,
        "lan.enabled": lan,
    }
    settings, origins = Settings.load(config or find_file(), environment(change), flags)
    log.show(settings.log.level)
    bound = gateway_port(settings, origins) if settings.gateway.enabled else None
    settings = settings.replace(listen=mesh_addresses(settings, origins))
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings, origins, bound, show_qr=show_qr))
    return Exit.DONE


async def _serve(
    settings: Settings, origins: Mapping[str, str], bound: socket.socket | None, *, show_qr: bool
) -> None:
    stopped = asyncio.Event()
    on_signals(stopped)
    async with open_node(settings) as node, contextlib.AsyncExitStack() as life:
        kept = await _keep(node, settings, life)
        gateway = (
            Gateway(node, settings, origins=origins, bound=bound, keepers=kept) if bound else None
        )
        place: Path | None = None
        try:
            if gateway is not None:
                await gateway.start()
                place = running.announce(gateway.port)
            port = gateway.port if gateway else 0
            _greet(node, settings, port, show_qr=show_qr)
            if not current.json:
                for keeper in kept:
                    say(f"  folder:   {_kept(keeper)}")
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(_tell(node))
                await stopped.wait()
                telling.cancel()
            note("  saying goodbye")
        finally:
            if place is not None:
                place.unlink(missing_ok=True)
            if gateway is not None:
                await gateway.stop()


async def _keep(node: Node, settings: Settings, life: contextlib.AsyncExitStack) -> list[Keeper]:
    """Begin to keep the folders of the settings in step, if they name any."""
    if not settings.sync.folder and not settings.sync.folders:
        return []
    from whispurrnet.extensions.filesync.keeper import keepers

    return [await life.enter_async_context(keeper) for keeper in keepers(node, settings.sync)]


def _kept(keeper: Keeper) -> str:
    if keeper.why:
        return f"{clean(keeper.name)} is not kept in step: {clean(keeper.why)}"
    return f"{clean(keeper.name)} is kept in step"


def on_signals(stopped: asyncio.Event) -> None:
    """Set the event when somebody asks this process to end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stopped.set)
        except NotImplementedError:  # Windows: Ctrl-C cancels the main task instead
            return


def _greet(node: Node, settings: Settings, port: int, *, show_qr: bool) -> None:
    ticket = node.ticket
    if current.json:
        show_json_line(
            {
                "type": "up",
                "name": node.name,
                "id": node.id,
                "port": port,
                "listeners": list(node.listeners),
                "ticket": ticket.text,
            }
        )
        return
    usual = Settings()
    parts = [f"ws :{port}" if port else "gateway off"]
    ports = sorted({parse(text).port for text in settings.listen})
    parts += [f"mesh :{number}" for number in ports]
    seen = settings.lan.enabled and not settings.enable_stealth
    parts.append("lan on" if seen else "lan off")
    expires = span(node.identity.expires_s)
    say(f"{colour('●', 'green')} up as {node.name} (expires in {expires})   {' · '.join(parts)}")
    if port not in {0, usual.port} and settings.port == usual.port:
        say(f"  port {usual.port} is taken; this node is on {port}")
    api = f" --api {port}" if port not in {0, usual.port} else ""
    say(f"  ticket:   whispurr join {ticket.text}")
    if show_qr and sys.stdout.isatty():
        for line in qr(ticket.qr_text):
            say(f"  {line}")
    nexts = ("status", "listen moon", "doctor")
    say(f"  next:     {' · '.join(f'whispurr {what}{api}' for what in nexts)}")


async def _tell(node: Node) -> None:
    """Say what happens, line by line."""
    with contextlib.closing(node.events()) as feed:
        async for event in feed:
            if current.json:
                if event["type"] in {"peer_up", "peer_down", "path_changed", "rotated"}:
                    show_json_line(event)
                continue
            line = event_line(event)
            if line:
                say(line)


def event_line(event: Mapping[str, Any]) -> str:
    """What happened, for people; empty if it is not worth a line."""
    name = clean(str(event.get("name", "")))
    match event["type"]:
        case "peer_up":
            return f"{colour('●', 'green')} {name} connected ({event['path']})"
        case "peer_down":
            return f"{colour(DASH, 'dim')} {name} is gone: {clean(str(event['reason']))}"
        case "path_changed":
            return f"{colour('●', 'green')} {name} is reached by {event['path']} now"
        case "rotated":
            return "  a new ephemeral identity; the next ticket: whispurr ticket"
        case _:
            return ""
