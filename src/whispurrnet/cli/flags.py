"""What commands that run a node share: settings by flag, and what may stand on a command line."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from whispurrnet.base.errors import UsageError
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.wire.ticket import Ticket


def environment(changes: tuple[str, ...]) -> dict[str, str]:
    """The environment, with `--set` on top of it: both are text."""
    from whispurrnet.node.settings import KEYS, env_name, nearest

    found = dict(os.environ)
    for change in changes:
        path, equals, value = change.partition("=")
        if not equals or path not in KEYS:
            raise Fault(
                "--set takes a setting and its value",
                f"{change!r} is none{nearest(path, KEYS)}",
                "such as --set session.heartbeat_s=10",
                Exit.USAGE,
            )
        found[env_name(path)] = value
    return found


def public(targets: tuple[str, ...]) -> tuple[str, ...]:
    """What may stand on a command line: not an invite."""
    for target in targets:
        with contextlib.suppress(UsageError):
            if Ticket.parse(target).single_use:
                raise Fault(
                    "An invite is a secret, and every user of this machine sees arguments",
                    "it was given with --bootstrap",
                    "set WHISPURRNET_BOOTSTRAP, or type `whispurr join` and paste it",
                    Exit.USAGE,
                )
    return targets


def loop_factory() -> Any:
    """The fastest event loop there is here; None for the usual one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
