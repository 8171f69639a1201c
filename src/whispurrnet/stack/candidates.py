"""Who may become a neighbour: how such a node is called, and where else to look for one.

An overlay calls whom its neighbours tell it of. One that is in need and knows nobody (`Seek`) is
shown whom the address book has: those reached before, those that beacons, mDNS or names led to, and
those of tickets. Their owners did not agree that others are told of them, so nobody is.

Invariants:
    - whoever was sent away for good is not called;
    - the book is looked into every `LOOK_S` at most, for `LOOK_MAX` nodes at most.
"""

from __future__ import annotations

from collections.abc import Iterator

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.discovery.book import Entry, Source
from whispurrnet.gossip.contact import ADDRESSES_MAX, KEY_BYTES, Contact
from whispurrnet.stack.calls import Call
from whispurrnet.stack.overlay import Overlay
from whispurrnet.stack.reach import Reach, reach
from whispurrnet.stack.shared import Shared

SHUNNED_MAX = 1024
SURE_MAX = 64
ADDRESS_BYTES_MAX = 200

LOOK_S = 10.0
"""How often the book is looked into for one overlay, in seconds."""

LOOK_MAX = 8
"""How many nodes it is shown at a time."""

FAILED_S, FAILED_DOUBLINGS_MAX = 60.0, 5
"""An address that failed is not looked at for so long, in seconds, and longer each time."""


class Candidates:
    """The nodes that may become neighbours.

    Args:
        shared: What the parts of the stack share.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._shunned: LruDict[bytes, None] = LruDict(SHUNNED_MAX)
        """Keys of peers that are called only if somebody asks for it."""
        self._sure: LruDict[bytes, tuple[str, ...]] = LruDict(SURE_MAX)
        """Where nodes are that were reached there before: that is no hearsay."""
        self._looked_at: dict[int, float] = {}
        """When the book was last looked into, by shard."""

    def shun(self, key: bytes) -> None:
        """Somebody said goodbye for good: do not call it as a neighbour."""
        self._shunned.put(key, None)

    def forgive(self, key: bytes) -> None:
        """Somebody wants it again."""
        self._shunned.pop(key)

    def trust(self, contact: Contact) -> None:
        """It was reached there before, or somebody gave it to us."""
        self._sure.put(contact.key, contact.addresses)

    def call(self, contact: Contact, now: float) -> None:
        """Reach a node that may become a neighbour; if it cannot be called, hope is lost at once.

        Args:
            contact: Whom.
            now: Monotonic time in seconds.
        """
        is_sure = self._sure.peek(contact.key) == contact.addresses
        fit = contact.addresses if is_sure else self._callable(contact.addresses)
        call = Call(contact.key, fit)
        call.keep = False
        try:
            if contact.key in self._shunned:
                raise LimitError("somebody said goodbye to it for good")
            if not call.addresses:
                raise UsageError("its addresses are none that we would call on hearsay")
            if not self._shared.roster.reached(contact.key):
                _, effects = self._shared.calls.want(call, Source.HEARD, now)
                self._shared.out += effects
        except (LimitError, UsageError):
            self._shared.calls.lost_hope.append(contact.key)

    def _callable(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Those no closer than where we are already: nobody may lead us into our own house."""
        lives = (record.live for record in self._shared.roster)
        called = [live.address for live in lives if live is not None and live.initiator]
        ours = min(map(reach, (*self._shared.addresses, *called)), default=Reach.WORLD)
        return tuple(address for address in addresses if reach(address) >= ours)

    def look(self, overlay: Overlay, now: float) -> None:
        """Show an overlay that is in need whom the address book has.

        Args:
            overlay: Which.
            now: Monotonic time in seconds.
        """
        looked_at = self._looked_at.get(overlay.shard)
        if looked_at is not None and now < looked_at + LOOK_S:
            return
        self._looked_at[overlay.shard] = now
        left = LOOK_MAX
        for contact in self._found(now):
            overlay.consider(contact, now, is_shared=False)
            left -= 1
            if not left:
                return

    def _found(self, now: float) -> Iterator[Contact]:
        """Nodes whose keys may still be good, those that were reached first."""
        shared = self._shared
        wall_s, life_s = shared.wall() // 1000, shared.config.identity.lifetime_s
        up = {record.static_key for record in shared.roster if record.live is not None}
        for key in shared.calls.book.peers():
            if len(key) != KEY_BYTES or key in up or key in self._shunned:
                continue
            fit = [one for one in shared.calls.book.entries(key) if _is_fit(one, life_s, now)]
            if fit:
                ends_s = wall_s + int(life_s - now + max(one.heard_at for one in fit))
                contact = Contact(key, tuple(one.address for one in fit[:ADDRESSES_MAX]), ends_s)
                if all(one.source > Source.HEARD or one.worked_at for one in fit):
                    self.trust(contact)
                yield contact


def _is_fit(entry: Entry, life_s: float, now: float) -> bool:
    """Whether an address may lead to its node: a key that is older than its life does not."""
    if len(entry.address) > ADDRESS_BYTES_MAX or entry.heard_at + life_s <= now:
        return False
    if entry.failed_at is None or not entry.failures:
        return True
    return entry.failed_at + FAILED_S * 2.0 ** min(entry.failures, FAILED_DOUBLINGS_MAX) <= now
