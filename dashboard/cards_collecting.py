"""What a model's page shows before its first verdict: what to send, or what came so far."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from dash import html

from dashboard import address, commands, parts
from dashboard.cards_model import reference_span
from dashboard.pages.refreshing import refreshing
from dashboard.sentences_incidents import version_tag
from dashboard.words import NBSP, cut, moment, plural, whole
from driftline.stats.lengths import WORDS, in_words
from monitor.storage import reads
from monitor.views.awaited import expected
from monitor.views.scope import ALL, Scope
from monitor.views.timeline import Timeline

# Soon enough for somebody who has just sent the first event.
REFRESH_S = 3
# Bars of a narrow page; the newest are shown.
MAX_BARS = 72


def collecting(conn: Any, found: Timeline, to_learn: int) -> list[Any]:
    """Return the card's inside: a snippet before the first event, lanes before the first verdict.

    `to_learn` is how many windows the length must see before it judges.
    """
    scope = found.scope
    if scope.reference is None:
        here = commands.installation(reads.topics(conn))
        return [
            parts.state("file-warning", "No reference", "Register what it was trained on.", "warn"),
            parts.command(commands.register(scope.model.name, scope.version.name, here)),
        ]
    if scope.version.id not in reads.counted(conn, {scope.version.id}):
        return [refreshing(REFRESH_S), *_no_event(conn, scope)]
    panes = reads.pane_rows(
        conn, scope.version.id, scope.reference.digest, segment=scope.segment, from_ms=0
    )
    return [refreshing(REFRESH_S), *_lanes(found, panes, to_learn)]


def _no_event(conn: Any, scope: Scope) -> list[Any]:
    assert scope.reference is not None
    here = commands.installation(reads.topics(conn))
    reference = reads.reference_document(conn, scope.reference.digest)
    model, version = scope.model.name, scope.version.name
    said = [
        f"No event of {cut(model, 60)} {cut(version, 30)} has arrived. Log its predictions to "
        "topic ",
        html.Code(cut(here.topic, 80)),
        " like this; what keeps them away is on the ",
        parts.link("pipeline's page", address.to("pipeline")),
        ".",
    ]
    found = [parts.state("hourglass", "Waiting for the first event", said)]
    if reference is not None:
        code = commands.snippet(here, expected(model, version, reference))
        found.append(parts.command(code, ">>>"))
    return found


def first_verdict(found: Timeline, to_learn: int) -> str:
    """Return when the first verdict of the length is due, in event time."""
    length = found.scope.length
    partial = found.partial
    if partial is None:
        where = "" if found.scope.segment == ALL else f" of {cut(found.scope.segment, 60)}"
        first = WORDS[length][0]
        return f"No row{where} was counted yet; its first {first} is judged when it is over."
    closes = f"{moment(partial.closes_ms, UTC)}{NBSP}UTC"
    said = f"The first {WORDS[length][0]} is judged when an event of {closes} or later was read"
    if to_learn:
        said += (
            f"; distributions after {in_words(to_learn, length)}, when its natural wobble is known"
        )
    return f"{said}. Until then this is what was counted."


def _lanes(found: Timeline, panes: Sequence[tuple[int, int]], to_learn: int) -> list[Any]:
    scope = found.scope
    assert scope.reference is not None
    state = parts.state("hourglass", "Collecting", first_verdict(found, to_learn))
    if not panes:
        return [state]
    drawn = panes[-MAX_BARS:]
    most = max(rows for _, rows in drawn) or 1
    first, last = (f"{moment(ms, UTC)}{NBSP}UTC" for ms in (drawn[0][0], drawn[-1][0]))
    total = sum(rows for _, rows in panes)
    tag = cut(version_tag(scope.version.name), 24)
    named = f"{tag} · reference {reference_span(scope.reference, found)}"
    bars = html.Div(
        [
            html.I(style={"height": f"{max(2, round(100 * rows / most))}%"}, title=whole(rows))
            for _, rows in drawn
        ],
        className="first-bars",
        role="img",
        **{"aria-label": f"{plural(total, 'prediction')} counted from {first} to {last}"},
    )
    return [
        state,
        html.Dl(
            [
                html.Dt("Version"),
                html.Dd(html.Div(named, className="version-bar on still")),
                html.Dt("Incidents"),
                html.Dd("none: nothing is judged yet", className="calm"),
                html.Dt("Predictions"),
                html.Dd(
                    [
                        bars,
                        html.Div([html.Span(first), html.Span(last)], className="first-ends num"),
                    ]
                ),
            ],
            className="first-lanes",
        ),
        html.P(
            f"{plural(total, 'prediction')} counted in {plural(len(panes), 'hour')}.",
            className="note",
        ),
    ]
