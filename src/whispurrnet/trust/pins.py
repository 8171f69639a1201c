"""Pins: whom we met before, under which name, and how far each is trusted.

    unknown ── met in a session ──> seen ── safety number compared ──> verified
                                     ^                                  |    ^
                                     └── restored ── revoked <──────────┘    |
                                                        └── compared again ──┘

A pin belongs to a long-term identity, whose id is the hash of its keys: another key is another
identity. A level rises only by an explicit act of the user, except from unknown to seen (trust on
first use); any level can be revoked. A name the user gave leads to one identity; when somebody else
answers to it, that is `IdentityChanged`, and only `replace` accepts it, at the level seen.

Invariants:
    - at most `seen_max` pins that nobody named, verified or revoked, and that hold no key: the one
      seen longest ago makes room. At most `kept_max` others, which are never dropped by themselves;
    - a name leads to one pin; a revoked pin holds no key;
    - a clock that goes back never makes `last_seen_ms` earlier.

Source: CRYPTO.md, section 6; DECISIONS.md, section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import AuthError, HostError, IdentityChanged, LimitError, UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.identity.persona import PersonaId
from whispurrnet.trust.pin import (
    Pin,
    Shelf,
    Trust,
    checked_name,
    checked_persona,
    checked_psk,
    from_row,
    to_row,
)

__all__ = ["Config", "Pin", "Pins", "Trust"]

_VERSION = 1
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Shelf)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the pins."""

    seen_max: int = 4_096
    """Pins that were only seen."""

    kept_max: int = 4_096
    """Pins with a name, a key, or a level the user gave."""


class Pins:
    """The pins of one node."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._kept: dict[PersonaId, Pin] = {}
        self._seen: LruDict[PersonaId, Pin] = LruDict(self.config.seen_max)
        self._by_name: dict[str, PersonaId] = {}

    # No `__len__`: an empty table would be false, and `pins or Pins()` another table.

    def __iter__(self) -> Iterator[Pin]:
        return iter([*self._kept.values(), *self._seen.values()])

    def __contains__(self, persona: object) -> bool:
        return persona in self._kept or persona in self._seen

    # Looking

    def get(self, persona: bytes) -> Pin | None:
        """The pin of an identity, if it has one."""
        key = PersonaId(persona)
        return self._kept.get(key) or self._seen.peek(key)

    def named(self, name: str) -> Pin | None:
        """The pin that the user gave this name, in any case."""
        persona = self._by_name.get(name.casefold())
        return self.get(persona) if persona is not None else None

    def level(self, persona: bytes) -> Trust:
        """How far an identity is trusted."""
        pin = self.get(persona)
        return pin.level if pin is not None else Trust.UNKNOWN

    def secrets(self) -> Iterator[Secret]:
        """Every key shared with a pinned identity, current ones before previous ones."""
        pins = [pin for pin in self._kept.values() if pin.psk is not None]
        yield from (pin.psk for pin in pins if pin.psk is not None)
        yield from (pin.psk_previous for pin in pins if pin.psk_previous is not None)

    def find_psk(self, matches: Callable[[Secret], bool]) -> tuple[PersonaId, Secret] | None:
        """The shared key that `matches` accepts, and whose it is."""
        for pin in self._kept.values():
            for psk in pin.psks:
                if matches(psk):
                    return pin.persona, psk
        return None

    # Meeting

    def admit(self, persona: bytes, *, psk_used: bool = False, name: str = "") -> Trust:
        """Judge an identity that was proved in a session; nothing is remembered yet.

        Args:
            persona: The identity.
            psk_used: Whether the handshake used a key shared with one peer, or that of an invite.
            name: Whom the user wanted to reach, if it was by name.

        Raises:
            AuthError: It was revoked, or a shared key is required and was not used.
            IdentityChanged: The name is that of another identity.
        """
        if name:
            self.expect(name, persona)
        pin = self.get(persona)
        if pin is None:
            return Trust.UNKNOWN
        if pin.level is Trust.REVOKED:
            raise AuthError(
                "you revoked this peer; if that was a mistake, compare the safety number once "
                "more and run `whispurr trust verify`"
            )
        if pin.psk_required and not psk_used:
            raise AuthError(
                "this peer did not use the key you share with it, which its pin requires; "
                "give it a new invite"
            )
        return pin.level

    def expect(self, name: str, persona: bytes) -> None:
        """Check that whoever answers to a name is the one it was given to.

        Raises:
            IdentityChanged: It is another one; nothing has changed.
        """
        pin = self.named(name)
        if pin is not None and pin.persona != persona:
            raise IdentityChanged(
                f"{name!r} is not who it was: it shows another key than the one pinned "
                f"({pin.level.word}); somebody may stand between you, or it has a new identity. "
                "Ask it over another way, and only then let the name lead there (`Pins.replace`)"
            )

    def seen(
        self, persona: bytes, wall_ms: int, *, name: str = "", psk: Secret | None = None
    ) -> Pin:
        """Remember that an identity was met; from unknown it becomes seen.

        Args:
            persona: The identity, proved in a session.
            wall_ms: Unix time in milliseconds.
            name: The name to give it, if it has none yet.
            psk: The key shared from now on; the one before is kept as the previous one.

        Raises:
            AuthError: It was revoked; nothing has changed.
            IdentityChanged: The name is that of another identity; nothing has changed.
            LimitError: There are too many pins; nothing has changed.
        """
        self.admit(persona, psk_used=True, name=name)
        pin = self.get(persona) or Pin(persona=checked_persona(persona), first_seen_ms=wall_ms)
        changes: dict[str, object] = {
            "level": max(pin.level, Trust.SEEN),
            "first_seen_ms": pin.first_seen_ms or wall_ms,
            "last_seen_ms": max(pin.last_seen_ms, wall_ms),
            "name": pin.name or checked_name(name),
        }
        if psk is not None and psk != pin.psk:
            changes |= {"psk": checked_psk(psk), "psk_previous": pin.psk}
        return self._put(msgspec.structs.replace(pin, **changes))

    # Deciding

    def verify(self, persona: bytes, wall_ms: int) -> Pin:
        """The user compared the safety number, and it is the same on both sides.

        This takes a revocation back, too.

        Raises:
            LimitError: There are too many pins.
        """
        pin = self.get(persona) or Pin(persona=checked_persona(persona), first_seen_ms=wall_ms)
        return self._put(msgspec.structs.replace(pin, level=Trust.VERIFIED))

    def revoke(self, persona: bytes, wall_ms: int) -> Pin:
        """Never again: sessions with this identity are refused, and keys shared with it forgotten.

        Raises:
            LimitError: There are too many pins.
        """
        pin = self.get(persona) or Pin(persona=checked_persona(persona), first_seen_ms=wall_ms)
        return self._put(
            msgspec.structs.replace(
                pin, level=Trust.REVOKED, psk=None, psk_previous=None, psk_required=False
            )
        )

    def restore(self, persona: bytes) -> Pin:
        """Take a revocation or a verification back: the identity is merely seen.

        Raises:
            UsageError: It is not pinned.
        """
        return self._put(msgspec.structs.replace(self._known(persona), level=Trust.SEEN))

    def rename(self, persona: bytes, name: str) -> Pin:
        """Give a pinned identity a name, or none (an empty one).

        Raises:
            UsageError: It is not pinned, or the name is taken or malformed.
            LimitError: There are too many pins.
        """
        pin = self._known(persona)
        holder = self.named(name) if name else None
        if holder is not None and holder.persona != persona:
            raise UsageError(f"{name!r} is the name of another peer; choose another one")
        return self._put(msgspec.structs.replace(pin, name=checked_name(name)))

    def replace(self, name: str, persona: bytes, wall_ms: int) -> Pin:
        """The user accepts that a name now leads to another identity, at the level seen.

        Raises:
            UsageError: Nobody is pinned under this name, or the other one was revoked.
            LimitError: There are too many pins.
        """
        old = self.named(name)
        if old is None:
            raise UsageError(f"nobody is pinned as {name!r}; look for it among the pins")
        pin = self.get(persona) or Pin(persona=checked_persona(persona), first_seen_ms=wall_ms)
        if pin.level is Trust.REVOKED:
            raise UsageError("you revoked this peer; restore or verify it first")
        if old.persona == persona:
            return old
        if old.level is Trust.REVOKED:  # stays so, without the name
            self._check_room(pin.persona)
            self._put(msgspec.structs.replace(old, name=""))
        else:
            self.forget(old.persona)
        level = max(pin.level, Trust.SEEN)
        last_seen_ms = max(pin.last_seen_ms, wall_ms)
        return self._put(
            msgspec.structs.replace(pin, name=old.name, level=level, last_seen_ms=last_seen_ms)
        )

    def require_psk(self, persona: bytes, *, required: bool = True) -> Pin:
        """Refuse sessions with this identity that do not use the shared key (or no longer so).

        Raises:
            UsageError: It is not pinned, or there is no shared key.
        """
        pin = self._known(persona)
        if required and pin.psk is None:
            raise UsageError("no key is shared with this peer yet; meet it by an invite first")
        return self._put(msgspec.structs.replace(pin, psk_required=required))

    def forget(self, persona: bytes) -> None:
        """Remember nothing of an identity, not even that it was revoked."""
        key = PersonaId(persona)
        pin = self._kept.pop(key, None) or self._seen.pop(key)
        if pin is not None and pin.name:
            del self._by_name[pin.name.casefold()]

    # Keeping

    def encode(self) -> Secret:
        """All pins with the shared keys, for `disk.vault`."""
        return Secret(_ENCODER.encode(Shelf(_VERSION, [to_row(pin) for pin in self])))

    @classmethod
    def decode(cls, data: bytes, config: Config | None = None) -> Pins:
        """The pins that were encoded; empty data means none.

        Raises:
            HostError: It is damaged, or of another version.
        """
        pins = cls(config)
        if not data:
            return pins
        try:
            shelf = _DECODER.decode(data)
            if shelf.version != _VERSION:
                raise HostError(
                    f"the pins on disk have version {shelf.version}, and this program reads "
                    f"version {_VERSION}; use the release that wrote them"
                )
            for row in shelf.rows:
                pins._put(from_row(row))
        except (msgspec.DecodeError, ValueError, UsageError, LimitError) as error:
            raise HostError(
                "the pins on disk are damaged; restore them from a copy, or remove the state "
                "folder and compare the safety numbers again"
            ) from error
        return pins

    def _known(self, persona: bytes) -> Pin:
        pin = self.get(persona)
        if pin is None:
            raise UsageError("this peer is not pinned; connect to it first")
        return pin

    def _check_room(self, persona: PersonaId) -> None:
        if persona not in self._kept and len(self._kept) >= self.config.kept_max:
            raise LimitError(
                f"{self.config.kept_max} pins with a name or a level are the most; forget some"
            )

    def _put(self, pin: Pin) -> Pin:
        """Store a pin where it belongs."""
        keep = pin.level is not Trust.SEEN or bool(pin.name) or pin.psk is not None
        if keep:
            self._check_room(pin.persona)
        holder = self.named(pin.name) if pin.name else None
        if holder is not None and holder.persona != pin.persona:
            raise UsageError(f"{pin.name!r} is the name of two peers; rename one")
        self.forget(pin.persona)
        if keep:
            self._kept[pin.persona] = pin
        else:
            self._seen.put(pin.persona, pin)
        if pin.name:
            self._by_name[pin.name.casefold()] = pin.persona
        if __debug__:
            assert not (pin.persona in self._kept and pin.persona in self._seen)
            assert len(self._by_name) <= len(self._kept) <= self.config.kept_max
        return pin
