"""What each part of the page's skeleton is filled with, for a view or for none. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dash import html, no_update
from sqlalchemy.engine import Engine

from dashboard import lanes, parts, sentences
from dashboard.figures import NARROW_PX, WIDE_PX, bars, heat_height, heatmap
from dashboard.freshness import Freshness
from dashboard.tokens import Scheme
from dashboard.view import View
from dashboard.words import cut, day_text, incident_word, plural, shown, whole
from monitor.storage import reads
from monitor.storage.rows import DeadLetter, Deficit, Gap, Position

DIALECTS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
# Every output of the page's callback: (component, property).
TARGETS = {
    "chosen": ("chosen", "data"),
    "models": ("models", "children"),
    "crumb": ("crumb", "children"),
    "empty": ("empty", "hidden"),
    "page": ("page", "hidden"),
    "page_error": ("page-error", "children"),
    "title": ("title", "children"),
    "version_tag": ("version-tag", "children"),
    "owner": ("owner-tag", "children"),
    "description": ("description", "children"),
    "verdict": ("verdict", "children"),
    "kpis": ("kpis", "children"),
    "version_lane": ("version-lane", "children"),
    "incident_lane": ("incident-lane", "children"),
    "incident_style": ("incident-lane", "style"),
    "lane_values": ("lane-values", "children"),
    "bar_values": ("bar-values", "children"),
    "bars": ("bars", "figure"),
    "bars_words": ("bars-box", "aria-label"),
    "labels": ("row-labels", "children"),
    "heat": ("heat", "figure"),
    "heat_style": ("heat", "style"),
    "heat_words": ("heat-box", "aria-label"),
    "values": ("row-values", "children"),
    "note": ("heat-note", "children"),
    "chart_class": ("chart", "className"),
    "twin": ("twin", "children"),
    "incidents": ("incidents", "children"),
    "incident_count": ("incident-count", "children"),
}


def page(
    view: View | None,
    scheme: Scheme,
    asked: dict[str, str],
    href: Callable[[str], str],
    *,
    is_narrow: bool = False,
) -> dict[str, Any]:
    """Return every target's value."""
    if view is None:
        return {
            **dict.fromkeys(TARGETS, no_update),
            "chosen": None,
            "models": html.Span("None yet", className="none"),
            "crumb": "Overview",
            "empty": False,
            "page": True,
            "page_error": None,
        }
    verdict = sentences.verdict(view)
    width = NARROW_PX if is_narrow else WIDE_PX
    bars_said, lost = lanes.pack(view, width)
    depth = 1 + max((bar.lane for bar in bars_said), default=0)
    filled: dict[str, Any] = {
        "chosen": view.model.name,
        "models": parts.model_links(view.models, view.model.name, href),
        "crumb": [html.Span("Models"), " / ", html.B(cut(view.model.name, 80))],
        "empty": True,
        "page": False,
        "page_error": _unknown(view, asked),
        "title": shown(view.model.name),
        "version_tag": html.Span(f"version {cut(view.version.name)}", className="tag"),
        "owner": html.Span(cut(view.model.owner), className="tag") if view.model.owner else None,
        "description": cut(view.model.description or "", 200),
        "verdict": parts.verdict_card(verdict),
        "kpis": parts.kpi_strip(sentences.kpis(view, view.version.watermark_ms)),
        "version_lane": parts.version_lane(view),
        "incident_lane": [_bar(bar) for bar in bars_said],
        "incident_style": {"height": f"{depth * lanes.LANE_PX}px"},
        "lane_values": _lane_values(view),
        "labels": parts.row_labels(view),
        "values": parts.row_values(view),
        "note": _heat_note(view, lost),
        "twin": parts.table(view),
        "incidents": parts.incident_list(view, view.version.watermark_ms),
        "incident_count": _incident_count(view),
        "heat_words": verdict.headline,
        "bars_words": verdict.headline,
    }
    if view.days:
        height = heat_height(len(view.heat.features))
        filled |= {
            "chart_class": "chart",
            "bar_values": _bar_values(view),
            "bars": bars(view, scheme, width),
            "heat": heatmap(view, scheme, width),
            "heat_style": {"height": f"{height}px"},
        }
    else:
        filled |= {
            "chart_class": "chart collecting",
            "bar_values": None,
            "bars": no_update,
            "heat": no_update,
            "heat_style": no_update,
        }
    return filled


def _unknown(view: View, asked: dict[str, str]) -> Any:
    wanted = asked.get("model")
    if wanted is not None and wanted != view.model.name:
        return html.P(
            f"The link asks for model {cut(wanted, 80)}, which is not here. "
            f"Showing {cut(view.model.name, 80)}.",
            className="aside",
        )
    version = asked.get("version")
    if version is not None and version != view.version.name:
        return html.P(
            f"The link asks for version {cut(version, 80)}; this model has no such version. "
            f"Showing {cut(view.version.name, 80)}.",
            className="aside",
        )
    return None


def _bar(bar: lanes.Bar) -> Any:
    tone = "crit" if bar.is_critical else "warn"
    classes = f"bar {tone}{' open' if bar.is_open else ''}{'' if bar.inside else ' bare'}"
    words = [
        f"#{i.number} {incident_word(i.state, i.severity)[1]}: {cut(i.summary, 300)}"
        for i in bar.incidents[:4]
    ]
    if len(bar.incidents) > 4:
        words.append(f"and {len(bar.incidents) - 4} more")
    return html.Div(
        [
            html.Div(html.Span(bar.inside), className=classes),
            html.Span(bar.outside, className="outside") if bar.outside else None,
        ],
        className="bar-box",
        style={
            "left": f"{bar.left:.3f}%",
            "width": f"{bar.width:.3f}%",
            "top": f"{bar.lane * lanes.LANE_PX}px",
        },
        title="\n".join(words),
    )


def _lane_values(view: View) -> list[Any]:
    firing = view.firing
    if firing:
        tone = "crit" if any(i.severity == "critical" for i in firing) else "warn"
        numbers = ", ".join(f"#{i.number}" for i in firing[:3])
        more = f" +{len(firing) - 3}" if len(firing) > 3 else ""
        said = html.Span(f"{numbers}{more} firing", className=f"status {tone}")
    else:
        said = html.Span("none firing", className="calm")
    return [html.Div("", className="lane-name"), html.Div(said, className="lane-name")]


def _bar_values(view: View) -> list[Any]:
    total = len(view.heat.features) - view.heat.pinned + view.heat.left_out
    day = day_text(view.days[-1])
    moved = len(view.open_features - set(view.heat.features[: view.heat.pinned]))
    return [
        html.Div([html.B(f"{moved} of {total}")], className="bar-name"),
        html.Div([html.B(whole(int(view.volume[-1]))), f" on {day}"], className="bar-name"),
        html.Div(f"{day}: value / limit", className="values-head"),
    ]


def _heat_note(view: View, lost: int) -> Any:
    said = []
    if not view.days:
        said.append("No day is complete yet: the heatmap begins with the first one.")
    for day, causes in list(view.incomplete.items())[-2:]:
        said.append(f"{day_text(day)} is incomplete: {cut('; '.join(causes), 200)}.")
    if view.heat.left_out:
        said.append(f"{plural(view.heat.left_out, 'calmer feature')} not shown.")
    if lost:
        said.append(f"{plural(lost, 'incident')} found no room above; the list has them all.")
    return " ".join(said).replace("..", ".")


def _incident_count(view: View) -> str:
    total = len(view.incidents) + view.older_incidents
    segments = len(view.in_segments)
    if not total and not segments:
        return ""
    more = f", {segments} more in segments" if segments else ""
    return f"{len(view.firing)} firing{more}; {total} in all, newest first"


def database_fault(error: Exception) -> str:
    """Return the first line of what the database said: never a traceback."""
    origin = getattr(error, "orig", None) or error
    first = str(origin).splitlines()[0] if str(origin) else type(origin).__name__
    return (
        f"{cut(first, 200)}. The page asks again by itself; what is shown is the last good answer."
    )


def stale_banner(fresh: Freshness) -> Any:
    """Return the banner of a page whose data stopped, or nothing."""
    if fresh.alarm is None:
        return None
    return html.Div(
        [parts.icon("clock", 16), html.Span([html.B("Counting has stopped. "), fresh.alarm])],
        className="banner",
    )


def pipeline_panels(
    engine: Engine,
    positions: Sequence[Position],
    counts: dict[str, int],
    gaps: Sequence[Gap],
    deficits: Sequence[Deficit],
    newest: Sequence[DeadLetter],
    now_ms: int,
) -> dict[str, Any]:
    """Return the panels on what is counted and what was not."""
    counted = sum(counts.get(outcome, 0) for outcome in ("prediction", "label", "unmonitored"))
    topic = positions[0].topic if positions else None
    checks = [
        ("circle-check", "ok", "Database", DIALECTS.get(engine.dialect.name, engine.dialect.name)),
        (
            ("circle-check", "ok", "Consumer", f"{plural(len(positions), 'partition')} of {topic}")
            if positions
            else ("circle-dashed", "idle", "Consumer", "none has read a partition yet")
        ),
        (
            ("circle-check", "ok", "Events", f"{whole(counted)} counted")
            if counted
            else ("circle-dashed", "idle", "Events", "none yet, waiting")
        ),
    ]
    return {
        "pipeline": parts.pipeline(positions, gaps, deficits, now_ms),
        "dead": parts.dead_letters(reads.dead_reasons(counts), newest, counted),
        "checks": html.Ul(
            [
                html.Li([parts.icon_in(icon, tone), html.B(name), html.Span(cut(said, 60))])
                for icon, tone, name, said in checks
            ]
        ),
    }
