"""Incidents: what is firing, when it stood, and what came before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from dash import Dash, Input, Output, dcc, html

from dashboard import address, cards_service, gantt, handling, parts, ranges
from dashboard import sentences_deliveries as sent
from dashboard import sentences_incidents as say
from dashboard import sentences_retraining as retraining
from dashboard.grid import column, grid
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.words import DASH, NBSP, cut, moment, plural, shown, whole
from monitor.storage import reads
from monitor.storage.retrain_rows import Retrain
from monitor.views.delivered import Counts, counts
from monitor.views.episodes import STATES, Group, Listed, listed
from monitor.views.handled import NOTHING, Handled
from monitor.views.handled import handled as handled_of
from monitor.views.retrained import latest_about
from monitor.views.service import Trouble, troubles

ANY = ""
UTC = ZoneInfo("UTC")
# What the plot is wide, about, on a usual screen and on a phone.
WIDE_PX, NARROW_PX = 1020, 260
# From lane to lane: as far as two targets must be apart, and more for a finger.
WIDE_LANE_PX, NARROW_LANE_PX = 24, 26
MIN_SPAN_MS = 14 * 86_400_000
# A longer history than this is a blur of bars; the list below has all of it.
MAX_SPAN_MS = 400 * 86_400_000
# Rows of the list at once: more cost a second in the browser.
A_PAGE = 25
MOST_PAGES = 1_000_000
# Of Driftline's own incidents, those that are over: the newest.
OVER_SHOWN = 20
NONE_SENT = Counts()
STATE_WORDS = {"firing": "Firing", "all": "All", "resolved": "Resolved", "withdrawn": "Withdrawn"}

SLOTS = {
    "title": ("incidents-title", "children"),
    "controls": ("incidents-controls", "children"),
    "quality": ("incidents-quality", "children"),
    "chart": ("incidents-bars", "data"),
    "chart_hidden": ("incidents-when", "hidden"),
    "service": ("incidents-service", "children"),
    "service_hidden": ("incidents-own", "hidden"),
    "count": ("incidents-count", "children"),
    "unit": ("incidents-unit", "children"),
    "tools": ("incidents-tools", "children"),
    "rows": ("incidents-grid", "rowData"),
    "heads": ("incidents-grid", "columnDefs"),
    "rows_hidden": ("incidents-short", "hidden"),
    "cards": ("incidents-cards", "children"),
    "pages": ("incidents-pages", "children"),
    "none": ("incidents-none", "children"),
}


def columns(zone_word: str = "UTC") -> list[dict[str, Any]]:
    """Return the columns of the list; the head of the times says their zone."""
    return [
        {**column("state", "State", draw="Status", flex=0.9, least_px=106), "sortable": False},
        column("incident", "Incident", draw="Two", flex=2.8, least_px=200),
        {**column("model", "Model", flex=1.2, least_px=100), "sortable": False},
        {**column("kind", "Kind", flex=0.8, least_px=88), "sortable": False},
        {**column("opened", f"Opened ({zone_word})", flex=0.9, least_px=104), "sortable": False},
        {**column("lasted", "Lasted", flex=0.6, least_px=66), "sortable": False},
        {**column("delivered", "Delivered", draw="Status", flex=0.65, least_px=76),
         "sortable": False},
        {**column("retraining", "Retraining", flex=0.75, least_px=84), "sortable": False},
        {**column("owner", "Owner", flex=0.8, least_px=88), "sortable": False},
    ]  # fmt: skip


def skeleton() -> Any:
    """Return the page before it is read."""
    label = "Incidents, newest first; Enter opens one, Space selects it"
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
                dcc.Store(id="incidents-bars"),
                html.Div(id="incidents-chart", className="gantt"),
                html.Div(parts.skeleton(3), className="gantt-waits"),
            ],
            id="incidents-when",
            className="card",
        ),
        html.Section(
            [
                html.Header(
                    [html.H3("Driftline itself"), html.Span("what is wrong though no model is")]
                ),
                html.Div(id="incidents-service"),
            ],
            id="incidents-own",
            className="card",
            hidden=True,
        ),
        html.Section(
            [
                html.Header(
                    [
                        html.H3(id="incidents-count"),
                        html.Span(id="incidents-unit"),
                        html.Div(id="incidents-tools", className="head-end"),
                    ]
                ),
                html.Div(
                    grid("incidents-grid", columns(), label=label, empty=empty, selects=True),
                    id="incidents-short",
                ),
                html.Div(id="incidents-cards", className="incident-cards"),
                html.Div(id="incidents-pages", className="incident-pages"),
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
    from_ms = to_ms = None
    if asked.text("from") != ranges.ALL:
        from_ms = asked.instant("from", UTC, now_ms=data_ms)
        to_ms = asked.instant("to", UTC, now_ms=data_ms, is_end=True)
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
    own = _own(look, state, model, kind)
    standing = [one for one in own.every if one.is_open]
    if kind is not None and kind not in (*view.kinds, *own.kinds):
        asked.notes.append(f"No incident is of kind {cut(kind, 60)!r}.")
    span = _span(view, from_ms, to_ms)
    pages = max(1, -(-len(view.groups) // A_PAGE))
    page = min(asked.number("page", 1, MOST_PAGES, 1), pages)
    groups = view.groups[(page - 1) * A_PAGE : page * A_PAGE]
    wide = not look.is_narrow
    done = handled_of(look.conn, groups, look.now_ms)
    arrived = counts(look.conn, groups) if groups else {}
    requests = latest_about(look.conn, groups) if groups else {}
    rows = [
        row(
            group, view, done.get(group.number, NOTHING), look,
            arrived.get(group.number, NONE_SENT),
            requests.get(group.number),
        )
        for group in groups
    ]  # fmt: skip
    return {
        "title": say.list_title(
            view.firing, len(view.models), view.muted, nobodys(look), len(standing)
        ),
        "controls": _controls(view, own, state, model, kind, span, look),
        "quality": _quality(view, span),
        "chart": chart(view, span, look) if span else None,
        "chart_hidden": span is None or not view.groups,
        "service": cards_service.table(own.shown, look) if own.shown else None,
        "service_hidden": not own.shown,
        "count": plural(len(view.groups), "incident"),
        "unit": ["newest first; ", whole(view.members), NBSP, parts.term("members", "member")]
        if view.groups
        else None,
        "tools": [
            *(handling.many() if any(group.is_open for group in groups) else []),
            parts.csv_link(
                address.api(
                    "incident-groups",
                    state=None if state == "all" else state,
                    model=model,
                    kind=kind,
                    from_=_instant(from_ms),
                    to=_instant(to_ms),
                    format="csv",
                )
            ),
        ],
        "rows": rows if wide else [],
        "heads": columns(look.zone_word),
        "rows_hidden": not (wide and rows),
        "cards": [] if wide else cards(groups, view, done, look),
        "pages": _pages(page, pages),
        "none": None if view.groups else _none(wishes, own),
    }


@dataclass(frozen=True)
class _Own:
    """Driftline's own incidents: all that stand with some that are over, and those to show."""

    every: tuple[Trouble, ...]
    asked: tuple[Trouble, ...]  # whatever their state
    shown: tuple[Trouble, ...]

    def count(self, state: str) -> int:
        """Return how many of those that are asked for are in a state."""
        return sum(_is_in(one, state) for one in self.asked)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What kinds there are of them."""
        return tuple(sorted({one.incident.kind for one in self.every}))


def _own(look: Look, state: str, model: str | None, kind: str | None) -> _Own:
    """Read Driftline's own incidents; one of a model belongs to none, unless it names it."""
    over = troubles(look.conn, limit=OVER_SHOWN)
    found = {one.incident.id: one for one in (*troubles(look.conn, only_open=True), *over)}
    every = tuple(found.values())
    asked = tuple(
        one
        for one in every
        if (kind is None or one.incident.kind == kind)
        and (model is None or f"{one.incident.name} ".startswith(f"{model} "))
    )
    return _Own(every, asked, tuple(one for one in asked if _is_in(one, state)))


def _is_in(one: Trouble, state: str) -> bool:
    return {"firing": one.is_open, "resolved": not one.is_open}.get(state, state == "all")


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
    own: _Own,
    state: str,
    model: str | None,
    kind: str | None,
    span: tuple[int, int] | None,
    look: Look,
) -> list[Any]:
    states = {
        name: f"{word} {view.counts[name] + own.count(name)}" for name, word in STATE_WORDS.items()
    }
    controls = [parts.switch("state", state, states, "State", default="all")]
    if len(view.models) > 1 or model:
        options = {ANY: "any", **{name: shown(name) for name in view.models}}
        controls.append(parts.select("model", _known(model, options), options, "Model"))
    names = (*view.kinds, *(name for name in own.kinds if name not in view.kinds))
    if len(names) > 1 or kind:
        kinds = {ANY: "any", **{name: say.kind_word(name) for name in names}}
        controls.append(parts.select("kind", _known(kind, kinds), kinds, "Kind"))
    if span is not None and view.first_ms is not None and view.last_ms is not None:
        presets = ranges.offered("day", view.first_ms, view.last_ms, UTC)
        controls.append(
            ranges.picker(
                ranges.day_of(span[0], UTC), ranges.day_of(span[1] - 1, UTC), presets,
                ranges.chosen(look.asked, ranges.ALL), default=ranges.ALL,
            )
        )  # fmt: skip
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


def chart(view: Listed, span: tuple[int, int], look: Look) -> dict[str, Any]:
    """Return the bars of each model over one axis, as `assets/gantt.js` draws them."""
    px = NARROW_PX if look.is_narrow else WIDE_PX
    lane_px = NARROW_LANE_PX if look.is_narrow else WIDE_LANE_PX
    drawn = gantt.chart(view.groups, *span, look.zone, px)
    return {
        "rows": [
            {
                "model": shown(line.model),
                "href": address.model(line.model),
                "height": line.lanes * lane_px + (20 if line.left_out else 4),
                "bars": [_bar(bar, view, lane_px) for bar in line.bars],
                "more": f"and {line.left_out} more" if line.left_out else "",
            }
            for line in drawn.rows
        ],
        "ticks": [(round(left, 2), words) for left, words in drawn.ticks],
        "more": f"and {plural(drawn.more, 'model')} more below" if drawn.more else "",
    }


def _bar(bar: gantt.Bar, view: Listed, lane_px: int) -> dict[str, Any]:
    group = bar.group
    tone = "crit" if group.severity == "critical" else "warn"
    said = say.title(group, view.features.get(group.version_id))
    return {
        "number": f"#{group.number}",
        "href": address.incident(group.number),
        "said": f"#{group.number} {say.state_word(group)[1]}: {said}",
        "tone": f"{tone} open" if bar.is_open else tone,
        "is_open": bar.is_open,
        "top": bar.lane * lane_px,
        "spans": [(round(left, 3), round(width, 3)) for left, width in bar.spans],
    }


def nobodys(look: Look) -> int:
    """Return how many problems stand that nobody has."""

    def standing() -> tuple[Group, ...]:
        return listed(look.conn, state="firing").groups

    groups = look.cached(("standing groups",), standing)
    done = handled_of(look.conn, groups, look.now_ms)
    nobody = [handling.owner(group, done.get(group.number, NOTHING)) for group in groups]
    return nobody.count("nobody yet")


def row(
    group: Group,
    view: Listed,
    done: Handled,
    look: Look,
    arrived: Counts = NONE_SENT,
    asked: Retrain | None = None,
) -> dict[str, Any]:
    """Return a group as the grid draws it."""
    icon, word, tone = say.state_word(group)
    tally = sent.tally(arrived)
    title = say.title(group, view.features.get(group.version_id))
    year = say.data_year(view.last_ms, look.zone)
    return {
        "id": str(group.number),
        "href": address.incident(group.number),
        "state": {
            "icon": icon,
            "word": word,
            "tone": tone,
            "sub": say.muted_word(group, view.speakers) or handling.silenced_word(done),
        },
        "incident": {
            "number": f"#{group.number}",
            "title": title,
            "href": address.incident(group.number),
            "sub": say.evidence_line(group),
        },
        "model": f"{cut(group.model, 22)} {cut(say.version_tag(group.version), 16)}",
        "kind": say.kinds(group),
        "opened": moment(group.opened_ms, look.zone, year=year),
        "lasted": say.lasted(group, view.judged_to_ms.get(group.version_id)),
        "delivered": dict(zip(("icon", "word", "tone"), tally, strict=True))
        if tally is not None
        else {"word": DASH},
        "retraining": retraining.cell(asked) if asked is not None else DASH,
        "owner": handling.owner(group, done) or DASH,
        "selectable": group.is_open,
        "about": handling.about(group, group.number, done, title) if group.is_open else None,
    }


def cards(
    groups: Sequence[Group], view: Listed, done: Mapping[int, Handled], look: Look
) -> list[Any]:
    """Return groups as a phone shows them."""
    year = say.data_year(view.last_ms, look.zone)
    return [_card(group, view, done.get(group.number, NOTHING), look, year) for group in groups]


def _pages(page: int, pages: int) -> list[Any]:
    """Return where in the list this is, with the ways to what is newer and older."""
    if pages == 1:
        return []
    said: list[Any] = [html.Span(f"Page {page} of {pages}", className="num")]
    if page > 1:
        said.append(_turn("Newer", None if page == 2 else str(page - 1), "chevron-left"))
    if page < pages:
        said.append(_turn("Older", str(page + 1), "chevron-right"))
    return said


def _turn(words: str, page: str | None, icon: str) -> Any:
    return html.Button(
        [parts.icon(icon), html.Span(words)],
        type="button",
        className="button",
        **{"data-write": json.dumps({"page": page})},
    )


def _card(group: Group, view: Listed, done: Handled, look: Look, year: int | None) -> Any:
    icon, word, tone = say.state_word(group)
    owner = handling.owner(group, done)
    quiet = say.muted_word(group, view.speakers) or handling.silenced_word(done)
    title = say.title(group, view.features.get(group.version_id))
    card = parts.link(
        [
            html.Div(
                [
                    html.Span(f"#{group.number}", className="num number"),
                    html.Span(quiet, className="sub"),
                    html.Span([parts.icon(icon, 13), html.Span(word)], className=f"pill {tone}"),
                ],
                className="top-line",
            ),
            html.B(title),
            html.Div(say.evidence_line(group), className="sub"),
            html.Div(
                [
                    html.Span(f"{cut(group.model, 40)} {cut(say.version_tag(group.version), 24)}"),
                    html.Span(
                        f"{moment(group.opened_ms, look.zone, year=year)}, "
                        f"{say.lasted(group, view.judged_to_ms.get(group.version_id))}"
                        f"{f', {owner}' if owner else ''}",
                        className="num",
                    ),
                ],
                className="bottom-line",
            ),
        ],
        address.incident(group.number),
        className="incident-card",
    )
    if not group.is_open:
        return card
    return html.Div([handling.box(group, done, title), card], className="picked-card")


def _none(wishes: Sequence[Any], own: _Own) -> Any:
    if own.shown:
        return parts.nothing("No incident of a model matches.")
    if any(wishes[1:]) or wishes[0] != "all":
        way = "Show all incidents"
        return parts.nothing(["Nothing matches. ", parts.link(way, "/incidents")])
    return parts.nothing("Quiet is good: there was no incident so far.", "circle-check")


def register(app: Dash) -> None:
    """The bars are drawn by the browser."""
    app.clientside_callback(
        "function (data) { return window.driftlineGantt.draw(data); }",
        Output("incidents-chart", "title"),
        Input("incidents-bars", "data"),
    )


PAGE = Page(
    name="incidents",
    pattern=("incidents",),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda _parts: "Incidents",
    register=register,
)
