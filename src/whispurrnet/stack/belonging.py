"""How this node belongs to a closed realm, and who else does.

A realm with a founder is closed: only who shows a chain of invites that begins with the founder
(`trust.chain`) takes part in its gossip and its meeting places. Without a founder everybody does,
except those who say that they belong to a closed one: they would not listen.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import AuthError, ProtocolError
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.sign import SEED_BYTES, SigningKey
from whispurrnet.stack import greeting
from whispurrnet.stack.config import MembersConfig
from whispurrnet.stack.roster import Record
from whispurrnet.trust import chain
from whispurrnet.trust.chain import Chain, Member, Realm

VERIFIED_MAX = 256
"""Chains whose signatures are not checked again."""


class Holding(msgspec.Struct, frozen=True):
    """What a node keeps of its membership."""

    seed: Secret
    """32 bytes, of which its key is made."""
    chain: bytes = b""
    """As `chain.encode` gives it; empty: nobody has let it in yet."""

    def __repr__(self) -> str:
        return "Holding(...)"


class Belonging:
    """The membership of this node, and the judge of others'.

    Args:
        config: Who founded the realm, and what we give.
        network: The key that all nodes of the network have.
        holding: What was kept; without it a key is made.
        entropy: Gives that many random bytes.
        wall: Unix time in milliseconds.
    """

    def __init__(
        self,
        config: MembersConfig,
        network: bytes,
        holding: Holding | None,
        entropy: Callable[[int], bytes],
        wall: Callable[[], int],
    ) -> None:
        self._config = config
        self._wall = wall
        self._verified: LruDict[bytes, Member] = LruDict(VERIFIED_MAX)
        self._chain: Chain | None = None
        self.realm: Realm | None = None
        if config.founder is None:
            return
        self.realm = chain.realm_of(network, config.founder)
        kept = holding or Holding(Secret(entropy(SEED_BYTES)))
        self._seed = kept.seed
        self._key = SigningKey.from_bytes(kept.seed)
        if self._key.public == config.founder:
            self._chain = ()
        elif kept.chain:
            try:
                self._take(kept.chain, self.realm)
            except (AuthError, ProtocolError):
                self._chain = None  # it has expired, or is of a realm that this one replaced

    @property
    def is_closed(self) -> bool:
        """Whether the realm is for members only."""
        return self.realm is not None

    @property
    def public(self) -> bytes:
        """Our public key in the closed realm; 32 bytes."""
        assert self.realm is not None, "an open realm has no members"
        return self._key.public

    @property
    def is_founder(self) -> bool:
        """Whether we founded the closed realm."""
        return self.realm is not None and self._key.public == self.realm.founder

    @property
    def member(self) -> Member | None:
        """What we are in the closed realm; None: nothing, or no longer."""
        if self.realm is None or self._chain is None:
            return None
        try:
            return self._verify(chain.encode(self._chain), self.realm)
        except AuthError:
            return None

    @property
    def links(self) -> int:
        """How many links are between the founder and us."""
        return len(self._chain or ())

    @property
    def may_invite(self) -> bool:
        """Whether whom we invite can become a member."""
        ours = self.member
        return ours is not None and (self.is_founder or ours.depth > 0)

    @property
    def holding(self) -> Holding | None:
        """What to keep; None in an open realm, and of the founder, whose key is in a file."""
        if self.realm is None or self.is_founder:
            return None
        return Holding(self._seed, chain.encode(self._chain) if self._chain else b"")

    def admits(self, record: Record) -> bool:
        """Whether a peer takes part in the same realm as we."""
        if self.realm is None:
            return not record.capabilities & greeting.CLOSED_REALM
        return record.member is not None

    # What we say

    def show(self, binding: bytes, role: int) -> greeting.Belong | None:
        """Our membership, for one channel and from one of its ends; None if we have none."""
        if self.realm is None or self._chain is None or self.member is None:
            return None
        signature = chain.sign_for(self._key, chain.SHOWN, self.realm, binding, role)
        return greeting.Belong(chain.encode(self._chain), signature)

    def ask(self, binding: bytes, role: int, psk: Secret | None = None) -> greeting.Apply:
        """The question to be made a member, by an invite that did not open the session."""
        assert self.realm is not None, "an open realm has no members"
        signature = chain.sign_for(self._key, chain.ASKED, self.realm, binding, role)
        public = self._key.public
        proof = chain.invite_mac(psk, binding, public) if psk is not None else b""
        return greeting.Apply(public, signature, proof)

    # What others say

    def check(self, message: greeting.Belong, binding: bytes, role: int) -> Member:
        """Whom we have before us.

        Raises:
            ProtocolError: It is malformed.
            AuthError: The chain is not good here and now, or was made for another channel.
        """
        assert self.realm is not None, "an open realm has no members"
        member = self._verify(message.chain, self.realm)
        chain.check_for(member.key, message.signature, chain.SHOWN, self.realm, binding, role)
        return member

    def grant(self, message: greeting.Apply, binding: bytes, role: int) -> greeting.Grant:
        """Make somebody a member.

        Raises:
            ProtocolError: The key is not that of who asks, or is above us in our chain.
            AuthError: We are no member.
            LimitError: We may let nobody in.
        """
        assert self.realm is not None, "an open realm has no members"
        try:
            chain.check_for(message.key, message.signature, chain.ASKED, self.realm, binding, role)
        except AuthError as error:
            raise ProtocolError("a peer asks to be a member in the name of another") from error
        if self._chain is None:
            raise AuthError("we are no member of the realm ourselves")
        config, wall_s = self._config, self._wall() // 1000
        longer = chain.issue(
            self._key,
            self._chain,
            message.key,
            self.realm,
            depth=config.depth,
            life_s=config.life_s,
            wall_s=wall_s,
        )
        return greeting.Grant(chain.encode(longer))

    def accept(self, message: greeting.Grant) -> bool:
        """Take the membership that we asked for; whether it is better than what we had.

        Raises:
            ProtocolError: It is malformed, or that of another.
            AuthError: It is not good here and now.
        """
        assert self.realm is not None, "an open realm has no members"
        ours = self.member
        given = self._verify(message.chain, self.realm)
        if given.key != self._key.public:
            raise ProtocolError("a peer gave us the membership of another")
        if ours is not None and given.expires_s <= ours.expires_s:
            return False
        self._take(message.chain, self.realm)
        return True

    def _take(self, encoded: bytes, realm: Realm) -> None:
        if self._verify(encoded, realm).key != self._key.public:
            raise AuthError("our chain of invites is that of another key")
        self._chain = chain.decode(encoded)

    def _verify(self, encoded: bytes, realm: Realm) -> Member:
        wall_s = self._wall() // 1000
        known = self._verified.get(encoded)
        if known is not None and wall_s < known.expires_s:
            return known
        member = chain.verify(chain.decode(encoded), realm, wall_s)
        self._verified.put(encoded, member)
        return member
