"""The pipeline: is everything counted, and what could not be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dash import html

from dashboard import address, cards_letters, cards_pipeline, parts
from dashboard import sentences_pipeline as say
from dashboard.figures.rate import HEIGHT, rate_figure
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.pages.refreshing import refreshing
from dashboard.words import cut
from driftline.events import REASONS
from monitor.storage import reads
from monitor.views import pipeline as view
from monitor.views.pipeline import LetterKey, Pipeline
from monitor.views.rate import DAYS, Rate, rate

ALL = ""
RANGES = {"24h": "24 h", "7d": "7 days", "30d": "30 days"}
RANGE = "7d"
# How often the page asks again although no window was judged.
REFRESH_S = 6

SLOTS = {
    "icon": ("pipeline-icon", "children"),
    "title": ("pipeline-title", "children"),
    "note": ("pipeline-note", "children"),
    "replays": ("pipeline-replays", "children"),
    "controls": ("pipeline-controls", "children"),
    "kpis": ("pipeline-kpis", "children"),
    "positions": ("pipeline-positions", "children"),
    "rate_hidden": ("pipeline-rate-card", "hidden"),
    "rate_range": ("pipeline-rate-range", "children"),
    "rate": ("pipeline-rate", "figure"),
    "rate_label": ("pipeline-rate-box", "aria-label"),
    "rate_said": ("pipeline-rate-said", "children"),
    "rate_days": ("pipeline-rate-days", "children"),
    "dead_summary": ("pipeline-dead-summary", "children"),
    "csv": ("pipeline-dead-csv", "children"),
    "reasons": ("pipeline-reasons", "children"),
    "letters": ("pipeline-letters", "children"),
    "letter": ("pipeline-letter", "children"),
    "dead_class": ("pipeline-dead", "className"),
    "missing": ("pipeline-missing", "children"),
    "uploads": ("pipeline-uploads", "children"),
    "late": ("pipeline-late", "children"),
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
        html.Div(id="pipeline-replays"),
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
        html.Div(
            parts.card(
                "Predictions counted, by hour",
                [
                    parts.graph("pipeline-rate", HEIGHT, "Predictions counted, by hour"),
                    html.P(id="pipeline-rate-said", className="note"),
                    html.Div(id="pipeline-rate-days"),
                ],
                aside="event time, all models; the hours that were judged",
                head=[html.Div(id="pipeline-rate-range")],
            ),
            id="pipeline-rate-card",
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
        html.Div(id="pipeline-late"),
        parts.card(
            "Uploaded history",
            html.Div(parts.skeleton(1), id="pipeline-uploads"),
            aside="counted from a table, beside what came through Kafka",
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
    key, before = _letter_key(look), cards_letters.place_in(asked.text("before"))
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
    days = asked.choice("range", tuple(DAYS), RANGE)
    hours = look.cached(
        ("pipeline-rate", days), lambda: rate(look.conn, days=DAYS[days], gaps=found.gaps)
    )
    return {
        **_rate(hours, days, told, look),
        "icon": parts.icon_in(title.icon, title.tone) if title.tone != "ok" else None,
        "title": title.words,
        "note": title.note or None,
        "replays": cards_pipeline.replays(found, told, look.now_ms),
        "controls": _controls(found),
        "kpis": parts.kpi_strip(say.kpis(found)),
        "positions": cards_pipeline.positions(found, told, look.now_ms),
        "dead_summary": say.dead_summary(found),
        "csv": parts.csv_link(address.api("dead-letters", format="csv", topic=topic, reason=reason))
        if found.dead
        else None,
        "reasons": cards_letters.reasons(found),
        "letters": cards_letters.letters(
            found, told, None if before is None else asked.text("before")
        ),
        "letter": cards_letters.letter(found, told, is_asked=key is not None)
        if found.dead
        else None,
        "dead_class": cards_letters.card_class(found, is_asked=key is not None),
        "missing": cards_pipeline.missing(found, told),
        "uploads": cards_pipeline.uploads(found, told),
        "late": cards_pipeline.late(found),
    }


def _rate(found: Rate | None, days: str, told: say.Told, look: Look) -> dict[str, Any]:
    """Return the slots of the chart; where no hour was judged there is none."""
    if found is None:
        return {"rate_hidden": True}
    said = say.rate_said(found, told)
    return {
        "rate_hidden": False,
        "rate_range": parts.switch("range", days, RANGES, "Range", RANGE),
        "rate": rate_figure(found, look.zone, look.scheme, 320 if look.is_narrow else 1_000),
        "rate_label": said,
        "rate_said": said,
        "rate_days": cards_pipeline.rate_days(found, look.zone),
    }


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
    key = cards_letters.key_in(text)
    if key is None:
        look.asked.notes.append("The link asks for a dead letter that cannot be; showing the last.")
    return key


def _controls(found: Pipeline) -> Any:
    if len(found.topics) < 2:
        return parts.tag(f"topic {found.topics[0]}", 80) if found.topics else None
    options = {ALL: "all", **{topic: topic for topic in found.topics}}
    return parts.select("topic", found.topic or ALL, options, "Topic")


PAGE = Page(
    name="pipeline",
    pattern=("pipeline",),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda _parts: "Pipeline",
)
