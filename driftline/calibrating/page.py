"""A calibration as HTML: a fragment for notebooks and a page that stands alone."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from driftline.calibrating import picture
from driftline.calibrating.report import CalibrationRow
from driftline.calibrating.text import LEGEND, cells, head, other_sizes, summary
from driftline.comparing.page import NAME, PAGE, notes_of
from driftline.comparing.text import printable

if TYPE_CHECKING:
    from driftline.calibrating.report import CalibrationReport

_TABLE: Final = "border-collapse:collapse;font-variant-numeric:tabular-nums"
_CELL: Final = (
    "padding:.2em .8em .2em 0;border-bottom:1px solid rgba(128,128,128,.3);vertical-align:top"
)


def fragment(report: CalibrationReport) -> str:
    """Return the tables with summary and notes, for a notebook's cell."""
    return f"<div><p><b>{_text(summary(report))}</b></p>{_body(report)}</div>"


def whole(report: CalibrationReport) -> str:
    """Return a page of its own, with the picture."""
    return PAGE.format(
        title=_text(summary(report)),
        table=f"{picture.svg(report)}{_body(report)}",
        notes="",
    )


def _body(report: CalibrationReport) -> str:
    parts = [f"<p>{_text(LEGEND)}</p>"]
    for length in report.lengths:
        rows = report.usual(length)
        parts.append(f"<h2>{_text(head(report, length))}</h2>")
        names = ["feature", *cells(rows[0]), "why"]
        heads = "".join(
            f'<th scope="col" style="{_CELL};text-align:{_side(name)}">{_text(name)}</th>'
            for name in names
        )
        body = "\n".join(map(_row, rows))
        parts.append(
            f'<table style="{_TABLE}"><thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n'
            "</tbody></table>"
        )
        lines = "<br>".join(_text(line) for line in other_sizes(report, length))
        parts.append(f"<p>{lines}</p>" if lines else "")
    return "".join(parts) + notes_of(report.notes)


def _side(name: str) -> str:
    return "left" if name in ("feature", "why") else "right"


def _row(row: CalibrationRow) -> str:
    made = [f'<th scope="row" style="{_CELL};{NAME}">{_text(row.feature)}</th>']
    made += [
        f'<td style="{_CELL};text-align:right;white-space:nowrap">{_text(cell)}</td>'
        for cell in cells(row).values()
    ]
    made.append(f'<td style="{_CELL};text-align:left;min-width:18em">{_text(row.why)}</td>')
    return f"<tr>{''.join(made)}</tr>"


def _text(value: str) -> str:
    return escape(printable(value), quote=True)
