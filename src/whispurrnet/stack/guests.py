"""Guests: peers that want this very node, such as those whom nobody can call.

A guest gossips with us besides our neighbours and takes no place of theirs. So there are few, of
one network fewer, and of one branch of a closed realm no more than may be neighbours.
"""

from __future__ import annotations

GUESTS_PER_PREFIX = 2


class Guests:
    """The guests of a node.

    Args:
        limit: How many there may be.
        per_branch: How many of them one whom the founder let in may answer for.
    """

    def __init__(self, limit: int, per_branch: int) -> None:
        self._limit = limit
        self._per_branch = per_branch
        self._guests: dict[int, tuple[str, bytes]] = {}

    def __contains__(self, peer: object) -> bool:
        return peer in self._guests

    def __len__(self) -> int:
        return len(self._guests)

    def welcome(self, peer: int, prefix: str, branch: bytes) -> None:
        """Make a peer a guest, if there is room for it.

        Args:
            peer: Its number.
            prefix: Its network; empty counts nowhere.
            branch: Who answers for it in a closed realm; empty counts nowhere.
        """
        others = [of for guest, of in self._guests.items() if guest != peer]
        alike = sum(prefix == one for one, _ in others) if prefix else 0
        kin = sum(branch == one for _, one in others) if branch else 0
        if len(others) < self._limit and alike < GUESTS_PER_PREFIX and kin < self._per_branch:
            self._guests[peer] = (prefix, branch)

    def leave(self, peer: int) -> None:
        """A peer is no guest any more; it need not have been one."""
        self._guests.pop(peer, None)
