"""The sets of a shelf: which objects are in each, and since when.

A set counts as a collection that is pinned: what is in it is kept, and is seen by who may see it.
"""

from __future__ import annotations

from collections.abc import Sequence

from whispurrnet.disk.shelf_index import Index
from whispurrnet.store.sync_messages import Entry


class Sets:
    """The sets.

    Args:
        index: The database.
    """

    def __init__(self, index: Index) -> None:
        self._index = index

    def names(self) -> list[bytes]:
        """Those that are kept, each by its 32 bytes."""
        rows = self._index.rows("SELECT substr(name, 5) FROM kept WHERE name LIKE 'set %'")
        return [bytes.fromhex(name) for (name,) in rows]

    def make(self, name: bytes) -> None:
        """Keep a set from now on."""
        with self._index.change() as base:
            base.execute("INSERT OR IGNORE INTO pin VALUES (?)", (name,))
            base.execute("INSERT OR IGNORE INTO kept VALUES (?, x'')", (f"set {name.hex()}",))

    def entries(self, name: bytes) -> list[Entry]:
        """What is in a set, in the order in which it came."""
        rows = self._index.rows(
            "SELECT time_s, oid, size, collection FROM entry WHERE name = ? ORDER BY time_s, oid",
            (name,),
        )
        return [Entry(time_s, oid, size, bool(folder)) for time_s, oid, size, folder in rows]

    def put(self, name: bytes, entries: Sequence[Entry]) -> None:
        """These are in a set, or have another time in it."""
        with self._index.change() as base:
            base.executemany(
                "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)",
                ((name, one.oid, one.time_s, one.size, one.collection) for one in entries),
            )
            base.executemany(
                "INSERT OR IGNORE INTO member VALUES (?, ?)", ((name, one.oid) for one in entries)
            )

    def drop(self, name: bytes, oid: bytes) -> None:
        """This is in it no longer."""
        with self._index.change() as base:
            base.execute("DELETE FROM entry WHERE name = ? AND oid = ?", (name, oid))
            base.execute("DELETE FROM member WHERE parent = ? AND child = ?", (name, oid))

    def leave(self, name: bytes) -> None:
        """Keep a set, and what is in it, no longer."""
        with self._index.change() as base:
            base.execute("DELETE FROM entry WHERE name = ?", (name,))
            base.execute("DELETE FROM member WHERE parent = ?", (name,))
            base.execute("DELETE FROM pin WHERE oid = ?", (name,))
            base.execute("DELETE FROM kept WHERE name = ?", (f"set {name.hex()}",))
