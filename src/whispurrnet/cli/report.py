"""doctor --report: a text to paste. Only numbers and words of this program are in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

SYSTEMS: Final = ("Linux", "Darwin", "Windows")
STATES: Final = ("ok", "problem", "not checked")
#: A version as Python packages have one, without a local part, which may say anything.
_VERSION: Final = re.compile(r"\d{1,6}(\.\d{1,8}){0,4}((a|b|rc|\.post|\.dev)\d{1,6})?")


def redacted(
    versions: Mapping[str, str],
    checks: Iterable[Mapping[str, Any]],
    node: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The report as data.

    Args:
        versions: Of what runs here.
        checks: What the doctor found on this machine; their titles are ours, their causes not.
        node: The report of the running node, made of closed sets by the node; None without one.
    """
    return {
        "versions": {name: _version(name, text) for name, text in versions.items()},
        "machine": {
            str(check["title"]): next((one for one in STATES if one == check["state"]), "other")
            for check in checks
        },
        "node": dict(node) if node is not None else None,
    }


def _version(name: str, text: str) -> str:
    if name == "system":
        return next((one for one in SYSTEMS if one == text), "other")
    if text == "not installed":
        return text
    match = _VERSION.match(text)
    return match[0] if match is not None else "other"


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """The report as text."""
    lines = ["WhispurrNet report; no id, name, address, path or topic is in it", ""]
    lines += [f"{name} {text}" for name, text in report["versions"].items()]
    lines += ["", *_pairs("machine", report["machine"])]
    node = report["node"]
    if node is None:
        return [*lines, "", "no node is running"]
    lines += [
        "",
        *_pairs("node", {k: v for k, v in node.items() if not isinstance(v, dict | list)}),
    ]
    parts = ("listening", "settings", "checks", "problems", "counters", "gossip", "processing_us")
    for part in parts:
        plain = node.get(part, {})
        shown = {n: v for n, v in plain.items() if part == "settings" or v not in (0, "ok")}
        lines += ["", *_pairs(part, shown)] if shown else []
    for number, peer in enumerate(node["peers"], 1):
        words = ", ".join(f"{name}={_plain(value)}" for name, value in peer.items())
        lines.append(("\n" if number == 1 else "") + f"peer {number}: {words}")
    return lines


def _pairs(part: str, values: Mapping[str, Any]) -> list[str]:
    return [f"{part}:", *(f"  {name}: {_plain(value)}" for name, value in values.items())]


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value == "" else str(value)
