"""The cards of a feature's page but its numbers: HTML from views. No database, no sentence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dash import html

from dashboard import address, parts
from dashboard import sentences_series as say
from dashboard.figures.series import Axis, level_of, local_ms
from dashboard.sentences_incidents import version_tag
from dashboard.statistics import CERTIFIED, DRAWN, is_share
from dashboard.words import DASH, NBSP, cut, day_text, percent, plural, shown, whole
from driftline.stats.names import NAMES
from driftline.stats.words import number
from monitor.storage.rows import FeatureWindow, UnseenValue
from monitor.views.compared import Distribution, Group, Level
from monitor.views.series import Series, point_of
from monitor.views.statistics import is_learnt

Part = Any
# Rows of a long list that are drawn until all of them are asked for.
LEVELS_SHOWN = 20
TWIN_ROWS = 60
# From this share of the PSI a bar is full and its number is told.
LIT = 0.10
MAX_MARKS = 20
# Two labels of a chart need so much of its height between them.
READING_ROOM = 0.1
# So many windows to each side can be walked to before the server has answered.
AHEAD = 40
TOGETHER = "Rarer values, together"
ORDER = {"share": "By share", "size": "By size", "name": "By name"}
# Many values together would make every other bar a dot.
BARRED = ("level", "unseen")


def order(place: int, names: Sequence[str], model: str, query: dict[str, Any]) -> list[Part]:
    """Return where the feature stands among all, by worst, and its neighbours as links."""

    def to(at: int, word: str, icon_name: str) -> Part:
        if not 0 <= at < len(names):
            return html.Span(parts.icon(icon_name, 15), className="step off")
        return parts.link(
            [parts.icon(icon_name, 15), html.Span(f"{word}: {cut(names[at], 60)}", className="sr")],
            address.feature(model, names[at], **query),
            className="step",
            title=cut(names[at], 120),
        )

    return [
        to(place - 1, "Worse", "chevron-left"),
        html.Span(f"{place + 1} of {len(names)} by worst", className="num"),
        to(place + 1, "Calmer", "chevron-right"),
    ]


def legend(series: Series) -> list[Part]:
    """Return the keys of the series' chart."""
    word = NAMES[series.statistic].label
    means = DRAWN[series.statistic].means
    keys = [html.Span([html.I(className="key line"), parts.term(word, means) if means else word])]
    if series.is_blind:
        said = [html.I(className="key line grey"), f"{word}, not judged: ", parts.term("blind")]
        return [html.Span(said)]
    is_certain = series.statistic in CERTIFIED
    band = "certified interval" if is_certain else f"99.9{NBSP}% sure"
    band += "" if is_certain or not is_learnt(series.statistic) else ": at least"
    points = series.points
    if any(point.low is not None for point in points):
        means = "certified" if is_certain else "sure"
        keys.append(html.Span([html.I(className="key band"), parts.term(band, means)]))
    if any(point.limit is not None for point in points):
        keys.append(html.Span([html.I(className="key dashed"), parts.term("limit")]))
    if any(point.is_over and point.is_alarming for point in points):
        keys.append(html.Span([html.B("▲", className="cur"), parts.term("alarm")]))
    if any(point.is_over and not point.is_alarming for point in points):
        keys.append(html.Span([html.B("△", className="cur"), "over once"]))
    if any(point.incomplete for point in points):
        keys.append(html.Span([html.I(className="key hatched"), parts.term("incomplete")]))
    return keys


def frame_style(at: Axis, window: FeatureWindow | None, zone: Any) -> dict[str, str]:
    """Return where the frame of the chosen window lies over the plot."""
    if window is None:
        return {"display": "none"}
    left, width = at.place(local_ms(window.start_ms, zone), local_ms(window.end_ms, zone))
    # A window that would be thinner than an eye sees is widened around its middle.
    return {"left": f"{100 * left:.3f}%", "width": f"max({100 * width:.3f}%, 5px)"}


def reading(at: Axis, subject: say.Subject, zone: Any, *, is_root: bool) -> list[Part]:
    """Return the chosen window's date over its frame, and its value and limit at the right.

    They stand at their own heights, clear of each other.
    """
    window, series = subject.window, subject.series
    if window is None:
        return []
    point = point_of(subject.history, window, series.statistic)
    if point.value is None:
        return []
    level = level_of(series, is_root=is_root)
    is_distance = not is_share(series.statistic)
    value, limit = (say.value_words(series.statistic, each) for each in (point.value, point.limit))
    if point.limit is not None and series.statistic in ("psi", "ks"):
        value, limit = say.apart(point.value, point.limit)
    name = NAMES[series.statistic].label
    # At the right of the plot there is room for a short name.
    value = f"{name} {value}" if is_distance and len(name) < 6 else value
    told = [(level(point.value), value, "value")]
    if point.limit is not None:
        told.append((level(point.limit), f"limit {limit}", "limit"))
        (a, *first), (b, *second) = told
        if abs(a - b) < READING_ROOM:
            middle = min(1 - READING_ROOM / 2, max(READING_ROOM / 2, (a + b) / 2))
            up = READING_ROOM / 2 if a >= b else -READING_ROOM / 2
            told = [(middle + up, *first), (middle - up, *second)]  # type: ignore[list-item]
    left, width = at.place(local_ms(window.start_ms, zone), local_ms(window.end_ms, zone))
    middle_pc = 100 * min(1.0, max(0.0, left + width / 2))
    flag = html.Span(
        [subject.when(), html.Span(f" · {value}", className="narrow")],
        className="flag num",
        # As much of it to the left as of the plot: within it at both ends, however long.
        style={"left": f"{middle_pc:.3f}%", "transform": f"translateX(-{middle_pc:.3f}%)"},
    )
    return [
        flag,
        *(
            html.Span(words, className=f"{kind} num", style={"bottom": f"{100 * height:.2f}%"})
            for height, words, kind in told
        ),
    ]


def marks(at: Axis, windows: Sequence[FeatureWindow], zone: Any) -> list[Part]:
    """Return an icon over each window that was judged again."""
    found = []
    for window in [w for w in windows if w.revision > 1][-MAX_MARKS:]:
        left, width = at.place(local_ms(window.start_ms, zone), local_ms(window.end_ms, zone))
        found.append(
            html.Span(
                parts.icon("history", 11),
                style={"left": f"{100 * (left + width / 2):.3f}%"},
                title=f"judged again, revision {window.revision}",
            )
        )
    return found


def series_twin(series: Series, length: str, zone: Any) -> Part:
    """Return the chart's numbers as a table, the newest first."""
    rows = []
    word = NAMES[series.statistic].label
    rate = is_share(series.statistic)

    is_certain = series.statistic in CERTIFIED

    def text(value: float | None) -> str:
        if value is None or rate:
            return DASH if value is None else percent(value)
        return number(value, 4) if series.statistic in ("mean", "sd") else f"{value:.3f}"

    pairs = [(run.version, point) for run in series.runs for point in run.points]
    for version, point in reversed(pairs[-TWIN_ROWS:]):
        state = "alarm" if point.is_over and point.is_alarming else "over" if point.is_over else ""
        if point.value is None:
            state = "no value"
        elif point.limit is None and series.statistic == "psi":
            state = point.verdict or ""
        rows.append(
            [
                say.window_words(point.start_ms, length, zone, 0),
                cut(version_tag(version), 20),
                text(point.value),
                text(point.high if is_certain else point.low),
                text(point.limit),
                whole(point.rows),
                state,
            ]
        )
    bound = "At most" if is_certain else "At least"
    head = ["Window", "Version", word, bound, "Limit", "Rows", "State"]
    found: list[Part] = [parts.table(head, rows, numeric=head[2:6])]
    left = len(pairs) - TWIN_ROWS
    if left > 0:
        found.append(html.P(f"{plural(left, 'window')} more: take the CSV.", className="note"))
    return html.Div(
        found, className="scroller", tabIndex=0, role="region",
        **{"aria-label": "Table of the windows"},
    )  # fmt: skip


def stepper(
    windows: Sequence[FeatureWindow], place: int, length: str, zone: Any, year: int | None
) -> list[Part]:
    """Return the chosen window between the one before and the one after it."""

    last = len(windows) - 1
    near = range(max(0, place - AHEAD), min(last, place + AHEAD) + 1)
    # Keys are faster than answers: `feature.js` walks through these by itself.
    steps = {
        "data-starts": json.dumps([windows[at].start_ms // 60_000 for at in near]),
        "data-place": str(place - near[0]),
        "data-last": str(last - near[0]),
    }
    return [
        _step_button("The window before", "chevron-left", "back", is_off=place == 0),
        html.Span(
            [
                html.I(className="key line"),
                html.B(say.window_words(windows[place].start_ms, length, zone, year)),
            ],
            className="chosen",
            **steps,
        ),
        _step_button("The window after", "chevron-right", "on", is_off=place == last),
    ]


def _step_button(label: str, icon_name: str, step: str, *, is_off: bool) -> Part:
    return html.Button(
        parts.icon(icon_name, 15),
        type="button",
        className="step",
        title=label,
        disabled=is_off,
        **{"aria-label": label, "data-step": step},
    )


def groups_chart(made: Distribution) -> Part:
    """Return the share of the PSI of each group: bars of one width, because mass is equal."""
    top = max((group.psi_share for group in made.groups), default=0.0) or 1.0
    columns = []
    for group in made.groups:
        arrow = "▲" if group.is_more else "▼"
        is_lit = group.psi_share >= LIT
        label = f"{arrow}{NBSP}{100 * group.psi_share:.0f}{NBSP}%"
        columns.append(
            html.Div(
                [
                    html.Span(label, className="share num") if is_lit else None,
                    html.I(
                        className="lit" if is_lit else "soft",
                        style={"height": f"{max(1.5, 64 * group.psi_share / top):.1f}px"},
                    ),
                ],
                className="group tinted" if group.psi_share >= say.TOLD else "group",
                title=_group_title(group),
            )
        )
    n = len(made.groups)
    edges = [
        html.Span(
            number(group.high, 4), style={"left": f"{100 * (at + 1) / n:.2f}%"}, className="num"
        )
        for at, group in enumerate(made.groups[:-1])
        if group.high is not None
    ]
    return html.Div(
        [
            html.P(
                "Share of the PSI by group of values, each about as large in the reference: "
                "▲ more rows than there, ▼ fewer",
                className="note",
            ),
            html.Div(columns, className="group-bars"),
            html.Div(edges, className="group-edges"),
        ],
        className="groups",
        role="img",
        **{"aria-label": say.part_words(made)},
    )


def _group_title(group: Group) -> str:
    return (
        f"{cut(group.words, 80)}: {percent(group.reference_share)} of rows in the reference, "
        f"{percent(group.current_share)} now"
    )


def groups_table(made: Distribution, head: str) -> Part:
    """Return the groups in numbers: the twin of the histogram."""
    rows = [
        [
            cut(group.words, 60),
            percent(group.reference_share),
            percent(group.current_share),
            say.signed(100 * (group.current_share - group.reference_share)),
            say.percent0(group.psi_share),
        ]
        for group in made.groups
    ]
    columns = ["Values", "Reference", head, "Points", "Of the PSI"]
    return parts.table(columns, rows, numeric=columns[1:])


@dataclass(frozen=True)
class Row:
    """One line of the categories' table."""

    name: str
    kind: str
    reference: float
    current: float
    psi_share: float | None


def level_rows(made: Distribution, sort: str) -> list[Row]:
    """Return the categories as rows, those that share a group together in one more row."""
    if made.is_hashed:
        rows = [
            Row(f"{cut(g.words, 60)} ({at + 1})" if g.words.startswith("some") else g.words,
                "unseen" if "never saw" in g.words else "level",
                g.reference_share, g.current_share, g.psi_share)
            for at, g in enumerate(made.groups)
        ]  # fmt: skip
    else:
        rows = [_level(level) for level in made.levels]
        together = [level for level in made.levels if level.psi_share is None]
        if made.groups and len(together) > 1:
            known = sum(level.psi_share or 0.0 for level in made.levels)
            rows.append(
                Row(
                    TOGETHER,
                    "group",
                    sum(level.reference_share for level in together),
                    sum(level.current_share for level in together),
                    max(0.0, 1 - known),
                )
            )
    if sort == "name":
        return sorted(
            rows, key=lambda r: (r.kind != "unseen", r.kind != "level", r.name.casefold())
        )
    if sort == "size":
        return sorted(rows, key=lambda r: (r.kind == "group", -r.current))
    return sorted(
        rows,
        key=lambda r: (
            r.psi_share is None, -(r.psi_share or 0.0), -abs(r.current - r.reference),
        ),
    )  # fmt: skip


def _level(level: Level) -> Row:
    names = {"unseen": "Unseen values", "other": "Other known values"}
    return Row(
        names.get(level.kind, level.name), level.kind, level.reference_share,
        level.current_share, level.psi_share,
    )  # fmt: skip


def levels(made: Distribution, sort: str, head: str, *, is_all: bool) -> Part:
    """Return the categories with two bars each."""
    rows = level_rows(made, sort)
    most = max((max(row.reference, row.current) for row in rows if row.kind in BARRED), default=1)
    most = most or 1.0
    drawn = rows if is_all else rows[:LEVELS_SHOWN]
    # A value that shares its group has no part of the PSI of its own: the group's row has it.
    alone = "together" if any(row.kind == "group" for row in rows) else DASH
    body = [
        html.Tr(
            [
                html.Th(
                    html.Span(shown(row.name)[:200], className="name", title=cut(row.name, 200)),
                    scope="row",
                ),
                html.Td(
                    html.Div(
                        [
                            html.I(className="ref", style={"width": _width(row.reference, most)}),
                            html.I(className="cur", style={"width": _width(row.current, most)}),
                        ]
                        if row.kind in BARRED
                        else [],
                        className="two-bars",
                        **{"aria-hidden": "true"},
                    ),
                    className="bars",
                ),
                html.Td(percent(row.reference), className="num ref"),
                html.Td(percent(row.current), className="num now"),
                html.Td(say.signed(100 * (row.current - row.reference)), className="num"),
                html.Td(
                    say.percent0(row.psi_share) if row.psi_share is not None else alone,
                    className="num of",
                ),
            ],
            className=f"level kind-{row.kind}" + (" lit" if (row.psi_share or 0) >= LIT else ""),
        )
        for row in drawn
    ]
    keys = [
        html.Span([html.I(className="key ref"), "reference"]),
        html.Span([html.I(className="key cur"), head]),
    ]
    found: list[Part] = [
        html.Table(
            [
                html.Thead(
                    html.Tr(
                        [
                            html.Th("Value", scope="col"),
                            html.Th(html.Span(keys, className="legend"), scope="col"),
                            html.Th("Reference", scope="col", className="num ref"),
                            html.Th(head, scope="col", className="num"),
                            html.Th("Points", scope="col", className="num"),
                            html.Th("of the PSI", scope="col", className="num"),
                        ]
                    )
                ),
                html.Tbody(body),
            ],
            className="table levels",
        )
    ]
    left = len(rows) - len(drawn)
    if left:
        found.append(
            html.Button(
                f"Show all {len(rows)} rows",
                type="button",
                className="ghost",
                **{"data-write": json.dumps({"rows": "all"})},
            )
        )
    if made.vanished:
        names = ", ".join(cut(name, 30) for name in made.vanished[:8])
        more = f" and {len(made.vanished) - 8} more" if len(made.vanished) > 8 else ""
        found.append(html.P(f"Vanished in this window: {names}{more}.", className="note"))
    return found


def _width(share: float, most: float) -> str:
    return f"{100 * min(share / most, 1):.1f}%" if share else "0"


def new_values(values: Sequence[UnseenValue], zone: Any, year: int | None) -> Part:
    """Return the values that the reference never saw."""
    if not values:
        return parts.nothing("None so far: every value was in the reference.", "circle-check")

    def day(ms: int) -> str:
        from datetime import UTC, datetime

        local = datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone)
        return day_text(local.date(), year=year)

    rows = [
        [
            html.Span(shown(v.value)[:200], className="name mono", title=cut(v.value, 200)),
            whole(v.count),
            day(v.first_ms),
            day(v.last_ms),
        ]
        for v in values
    ]
    head = ["Value", "Rows", "First seen", "Last seen"]
    return [
        parts.table(head, rows, numeric=head[1:]),
        html.P(
            "Rows since the version's first event, in all segments. Values and counts only; a "
            "category is cut at 200 characters.",
            className="note",
        ),
    ]


def closed(window: FeatureWindow) -> list[Part]:
    """Return which revision a window is in, and what closed it."""
    revision = f"revision {window.revision}"
    first = parts.term(revision, "revised") if window.revision > 1 else revision
    by = {"idle": "an idle stream", "hold": "a held partition"}.get(window.closed_by)
    return [first, ", closed by ", by or parts.term("watermark")]
