"""sim: live through a scenario on virtual time, and print the figures."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import colour, note, say, show_json, size, table

if TYPE_CHECKING:
    from whispurrnet.sim.report import Result

BREACHES_SHOWN = 10


def run(
    scenario: Annotated[Path, Parameter(help="A TOML file; examples/scenarios has some.")],
    *,
    seed: Annotated[int | None, Parameter(help="Another seed than that of the file.")] = None,
    out: Annotated[
        Path | None, Parameter(help="A folder for result.json and plot.svg; made if need be.")
    ] = None,
) -> int:
    """Live through a scenario on virtual time; 1 if a check fails, with the seed that shows it."""
    import msgspec

    from whispurrnet.sim.run import simulate
    from whispurrnet.sim.scenario import load

    plan = load(scenario)
    if seed is not None:
        plan = msgspec.structs.replace(plan, seed=seed)
    progress = _Progress(plan.duration_s)
    result = simulate(plan, progress.tell)
    progress.end()
    if out is not None:
        _write(out, result)
    if current.json:
        show_json(result)
    else:
        _show(result)
    if result.ok:
        return Exit.DONE
    replay = f"whispurr sim {shlex.quote(str(scenario))} --seed {result.seed}"
    say(f"  seed {result.seed}; replay with: {replay}", stream=sys.stderr)
    return Exit.FAILED


class _Progress:
    """A line that tells how far the run is, where somebody looks at it."""

    def __init__(self, duration_s: float) -> None:
        self._duration_s = duration_s
        self._on = sys.stderr.isatty() and not current.json

    def tell(self, now: float) -> None:
        """So many seconds were simulated."""
        if self._on:
            print(f"\r  {now:.1f} of {self._duration_s:g} s", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Nothing of it stays."""
        if self._on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _write(folder: Path, result: Result) -> None:
    from whispurrnet.sim.plot import svg
    from whispurrnet.sim.report import encode

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_bytes(encode(result))
        (folder / "plot.svg").write_text(svg(result), encoding="utf-8")
    except OSError as error:
        raise Fault(
            "The result could not be written",
            f"{folder}: {error.strerror or type(error).__name__}",
            "name another folder with --out DIR",
        ) from error
    note(f"  {folder / 'result.json'} and {folder / 'plot.svg'}")


def _show(result: Result) -> None:
    hostile = ", ".join(f"{count} {kind}" for kind, count in result.hostile.items())
    say(
        f"● {result.scenario}, seed {result.seed}: {result.nodes} nodes"
        + (f", {hostile}" if hostile else "")
        + (f", {result.crashed} crashed" if result.crashed else "")
        + f"; {result.simulated_s:g} s, {result.sessions} sessions, {size(result.bytes_sent)}"
    )
    head = ("kind", "sent", "delivered", "worst", "p50", "p90", "p99", "max", "hops")
    say()
    for line in table(head, map(_row, result.work)):
        say(line)
    for name, cost in (("gossip", result.spreading), ("emergencies", result.urgent)):
        if cost.messages:
            control = f", {cost.control_per_node:.2f} control frames" if cost.control else ""
            say(
                f"  {name}: {cost.payloads_per_node:.2f} payloads{control} a node and message; "
                f"RMR {cost.rmr:.2f}"
            )
    say()
    say(f"  connected {_share(result.connected)}, digest {result.digest}")
    for breach in result.breaches[:BREACHES_SHOWN]:
        where = f"{breach.node} at {breach.at_s:.3f} s" if breach.node else "at the end"
        say(f"  {colour('✗', 'red')} {breach.check}, {where}: {breach.detail}")
    if result.ok:
        say(f"  {colour('✓', 'green')} every check held")


def _row(figures: object) -> tuple[str, ...]:
    from whispurrnet.sim.report import Figures

    assert isinstance(figures, Figures)
    latency = figures.latency_s
    return (
        figures.kind,
        str(figures.messages),
        _share(figures.delivery),
        _share(figures.worst),
        *(f"{1000 * value:.0f} ms" for value in (latency.p50, latency.p90, latency.p99)),
        f"{1000 * latency.max:.0f} ms",
        str(figures.ldh_max),
    )


def _share(value: float) -> str:
    """A share in percent; never rounded up to all of it."""
    if value >= 1.0:
        return "100 %"
    return f"{min(99.99, 100 * value):.2f} %"
