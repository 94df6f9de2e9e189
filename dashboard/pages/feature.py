"""A feature: which part of it moved, when, and how sure that is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from dash import html

from dashboard import address, cards_numbers, parts, scope_row
from dashboard import cards_feature as cards
from dashboard import sentences_series as say
from dashboard.figures import distribution as part_figures
from dashboard.figures import series as series_figures
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.pages.feature_choice import BEFORE, NEWEST, Chosen, choose
from dashboard.pages.feature_skeleton import SLOTS, skeleton
from dashboard.sentences_feature import collecting_words, opened_words, verdict
from dashboard.sentences_incidents import version_tag
from dashboard.statistics import GROUPS
from dashboard.words import cut, shown
from driftline.stats.lengths import WORDS
from driftline.stats.names import NAMES
from monitor.views.compared import Distribution, Incomparable
from monitor.views.distribution import ADDED_UP
from monitor.views.history import History
from monitor.views.series import Series
from monitor.views.statistics import STATISTICS
from monitor.windows.calendar import window_of

VIEWS = {"histogram": "Histogram", "ecdf": "ECDF", "table": "Table"}
SCALES = {"root": "Root", "linear": "Linear"}
LOOKS = ("chart", "table")
# More buttons than these are a list.
MOST_SWITCHED = 5


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold; the cards of charts only where something was judged."""
    chosen = choose(look)
    scope = chosen.scope
    values: dict[str, Any] = {
        "title": shown(chosen.history.feature)[:200],
        "tags": _tags(chosen),
        "order": _order(look, chosen),
        **scope_row.controls(look, scope),
        "verdict": parts.verdict_card(_verdict(chosen), _actions(chosen)),
        "collecting": _collecting(chosen),
        "series_card_hidden": chosen.window is None,
        "pair_hidden": chosen.window is None,
        "view": _full_link(look, chosen),
    }
    if chosen.window is None:
        return values
    return {**values, **_series(look, chosen), **_part(look, chosen), **_numbers(chosen)}


def _series(look: Look, chosen: Chosen) -> dict[str, Any]:
    """Return the slots of the card of the statistic through time."""
    scope, found = chosen.scope, chosen.history
    zone, at = scope.zone, _axis(chosen)
    look_series = look.asked.choice("look", LOOKS, "chart")
    scale = look.asked.choice("scale", tuple(SCALES), "root")
    is_root, is_table = scale == "root", look_series == "table"
    return {
        "series_title": say.chart_title(
            chosen.series,
            scope.length,
            one_version=len({run.version for run in chosen.series.runs}) < 2,
        ),
        "series_legend": [] if is_table else cards.legend(chosen.series),
        "series_head": _series_head(chosen, look_series, scale),
        "series": series_figures.series(
            chosen.series, at, zone, look.scheme, is_root=is_root, is_narrow=look.is_narrow
        ),
        "series_words": say.chart_words(chosen.subject),
        "series_hidden": is_table,
        "series_twin": cards.series_twin(chosen.series, scope.length, zone) if is_table else [],
        "frame": cards.frame_style(at, chosen.window, zone),
        "reading": cards.reading(at, chosen.subject, zone, is_root=is_root),
        "marks": cards.marks(at, found.windows, zone),
        "states": _states(look, chosen),
        "small": series_figures.small(_small_rows(found, zone), at, look.scheme),
    }


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


def _verdict(chosen: Chosen) -> parts.Verdict:
    """Return the page's answer, with what is shown where that is not the newest window."""
    said = verdict(chosen.subject)
    why = opened_words(chosen.subject, chosen.why)
    return replace(said, notes=(*said.notes, ("Shown:", why))) if why else said


def _actions(chosen: Chosen) -> list[Any]:
    actions: list[Any] = []
    if chosen.window is None:
        actions.append(
            parts.link_button("Model", address.model(chosen.scope.model.name), "layout-dashboard")
        )
        if chosen.scope.reference is not None:
            digest = chosen.scope.reference.digest
            actions.append(parts.link_button("Reference", address.reference(digest), "layers"))
        return actions
    if not chosen.subject.is_latest:
        actions.append(
            html.Button(
                f"Newest {WORDS[chosen.scope.length][0]}",
                type="button",
                className="button",
                **{"data-write": json.dumps({"at": NEWEST})},
            )
        )
    told = chosen.subject.firing
    if told is not None:
        actions.append(
            parts.link_button(
                f"Incident #{chosen.history.number_of[told.number]}",
                address.incident(told.number),
                "siren",
            )
        )
    found = chosen.subject.found
    if found is not None and found["verdict"] == "blind":
        longer = say.longer(chosen.history)
        if longer is not None:
            scope = chosen.scope
            actions.append(
                parts.link_button(
                    f"Judged by {WORDS[longer][1]}",
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
    head = [_statistics(series)]
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


def _statistics(series: Series) -> Any:
    """Return the choice of a statistic: a switch of a few, a list in groups of more."""
    names = {name: NAMES[name].label for name in series.statistics}
    if len(names) <= MOST_SWITCHED:
        return parts.switch("stat", series.statistic, names, "Statistic", series.standing)
    made = parts.select("stat", series.statistic, names, "Statistic", series.standing)
    made.data = [
        {"group": word, "items": [o for o in made.data if STATISTICS[o["value"]].group == group]}
        for group, word in GROUPS.items()
    ]
    return made


def _collecting(chosen: Chosen) -> list[Any]:
    """Return the card that stands in for charts while nothing was judged."""
    if chosen.window is not None:
        return []
    title, words = collecting_words(chosen.subject)
    return [html.Section(parts.state("hourglass", title, words), className="card")]


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


def _part(look: Look, chosen: Chosen) -> dict[str, Any]:
    """Return the slots of the cards of which part moved, and of values that are new."""
    made, grid = chosen.made, chosen.history.grid
    kind = grid.kind if grid is not None else "presence"
    view = look.asked.choice("view", tuple(VIEWS), "histogram")
    sort = look.asked.choice("order", tuple(cards.ORDER), "share")
    is_numeric = kind == "numeric"
    values: dict[str, Any] = {
        "part_title": "Which part moved" if is_numeric else "Which values moved",
        "part_step": _stepper(chosen),
        "part_head": _part_head(chosen, view, sort, is_numeric),
        "part_menu": [],
        "part_words": "",
        "part_hidden": True,
        "new_hidden": kind != "categorical",
        "new": [],
    }
    if kind == "categorical":
        new = made.new_values if isinstance(made, Distribution) else ()
        values["new"] = cards.new_values(new, chosen.scope.zone, _year(chosen))
    head = _head(chosen)
    if isinstance(made, Incomparable):
        body: Any = parts.state("file-warning", "These two cannot be compared", made.reason)
    elif made is None:
        body = parts.nothing("The reference of this version does not have the feature.")
    elif kind == "presence":
        body = parts.nothing("Only the presence of its values is counted: see Missing.")
    elif made.is_empty and (stored := _stored_parts(chosen)) is not None:
        body = stored
    elif made.is_empty and ADDED_UP in made.notes and not made.current.rows:
        body = parts.state(
            "circle-dashed", "The counts of this window are gone",
            "What was judged of it stands; a day shows which part moved.",
        )  # fmt: skip
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
    values["part_menu"] = _part_menu(chosen, is_drawn=is_numeric and view != "table")
    notes = [html.P(note, className="note") for note in _notes(made)]
    values["part_body"] = [*(body if isinstance(body, list) else [body]), *notes]
    return values


def _stored_parts(chosen: Chosen) -> Any:
    """Return what is kept of a window with values whose counts are there no more."""
    found = chosen.subject.found
    if not chosen.is_reference or found is None or not found["n"]:
        return None
    return cards_numbers.stored_parts(chosen.history.grid, found)


def _notes(made: Distribution | Incomparable | None) -> list[str]:
    if not isinstance(made, Distribution):
        return []
    notes = list(made.notes)
    if made.season is not None:
        every = "hours" if made.season.endswith("hour") else "days"
        notes.append(
            f"PSI is of the reference's {made.season}s; bars and the other distances are of all "
            f"of its {every}."
        )
    return notes


def _head(chosen: Chosen) -> str:
    window, scope = chosen.window, chosen.scope
    assert window is not None
    return say.window_words(window.start_ms, scope.length, scope.zone, _year(chosen))


def _stepper(chosen: Chosen) -> list[Any]:
    assert chosen.place is not None
    # Weeks have no room for a year that is the data's own.
    year = _year(chosen) if chosen.scope.length in ("week", "4weeks") else 0
    return cards.stepper(
        chosen.history.windows, chosen.place, chosen.scope.length, chosen.scope.zone, year
    )


def _part_head(chosen: Chosen, view: str, sort: str, is_numeric: bool) -> list[Any]:
    against = parts.select("vs", chosen.vs, _vs_options(chosen), "Against", "reference")
    # The list is the key of what is grey, too.
    against.leftSection = html.I(className="key ref")
    against.leftSectionWidth = "28px"
    if is_numeric:
        return [against, parts.switch("view", view, VIEWS, "How it is shown")]
    return [against, parts.switch("order", sort, cards.ORDER, "Order of the values")]


def _part_menu(chosen: Chosen, *, is_drawn: bool) -> list[Any]:
    """Return the card's menu: unlike its switches, another one for each window."""
    window, scope = chosen.window, chosen.scope
    assert window is not None
    vs: dict[str, Any] = {}
    names = [v.name for v in scope.model.versions]
    name = chosen.vs if chosen.vs in names else chosen.vs.removeprefix("v")
    if name in names:
        vs = {"vs_version": name}
    elif not chosen.is_reference:
        start_ms, end_ms = _vs_span(chosen)
        vs = {"vs_from": address.rfc3339(start_ms), "vs_to": address.rfc3339(end_ms)}
    csv = address.api(
        "distributions", model=scope.model.name, feature=chosen.history.feature,
        version=chosen.history.version_names[window.version_id], segment=scope.segment,
        length=scope.length, from_=address.rfc3339(window.start_ms),
        to=address.rfc3339(window.end_ms), **vs, format="csv",
    )  # fmt: skip
    png = "feature-part" if is_drawn else None
    return [parts.card_menu(csv=csv, png=png, file=f"{chosen.history.feature}-part")]


def _vs_span(chosen: Chosen) -> tuple[int, int]:
    """Return the window that the chosen one is compared with."""
    if chosen.vs in BEFORE:
        earlier = chosen.history.windows[(chosen.place or 0) - BEFORE[chosen.vs]]
        return earlier.start_ms, earlier.end_ms
    at_ms = round(datetime.fromisoformat(chosen.vs).timestamp() * 1000)
    return window_of(at_ms, chosen.scope.length, chosen.scope.zone.key)


def _vs_options(chosen: Chosen) -> dict[str, str]:
    """Return what a window can be compared with: references, and windows before it."""
    scope, window = chosen.scope, chosen.window
    assert window is not None
    own = chosen.history.version_names[window.version_id]
    options = {"reference": f"reference of {version_tag(own)}"}
    options["before"] = f"the {WORDS[scope.length][0]} before"
    if scope.length == "day":
        options["week"] = "a week before"
    for version in scope.model.versions:
        if version.name != own:
            name = version_tag(version.name)
            options[name] = f"reference of {name}"
    if chosen.vs not in options:
        options[chosen.vs] = chosen.against
    return options


def _numbers(chosen: Chosen) -> dict[str, Any]:
    window, made = chosen.window, chosen.made
    assert window is not None
    head = _head(chosen)
    return {
        "numbers_title": f"{head[:1].upper()}{head[1:]} in numbers",
        "numbers_aside": cards.closed(window),
        "numbers": cards_numbers.numbers(
            made if isinstance(made, Distribution) else None, window, against=chosen.against,
            head=head, is_reference=chosen.is_reference,
            resolution=cards_numbers.resolution_words(chosen.history.grid),
        ),
    }  # fmt: skip


def _small_rows(found: History, zone: ZoneInfo) -> Any:
    windows = found.windows
    missing = [w.found["missing"] if w.found is not None else None for w in windows]
    columns = (
        series_figures.all_local_ms([(w.start_ms + w.end_ms) / 2 for w in windows], zone),
        [np.nan if share is None else share for share in missing],
        [w.rows for w in windows],
    )
    return np.array(columns, dtype=np.float64).T


def _full_link(look: Look, chosen: Chosen) -> str:
    """Return the address of exactly this view: in three weeks it shows the same."""
    scope, window = chosen.scope, chosen.window
    span = {"from_": address.rfc3339(scope.from_ms), "to": address.rfc3339(scope.to_ms)}
    kept = {key: look.asked.text(key) for key in ("scale", "view", "order", "look", "rows")}
    return address.feature(
        scope.model.name, chosen.history.feature, version=scope.version.name,
        segment=scope.segment, window=scope.length, **(span if scope.is_judged else {}),
        at=address.rfc3339(window.start_ms) if window is not None else None,
        stat=chosen.series.statistic, vs=_vs_link(chosen), **kept,
    )  # fmt: skip


def _vs_link(chosen: Chosen) -> str | None:
    if chosen.is_reference:
        return None
    return address.rfc3339(_vs_span(chosen)[0]) if chosen.vs in BEFORE else chosen.vs


PAGE = Page(
    name="feature",
    pattern=("models", None, "features", None),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda path: f"{path[3]} · {path[1]}",
)
