"""Deliveries: where alerts go, what arrived, and what was tried in vain. It writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dash import html

from dashboard import address, parts
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.pages.refreshing import refreshing
from dashboard.words import DASH, cut, moment, plural, whole
from driftline.program import command
from monitor.alerts import trainers
from monitor.masking import masked
from monitor.storage import endpoints, reads, routes, service_incidents
from monitor.storage.deliveries import Attempt
from monitor.storage.endpoints import Endpoint
from monitor.storage.reads import Delivery, Tally

# The newest of a filter; the API and `driftline delivery list` have the others.
SHOWN = 50
# How often the page asks again although no window was judged.
REFRESH_S = 6
STATES = {
    "pending": ("clock", "waits", "idle"),
    "delivered": ("circle-check", "delivered", "ok"),
    "dead": ("octagon-alert", "given up", "crit"),
    "cancelled": ("circle-slash", "cancelled", "idle"),
}

SLOTS = {
    "title": ("deliveries-title", "children"),
    "note": ("deliveries-note", "children"),
    "endpoints": ("deliveries-endpoints", "children"),
    "messages": ("deliveries-messages", "children"),
    "one": ("deliveries-one", "children"),
}


def skeleton() -> Any:
    """Return the page before it is read."""
    return [
        refreshing(REFRESH_S),
        html.Div(
            html.Div(
                html.H1("Deliveries", id="deliveries-title"), className="title", role="status"
            ),
            className="scope",
        ),
        html.Div(id="deliveries-note", className="lead-note"),
        parts.card("Endpoints", _box("deliveries-endpoints", "Endpoints")),
        html.Div(id="deliveries-one"),
        parts.card("Messages", _box("deliveries-messages", "Messages"), aside="the newest first"),
    ]


def _box(name: str, label: str) -> Any:
    """Return what scrolls in itself where it is narrow, by keys as well."""
    return html.Div(
        parts.skeleton(3), id=name, className="twin", tabIndex=0, role="region",
        **{"aria-label": label},
    )  # fmt: skip


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold."""
    asked, conn = look.asked, look.conn
    known = endpoints.endpoints(conn)
    endpoint, state = asked.text("endpoint"), asked.text("state")
    if endpoint is not None and endpoint not in {one.name for one in known}:
        asked.notes.append(f"The link asks for endpoint {cut(endpoint, 60)!r}, which is none.")
        endpoint = None
    if state is not None and state not in STATES:
        asked.notes.append(f"The link asks for state {cut(state, 60)!r}, which is none.")
        state = None
    number = asked.number("delivery", 1, 10**15, 0)
    alert = asked.text("alert")
    found = reads.deliveries(conn, endpoint=endpoint, state=state, alert_id=alert, limit=SHOWN)
    opened = reads.deliveries(conn, delivery_id=number) if number else []
    if number and not opened:
        asked.notes.append(f"There is no delivery {number}.")
    listed = [*found, *opened]
    tried = reads.attempts_of(conn, [one.id for one in listed]) if listed else {}
    tallies = reads.tallies_by_endpoint(conn)
    stands = service_incidents.listed(conn, kind=service_incidents.DELIVERY, only_open=True)
    year = datetime.fromtimestamp(look.now_ms / 1_000, look.zone).year
    told = _Told(look, year)
    return {
        "title": _title(known, tallies, len(stands)),
        "note": [html.P(one.summary) for one in stands] or None,
        "endpoints": _endpoints(known, tallies, _ways(look)),
        "messages": _messages(found, tried, told, is_filtered=bool(endpoint or state or alert)),
        "one": _one(opened[0], tried[opened[0].id], told) if opened else None,
    }


class _Told:
    def __init__(self, look: Look, year: int) -> None:
        self._zone, self._year = look.zone, year

    def __call__(self, ms: int | None) -> str:
        return DASH if ms is None else moment(ms, self._zone, year=self._year)


def _title(known: Sequence[Endpoint], tallies: Mapping[int, Tally], broken: int) -> str:
    if all(one.is_trainer for one in known):
        return "Alerts go nowhere yet"
    if broken:
        return f"{plural(broken, 'endpoint')} switched off: nothing arrives there"
    dead = sum(tallies.get(one.id, Tally()).failed for one in known)
    waits = sum(tallies.get(one.id, Tally()).pending for one in known)
    if dead:
        return f"{plural(dead, 'message')} given up"
    return f"{plural(waits, 'message')} waiting" if waits else "Everything has arrived"


def _ways(look: Look) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for one in routes.listed(look.conn):
        hours = one.route.repeat_hours
        again = "" if hours is None else f" (again every {hours} h)"
        for number in one.route.endpoints:
            found.setdefault(number, []).append(f"{one.model} {one.name}{again}")
    return found


def _endpoints(
    known: Sequence[Endpoint], tallies: Mapping[int, Tally], ways: Mapping[int, list[str]]
) -> Any:
    if not known:
        return [
            parts.nothing("No endpoint: alerts are seen here and sent to nobody.", "bell-off"),
            parts.command(command("endpoint add NAME URL")),
        ]
    rows = []
    for one in known:
        tally = tallies.get(one.id, Tally())
        status = (
            parts.status("circle-check", "enabled", "ok")
            if one.is_enabled
            else parts.status("circle-slash", "disabled", "warn")
        )
        gets = ", ".join(ways.get(one.id, ())) or "every alert of models without a route"
        if (starts := trainers.starts(one)) is not None:
            gets = f"requests for a retraining, and starts {starts}"
        rows.append(
            html.Tr(
                [
                    html.Th(
                        [
                            parts.link(
                                cut(one.name, 60), address.to("deliveries", endpoint=one.name),
                                className="name",
                            ),
                            html.Div(f"{one.kind} {cut(masked(one.url), 60)}", className="sub"),
                        ],
                        scope="row",
                    ),
                    html.Td([status, _sub(one.disabled_reason)]),
                    html.Td(cut(gets, 120)),
                    *(
                        html.Td(whole(n), className="num")
                        for n in (tally.delivered, tally.pending, tally.failed)
                    ),
                ]
            )
        )  # fmt: skip
    heads = ("Endpoint", "State", "Gets", "Delivered", "Waiting", "Given up")
    return _table(heads, rows, numbers=3)


def _messages(
    found: Sequence[Delivery],
    tried: Mapping[int, Sequence[Attempt]],
    told: _Told,
    *,
    is_filtered: bool,
) -> Any:
    every = parts.link("Show all", address.to("deliveries"))
    if not found:
        said: Any = ["None of these. ", every] if is_filtered else "Nothing was to be sent yet."
        return parts.nothing(said)
    rows = []
    for one in found:
        name, word, tone = STATES[one.state]
        attempts = tried[one.id]
        last = attempts[-1].error if attempts else None
        href = address.to("deliveries", delivery=one.id)
        rows.append(
            html.Tr(
                [
                    html.Th(parts.link(f"#{one.id}", href, className="name num"), scope="row"),
                    html.Td(html.Span(told(one.created_ms), className="num")),
                    html.Td(cut(one.endpoint, 60)),
                    html.Td(one.type),
                    html.Td([parts.status(name, word, tone), _sub(last)]),
                    html.Td(whole(one.attempts), className="num"),
                    html.Td(told(one.due_ms), className="num"),
                ]
            )
        )  # fmt: skip
    heads = ("Message", "Decided", "Endpoint", "Type", "Became", "Attempts", "Next")
    return [
        _table(heads, rows, numbers=2),
        html.P(every, className="more") if is_filtered else None,
    ]


def _sub(text: str | None) -> Any:
    return html.Div(cut(text or "", 120), className="sub")


def _one(one: Delivery, attempts: Sequence[Attempt], told: _Told) -> Any:
    rows = [
        html.Tr(
            [
                html.Th(str(each.number), scope="row"),
                html.Td(html.Span(told(each.at_ms), className="num")),
                html.Td(cut(each.error or "arrived", 200)),
                html.Td(DASH if each.status is None else str(each.status), className="num"),
                html.Td(f"{whole(each.duration_ms)} ms", className="num"),
            ]
        )
        for each in attempts
    ]
    body = (
        _table(("Attempt", "At", "What came back", "Status", "Took"), rows, numbers=2)
        if rows
        else parts.nothing("It was not sent yet.")
    )
    again = [parts.command(command(f"delivery redeliver {one.id}"))] * (
        one.state in ("dead", "delivered", "pending") and one.type != "endpoint.test"
    )
    return parts.card(
        f"Message #{one.id}",
        [html.Div(body, className="twin", tabIndex=0, role="region",
                  **{"aria-label": f"Attempts of message {one.id}"}), *again],
        aside=f"{one.type} for {cut(one.endpoint, 60)}",
    )  # fmt: skip


def _table(heads: Sequence[str], rows: Sequence[Any], *, numbers: int) -> Any:
    first = len(heads) - numbers
    return html.Table(
        [
            html.Thead(
                html.Tr(
                    [
                        html.Th(head, scope="col", className="num" if at >= first else "")
                        for at, head in enumerate(heads)
                    ]
                )
            ),
            html.Tbody(list(rows)),
        ],
        className="table",
    )


PAGE = Page(
    name="deliveries",
    pattern=("deliveries",),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda _parts: "Deliveries",
)
