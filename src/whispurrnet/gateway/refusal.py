"""From an error to an answer: a status, one sentence, a cause and a cure; never a traceback."""

from __future__ import annotations

import msgspec

from whispurrnet.base.errors import (
    AuthError,
    HostError,
    LimitError,
    NetworkError,
    ProtocolError,
    UsageError,
    WhispurrError,
)
from whispurrnet.gateway.answers import ErrorAnswer, Kind


class Refusal(Exception):  # noqa: N818 - an answer more than an error
    """A request that is not done: the status and the answer."""

    def __init__(self, status: int, answer: ErrorAnswer) -> None:
        """Keep both."""
        super().__init__(answer.error)
        self.status = status
        self.answer = answer
        self.headers: dict[str, str] = {}
        """Of the answer, besides those that all have."""


#: The first that matches counts: status, kind, the sentence, and the cure if the error has none.
_KINDS: tuple[tuple[type[WhispurrError], int, Kind, str, str], ...] = (
    (UsageError, 400, "usage", "The request was wrong", "See /docs for what it should be."),
    (
        AuthError,
        502,
        "not_authentic",
        "The peer is not who it should be",
        "Compare the ticket, or ask its owner for a new one.",
    ),
    (
        ProtocolError,
        502,
        "not_authentic",
        "The peer broke the protocol",
        "Its program may be newer, older or hostile: compare versions.",
    ),
    (
        NetworkError,
        504,
        "unreachable",
        "The peer was not reached",
        "Check that it runs and that its address is reachable from here.",
    ),
    (LimitError, 429, "limit", "A limit was reached", "Try again later."),
    (HostError, 503, "host", "This machine cannot do it", "See `whispurr doctor`."),
)


def refuse(status: int, error: str, cause: str, cure: str, kind: Kind = "usage") -> Refusal:
    """A refusal in words."""
    return Refusal(status, ErrorAnswer(error=error, cause=cause, cure=cure, kind=kind))


def from_error(error: WhispurrError) -> Refusal:
    """A refusal from one of our errors, whose message reads `cause; cure`."""
    cause, _, cure = str(error).partition("; ")
    for kind, status, word, sentence, default in _KINDS:
        if isinstance(error, kind):
            return refuse(status, sentence, cause or sentence, cure or default, word)
    return refuse(503, "It did not work", cause, cure or "See `whispurr doctor`.", "host")


def from_body(error: Exception) -> Refusal:
    """A refusal of a body that is not what it should be."""
    if isinstance(error, msgspec.ValidationError):
        cause = str(error)
    elif isinstance(error, RecursionError):
        cause = "The JSON is nested too deeply"
    else:
        cause = f"The body is not JSON: {error}"
    return refuse(400, "The request was wrong", cause, "See /docs for what it should be.")
