"""Looking for a name at several rendezvous points at once, page by page.

Invariants:
    - each contact is found once, and at most so many;
    - a point is asked for so many pages at most, and heard only when it was asked.
"""

from __future__ import annotations

from typing import NamedTuple

from whispurrnet.discovery.notices import ENTRIES_MAX, Discover, Name, Registrations


class Page(NamedTuple):
    """What an answer brought."""

    contacts: tuple[bytes, ...]
    """Those that are new."""
    more: Discover | None
    """What to ask the same point next; None: it has said all it has to say."""


class Search:
    """One search.

    Args:
        name: What to look for.
        points_max: How many points may be asked at the same time.
        contacts_max: How many contacts are found at most.
        pages_max: How often one point is asked at most.
    """

    def __init__(self, name: Name, points_max: int, contacts_max: int, pages_max: int) -> None:
        self.name = name
        self._points_max = points_max
        self._contacts_max = contacts_max
        self._pages_max = pages_max
        self._pages: dict[int, int] = {}
        self._found: dict[bytes, None] = {}

    @property
    def done(self) -> bool:
        """Whether no answer is awaited."""
        return not self._pages

    def ask(self, peer: int) -> Discover | None:
        """What to ask a point, or None if its answer is awaited, or enough others are asked."""
        if peer in self._pages or len(self._pages) >= self._points_max:
            return None
        self._pages[peer] = 1
        return Discover(self.name.key, ENTRIES_MAX, b"")

    def drop(self, peer: int) -> bool:
        """A point will not answer; whether it should have."""
        return self._pages.pop(peer, None) is not None

    def read(self, peer: int, answer: Registrations) -> Page | None:
        """Take an answer; None if it was not asked for."""
        if peer not in self._pages:
            return None
        room = self._contacts_max - len(self._found)
        new: dict[bytes, None] = {}
        for sealed in answer.entries:
            contact = self.name.open(sealed)
            if contact is not None and contact not in self._found and len(new) < room:
                new[contact] = None
        self._found.update(new)
        full = len(answer.entries) == ENTRIES_MAX and len(new) < room
        if full and answer.cookie and self._pages[peer] < self._pages_max:
            self._pages[peer] += 1
            return Page(tuple(new), Discover(self.name.key, ENTRIES_MAX, answer.cookie))
        del self._pages[peer]
        return Page(tuple(new), None)

    def check_invariants(self) -> None:
        """Assert what must be true."""
        assert len(self._pages) <= self._points_max
        assert len(self._found) <= self._contacts_max
        assert all(pages <= self._pages_max for pages in self._pages.values())
