"""The parts of an incident's page: its evidence, what keeps it open, what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from dash import html

from dashboard import address, handling, parts
from dashboard import sentences_incidents as say
from dashboard.look import Look
from dashboard.sentences import split_subject
from dashboard.sentences_history import Entry, history
from dashboard.words import DASH, cut, moment, plural
from driftline.stats.words import Evidence
from monitor.storage.notes import Note
from monitor.storage.rows import Incident
from monitor.views.episodes import Opened, evidence_of
from monitor.views.series import Point
from monitor.windows.calendar import NOMINAL_MS

ALL = "all"
# Windows before and after the episode: what calm looked like.
BESIDE = 14
# Hours of a long episode are too many to read: those around the worst are shown.
MOST_HOURS = 7 * 24
ROWS_SHOWN = 40
ENTRIES_SHOWN = 60
HELD_SHOWN, NAMES_SHOWN = 6, 4


def span(found: Opened, incident: Incident, evidence: Evidence | None) -> tuple[int, int]:
    """Return a member's episode with what came before and after; hours around the worst."""
    length = evidence.length if evidence is not None else "day"
    beside_ms = BESIDE * NOMINAL_MS[length]
    ends = incident.resolved_ms if not incident.is_open else found.judged_to_ms
    last_ms = max(ends or 0, evidence.end_ms if evidence is not None else incident.opened_ms)
    from_ms, to_ms = incident.first_window_ms - beside_ms, last_ms + beside_ms
    if found.judged_to_ms is not None:
        to_ms = max(min(to_ms, found.judged_to_ms), last_ms)
    if length == "hour" and evidence is not None:
        half_ms = MOST_HOURS * NOMINAL_MS["hour"] // 2
        if to_ms - from_ms > 2 * half_ms:
            from_ms = max(from_ms, min(evidence.start_ms - half_ms, to_ms - 2 * half_ms))
            to_ms = min(to_ms, from_ms + 2 * half_ms)
    return from_ms, to_ms


def window_link(found: Opened, incident: Incident) -> str:
    """Return the feature's page at the worst window: absolute, so that it shows this for ever."""
    evidence = evidence_of(incident)
    from_ms, to_ms = span(found, incident, evidence)
    asked: dict[str, Any] = {
        "version": incident.version,
        "segment": None if incident.segment == ALL else incident.segment,
        "from_": address.rfc3339(from_ms),
        "to": address.rfc3339(to_ms),
    }
    if evidence is not None:
        asked["window"] = None if evidence.length == "day" else evidence.length
        asked["at"] = address.rfc3339(evidence.start_ms)
        asked["stat"] = evidence.statistic
    return address.feature(incident.model, incident.feature, **asked)


def kept(held: Sequence[say.Holding]) -> Any:
    """Return what keeps the incident open: the last windows of each, and what would end it."""
    items = [
        html.Li(
            [
                html.P(
                    [
                        html.Span([*_named(one.names), f" {one.by}"]),
                        html.B(one.calm, className="num"),
                    ],
                    className="top-line",
                ),
                html.Div(
                    [
                        html.Div(
                            [html.B(value, className="num"), html.Span(mark), html.Small(when)],
                            className=mark.replace(" ", "-"),
                        )
                        for when, value, mark in one.windows
                    ],
                    className="last-windows",
                ),
                html.P([html.Span(f"In {one.where}. ") if one.where else None, one.rule]),
            ]
        )
        for one in held[:HELD_SHOWN]
    ]
    if not items:
        return None
    left = len(held) - HELD_SHOWN
    more = [html.P(f"and {plural(left, 'more', 'more')}", className="more")] if left > 0 else []
    return [
        html.Ul(items, className="kept"),
        *more,
        html.P(
            [
                "It ends when each of these had three ",
                parts.term("calm"),
                " windows in a row. A window that is over its limit or not calm begins the count "
                "again; one that cannot be judged does not.",
            ],
            className="more",
        ),
    ]


def _named(names: Sequence[str]) -> list[Any]:
    unique = list(dict.fromkeys(names))
    said: list[Any] = []
    for at, name in enumerate(unique[:NAMES_SHOWN]):
        said += [", " if at else "", html.B(cut(name, 40))]
    if len(unique) > NAMES_SHOWN:
        said.append(f" and {len(unique) - NAMES_SHOWN} more")
    return said


def evidence(found: Opened, zone: ZoneInfo, number: int) -> Any:
    """Return one row a member, worst first, each a link to its worst window."""
    year = say.data_year(found.judged_to_ms, zone)
    heads = (
        ("Number", ""),
        ("Feature", ""),
        ("Worst window", ""),
        ("Statistic", "num"),
        ("Limit", "num"),
        ("Of its limit", "num"),
        ("Windows over", "num"),
        ("Where it moved", "num where"),
    )
    members = found.group.ranked
    rows = []
    for incident in members[:ROWS_SHOWN]:
        said = say.row(incident, found.over.get(incident.number), zone, year)
        rows.append(
            html.Tr(
                [
                    html.Td(
                        parts.link(f"#{incident.number}", address.incident(incident.number)),
                        className="number",
                    ),
                    html.Th(_member(found, incident), scope="row"),
                    html.Td(
                        parts.link(said.window, window_link(found, incident))
                        if incident.feature and evidence_of(incident) is not None
                        else said.window
                    ),
                    html.Td(
                        [html.B(said.statistic), html.Div(said.beside, className="sub")],
                        className="num",
                    ),
                    html.Td(
                        [
                            said.limit or DASH,
                            html.Div(f"{said.level} limit" if said.level else "", className="sub"),
                        ],
                        className="num",
                    ),
                    html.Td(said.ratio or DASH, className="num"),
                    html.Td(said.over, className="num"),
                    html.Td(said.moved or DASH, className="num where"),
                ],
                className="on" if incident.number == number != found.group.number else "",
            )
        )
    table = html.Table(
        [
            html.Thead(
                html.Tr([html.Th(head, scope="col", className=kind) for head, kind in heads])
            ),
            html.Tbody(rows),
        ],
        className="table evidence",
    )
    left = len(members) - ROWS_SHOWN
    more = [html.P(f"and {plural(left, 'more', 'more')}", className="more")] if left > 0 else []
    return html.Div([table, *more], className="twin")


def _member(found: Opened, incident: Incident) -> list[Any]:
    """Return the feature, and below it where, unless that is everywhere."""
    name = cut(incident.feature, 80) or say.kind_word(incident.kind)
    named = (
        parts.link(name, window_link(found, incident), className="name", title=name)
        if incident.feature
        else name
    )
    if incident.segment == ALL:
        return [named, html.Div("muted", className="sub")] if incident.muted else [named]
    muted = ", muted" if incident.muted else ""
    return [named, html.Div(f"in {cut(incident.segment, 60)}{muted}", className="sub")]


def for_phone(found: Opened, zone: ZoneInfo) -> list[Any]:
    """Return the evidence as a phone shows it: what speaks for itself, one card each."""
    year = say.data_year(found.judged_to_ms, zone)
    shown: list[Any] = []
    told = [incident for incident in found.group.ranked if not incident.muted]
    for incident in (told or list(found.group.ranked))[:ROWS_SHOWN]:
        said = say.row(incident, found.over.get(incident.number), zone, year)
        where = [parts.tag(incident.segment, 40)] if incident.segment != ALL else []
        name = cut(incident.feature, 80) or say.kind_word(incident.kind)
        shown.append(
            parts.link(
                [
                    html.Div(
                        [
                            html.Span([html.B(name), *where], className="who"),
                            html.Span(f"{said.over}", className="num strong"),
                        ],
                        className="top-line",
                    ),
                    html.P(split_subject(incident.feature, incident.summary)[1]),
                    html.Div(
                        [
                            html.B(said.statistic, className="num"),
                            html.Span(
                                _against(said),
                                className="num",
                            ),
                        ],
                        className="bottom-line",
                    ),
                ],
                window_link(found, incident)
                if incident.feature
                else address.incident(incident.number),
                className="evidence-card",
            )
        )
    muted = len(found.group.members) - len(told)
    if told and muted:
        is_everywhere = any(i.muted and i.segment == ALL for i in found.group.members)
        places = "" if is_everywhere else " in segments"
        more = f"{plural(muted, 'more', 'more')}{places}, "
        shown.append(html.P([more, parts.term("muted"), "."]))
    return shown


def _against(said: say.Row) -> str:
    if not said.limit:
        return said.window
    return f"{said.ratio} its limit, {said.limit}, {said.window}"


def _explained(text: str, is_bold: bool) -> list[Any]:
    """Return a piece of a line; the word that says why nobody was told explains itself."""
    if is_bold:
        return [html.B(text)]
    before, word, after = text.partition("pending")
    return [before, parts.term(word), after] if word else [text]


def happened(found: Opened, again: Sequence[Point], notes: Sequence[Note], look: Look) -> Any:
    """Return every transition in the order of the events' own time, and what people did.

    These go by the wall clock: of a log that is read as it is written the two are the same.
    """
    year = say.data_year(found.judged_to_ms, look.zone)
    entries = history(found)
    late = [entry.recorded_ms for entry in entries if entry.recorded_ms is not None]
    # A log that was read years later is said once, not at every line.
    is_replay = len(late) == len([entry for entry in entries if entry.icon != "clock"]) > 0
    items = []
    for entry in entries[-ENTRIES_SHOWN:]:
        told = [part for text, is_bold in entry.parts for part in _explained(text, is_bold)]
        recorded = None
        if entry.recorded_ms is not None and not is_replay:
            when = moment(entry.recorded_ms, look.zone, year=year)
            recorded = html.Div(f"recorded {when}, after late events", className="sub num")
        items.append(
            html.Li(
                [
                    html.Span(
                        moment(entry.at_ms, look.zone, year=year),
                        className="num",
                    ),
                    parts.icon_in(entry.icon, entry.tone),
                    html.Div([html.Span(told), recorded]),
                ]
            )
        )
    if notes:
        items = _with_notes(items, entries[-ENTRIES_SHOWN:], notes[-ENTRIES_SHOWN:], look, year)
    if again:
        most = max(point.revision for point in again)
        said = f"{plural(len(again), 'window')} judged again after late events, revision {most}"
        items.append(
            html.Li([html.Span(), parts.icon_in("history", "idle"), html.Div(html.Span(said))])
        )
    beside = []
    if len(entries) > ENTRIES_SHOWN:
        beside.append(f"{plural(len(entries) - ENTRIES_SHOWN, 'earlier line')} left out.")
    if is_replay and late:
        day = moment(max(late), look.zone, year=year)
        beside.append(f"All of it was recorded on {day}, when the log was read.")
    return [
        html.Ol(items, className="timeline wide-times"),
        html.P(" ".join(beside), className="more") if beside else None,
    ]


def _with_notes(
    items: Sequence[Any],
    entries: Sequence[Entry],
    notes: Sequence[Note],
    look: Look,
    year: int | None,
) -> list[Any]:
    """Return the lines of a history with what people did among them."""
    timed = [(entry.at_ms, 0, item) for entry, item in zip(entries, items, strict=True)]
    for at_ms, icon, words in handling.lines(notes):
        item = html.Li(
            [
                html.Span(moment(at_ms, look.zone, year=year), className="num"),
                parts.icon_in(icon, "idle"),
                html.Div(html.Span(words)),
            ]
        )
        timed.append((at_ms, 1, item))
    return [item for *_, item in sorted(timed, key=lambda one: one[:2])]
