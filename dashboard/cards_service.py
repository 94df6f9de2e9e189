"""What is wrong with Driftline's own parts, as rows of a table and as cards of a phone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dash import html

from dashboard import address, parts
from dashboard.look import Look
from dashboard.words import cut, duration, moment
from monitor.storage.service_incidents import DELIVERY, PIPELINE
from monitor.views.service import Trouble


def state(one: Trouble) -> tuple[str, str, str]:
    """Return (icon, word, tone) of a trouble; over, it is as calm as any other.

    As for a model's incident: firing looks as bad as it is.
    """
    if not one.is_open:
        return "circle-check", "Resolved", "ok"
    if one.incident.severity == "critical":
        return "octagon-alert", "Firing", "crit"
    return "triangle-alert", "Firing", "warn"


def href(one: Trouble) -> str:
    """Return the page that shows more of it."""
    if one.incident.kind == DELIVERY:
        return address.to("deliveries", endpoint=one.incident.name)
    if one.incident.kind == PIPELINE:
        return "/pipeline"
    return address.to("incidents", kind=one.incident.kind)


def titled(one: Trouble) -> Any:
    """Return which part it is, and what is wrong with it."""
    return html.Div(
        [
            parts.link(
                [html.Span(f"{one.part} "), cut(one.incident.name, 60)], href(one),
                className="title",
            ),
            html.Div(cut(one.incident.summary, 400), className="sub"),
        ],
        className="two-lines",
    )  # fmt: skip


def since(one: Trouble, look: Look) -> tuple[str, str]:
    """Return since when it stands, or stood, and for how long."""
    year = datetime.fromtimestamp(look.now_ms / 1_000, look.zone).year
    ends = one.incident.resolved_ms if one.incident.resolved_ms is not None else look.now_ms
    lasted = duration(max(0, ends - one.incident.opened_ms))
    return moment(one.incident.opened_ms, look.zone, year=year), lasted


def table(found: Sequence[Trouble], look: Look) -> Any:
    """Return the troubles, what stands first, each with what to do."""
    rows = []
    for one in sorted(found, key=lambda one: not one.is_open):
        began, lasted = since(one, look)
        how = [html.P(one.todo), parts.command(one.command)] if one.command else [_ended(one)]
        rows.append(
            html.Li(
                [
                    html.Div(parts.status(*state(one))),
                    titled(one),
                    html.Div([html.Div(began), html.Div(lasted, className="sub")], className="num"),
                    html.Div(how, className="mend"),
                ]
            )
        )
    return html.Ul(rows, className="troubles")


def _ended(one: Trouble) -> Any:
    return html.P(f"{(one.incident.resolved_as or 'resolved').capitalize()}.")
