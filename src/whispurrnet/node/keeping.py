"""What a node keeps between runs: nothing, unless it has a long-term identity."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.disk.vault import State, Vault
from whispurrnet.identity.persona import Persona
from whispurrnet.node.sections import IdentitySettings
from whispurrnet.trust.pins import Pins

if TYPE_CHECKING:
    from whispurrnet.node.peer import Peer


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
        self.persona = Persona(state.persona_seed, post_quantum=state.post_quantum)
        self.pins = Pins.decode(state.pins)

    def save(self, pins: Pins) -> None:
        """Write the pins, if anything is kept."""
        if self._vault is not None:
            self._state = msgspec.structs.replace(self._state, pins=pins.encode())
            self._vault.save(self._state)

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


def _folder(settings: IdentitySettings) -> Path:
    if settings.state_dir:
        return Path(settings.state_dir).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("whispurrnet", appauthor=False))
