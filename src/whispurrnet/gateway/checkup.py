"""What the doctor finds when the node looks at itself: each with its cause and its cure."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from whispurrnet.gateway.answers import Check, DoctorAnswer

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.settings import Settings


def check_up(node: Node, settings: Settings) -> DoctorAnswer:
    """What the node finds when it looks at itself; holds no id, address or name."""
    checks = [
        _check(
            "listening for peers",
            bool(node.listeners),
            "No address could be listened on.",
            "Free the port of `listen`, or set another.",
        ),
        _check(
            "local discovery is on",
            settings.lan.enabled,
            "lan.enabled is false.",
            "Set lan.enabled = true to find peers on this network.",
        ),
        _check(
            "a peer is connected",
            any(peer.connected for peer in node.peers),
            "Nobody is connected.",
            "whispurr ticket here, whispurr join there.",
        ),
        _check(
            "connected peers use a post-quantum suite",
            all(peer.level >= 1 for peer in node.peers if peer.connected),
            "A peer has no post-quantum suite.",
            "Update its program.",
        ),
        _check(
            "stealth",
            not settings.enable_stealth,
            "Asked for, but this version does not shape traffic.",
            "Set enable_stealth = false, and do not rely on it.",
        ),
        _extra("level 1 (ML-KEM-512)", "pqcrypto", "l1"),
    ]
    problems = sum(check.state == "problem" for check in checks)
    verdict = "all is well" if not problems else f"{problems} to look at"
    return DoctorAnswer(verdict=verdict, ok=not problems, checks=tuple(checks))


def _check(title: str, good: bool, cause: str, cure: str) -> Check:
    if good:
        return Check(title=title, state="ok")
    return Check(title=title, state="problem", cause=cause, cure=cure)


def _extra(title: str, package: str, extra: str) -> Check:
    if importlib.util.find_spec(package) is not None:
        return Check(title=title, state="ok")
    cure = f"pip install 'whispurrnet[{extra}]'"
    return Check(title=title, state="not checked", cause="The extra is not installed.", cure=cure)
