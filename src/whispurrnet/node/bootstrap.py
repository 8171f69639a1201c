"""The bootstrap peers: called at the start, for ever, and told of in `status` until they answer."""

from __future__ import annotations

from whispurrnet.base.errors import UsageError
from whispurrnet.node.status import Problem
from whispurrnet.node.targets import target_of
from whispurrnet.stack.events import Connect

PATIENCE_S = 5.0
"""A bootstrap peer that has not answered for so long is a problem."""


class Bootstrap:
    """What became of each bootstrap target of the settings.

    Args:
        targets: Tickets or addresses.
        now: Monotonic time in seconds.
        relay: Whether they are relays, at which the node is to have a place.
    """

    def __init__(self, targets: tuple[str, ...], now: float, *, relay: bool = False) -> None:
        self._targets = targets
        self._relay = relay
        self._name, self._key = ("relay", "nat.relays") if relay else ("bootstrap", "bootstrap")
        self._since = now
        self._waiting: dict[int, int] = {}
        self._unusable: dict[int, str] = {}

    def calls(self, refs: list[int], wall_ms: int) -> list[Connect]:
        """One call a target; one that cannot be used becomes a problem, not the end of the start.

        Args:
            refs: A number for each target.
            wall_ms: Unix time in milliseconds.
        """
        made: list[Connect] = []
        for place, (target, ref) in enumerate(zip(self._targets, refs, strict=True), 1):
            try:
                relay = self._relay
                made.append(
                    target_of(target, ref, wall_ms, persistent=True, keep=relay, relay=relay)
                )
            except UsageError as error:
                self._unusable[place] = str(error)
            else:
                self._waiting[ref] = place
        return made

    def reached(self, ref: int) -> None:
        """The peer of a call is connected; other calls are ignored."""
        self._waiting.pop(ref, None)

    def problems(self, now: float) -> list[Problem]:
        """Those that cannot be used, and those that do not answer."""
        found = [
            Problem(
                f"{self._name} {place} cannot be used",
                reason,
                f"change `{self._key}` in the settings",
            )
            for place, reason in self._unusable.items()
        ]
        if now - self._since >= PATIENCE_S:
            found += [
                Problem(
                    f"{self._name} {place} does not answer",
                    "nobody is there, or it does not know us: an address alone is answered only by "
                    "a node with the same network_secret, or with accept_first_contact = true",
                    "it is called again by itself; a fresh ticket needs neither",
                )
                for place in self._waiting.values()
            ]
        return found
