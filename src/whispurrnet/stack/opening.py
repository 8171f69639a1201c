"""A link that is not live yet: shaking hands, or waiting for the peer's hello."""

from __future__ import annotations

from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.keys import Secret
from whispurrnet.identity.ephemeral import Proof
from whispurrnet.session import handshake
from whispurrnet.stack import events
from whispurrnet.stack.greeting import Greeting, Hello
from whispurrnet.stack.live import Live


class Opening:
    """A link that is not live yet."""

    __slots__ = (
        "answered",
        "asks",
        "beside",
        "core",
        "deadline",
        "dial",
        "head",
        "hello",
        "invited",
        "link",
        "live",
        "peer",
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
        self.beside: int | None = None
        """The number of the dial if it is beside the calls: another path to a connected peer."""
        self.asks = b""
        """The session that we want to go on with over this link, if there is one."""
        self.hello: Hello | None = None
        """What the peer said of itself, while its word on that is awaited."""
        self.deadline = deadline
        self.head: bytes | None = b""
        """Of an inbound link, the bytes that may begin a token; None once they do not."""
        self.peer = 0
        """The handle of the peer whose session that is."""
        self.silent = False
        self.answered = False
        """Whether what came was worth an answer: who knows nothing of us gets none."""
        self.psk: Secret | None = None
        self.invited = False
        """Whether the pre-shared key is that of an invite, good for one session."""
        self.used_psk = "none"
        self.live: Live | None = None
        self.proof: Proof | None = None

    def take_hello(self, messages: list[Greeting]) -> list[Greeting]:
        """Read the greetings of one frame; returns those after the hello.

        Raises:
            ProtocolError: The first of all is no hello.
        """
        if self.hello is not None:
            return messages
        if not messages or not isinstance(messages[0], Hello):
            raise ProtocolError("the first greeting is not a hello")
        self.hello = messages[0]
        return messages[1:]
