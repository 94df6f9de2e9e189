"""The parts of the model page beside and above its charts: names, values, lanes, the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dash import html

from dashboard import address, lanes
from dashboard.figures.heat import axis_of_columns
from dashboard.figures.series import local_ms
from dashboard.parts import Part, link, name, status, table
from dashboard.sentences import evidence
from dashboard.sentences_incidents import version_tag
from dashboard.sentences_model import said, year_of
from dashboard.tokens import HEAT_WORDS
from dashboard.words import DASH, cut, day_text, incident_word, percent, plural, shown, whole
from driftline.stats.lengths import WORDS
from monitor.storage.rows import ReferenceRow
from monitor.views.heat import Heat, is_prediction
from monitor.views.timeline import Lived, Timeline

MAX_INCIDENTS_NAMED = 3
# So much room the words of a mark take, of a plot of usual width.
MARK_WORDS_PERCENT = 20
# Before it stand the words of the version's own bar.
WORDS_FROM_PERCENT = 48


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


def rows(found: Timeline, heat: Heat, query: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what stands beside the heatmap's rows, as data that `assets/model.js` draws.

    Left the name, a link to its feature; right the newest window's evidence, its limit and,
    from .95 up, their ratio. Fifty rows as components of Dash made every click wait for them.
    """
    model = found.scope.model.name
    drawn = []
    for feature in heat.features:
        word, value, limit, ratio, near = said(found.latest.get(feature))
        drawn.append(
            {
                "name": shown(feature),
                "title": cut(feature, 300),
                "href": address.feature(model, feature, **query),
                "firing": feature in found.standing,
                "word": word,
                "value": value,
                "near": near,
                "limit": f"/ {limit}" if limit else "",
                "ratio": ratio,
            }
        )
    return drawn


def twin(found: Timeline, heat: Heat, query: Mapping[str, Any]) -> Part:
    """Return the heatmap's numbers for those who read rather than look."""
    head = ["Feature", "State", "Evidence", "Value", "Limit", "Of limit", "Windows over", "Missing"]
    rows = []
    for n, feature in enumerate(heat.features):
        row = found.latest.get(feature)
        over = int((heat.ratio[n] >= 1).sum())
        told = evidence(row) if row is not None else None
        rows.append(
            [
                link(name(feature), address.feature(found.scope.model.name, feature, **query)),
                _state(found, feature, row),
                told.word if told else "no data",
                (told.value if told else "") or DASH,
                (told.limit if told else "") or DASH,
                f"{told.ratio:.2f}×" if told and told.ratio is not None else DASH,
                f"{over} of {len(found.columns)}",
                percent(row["missing"]) if row and row["missing"] is not None else DASH,
            ]
        )
    return table(head, rows, numeric=head[3:])


def _state(found: Timeline, feature: str, row: Mapping[str, Any] | None) -> Part:
    if feature in found.standing:
        return status("triangle-alert", "Incident", "warn")
    verdict = row["verdict"] if row is not None else "no data"
    if verdict == "blind":
        return status("eye-off", "Blind", "idle")
    if verdict == "ok":
        return status("circle-check", "Calm", "ok")
    if verdict in ("warning", "critical"):
        return status("triangle-alert", "Over once", "warn")
    return status("circle-dashed", verdict.replace("_", " ").capitalize(), "idle")


def drawn_lanes(
    found: Timeline, bars: Sequence[lanes.Bar], asked: Sequence[int] = ()
) -> dict[str, Any]:
    """Return the lanes of versions and incidents as data that `assets/lanes.js` draws.

    Places and widths are percent of the plot, heights pixels. `asked` are the event times of
    requests for a retraining.
    """
    depth = 1 + max((bar.lane for bar in bars), default=0)
    return {
        "versions": [*_version_bars(found), *_asked_marks(found, asked)],
        "incidents": [_incident_bar(bar) for bar in bars],
        "height": depth * lanes.LANE_PX,
    }


def _version_bars(found: Timeline) -> list[dict[str, Any]]:
    at, zone = axis_of_columns(found.columns, found.scope.zone), found.scope.zone
    bars = []
    for span in found.lived:
        left, width = at.place(local_ms(span.from_ms, zone), local_ms(span.to_ms, zone))
        if width > 0:
            bars.append(
                {
                    "left": round(100 * left, 3),
                    "width": round(100 * width, 3),
                    "words": _lived_words(span, found),
                    "on": span.is_scoped,
                }
            )
    return bars


def _asked_marks(found: Timeline, asked: Sequence[int]) -> list[dict[str, Any]]:
    """Return the requests as marks in the lane of versions; two that are close share their word."""
    at, zone = axis_of_columns(found.columns, found.scope.zone), found.scope.zone
    marks: list[dict[str, Any]] = []
    for ms in sorted(asked):
        place = 100 * (local_ms(ms, zone) - at.from_ms) / max(1.0, at.to_ms - at.from_ms)
        if 0 < place < 100:
            is_near = bool(marks) and place - marks[-1]["left"] < MARK_WORDS_PERCENT
            words = "" if is_near or place < WORDS_FROM_PERCENT else "retraining requested"
            marks.append({"left": round(place, 3), "mark": words, "words": "Retraining requested"})
    return marks


def _lived_words(span: Lived, found: Timeline) -> str:
    words = cut(version_tag(span.version), 24)
    reference = span.reference
    if reference is None:
        return words
    return f"{words} · reference {reference_span(reference, found)}, {whole(reference.rows)} rows"


def reference_span(reference: ReferenceRow, found: Timeline) -> str:
    """Return from when to when a reference's rows are."""
    if reference.first_ms is None or reference.last_ms is None:
        return "without times"
    zone, year = found.scope.zone, year_of(found)
    first, last = (
        datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone).date()
        for ms in (reference.first_ms, reference.last_ms)
    )
    return f"{day_text(first, year=year)} {DASH} {day_text(last, year=year)}"


def _incident_bar(bar: lanes.Bar) -> dict[str, Any]:
    first, others = bar.incidents[0], len(bar.incidents) - 1
    told = [
        f"{incident_word(i.state, i.severity)[1]}: {cut(i.summary, 300)}" for i in bar.incidents[:4]
    ]
    if len(bar.incidents) > 4:
        told.append(f"and {len(bar.incidents) - 4} more")
    label = f"Incident #{bar.number}, {cut(first.feature, 60)}"
    return {
        "left": round(bar.left, 3),
        "width": round(bar.width, 3),
        "top": bar.lane * lanes.LANE_PX,
        "tone": "crit" if bar.is_critical else "warn",
        "open": bar.is_open,
        "href": address.incident(first.number),
        "label": label + (f" and {others} more" if others else ""),
        "inside": bar.inside,
        "outside": bar.outside,
        "title": "\n".join(told),
    }


def lane_values(found: Timeline) -> list[Part]:
    """Return what stands at the right of the lanes."""
    firing = found.firing
    if not firing:
        return [html.Div("", className="lane-name"), html.Div("none firing", className="lane-name")]
    tone = "crit" if any(i.severity == "critical" for i in firing) else "warn"
    numbers: list[Any] = []
    named = list(dict.fromkeys(found.number_of[incident.number] for incident in firing))
    for number in named[:MAX_INCIDENTS_NAMED]:
        numbers += [link(f"#{number}", address.incident(number)), " "]
    if len(named) > MAX_INCIDENTS_NAMED:
        numbers.append(f"+{len(named) - MAX_INCIDENTS_NAMED} ")
    return [
        html.Div("", className="lane-name"),
        html.Div([*numbers, "firing"], className=f"lane-name firing {tone}"),
    ]


def bar_values(found: Timeline, newest: str, total: int) -> list[Part]:
    """Return the last column's numbers, and the head of the values under them."""
    now = sum(bool(name) and not is_prediction(name) for name in found.standing)
    return [
        html.Div([html.B(now, className="num"), f" of {total} now"], className="bar-name"),
        html.Div(
            [html.B(whole(int(found.columns.rows[-1])), className="num"), " in the last"],
            className="bar-name",
        ),
        html.Div(f"{newest}: value / limit", className="values-head"),
    ]


def rows_note(found: Timeline, heat: Heat, lost: int) -> list[str]:
    """Return what is not drawn, in sentences."""
    notes = []
    if found.is_clipped:
        notes.append("The range is longer than a page can show: this is its end.")
    if found.columns.unit != found.scope.length:
        one, many = WORDS[found.columns.unit][0], WORDS[found.scope.length][1]
        notes.append(f"Each column is a {one}, with the worst of its {many}.")
    if lost:
        notes.append(f"{plural(lost, 'incident')} found no room in the lane; the list has them.")
    if revised := int(found.columns.revised.sum()):
        columns = plural(revised, found.columns.unit)
        notes.append(f"{columns} judged again after late events.")
    return notes
