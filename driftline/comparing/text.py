"""A comparison in a terminal: aligned, as wide as the screen, the worst first."""

from __future__ import annotations

import io
from textwrap import wrap
from typing import TYPE_CHECKING, Final, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from driftline.comparing.rows import Row
from driftline.stats.words import NBSP, number, percent

if TYPE_CHECKING:
    from driftline.comparing.comparison import Comparison

# Below, the sentence needs the room; it tells what matters of these two.
_WIDE: Final = 120
_NARROWEST: Final = 60
_GAP: Final = 2
# Names of columns may be 200 characters long.
_NAME: Final = 28
_MOST_ROWS: Final = 60
_STYLE: Final = {"critical": "bold red", "warning": "yellow", "ok": "green"}


def table(
    comparison: Comparison,
    *,
    width: int,
    most: int | None = _MOST_ROWS,
    is_cut: bool = True,
    is_coloured: bool = False,
) -> str:
    """Return the table with its summary and notes.

    Parameters
    ----------
    width
        Characters of a line.
    most
        Rows shown at most; None = all.
    is_cut
        Cut sentences at the end of the line; else they go on below.
    is_coloured
        With the terminal's codes for colours.
    """
    made = io.StringIO()
    console = Console(
        file=made,
        width=max(width, _NARROWEST),
        force_terminal=is_coloured,
        color_system="standard" if is_coloured else None,
        highlight=False,
        legacy_windows=False,
    )
    shown = comparison.rows if most is None else comparison.rows[:most]
    line = max(width, _NARROWEST)
    console.print(_wrapped(summary(comparison), line))
    console.print()
    console.print(_grid(shown, width=max(width, _NARROWEST), is_cut=is_cut))
    left = len(comparison) - len(shown)
    if left:
        console.print(Text(f"... and {left:,} more, none of them worse"))
    for note in comparison.notes:
        console.print(_wrapped(f"note: {printable(note)}", line))
    return "\n".join(line.rstrip() for line in made.getvalue().splitlines())


def summary(comparison: Comparison) -> str:
    """Return the first line: what was compared and what came of it."""
    n, drifted = len(comparison), len(comparison.drifted)
    rows = comparison.current.rows
    return (
        f"{comparison.verdict}: {drifted} of {n} feature{'' if n == 1 else 's'} drifted, "
        f"{rows:,} row{'' if rows == 1 else 's'} against {comparison.reference.rows:,}"
    )


def cells(row: Row) -> tuple[str, str, str, str]:
    """Return PSI, its limit, the interval of KS and the missing rates, as they are shown."""
    ks = ""
    if row.ks_low is not None and row.ks_high is not None:
        low, high = number(row.ks_low), number(row.ks_high)
        ks = low if low == high else f"{low}\u2013{high}"
    missing = ""
    if row.missing_reference is not None and row.missing_current is not None:
        before, now = percent(row.missing_reference), percent(row.missing_current)
        missing = now if before == now else f"{before} \u2192 {now}"
    return _number(row.psi), _number(row.psi_limit), ks, missing.replace(NBSP, " ")


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _grid(rows: tuple[Row, ...], *, width: int, is_cut: bool) -> Table:
    """The columns' widths are set, because rich would take room from all for a long sentence."""
    is_wide = width >= _WIDE
    heads = ["feature", "verdict", "PSI", "limit", *(["KS", "missing"] if is_wide else [])]
    lines = [_line(row, is_wide=is_wide) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(heads, *lines, strict=True)]
    widths[0] = min(widths[0], _NAME, max(width // 3, _NAME // 2))
    left = width - sum(widths) - _GAP * len(widths)
    made = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for head, size in zip(heads, widths, strict=True):
        is_word = head in ("feature", "verdict")
        made.add_column(
            head,
            justify="left" if is_word else "right",
            width=size,
            no_wrap=True,
            overflow="ellipsis",
        )
    overflow: Literal["ellipsis", "fold"] = "ellipsis" if is_cut else "fold"
    room = max(left, _NAME // 2)
    made.add_column("why", width=room, no_wrap=is_cut, overflow=overflow)
    for row, line in zip(rows, lines, strict=True):
        name, verdict, *numbers = line
        style = _STYLE.get(row.verdict, "dim")
        why = printable(row.why)
        told = Text(why) if is_cut else _wrapped(why, room)
        made.add_row(Text(name), Text(verdict, style=style), *numbers, told)
    return made


def _wrapped(text: str, width: int) -> Text:
    """A text in lines; rich would part a number from its unit, for it breaks at a hard space."""
    return Text("\n".join(wrap(text, width)))


def _line(row: Row, *, is_wide: bool) -> list[str]:
    psi, limit, ks, missing = cells(row)
    between = [ks, missing] if is_wide else []
    return [printable(row.feature), verdict_words(row.verdict), psi, limit, *between]


def verdict_words(verdict: str) -> str:
    """Return a verdict as it is shown.

    Examples
    --------
    >>> verdict_words("insufficient_data"), verdict_words("ok")
    ('too few rows', 'ok')
    """
    return "too few rows" if verdict == "insufficient_data" else verdict


def printable(text: str) -> str:
    """Return a text without what a terminal obeys: names of columns and categories are data.

    Examples
    --------
    >>> printable("a\\x1b[2Jb")
    'a\ufffd[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == NBSP else "\ufffd" for c in text)
