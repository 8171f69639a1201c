"""Who may take part in a folder: a core that greets peers and lets those in who may.

A peer may take part if it was named, by its long-term identity or its present id, or if it proves
that it holds the folder's key. Each side lets the other in by itself, and only when both have do
indexes move; who refuses says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.hash import equal
from whispurrnet.extensions.filesync import messages
from whispurrnet.extensions.filesync.messages import Hello, Member, No, folder_of, proof_of, talk_of


class Facts(msgspec.Struct, frozen=True):
    """What the node knows of a peer."""

    peer: int
    id: bytes
    persona: bytes | None


class Say(msgspec.Struct, frozen=True):
    """Send a message to a peer."""

    peer: int
    message: Hello | Member | No


class Enter(msgspec.Struct, frozen=True):
    """A peer takes part from now on."""

    peer: int
    device: int
    have: int
    talk: bytes


class Refused(msgspec.Struct, frozen=True):
    """A peer does not take part; says why."""

    peer: int
    reason: str


Effect: TypeAlias = Say | Enter | Refused
_OTHER_FOLDER = "it keeps another folder in step, or has another key of it"


class _Guest(msgspec.Struct):
    nonce: bytes
    hello: Hello | None = None
    let_in: bool = False


class Members:
    """The talks with the peers that are connected.

    Args:
        device: Ours.
        key: Of the folder, or empty.
        named: Personas and ids of peers that may take part without the key.
        entropy: Gives random bytes.
    """

    def __init__(
        self, device: int, key: bytes, named: dict[bytes, None], entropy: Callable[[int], bytes]
    ) -> None:
        self.device = device
        self.named = named
        self._key = key
        self._entropy = entropy
        self._guests: dict[int, _Guest] = {}

    def up(self, peer: int, own_id: bytes) -> list[Effect]:
        """A peer is connected, anew or again: greet it."""
        self._guests[peer] = _Guest(self._entropy(messages.NONCE_BYTES))
        return [Say(peer, self._hello(peer, own_id, answer=False))]

    def down(self, peer: int) -> None:
        """A peer is gone."""
        self._guests.pop(peer, None)

    def talk(self, peer: int) -> bytes | None:
        """The talk that a peer takes part in, or None."""
        guest = self._guests.get(peer)
        if guest is None or guest.hello is None or not guest.let_in:
            return None
        return talk_of(guest.nonce, guest.hello.nonce)

    def expects(self, peer: int, talk: bytes) -> bool:
        """Whether this is the talk that a peer's hello and ours have begun."""
        guest = self._guests.get(peer)
        hello = None if guest is None else guest.hello
        return guest is not None and hello is not None and talk == talk_of(guest.nonce, hello.nonce)

    def greeted_by(self, peer: int) -> bool:
        """Whether a peer has said hello, and was not refused."""
        guest = self._guests.get(peer)
        return guest is not None and guest.hello is not None

    def is_called(self, name: bytes, sender: bytes) -> bool:
        """Whether a sender means this folder by that name."""
        return name == folder_of(self._key, sender)

    def handle(
        self, facts: Facts, message: Hello | Member, own_id: bytes, have: Callable[[int], int]
    ) -> list[Effect]:
        """Take a message.

        Args:
            facts: Of the peer that sent it.
            message: What it said.
            own_id: Our id in the session.
            have: Gives up to where we know a device's index.

        Raises:
            ProtocolError: It came out of turn; nothing has changed.
        """
        if isinstance(message, Hello):
            return list(self._on_hello(facts, message, own_id, have))
        return list(self._on_member(facts, message, own_id))

    def _hello(self, peer: int, own_id: bytes, *, answer: bool) -> Hello:
        folder = folder_of(self._key, own_id)
        nonce = self._guests[peer].nonce
        return Hello(messages.VERSION, folder, self.device, nonce, answer)

    def _on_hello(
        self, facts: Facts, hello: Hello, own_id: bytes, have: Callable[[int], int]
    ) -> Iterator[Effect]:
        peer = facts.peer
        if hello.version != messages.VERSION:
            text = f"it speaks version {hello.version} of folder sync, and we {messages.VERSION}"
            yield from self._refuse(peer, messages.OTHER_VERSION, text, hello)
            return
        if not self.is_called(hello.folder, facts.id):
            yield from self._refuse(peer, messages.OTHER_FOLDER, _OTHER_FOLDER, hello)
            return
        if hello.device == self.device:
            text = "its folder is a copy of ours with the same `.whispurr`; delete that in one"
            yield from self._refuse(peer, messages.SAME_DEVICE, text, hello)
            return
        guest = self._guests.get(peer)
        if guest is None or not hello.answer:
            nonce = guest.nonce if guest is not None else self._entropy(messages.NONCE_BYTES)
            if guest is None or guest.hello is None or guest.hello.nonce != hello.nonce:
                guest = self._guests[peer] = _Guest(nonce)
            yield Say(peer, self._hello(peer, own_id, answer=True))
        if guest.hello is None or guest.hello.nonce != hello.nonce:
            guest.let_in = False
        guest.hello = hello
        prover, other = (guest.nonce, own_id, self.device), (hello.nonce, facts.id)
        proof = proof_of(self._key, prover, other)
        yield Say(peer, Member(proof, have(hello.device), talk_of(guest.nonce, hello.nonce)))

    def _on_member(self, facts: Facts, member: Member, own_id: bytes) -> Iterator[Effect]:
        guest = self._guests.get(facts.peer)
        if guest is None or guest.hello is None:
            raise ProtocolError("a peer wants to take part before it said hello")
        hello = guest.hello
        if member.talk != talk_of(guest.nonce, hello.nonce):
            return  # of a talk that is over
        prover, other = (hello.nonce, facts.id, hello.device), (guest.nonce, own_id)
        proven = bool(self._key) and equal(member.proof, proof_of(self._key, prover, other))
        named = facts.id in self.named or (facts.persona or b"") in self.named
        if not proven and not named:
            text = "it was not named, and did not prove that it holds the folder's key"
            yield from self._refuse(facts.peer, messages.NOT_A_MEMBER, text, hello)
        elif not guest.let_in:
            guest.let_in = True
            yield Enter(facts.peer, hello.device, member.have, member.talk)

    def _refuse(self, peer: int, code: int, text: str, hello: Hello) -> Iterator[Effect]:
        self._guests.pop(peer, None)
        yield Refused(peer, text)
        yield Say(peer, No(code, text, hello.folder))


def other_folder(hello: Hello) -> No:
    """Nobody here has the folder of this hello."""
    return No(messages.OTHER_FOLDER, _OTHER_FOLDER, hello.folder)
