"""A model: is it healthy, and what moved when. One card of lanes and a heatmap on one time axis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, dcc, html

from dashboard import address, lanes, parts, scope_row
from dashboard import cards_model as cards
from dashboard import retraining_of_model as retraining
from dashboard import sentences_incidents as incidents
from dashboard import sentences_model as say
from dashboard.cards_collecting import collecting
from dashboard.figures import heat as figures
from dashboard.incidents_of_model import listed, listed_head
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.retraining_of_model import Retraining
from dashboard.sentences_series import cause_words, partial_words
from dashboard.words import cut, plural, shown, whole
from driftline.stats.names import NAMES
from monitor.views import heat as rows
from monitor.views.heat import Arrangement, Heat, arranged
from monitor.views.scope import Scope
from monitor.views.timeline import (
    Timeline,
    importance,
    partial_of,
    timeline,
    windows_to_learn,
)

SORTS = {"worst": "Worst first", "importance": "Importance", "name": "Name"}
LOOKS = {"heatmap": "Heatmap", "table": "Table"}
EVIDENCE = {"worst": "worst evidence"} | {
    name: NAMES[name].inside for name in rows.EVIDENCE if name in NAMES
}
SEARCH = {"at": "control", "key": "q", "was": "~", "default": ""}
SLOTS = {
    "title": ("model-title", "children"),
    "tags": ("model-tags", "children"),
    **scope_row.slots("model"),
    "verdict": ("model-verdict", "children"),
    "kpis": ("model-kpis", "children"),
    "states": ("model-states", "children"),
    "legend": ("model-legend", "children"),
    "head": ("model-head", "children"),
    "menu": ("model-menu", "children"),
    "lanes": ("model-lanes", "data"),
    "lane_values": ("model-lane-values", "children"),
    "bars": ("model-bars", "figure"),
    "bars_words": ("model-bars-box", "aria-label"),
    "bars_name": ("model-volume-name", "children"),
    "bar_values": ("model-bar-values", "children"),
    "rows": ("model-rows", "data"),
    "heat": ("model-heat", "figure"),
    "heat_style": ("model-heat", "style"),
    "heat_words": ("model-heat-box", "aria-label"),
    "columns": ("model-walk", "data-columns"),
    "chart": ("model-chart", "className"),
    "twin": ("model-twin", "children"),
    "note": ("model-note", "children"),
    "pages": ("model-pages", "children"),
    "search_hidden": ("model-search", "hidden"),
    "listed": ("model-listed", "children"),
    "listed_head": ("model-listed-head", "children"),
    "view": ("model-view", "data-view"),
}


def skeleton() -> Any:
    """Return the page before it is read."""
    return [
        html.Div(id="model-view", **{"data-view": ""}),
        html.Div(
            [
                html.Div(
                    [html.H1(id="model-title"), html.Div(id="model-tags", className="tags")],
                    className="title",
                ),
                scope_row.skeleton("model"),
            ],
            className="scope",
        ),
        html.Div(parts.skeleton(2), id="model-verdict", role="status"),
        html.Div(parts.skeleton(2), id="model-kpis", className="kpis"),
        html.Section(
            [
                html.Header(
                    [
                        html.H2("What moved, and when", className="h3"),
                        html.Div(
                            dmc.TextInput(
                                id=SEARCH,
                                placeholder="Filter features",
                                debounce=250,
                                size="xs",
                                leftSection=parts.icon("search"),
                                inputProps={"maxLength": 200, "autoComplete": "off"},
                                **{"aria-label": "Filter features"},
                            ),
                            id="model-search",
                            className="feature-filter",
                            hidden=True,
                        ),
                        html.Div(
                            [
                                html.Div(id="model-head", className="choices"),
                                html.Div(id="model-menu"),
                            ],
                            className="head-end",
                        ),
                    ]
                ),
                html.Div(id="model-states"),
                html.Div(id="model-legend", className="legend"),
                _chart(),
                html.Div(id="model-twin"),
                html.Div(id="model-note", className="note"),
                html.Div(id="model-pages", className="heat-pages"),
            ],
            className="card",
        ),
        html.Section(
            [
                html.Header(
                    [
                        html.H2("Incidents", className="h3"),
                        html.Span(id="model-listed-head"),
                    ]
                ),
                html.Div(id="model-listed"),
            ],
            className="card",
        ),
    ]


def _chart() -> Any:
    return html.Div(
        [
            html.Div(
                [
                    html.Div("Version", className="lane-name"),
                    html.Div("Incidents", className="lane-name"),
                ],
                className="labels",
            ),
            html.Div(
                [
                    html.Div(id="model-versions", className="lane"),
                    html.Div(id="model-lane", className="lane"),
                ],
                className="plot",
            ),
            html.Div(id="model-lane-values", className="values"),
            html.Div(
                [
                    html.Div("Features drifted", className="bar-name"),
                    html.Div("Predictions", id="model-volume-name", className="bar-name"),
                ],
                className="labels bars",
            ),
            html.Div(
                parts.graph("model-bars", figures.BARS_PX, "Features drifted and predictions"),
                className="plot",
            ),
            html.Div(id="model-bar-values", className="values bars"),
            html.Div(id="model-labels", className="labels rows"),
            html.Div(
                [
                    parts.graph("model-heat", 220, "Evidence over its limit, features by time"),
                    html.Div(
                        html.Div(id="model-cursor", hidden=True),
                        id="model-walk",
                        tabIndex=0,
                        role="application",
                        **{
                            "data-columns": "",
                            "data-keys": "walk",
                            "aria-label": "Heatmap: arrows walk, Enter opens the feature there",
                        },
                    ),
                ],
                className="plot",
            ),
            html.Div(id="model-values", className="values rows"),
            dcc.Store(id="model-rows"),
            dcc.Store(id="model-lanes"),
        ],
        id="model-chart",
        className="chart collecting",
    )


@dataclass(frozen=True)
class Chosen:
    """What one look chose of the model."""

    scope: Scope
    found: Timeline
    heat: Heat
    to_learn: int
    has_importance: bool
    look: str
    sort: str
    query: Mapping[str, Any]  # what links to features carry on


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold."""
    chosen = choose(look)
    if not chosen.scope.is_judged:
        # Events are counted before anything is judged: what was kept may be older than they are.
        now = replace(chosen.found, partial=partial_of(look.conn, chosen.scope))
        chosen = replace(chosen, found=now)
    scope, found, heat = chosen.scope, chosen.found, chosen.heat
    model = scope.model
    asked = retraining.read(look, scope)
    verdict = say.verdict(found)
    told = retraining.line(asked, look, is_firing=bool(found.firing))
    if told:
        verdict = replace(verdict, headline=f"{verdict.headline} {told}")
    is_table = chosen.look == "table"
    values: dict[str, Any] = {
        "title": shown(model.name)[:300],
        "tags": [*_tags(chosen), *retraining.replaced(asked, look, scope.zone)],
        **scope_row.controls(look, scope),
        "verdict": parts.verdict_card(
            verdict, [one for one in (*_actions(found), retraining.button(asked, scope)) if one]
        ),
        "kpis": parts.kpi_strip(
            say.kpis(found, look.zone, retraining.kpi(asked, look, scope.zone))
        ),
        "states": _states(chosen),
        "head": _head(chosen),
        "menu": _menu(chosen),
        "listed": listed(look, found),
        "listed_head": listed_head(found),
        "view": _full_link(look, chosen),
        "search_hidden": len(found.squares.features) <= 12,
        "legend": [] if is_table or not len(found.columns) else cards.legend(),
    }
    if not len(found.columns):
        return values | {
            "states": [*_states(chosen), *collecting(look.conn, found, chosen.to_learn)],
            "head": [],
            "menu": [],
            "chart": "chart collecting",
            "twin": [],
            "note": [],
            "pages": [],
            "rows": [],
        }
    width = figures.NARROW_PX if look.is_narrow else figures.WIDE_PX
    at = figures.axis_of_columns(found.columns, scope.zone)
    bars, lost = lanes.pack(found.incidents, at, scope.zone, width, found.number_of)
    height = figures.heat_height(len(heat.features))
    newest = say.newest_words(found)
    values |= {
        "lanes": cards.drawn_lanes(found, bars, asked.marks),
        "lane_values": cards.lane_values(found),
        "bars": figures.bars(found, look.scheme, width, asked.marks),
        "bars_words": verdict.headline,
        "bars_name": f"Predictions, by {found.columns.unit}",
        "bar_values": cards.bar_values(found, newest, say.n_features(found)),
        "heat_words": verdict.headline,
        "chart": "chart table-only" if is_table else "chart",
        "twin": cards.twin(found, heat, chosen.query) if is_table else [],
        "note": [
            html.P(note)
            for note in (*cards.rows_note(found, heat, lost), *_marks(look, asked, found))
        ],
        "pages": _pages(chosen),
        "rows": [] if is_table else cards.rows(found, heat, chosen.query),
    }
    if not is_table:
        values |= {
            "heat": figures.heatmap(found, heat, look.scheme, width, asked.marks),
            "heat_style": {"height": f"{height}px"},
            "columns": _walk(chosen),
        }
    if not heat.features:
        values["note"] = [parts.nothing(_no_rows(look, found), "search")]
    return values


def _marks(look: Look, asked: Retraining, found: Timeline) -> list[str]:
    """Return the dotted lines within the range in words."""
    first_ms, last_ms = int(found.columns.starts[0]), int(found.columns.ends[-1])
    here = [one for one in asked.asked if first_ms < one.event_ms < last_ms]
    return retraining.twin(here, look, found.scope.zone)


def choose(look: Look) -> Chosen:
    """Read what the address asks for; what is not there is said, and replaced."""
    asked, conn = look.asked, look.conn
    evidence = asked.choice("evidence", rows.EVIDENCE, "worst")
    sort = asked.choice("sort", rows.SORTS, "worst")
    view = asked.choice("view", tuple(LOOKS), "heatmap")
    scope = scope_row.read(look, look.path[1])
    key = (scope.version.id, scope.segment, scope.length, scope.from_ms, scope.to_ms)
    found = look.cached(
        ("timeline", *key, evidence), lambda: timeline(conn, scope, evidence=evidence)
    )
    # The reference of the range's end: a version may have had several.
    digest = scope.reference.digest if scope.reference is not None else None
    weights = look.cached(("importance", digest), lambda: importance(conn, scope))
    to_learn = look.cached(("learn", digest, *key[:3]), lambda: windows_to_learn(conn, scope))
    arrangement = Arrangement(
        sort=sort,
        q=(asked.text("q") or "")[:200],
        show_all=asked.text("all") == "1",
        page=asked.number("page", 1, 10_000, 1),
        importance=weights,
    )
    heat = arranged(found.squares, found.standing, arrangement)
    query = scope_row.carried(look)
    return Chosen(scope, found, heat, to_learn, bool(weights), view, sort, query)


def _tags(chosen: Chosen) -> list[Any]:
    model, version = chosen.scope.model, chosen.scope.version
    word = incidents.version_tag(version.name)
    tags: list[Any] = [parts.tag(word, 40)]
    if model.owner:
        tags.append(parts.tag(model.owner, 40))
    if model.description:
        tags.append(html.Span(cut(model.description, 200), className="description"))
    return tags


def _actions(found: Timeline) -> list[Any]:
    firing = found.firing
    if firing:
        # It goes by its group's number, as in every list; the link chooses the member.
        number = firing[0].number
        words = f"Incident #{found.number_of[number]}"
        return [parts.link_button(words, address.incident(number), "siren")]
    if found.scope.reference is not None:
        digest = found.scope.reference.digest
        return [parts.link_button("Reference", address.reference(digest), "layers")]
    return []


def _states(chosen: Chosen) -> list[Any]:
    """Return the states of the range in words: partial, learning, uncalibrated, incomplete."""
    found, scope = chosen.found, chosen.scope
    year = say.year_of(found)
    states: list[Any] = []
    partial = found.partial
    if partial is not None and partial.watermark_ms is not None and partial.share > 0:
        words, share = partial_words(
            partial.start_ms, partial.end_ms, partial.closes_ms, partial.watermark_ms,
            scope.length, scope.zone, year,
        )  # fmt: skip
        states.append(parts.state("hourglass", "Partial", words, bar=share))
    learning = say.calibration_words(found, chosen.to_learn)
    if learning is not None:
        icon, title, words = learning
        states.append(parts.state(icon, title, words))
    causes = [cause for told in found.columns.incomplete.values() for cause in told]
    if causes:
        count = plural(len(found.columns.incomplete), found.columns.unit)
        first = cause_words(causes[0])
        more = f" And {len(set(causes)) - 1} more." if len(set(causes)) > 1 else ""
        states.append(parts.state("file-warning", f"{count} incomplete", f"{first}{more}", "warn"))
    return [html.Div(states, className="model-states")] if states else []


def _head(chosen: Chosen) -> list[Any]:
    sorts = dict(SORTS)
    if not chosen.has_importance:
        del sorts["importance"]
    return [
        parts.select("evidence", chosen.found.evidence, EVIDENCE, "Show", "worst"),
        parts.switch("sort", chosen.sort if chosen.sort in sorts else "worst", sorts, "Order"),
        parts.switch("view", chosen.look, LOOKS, "Show as"),
    ]


def _menu(chosen: Chosen) -> Any:
    """Return the card's menu: unlike its switches, another one for each range."""
    scope = chosen.scope
    csv = address.api(
        "findings", model=scope.model.name, version=scope.version.name, segment=scope.segment,
        length=scope.length, from_=address.rfc3339(scope.from_ms),
        to=address.rfc3339(scope.to_ms), format="csv",
    )  # fmt: skip
    png = "model-heat" if chosen.look == "heatmap" else None
    return parts.card_menu(csv=csv, png=png, file=f"{scope.model.name}-heatmap")


def _walk(chosen: Chosen) -> str:
    """Return what the keyboard and a click on a square need: where each column leads."""
    columns, scope = chosen.found.columns, chosen.scope
    return json.dumps(
        {
            "starts": [address.rfc3339(ms) for ms in columns.starts.tolist()],
            "ends": [address.rfc3339(ms) for ms in columns.ends.tolist()],
            # Several windows share a column: its feature is opened over the column's time.
            "is_range": columns.unit != scope.length,
            "row_px": figures.ROW_PX,
        },
        separators=(",", ":"),
    )


def _pages(chosen: Chosen) -> list[Any]:
    heat = chosen.heat
    said: list[Any] = []
    if heat.quiet:
        said.append(html.Span(f"{plural(heat.quiet, 'feature')} stayed below half their limit. "))
        said.append(_writes(f"Show all {whole(heat.total)}", {"all": "1", "page": None}))
    if heat.pages > 1:
        said.append(html.Span(f"Page {heat.page} of {heat.pages}", className="num"))
        if heat.page > 1:
            before = None if heat.page == 2 else str(heat.page - 1)
            said.append(_writes("Previous", {"page": before}, "chevron-left"))
        if heat.page < heat.pages:
            said.append(_writes("Next", {"page": str(heat.page + 1)}, "chevron-right"))
    return said


def _writes(words: str, changes: Mapping[str, str | None], icon: str | None = None) -> Any:
    inside = [parts.icon(icon), html.Span(words)] if icon else words
    return html.Button(
        inside, type="button", className="button", **{"data-write": json.dumps(changes)}
    )


def _no_rows(look: Look, found: Timeline) -> Any:
    wanted = look.asked.text("q")
    if not wanted:
        return "No feature was judged in this range."
    near = next(iter(found.squares.features), "")
    hint = f", or see {cut(near, 60)}" if near else ""
    return f"No feature is called “{cut(wanted, 60)}”. Clear the filter{hint}."


def _full_link(look: Look, chosen: Chosen) -> str:
    """Return the address of exactly this view: in three weeks it shows the same."""
    scope = chosen.scope
    kept = {key: look.asked.text(key) for key in ("sort", "view", "evidence", "q", "all", "page")}
    return address.model(
        scope.model.name, version=scope.version.name, segment=scope.segment, window=scope.length,
        from_=address.rfc3339(scope.from_ms) if scope.is_judged else None,
        to=address.rfc3339(scope.to_ms) if scope.is_judged else None,
        **kept,
    )  # fmt: skip


def register(app: Dash) -> None:
    """A click on a square opens its feature there; the filter shows what the address says."""
    app.clientside_callback(
        "function (click) { return window.driftlineHeat.click(click); }",
        Output("model-heat-box", "title"),
        Input("model-heat", "clickData"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        "function (rows) { return window.driftlineHeat.rows(rows); }",
        Output("model-rows", "storage_type"),
        Input("model-rows", "data"),
    )
    app.clientside_callback(
        "function (lanes) { return window.driftlineLanes.draw(lanes); }",
        Output("model-lanes", "storage_type"),
        Input("model-lanes", "data"),
    )
    app.clientside_callback(
        "function () { return window.driftlineHeat.wanted(); }",
        Output(SEARCH, "value"),
        Input("model-search", "hidden"),
    )


PAGE = Page(
    name="model",
    pattern=("models", None),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda path: path[1],
    register=register,
)
