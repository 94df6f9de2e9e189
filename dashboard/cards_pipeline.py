"""The pipeline's cards that stand still: where each partition is, and what no window holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, tzinfo
from typing import Any

from dash import html

from dashboard import commands, parts
from dashboard import sentences_pipeline as say
from dashboard.words import cut, day_text, duration, plural, whole
from driftline.program import command
from monitor.storage.rows import Gap
from monitor.views.pipeline import Partition, Pipeline, State
from monitor.views.rate import Rate
from monitor.windows.panes import HOUR_MS

# Rows of the table; beyond, those that need somebody come first.
MAX_PARTITIONS = 64
# Heads of the table that the glossary explains.
EXPLAINED = ("lag", "behind", "epoch")
# Versions with late events that are named.
MAX_LATE = 12
WORST = (State.STALLED, State.BEHIND, State.READING, State.CAUGHT_UP, State.IDLE)


def positions(found: Pipeline, told: say.Told, now_ms: int) -> Any:
    """Return one row a partition: where it stands, and what it is doing in a word."""
    if not found.partitions:
        return parts.nothing("No partition was read yet.", "circle-dashed")
    rows = list(found.partitions)
    left = len(rows) - MAX_PARTITIONS
    if left > 0:
        rows.sort(key=lambda p: (WORST.index(p.state), p.position.topic, p.position.partition))
    head = [
        ("Partition", ""),
        ("State", ""),
        ("Counted to", "num"),
        ("End", "num wide"),
        ("Lag", "num"),
        ("Behind", "num"),
        (f"Newest event ({told.word})", "num"),
        ("Consumer", ""),
        ("Epoch", "num wide"),
        ("Checkpoint", "num"),
    ]
    body = [_position(p, told, now_ms, head) for p in rows[:MAX_PARTITIONS]]
    table = html.Table(
        [
            html.Thead(
                html.Tr([html.Th(_head(name), scope="col", className=kind) for name, kind in head])
            ),
            html.Tbody(body),
        ],
        className="table positions",
    )
    if left <= 0:
        return table
    return [
        table,
        html.P(f"and {plural(left, 'partition')} more, none of them worse", className="note"),
    ]


def replays(found: Pipeline, told: say.Told, now_ms: int) -> Any:
    """Return a line for each replay that is not done; nothing where there is none."""
    if not found.replays:
        return None
    rows = []
    for each in found.replays:
        is_stale = each.is_stale(now_ms)
        rows.append(
            html.Li(
                [
                    parts.icon_in("history", "warn" if is_stale else "idle"),
                    html.Div(
                        [
                            html.B(say.replay_title(each, told), className="isolate"),
                            html.Span(f" {say.replay_sentence(each, told, now_ms)}"),
                            parts.command(command("replay --abandon")) if is_stale else None,
                        ]
                    ),
                ]
            )
        )
    return html.Ul(rows, className="missing-list replays")


def _head(name: str) -> Any:
    return parts.term(name) if name.casefold() in EXPLAINED else name


def _position(p: Partition, told: say.Told, now_ms: int, head: Sequence[tuple[str, str]]) -> Any:
    position = p.position
    name, word, tone = say.STATES[p.state]
    note = say.state_note(p)
    age = (
        f"{duration(now_ms - position.checkpointed_ms)} ago"
        if position.checkpointed_ms is not None
        else "never"
    )
    newest = position.max_event_time_ms
    owner = position.owner or "none"
    cells: list[Any] = [
        [
            html.Span(word_status(name, word, tone)),
            html.Span(f" {note}", className="sub") if note else None,
        ],
        whole(position.next_offset),
        whole(position.end_offset) if position.end_offset is not None else "–",
        html.Span(whole(position.lag), className="strong" if position.lag else "calm"),
        html.Span(say.behind(p), className="strong" if p.state is State.BEHIND else "calm"),
        told.instant(newest) if newest is not None else "no event",
        html.Span(cut(owner, 60), className="owner", title=cut(owner, 200)),
        whole(position.claim_epoch),
        html.Span(age, className="strong" if p.state is State.STALLED else "calm"),
    ]
    first = html.Th(
        [html.Span(cut(position.topic, 40), className="topic"), " ", html.B(position.partition)],
        scope="row",
    )
    return html.Tr(
        [
            first,
            *(
                html.Td(cell, className=kind, **{"data-label": label})
                for cell, (label, kind) in zip(cells, head[1:], strict=True)
            ),
        ]
    )


def word_status(name: str, word: str, tone: str) -> Any:
    """Return a state that is calm unless somebody should look."""
    return parts.status(name, word, tone if tone in ("warn", "crit") else "idle")


def missing(found: Pipeline, told: say.Told) -> Any:
    """Return gaps and deficits, each with its cause and with what mends it."""
    if not found.gaps and not found.deficits:
        return parts.nothing(
            "Nothing: no offset was lost, no event lacks a reference.", "circle-check"
        )
    rows, here = [], commands.installation(found.topics)
    for lacking in found.deficits:
        d = lacking.deficit
        name = f"{cut(d.model, 80)} {cut(d.version, 40)}"
        rows.append(
            html.Li(
                [
                    parts.icon_in("file-warning", "idle" if lacking.is_registered else "warn"),
                    html.Div(
                        [
                            html.B(name, className="isolate"),
                            html.Span(f" {say.deficit_sentence(lacking, told)}"),
                            None
                            if lacking.is_registered
                            else parts.command(commands.register(d.model, d.version, here)),
                        ]
                    ),
                ]
            )
        )
    if found.n_deficits > len(found.deficits):
        rows.append(html.Li(f"and {whole(found.n_deficits - len(found.deficits))} more versions"))
    rows += [_gap(gap, told) for gap in found.gaps]
    if found.lost[0] > len(found.gaps):
        rows.append(html.Li(f"and {whole(found.lost[0] - len(found.gaps))} older gaps"))
    return html.Ul(rows, className="missing-list")


def uploads(found: Pipeline, told: say.Told) -> Any:
    """Return the history that was counted elsewhere, newest first, each with what removes it."""
    here = commands.installation()
    if not found.uploads:
        return [
            parts.nothing(
                "Nothing was uploaded: all that is judged came through Kafka.", "circle-dashed"
            ),
            parts.command(
                commands.history(
                    "upload scored.parquet --model NAME --version V --timestamp COLUMN", here
                )
            ),
        ]
    rows = []
    for each in found.uploads:
        is_counted = each.upload.counted_ms is not None
        rows.append(
            html.Li(
                [
                    parts.icon_in("history", "ok" if is_counted else "idle"),
                    html.Div(
                        [
                            html.B(say.upload_title(each), className="isolate"),
                            html.Span(f" {say.upload_sentence(each, told)}"),
                            parts.command(commands.history(f"remove {each.upload.name}", here)),
                        ]
                    ),
                ]
            )
        )
    if found.n_uploads > len(found.uploads):
        rows.append(html.Li(f"and {whole(found.n_uploads - len(found.uploads))} older uploads"))
    return html.Ul(rows, className="missing-list")


def _gap(gap: Gap, told: say.Told) -> Any:
    return html.Li(
        [
            parts.icon_in("file-warning", "warn"),
            html.Div(
                [
                    html.B(say.gap_title(gap)),
                    html.Span(f" {say.gap_sentence(gap, told)}"),
                    html.P(say.gap_mend(gap)),
                ]
            ),
        ]
    )


def rate_days(found: Rate, zone: tzinfo) -> Any:
    """Return the chart's numbers by day, for who does not see it."""
    by_day: dict[date, list[int]] = {}
    for place, n in enumerate(found.hours):
        at = datetime.fromtimestamp((found.from_ms + place * HOUR_MS) / 1000, zone)
        by_day.setdefault(at.date(), []).append(n)
    rows = [
        (day_text(day, year=at.year), whole(sum(hours)), whole(max(hours)), whole(hours.count(0)))
        for day, hours in reversed(by_day.items())
    ]
    head = ("Day", "Predictions", "Fullest hour", "Hours without any")
    return html.Details(
        [html.Summary("The numbers by day"), parts.table(head, rows, numeric=head[1:])],
        className="numbers",
    )


def late(found: Pipeline) -> Any:
    """Return the card of late events: what the word means, whose they are, what to do."""
    if not found.late:
        return None
    rows = [
        html.Li(
            [
                parts.icon_in("history", "idle"),
                html.Div(
                    [
                        html.B(f"{cut(row.model, 80)} {cut(row.version, 40)}", className="isolate"),
                        html.Span(f" {say.late_sentence(row)}"),
                    ]
                ),
            ]
        )
        for row in found.late[:MAX_LATE]
    ]
    if len(found.late) > MAX_LATE:
        rows.append(html.Li(f"and {plural(len(found.late) - MAX_LATE, 'more version')}"))
    return parts.card(
        "Late events",
        [html.P(say.LATE_SAID, className="note"), html.Ul(rows, className="missing-list")],
        aside="none was dropped",
    )
