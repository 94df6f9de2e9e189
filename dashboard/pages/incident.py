"""One incident: what it is, whether it is over, and the evidence. Any member's number opens it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dash import html

from dashboard import address, handling, parts
from dashboard import cards_deliveries as sent
from dashboard import cards_incident as cards
from dashboard import cards_retraining as retraining
from dashboard import sentences_incidents as say
from dashboard import sentences_retraining as retrain_words
from dashboard.figures.factory import blank
from dashboard.figures.series import HEIGHT, MAX_WINDOWS, axis_of
from dashboard.figures.series import series as series_figure
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.pages.refreshing import refreshing
from dashboard.sentences_series import EACH
from dashboard.statistics import is_share
from dashboard.words import NBSP, cut, moment, plural
from driftline.stats.names import NAMES
from monitor.detect.retrain_messages import webhook_id_of
from monitor.storage.retrain_rows import Retrain
from monitor.storage.retraining_policies import policy_of
from monitor.storage.rows import Incident
from monitor.views import scope as scopes
from monitor.views.delivered import delivered
from monitor.views.episodes import Group, Opened, evidence_of, opened
from monitor.views.handled import NOTHING
from monitor.views.handled import handled as handled_of
from monitor.views.history import history
from monitor.views.retrained import effect, requests_about
from monitor.views.scope import NoSuch
from monitor.views.series import Point, Series, series_of

ALL = "all"
NUMBER = re.compile(r"\d{1,18}")
# How often the page asks again while a message waits.
REFRESH_S = 6

SLOTS = {
    "title": ("incident-title", "children"),
    "tags": ("incident-tags", "children"),
    "verdict": ("incident-verdict", "children"),
    "note": ("incident-note", "children"),
    "actions": ("incident-actions", "children"),
    "rated": ("incident-rated", "children"),
    "aside": ("incident-aside", "children"),
    "evidence": ("incident-evidence", "children"),
    "cards": ("incident-cards", "children"),
    "figure": ("incident-chart", "figure"),
    "chart_label": ("incident-chart-box", "aria-label"),
    "chart_head": ("incident-chart-head", "children"),
    "chart_hidden": ("incident-chart-part", "hidden"),
    "sent_head": ("incident-sent-head", "children"),
    "sent": ("incident-sent", "children"),
    "waits": ("incident-waits", "children"),
    "retrain": ("incident-retrain", "children"),
    "retrain_hidden": ("incident-retrain-card", "hidden"),
    "kept": ("incident-kept", "children"),
    "kept_zone": ("incident-kept-zone", "children"),
    "kept_hidden": ("incident-kept-card", "hidden"),
    "happened": ("incident-happened", "children"),
    "times": ("incident-times", "children"),
}


def skeleton() -> Any:
    """Return the page before it is read."""
    return [
        html.Div(
            [
                html.Div(
                    [
                        html.H1(parts.skeleton(1), id="incident-title"),
                        html.Div(id="incident-tags", className="incident-tags"),
                    ],
                    className="title",
                ),
                html.Div(
                    [
                        html.Div(id="incident-actions"),
                        html.Button(
                            [parts.icon("link"), html.Span("Copy link")],
                            type="button",
                            className="button copy",
                            **{"data-copy-link": "view"},
                        ),
                    ],
                    className="controls",
                ),
            ],
            className="scope incident-scope",
        ),
        html.Div(parts.skeleton(2), id="incident-verdict", role="status"),
        html.Div(id="incident-note"),
        html.Div(id="incident-waits"),
        html.Div(
            [
                html.Div(
                    [
                        html.Section(
                            [
                                html.Header([html.H3("Evidence"), html.Span(id="incident-aside")]),
                                html.Div(parts.skeleton(4), id="incident-evidence"),
                                html.Div(id="incident-cards", className="evidence-cards"),
                                html.Div(
                                    [
                                        html.P(id="incident-chart-head"),
                                        parts.graph(
                                            "incident-chart", HEIGHT, "The worst statistic"
                                        ),
                                    ],
                                    id="incident-chart-part",
                                ),
                            ],
                            className="card bare",
                        ),
                        html.Section(
                            [
                                html.Header(html.H3("Deliveries"), id="incident-sent-head"),
                                html.Div(parts.skeleton(3), id="incident-sent"),
                            ],
                            className="card",
                        ),
                    ],
                ),
                html.Div(
                    [
                        html.Section(
                            [
                                html.Header(html.H3("Retraining")),
                                html.Div(id="incident-retrain"),
                            ],
                            id="incident-retrain-card",
                            className="card",
                            hidden=True,
                        ),
                        html.Section(
                            [
                                html.Header(
                                    [
                                        html.H3("What keeps it open"),
                                        html.Span(id="incident-kept-zone"),
                                    ]
                                ),
                                html.Div(id="incident-kept"),
                            ],
                            id="incident-kept-card",
                            className="card",
                            hidden=True,
                        ),
                        parts.card(
                            "What happened",
                            [
                                html.Div(parts.skeleton(4), id="incident-happened"),
                                html.Div(id="incident-rated"),
                            ],
                            aside=html.Span(id="incident-times"),
                        ),
                    ],
                ),
            ],
            className="incident-pair",
        ),
    ]


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold.

    Raises
    ------
    NoSuch
        No incident has the number.
    """
    asked = look.path[1]
    if not NUMBER.fullmatch(asked):
        raise NoSuch("incident", asked)
    number = int(asked)
    found = look.cached(("incident", number), lambda: opened(look.conn, number))
    zone = ZoneInfo(found.timezone)
    said = say.verdict(found, look.zone)
    group = found.group
    title = say.title(group, found.features)
    who = f"{cut(group.model, 60)} {cut(say.version_tag(group.version), 24)}"
    chosen = subject(found)
    drawn = look.cached(("incident series", number), lambda: episode(look, found, chosen))
    done = handled_of(look.conn, [group], look.now_ms).get(group.number, NOTHING)
    year = say.data_year(found.judged_to_ms, look.zone)
    standing = handling.standing(done, look.zone, look.zone_word, year)
    held = say.holding(found, zone)
    # By the wall clock, not by the data version: an attempt is no finding.
    requests = requests_about(look.conn, (member.number for member in group.members))
    told = delivered(look.conn, group, [webhook_id_of(one.key) for one in requests])
    chosen_delivery = look.asked.number("delivery", 1, 10**15, 0)
    if chosen_delivery and all(one.sent.id != chosen_delivery for one in told.messages):
        look.asked.notes.append(f"Message {chosen_delivery} does not tell of this incident.")
    return {
        "title": [html.Span(f"#{group.number} ", className="at-title"), f"{who}: {title}"],
        "tags": _tags(found, look),
        "verdict": parts.verdict_card(
            parts.Verdict(said.icon, said.tone, said.headline, said.notes),
            [parts.link_button("Open in model", _model_link(found), "arrow-right")],
        ),
        "note": [one for one in (_muted(found), standing) if one is not None] or None,
        "actions": handling.actions(group, number, done),
        "rated": handling.rated(done.handling),
        "aside": _aside(found, say.windows_zone(zone, look.zone)),
        "evidence": None if look.is_narrow else cards.evidence(found, zone, number),
        "cards": cards.for_phone(found, zone) if look.is_narrow else None,
        **_chart(drawn, chosen, zone, look),
        "sent_head": sent.head(told),
        "sent": sent.body(
            told,
            chosen_delivery,
            number,
            look,
            is_muted=group.is_muted,
            is_silenced=done.silence is not None,
        ),
        "waits": refreshing(REFRESH_S) if sent.is_moving(told) else None,
        **_retraining(requests, group, look, zone),
        "kept": cards.kept(held),
        "kept_zone": say.windows_zone(zone, look.zone),
        "kept_hidden": not held,
        "happened": cards.happened(found, revised(drawn, chosen), done.handling.notes, look),
        "times": f"times in {look.zone_word}",
    }


def _retraining(
    asked: Sequence[Retrain], group: Group, look: Look, zone: ZoneInfo
) -> dict[str, Any]:
    """Return the card of the requests that stand on a problem, or whether any could come."""
    year = datetime.fromtimestamp(look.now_ms / 1_000, look.zone).year
    if asked:
        found = look.cached(
            ("retrained", asked[0].id, asked[0].live_version_id),
            lambda: effect(look.conn, asked[0], group.members),
        )
        return {
            "retrain": retraining.card(asked, found, look, year, zone),
            "retrain_hidden": False,
        }
    if not group.is_open or "distribution" not in group.kinds:
        return {"retrain": None, "retrain_hidden": True}
    standing = policy_of(look.conn, group.model)
    why, mend = retrain_words.none_yet(
        standing.policy if standing is not None else None, group.model
    )
    return {
        "retrain": [
            html.P(why, className="retrain-said"),
            *([parts.command(mend)] if mend else []),
        ],
        "retrain_hidden": False,
    }


def subject(found: Opened) -> Incident:
    """Return the member whose statistic is drawn: the one asked for, else the worst."""
    if found.chosen.number != found.group.number:
        return found.chosen
    return found.group.worst


def _muted(found: Opened) -> Any:
    """Return that another speaks for it, where one does."""
    said = say.muted_note(found)
    return html.P([parts.icon("bell-off"), html.Span(said)], className="aside") if said else None


def _tags(found: Opened, look: Look) -> list[Any]:
    """Return what a phone says below the title."""
    group = found.group
    year = say.data_year(found.judged_to_ms, look.zone)
    since = f"{moment(group.opened_ms, look.zone, year=year)} {look.zone_word}"
    word = "since" if group.is_open else "opened"
    lasted = say.lasted(group, found.judged_to_ms)
    return [
        parts.tag(f"#{group.number}"),
        html.Span(f"{word} {since}, {lasted}", className="num"),
    ]


def _model_link(found: Opened) -> str:
    """Return the model's page over the time of the incident."""
    group = found.group
    evidence = evidence_of(group.worst)
    length = evidence.length if evidence is not None else "day"
    from_ms, to_ms = cards.span(found, group.worst, evidence)
    return address.model(
        group.model,
        version=group.version,
        segment=None if ALL in group.segments else group.segments[0],
        window=None if length == "day" else length,
        from_=address.rfc3339(from_ms),
        to=address.rfc3339(to_ms),
    )


def _aside(found: Opened, zone_said: str) -> list[Any]:
    """Return in which zone the windows are, and what a muted row is."""
    told, every = len(found.group.told), len(found.group.members)
    said: list[Any] = [zone_said] if zone_said else []
    if told < every:
        said += ["; " if said else "", f"{every - told}{NBSP}", parts.term("muted")]
    return said


Drawn = tuple[scopes.Scope, Series]


def episode(look: Look, found: Opened, incident: Incident) -> Drawn | None:
    """Read the statistic of a member through its episode; None where nothing can be drawn."""
    evidence = evidence_of(incident)
    if evidence is None or not incident.feature:
        return None
    from_ms, to_ms = cards.span(found, incident, evidence)
    try:
        scope, _ = scopes.resolve(
            look.conn,
            incident.model,
            version=incident.version,
            segment=incident.segment,
            length=evidence.length,
            from_ms=from_ms,
            to_ms=to_ms,
        )
        read = history(look.conn, scope, incident.feature)
    except NoSuch:
        return None  # another reference is bound by now, without the feature
    return scope, series_of(read, evidence.statistic, at_most=MAX_WINDOWS)


def _chart(drawn: Drawn | None, incident: Incident, zone: ZoneInfo, look: Look) -> dict[str, Any]:
    if drawn is None or not drawn[1].points:
        return {
            "figure": blank(HEIGHT),
            "chart_hidden": True,
            "chart_label": "No chart",
            "chart_head": "",
        }
    scope, found = drawn
    word = NAMES[found.statistic].inside
    each = EACH[scope.length]
    where = f" in {cut(incident.segment, 60)}" if incident.segment != ALL else ""
    is_rate = is_share(found.statistic)
    dashed = "dashed: the reference's share and its limit on top" if is_rate else "limit dashed"
    head = f"{cut(incident.feature, 60)}{where}, {word} {each}, {dashed}"
    over = sum(point.is_over for point in found.points)
    return {
        "figure": series_figure(
            found,
            # From the first window to the last: a range may reach beyond the data.
            axis_of(found.points[0].start_ms, found.points[-1].end_ms, zone),
            zone,
            look.scheme,
            is_root=found.statistic == "psi",
            is_narrow=look.is_narrow,
        ),
        "chart_hidden": False,
        "chart_label": f"{head}: over it in {over} of {plural(len(found.points), 'window')}",
        "chart_head": head,
    }


def revised(drawn: Drawn | None, incident: Incident) -> list[Point]:
    """Return the windows of a member's episode that late events had judged again."""
    if drawn is None:
        return []
    end_ms = incident.resolved_ms if not incident.is_open else None
    return [
        point
        for run in drawn[1].runs
        if run.version == incident.version
        for point in run.points
        if point.revision > 1
        and point.start_ms >= incident.first_window_ms
        and (end_ms is None or point.start_ms < max(end_ms, incident.opened_ms))
    ]


PAGE = Page(
    name="incident",
    pattern=("incidents", None),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda path: f"Incident #{path[1][:20]}",
)
