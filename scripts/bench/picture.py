"""Pictures by hand, as SVG: lines over a logarithmic axis, and stacks as bars upon bars; pure.

They stand on pages that are light or dark: colours are of the page's own scheme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

STYLE: Final = """<style>
text{font:12px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600;font-size:13px}
.g{stroke:#d1d9e0;stroke-width:1}.l{fill:none;stroke-width:2}.n{fill:#59636e}
rect.p{fill:#ffffff}
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.n{fill:#9198a1}.g{stroke:#3d444d}
rect.p{fill:#0d1117}}
</style>"""
COLOURS: Final = ("#0969da", "#bf5b00", "#1a7f37", "#8250df")
PANEL: Final = (340, 230)
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 30, 40
# More points than these are a line over time, from 0 on.
MARKS: Final = 12
FLAME: Final = (1_000, 17, 18)  # width, height of a row, rows at most


@dataclass(frozen=True)
class Panel:
    """One chart: lines by name, each of (x, y)."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    is_y_log: bool = False


def short(value: float) -> str:
    """A number for an axis.

    Examples
    --------
    >>> [short(x) for x in (0, 0.25, 20, 1500, 250000, 3000000)]
    ['0', '0.25', '20', '1.5k', '250k', '3M']
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def panels(charts: Sequence[Panel], columns: int = 2) -> str:
    """Charts beside each other."""
    rows = math.ceil(len(charts) / columns)
    width, height = PANEL[0] * columns, PANEL[1] * rows
    drawn = []
    for i, chart in enumerate(charts):
        x, y = i % columns * PANEL[0], i // columns * PANEL[1]
        drawn.append(f'<g transform="translate({x},{y})">{_panel(chart)}</g>')
    return _svg(width, height, drawn)


def _svg(width: int, height: int, drawn: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">{STYLE}'
        f'<rect class="p" width="{width}" height="{height}"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _panel(chart: Panel) -> str:
    points = [point for line in chart.lines.values() for point in line]
    xs = sorted({x for x, _ in points})
    is_time = len(xs) > MARKS
    marks = _ticks(xs[-1]) if is_time else xs
    low = min(y for _, y in points) if chart.is_y_log else 0.0
    high = max(y for _, y in points)
    ticks = _decades(low, high) if chart.is_y_log else _ticks(high)
    bottom, top = ticks[0], ticks[-1]
    width, height = PANEL[0] - LEFT - RIGHT, PANEL[1] - TOP - BOTTOM

    def across(x: float) -> float:
        if is_time:
            return LEFT + width * x / marks[-1]
        # In steps: what was measured stands at equal distances, whatever lies between.
        return LEFT + width * (xs.index(x) / (len(xs) - 1) if len(xs) > 1 else 0.5)

    def up(y: float) -> float:
        if chart.is_y_log:
            share = math.log(y / bottom) / (math.log(top / bottom) or 1.0)
        else:
            share = y / (top or 1.0)
        return TOP + height * (1 - share)

    drawn = [f'<text class="t" x="8" y="18">{escape(chart.title)}</text>']
    for tick in ticks:
        y = up(tick)
        drawn.append(f'<line class="g" x1="{LEFT}" x2="{LEFT + width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(
            f'<text class="n" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>'
        )
    drawn += [
        f'<text class="n" x="{across(x):.1f}" y="{TOP + height + 16}" text-anchor="middle">'
        f"{short(x)}</text>"
        for x in marks
    ]
    middle = LEFT + width / 2
    drawn.append(
        f'<text class="n" x="{middle}" y="{PANEL[1] - 6}" text-anchor="middle">'
        f"{escape(chart.x)}; {escape(chart.y)}</text>"
    )
    for i, (name, line) in enumerate(chart.lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in sorted(line))
        drawn.append(f'<polyline class="l" stroke="{colour}" points="{path}"/>')
        drawn += [
            f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"/>'
            for x, y in line
            if not is_time
        ]
        if len(chart.lines) > 1:
            drawn.append(
                f'<text x="{LEFT + width}" y="{TOP + 12 + 15 * i}" text-anchor="end" '
                f'style="fill:{colour}">{escape(name)}</text>'
            )
    return "\n".join(drawn)


def _ticks(high: float) -> list[float]:
    """From 0 to above the highest, in 3 to 6 round steps.

    Examples
    --------
    >>> _ticks(870.0)
    [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]
    """
    if high <= 0:
        return [0.0, 1.0]
    size = 10.0 ** math.floor(math.log10(high))
    step = next(s * size for s in (0.2, 0.5, 1.0, 2.0) if high / (s * size) <= 5)
    return [step * i for i in range(math.ceil(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten around both.

    Examples
    --------
    >>> _decades(30.0, 2_000.0)
    [10.0, 100.0, 1000.0, 10000.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def flame(stacks: Mapping[tuple[str, ...], float]) -> str:
    """Stacks as bars: as wide as their share of the time, callees below their callers."""
    width, row, rows = FLAME
    total = sum(stacks.values()) or 1.0
    cut = _common(stacks)
    drawn: list[str] = []
    deepest = 0

    def draw(inside: Mapping[tuple[str, ...], float], depth: int, x: float) -> None:
        nonlocal deepest
        by_name: dict[str, dict[tuple[str, ...], float]] = {}
        for stack, seconds in inside.items():
            if len(stack) > 0:
                rest = by_name.setdefault(stack[0], {})
                rest[stack[1:]] = rest.get(stack[1:], 0.0) + seconds
        for name, rest in sorted(by_name.items(), key=lambda item: -sum(item[1].values())):
            share = sum(rest.values()) / total
            wide = share * width
            if wide >= 2 and depth < rows:
                deepest = max(deepest, depth)
                drawn.append(_bar(name, share, x, depth * row, wide))
                draw(rest, depth + 1, x)
            x += wide

    draw(cut, 0, 0.0)
    return _svg(width, (deepest + 1) * row + 2, drawn)


def _common(stacks: Mapping[tuple[str, ...], float]) -> Mapping[tuple[str, ...], float]:
    """The stacks without what stands above the consumer's loop."""
    found: dict[tuple[str, ...], float] = {}
    for stack, seconds in stacks.items():
        at = next((i for i, name in enumerate(stack) if name.endswith(".Loop.step")), None)
        kept = stack if at is None else ("the loop", *stack[at + 1 :])
        if at is None:
            kept = ("kafka-python's thread", *stack[-6:]) if stack[0] == "client" else (
                "start and end", *stack[-3:]
            )  # fmt: skip
        found[kept] = found.get(kept, 0.0) + seconds
    return found


def _bar(name: str, share: float, x: float, y: float, wide: float) -> str:
    _, row, _ = FLAME
    hue = sum(name.split(".", maxsplit=1)[0].encode()) * 37 % 360
    label = name.rpartition("/")[2]
    fits = int(wide / 6.6)
    text = label if len(label) <= fits else f"{label[: fits - 1]}…" if fits > 4 else ""
    said = f"<title>{escape(name)}: {100 * share:.1f} %</title>"
    drawn = f'<g>{said}<rect x="{x:.1f}" y="{y}" width="{wide - 0.6:.1f}" height="{row - 1}" '
    drawn += f'fill="hsl({hue} 60% 72%)"/>'
    if text:
        drawn += (
            f'<text x="{x + 3:.1f}" y="{y + 12}" style="font-size:11px;fill:#1f2328">'
            f"{escape(text)}</text>"
        )
    return drawn + "</g>"
