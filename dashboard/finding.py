"""The search dialog: what is typed becomes links."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from dash import Dash, Input, Output, html
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from dashboard import address, parts
from dashboard.words import cut
from driftline.errors import StorageError
from monitor.storage.engine import reading
from monitor.views.search import Hit, search

MAX_TYPED = 200
HINT = "Names of models and features, words of an incident, or its number."


def install(app: Dash, engine: Engine) -> None:
    """Register the search."""

    def found(typed: object) -> Any:
        if not isinstance(typed, str) or not typed.strip():
            return html.P(HINT)
        try:
            with reading(engine) as conn:
                hits = search(conn, typed[:MAX_TYPED])
        except (SQLAlchemyError, StorageError):
            return html.P(f"The database could not be read ({uuid4().hex[:8]}). Type again.")
        if not hits:
            return html.P(f"Nothing is called “{cut(typed, 60)}”.", role="status")
        # Enter opens the first hit of what is typed now, never of what was typed before.
        return html.Ul([html.Li(_line(hit)) for hit in hits], **{"data-for": typed})

    app.callback(
        Output("search-results", "children"),
        Input("search-asked", "data"),
        # The dialog is built with every page, and empty until somebody types.
        prevent_initial_call=True,
    )(found)
    app.clientside_callback(
        "function (typed) { return window.driftline.searching(typed); }",
        Output("search-asked", "storage_type"),
        Input("search-text", "value"),
        prevent_initial_call=True,
    )


def _line(hit: Hit) -> Any:
    if hit.kind == "model":
        icon, href, said = "layout-dashboard", address.model(hit.model), cut(hit.model, 80)
    elif hit.kind == "feature":
        name = hit.feature or ""
        icon, href, said = "chart-line", address.feature(hit.model, name), cut(name, 80)
    else:
        number = hit.number or 0
        icon, href = "siren", address.incident(number)
        said = f"#{number} {cut(hit.feature or '', 60)}"
    detail = cut(hit.detail, 140) if hit.kind != "feature" else cut(hit.model, 60)
    return parts.link(
        [parts.icon(icon), html.B(said), html.Span(detail, className="detail")],
        href,
        className="hit",
    )
