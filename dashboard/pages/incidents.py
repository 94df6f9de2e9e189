"""Incidents: what is firing, when it stood, and what came before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dash import html

from dashboard import address, gantt, parts
from dashboard import sentences_incidents as say
from dashboard.grid import ALL_DRAWN, column, grid
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.words import cut, moment, plural, shown
from monitor.storage import reads
from monitor.views.episodes import STATES, Group, Listed, listed

ANY = ""
# What the plot is wide, about, on a usual screen and on a phone.
WIDE_PX, NARROW_PX = 1020, 260
# From lane to lane: as far as two targets must be apart, and more for a finger.
WIDE_LANE_PX, NARROW_LANE_PX = 24, 26
MIN_SPAN_MS = 14 * 86_400_000
# A longer history than this is a blur of bars; the list below has all of it.
MAX_SPAN_MS = 400 * 86_400_000
CARDS_SHOWN = 100
STATE_WORDS = {"firing": "Firing", "all": "All", "resolved": "Resolved", "withdrawn": "Withdrawn"}
# The API knows states of single incidents.
API_STATES = {"firing": "open", "resolved": "resolved", "withdrawn": "withdrawn"}

SLOTS = {
    "title": ("incidents-title", "children"),
    "controls": ("incidents-controls", "children"),
    "quality": ("incidents-quality", "children"),
    "chart": ("incidents-chart", "children"),
    "chart_hidden": ("incidents-when", "hidden"),
    "count": ("incidents-count", "children"),
    "tools": ("incidents-tools", "children"),
    "rows": ("incidents-grid", "rowData"),
    "heads": ("incidents-grid", "columnDefs"),
    "rows_hidden": ("incidents-short", "hidden"),
    "long": ("incidents-many", "rowData"),
    "long_heads": ("incidents-many", "columnDefs"),
    "long_hidden": ("incidents-long", "hidden"),
    "cards": ("incidents-cards", "children"),
    "none": ("incidents-none", "children"),
}


def columns(zone_word: str = "UTC") -> list[dict[str, Any]]:
    """Return the columns of the list; the head of the times says their zone."""
    return [
        {**column("state", "State", draw="Status", flex=0.9, least_px=118), "sortable": False},
        column("incident", "Incident", draw="Two", flex=3, least_px=280),
        {**column("model", "Model", flex=1.3, least_px=120), "sortable": False},
        {**column("kind", "Kind", flex=0.9, least_px=96), "sortable": False},
        {**column("opened", f"Opened ({zone_word})", flex=0.9, least_px=112), "sortable": False},
        {**column("lasted", "Lasted", flex=0.6, least_px=74), "sortable": False},
    ]


def skeleton() -> Any:
    """Return the page before it is read."""
    label = "Incidents, newest first; Enter opens one"
    empty = "No incident."
    return [
        html.Div(
            [
                html.Div(
                    html.H1(parts.skeleton(1), id="incidents-title"),
                    className="title",
                    role="status",
                ),
                html.Div(id="incidents-controls", className="controls"),
            ],
            className="scope",
        ),
        html.H2("Incidents over time, and their list", className="sr"),
        html.Section(
            [
                html.Header([html.H3("When"), html.Span(id="incidents-quality")]),
                html.Div(parts.skeleton(3), id="incidents-chart"),
            ],
            id="incidents-when",
            className="card",
        ),
        html.Section(
            [
                html.Header(
                    [
                        html.H3(id="incidents-count"),
                        html.Span("newest first"),
                        html.Div(id="incidents-tools", className="head-end"),
                    ]
                ),
                html.Div(
                    grid("incidents-grid", columns(), label=label, empty=empty),
                    id="incidents-short",
                ),
                html.Div(
                    grid("incidents-many", columns(), label=label, empty=empty, is_long=True),
                    id="incidents-long",
                    hidden=True,
                ),
                html.Div(id="incidents-cards", className="incident-cards"),
                html.Div(id="incidents-none"),
            ],
            className="card incidents-list",
        ),
    ]


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold."""
    asked = look.asked
    data_ms = reads.watermark_ms(look.conn)
    state = asked.choice("state", tuple(STATES), "all")
    # Days of UTC, whoever reads the link: there is no model here whose days they could be.
    from_ms = asked.instant("from", ZoneInfo("UTC"), now_ms=data_ms)
    to_ms = asked.instant("to", ZoneInfo("UTC"), now_ms=data_ms, is_end=True)
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        asked.notes.append("The link asks for a range that ends before it begins. Showing all.")
        from_ms = to_ms = None
    model, kind = asked.text("model"), asked.text("kind")
    wishes = (state, model, kind, from_ms, to_ms)
    view = look.cached(
        ("incidents", wishes),
        lambda: listed(
            look.conn, state=state, model=model, kind=kind, from_ms=from_ms, to_ms=to_ms
        ),
    )
    if model is not None and model not in view.models:
        asked.notes.append(f"No incident is of model {cut(model, 60)!r}.")
    if kind is not None and kind not in view.kinds:
        asked.notes.append(f"No incident is of kind {cut(kind, 60)!r}.")
    span = _span(view, from_ms, to_ms)
    is_long = len(view.groups) > ALL_DRAWN
    wide = not look.is_narrow
    rows = [row(group, view, look) for group in view.groups] if wide else []
    heads = columns(look.zone_word)
    return {
        "title": say.list_title(view.firing, len(view.models)),
        "controls": _controls(view, state, model, kind, span, look),
        "quality": _quality(view, span),
        "chart": chart(view, span, look) if span else None,
        "chart_hidden": span is None or not view.groups,
        "count": plural(len(view.groups), "incident"),
        "tools": parts.csv_link(
            address.api(
                "incidents",
                state=API_STATES.get(state),
                model=model,
                kind=kind,
                from_=_instant(from_ms),
                to=_instant(to_ms),
                format="csv",
            )
        ),
        "rows": [] if is_long else rows,
        "heads": heads,
        "rows_hidden": is_long or not rows,
        "long": rows if is_long else [],
        "long_heads": heads,
        "long_hidden": not (is_long and rows),
        "cards": [] if wide else cards(view, look),
        "none": None if view.groups else _none(view, wishes, look),
    }


def _instant(ms: int | None) -> str | None:
    return address.rfc3339(ms) if ms is not None else None


def _span(view: Listed, from_ms: int | None, to_ms: int | None) -> tuple[int, int] | None:
    """Return the range of the chart: what was asked for, else from the first incident on."""
    if view.last_ms is None or view.first_ms is None:
        return None
    end_ms = min(to_ms, view.last_ms) if to_ms is not None else view.last_ms
    begin_ms = from_ms
    if begin_ms is None:
        begin_ms = max(min(view.first_ms, end_ms - MIN_SPAN_MS), end_ms - MAX_SPAN_MS)
    return (begin_ms, end_ms) if begin_ms < end_ms else None


def _controls(
    view: Listed,
    state: str,
    model: str | None,
    kind: str | None,
    span: tuple[int, int] | None,
    look: Look,
) -> list[Any]:
    states = {name: f"{word} {view.counts[name]}" for name, word in STATE_WORDS.items()}
    controls = [parts.switch("state", state, states, "State", default="all")]
    if len(view.models) > 1 or model:
        options = {ANY: "any", **{name: shown(name) for name in view.models}}
        controls.append(parts.select("model", _known(model, options), options, "Model"))
    if len(view.kinds) > 1 or kind:
        kinds = {ANY: "any", **{name: say.kind_word(name) for name in view.kinds}}
        controls.append(parts.select("kind", _known(kind, kinds), kinds, "Kind"))
    if span is not None:
        first, last = (
            datetime.fromtimestamp(ms / 1000, UTC).astimezone(look.zone).date() for ms in span
        )
        if "to" in look.asked and datetime.fromtimestamp(span[1] / 1000, look.zone).hour == 0:
            last -= timedelta(days=1)  # a range ends with the last instant of its last day
        controls.append(parts.range_picker(first.isoformat(), last.isoformat()))
    return controls


def _known(wish: str | None, options: Mapping[str, str]) -> str:
    return wish if wish is not None and wish in options else ANY


def _quality(view: Listed, span: tuple[int, int] | None) -> str:
    """Return what the bars mean, and how many there are."""
    if span is None:
        return ""
    days = (span[1] - span[0]) / 86_400_000
    models = len({group.model for group in view.groups})
    told = say.quality(view.groups, models, days, view.counts["withdrawn"])
    return f"filled: firing now; {told}" if told else ""


def chart(view: Listed, span: tuple[int, int], look: Look) -> Any:
    """Return the bars of each model, every one a link, over one axis."""
    px = NARROW_PX if look.is_narrow else WIDE_PX
    lane_px = NARROW_LANE_PX if look.is_narrow else WIDE_LANE_PX
    drawn = gantt.chart(view.groups, *span, look.zone, px)
    rows = []
    for line in drawn.rows:
        bars = [part for bar in line.bars for part in _bar(bar, view, lane_px)]
        name = html.Div(
            parts.link(shown(line.model), address.model(line.model), title=shown(line.model)),
            className="gantt-name",
        )
        more = html.Span(f"and {line.left_out} more", className="left-out")
        rows.append(
            html.Div(
                [
                    name,
                    html.Div(
                        [*bars, more if line.left_out else None],
                        className="gantt-plot",
                        style={
                            "height": f"{line.lanes * lane_px + (20 if line.left_out else 4)}px"
                        },
                    ),
                ],
                className="gantt-row",
            )
        )
    axis = [
        html.Span(words, style={"left": f"{left:.2f}%"}, className="num")
        for left, words in drawn.ticks
    ]
    rows.append(
        html.Div(
            [html.Div(className="gantt-name"), html.Div(axis, className="gantt-axis")],
            className="gantt-row",
            **{"aria-hidden": "true"},
        )
    )
    if drawn.more:
        rows.append(html.P(f"and {plural(drawn.more, 'model')} more below", className="more"))
    return html.Div(rows, className="gantt")


def _bar(bar: gantt.Bar, view: Listed, lane_px: int) -> list[Any]:
    group = bar.group
    tone = "crit" if group.severity == "critical" else "warn"
    kind = f"gantt-bar {tone}{' open' if bar.is_open else ''}"
    top = f"{bar.lane * lane_px}px"
    said = (
        f"#{group.number} {say.state_word(group)[1]}: "
        f"{say.title(group, view.features.get(group.version_id))}"
    )
    href = address.incident(group.number)
    first, *others = bar.spans
    found: list[Any] = [
        parts.link(
            html.Span(said, className="sr"),
            href,
            className=kind,
            title=said,
            style={"left": f"{first[0]:.3f}%", "width": f"{first[1]:.3f}%", "top": top},
        )
    ]
    found += [
        html.Span(
            className=kind,
            style={"left": f"{left:.3f}%", "width": f"{width:.3f}%", "top": top},
            **{"aria-hidden": "true"},
        )
        for left, width in others
    ]
    found.append(
        html.Span(
            f"#{group.number}",
            className="gantt-number num on" if bar.is_open else "gantt-number num",
            style={"top": top, "right": f"{100 - bar.left:.3f}%"},
            **{"aria-hidden": "true"},
        )
    )
    return found


def row(group: Group, view: Listed, look: Look) -> dict[str, Any]:
    """Return a group as the grid draws it."""
    icon, word, tone = say.state_word(group)
    year = say.data_year(view.last_ms, look.zone)
    return {
        "id": str(group.number),
        "href": address.incident(group.number),
        "state": {"icon": icon, "word": word, "tone": tone},
        "incident": {
            "number": f"#{group.number}",
            "title": say.title(group, view.features.get(group.version_id)),
            "href": address.incident(group.number),
            "sub": say.evidence_line(group),
        },
        "model": f"{cut(group.model, 22)} {cut(say.version_tag(group.version), 16)}",
        "kind": say.kinds(group),
        "opened": moment(group.opened_ms, look.zone, year=year),
        "lasted": say.lasted(group, view.judged_to_ms.get(group.version_id)),
    }


def cards(view: Listed, look: Look) -> list[Any]:
    """Return the groups as a phone shows them."""
    year = say.data_year(view.last_ms, look.zone)
    found: list[Any] = [_card(group, view, look, year) for group in view.groups[:CARDS_SHOWN]]
    if len(view.groups) > CARDS_SHOWN:
        found.append(
            html.P(f"and {plural(len(view.groups) - CARDS_SHOWN, 'older incident')}: "
                   "choose a range above")
        )  # fmt: skip
    return found


def _card(group: Group, view: Listed, look: Look, year: int | None) -> Any:
    icon, word, tone = say.state_word(group)
    return parts.link(
        [
            html.Div(
                [
                    html.Span(f"#{group.number}", className="num number"),
                    html.Span([parts.icon(icon, 13), html.Span(word)], className=f"pill {tone}"),
                ],
                className="top-line",
            ),
            html.B(say.title(group, view.features.get(group.version_id))),
            html.Div(say.evidence_line(group), className="sub"),
            html.Div(
                [
                    html.Span(f"{cut(group.model, 40)} {cut(say.version_tag(group.version), 24)}"),
                    html.Span(
                        f"{moment(group.opened_ms, look.zone, year=year)}, "
                        f"{say.lasted(group, view.judged_to_ms.get(group.version_id))}",
                        className="num",
                    ),
                ],
                className="bottom-line",
            ),
        ],
        address.incident(group.number),
        className="incident-card",
    )


def _none(view: Listed, wishes: Sequence[Any], look: Look) -> Any:
    if any(wishes[1:]) or wishes[0] != "all":
        way = "Show all incidents"
        return parts.nothing(["Nothing matches. ", parts.link(way, "/incidents")])
    return parts.nothing("Quiet is good: there was no incident so far.", "circle-check")


PAGE = Page(
    name="incidents",
    pattern=("incidents",),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda _parts: "Incidents",
)
