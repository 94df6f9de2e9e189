"""Two things that a page may ask of `assets/asking.js` by an attribute.

A page that shows the wall clock (how long ago a consumer was seen) changes although no
window was judged: it asks again every few seconds while somebody looks. And a text
field that filters a table writes its word into the address.
"""

from __future__ import annotations

from typing import Any

from dash import dcc, html


def refreshing(seconds: int) -> Any:
    """Return what makes the page it stands in ask again, while the tab is looked at."""
    return html.Div(hidden=True, **{"data-refresh": str(seconds)})


def asking(key: str, label: str, name: str) -> Any:
    """Return a text field whose text stands in the address as `key`."""
    return html.Label(
        [
            html.Span(label, className="sr"),
            dcc.Input(id=name, type="search", placeholder=label, autoComplete="off", maxLength=200),
        ],
        className="ask",
        **{"data-ask": key},
    )
