"""A comparison as HTML: a fragment for notebooks and a page that stands alone.

Names are data: everything is escaped, nothing is fetched, no script runs. Colours are those
of what surrounds it, so light and dark both work; the verdict is always a word, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from driftline.comparing.rows import Row
from driftline.comparing.text import cells, printable, summary, verdict_words

if TYPE_CHECKING:
    from driftline.comparing.comparison import Comparison

# White on these has a contrast above 4.5, on any page.
_BADGE: Final = {
    "critical": "background:#b42318;color:#fff;border-color:#b42318",
    "warning": "background:#93560a;color:#fff;border-color:#93560a",
}
_TABLE: Final = "border-collapse:collapse;font-variant-numeric:tabular-nums"
_CELL: Final = (
    "padding:.25em .8em .25em 0;border-bottom:1px solid rgba(128,128,128,.3);vertical-align:top"
)
# Names may be one long word; without a width of its own a short one is broken, too, and the
# sentence gives way to all.
NAME: Final = "text-align:left;overflow-wrap:anywhere;min-width:9em"
_SENTENCE: Final = "text-align:left;overflow-wrap:anywhere;min-width:18em"
_HEADS: Final = (
    ("feature", "left"),
    ("verdict", "left"),
    ("PSI", "right"),
    ("limit", "right"),
    ("KS", "right"),
    ("missing", "right"),
    ("why", "left"),
)
PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem;
  padding: 0 1rem; }}
h1 {{ font-size: 1.25rem; }}
.scroll {{ overflow-x: auto; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<div class="scroll" role="region" aria-label="Features" tabindex="0">
{table}
</div>
{notes}
</main>
</body>
</html>
"""


def fragment(comparison: Comparison) -> str:
    """Return the table with summary and notes, for a notebook's cell."""
    return (
        f"<div><p><b>{_text(summary(comparison))}</b></p>"
        f"{_table(comparison)}{notes_of(comparison.notes)}</div>"
    )


def whole(comparison: Comparison) -> str:
    """Return a page of its own."""
    title = _text(summary(comparison))
    return PAGE.format(title=title, table=_table(comparison), notes=notes_of(comparison.notes))


def _table(comparison: Comparison) -> str:
    heads = "".join(
        f'<th scope="col" style="{_CELL};text-align:{side}">{name}</th>' for name, side in _HEADS
    )
    rows = "\n".join(map(_row, comparison.rows))
    head = f"<thead><tr>{heads}</tr></thead>"
    return f'<table style="{_TABLE}">{head}\n<tbody>\n{rows}\n</tbody></table>'


def _row(row: Row) -> str:
    verdict = verdict_words(row.verdict)
    badge = (
        '<span style="border:1px solid currentColor;border-radius:.3em;padding:0 .4em;'
        f'white-space:nowrap;{_BADGE.get(row.verdict, "")}">{verdict}</span>'
    )
    kind = f' <small style="opacity:.75">{row.kind}</small>'
    made = [
        f'<th scope="row" style="{_CELL};{NAME}">{_text(row.feature)}{kind}</th>',
        f'<td style="{_CELL};text-align:left">{badge}</td>',
    ]
    made += [
        f'<td style="{_CELL};text-align:right;white-space:nowrap">{_text(cell)}</td>'
        for cell in cells(row)
    ]
    made.append(f'<td style="{_CELL};{_SENTENCE}">{_text(row.why)}</td>')
    return f"<tr>{''.join(made)}</tr>"


def notes_of(notes: Sequence[str]) -> str:
    """Return notes as a list; nothing where there are none."""
    if not notes:
        return ""
    return f"<ul>{''.join(f'<li>{_text(note)}</li>' for note in notes)}</ul>"


def _text(value: str) -> str:
    return escape(printable(value), quote=True)
