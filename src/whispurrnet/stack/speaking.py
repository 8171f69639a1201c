"""What this node says to the mesh: sealed, stamped, and handed to the overlay of its shard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import LimitError
from whispurrnet.gossip.envelope import Inside, Realm, expiry, parse, seal
from whispurrnet.gossip.ladder import EVERYONE
from whispurrnet.gossip.resonance import normalise
from whispurrnet.stack import events, protocols
from whispurrnet.stack.checker import stamped
from whispurrnet.stack.overlay import Overlay
from whispurrnet.stack.shared import Shared

PENDING_MAX = 256
"""Messages of ours whose stamps are looked for."""

CLAIM_TTL_S = 60.0

OWN_MAX = 4096
"""Messages of ours that are known again when they come back."""

Finder: TypeAlias = Callable[[str, bytes | None, float], Overlay]
"""The overlay of an intent and a topic key."""


class _Draft:
    """A message of ours that still needs its stamp."""

    __slots__ = ("direct", "expiry_s", "id", "overlay", "raw")

    def __init__(self, raw: bytes, overlay: Overlay, kind: int) -> None:
        envelope = parse(raw)
        self.direct = kind in (protocols.EMERGENCY, protocols.TAKEN)
        """Whether it spreads at once, without a detour."""
        self.raw = raw
        self.overlay = overlay
        self.id = envelope.id
        self.expiry_s = envelope.expiry_s


class Speaking:
    """The messages that this node spreads.

    Args:
        shared: What the parts of the stack share.
        realm: Who may pass them on.
        overlay_for: Finds the overlay in which they spread.
    """

    def __init__(self, shared: Shared, realm: Realm, overlay_for: Finder) -> None:
        self._shared = shared
        self._realm = realm
        self._overlay_for = overlay_for
        self._drafts: dict[int, _Draft] = {}
        self._own: LruDict[bytes, None] = LruDict(OWN_MAX)
        self._last_claim = 0
        """Claims are numbered downwards, below the references of the application."""

    def is_ours(self, id: bytes) -> bool:
        """Whether a message was ours: it is not news to us when it comes back."""
        return id in self._own

    def resonate(self, event: events.Resonate, now: float) -> None:
        """Spread a message to whoever listens to an intent.

        Raises:
            UsageError: It cannot be sent.
            LimitError: Too many messages wait for their stamps.
        """
        intent = normalise(event.intent)
        kind = protocols.TURN if event.one_of else protocols.RESONANCE
        inside = Inside(kind, event.strength, event.priority, intent, event.payload)
        self._say(event, inside, event.key, now)

    def claim(self, intent: str, key: bytes | None, id: bytes, now: float) -> None:
        """Tell the other listeners that we take a message that is for any one of them.

        It takes no detour: until it is around, others may take the message too.
        """
        self._last_claim -= 1
        event = events.Resonate(self._last_claim, intent, id, ttl_s=CLAIM_TTL_S, key=key)
        inside = Inside(protocols.TAKEN, 1.0, event.priority, intent, id)
        self._say(event, inside, key, now)

    def broadcast(self, event: events.Broadcast, now: float) -> None:
        """Spread a message to everyone.

        Raises:
            UsageError: It cannot be sent.
            LimitError: Too many messages wait for their stamps.
        """
        kind = protocols.EMERGENCY if event.urgent else protocols.BROADCAST
        priority = protocols.PRIORITY_MAX if event.urgent else protocols.PRIORITY_DEFAULT
        self._say(event, Inside(kind, 1.0, priority, EVERYONE, event.payload), None, now)

    def _say(
        self,
        event: events.Resonate | events.Broadcast,
        inside: Inside,
        topic_key: bytes | None,
        now: float,
    ) -> None:
        shared, overlay = self._shared, self._overlay_for(inside.intent, topic_key, now)
        if len(self._drafts) >= PENDING_MAX:
            raise LimitError(f"{PENDING_MAX} messages wait for their stamps; wait for some of them")
        raw = seal(
            self._realm,
            inside,
            topic_key=topic_key,
            expiry_s=expiry(shared.wall() / 1000, event.ttl_s),
            urgent=inside.kind == protocols.EMERGENCY,
            shard=overlay.shard,
            entropy=shared.entropy,
            signer=shared.identity if event.signed else None,
        )
        draft, bits = _Draft(raw, overlay, inside.kind), overlay.difficulty.advised(now)
        if bits:
            self._drafts[event.ref] = draft
            shared.out.append(events.Solve(event.ref, draft.id, draft.expiry_s, bits))
        else:
            self._send(event.ref, draft, None, now)

    def solved(self, event: events.Solved, now: float) -> None:
        """The stamp of a message was found."""
        draft = self._drafts.pop(event.ref, None)
        if draft is not None:
            self._send(event.ref, draft, event.value, now)

    def _send(self, ref: int, draft: _Draft, stamp: bytes | None, now: float) -> None:
        shared, overlay = self._shared, draft.overlay
        self._own.put(draft.id, None)
        shared.count("gossip_published")
        expires_at = now + draft.expiry_s - shared.wall() / 1000
        overlay.publish(draft.id, stamped(stamp, draft.raw), expires_at, now, direct=draft.direct)
        shared.out.append(events.Resonated(ref, draft.id, len(overlay.neighbours)))
