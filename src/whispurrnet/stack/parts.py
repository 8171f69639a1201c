"""What every part of a stack with a time of its own looks like."""

from __future__ import annotations

from typing import Protocol


class Part(Protocol):
    """One part."""

    @property
    def deadline(self) -> float | None:
        """When something is due, in seconds."""
        ...

    def tick(self, now: float) -> None:
        """Do what is due."""
        ...
