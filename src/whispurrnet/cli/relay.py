"""relay: a node through which others reach each other, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from whispurrnet.base import log
from whispurrnet.base.errors import UsageError
from whispurrnet.cli import running
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.flags import environment, loop_factory
from whispurrnet.cli.ports import gateway_port, mesh_addresses
from whispurrnet.cli.render import colour, note, say, show_json_line, span
from whispurrnet.cli.up import on_signals
from whispurrnet.node.node import open as open_node
from whispurrnet.node.settings import Settings, find_file
from whispurrnet.stack.reach import Reach, reach
from whispurrnet.wire.address import parse

if TYPE_CHECKING:
    import socket

    from whispurrnet.node.node import Node

PEERS_MAX = 5_000
STUN_PORT = 3478
"""The usual port of STUN; if it is taken, the relay does without, and `status` says so."""

SENSIBLE: dict[str, Any] = {
    "max_peers": PEERS_MAX,
    "accept_first_contact": True,
    "nat.relay": True,
    "nat.stun_port": STUN_PORT,
    "gossip.enabled": False,
    "lan.enabled": False,
}
"""What a relay is unless somebody says otherwise: open to many, and taking part in nothing."""


def relay(
    *,
    listen: Annotated[
        tuple[str, ...], Parameter(help="Where peers call, such as /ip4/0.0.0.0/tcp/9000.")
    ] = (),
    public_address: Annotated[
        tuple[str, ...], Parameter(help="What to tell them instead, behind a forwarded port.")
    ] = (),
    change: Annotated[
        tuple[str, ...],
        Parameter(name="--set", help="Any setting, such as nat.relay_bytes_per_s=1000000."),
    ] = (),
    config: Annotated[
        Path | None, Parameter(env_var="WHISPURRNET_CONFIG", help="Another settings file.")
    ] = None,
) -> int:
    """Let others reach each other through this machine, until Ctrl-C.

    It carries what they have sealed for each other, can read none of it, and keeps nothing.
    """
    for text in public_address:
        try:
            parse(text)
        except UsageError as error:
            raise Fault(
                "--public-address is an address",
                str(error),
                "see `whispurr relay --help`",
                Exit.USAGE,
            ) from error
    flags = {"listen": listen or None, "nat.public_addresses": public_address or None}
    settings, origins = Settings.load(config or find_file(), environment(change), flags)
    usual = {key: value for key, value in SENSIBLE.items() if origins[key] == "default"}
    settings = settings.replace(**nested(usual | {"nat.relay": True}))
    log.show(settings.log.level)
    bound = gateway_port(settings, origins) if settings.gateway.enabled else None
    settings = settings.replace(listen=mesh_addresses(settings, origins))
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings, origins, bound))
    return Exit.DONE


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"nat.relay": True}` as `replace` takes it."""
    found: dict[str, Any] = {}
    for path, value in flat.items():
        section, dot, key = path.partition(".")
        if dot:
            found.setdefault(section, {})[key] = value
        else:
            found[section] = value
    return found


async def _serve(
    settings: Settings, origins: Mapping[str, str], bound: socket.socket | None
) -> None:
    stopped = asyncio.Event()
    on_signals(stopped)
    async with open_node(settings) as node, contextlib.AsyncExitStack() as life:
        if bound is not None:
            from whispurrnet.gateway.server import Gateway

            gateway = Gateway(node, settings, origins=origins, bound=bound)
            await gateway.start()
            life.push_async_callback(gateway.stop)
            place = running.announce(gateway.port)
            if place is not None:
                life.callback(place.unlink, missing_ok=True)
        greet(node)
        await stopped.wait()
        note("  saying goodbye")


def greet(node: Node) -> None:
    """Say how others use this relay."""
    ticket, addresses = node.ticket, node.ticket.addresses
    if current.json:
        show_json_line(
            {"type": "relay", "name": node.name, "ticket": ticket.text, "addresses": addresses}
        )
        return
    limits = node.settings.nat
    rate = limits.relay_bytes_per_s
    speed = f"{rate / 1e6:,.0f} MB/s a pair" if rate else "as fast as it goes"
    expires = span(node.identity.expires_s)
    say(f"{colour('●', 'green')} relay {node.name} (ticket good for {expires})   {speed}")
    for text in addresses:
        say(f"  at:       {text}")
    for place in node.nat.answers_at[:3]:
        say(f"  STUN at:  {place}")
    say(f"  ticket:   {ticket.text}")
    say("  who wants to be reached through it, in whispurr.toml or as a flag:")
    say(f'            whispurr up --set "nat.relays={ticket.text}"')
    say("  whoever has their ticket then reaches them; it needs no setting for that")
    if not any(reach(text) is Reach.WORLD for text in addresses):
        say("  none of these addresses is public: name the one of your router, whose port you")
        say("  forward, with --public-address /ip4/ADDRESS/tcp/PORT")
