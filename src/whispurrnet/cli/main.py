"""The command tree of `whispurr`. Each command is loaded only when it is called."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from whispurrnet.base.errors import WhispurrError
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault, from_error
from whispurrnet.cli.render import show_fault
from whispurrnet.version import VERSION

INTERRUPTED = 130
_GLOBAL = Group("Global", sort_key=100)
_COMMANDS = {
    "up": ("up:up", "Start a node and keep it running until Ctrl-C."),
    "relay": ("relay:relay", "Let others reach each other through this machine."),
    "demo": ("demo:run", "Watch nodes find each other and whisper."),
    "status": ("health:status", "How the node is, and every peer."),
    "peers": ("net:peers", "Every peer: path, suite, trust, traffic."),
    "join": ("net:join", "Connect to a node by its ticket."),
    "ticket": ("net:ticket", "The ticket others join with, as text or QR code."),
    "whisper": ("talk:whisper", "Whisper to a peer, and see it arrive."),
    "listen": ("talk:listen", "Print what arrives."),
    "chat": ("talk:chat", "Talk with a peer, line by line."),
    "send": ("files:send", "Send files to somebody who is told a code."),
    "receive": ("files:receive", "Receive files: asks for the code."),
    "sync": ("sync:sync", "Keep a folder the same here and elsewhere."),
    "resonate": ("spread:resonate", "Send to whoever listens to an intent."),
    "broadcast": ("spread:broadcast", "Send to everyone in the mesh."),
    "emergency": ("spread:emergency", "Alert everyone in the mesh; it overtakes all else."),
    "topic-key": ("secret_key:make", "Make the key of a private topic."),
    "ping": ("net:ping", "Measure the round trip to a peer."),
    "identity": ("net:identity", "Who the node is at the moment; --rotate takes a new one."),
    "why": ("mesh:why", "Why a peer is connected or not, and what to do."),
    "presence": ("name:presence", "Tell the peers how this node is doing."),
    "topology": ("chum:topology", "Who is connected to whom on this network."),
    "nat": ("nat:nat", "What NAT this node is behind; with a peer, the best path to it."),
    "sleep": ("chum:sleep", "Speak seldom from now on; peers are told."),
    "wake": ("chum:wake", "Be awake again."),
    "discover": ("mesh:discover", "Who is near, and by what it was found."),
    "doctor": ("health:doctor", "What is wrong, why, and what to do."),
    "sim": ("sim:run", "Try a mesh on virtual time: a scenario in, figures out."),
    "bench": ("bench:run", "How fast two nodes on this machine are."),
    "version": ("about:version", "The version of this program."),
    "install-completion": ("about:install_completion", "Complete commands with Tab."),
}

app = App(
    name="whispurr",
    help="WhispurrNet: a private mesh. Start with `whispurr up`, then `whispurr status`.",
    help_epilogue="Complete commands with Tab: whispurr install-completion",
    version_flags=["--version"],
    version=VERSION,
    default_parameter=Parameter(negative_iterable=()),  # no `--empty-via` beside each list
    suppress_keyboard_interrupt=False,
)
for _name, (_where, _help) in _COMMANDS.items():
    app.command(f"whispurrnet.cli.{_where}", name=_name, help=_help)

_config = App(name="config", help="The settings: files, environment, flags.")
_config.command(
    "whispurrnet.cli.about:config_show", name="show", help="Every setting; --origin says why."
)
app.command(_config)

_meeting = App(name="name", help="Be found under a name, and find who is.")
_meeting.command("whispurrnet.cli.name:register", name="register", help="Be found under a name.")
_meeting.command(
    "whispurrnet.cli.name:withdraw", name="withdraw", help="Be found under it no more."
)
_meeting.command("whispurrnet.cli.name:find", name="find", help="Who is registered under a name.")
_meeting.command("whispurrnet.cli.name:show", name="list", help="The names of this node.")
app.command(_meeting)

_realm = App(name="membership", help="A closed realm: found one, and see what this node is in it.")
_realm.command("whispurrnet.cli.membership:init", name="init", help="Make the key of a founder.")
_realm.command("whispurrnet.cli.membership:show", name="show", help="What this node is in it.")
app.command(_realm)

_trust = App(name="trust", help="Whom you know: seen, verified, revoked.")
_trust.command("whispurrnet.cli.trust:show", name="list", help="Peers and safety numbers.")
_trust.command(
    "whispurrnet.cli.trust:verify", name="verify", help="The safety number was compared: trust it."
)
_trust.command("whispurrnet.cli.trust:revoke", name="revoke", help="Trust a peer no more.")
app.command(_trust)

_objects = App(name="objects", help="What is kept, named by what it is.")
for _name, _work, _help in (
    ("add", "add", "Keep files and folders."),
    ("get", "get", "Write an object to a file or folder; one of a ticket is fetched first."),
    ("list", "listed", "What is kept, and how much room it takes."),
    ("pin", "pin", "Keep an object until it is unpinned."),
    ("unpin", "unpin", "Do not keep an object any more."),
    ("gc", "gc", "Remove what nobody keeps."),
    ("share", "share", "Print a ticket for an object, and serve it until Ctrl-C."),
):
    _objects.command(f"whispurrnet.cli.objects:{_work}", name=_name, help=_help)
app.command(_objects)

app.meta.suppress_keyboard_interrupt = False


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    output: Annotated[
        Literal["text", "json"],
        Parameter(group=_GLOBAL, env_var="WHISPURRNET_OUTPUT", help="The form of the answer."),
    ] = "text",
    debug: Annotated[
        bool,
        Parameter(
            group=_GLOBAL,
            negative="",
            env_var="WHISPURRNET_DEBUG",
            help="Show the traceback of an error.",
        ),
    ] = False,
    api: Annotated[
        str,
        Parameter(
            group=_GLOBAL,
            env_var="WHISPURRNET_API",
            show_default=False,
            help="The port or URL of the node, if it is not the one that runs here.",
        ),
    ] = "",
) -> object:
    current.output, current.debug, current.api = output, debug, api
    return app(tokens, result_action="return_value", exit_on_error=False, print_error=False)


def run(tokens: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    try:
        result = app.meta(
            tokens, result_action="return_value", exit_on_error=False, print_error=False
        )
    except (CycloptsError, Fault, WhispurrError) as error:
        return _explain(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    return int(result) if isinstance(result, int) else Exit.DONE


def _explain(error: CycloptsError | Fault | WhispurrError) -> int:
    match error:
        case Fault():
            fault = error
        case WhispurrError():
            fault = from_error(error)
        case _:
            fault = Fault(str(error).strip().rstrip("."), "", "see `whispurr --help`", Exit.USAGE)
    if current.debug:
        import traceback

        traceback.print_exception(error)
    show_fault(fault, current.output)
    return fault.code


def main() -> None:
    """The entry point."""
    sys.exit(run())
