"""Lists in AG Grid: colours from the stylesheet's variables, renderers in `assets/grid.js`.

A row is a mapping with `id` and, where it opens something, `href`; its other
values are what the column's renderer draws. Nothing in a cell is markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dash_ag_grid as dag
from dash import html

THEME = (
    "themeQuartz.withParams({"
    "backgroundColor: 'var(--surface)', foregroundColor: 'var(--text)',"
    "headerBackgroundColor: 'var(--surface)', headerTextColor: 'var(--text3)',"
    "headerFontSize: 11, headerFontWeight: 500, fontFamily: 'inherit', fontSize: 12.5,"
    "borderColor: 'var(--border)', rowHoverColor: 'var(--hover)', accentColor: 'var(--accent)',"
    "headerHeight: 30, wrapperBorder: false, columnBorder: false, spacing: 6,"
    "headerColumnResizeHandleDisplay: 'none', browserColorScheme: 'inherit'})"
)
# A click opens a row; its box, or Space, chooses it.
SELECTING = {
    "rowSelection": {
        "mode": "multiRow",
        "enableClickSelection": False,
        "hideDisabledCheckboxes": True,
        "isRowSelectable": {"function": "params.data.selectable"},
    },
    "selectionColumnDef": {"width": 36, "minWidth": 36, "maxWidth": 36, "suppressNavigable": True},
}
# Rows up to this many are all in the page; more are drawn as they scroll into view.
ALL_DRAWN = 50
VIRTUAL_PX = 640


def column(
    key: str,
    head: str,
    *,
    draw: str | None = None,
    flex: float = 1,
    least_px: int = 90,
    right: bool = False,
    sorts_by: str | None = None,
) -> dict[str, Any]:
    """Return a column of the row's value `key`.

    Parameters
    ----------
    draw
        The renderer in `assets/grid.js`: Two, Status, Spark, Strip, Limit; text without.
    sorts_by
        The part of a drawn value that its order goes by; without it the column cannot be sorted.
    """
    found: dict[str, Any] = {
        "field": key,
        "headerName": head,
        "flex": flex,
        "minWidth": least_px,
        "sortable": draw is None or sorts_by is not None,
    }
    if draw is not None:
        found["cellRenderer"] = draw
    if sorts_by is not None:
        found["comparator"] = {"function": f"driftline.by('{sorts_by}')"}
    if right:
        found["type"] = "rightAligned"
        found["cellClass"] = "num"
    return found


def grid(
    name: str,
    columns: Sequence[Mapping[str, Any]],
    *,
    label: str,
    row_px: int = 46,
    empty: str = "Nothing here.",
    selects: bool = False,
) -> Any:
    """Return an empty grid; its rows are the slot `(name, "rowData")`.

    With `selects` rows whose `selectable` is true have a box; `assets/many.js` knows which.

    A page whose list may be long fills `(name, "dashGridOptions")` and `(name, "style")` with
    what `room` returns, too.
    """
    options, style = room(0, row_px=row_px, empty=empty)
    if selects:
        options |= SELECTING
    return html.Div(
        dag.AgGrid(
            id=name,
            columnDefs=list(columns),
            rowData=[],
            getRowId="params.data.id",
            defaultColDef={
                "cellDataType": False,
                "resizable": False,
                "suppressMovable": True,
                "suppressHeaderMenuButton": True,
                "sortingOrder": ["desc", "asc", None],
            },
            dashGridOptions=options,
            eventListeners={
                "cellKeyDown": ["driftlineKey(params)"],
                "rowClicked": ["driftlineRow(params)"],
                **({"selectionChanged": ["driftlineSelected(params)"]} if selects else {}),
            },
            style=style,
        ),
        className="grid",
        role="region",
        **{"aria-label": label},
    )


def room(
    n_rows: int, *, row_px: int = 46, empty: str = "Nothing here."
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a grid's options and style: as high as its rows, or scrolling within a height.

    Of a long list only the rows in view are drawn.
    """
    is_long = n_rows > ALL_DRAWN
    options = {
        "theme": {"function": THEME},
        "rowHeight": row_px,
        "domLayout": "normal" if is_long else "autoHeight",
        "suppressCellFocus": False,
        "suppressMovableColumns": True,
        "animateRows": False,
        "suppressColumnVirtualisation": True,
        "localeText": {"noRowsToShow": empty},
        "ensureDomOrder": True,
        "enableCellTextSelection": True,
    }
    return options, {"height": f"{VIRTUAL_PX}px" if is_long else None, "width": "100%"}
