"""Overview: is anything wrong, and where; what is open, and what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import dash_mantine_components as dmc
from dash import html

from dashboard import address, cards_service, handling, parts
from dashboard import sentences_deliveries as sent
from dashboard import sentences_incidents as incidents
from dashboard import sentences_overview as say
from dashboard.grid import ALL_DRAWN, column, grid, room
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.pages.refreshing import refreshing
from dashboard.words import DASH, cut, day_text, plural
from monitor.storage import reads, retrain_rows
from monitor.storage.retrain_rows import Retrain
from monitor.views.delivered import Counts, counts
from monitor.views.episodes import Group
from monitor.views.handled import NOTHING, Handled
from monitor.views.handled import handled as handled_of
from monitor.views.overview import ATTENTION, Line, Overview, overview
from monitor.views.service import Trouble, troubles

SHOW = {"all": "All", "attention": "Needs attention"}
SORT = {"worst": "worst first", "name": "name", "volume": "predictions"}
OPEN_SHOWN = 8
NEWS_SHOWN = 8
# How often the page asks again although no window was judged.
REFRESH_S = 20
# Cards are drawn whole; a phone that shows hundreds of them has a search box instead.
CARDS_SHOWN = 50
# Rows of the list before it is read.
WAITING = 4

COLUMNS = (
    # Where there is less room the stylesheet takes the strip, then the description.
    column("model", "Model", draw="Two", flex=1.3, least_px=104),
    column("status", "Status", draw="Status", flex=1.3, least_px=116),
    column("volume", "Predictions, 28 days", draw="Spark", flex=1.7, least_px=132),
    column("drifted", "Drifted, 28 days", draw="Strip", flex=0.95, least_px=66),
    column("worst", "Worst feature against its limit", draw="Limit", flex=1.7, least_px=116),
    column("todo", "What to do", draw="Two", flex=1.25, least_px=98),
)
# Words of the last line -> the glossary's; longer forms first.
EXPLAINED = {
    "dead letters": "dead letter",
    "dead letter": "dead letter",
    "data gaps": "gap",
    "data gap": "gap",
    "without a reference": "deficit",
}
ROW_PX = 64
LABEL = "Models, the worst first; Enter opens one"
SLOTS = {
    "title": ("overview-title", "children"),
    "lead": ("overview-lead", "children"),
    "controls": ("overview-controls", "children"),
    "rows": ("overview-models", "rowData"),
    "options": ("overview-models", "dashGridOptions"),
    "height": ("overview-models", "style"),
    "rows_hidden": ("overview-list", "hidden"),
    "cards": ("overview-cards", "children"),
    "none": ("overview-none", "children"),
    "open": ("overview-open", "children"),
    "news_head": ("overview-news-head", "children"),
    "news": ("overview-news", "children"),
    "pipeline": ("overview-pipeline", "children"),
}


def skeleton() -> Any:
    """Return the page before it is read."""
    return [
        refreshing(REFRESH_S),
        html.Div(
            [
                html.Div(
                    html.H1(parts.skeleton(1), id="overview-title"),
                    className="title",
                    role="status",
                ),
                html.Div(id="overview-controls", className="controls"),
            ],
            className="scope",
        ),
        html.P(id="overview-lead", className="overview-lead"),
        html.H2("Models, incidents and news", className="sr"),
        html.Section(
            [
                html.Div(
                    grid("overview-models", COLUMNS, label=LABEL, row_px=ROW_PX),
                    id="overview-list",
                    hidden=True,
                ),
                # Until the models are read: rows of their height, and no word about them.
                html.Div(parts.skeleton(WAITING), id="overview-none", className="overview-wait"),
            ],
            className="card overview-list",
        ),
        html.Div(id="overview-cards", className="overview-cards"),
        html.Div(
            [
                parts.card(
                    "Open incidents",
                    html.Div(parts.skeleton(3), id="overview-open"),
                    head=[parts.link("All incidents", "/incidents")],
                ),
                html.Section(
                    [
                        html.Header(id="overview-news-head"),
                        html.Div(parts.skeleton(3), id="overview-news"),
                    ],
                    className="card",
                ),
            ],
            className="overview-pair",
        ),
        html.Div(id="overview-pipeline", className="overview-pipeline"),
    ]


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold."""
    asked = look.asked
    show = asked.choice("show", tuple(SHOW), "all")
    sort = asked.choice("sort", tuple(SORT), "worst")
    wanted = asked.text("q") or ""
    visit_ms = look.last_visit_ms
    view = look.cached(key(look), lambda: overview(look.conn, last_visit_ms=visit_ms))
    # By the wall clock, not by the data version: no window is judged when an endpoint breaks.
    broken = troubles(look.conn, only_open=True)
    lines = chosen(view.lines, show=show, sort=sort, wanted=wanted)
    requests = {one.version_id: one for one in retrain_rows.listed(look.conn, only_open=True)}
    options, height = room(len(lines), row_px=ROW_PX)
    rows = (
        [] if look.is_narrow else [row(line, look, view.judged_to_ms, requests) for line in lines]
    )
    return {
        "title": say.title(view.lines, len(broken)),
        "lead": _said(say.lead(view.lines, look.zone, view.judged_to_ms, broken)),
        "controls": _controls(view, show, sort, wanted),
        "rows": rows,
        "options": options,
        "height": height,
        "rows_hidden": not lines or look.is_narrow,
        "cards": cards(lines, look, view.judged_to_ms, requests) if look.is_narrow else [],
        "none": None if lines else _none(show, wanted),
        "open": open_incidents(view, broken, look),
        "news_head": _news_head(view, look),
        "news": news(view, look),
        "pipeline": pipeline(view, look),
    }


def key(look: Look) -> tuple[Any, ...]:
    """Return what the view is kept by: records are counted although no window was judged."""
    positions = reads.positions(look.conn)
    counted = sum(position.next_offset for position in positions)
    seen_ms = max((position.seen_ms or 0 for position in positions), default=0)
    return "overview", look.last_visit_ms, counted, seen_ms


def chosen(lines: Sequence[Line], *, show: str, sort: str, wanted: str) -> list[Line]:
    """Return the models that were asked for, in the order that was asked for."""
    words = wanted.casefold().split()
    found = [
        line
        for line in lines
        if (show == "all" or line.health in ATTENTION)
        and all(
            word in f"{line.name} {line.description or ''} {line.owner or ''}".casefold()
            for word in words
        )
    ]
    if sort == "name":
        return sorted(found, key=lambda line: line.name.casefold())
    if sort == "volume":
        return sorted(found, key=lambda line: -(line.volume[-1] if line.volume else 0))
    return found


def _controls(view: Overview, show: str, sort: str, wanted: str) -> list[Any]:
    controls = [parts.switch("show", show, SHOW, "Models to show")]
    if len(view.lines) > 1:
        controls.append(parts.select("sort", sort, SORT, "Sort"))
    if len(view.lines) > ALL_DRAWN or wanted:
        controls.append(
            dmc.TextInput(
                id={"at": "control", "key": "q", "was": wanted, "default": ""},
                value=wanted,
                placeholder="Find a model",
                debounce=400,
                size="xs",
                leftSection=parts.icon("search"),
                className="find",
                **{"aria-label": "Find a model"},
            )
        )
    return controls


def _none(show: str, wanted: str) -> Any:
    if wanted:
        return parts.nothing([f"No model matches {cut(wanted, 60)!r}. ",
                              parts.link("Show all models", "/")])  # fmt: skip
    if show == "attention":
        return parts.nothing(["No model needs attention. ", parts.link("Show all models", "/")],
                             "circle-check")  # fmt: skip
    return parts.nothing("No model is registered.")


Asked = Mapping[int, Retrain]  # open requests for a retraining, by version


def _asked(line: Line, asked: Asked) -> Retrain | None:
    return asked.get(line.version.id) if line.version is not None else None


def row(
    line: Line, look: Look, judged_to_ms: int | None, asked: Asked = MappingProxyType({})
) -> dict[str, Any]:
    """Return a model as the grid draws it."""
    href = _href(line)
    worst = say.worst(line)
    if line.version is not None and worst["ratio"] is not None and line.worst is not None:
        worst["href"] = address.feature(line.name, str(line.worst["feature"]))
    model = {"title": cut(line.name, 80), "href": href, "sub": cut(line.description or "", 120)}
    if line.version is not None:
        model["tag"] = cut(incidents.version_tag(line.version.name), 24)
    return {
        "id": line.name,
        "href": href,
        "model": model,
        "status": say.status(line, look.zone, incidents.data_year(judged_to_ms, look.zone)),
        "volume": say.volume(line, look.now_ms),
        "drifted": say.drifted(line),
        "worst": worst,
        "todo": say.to_do(line, _asked(line, asked)),
    }


def _href(line: Line) -> str:
    """Return where a model's row leads: records without a reference are told by the pipeline."""
    return address.model(line.name) if line.version is not None else "/pipeline"


def cards(
    lines: Sequence[Line],
    look: Look,
    judged_to_ms: int | None,
    asked: Asked = MappingProxyType({}),
) -> list[Any]:
    """Return the models as a phone shows them: one card each, a link as a whole."""
    year = incidents.data_year(judged_to_ms, look.zone)
    found: list[Any] = [
        _card(line, look, year, _asked(line, asked)) for line in lines[:CARDS_SHOWN]
    ]
    if len(lines) > CARDS_SHOWN:
        left = len(lines) - CARDS_SHOWN
        found.append(html.P(f"and {plural(left, 'model')} more: find them by name above"))
    return found


def _card(line: Line, look: Look, year: int | None, asked: Retrain | None) -> Any:
    status = say.status(line, look.zone, year)
    drifted = say.drifted(line)
    worst = say.worst(line)
    volume = say.volume(line, look.now_ms)
    since = status["sub"][:1].upper() + status["sub"][1:]
    return parts.link(
        [
            html.Div(
                [
                    html.Span(
                        [
                            parts.name(line.name, 80),
                            parts.tag(incidents.version_tag(line.version.name), 24)
                            if line.version is not None
                            else None,
                        ],
                        className="who",
                    ),
                    html.Span(
                        [parts.icon(status["icon"], 13), html.Span(status["word"])],
                        className=f"pill {status['tone']}",
                    ),
                ],
                className="top-line",
            ),
            html.Div(since, className="since"),
            html.Div(
                [
                    html.Div(
                        drifted["text"]
                        if "text" in drifted
                        else [
                            html.Div([html.B(drifted["now"]), f" of {drifted['of']} drifted"]),
                            html.Div(drifted["weight"], className="sub")
                            if drifted["weight"]
                            else None,
                            html.Div([html.B(worst["name"]), f" {worst['said']}"], className="sub")
                            if worst["ratio"] is not None
                            else None,
                        ]
                    ),
                    bars(volume["values"], volume["words"]),
                ],
                className="middle",
            ),
            html.Div(
                [parts.icon("arrow-right"), html.B(say.to_do(line, asked)["title"])],
                className="todo",
            ),
        ],
        _href(line),
        className="model-card",
    )


def bars(values: Sequence[int], words: str) -> Any:
    """Return a row of numbers as small bars, the last in the colour of the window."""
    most = max(values, default=0) or 1
    return html.Span(
        [html.I(style={"height": f"{max(4 if n else 0, 100 * n / most):.0f}%"}) for n in values],
        className="mini-bars",
        role="img",
        **{"aria-label": words},
    )


def open_incidents(view: Overview, broken: Sequence[Trouble], look: Look) -> Any:
    """Return what stands: Driftline's own parts, then the critical ones, newest first; eight."""
    if not view.groups and not broken:
        if not any(line.judged_to_ms for line in view.lines):
            return parts.nothing("Nothing was judged yet.", "hourglass")
        return parts.nothing("Nothing is open. Quiet is good.", "circle-check")
    groups = sorted(view.groups, key=lambda g: g.severity != "critical")
    groups = groups[: max(0, OPEN_SHOWN - len(broken))]
    arrived = counts(look.conn, groups) if groups else {}
    done = handled_of(look.conn, groups, look.now_ms) if groups else {}
    rows = [_trouble_row(one, look) for one in broken[:OPEN_SHOWN]]
    rows += [
        _group_row(
            group, view, arrived.get(group.number, Counts()), done.get(group.number, NOTHING), look
        )
        for group in groups
    ]
    heads = ("Incident", "State", "Delivered", "Owner", f"Since ({look.zone_word})")
    table = html.Table(
        [
            html.Thead(
                html.Tr(
                    [
                        html.Th(head, scope="col", className="num" if at == 4 else "")
                        for at, head in enumerate(heads)
                    ]
                )
            ),
            html.Tbody(rows),
        ],
        className="table open-incidents",
    )
    left = len(view.groups) + len(broken) - len(rows)
    if left <= 0:
        return table
    more = parts.link(f"{plural(left, 'more', 'more')} firing", "/incidents?state=firing")
    return [table, html.P(more, className="more")]


def _group_row(group: Group, view: Overview, arrived: Counts, done: Handled, look: Look) -> Any:
    year = incidents.data_year(view.judged_to_ms, look.zone)
    judged_to = {line.version.id: line.judged_to_ms for line in view.lines if line.version}
    tally = sent.tally(arrived)
    return html.Tr(
        [
            html.Th(_incident(group, view), scope="row"),
            html.Td(_state(incidents.state_word(group), group.severity)),
            html.Td(parts.status(*tally) if tally is not None else DASH, className="num-left"),
            html.Td(handling.owner(group, done) or DASH),
            html.Td(
                [
                    html.Div(_day(group.opened_ms, look, year), className="num"),
                    html.Div(
                        incidents.lasted(group, judged_to.get(group.version_id)),
                        className="sub num",
                    ),
                ],
                className="num",
            ),
        ]
    )


def _trouble_row(one: Trouble, look: Look) -> Any:
    _, lasted = cards_service.since(one, look)
    year = datetime.fromtimestamp(look.now_ms / 1000, look.zone).year
    return html.Tr(
        [
            html.Th(cards_service.titled(one), scope="row"),
            html.Td(_state(cards_service.state(one), one.incident.severity)),
            html.Td(html.Div(one.todo, className="sub"), colSpan=2, className="todo-cell"),
            html.Td(
                [
                    html.Div(_day(one.incident.opened_ms, look, year), className="num"),
                    html.Div(lasted, className="sub num"),
                ],
                className="num",
            ),
        ]
    )


def _state(said: tuple[str, str, str], severity: str) -> Any:
    """Return the state, and below it how bad it is: colour alone would not say."""
    level = "critical" if severity == "critical" else "warning"
    return [parts.status(*said), html.Div(level, className="sub indent")]


def _incident(group: Group, view: Overview) -> Any:
    said = incidents.title(group, view.features.get(group.version_id))
    who = f"{cut(group.model, 40)} {cut(incidents.version_tag(group.version), 24)}"
    return html.Div(
        [
            parts.link(
                [html.Span(f"#{group.number} ", className="num"), f"{who}: {said}"],
                address.incident(group.number),
                className="title",
            ),
            html.Div(incidents.evidence_line(group), className="sub"),
        ],
        className="two-lines",
    )


def _day(ms: int, look: Look, year: int | None) -> str:
    return day_text(datetime.fromtimestamp(ms / 1000, look.zone).date(), year=year)


def _said(said: Sequence[tuple[str, bool]]) -> list[Any]:
    return [html.B(text) if is_bold else text for text, is_bold in said]


def _news_head(view: Overview, look: Look) -> list[Any]:
    head, since = say.since_title(view, look.now_ms, look.zone)
    return [html.H3(head), html.Span(since, className="num") if since else None]


def news(view: Overview, look: Look) -> Any:
    """Return what is new, newest first; eight at most."""
    told = say.news(view, look.zone)
    if not told:
        return parts.nothing(*say.no_news(view))
    shown = told[:NEWS_SHOWN]
    items = [
        html.Li(
            [
                html.Span(
                    say.event_time(item.at_ms, look.zone, view.judged_to_ms), className="num"
                ),
                parts.icon_in(item.icon, item.tone),
                parts.link(_said(item.parts), address.incident(item.number))
                if item.number is not None
                else html.Span(_said(item.parts)),
            ]
        )
        for item in shown
    ]
    left = len(told) - len(shown)
    more = [html.P(parts.link(f"{plural(left, 'more', 'more')}", "/incidents"), className="more")]
    return [html.Ol(items, className="timeline"), *(more if left > 0 else [])]


def pipeline(view: Overview, look: Look) -> list[Any]:
    """Return the pipeline in one line."""
    facts = say.pipeline(view.pipe, look.now_ms)
    return [
        html.Span([parts.icon("activity"), html.B("Pipeline"), html.Span(facts[0])]),
        *(html.Span(_explained(fact)) for fact in facts[1:]),
        parts.link("Pipeline health", "/pipeline"),
    ]


def _explained(fact: str) -> Any:
    """Return a fact with the word of the trade in it explained."""
    for word, means in EXPLAINED.items():
        before, found, after = fact.partition(word)
        if found:
            return [before, parts.term(found, means), after]
    return fact


PAGE = Page(
    name="overview",
    pattern=(),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda _parts: "Overview",
)
