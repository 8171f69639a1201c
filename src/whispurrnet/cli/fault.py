"""What goes wrong, as a person should read it: a sentence, a cause, a cure, an exit code."""

from __future__ import annotations

import enum

from whispurrnet.base.errors import (
    AuthError,
    NetworkError,
    ProtocolError,
    UsageError,
    WhispurrError,
)


class Exit(enum.IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    NOT_REACHABLE = 4
    NOT_AUTHENTIC = 5


#: From the `kind` of a REST error to an exit code; any other is FAILED.
BY_KIND = {
    "usage": Exit.USAGE,
    "not_found": Exit.USAGE,
    "unreachable": Exit.NOT_REACHABLE,
    "not_authentic": Exit.NOT_AUTHENTIC,
}


class Fault(Exception):  # noqa: N818 - shown to people, not raised at programs
    """A command ends with this."""

    def __init__(
        self, sentence: str, cause: str = "", cure: str = "", code: Exit = Exit.FAILED
    ) -> None:
        """Keep the parts."""
        super().__init__(sentence)
        self.sentence = sentence
        self.cause = cause
        self.cure = cure
        self.code = code


def not_running(port: int) -> Fault:
    """The fault of a node that does not answer."""
    return Fault(
        "No node is running here",
        f"nothing answers on port {port} of this machine",
        "start one with `whispurr up`, or name another port with --api PORT",
        Exit.NOT_RUNNING,
    )


def from_error(error: WhispurrError) -> Fault:
    """A fault from one of our errors, whose message reads `cause; cure`."""
    cause, _, cure = str(error).partition("; ")
    match error:
        case UsageError():
            return Fault("That cannot be", cause, cure, Exit.USAGE)
        case AuthError() | ProtocolError():
            return Fault("The other side is not authentic", cause, cure, Exit.NOT_AUTHENTIC)
        case NetworkError():
            return Fault("Not reachable", cause, cure, Exit.NOT_REACHABLE)
        case _:
            return Fault("It did not work", cause, cure, Exit.FAILED)
