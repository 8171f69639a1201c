"""NATs in memory: who can dial whom.

Each node stands behind a NAT of its own, or behind none. What a dial does to a NAT is what its
first packet does: it opens a hole in the caller's, and comes through the target's only if a hole
there lets it. So two nodes behind cones reach each other when both dial; behind a symmetric one,
which takes another port for everybody it talks to, nobody is ever found at a known address.

    kind             lets in, while its mapping lasts
    open             everybody
    full_cone        everybody, once it has dialled anybody
    restricted       whomever it dialled, from any port
    port_restricted  whomever it dialled, from the very port it dialled
    symmetric        nobody at an address that others can know

Source: RFC 3489, section 5; RFC 4787, sections 4 and 5, names the same by mapping and filtering.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal["open", "full_cone", "restricted", "port_restricted", "symmetric"]

KINDS: tuple[Kind, ...] = get_args(Kind)

HOLE_S = 60.0
"""How long a NAT remembers that somebody was dialled, in seconds."""


class Nats:
    """The NATs of all nodes; a node that was never named stands behind none."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}
        self._dialled_at: dict[str, dict[str, float]] = {}

    def put(self, node: str, kind: Kind) -> None:
        """Put a node behind a NAT of this kind."""
        self._kinds[node] = kind

    def kind(self, node: str) -> Kind:
        """What a node stands behind."""
        return self._kinds.get(node, "open")

    def forget(self, node: str) -> None:
        """A node is gone, and its NAT forgets whom it dialled."""
        self._dialled_at.pop(node, None)

    def dial(self, caller: str, target: str, now: float, *, in_use: bool = False) -> bool:
        """A dial from one node to the known address of another; whether it comes through.

        Args:
            caller: Who dials; a hole for the target opens in its NAT either way.
            target: Who is dialled.
            now: The time, in seconds.
            in_use: Whether a link of the target keeps its mapping alive.
        """
        if self.kind(caller) != "open":
            self._dialled_at.setdefault(caller, {})[target] = now
        holes = self._dialled_at.get(target, {})
        hole = now - holes.get(caller, -HOLE_S) < HOLE_S
        match self.kind(target):
            case "open":
                return True
            case "full_cone":
                return in_use or any(now - at < HOLE_S for at in holes.values())
            case "restricted":
                return hole
            case "port_restricted":
                return hole and self.kind(caller) != "symmetric"
            case "symmetric":
                return False
