"""A feature: which part of it moved, when, and how sure that is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from dash import html

from dashboard import address, parts, scope_row
from dashboard import cards_feature as cards
from dashboard import sentences_series as say
from dashboard.figures import distribution as part_figures
from dashboard.figures import series as series_figures
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.pages.feature_choice import Chosen, choose
from dashboard.pages.feature_skeleton import SLOTS, skeleton
from dashboard.sentences_feature import verdict
from dashboard.sentences_incidents import version_tag
from dashboard.words import cut, shown
from monitor.views.compared import Distribution, Incomparable
from monitor.views.series import History
from monitor.windows.calendar import window_of

VIEWS = {"histogram": "Histogram", "ecdf": "ECDF", "table": "Table"}
SCALES = {"root": "Root", "linear": "Linear"}
LOOKS = ("chart", "table")


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold."""
    chosen = choose(look)
    scope, found, made = chosen.scope, chosen.history, chosen.made
    zone = scope.zone
    at = _axis(chosen)
    grid = found.grid
    kind = grid.kind if grid is not None else "presence"
    look_series = look.asked.choice("look", LOOKS, "chart")
    scale = look.asked.choice("scale", tuple(SCALES), "root")
    is_table = look_series == "table"
    values: dict[str, Any] = {
        "title": shown(found.feature)[:200],
        "tags": _tags(chosen),
        "order": _order(look, chosen),
        "controls": scope_row.controls(look, scope),
        "verdict": parts.verdict_card(verdict(chosen.subject), _actions(chosen)),
        "series_title": say.chart_title(
            chosen.series,
            scope.length,
            one_version=len({run.version for run in chosen.series.runs}) < 2,
        ),
        "series_legend": [] if is_table else cards.legend(chosen.series),
        "series_head": _series_head(chosen, look_series, scale),
        "series": series_figures.series(
            chosen.series, at, zone, look.scheme, is_root=scale == "root",
            is_narrow=look.is_narrow,
        ),
        "series_words": say.chart_words(chosen.subject),
        "series_hidden": is_table,
        "series_twin": cards.series_twin(chosen.series, scope.length, zone) if is_table else [],
        "frame": cards.frame_style(at, chosen.window, zone),
        "marks": cards.marks(at, found.windows, zone),
        "states": _states(look, chosen),
        "small": series_figures.small(_small_rows(found, zone), at, look.scheme),
        "view": _full_link(look, chosen),
    }  # fmt: skip
    values |= _part(look, chosen, kind)
    values |= _numbers(chosen)
    new = made.new_values if isinstance(made, Distribution) else ()
    values["new_hidden"] = kind != "categorical"
    values["new"] = cards.new_values(new, zone, _year(chosen)) if kind == "categorical" else []
    return values


def _year(chosen: Chosen) -> int | None:
    return chosen.subject.year


def _axis(chosen: Chosen) -> series_figures.Axis:
    scope, windows = chosen.scope, chosen.history.windows
    first = windows[0].start_ms if windows else scope.from_ms
    last = max((w.end_ms for w in windows), default=scope.to_ms)
    return series_figures.axis_of(
        min(scope.from_ms, first) or first, max(scope.to_ms, last), scope.zone
    )


def _tags(chosen: Chosen) -> list[Any]:
    found = chosen.history
    tags = [parts.tag(say.kind_words(found.grid))]
    reference = (
        found.references.get(chosen.scope.reference.digest) if chosen.scope.reference else None
    )
    if reference is not None:
        total = sum(reference.importance.values())
        weight = reference.importance.get(found.feature)
        if weight is not None and total > 0:
            tags.append(parts.tag(f"importance {say.percent0(weight / total)}"))
        if found.feature in reference.prediction:
            tags.append(parts.tag("output"))
    return tags


def _order(look: Look, chosen: Chosen) -> list[Any]:
    names = [name for name, _ in chosen.history.ranking]
    query = scope_row.carried(look, (*scope_row.KEYS, "at"))
    return cards.order(names.index(chosen.history.feature), names, chosen.scope.model.name, query)


def _actions(chosen: Chosen) -> list[Any]:
    actions = []
    told = chosen.subject.firing
    if told is not None:
        actions.append(
            parts.link_button(f"Incident #{told.number}", address.incident(told.number), "siren")
        )
    found = chosen.subject.found
    if found is not None and found["verdict"] == "blind":
        longer = say.longer(chosen.history)
        if longer is not None:
            scope = chosen.scope
            actions.append(
                parts.link_button(
                    f"Judged by {longer}s",
                    address.feature(
                        scope.model.name, chosen.history.feature, window=longer,
                        segment=None if scope.segment == "all" else scope.segment,
                        version=None
                        if scope.version is scope.model.versions[0]
                        else scope.version.name,
                    ),
                    "calendar",
                )
            )  # fmt: skip
    return actions


def _series_head(chosen: Chosen, look_series: str, scale: str) -> list[Any]:
    series, scope = chosen.series, chosen.scope
    head = [
        parts.switch(
            "stat", series.statistic, {s: say.STATISTIC[s] for s in series.statistics},
            "Statistic", series.standing,
        )
    ]  # fmt: skip
    if series.statistic == "psi":
        head.append(parts.switch("scale", scale, SCALES, "Scale of PSI"))
    is_table = look_series == "table"
    head.append(
        html.Button(
            [parts.icon("grid-3x3"), html.Span("Chart" if is_table else "Table")],
            type="button",
            className="ghost",
            **{"data-write": json.dumps({"look": None if is_table else "table"})},
        )
    )
    head.append(
        parts.card_menu(
            csv=address.api(
                "series", model=scope.model.name, feature=chosen.history.feature,
                version=scope.version.name, segment=scope.segment, length=scope.length,
                statistic=series.statistic, from_=address.rfc3339(scope.from_ms),
                to=address.rfc3339(scope.to_ms), format="csv",
            ),
            png="feature-series",
            file=f"{chosen.history.feature}-{series.statistic}",
        )
    )  # fmt: skip
    return head


def _states(look: Look, chosen: Chosen) -> list[Any]:
    said = say.states(chosen.subject)
    if not look.is_narrow and not chosen.series.points:
        said.append(("inbox", "Nothing was judged in this range."))
    items = [html.Li([parts.icon(icon), html.Span(words)]) for icon, words in said]
    scope = chosen.scope
    watermark_ms = scope.version.watermark_ms
    last_ms = scope.last_ms
    if (
        watermark_ms is not None
        and last_ms is not None
        and watermark_ms > last_ms
        and scope.to_ms >= last_ms
    ):
        now = window_of(last_ms, scope.length, scope.zone.key)
        if now.start_ms <= watermark_ms < now.end_ms:
            words, share = say.partial_words(
                now.start_ms, now.end_ms, now.end_ms + scope.lateness_ms, watermark_ms,
                scope.length, scope.zone, _year(chosen),
            )  # fmt: skip
            bar = html.Span(
                html.I(style={"width": f"{100 * share:.0f}%"}), className="meter partial"
            )
            items.append(html.Li([parts.icon("hourglass"), html.Span(words), bar]))
    return items


def _part(look: Look, chosen: Chosen, kind: str) -> dict[str, Any]:
    """Return the slots of the card of which part moved."""
    made, window = chosen.made, chosen.window
    view = look.asked.choice("view", tuple(VIEWS), "histogram")
    sort = look.asked.choice("order", tuple(cards.ORDER), "share")
    is_numeric = kind == "numeric"
    values: dict[str, Any] = {
        "part_title": "Which part moved" if is_numeric else "Which values moved",
        "part_step": _stepper(chosen),
        "part_head": _part_head(look, chosen, view, sort, is_numeric),
        "part_words": "",
        "part_hidden": True,
    }
    head = _head(chosen)
    if isinstance(made, Incomparable):
        body: Any = parts.state("file-warning", "These two cannot be compared", made.reason)
    elif made is None or window is None:
        body = parts.nothing(
            "Nothing was counted yet."
            if window is None
            else "The reference of this version does not have the feature."
        )
    elif kind == "presence":
        body = parts.nothing("Only the presence of its values is counted: see Missing.")
    elif made.is_empty:
        body = parts.state(
            "circle-dashed", "No value in this window",
            f"{made.current.rows:,} rows, all of them without a value of it.",
        )  # fmt: skip
    elif made.constant is not None and is_numeric:
        body = parts.state(
            "circle-dashed" if not made.differs else "triangle-alert",
            f"All of the reference is {cut(made.constant, 60)}",
            f"{say.percent0(made.differs or 0.0)} of the values of this window differ. "
            "There is no histogram of one value.",
            "idle" if not made.differs else "warn",
        )
    elif not is_numeric:
        is_all = look.asked.text("rows") == "all"
        body = cards.levels(made, sort, head, is_all=is_all)
    elif view == "table":
        body = cards.groups_table(made, head)
    else:
        draw = part_figures.histogram if view == "histogram" else part_figures.cumulated
        values |= {
            "part": draw(made, look.scheme),
            "part_words": say.part_words(made),
            "part_hidden": False,
        }
        body = cards.groups_chart(made) if made.groups else []
    notes = [html.P(note, className="note") for note in _notes(made)]
    values["part_body"] = [*(body if isinstance(body, list) else [body]), *notes]
    return values


def _notes(made: Distribution | Incomparable | None) -> list[str]:
    if not isinstance(made, Distribution):
        return []
    notes = list(made.notes)
    if made.season is not None:
        notes.append(f"PSI is of the reference's {made.season}s; bars are of all of its days.")
    return notes


def _head(chosen: Chosen) -> str:
    window, scope = chosen.window, chosen.scope
    if window is None:
        return "Window"
    return say.window_words(window.start_ms, scope.length, scope.zone, _year(chosen))


def _stepper(chosen: Chosen) -> list[Any]:
    if chosen.place is None:
        return []
    # Weeks have no room for a year that is the data's own.
    year = _year(chosen) if chosen.scope.length == "week" else 0
    return cards.stepper(
        chosen.history.windows, chosen.place, chosen.scope.length, chosen.scope.zone, year
    )


def _part_head(look: Look, chosen: Chosen, view: str, sort: str, is_numeric: bool) -> list[Any]:
    window, scope = chosen.window, chosen.scope
    head: list[Any] = []
    if window is not None:
        against = parts.select("vs", chosen.vs, _vs_options(chosen), "Against", "reference")
        # The list is the key of what is grey, too.
        against.leftSection = html.I(className="key ref")
        against.leftSectionWidth = "28px"
        head.append(against)
    if is_numeric:
        head.append(parts.switch("view", view, VIEWS, "How it is shown"))
    else:
        head.append(parts.switch("order", sort, cards.ORDER, "Order of the values"))
    if window is None:
        return head
    vs: dict[str, Any] = {}
    if not chosen.is_reference:
        names = [v.name for v in scope.model.versions]
        name = chosen.vs if chosen.vs in names else chosen.vs.removeprefix("v")
        if name in names:
            vs = {"vs_version": name}
        else:
            other = window_of(_ms(chosen.vs), scope.length, scope.zone.key)
            vs = {
                "vs_from": address.rfc3339(other.start_ms),
                "vs_to": address.rfc3339(other.end_ms),
            }
    csv = address.api(
        "distributions", model=scope.model.name, feature=chosen.history.feature,
        version=chosen.history.version_names[window.version_id], segment=scope.segment,
        length=scope.length, from_=address.rfc3339(window.start_ms),
        to=address.rfc3339(window.end_ms), **vs, format="csv",
    )  # fmt: skip
    is_drawn = is_numeric and view != "table"
    head.append(
        parts.card_menu(
            csv=csv, png="feature-part" if is_drawn else None, file=f"{chosen.history.feature}-part"
        )
    )
    return head


def _ms(instant: str) -> int:
    return round(datetime.fromisoformat(instant).timestamp() * 1000)


def _vs_options(chosen: Chosen) -> dict[str, str]:
    """Return what a window can be compared with: references, and windows before it."""
    scope, window = chosen.scope, chosen.window
    assert window is not None
    own = chosen.history.version_names[window.version_id]
    options = {"reference": f"reference of {version_tag(own)}"}
    before = [("the one before", 1)]
    if scope.length == "day":
        before.append(("a week before", 7))
    place = chosen.place or 0
    for words, back in before:
        if place >= back:
            start = chosen.history.windows[place - back].start_ms
            when = say.window_words(start, scope.length, scope.zone, _year(chosen))
            options[address.rfc3339(start)] = f"{words}, {when}"
    for version in scope.model.versions:
        if version.name != own:
            name = version_tag(version.name)
            options[name] = f"reference of {name}"
    if chosen.vs not in options:
        options[chosen.vs] = chosen.against
    return options


def _numbers(chosen: Chosen) -> dict[str, Any]:
    window, made = chosen.window, chosen.made
    if window is None:
        return {"numbers_title": "In numbers", "numbers_aside": "", "numbers": []}
    head = _head(chosen)
    return {
        "numbers_title": f"{head[:1].upper()}{head[1:]} in numbers",
        "numbers_aside": say.closed_words(window),
        "numbers": cards.numbers(
            made if isinstance(made, Distribution) else None, window, against=chosen.against,
            head=head, is_reference=chosen.is_reference,
        ),
    }  # fmt: skip


def _small_rows(found: History, zone: ZoneInfo) -> Any:
    rows = [
        (
            series_figures.local_ms((w.start_ms + w.end_ms) / 2, zone),
            np.nan if w.found is None or w.found["missing"] is None else w.found["missing"],
            float(w.rows),
        )
        for w in found.windows
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _full_link(look: Look, chosen: Chosen) -> str:
    """Return the address of exactly this view: in three weeks it shows the same."""
    scope, window = chosen.scope, chosen.window
    kept = {key: look.asked.text(key) for key in ("scale", "view", "order", "look", "rows")}
    return address.feature(
        scope.model.name, chosen.history.feature, version=scope.version.name,
        segment=scope.segment, window=scope.length, from_=address.rfc3339(scope.from_ms),
        to=address.rfc3339(scope.to_ms),
        at=address.rfc3339(window.start_ms) if window is not None else None,
        stat=chosen.series.statistic, vs=None if chosen.is_reference else chosen.vs, **kept,
    )  # fmt: skip


PAGE = Page(
    name="feature",
    pattern=("models", None, "features", None),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda path: f"{path[3]} · {path[1]}",
)
