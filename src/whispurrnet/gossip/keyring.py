"""The keyring: what a node listens to, and which envelopes it opens with that.

An interest is an intent, public in its realm or private under a topic key, and a threshold. The
seal of a message can be opened by who knows the first part of its path, so interests are kept by
their first part: a message costs one hash for each of these, and more only for what may be ours.
What everyone is told needs no interest.

Source: MESH.md section 1.4, "Intent matching with strength 0-1: the resonance ladder".

Invariants:
    - at most `INTERESTS_MAX` interests, whatever they cost a message stays bounded;
    - what matches outside must match inside: slots that promise another intent open nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.gossip.envelope import KEY_BYTES, Envelope, Inside, Realm, unseal
from whispurrnet.gossip.ladder import EVERYONE, feature_key, features, found, match, slot
from whispurrnet.gossip.resonance import INTERESTS_MAX, normalise


class Heard(msgspec.Struct, frozen=True):
    """A message that an interest matches."""

    intent: str
    """The interest, not the message's own intent; `EVERYONE` for what is for all."""
    key: Secret | None
    """The topic key of the interest; None if it is public."""
    strength: float
    """How much it matches, times how much the sender means it; 0 to 1."""
    inside: Inside


class _Interest:
    """One interest and its features."""

    __slots__ = ("features", "intent", "key", "threshold")

    def __init__(self, intent: str, key: Secret | None, threshold: float) -> None:
        self.intent = intent
        self.key = key
        self.threshold = threshold
        self.features = features(intent)


class _Root:
    """All interests with one first part of the path under one base key."""

    __slots__ = ("interests", "key", "keys")

    def __init__(self, base: bytes, first: str) -> None:
        self.key = feature_key(base, first)
        self.keys: dict[str, Secret] = {}  # of every feature of these interests
        self.interests: list[_Interest] = []

    def add(self, base: bytes, interest: _Interest) -> None:
        """One more interest."""
        self.interests.append(interest)
        for name, _ in interest.features:
            if name not in self.keys:
                self.keys[name] = feature_key(base, name)

    def open(self, envelope: Envelope, slots: frozenset[bytes]) -> Iterator[Heard]:
        """What a message with this first part says to each interest that it matches enough."""
        there = found(self.keys, envelope.nonce, slots)
        matches = [
            (interest, matched)
            for interest in self.interests
            if (matched := match(interest.features, there)) >= interest.threshold
        ]
        if not matches:
            return
        try:
            inside = unseal(self.key, envelope)
        except ProtocolError:
            return
        said = dict(features(inside.intent))
        for interest, matched in matches:
            strength = matched * inside.strength
            if strength >= interest.threshold and match(interest.features, said) == matched:
                yield Heard(interest.intent, interest.key, strength, inside)


class Keyring:
    """The interests of one node in one realm.

    It always hears what is for everyone in the realm.
    """

    __slots__ = ("_everyone", "_interests", "_realm", "_roots")

    def __init__(self, realm: Realm) -> None:
        self._realm = realm
        self._everyone = _Interest(EVERYONE, None, 0.0)
        self._interests: dict[tuple[str, Secret | None], _Interest] = {}
        self._roots: tuple[_Root, ...] = ()
        self._arrange()

    def __len__(self) -> int:
        return len(self._interests)

    def intents(self) -> tuple[str, ...]:
        """What is listened to, public and private, each once and in order."""
        return tuple(sorted({intent for intent, _ in self._interests}))

    def listen(self, intent: str, *, key: bytes | None = None, threshold: float = 0.5) -> None:
        """Take up an interest; of one already there, the threshold is replaced.

        Args:
            intent: What to hear about; what is said below it, or beside it, matches in part.
            key: The topic key of a private topic, 32 bytes; None for a public intent.
            threshold: How strong a message must be; above 0, at most 1.

        Raises:
            UsageError: It is no intent, no key, or no such threshold.
            LimitError: There are `INTERESTS_MAX` already.
        """
        where = normalise(intent), _secret(key)
        if not 0 < threshold <= 1:
            raise UsageError(f"a threshold is above 0 and at most 1, not {threshold}")
        if where not in self._interests and len(self._interests) >= INTERESTS_MAX:
            raise LimitError(
                f"a node listens to at most {INTERESTS_MAX} intents; stop listening to one first"
            )
        self._interests[where] = _Interest(*where, threshold)
        self._arrange()

    def leave(self, intent: str, *, key: bytes | None = None) -> None:
        """Give up an interest; one that is not there is none to give up.

        Raises:
            UsageError: It is no intent, or no key.
        """
        if self._interests.pop((normalise(intent), _secret(key)), None) is not None:
            self._arrange()

    def open(self, envelope: Envelope) -> list[Heard]:
        """What a message says to the interests that it matches well enough, one for each.

        What is for others, or cannot be read, says nothing. The envelope should be verified: this
        checks only that who sealed it knew the intent.
        """
        slots = frozenset(envelope.slots)
        return [
            heard
            for root in self._roots
            if slot(root.key, envelope.nonce) in slots
            for heard in root.open(envelope, slots)
        ]

    def _arrange(self) -> None:
        roots: dict[tuple[bytes, str], _Root] = {}
        for interest in (self._everyone, *self._interests.values()):
            base = self._realm.base if interest.key is None else interest.key
            where = base, interest.features[0][0]
            roots.setdefault(where, _Root(*where)).add(base, interest)
        self._roots = tuple(roots.values())


def _secret(key: bytes | None) -> Secret | None:
    if key is not None and len(key) != KEY_BYTES:
        raise UsageError(f"the key of a topic has {KEY_BYTES} bytes, not {len(key)}")
    return None if key is None else Secret(key)
