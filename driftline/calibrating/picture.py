"""A picture of a calibration: what each feature shows, and how often it tells wrongly.

Plain SVG, drawn here: it needs no library, no script and no request.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Final

from driftline.calibrating.report import CalibrationRow, is_noisy
from driftline.calibrating.text import data, head, how, sees, summary
from driftline.comparing.text import printable
from driftline.stats.words import number

if TYPE_CHECKING:
    from driftline.calibrating.report import CalibrationReport

_WIDTH: Final = 960
_LEFT: Final = 210
_RIGHT: Final = 690
_ROW: Final = 22
_TOP: Final = 96
# Head and axis of a panel, and what lies between two.
_HEAD: Final = 46
_GAP: Final = 34
# Shifts beyond two sigma need no alarm to be seen.
_MOST: Final = 2.0
_TICKS: Final = (0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
_LONGEST: Final = 28
_STYLE: Final = """
svg{color:#1b1f24;background:#fff;font:13px system-ui,sans-serif}
text{fill:currentColor}
.mild{opacity:.7}.title{font-size:15px;font-weight:600}.noisy{fill:#b42318;font-weight:600}
.line{stroke:currentColor;stroke-opacity:.18}.reach{stroke:#2f6fb3;stroke-width:2;opacity:.45}
.usual{fill:#2f6fb3}.other{fill:none;stroke:#2f6fb3;stroke-width:1.5}
@media (prefers-color-scheme:dark){svg{color:#e6e8eb;background:#15181c}.noisy{fill:#ff9d8f}
.reach,.other{stroke:#79b3f2}.usual{fill:#79b3f2}}
"""


def svg(report: CalibrationReport) -> str:
    """Return the picture, a panel for each window length."""
    panels, y = [], _TOP
    for length in report.lengths:
        rows = report.usual(length)
        panels.append("".join(_panel(report, length, rows, y)))
        y += _HEAD + _ROW * len(rows) + _GAP
    title = escape(printable(summary(report)))
    lines = (
        how(report),
        "The smallest shift, in sigma, that lifts PSI to its limit: full at the data\u2019s own "
        "windows, hollow at other sizes.",
        "Right: false episodes to expect a month, with an interval of 95 %.",
    )
    said = "".join(
        f'<text x="12" y="{44 + 18 * place}" class="mild">{escape(line)}</text>'
        for place, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" '
        f'height="{y}" role="img" aria-label="{title}"><style>{_STYLE}</style>'
        f'<text x="12" y="24" class="title">{escape(data(report))}</text>{said}'
        f"{''.join(panels)}</svg>"
    )


def _panel(
    report: CalibrationReport, length: str, rows: tuple[CalibrationRow, ...], y: int
) -> Iterator[str]:
    yield f'<text x="12" y="{y + 18}" class="title">{escape(head(report, length))}</text>'
    top, bottom = y + _HEAD, y + _HEAD + _ROW * len(rows)
    for tick in _TICKS:
        x = _x(tick)
        yield f'<line x1="{x}" x2="{x}" y1="{top - 6}" y2="{bottom}" class="line"/>'
        yield (f'<text x="{x}" y="{top - 10}" text-anchor="middle" class="mild">{tick:g}</text>')
    for place, row in enumerate(rows):
        yield from _feature(report, row, top + _ROW * place + _ROW // 2)


def _feature(report: CalibrationReport, row: CalibrationRow, y: int) -> Iterator[str]:
    name = printable(row.feature)
    shown = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\u2026"
    yield f"<g><title>{escape(f'{name}: {printable(row.why)}')}</title>"
    yield f'<text x="{_LEFT - 14}" y="{y + 4}" text-anchor="end">{escape(shown)}</text>'
    sizes = [
        (other.smallest_shift, other.is_usual)
        for other in report.rows
        if (other.feature, other.length) == (row.feature, row.length)
    ]
    reached = [(_x(shift), is_usual) for shift, is_usual in sizes if shift is not None]
    if len(reached) > 1:
        ends = [x for x, _ in reached]
        yield f'<line x1="{min(ends)}" x2="{max(ends)}" y1="{y}" y2="{y}" class="reach"/>'
    for x, is_usual in sorted(reached, key=lambda one: one[1]):
        kind, size = ("usual", 5) if is_usual else ("other", 4)
        yield f'<circle cx="{x}" cy="{y}" r="{size}" class="{kind}"/>'
    if row.smallest_shift is None:
        word = {"blind": "blind", "none": "no shift"}.get(sees(row), "PSI not judged")
        yield (f'<text x="{_RIGHT}" y="{y + 4}" text-anchor="end" class="mild">{word}</text>')
    kind = "noisy" if is_noisy(row) else "mild"
    yield (
        f'<text x="{_RIGHT + 40}" y="{y + 4}" class="{kind}">'
        f"{number(row.false_episodes_per_month)} ({number(row.low)}\u2013{number(row.high)})"
        "</text></g>"
    )


def _x(shift: float) -> float:
    return round(_LEFT + (_RIGHT - _LEFT) * min(shift, _MOST) / _MOST, 1)
