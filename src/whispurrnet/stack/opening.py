"""A link that is not live yet: shaking hands, or waiting for the peer's hello."""

from __future__ import annotations

from whispurrnet.crypto.keys import Secret
from whispurrnet.identity.ephemeral import Proof
from whispurrnet.session import handshake
from whispurrnet.stack import events
from whispurrnet.stack.live import Live


class Opening:
    """A link that is not live yet."""

    __slots__ = (
        "answered",
        "core",
        "deadline",
        "dial",
        "invited",
        "link",
        "live",
        "proof",
        "psk",
        "silent",
        "used_psk",
    )

    def __init__(self, link: events.LinkUp, deadline: float) -> None:
        self.link = link
        self.core: handshake.Initiator | handshake.Responder
        self.dial: bytes | None = None
        """The target of the dial, on our side of an outbound link."""
        self.deadline = deadline
        self.silent = False
        self.answered = False
        """Whether what came was worth an answer: who knows nothing of us gets none."""
        self.psk: Secret | None = None
        self.invited = False
        """Whether the pre-shared key is that of an invite, good for one session."""
        self.used_psk = "none"
        self.live: Live | None = None
        self.proof: Proof | None = None
