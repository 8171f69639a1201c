"""Who may see what: which roots are shared, and with whom.

What is shared is a root: an object, a collection with all that is in it, or a set that is kept in
step (`store.sync`). Whoever may see one root above an object may see the object. A root is shared
with everyone in the realm, with personas, with peers, or with whoever holds its capability: a
secret of 32 bytes that goes from hand to hand, as in a ticket. Nobody shows the secret itself:

    proof = HMAC-SHA-256(cap, "WN1 object access" | handshake hash | role u8 | root)

The role is 1 for the side that began the session. So a proof is good in one session, for one of
its two ends and for one root; who receives it cannot show it to a third.

What a peer may not see and what is not here look alike: `prove` says only no, after the same
work, and who answers a peer should not tell the two apart either.

Source: the project's own, in the manner of channel binding (RFC 5929, section 4).

Invariants:
    - without a grant nobody sees anything;
    - a grant that is taken back holds no longer, whatever was proven before;
    - grants to peers last as long as the program, since their ids do not last longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import HostError, LimitError, UsageError
from whispurrnet.crypto.hash import equal, hmac_sha256
from whispurrnet.crypto.keys import Secret

ROOT_BYTES = 32
CAP_BYTES = 32
PROOF_BYTES = 32
ROOTS_MAX = 100_000
"""How many roots may be shared."""
NAMES_MAX = 1024
"""With how many personas, and how many peers, a root may be shared one by one."""
PROVEN_MAX = 1024
"""For how many roots a guest may show a proof; then the one used longest ago is forgotten."""

_LABEL: Final = b"WN1 object access"
_NOBODYS: Final = Secret(CAP_BYTES)
_FORM: Final = 1

Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]


# With whom


class Everyone(msgspec.Struct, frozen=True):
    """Any peer of the realm."""


class Persona(msgspec.Struct, frozen=True):
    """Whoever has proven this long-term identity in its session."""

    id: bytes
    """32 bytes."""


class Peer(msgspec.Struct, frozen=True):
    """A peer by the id it goes by now."""

    id: bytes
    """32 bytes."""


class Holder(msgspec.Struct, frozen=True):
    """Whoever holds the root's capability."""


Whom: TypeAlias = Everyone | Persona | Peer | Holder


class Guest:
    """What is known of a peer whose session stands. Its id and persona may change meanwhile.

    Args:
        id: 32 bytes.
        handshake: The handshake hash of the session.
        initiator: Whether the peer began the session.
        persona: The id of the persona it has proven, 32 bytes, or None.
    """

    __slots__ = ("handshake", "id", "initiator", "persona", "proven")

    def __init__(
        self, id: bytes, handshake: bytes, *, initiator: bool, persona: bytes | None = None
    ) -> None:
        self.id = id
        self.handshake = handshake
        self.initiator = initiator
        self.persona = persona
        self.proven: LruDict[bytes, Secret] = LruDict(PROVEN_MAX)
        """The capabilities it has shown to hold, by root."""


class _Root:
    """With whom one root is shared."""

    __slots__ = ("cap", "everyone", "peers", "personas")

    def __init__(self) -> None:
        self.everyone = False
        self.cap: Secret | None = None
        self.personas: dict[bytes, None] = {}
        self.peers: dict[bytes, None] = {}

    def __bool__(self) -> bool:
        return self.everyone or self.cap is not None or bool(self.personas or self.peers)


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """One root, as it is kept."""

    root: Bytes32
    everyone: bool
    cap: Bytes32 | None
    personas: Annotated[tuple[Bytes32, ...], Meta(max_length=NAMES_MAX)]


class _Book(msgspec.Struct, frozen=True, array_like=True):
    """All of them."""

    form: int
    roots: Annotated[tuple[_Kept, ...], Meta(max_length=ROOTS_MAX)]


_READER = msgspec.msgpack.Decoder(_Book)


class Grants:
    """The grants of one node.

    Args:
        entropy: Gives random bytes, for capabilities.
        kept: What `encode` once gave.

    Raises:
        HostError: What was kept is damaged.
    """

    def __init__(self, entropy: Callable[[int], bytes], kept: bytes | None = None) -> None:
        self._entropy = entropy
        self._roots: dict[bytes, _Root] = {} if kept is None else _decode(kept)

    def __len__(self) -> int:
        return len(self._roots)

    def __contains__(self, root: object) -> bool:
        return root in self._roots

    # What the owner does

    def share(self, root: bytes, whom: Whom) -> Secret | None:
        """Let somebody see a root and all that is in it; again changes nothing.

        Returns:
            The capability, if that is how it is shared; one root has one.

        Raises:
            UsageError: The root or an id has not 32 bytes.
            LimitError: There are too many grants; nothing has changed.
        """
        if len(root) != ROOT_BYTES or (isinstance(whom, Persona | Peer) and len(whom.id) != 32):
            raise UsageError("a root, a persona and a peer have ids of 32 bytes each")
        entry = self._roots.get(root)
        if entry is None:
            if len(self._roots) >= ROOTS_MAX:
                raise LimitError(f"{ROOTS_MAX} roots are shared already; withdraw one first")
            entry = _Root()
        match whom:
            case Everyone():
                entry.everyone = True
            case Holder():
                entry.cap = entry.cap or Secret(self._entropy(CAP_BYTES))
            case Persona(id):
                _name(entry.personas, id)
            case Peer(id):
                _name(entry.peers, id)
        self._roots[root] = entry
        return entry.cap if isinstance(whom, Holder) else None

    def adopt(self, root: bytes, cap: Secret) -> None:
        """Let holders of this capability see a root: one that others made, or two agreed upon.

        The root's capability of before, if another, is good no longer.

        Raises:
            UsageError: One of the two has not 32 bytes.
            LimitError: Too many roots are shared; nothing has changed.
        """
        if len(cap) != CAP_BYTES:
            raise UsageError(f"a capability has {CAP_BYTES} bytes, not {len(cap)}")
        self.share(root, Holder())
        self._roots[root].cap = cap

    def withdraw(self, root: bytes, whom: Whom | None = None) -> bool:
        """Take back one grant of a root, or all (None); whether there was one."""
        entry = self._roots.get(root)
        if entry is None:
            return False
        was = True
        match whom:
            case None:
                entry = self._roots[root] = _Root()
            case Everyone():
                was, entry.everyone = entry.everyone, False
            case Holder():
                was, entry.cap = entry.cap is not None, None
            case Persona(id):
                was = id in entry.personas
                entry.personas.pop(id, None)
            case Peer(id):
                was = id in entry.peers
                entry.peers.pop(id, None)
        if not entry:
            del self._roots[root]
        return was

    def rename(self, old: bytes, new: bytes) -> None:
        """A peer goes by another id now: what was shared with the old one is shared with it."""
        for entry in self._roots.values():
            if old in entry.peers:
                del entry.peers[old]
                entry.peers[new] = None

    def whom(self, root: bytes) -> list[Whom]:
        """With whom a root is shared."""
        entry = self._roots.get(root)
        if entry is None:
            return []
        found: list[Whom] = [Everyone()] if entry.everyone else []
        found += [Holder()] if entry.cap is not None else []
        found += map(Persona, entry.personas)
        return found + [Peer(id) for id in entry.peers]

    def cap(self, root: bytes) -> Secret | None:
        """The capability of a root, if it has one."""
        entry = self._roots.get(root)
        return None if entry is None else entry.cap

    def roots(self) -> list[bytes]:
        """All roots that are shared with anybody, in the order they were."""
        return list(self._roots)

    # What peers do

    def prove(self, guest: Guest, root: bytes, shown: bytes) -> bool:
        """A guest shows that it holds a root's capability; whether it does.

        No tells nothing else: an unknown root, one without a capability and a wrong proof take the
        same work. A capability cannot be guessed, so a wrong proof is no attack but a mistake.
        """
        entry = self._roots.get(root)
        cap = None if entry is None else entry.cap
        expected = proof(cap or _NOBODYS, root, guest.handshake, initiator=guest.initiator)
        if not equal(expected, shown) or cap is None:
            return False
        guest.proven.put(root, cap)
        return True

    def may(self, guest: Guest, roots: Iterable[bytes]) -> bool:
        """Whether a guest may see an object that is in these roots (or is one of them)."""
        return any(self._may(guest, root) for root in roots)

    def _may(self, guest: Guest, root: bytes) -> bool:
        entry = self._roots.get(root)
        if entry is None:
            return False
        if entry.everyone or guest.id in entry.peers:
            return True
        if guest.persona is not None and guest.persona in entry.personas:
            return True
        held = None if entry.cap is None else guest.proven.get(root)
        return held is not None and entry.cap is not None and equal(held, entry.cap)

    # Keeping

    def encode(self) -> bytes:
        """All grants but those to peers, to be kept; it holds secrets."""
        kept = [
            _Kept(root, entry.everyone, entry.cap and bytes(entry.cap), tuple(entry.personas))
            for root, entry in self._roots.items()
            if entry.everyone or entry.cap is not None or entry.personas
        ]
        return msgspec.msgpack.encode(_Book(_FORM, tuple(kept)))

    def check_invariants(self) -> None:
        """Assert what must be true; looks at everything."""
        assert len(self._roots) <= ROOTS_MAX
        for root, entry in self._roots.items():
            assert len(root) == ROOT_BYTES and entry
            assert len(entry.personas) <= NAMES_MAX and len(entry.peers) <= NAMES_MAX


def proof(cap: bytes, root: bytes, handshake: bytes, *, initiator: bool) -> bytes:
    """What shows the other end of a session that we hold a capability; 32 bytes.

    Args:
        cap: The capability, 32 bytes.
        root: What it lets see, 32 bytes.
        handshake: The handshake hash of the session.
        initiator: Whether the one who shows it began the session.
    """
    return hmac_sha256(cap, _LABEL, handshake, bytes((initiator,)), root)


def _name(names: dict[bytes, None], id: bytes) -> None:
    if id not in names and len(names) >= NAMES_MAX:
        raise LimitError(
            f"a root is shared with {NAMES_MAX} by name at most; share it by capability instead"
        )
    names[id] = None


def _decode(kept: bytes) -> dict[bytes, _Root]:
    try:
        book = _READER.decode(kept)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HostError("the list of what is shared with whom is damaged: share again") from error
    if book.form != _FORM:
        raise HostError(
            f"the list of what is shared with whom is of form {book.form}, and this version "
            f"reads {_FORM}: update, or share again"
        )
    roots: dict[bytes, _Root] = {}
    for one in book.roots:
        entry = roots[one.root] = _Root()
        entry.everyone = one.everyone
        entry.cap = None if one.cap is None else Secret(one.cap)
        entry.personas = dict.fromkeys(one.personas)
        if not entry:
            del roots[one.root]
    return roots
