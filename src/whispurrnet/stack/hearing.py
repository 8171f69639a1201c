"""What of all that spreads is for this node, and whose turn it is."""

from __future__ import annotations

from whispurrnet.base.errors import LimitError, ProtocolError
from whispurrnet.gossip.envelope import ID_BYTES, Envelope, author, parse
from whispurrnet.gossip.keyring import Heard, Keyring
from whispurrnet.gossip.turns import Turns
from whispurrnet.session.pool import Rng
from whispurrnet.stack import events, protocols
from whispurrnet.stack.checker import STAMP_BYTES, Message
from whispurrnet.stack.shared import Shared
from whispurrnet.stack.speaking import Speaking
from whispurrnet.wire.ids import PeerId


class Hearing:
    """Opens what the keyring can open, and hands it to the application.

    Args:
        shared: What the parts of the stack share.
        keyring: What is listened to.
        speaking: Tells others which messages we take.
        rng: Chance.
    """

    def __init__(self, shared: Shared, keyring: Keyring, speaking: Speaking, rng: Rng) -> None:
        self._shared = shared
        self._speaking = speaking
        self.keyring = keyring
        self._turns: Turns[tuple[str, list[events.Gossiped]]] = Turns(
            shared.config.gossip.turns, rng
        )

    @property
    def deadline(self) -> float | None:
        """When our turn comes for a message that is for any one listener."""
        return self._turns.deadline

    def deliver(self, message: Message, hop: int, now: float) -> None:
        """A message came into the open: hand it on if it is for us."""
        envelope = message.envelope
        if self._speaking.is_ours(envelope.id):
            return
        said = self.keyring.open(envelope)
        if not said:
            return
        inside = said[0].inside
        if inside.kind == protocols.TAKEN:
            self._turns.taken(inside.payload[:ID_BYTES])
        elif inside.kind == protocols.TURN:
            news = self._news(envelope, said, hop)
            if news:
                self._turns.wait(envelope.id, (inside.intent, news), now)
        else:
            self._tell(self._news(envelope, said, hop))

    def _news(self, envelope: Envelope, said: list[Heard], hop: int) -> list[events.Gossiped]:
        """What the application is told; nothing if the author is forged."""
        if not said:
            return []
        try:
            signer = author(envelope, said[0].inside, self._shared.wall())
        except ProtocolError:
            self._shared.count("gossip_faults")
            return []
        return [self._gossiped(heard, signer, hop, envelope.id) for heard in said]

    def catch_up(self, body: bytes, intent: str, key: bytes | None) -> None:
        """A message passed before this was listened to, and still lives: hand it on now."""
        envelope = parse(body[STAMP_BYTES:])
        if self._speaking.is_ours(envelope.id):
            return
        said = [
            heard
            for heard in self.keyring.open(envelope)
            if (heard.intent, heard.key) == (intent, key)
            and heard.inside.kind == protocols.RESONANCE
        ]
        self._tell(self._news(envelope, said, 0))

    def tick(self, now: float) -> None:
        """Take the messages whose turn it is here."""
        for id, (intent, news) in self._turns.due(now):
            self._tell(news)
            try:
                self._speaking.claim(intent, news[0].key, id, now)
            except LimitError:
                self._shared.count("claims_not_sent")

    def _tell(self, news: list[events.Gossiped]) -> None:
        self._shared.meter.count("gossip_heard", len(news))
        self._shared.out += news

    def _gossiped(
        self, heard: Heard, signer: PeerId | None, hop: int, id: bytes
    ) -> events.Gossiped:
        record = self._shared.roster.find(signer) if signer is not None else None
        return events.Gossiped(
            kind=heard.inside.kind,
            intent=heard.intent,
            strength=heard.strength,
            payload=heard.inside.payload,
            priority=heard.inside.priority,
            author=signer,
            peer=record.handle if record is not None else None,
            hop=hop,
            id=id,
            key=heard.key,
        )
