"""`python -m bench [--peers] [--json] [--runs N] [--level L] FIGURE...`: see docs/performance.md.

Every run is a fresh process, and the networks take turns, so that a noisy neighbour disturbs all
of them alike. A run that fails is not repeated: it is shown as failed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.figures import ASKED, CANNOT, COMPARED, FIGURES, OURS, PARTS, RATIOS

ROOT = Path(__file__).resolve().parent.parent
PEERS_PYTHON = Path(os.environ.get("BENCH_VENV", ROOT / ".bench-venv")) / "bin" / "python"
TIMEOUT_S = 120.0
NAME = "whispurrnet"

Measured = dict[str, dict[str, Any]]


def run(python: str | Path, module: str, *arguments: str) -> Measured | str:
    """One run in a process of its own: what it measured, or why it failed."""
    try:
        done = subprocess.run(
            [python, "-m", module, *arguments],
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"no result in {TIMEOUT_S:g} s"
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        return f"failed: {said[-1]}"
    measured: Measured = json.loads(lines[-1])
    return measured


def measure(asked: str, implementations: list[str], runs: int, level: int) -> list[dict[str, Any]]:
    """The lines of one figure, or of the two that are measured together."""
    found: dict[str, list[Measured | str]] = {name: [] for name in implementations}
    for _ in range(runs):
        for name, results in found.items():
            if name == NAME:
                results.append(
                    run(sys.executable, OURS.get(asked, "bench.ours"), asked, str(level))
                )
            elif (asked, name) not in CANNOT:
                results.append(run(PEERS_PYTHON, COMPARED[asked][name], asked))
    return [
        line(part, name, asked, results) for part in PARTS[asked] for name, results in found.items()
    ]


def line(part: str, name: str, asked: str, results: list[Measured | str]) -> dict[str, Any]:
    """One measurement: the median of its runs, and what is to be said about it."""
    good = [found[part] for found in results if not isinstance(found, str)]
    failed = [found for found in results if isinstance(found, str)]
    values = [round(found["value"], 4) for found in good]
    notes = dict.fromkeys(found["note"] for found in good if "note" in found)
    notes |= dict.fromkeys(failed)
    if (asked, name) in CANNOT:
        notes[CANNOT[asked, name]] = None
    made: dict[str, Any] = {
        "figure": part,
        "impl": name,
        "value": statistics.median(values) if values else None,
        "unit": FIGURES[part].unit,
        "runs": len(values),
        "values": values,
        "count": good[0]["count"] if good else 0,
    }
    return made | ({"note": "; ".join(notes)} if notes else {})


def ratios(part: str, values: dict[str, float]) -> str:
    """How many times a peer's figure ours is, and how many it should be."""
    said = []
    for ratio in RATIOS.get(part, ()):
        if NAME in values and ratio.peer in values:
            times = values[NAME] / values[ratio.peer]
            times = 1 / times if FIGURES[part].less else times
            wish = "aim" if ratio.aim else "at least"
            said.append(f"{times:.2g} x {ratio.peer} ({wish} {ratio.times:g})")
    return ", ".join(said)


def number(value: float | None) -> str:
    """A figure for people: no more digits than it is worth."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def show(lines: list[dict[str, Any]]) -> None:
    """The rows of a table for people."""
    for made in lines:
        figure = FIGURES[made["figure"]]
        row = f"{made['figure']:<10} {made['impl']:<12} {number(made['value']):>10}"
        row += f" {made['unit']:<13}"
        if made["impl"] == NAME:
            sign = "<=" if figure.less else ">="
            row += f" {sign} {number(figure.bound)} (aim {number(figure.aim)})"
            said = ratios(
                made["figure"],
                {
                    other["impl"]: other["value"]
                    for other in lines
                    if other["figure"] == made["figure"] and other["value"]
                },
            )
            row += f"  {said}" if said else ""
        if "note" in made:
            row += f" {made['note']}"
        print(row.rstrip(), flush=True)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure WhispurrNet.")
    parser.add_argument("--peers", action="store_true", help="measure the other networks too")
    parser.add_argument("--json", action="store_true", help="one JSON line a measurement")
    parser.add_argument("--runs", type=int, default=3, help="how many runs (default 3)")
    parser.add_argument("--level", type=int, choices=(1, 3, 5), default=3, help="(default 3)")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(PARTS))
    chosen = parser.parse_args()
    unknown = [name for name in chosen.figures if name not in PARTS]
    if unknown:
        parser.error(f"no figure is called {unknown[0]}; take one of {', '.join(PARTS)}")
    if chosen.runs < 1:
        parser.error("measure at least once: --runs 1")
    if chosen.peers and not PEERS_PYTHON.exists():
        parser.error(f"the other networks are not installed in {PEERS_PYTHON}: `make bench` does")
    return chosen


def main() -> int:
    """Measure what was asked for; 1 if a run of ours failed."""
    chosen = arguments()
    whole = {part: name for name, parts in PARTS.items() for part in parts if name in ASKED}
    asked = dict.fromkeys(whole.get(name, name) for name in chosen.figures or ASKED)
    ours_failed = False
    for name in asked:
        implementations = [NAME]
        if chosen.peers:
            implementations += COMPARED.get(name, ())
        lines = measure(name, implementations, chosen.runs, chosen.level)
        ours_failed |= any(m["impl"] == NAME and m["runs"] < chosen.runs for m in lines)
        if chosen.json:
            for made in lines:
                print(json.dumps(made), flush=True)
        else:
            show(lines)
    return 1 if ours_failed else 0


if __name__ == "__main__":
    sys.exit(main())
