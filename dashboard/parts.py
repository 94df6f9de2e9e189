"""The page's small components: plain HTML with the stylesheet's classes.

Dash puts strings into the page as text, so a name is never markup here; what
goes to Plotly is escaped in `figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from dashboard.freshness import Freshness
from dashboard.sentences import Kpi, Verdict, evidence, gap_sentence, lasted, split_subject
from dashboard.tokens import HEAT_WORDS
from dashboard.view import ModelLine, View
from dashboard.words import (
    DASH,
    HEALTH,
    NBSP,
    clock,
    cut,
    day_text,
    duration,
    incident_word,
    moment,
    percent,
    plural,
    reason_word,
    shown,
    whole,
    zone_name,
)
from driftline.events import REASONS
from monitor.storage.rows import DeadLetter, Deficit, Gap, Incident, Position

Part = Any  # Dash has no types
# More reasons than fit are one row together, so that the bars add up.
MAX_REASONS = 8
SHOWN_REASONS = MAX_REASONS - 1
MAX_SEGMENT_ROWS = 20


def icon(name: str, size: int = 14) -> Part:
    """Return an outline that is decoration: the word beside it says the same."""
    style = {"width": f"{size}px", "height": f"{size}px"}
    return html.Span(className=f"i i-{name}", style=style, **{"aria-hidden": "true"})


def icon_in(name: str, tone: str) -> Part:
    """Return an icon in a status colour; the caller puts the word beside it."""
    return html.Span(icon(name), className=f"status {tone}")


def status(name: str, word: str, tone: str) -> Part:
    """Return icon, word and colour, always the three together."""
    return html.Span([icon(name), html.Span(word)], className=f"status {tone}")


def model_links(models: Sequence[ModelLine], chosen: str, href: Any) -> list[Part]:
    """Return one link per model with its state; `href` makes the link's address."""
    found = []
    for line in models:
        name, word, tone = HEALTH[line.health]
        found.append(
            dcc.Link(
                [
                    html.Span(shown(line.name), className="name", title=shown(line.name)),
                    html.Span(word, className="sr"),
                    html.Span(icon(name), className=f"status {tone}"),
                ],
                href=href(line.name),
                className="nav-model on" if line.name == chosen else "nav-model",
            )
        )
    return found


def freshness(fresh: Freshness) -> list[Part]:
    """Return the dot, the word and what they mean."""
    parts: list[Part] = [
        html.Span(className=f"dot {fresh.tone}"),
        html.B(fresh.word),
        html.Span(fresh.detail, className="detail"),
    ]
    if fresh.badge:
        parts.append(html.Span(fresh.badge, className="tag badge"))
    return parts


def verdict_card(verdict: Verdict) -> Part:
    """Return the page's answer."""
    notes: list[Part] = []
    for subject, sentence in verdict.notes:
        if subject:
            notes.append(html.B(subject))
        notes += [" ", sentence, " "]
    return html.Div(
        [
            icon(verdict.icon, 20),
            html.Div([html.H2(verdict.headline), html.P(notes) if notes else None]),
        ],
        className=f"verdict {verdict.tone}",
    )


def kpi_strip(kpis: Sequence[Kpi]) -> list[Part]:
    """Return the figures under the verdict."""
    return [
        html.Div(
            [
                html.Div(kpi.label, className="label"),
                html.Div(
                    [html.Span(kpi.value, className="num"), html.Small(kpi.unit)], className="value"
                ),
                html.Div(kpi.note, className="note", title=kpi.note),
            ],
            className="kpi",
        )
        for kpi in kpis
    ]


def legend() -> list[Part]:
    """Return the key of the heatmap."""
    keys = [
        html.Span([html.I(className=f"key heat{n}"), word]) for n, word in enumerate(HEAT_WORDS)
    ]
    return [
        html.Span("Evidence ÷ limit", className="head"),
        *keys,
        html.Span([html.I(className="key outline"), "alarm: 2 of 3"]),
        html.Span([html.I(className="key hatched"), "incomplete"]),
    ]


def row_labels(view: View) -> list[Part]:
    """Return the names beside the heatmap's rows."""
    return [
        html.Div(
            [
                html.Span(
                    [icon("triangle-alert", 13), html.Span("incident: ", className="sr")],
                    className="warn-i",
                )
                if name in view.open_features
                else None,
                html.Span(shown(name), className="name", title=shown(name)),
            ],
            className="row",
        )
        for name in view.heat.features
    ]


def row_values(view: View) -> list[Part]:
    """Return the last day's evidence, its limit and, from .95 up, their ratio."""
    found = []
    for name in view.heat.features:
        row = view.latest.get(name)
        if row is None:
            found.append(html.Div(html.Span("no data", className="word"), className="row"))
            continue
        said = evidence(row)
        near = said.ratio is not None and said.ratio >= 0.95
        found.append(
            html.Div(
                [
                    html.Span(said.word, className="word"),
                    html.Span(said.value, className="num strong" if near else "num"),
                    html.Span(f"/ {said.limit}" if said.limit else "", className="limit num"),
                    html.Span(f"{said.ratio:.1f}×" if near else "", className="ratio num"),
                ],
                className="row",
            )
        )
    return found


def table(view: View) -> Part:
    """Return the heatmap's twin for those who read rather than look."""
    head = ["Feature", "State", "Evidence", "Value", "Limit", "Of limit", "Missing"]
    body = []
    for name in view.heat.features:
        row = view.latest.get(name)
        if row is None:
            continue
        said = evidence(row)
        alarmed = name in view.open_features
        state = (
            status("triangle-alert", "Incident", "warn")
            if alarmed
            else status("eye-off", "Blind", "idle")
            if row["verdict"] == "blind"
            else status("circle-check", "Calm", "ok")
            if row["verdict"] == "ok"
            else status("circle-dashed", row["verdict"].replace("_", " ").capitalize(), "idle")
        )
        missing = percent(row["missing"]) if row["missing"] is not None else DASH
        ratio = f"{said.ratio:.2f}×" if said.ratio is not None else DASH
        body.append(
            html.Tr(
                [
                    html.Th(
                        html.Span(shown(name), className="name", title=shown(name)), scope="row"
                    ),
                    html.Td(state),
                    html.Td(said.word),
                    html.Td(said.value or DASH, className="num"),
                    html.Td(said.limit or DASH, className="num"),
                    html.Td(ratio, className="num"),
                    html.Td(missing, className="num"),
                ]
            )
        )
    numeric = {"Value", "Limit", "Of limit", "Missing"}
    cells = [html.Th(h, scope="col", className="num" if h in numeric else "") for h in head]
    return html.Table([html.Thead(html.Tr(cells)), html.Tbody(body)], className="table")


def version_lane(view: View) -> list[Part]:
    """Return the bar that names the reference."""
    reference = view.reference
    said = f"version {cut(view.version.name, 24)} · reference"
    if reference is not None:
        if reference.first_ms is not None and reference.last_ms is not None:
            first = datetime.fromtimestamp(reference.first_ms / 1000, view.zone).date()
            last = datetime.fromtimestamp(reference.last_ms / 1000, view.zone).date()
            year = view.days[-1].year if view.days else None
            said += f" {day_text(first, year=year)} {DASH} {day_text(last, year=year)}"
        said += f", {plural(reference.rows, 'row')}"
    return [html.Div(html.Span(said), className="version-bar", title=said)]


def incident_row(incident: Incident, view: View, data_to_ms: int | None) -> Part:
    """Return one incident as a sentence with its state."""
    subject, sentence = split_subject(incident.feature, incident.summary)
    year = view.days[-1].year if view.days else None
    opened = moment(incident.opened_ms, view.zone, year=year)
    return html.Li(
        [
            html.Div(status(*incident_word(incident.state, incident.severity)), className="state"),
            html.Div(
                [
                    html.Span(f"#{incident.number}", className="number num"),
                    " ",
                    html.B(subject) if subject else None,
                    " " if subject else None,
                    html.Span(sentence),
                    *(
                        [" ", html.Span(cut(incident.segment, 80), className="tag segment")]
                        if incident.segment != "all"
                        else []
                    ),
                ],
                className="sentence",
            ),
            html.Div(incident.kind.replace("_", " "), className="kind"),
            html.Div(opened, className="opened num"),
            html.Div(
                lasted(incident.opened_ms, incident.resolved_ms, data_to_ms),
                className="lasted num",
            ),
        ],
        className="incident",
    )


def incident_list(view: View, data_to_ms: int | None) -> Part:
    """Return the incidents, open ones first, those of segments after those of all."""
    if not view.incidents and not view.in_segments:
        return html.Div(
            [icon("inbox"), html.Span("Quiet is good: there was no incident so far.")],
            className="nothing",
        )
    firing = list(view.firing)
    past = [i for i in view.incidents if not i.is_open]
    segments = view.in_segments[:MAX_SEGMENT_ROWS]
    rows = [incident_row(i, view, data_to_ms) for i in (*firing, *segments)]
    if len(view.in_segments) > len(segments):
        left = len(view.in_segments) - len(segments)
        rows.append(html.Li(f"and {whole(left)} more in segments", className="more"))
    rows += [incident_row(i, view, data_to_ms) for i in past]
    head = html.Li(
        [
            html.Div("State"),
            html.Div("Incident"),
            html.Div("Kind"),
            html.Div(f"Opened ({zone_name(view.zone)})"),
            html.Div("Lasted"),
        ],
        className="incident head",
        **{"aria-hidden": "true"},
    )
    more = (
        html.Li(f"and {plural(view.older_incidents, 'older incident')}", className="more")
        if view.older_incidents
        else None
    )
    return html.Ul([head, *rows, more], className="incidents")


def dead_letters(reasons: dict[str, int], newest: Sequence[DeadLetter], records: int) -> Part:
    """Return the dead letters by reason, as bars that add up, and the newest of them."""
    total = sum(reasons.values())
    if not total:
        return html.Div(
            [icon("circle-check"), html.Span("None: every record could be read.")],
            className="nothing",
        )
    told = list(reasons.items())
    kept, rest = (
        (told, []) if len(told) <= MAX_REASONS else (told[:SHOWN_REASONS], told[SHOWN_REASONS:])
    )
    most = max(*reasons.values(), sum(count for _, count in rest))
    rows = [_reason(reason_word(name), count, most, REASONS.get(name, "")) for name, count in kept]
    if rest:
        names = ", ".join(reason_word(name) for name, _ in rest)
        rows.append(
            _reason(
                f"{plural(len(rest), 'more reason')}",
                sum(count for _, count in rest),
                most,
                cut(names, 300),
            )
        )
    share = total / max(1, records + total)
    said = f"{plural(total, 'record')} of {whole(records + total)}"
    if share < 0.0005:
        said += f" (under 0.1{NBSP}%)"
    else:
        said += f" ({percent(share)})"
    return html.Div(
        [
            html.P(f"{said}; each moved the position and is kept."),
            html.Ul(rows, className="reasons"),
            *_newest(newest),
        ]
    )


def _reason(title: str, count: int, most: int, note: str) -> Part:
    is_news = note.casefold() != title.casefold()
    return html.Li(
        [
            html.Span(title, className="reason"),
            html.Span(whole(count), className="num strong"),
            html.Div(html.I(style={"width": f"{100 * count / most:.1f}%"}), className="meter"),
            html.Span(note, className="note") if note and is_news else None,
        ]
    )


def _newest(letters: Sequence[DeadLetter]) -> list[Part]:
    if not letters:
        return []
    rows = [
        html.Li(
            [
                html.Span(
                    f"{letter.partition}:{whole(letter.offset)}",
                    className="num place",
                    title=f"partition {letter.partition}, offset {whole(letter.offset)}",
                ),
                html.Span(
                    [html.B(reason_word(letter.reason)), " ", cut(letter.detail, 160)],
                    className="why",
                ),
            ]
        )
        for letter in letters
    ]
    return [
        html.H4(["The last ", html.Span("partition:offset", className="note")]),
        html.Ul(rows, className="newest"),
    ]


def pipeline(
    positions: Sequence[Position], gaps: Sequence[Gap], deficits: Sequence[Deficit], now_ms: int
) -> Part:
    """Return one line per partition, then what is missing and how it is mended."""
    if not positions:
        return html.Div(
            [icon("circle-dashed"), html.Span("No partition was read yet.")], className="nothing"
        )
    rows = []
    for p in positions:
        age = duration(now_ms - p.seen_ms) + " ago" if p.seen_ms is not None else DASH
        to = (
            f"{moment(p.max_event_time_ms, UTC)}{NBSP}UTC"
            if p.max_event_time_ms is not None
            else DASH
        )
        if p.lag:
            state: Part = html.Span(whole(p.lag), className="strong")
        elif p.caught_up_for_ms:
            state = html.Span("caught up", className="calm")
        else:
            state = html.Span("0")
        rows.append(
            html.Tr(
                [
                    html.Th([html.Span(cut(p.topic, 40)), " ", html.B(p.partition)], scope="row"),
                    html.Td(whole(p.next_offset), className="num"),
                    html.Td(state, className="num"),
                    html.Td(to, className="num wide"),
                    html.Td(age, className="num"),
                ]
            )
        )
    cells = [
        html.Th("Partition", scope="col"),
        html.Th("Counted to", scope="col", className="num"),
        html.Th("To count", scope="col", className="num"),
        html.Th("Events to", scope="col", className="num wide"),
        html.Th("Seen", scope="col", className="num"),
    ]
    notes = [
        html.Li(
            [
                status("file-warning", "Gap", "warn"),
                html.Span(gap_sentence(g.topic, g.partition, g.kind, g.from_offset, g.to_offset)),
            ]
        )
        for g in gaps[:3]
    ]
    notes += [
        html.Li(
            [
                status("file-warning", "Not monitored", "warn"),
                html.Span(
                    [
                        f"{plural(d.records, 'record')} of {cut(d.model)} {cut(d.version, 24)} "
                        "came before its reference."
                    ]
                ),
            ]
        )
        for d in deficits[:3]
    ]
    return html.Div(
        [
            html.Table([html.Thead(html.Tr(cells)), html.Tbody(rows)], className="table"),
            html.Ul(notes, className="notes") if notes else None,
        ]
    )


def command(lines: str, prompt: str = "$") -> Part:
    """Return a command with a button that copies it, without its prompt sign."""
    return html.Div(
        [
            html.Code([html.Span(prompt, className="prompt"), html.Pre(lines)]),
            dmc.CopyButton(
                value=lines,
                children="Copy",
                copiedChildren="Copied",
                size="compact-xs",
                variant="default",
                color="gray",
                copiedColor="gray",
            ),
        ],
        className="command",
    )


def error_panel(sentence: str, at_ms: int) -> Part:
    """Return what the page says when it cannot read the database."""
    return html.Div(
        [
            icon("circle-x", 16),
            html.Span([html.B("The database could not be read. "), sentence]),
            html.Span(clock(at_ms), className="num at"),
        ],
        className="banner",
    )
