"""Two plots of a result as one SVG: how long deliveries took, and what became of them over time.

Plain text made here: the figures are few, and a browser shows them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from whispurrnet.sim.report import Figures, Result

WIDTH, HEIGHT = 860, 660
LEFT, RIGHT = 64, 24
PANEL_HEIGHT = 230
TOPS = (64, 374)
COLOURS = ("#2f6f9f", "#c8553d", "#4f8a4c", "#8a5a9e", "#b98b1e", "#5b6b77")
DASHES = ("", "7 4", "2 3", "9 3 2 3", "4 4", "1 2")
_Point = tuple[float, float]


def svg(result: Result) -> str:
    """The plot of a result, as a whole SVG document."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="#333" '
        f'role="img" aria-label="Latency and delivery of the scenario {escape(result.scenario)}">'
    )
    title = f"{result.scenario}: {result.nodes} nodes, seed {result.seed}"
    lines = [head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    lines.append(_text(LEFT, 28, title, size=17))
    lines += _latency(result.work)
    lines += _delivery(result)
    lines.append("</svg>")
    return "\n".join(lines) + "\n"


def _latency(work: Sequence[Figures]) -> Iterable[str]:
    """The share of the deliveries made within a latency."""
    most_s = max((figure.latency_s.max for figure in work), default=0.0) or 1.0
    end = _round_up(most_s)
    panel = _Panel(TOPS[0], end, "latency in seconds", "share of the deliveries made within it")
    yield from panel.frame()
    for number, figure in enumerate(work):
        last = max(1, len(figure.cdf_s) - 1)
        points = [(value, n / last) for n, value in enumerate(figure.cdf_s)]
        yield from panel.line(points, number, f"{figure.kind}, p99 {figure.latency_s.p99:.3g} s")


def _delivery(result: Result) -> Iterable[str]:
    """What share arrived of the messages sent at each time."""
    panel = _Panel(
        TOPS[1], _round_up(result.simulated_s), "sent at, in seconds", "share delivered by the end"
    )
    yield from panel.frame()
    for number, figure in enumerate(result.work):
        points = [(spot.from_s, spot.made / spot.due) for spot in figure.over_time if spot.due]
        yield from panel.line(points, number, f"{figure.kind}, {100 * figure.delivery:.4g} %")


class _Panel:
    """One plot; the vertical axis goes from 0 to 1."""

    def __init__(self, top: int, end: float, across: str, up: str) -> None:
        self._top = top
        self._end = end
        self._across = across
        self._up = up

    def frame(self) -> Iterable[str]:
        """The axes and what stands at them."""
        bottom, width = self._top + PANEL_HEIGHT, WIDTH - LEFT - RIGHT
        yield _text(LEFT, self._top - 8, self._up)
        for n in range(6):
            y = bottom - PANEL_HEIGHT * n / 5
            yield f'<path d="M{LEFT} {y:g}h{width}" stroke="#ddd" fill="none"/>'
            yield _text(LEFT - 8, y + 4, f"{n * 20} %", anchor="end")
            x = LEFT + width * n / 5
            yield f'<path d="M{x:g} {bottom}v5" stroke="#888" fill="none"/>'
            yield _text(x, bottom + 19, f"{self._end * n / 5:.3g}", anchor="middle")
        yield f'<path d="M{LEFT} {bottom}h{width}" stroke="#888" fill="none"/>'
        yield _text(LEFT + width / 2, bottom + 38, self._across, anchor="middle")

    def line(self, points: Sequence[_Point], number: int, name: str) -> Iterable[str]:
        """One line and its name."""
        width, bottom = WIDTH - LEFT - RIGHT, self._top + PANEL_HEIGHT
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        if not points:
            return
        path = " ".join(
            f"{LEFT + width * x / self._end:.1f},{bottom - PANEL_HEIGHT * y:.1f}" for x, y in points
        )
        style = f'stroke="{colour}" stroke-width="2" fill="none" stroke-dasharray="{dash}"'
        yield f'<polyline points="{path}" {style}/>'
        y = bottom - 14 - 18 * number
        yield f'<path d="M{WIDTH - 230} {y - 4}h26" {style}/>'
        yield _text(WIDTH - 196, y, name)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
    )


def _round_up(value: float) -> float:
    """The next number of the kind 1, 2, 5, 10 ... that is not less."""
    step = 10.0 ** math.floor(math.log10(value))
    return next(step * n for n in (1, 2, 5, 10) if step * n >= value - 1e-12)
