"""The long-term identity that a peer proves in its hello, and whether it is the right one."""

from __future__ import annotations

from whispurrnet.base.errors import AuthError, IdentityChanged
from whispurrnet.crypto.kex import Level
from whispurrnet.identity.persona import PersonaProof, verify_persona
from whispurrnet.stack import greeting
from whispurrnet.stack.live import Live
from whispurrnet.stack.opening import Opening
from whispurrnet.stack.sessions import CHANNEL_BINDING
from whispurrnet.stack.shared import Shared


def persona_of(
    shared: Shared, opening: Opening, live: Live, proof: PersonaProof | None
) -> bytes | None:
    """The long-term identity the peer proves, if any.

    Raises:
        AuthError: The proof is wrong, or lacks what level 5 asks for.
        IdentityChanged: It is not the one that was called, or not the one that was pinned.
    """
    role = greeting.RESPONDER if live.initiator else greeting.INITIATOR
    persona = None
    if live.level >= Level.L5 and opening.used_psk == "none" and not (proof and proof.mldsa_key):
        raise AuthError(
            "level 5 authenticates by something quantum-safe too: an invite, a network_secret, "
            "or on both sides identity.long_term and identity.post_quantum = true"
        )
    if proof is not None:
        persona = verify_persona(proof, live.keys.export(CHANNEL_BINDING), role)
        shared.pins.admit(persona, psk_used=opening.used_psk == "pairwise")
    call = shared.calls.get(opening.dial) if opening.dial is not None else None
    if call is not None and call.persona is not None and call.persona != persona:
        raise IdentityChanged(
            "the node that answered does not hold the long-term identity in the ticket; "
            "ask for a new ticket over a channel you trust"
        )
    return persona
