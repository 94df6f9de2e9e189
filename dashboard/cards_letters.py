"""Dead letters, from left to right: reasons -> the letters of one -> the one that is opened.

Each is a link to another look at the same page: what is chosen stands in the address.
"""

from __future__ import annotations

import json
import re
from typing import Any

from dash import html

from dashboard import address, commands, parts, payload
from dashboard import sentences_pipeline as say
from dashboard.words import cut, plural, reason_word, whole
from driftline.events import REASONS
from monitor.storage.letters import WORDS, Verdict, verdict
from monitor.storage.rows import DeadLetter
from monitor.views.pipeline import LetterKey, Pipeline, Place, Reason

# Reasons whose bars are seen at once; the others are one bar, which opens.
MAX_REASONS = 8
# The API names a letter with dashes; a link may bring that, too.
KEY = re.compile(r"(\d{1,18})[:.-](\d{1,9})[:.-](\d{1,18})[:.-](\d{1,9})")
PLACE = re.compile(r"(\d{1,15}):(\d{1,18}):(\d{1,9}):(\d{1,18}):(\d{1,9})")


def key_in(text: str) -> LetterKey | None:
    """Return the letter that a link names, None where it can name none."""
    match = KEY.fullmatch(text)
    if match is None:
        return None
    stream, partition, offset, line = (int(part) for part in match.groups())
    return stream, partition, offset, line


def place_in(text: str | None) -> Place | None:
    """Return where a list goes on."""
    match = PLACE.fullmatch(text or "")
    if match is None:
        return None
    created, stream, partition, offset, line = (int(part) for part in match.groups())
    return created, stream, partition, offset, line


def key_of(letter_: DeadLetter) -> str:
    """Return how a link names a dead letter."""
    return f"{letter_.stream_id}:{letter_.partition}:{letter_.offset}:{letter_.line}"


def card_class(found: Pipeline, *, is_asked: bool) -> str:
    """Return how the card is laid out: on a phone a letter that was opened stands alone."""
    if not found.dead:
        return "dead-letters none"
    return "dead-letters opened" if is_asked and found.letter is not None else "dead-letters"


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
            said = "None of these is kept: a partition keeps 10,000 at a time."
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
    if opened.replay_ms is not None:
        facts.insert(-1, ("sent again", say.sent_again(opened, told)))
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
        *_send_again(opened),
    ]


def _send_again(opened: DeadLetter) -> list[Any]:
    """Return what sends it again, or why nothing can: pages write nothing, a command does."""
    found = verdict(opened)
    if found is Verdict.SENT:
        return []
    if found not in (Verdict.POSSIBLE, Verdict.IN_DOUBT):
        return [html.P(f"It cannot be sent again: {WORDS[found]}.", className="note")]
    is_doubt = found is Verdict.IN_DOUBT
    name = "-".join(map(str, opened.key))
    said = (
        "This sends it again; it may be in the topic twice then."
        if is_doubt
        else "Once its cause is mended, this sends it again as it came."
    )
    here = commands.installation()
    return [
        html.P(said, className="note"),
        parts.command(commands.send_again(name, here, in_doubt=is_doubt)),
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
