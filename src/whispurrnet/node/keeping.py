"""What a node keeps between runs: nothing, unless it has a long-term identity.

Then it keeps that, whom it has met, and its *anchors*: two neighbours that it had called and that
stood longest. They are called first at the next start, before the bootstrap peers and whoever is
heard on the local network, so that nobody can choose all of its first neighbours for it. A static
key lives about an hour, and an anchor no longer than its key: they help over a restart, not over
a night.

Source: MESH.md 1.4, "Eclipse"; the anchors of Bitcoin Core (pull request 17428).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.crypto.hash import hkdf
from whispurrnet.crypto.keys import Secret
from whispurrnet.disk.vault import State, Vault
from whispurrnet.gossip.contact import Contact
from whispurrnet.identity.persona import Persona
from whispurrnet.node.membership import pack, unpack
from whispurrnet.node.sections import IdentitySettings
from whispurrnet.stack import events
from whispurrnet.stack.belonging import Holding
from whispurrnet.trust.pins import Pins

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer

ANCHORS_MAX = 2
ANCHORS_S = 180.0
"""How often the anchors are written, if they have changed, in seconds."""

UNWRITTEN = "the anchors could not be written"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Contact, ...]).decode


class Keeping:
    """The long-term identity and the pins of one node, and where they are kept.

    Args:
        settings: Whether to keep anything, and where.

    Raises:
        HostError: The folder cannot be used; says why and what to do.
    """

    def __init__(self, settings: IdentitySettings) -> None:
        self.persona: Persona | None = None
        self.pins = Pins()
        self.holding: Holding | None = None
        """What is kept of our membership in a closed realm."""
        self.anchors: tuple[Contact, ...] = ()
        self.local_secret = Secret(secrets.token_bytes(32))
        """What ids of this machine are made with: as lasting as the identity."""
        self._vault: Vault | None = None
        if not settings.long_term:
            return
        self._vault = Vault(_folder(settings))
        state = self._vault.load()
        if state is None:
            state = State(
                persona_seed=Secret(secrets.token_bytes(32)),
                pins=Secret(b""),
                created_ms=time.time_ns() // 1_000_000,
                post_quantum=settings.post_quantum,
            )
            self._vault.save(state)
        self._state = state
        self.local_secret = hkdf(state.persona_seed, info=b"WN1 local secret")
        self.persona = Persona(state.persona_seed, post_quantum=state.post_quantum)
        self.pins = Pins.decode(state.pins)
        self.holding = unpack(state.membership)
        self.anchors = _contacts(state.anchors)

    def save(self, pins: Pins, holding: Holding | None = None) -> None:
        """Write the pins and the membership, if anything is kept."""
        if self._vault is not None:
            if holding is not None:
                self._state = msgspec.structs.replace(self._state, membership=pack(holding))
            self._state = msgspec.structs.replace(self._state, pins=pins.encode())
            self._vault.save(self._state)

    def begin(self, node: Node) -> None:
        """Have the anchors of the last run called, and keep those of this one."""
        if self._vault is not None:
            node.submit(events.Anchors(_living(self.anchors)))
            node.spawn(self._remember_often(node))

    async def _remember_often(self, node: Node) -> None:
        """Cancelling is safe: a file is replaced as a whole."""
        while True:
            await asyncio.sleep(ANCHORS_S)
            self.remember(node)

    def remember(self, node: Node) -> None:
        """Write the anchors, if anything is kept and they have changed.

        With too few neighbours now, those of before stay: that we are cut off is what they are for.
        """
        if self._vault is None:
            return
        found = node.stack.gossiping.anchors()
        now = {one.key: one for one in found}
        before = [one for one in self.anchors if one.key not in now]
        anchors = _living((*found, *before))[:ANCHORS_MAX]
        if anchors == self.anchors:
            return
        self.anchors = anchors
        self._state = msgspec.structs.replace(self._state, anchors=Secret(_encode(anchors)))
        try:
            self._vault.save(self._state)
            node.failures.pop(UNWRITTEN, None)
        except HostError as error:
            node.failures[UNWRITTEN] = str(error)

    def level(self, persona: str | None) -> int:
        """How far a long-term identity is trusted."""
        return int(self.pins.level(bytes.fromhex(persona))) if persona is not None else 0

    def verify(self, peer: Peer, wall_ms: int) -> None:
        """The safety numbers agree."""
        self.pins.verify(_persona_of(peer), wall_ms)

    def revoke(self, peer: Peer, wall_ms: int) -> None:
        """Never again."""
        self.pins.revoke(_persona_of(peer), wall_ms)


def _persona_of(peer: Peer) -> bytes:
    if peer.persona is None:
        raise UsageError(
            f"{peer.name} has no long-term identity that could be trusted; it ends with its "
            "session. It can have one: identity.long_term = true"
        )
    return bytes.fromhex(peer.persona)


def _contacts(anchors: Secret) -> tuple[Contact, ...]:
    """What was written; nothing, if it is of another form: it is only a help."""
    try:
        return _living(_decode(anchors) if anchors else ())[:ANCHORS_MAX]
    except msgspec.MsgspecError:
        return ()


def _living(contacts: tuple[Contact, ...]) -> tuple[Contact, ...]:
    """Those whose keys have not expired."""
    return tuple(one for one in contacts if one.expires_s > time.time())


def _folder(settings: IdentitySettings) -> Path:
    if settings.state_dir:
        return Path(settings.state_dir).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("whispurrnet", appauthor=False))
