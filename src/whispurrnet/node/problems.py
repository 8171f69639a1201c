"""What is not as it should be with a node, each with a cause and a cure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from whispurrnet.node.status import Problem

if TYPE_CHECKING:
    from whispurrnet.node.node import Node


def problems_of(node: Node, places: Iterable[Problem]) -> list[Problem]:
    """Everything that is wrong with a node; `places` is what is wrong with where it listens."""
    found = [*places, *node.relays.problems(node.now()), *node.bootstrap.problems(node.now())]
    if node.settings.enable_stealth:
        found.append(
            Problem(
                "stealth is only partly there",
                "the beacon is off, but traffic is not shaped yet: times and amounts show",
                "do not rely on it against somebody who watches the line",
            )
        )
    cure = 'if no proxy of yours stands there, set session.outer_binding = "refuse"'
    found += [Problem(text, "a proxy, or somebody else", cure) for text in node.warnings]
    for what, reason in node.failures.items():
        why, _, cure = reason.partition("; ")
        found.append(Problem(what, why, cure))
    return found
