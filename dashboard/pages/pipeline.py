"""The pipeline: is everything counted, and what could not be."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dash import html

from dashboard import address, parts, payload
from dashboard import sentences_pipeline as say
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.pages.refreshing import refreshing
from dashboard.words import cut, duration, plural, reason_word, whole
from driftline.events import REASONS
from monitor.storage import reads
from monitor.storage.rows import DeadLetter, Gap
from monitor.views import pipeline as view
from monitor.views.pipeline import LetterKey, Partition, Pipeline, Place, Reason, State

ALL = ""
# Rows of the table; beyond, those that need somebody come first.
MAX_PARTITIONS = 64
# Reasons whose bars are seen at once; the others are one bar, which opens.
MAX_REASONS = 8
# How often the page asks again although no window was judged.
REFRESH_S = 6
# The API names a letter with dashes; a link may bring that, too.
KEY = re.compile(r"(\d{1,18})[:.-](\d{1,9})[:.-](\d{1,18})[:.-](\d{1,9})")
PLACE = re.compile(r"(\d{1,15}):(\d{1,18}):(\d{1,9}):(\d{1,18}):(\d{1,9})")
WORST = (State.STALLED, State.BEHIND, State.READING, State.CAUGHT_UP, State.IDLE)

SLOTS = {
    "icon": ("pipeline-icon", "children"),
    "title": ("pipeline-title", "children"),
    "note": ("pipeline-note", "children"),
    "controls": ("pipeline-controls", "children"),
    "kpis": ("pipeline-kpis", "children"),
    "positions": ("pipeline-positions", "children"),
    "dead_summary": ("pipeline-dead-summary", "children"),
    "csv": ("pipeline-dead-csv", "children"),
    "reasons": ("pipeline-reasons", "children"),
    "letters": ("pipeline-letters", "children"),
    "letter": ("pipeline-letter", "children"),
    "dead_class": ("pipeline-dead", "className"),
    "missing": ("pipeline-missing", "children"),
}


def skeleton() -> Any:
    """Return the page before it is read."""
    return [
        refreshing(REFRESH_S),
        html.Div(
            [
                html.Div(
                    [
                        html.Span(id="pipeline-icon", className="title-icon"),
                        html.H1("Pipeline", id="pipeline-title"),
                    ],
                    className="title",
                    role="status",
                ),
                html.Div(id="pipeline-controls", className="controls"),
            ],
            className="scope",
        ),
        html.P(id="pipeline-note", className="lead-note"),
        html.H2("Where counting stands", className="sr"),
        html.Div(parts.skeleton(2), id="pipeline-kpis", className="kpis seven"),
        parts.card(
            "Positions",
            # Where it is narrow the table scrolls in its box, by keys as well.
            html.Div(
                parts.skeleton(4),
                id="pipeline-positions",
                tabIndex=0,
                role="region",
                **{"aria-label": "Positions by partition"},
            ),
            aside="position and counts commit together",
        ),
        parts.card(
            "Dead letters",
            html.Div(
                [
                    html.Div(parts.skeleton(3), id="pipeline-reasons"),
                    html.Div(id="pipeline-letters"),
                    html.Div(id="pipeline-letter"),
                ],
                id="pipeline-dead",
                className="dead-letters",
            ),
            aside=html.Span(id="pipeline-dead-summary"),
            head=[html.Div(id="pipeline-dead-csv")],
        ),
        parts.card(
            "What is missing",
            html.Div(parts.skeleton(1), id="pipeline-missing"),
            aside="records that no window holds",
        ),
    ]


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold."""
    asked = look.asked
    topic = _topic(look)
    reason = asked.text("reason")
    if reason is not None and reason not in REASONS:
        asked.notes.append(f"The link asks for reason {cut(reason, 60)!r}, which is none.")
        reason = None
    key, before = _letter_key(look), _place(asked.text("before"))
    found = view.read(
        look.conn,
        now_ms=look.now_ms,
        checkpoint_interval_s=look.checkpoint_interval_s,
        topic=topic,
        reason=reason,
        letter=key,
        before=before,
    )
    told = say.Told(
        look.zone, look.zone_word, datetime.fromtimestamp(look.now_ms / 1000, look.zone).year
    )
    title = say.title(found)
    return {
        "icon": parts.icon_in(title.icon, title.tone) if title.tone != "ok" else None,
        "title": title.words,
        "note": title.note or None,
        "controls": _controls(found),
        "kpis": parts.kpi_strip(say.kpis(found)),
        "positions": positions(found, told, look.now_ms),
        "dead_summary": say.dead_summary(found),
        "csv": parts.csv_link(address.api("dead-letters", format="csv", topic=topic, reason=reason))
        if found.dead
        else None,
        "reasons": reasons(found),
        "letters": letters(found, told, None if before is None else asked.text("before")),
        "letter": letter(found, told, is_asked=key is not None) if found.dead else None,
        "dead_class": _dead_class(found, is_asked=key is not None),
        "missing": missing(found, told),
    }


def _dead_class(found: Pipeline, *, is_asked: bool) -> str:
    """Return how the card is laid out: on a phone a letter that was opened stands alone."""
    if not found.dead:
        return "dead-letters none"
    return "dead-letters opened" if is_asked and found.letter is not None else "dead-letters"


def _topic(look: Look) -> str | None:
    wanted = look.asked.text("topic")
    if wanted is None:
        return None
    known = reads.topics(look.conn)
    if wanted in known:
        return wanted
    look.asked.notes.append(
        f"The link asks for topic {cut(wanted, 60)!r}, which was never read. Showing all."
    )
    return None


def _letter_key(look: Look) -> LetterKey | None:
    text = look.asked.text("letter")
    if text is None:
        return None
    match = KEY.fullmatch(text)
    if match is None:
        look.asked.notes.append("The link asks for a dead letter that cannot be; showing the last.")
        return None
    stream, partition, offset, line = (int(part) for part in match.groups())
    return stream, partition, offset, line


def _place(text: str | None) -> Place | None:
    match = PLACE.fullmatch(text or "")
    if match is None:
        return None
    created, stream, partition, offset, line = (int(part) for part in match.groups())
    return created, stream, partition, offset, line


def _controls(found: Pipeline) -> Any:
    if len(found.topics) < 2:
        return parts.tag(f"topic {found.topics[0]}", 80) if found.topics else None
    options = {ALL: "all", **{topic: topic for topic in found.topics}}
    return parts.select("topic", found.topic or ALL, options, "Topic")


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
                html.Tr([html.Th(name, scope="col", className=kind) for name, kind in head])
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


def reasons(found: Pipeline) -> Any:
    """Return dead letters by reason, as bars that add up; each is a link to its list."""
    if not found.dead:
        return parts.nothing("None: every record could be read.", "circle-check")
    most = max(
        *(reason.count for reason in found.reasons),
        sum(reason.count for reason in found.reasons[MAX_REASONS - 1 :]),
    )
    everything = html.Li(
        _here(
            [
                html.Span("All reasons", className="reason"),
                html.Span(whole(found.dead), className="num strong"),
            ],
            found,
            is_on=found.reason is None,
            reason=None,
        )
    )
    told = list(found.reasons)
    head = told if len(told) <= MAX_REASONS else told[: MAX_REASONS - 1]
    rest = told[len(head) :]
    rows = [everything, *(_reason(found, reason, most) for reason in head)]
    if rest:
        n = sum(reason.count for reason in rest)
        rows.append(
            html.Li(
                html.Details(
                    [
                        html.Summary(
                            [
                                html.Span(plural(len(rest), "more reason"), className="reason"),
                                html.Span(whole(n), className="num strong"),
                                html.Span(
                                    html.I(style={"width": f"{min(100, 100 * n / most):.1f}%"}),
                                    className="meter",
                                ),
                            ]
                        ),
                        html.Ul([_reason(found, reason, most) for reason in rest]),
                    ],
                    open=any(reason.name == found.reason for reason in rest),
                )
            )
        )
    return html.Ul(rows, className="reason-list")


def _reason(found: Pipeline, reason: Reason, most: int) -> Any:
    is_chosen = found.reason == reason.name
    return html.Li(
        _here(
            [
                html.Span(reason_word(reason.name), className="reason"),
                html.Span(whole(reason.count), className="num strong"),
                html.Span(
                    html.I(style={"width": f"{100 * reason.count / most:.1f}%"}),
                    className="meter",
                ),
                html.Span(say.reason_note(reason), className="note"),
            ],
            found,
            is_on=is_chosen,
            reason=reason.name,
        )
    )


def _here(words: Any, found: Pipeline, *, is_on: bool | None = None, **query: str | None) -> Any:
    """Return a link to another look at this page, which does not move the page.

    `is_on` marks one of several as the chosen one.
    """
    asked = {"topic": found.topic, "reason": found.reason, **query}
    more = {} if is_on is None else {"aria-current": "true" if is_on else "false"}
    # What is not asked for is taken out of the address.
    changes = {key: asked.get(key) for key in ("topic", "reason", "letter", "before")}
    return html.A(
        words,
        href=address.to("pipeline", **asked),
        className="on" if is_on else "",
        **{"data-write": json.dumps(changes), **more},
    )


def key_of(letter_: DeadLetter) -> str:
    """Return how a link names a dead letter."""
    return f"{letter_.stream_id}:{letter_.partition}:{letter_.offset}:{letter_.line}"


def letters(found: Pipeline, told: say.Told, before: str | None = None) -> Any:
    """Return the newest dead letters of the chosen reason, each a link that opens it."""
    if not found.dead:
        return None
    if not found.letters:
        if found.reason is not None and not any(r.name == found.reason for r in found.reasons):
            said: Any = [
                "No record was refused for this. ",
                _here("Show all", found, reason=None),
            ]
        elif before is None:
            said = "None of these is kept: a partition keeps its first 10,000."
        else:
            said = ["No older ones. ", _here("The newest", found)]
        return parts.nothing(said)
    is_first_page = before is None
    opened = found.letter
    many_topics = len({row.topic for row in found.letters}) > 1
    rows = []
    for row in found.letters:
        is_open = opened is not None and key_of(opened) == key_of(row)
        words = [
            html.Span(told.instant(row.created_ms), className="num"),
            html.Span(
                f"{cut(row.topic, 24)} {row.partition}" if many_topics else str(row.partition),
                className="num",
            ),
            html.Span(
                whole(row.offset) + (f":{row.line}" if row.line else ""), className="num right"
            ),
        ]
        if found.reason is None:
            words.append(html.Span(reason_word(row.reason), className="note"))
        rows.append(
            html.Li(
                _here(
                    words,
                    found,
                    is_on=is_open,
                    letter=key_of(row),
                    before=before,
                )
            )
        )
    head = html.Div(
        [
            html.Span(f"Refused ({told.word})"),
            html.Span("Partition"),
            html.Span("Offset", className="right"),
        ],
        className="letters-head",
        **{"aria-hidden": "true"},
    )
    pages = []
    if not is_first_page:
        pages.append(_here("The newest", found))
    if found.older is not None:
        pages.append(_here("Older ones", found, before=":".join(map(str, found.older))))
    return [
        head,
        html.Ul(rows, className="letter-list"),
        html.Div(pages, className="pages") if pages else None,
    ]


def letter(found: Pipeline, told: say.Told, *, is_asked: bool) -> Any:
    """Return the inspector: where it lies, why it was refused, what it begins with."""
    opened = found.letter
    if opened is None:
        if is_asked:
            return parts.nothing("This dead letter is not here: it may be of another database.")
        return None
    detail = cut(opened.detail, 300)
    if detail.casefold() in REASONS.get(opened.reason, "").casefold():
        detail = ""
    facts = [
        ("topic", cut(opened.topic, 120)),
        ("partition", str(opened.partition)),
        ("offset", whole(opened.offset) + (f", line {opened.line}" if opened.line else "")),
        ("size", plural(opened.size_bytes, "byte")),
        (
            "Kafka time",
            f"{told.instant(opened.kafka_ms)} {told.word}"
            if opened.kafka_ms is not None
            else "none",
        ),
        ("refused", f"{told.instant(opened.created_ms)} {told.word}"),
        ("sha256", opened.payload_sha256),
    ]
    shown = (
        None
        if opened.payload is None
        else payload.show(opened.payload, opened.size_bytes, opened.reason, opened.detail)
    )
    return [
        html.Div(_here("All dead letters", found), className="back"),
        html.Div(
            [
                html.H4(say.where(opened)),
                parts.copy_button(shown.copied) if shown is not None else None,
            ],
            className="letter-head",
        ),
        html.P([html.B(say.why(opened)), " ", say.mend(opened.reason)]),
        html.P(html.Code(detail), className="detail") if detail else None,
        *_payload(opened, shown),
        html.Table(
            html.Tbody(
                [html.Tr([html.Th(name, scope="row"), html.Td(said)]) for name, said in facts]
            ),
            className="table facts",
        ),
    ]


def _payload(opened: DeadLetter, shown: payload.Shown | None) -> list[Any]:
    if opened.size_bytes == 0:
        return [parts.nothing("The record has no bytes.", "circle-dashed")]
    if shown is None:
        said = "Not kept: ingest.keep_payload is off. The hash finds it in the producer's log."
        return [parts.nothing(said, "eye-off")]
    classes = {"text": "", "escape": "escape", "fault": "fault"}
    runs = [
        run.text if run.kind == "text" else html.Span(run.text, className=classes[run.kind])
        for run in shown.runs
    ]
    if shown.is_cut:
        runs.append(html.Span(" …", className="escape"))
    notes = []
    if shown.is_cut:
        notes.append(
            f"The first {plural(shown.shown_bytes, 'byte')} of "
            f"{whole(opened.size_bytes)} are shown."
        )
    if shown.fault is not None and not shown.is_marked:
        notes.append(f"The fault is at byte {whole(shown.fault)}, beyond what is kept.")
    return [
        html.Pre(runs, className="payload", tabIndex=0, **{"aria-label": "The record's beginning"}),
        html.P(" ".join(notes), className="note") if notes else None,
    ]


def missing(found: Pipeline, told: say.Told) -> Any:
    """Return gaps and deficits, each with its cause and with what mends it."""
    if not found.gaps and not found.deficits:
        return parts.nothing(
            "Nothing: no offset was lost, no event lacks a reference.", "circle-check"
        )
    rows = []
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
                            else parts.command(say.register_command(d.model, d.version)),
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


PAGE = Page(
    name="pipeline",
    pattern=("pipeline",),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda _parts: "Pipeline",
)
