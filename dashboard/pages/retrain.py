"""One request for a retraining, before and after on one page: why, the run, what it changed.

Messages about it link here: it stays what it was asked for, whatever came afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dash import html

from dashboard import address, parts
from dashboard import cards_deliveries as sent
from dashboard import cards_retraining as cards
from dashboard import sentences_incidents as incidents
from dashboard import sentences_retraining as say
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.pages.refreshing import refreshing
from dashboard.sentences import split_subject
from dashboard.words import cut, incident_word, moment
from monitor.detect.retrain_messages import webhook_id_of
from monitor.storage import reads, retrain_rows
from monitor.storage.retrain_rows import Retrain
from monitor.storage.rows import Incident
from monitor.views.delivered import Delivered, asked_for
from monitor.views.retrained import Effect, effect, incidents_of
from monitor.views.scope import NoSuch

NUMBER = re.compile(r"\d{1,18}")
# How often the page asks again while something of it is to come.
REFRESH_S = 6
SHOWN = 20
ICONS = {"run": "idle"}

SLOTS = {
    "title": ("retrain-title", "children"),
    "verdict": ("retrain-verdict", "children"),
    "waits": ("retrain-waits", "children"),
    "steps": ("retrain-steps", "children"),
    "effect": ("retrain-effect", "children"),
    "effect_head": ("retrain-effect-head", "children"),
    "why": ("retrain-why", "children"),
    "sent": ("retrain-sent", "children"),
    "happened": ("retrain-happened", "children"),
    "times": ("retrain-times", "children"),
}


def skeleton() -> Any:
    """Return the page before it is read."""
    return [
        html.Div(
            html.Div(html.H1(parts.skeleton(1), id="retrain-title"), className="title"),
            className="scope",
        ),
        html.Div(parts.skeleton(2), id="retrain-verdict", role="status"),
        html.Div(id="retrain-waits"),
        html.Div(
            [
                html.Div(
                    [
                        parts.card("Steps", html.Div(parts.skeleton(2), id="retrain-steps")),
                        html.Section(
                            [
                                html.Header(
                                    [
                                        html.H3("Before and after"),
                                        html.Span(id="retrain-effect-head"),
                                    ]
                                ),
                                html.Div(parts.skeleton(3), id="retrain-effect"),
                            ],
                            className="card",
                        ),
                        parts.card("Why", html.Div(parts.skeleton(3), id="retrain-why")),
                    ]
                ),
                html.Div(
                    [
                        parts.card("The request", html.Div(parts.skeleton(2), id="retrain-sent")),
                        parts.card(
                            "What happened",
                            html.Div(parts.skeleton(4), id="retrain-happened"),
                            aside=html.Span(id="retrain-times"),
                        ),
                    ]
                ),
            ],
            className="retrain-pair",
        ),
    ]


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold.

    Raises
    ------
    NoSuch
        No request has the number.
    """
    wanted = look.path[1]
    one = retrain_rows.find(look.conn, int(wanted)) if NUMBER.fullmatch(wanted) else None
    if one is None:
        raise NoSuch("retrain", wanted[:40])
    zone = reads.zone_of(look.conn, one.model) or look.zone
    members = incidents_of(look.conn, one)
    changed = effect(look.conn, one, members)
    told = asked_for(look.conn, [webhook_id_of(one.key)])
    year = datetime.fromtimestamp(look.now_ms / 1_000, look.zone).year
    return {
        "title": [say.retitled(one), html.Span(f", request {one.id}", className="at-title")],
        "verdict": _verdict(one, members, changed, look),
        "waits": refreshing(REFRESH_S) if one.is_open else None,
        "steps": [
            cards.stepper(one, look, year) if not one.is_dry_run else None,
            cards.run(one)
            if not one.is_dry_run
            else html.P(say.standing(one, look.now_ms).said, className="retrain-said"),
        ],
        "effect": cards.changed(changed, one, zone)
        or parts.nothing("Nothing was judged of it yet.", "hourglass"),
        "effect_head": "features drifted by day" if changed.before.drifted is not None else "",
        "why": _why(one, members, zone),
        "sent": _sent(one, told, look, year),
        "happened": cards.events(one, look, year),
        "times": f"times in {look.zone_word}",
    }


def _verdict(one: Retrain, members: Sequence[Incident], changed: Effect, look: Look) -> Any:
    standing = say.standing(one, look.now_ms)
    known = say.effect_words(changed, is_live=one.live_version is not None)
    head = f"{standing.word}: {known[0].lower()}{known[1:]}" if known else f"{standing.word}."
    notes = [("", standing.said)]
    links = [parts.link_button("Open in model", address.model(one.model), "arrow-right")]
    if members:
        number = members[0].number
        links.insert(0, parts.link_button(f"Incident #{number}", address.incident(number), "siren"))
    tone = ICONS.get(standing.tone, standing.tone)
    return parts.verdict_card(parts.Verdict(standing.icon, tone, head, tuple(notes)), links)


def _why(one: Retrain, members: Sequence[Incident], zone: ZoneInfo) -> list[Any]:
    """Return the reason as it was given, and the incidents that it stands on as they are now."""
    items = [
        html.Li(
            [
                html.Div(
                    parts.status(*_short(incident)),
                    className="state",
                ),
                html.Div(
                    [
                        parts.link(
                            [
                                html.Span(f"#{incident.number} ", className="num"),
                                cut(incident.feature, 60) or incidents.kind_word(incident.kind),
                            ],
                            address.incident(incident.number),
                            className="title",
                        ),
                        html.Div(
                            cut(split_subject(incident.feature, incident.summary)[1], 300),
                            className="sub",
                        ),
                    ],
                    className="sentence",
                ),
            ]
        )
        for incident in members[:SHOWN]
    ]
    return [
        html.P(_sentence(cut(one.summary, 600)), className="retrain-said"),
        html.Ul(items, className="listed") if items else None,
    ]


def _sentence(said: str) -> str:
    """Return a reason as a sentence: messages have it without a capital and a full stop."""
    return f"{said[:1].upper()}{said[1:].rstrip('.')}." if said else "No reason was given."


def _short(incident: Incident) -> tuple[str, str, str]:
    icon, word, tone = incident_word(incident.state, incident.severity)
    return icon, word.partition(",")[0], tone


def _sent(one: Retrain, told: Delivered, look: Look, year: int) -> list[Any]:
    facts = [
        ("Asked by", "the policy" if one.origin == "policy" else cut(one.actor, 60)),
        ("Trainer", cut(one.trainer, 60)),
        ("Asked at", moment(one.requested_ms, look.zone, year=year)),
    ]
    if one.is_open:
        facts.append(("Expires", moment(one.deadline_ms, look.zone, year=year)))
    rows = [part for head, said in facts for part in (html.Dt(head), html.Dd(said))]
    strips = [sent.strip(message, look, year) for message in told.messages]
    return [html.Dl(rows, className="retrain-facts"), *strips]


PAGE = Page(
    name="retrain",
    pattern=("retrains", None),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda path: f"Retraining {path[1][:20]}",
)
