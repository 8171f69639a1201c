"""What is kept and what may go: pins, leases, collections and their members, garbage.

Kept is what is pinned, what has a lease that runs, and what belongs to a collection that is kept.
All else goes after an hour in which nobody used it. When there is still more than the quota allows,
what is not pinned goes too, least recently used first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from whispurrnet.base.errors import ProtocolError
from whispurrnet.disk.shelf_index import REFERENCE, WHOLE, Index
from whispurrnet.store import manifest
from whispurrnet.wire.ids import ObjectId

GRACE_MS = 3_600_000
"""How long an object is safe after it came or was used: a collection comes after its members."""
BATCH = 256
"""How many objects one transaction removes."""
ROOTS_MAX = 100_000
"""How many collections around an object are named at most."""

_GARBAGE = """
    WITH RECURSIVE kept (oid) AS (
        SELECT oid FROM pin UNION SELECT oid FROM object WHERE lease_ms > :now UNION
        SELECT member.child FROM member JOIN kept ON member.parent = kept.oid
    )
    SELECT oid FROM object
    WHERE used_ms < :now - :grace AND oid NOT IN (SELECT oid FROM kept) ORDER BY id
"""
_SURPLUS = """
    WITH RECURSIVE kept (oid) AS (
        SELECT oid FROM pin UNION
        SELECT member.child FROM member JOIN kept ON member.parent = kept.oid
    )
    SELECT oid, size FROM object
    WHERE used_ms < :now - :grace AND oid NOT IN (SELECT oid FROM kept)
        AND state = :whole AND place != :reference ORDER BY used_ms, id
"""


class Keeping:
    """The pins, leases and collections of a shelf.

    Args:
        index: The database.
    """

    def __init__(self, index: Index) -> None:
        self._index = index

    def pin(self, oid: ObjectId) -> None:
        """Keep this object, and what belongs to it, until it is unpinned. It may come later."""
        with self._index.change() as base:
            base.execute("INSERT OR IGNORE INTO pin VALUES (?)", (oid,))

    def unpin(self, oid: ObjectId) -> None:
        """Do not keep this object for its pin any more."""
        with self._index.change() as base:
            base.execute("DELETE FROM pin WHERE oid = ?", (oid,))

    def pins(self) -> list[ObjectId]:
        """What is pinned, whether it is there or not."""
        return [ObjectId(oid) for (oid,) in self._index.rows("SELECT oid FROM pin ORDER BY oid")]

    def lease(self, oid: ObjectId, until_ms: int) -> None:
        """Keep this object until then, and not longer for its lease; Unix milliseconds."""
        with self._index.change() as base:
            base.execute("UPDATE object SET lease_ms = ? WHERE oid = ?", (until_ms, oid))

    def members(self, root: ObjectId) -> list[ObjectId]:
        """What belongs to a collection, all the way down, as far as its collections are here."""
        rows = self._index.rows(
            "WITH RECURSIVE below (oid) AS (SELECT child FROM member WHERE parent = ? UNION"
            " SELECT member.child FROM member JOIN below ON member.parent = below.oid)"
            " SELECT oid FROM below ORDER BY oid",
            (root,),
        )
        return [ObjectId(oid) for (oid,) in rows]

    def roots_of(self, oid: ObjectId) -> list[ObjectId]:
        """The object itself, and all collections that it belongs to, near ones first."""
        rows = self._index.rows(
            "WITH RECURSIVE above (oid) AS (VALUES (?) UNION"
            " SELECT member.parent FROM member JOIN above ON member.child = above.oid)"
            " SELECT oid FROM above LIMIT ?",
            (oid, ROOTS_MAX),
        )
        return [ObjectId(root) for (root,) in rows]

    def roots_of_each(self, oids: Sequence[ObjectId]) -> dict[ObjectId, list[ObjectId]]:
        """`roots_of` for many objects at once."""
        found: dict[ObjectId, list[ObjectId]] = {oid: [] for oid in oids}
        names = list(found)
        for at in range(0, len(names), BATCH):
            batch = names[at : at + BATCH]
            rows = self._index.rows(
                f"WITH RECURSIVE above (oid, root) AS (VALUES {', '.join(['(?, ?)'] * len(batch))}"  # noqa: S608
                " UNION SELECT above.oid, member.parent FROM member JOIN above"
                " ON member.child = above.root) SELECT oid, root FROM above LIMIT ?",
                [*(name for name in batch for _ in range(2)), ROOTS_MAX],
            )
            for oid, root in rows:
                found[ObjectId(oid)].append(ObjectId(root))
        return found

    def note_members(self, oid: ObjectId, children: Iterable[ObjectId]) -> None:
        """Remember what a collection names."""
        with self._index.change() as base:
            base.executemany(
                "INSERT OR IGNORE INTO member VALUES (?, ?)", ((oid, child) for child in children)
            )

    def garbage(self, now_ms: int) -> list[ObjectId]:
        """What nobody keeps any more; parts too."""
        rows = self._index.rows(_GARBAGE, {"now": now_ms, "grace": GRACE_MS})
        return [ObjectId(oid) for (oid,) in rows]

    def surplus(self, now_ms: int, bytes: int) -> list[ObjectId]:
        """Whole objects to let go so that `bytes` more fit, least recently used first."""
        rows = self._index.rows(
            _SURPLUS,
            {"now": now_ms, "grace": GRACE_MS, "whole": WHOLE, "reference": REFERENCE},
        )
        chosen: list[ObjectId] = []
        for oid, size in rows:
            if bytes <= 0:
                break
            chosen.append(ObjectId(oid))
            bytes -= size
        return chosen


def children_of(data: bytes) -> list[ObjectId]:
    """What an object names, if it is a collection; nothing if it is not or is malformed."""
    if not manifest.is_manifest(data):
        return []
    try:
        return manifest.children(manifest.decode(data))
    except ProtocolError:
        return []
