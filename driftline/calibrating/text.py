"""A calibration in a terminal: a table for each window length, as wide as the screen."""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from driftline.calibrating.report import CalibrationRow, is_noisy, slices_words
from driftline.calibrating.trial import MISSING, SHIFTS
from driftline.comparing.text import printable
from driftline.stats.lengths import WORDS
from driftline.stats.words import NBSP, number, percent

if TYPE_CHECKING:
    from driftline.calibrating.report import CalibrationReport

# Below, the interval and the limit leave the table.
_WIDE: Final = 104
# And here all but one delay of each kind.
_NARROW: Final = 78
_NARROWEST: Final = 60
_NAME: Final = 24
_GAP: Final = 2
_MOST_ROWS: Final = 60
# Sentences below a table: the worst ones.
_MOST_SAID: Final = 8
NOT_TOLD: Final = "\u2013"
LEGEND: Final = (
    "false: false episodes to expect a month, with an interval of 95 %; open: "
    "during which share of the windows one is. sees: the smallest shift, in sigma, "
    "that lifts PSI to its limit. Then how many windows pass until half of the shifts (\u03c3) and "
    f"of the rises of missing values (points) are told; {NOT_TOLD} where fewer ever are."
)


def table(
    report: CalibrationReport,
    *,
    width: int,
    most: int | None = _MOST_ROWS,
    is_coloured: bool = False,
) -> str:
    """Return the tables with summary, sentences and notes.

    Parameters
    ----------
    width
        Characters of a line.
    most
        Features shown at most in each table; None = all.
    is_coloured
        With the terminal's codes for colours.
    """
    made = io.StringIO()
    wide = max(width, _NARROWEST)
    console = Console(
        file=made,
        width=wide,
        force_terminal=is_coloured,
        color_system="standard" if is_coloured else None,
        highlight=False,
        legacy_windows=False,
    )
    console.print(Text(summary(report)))
    for length in report.lengths:
        rows = report.usual(length)
        console.print()
        console.print(Text(head(report, length), style="bold"))
        shown = rows if most is None else rows[:most]
        console.print(_grid(shown, width=wide))
        if len(rows) > len(shown):
            console.print(Text(f"... and {len(rows) - len(shown):,} more features"))
        for row in worth_a_word(rows)[:_MOST_SAID]:
            console.print(Text(printable(f"{row.feature}: {row.why}")))
        for line in other_sizes(report, length):
            console.print(Text(line))
    console.print()
    console.print(Text(LEGEND))
    for note in report.notes:
        console.print(Text(f"note: {printable(note)}"))
    return "\n".join(line.rstrip() for line in made.getvalue().splitlines())


def summary(report: CalibrationReport) -> str:
    """Return the first line: what was tried, and how."""
    return f"{data(report)}: {how(report)}"


def data(report: CalibrationReport) -> str:
    """Return what was tried."""
    n = len(report.reference.gridset.features)
    limits = len(report.rule.limits)
    said = f"{report.reference.rows:,} rows, {n} feature{'' if n == 1 else 's'}, profile "
    said += report.rule.profile
    return f"{said}, {limits} fixed limit{'' if limits == 1 else 's'}" if limits else said


def how(report: CalibrationReport) -> str:
    """Return how it was tried."""
    return (
        f"20 stretches of {report.months} months put together from the data's own windows, "
        f"seed {report.seed}"
    )


def head(report: CalibrationReport, length: str) -> str:
    """Return the line above a table."""
    rows = report.usual(length)
    seen = sum(row.seen_episodes or 0 for row in rows)
    months = report.seen_months[length]
    blind = sum(row.blind for row in rows)
    said = (
        f"{WORDS[length][1].capitalize()} of {rows[0].n:,} rows: "
        f"{number(report.false_episodes_per_month(length))} false episodes a month in all "
        f"({seen} in the {slices_words(report, length)} themselves, {number(months)} months)"
    )
    return f"{said}, {blind} blind" if blind else said


def other_sizes(report: CalibrationReport, length: str) -> Iterator[str]:
    """Return a line for each other size of windows: fewer rows see less, more see more."""
    sizes = sorted({row.n for row in report.rows if row.length == length and not row.is_usual})
    for n in sizes:
        rows = [
            row for row in report.rows if row.length == length and row.n == n and not row.is_usual
        ]
        false = sum(row.false_episodes_per_month for row in rows)
        said = f"With {n:,} rows: {number(false)} false episodes a month in all"
        seen = [row.smallest_shift for row in rows if row.smallest_shift is not None]
        if seen:
            said += f"; the middle feature sees shifts from {statistics.median(seen):.2f} sigma"
        unjudged = sum(row.limit is None and row.kind != "presence" for row in rows)
        if unjudged:
            said += f"; PSI of {unjudged} is not judged"
        blind = sum(row.blind for row in rows)
        yield f"{said}; {blind} blind" if blind else said


def worth_a_word(rows: tuple[CalibrationRow, ...]) -> list[CalibrationRow]:
    """Return the rows that a user should read of: noisy ones first, then blind ones."""
    noisy = [row for row in rows if is_noisy(row)]
    noisy.sort(key=lambda row: (-row.open_share, -row.false_episodes_per_month))
    return noisy + [row for row in rows if row.blind and row not in noisy]


def cells(row: CalibrationRow) -> dict[str, str]:
    """Return a row's figures as they are shown, by the head of their column."""
    made = {
        "false": number(row.false_episodes_per_month),
        "95 %": f"{number(row.low)}\u2013{number(row.high)}",
        "open": percent(row.open_share).replace(NBSP, " "),
        "limit": "" if row.limit is None else number(row.limit),
        "sees": sees(row),
    }
    made |= {f"{by:g}\u03c3": _delay(row.delay[by]) for by in SHIFTS}
    points = [round(100 * by) for by in MISSING]
    return made | {f"+{by}": _delay(row.missing_delay[by]) for by in points}


def sees(row: CalibrationRow) -> str:
    """Return the smallest shift, or in a word why there is none."""
    if row.blind:
        return "blind"
    if row.smallest_shift is not None:
        return f"{row.smallest_shift:.2f}"
    return NOT_TOLD if row.limit is None else "none"


def _delay(took: float | None) -> str:
    return NOT_TOLD if took is None else f"{took:.0f}"


def _grid(rows: tuple[CalibrationRow, ...], *, width: int) -> Table:
    lines = [cells(row) for row in rows]
    heads = list(lines[0])
    if width < _NARROW:
        heads = [head for head in heads if head in ("false", "sees", "0.5\u03c3", "+5")]
    elif width < _WIDE:
        heads = [head for head in heads if head not in ("95 %", "limit")]
    widths = [max(cell_len(head), *(cell_len(line[head]) for line in lines)) for head in heads]
    left = width - sum(widths) - _GAP * len(widths)
    names = [printable(row.feature) for row in rows]
    name = min(max(map(cell_len, [*names, "feature"])), max(_NAME, left - _GAP))
    made = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    made.add_column("feature", width=min(name, left), no_wrap=True, overflow="ellipsis")
    for head, size in zip(heads, widths, strict=True):
        made.add_column(head, justify="right", width=size, no_wrap=True)
    for row, shown, line in zip(rows, names, lines, strict=True):
        values = [line[head] for head in heads]
        style = "yellow" if is_noisy(row) else "dim" if row.blind else ""
        made.add_row(Text(shown, style=style), *values)
    return made
