"""The verdict and the figures above the chart, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from dashboard.view import View
from dashboard.words import (
    DASH,
    EVIDENCE,
    HEALTH,
    MINUS,
    NBSP,
    VERDICTS,
    cut,
    day_text,
    duration,
    moment,
    percent,
    plural,
    short,
    two,
    whole,
    zone_name,
)
from monitor.storage.rows import Incident


@dataclass(frozen=True)
class Verdict:
    """The answer to the page's question; `notes` are (subject in bold, sentence)."""

    icon: str
    tone: str
    headline: str
    notes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Kpi:
    """One figure of the strip."""

    label: str
    value: str
    unit: str
    note: str


@dataclass(frozen=True)
class Evidence:
    """What the last day says of one feature, ready to print."""

    word: str
    value: str
    limit: str
    ratio: float | None


def verdict(view: View) -> Verdict:
    """Return the sentence that answers "is it healthy?"."""
    icon, word, tone = HEALTH[view.health]
    if view.health == "collecting":
        rows = view.reference.rows if view.reference else 0
        return Verdict(
            icon,
            tone,
            "Collecting: the first verdict comes when the first day is complete.",
            (("", f"The reference has {plural(rows, 'row')}. The page fills itself."),),
        )
    firing = view.firing
    if firing:
        return Verdict(icon, tone, f"{word}: {_what(view)}", _notes(view))
    quiet = _quiet_days(view)
    n = len(view.heat.features) - view.heat.pinned
    headline = (
        f"Healthy: none of {plural(n, 'feature')} drifted in the last {plural(quiet, 'day')}."
    )
    closest = _closest(view)
    return Verdict(icon, tone, headline, ((closest[0], closest[1]),) if closest else ())


def _what(view: View) -> str:
    firing = view.firing
    kinds = {i.kind for i in firing}
    since = f"since {_since(view)}" if view.since else ""
    if view.health == "silent":
        return f"no predictions {since}."
    if view.health == "schema_broken":
        return f"the events lack what the reference has, {since}."
    predictions = set(view.heat.features[: view.heat.pinned])
    moved = {i.feature for i in firing} - predictions
    total = len(view.heat.features) - view.heat.pinned
    verb = "lack values" if kinds == {"missing"} else "moved"
    said = f"{len(moved)} of {plural(total, 'feature')} {verb} {since}"
    if {i.feature for i in firing} & predictions:
        return f"{said}, and the prediction itself." if moved else f"the prediction moved {since}."
    return f"{said}."


def _since(view: View) -> str:
    """Return the day on which the oldest open incident was opened."""
    year = view.days[-1].year if view.days else None
    return day_text(view.since.date(), year=year) if view.since else DASH


def _notes(view: View) -> tuple[tuple[str, str], ...]:
    """Return the two worst incidents' sentences; what opened together is told together.

    A feature is told by the worst of its incidents only.
    """
    groups: dict[tuple[str, int], list[Incident]] = {}
    told: set[str] = set()
    for incident in sorted(view.firing, key=lambda i: _rank(view, i)):
        if incident.feature and incident.feature in told:
            continue
        told.add(incident.feature)
        groups.setdefault((incident.kind, incident.opened_ms), []).append(incident)
    notes: list[tuple[str, str]] = []
    for first, *others in list(groups.values())[:2]:
        subject, said = split_subject(first.feature, first.summary)
        names = [cut(i.feature, 30) for i in others]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            said += f" The same for {', '.join(names[:3])}{more}."
        notes.append((subject, said))
    predictions = view.heat.features[: view.heat.pinned]
    if predictions and not view.open_features & set(predictions):
        notes.append(("", "The prediction has not moved."))
    return tuple(notes)


def _rank(view: View, incident: Incident) -> tuple[bool, float]:
    """Sort by severity, then by how far the last day is over its limit."""
    row = view.latest.get(incident.feature)
    ratio = row["ratio"] if row is not None else None
    return incident.severity != "critical", -float(ratio or 0.0)


def split_subject(feature: str, summary: str) -> tuple[str, str]:
    """Return (subject, rest of the sentence), so that the subject can be set in bold."""
    if feature and summary.startswith(feature):
        return cut(feature), cut(summary[len(feature) :].lstrip(": "), 400)
    return "", cut(summary, 400)


def _quiet_days(view: View) -> int:
    ends = [i.resolved_ms for i in view.incidents if i.resolved_ms is not None]
    if not view.days:
        return 0
    if not ends:
        return len(view.days)
    last = datetime.fromtimestamp(max(ends) / 1000, view.zone).date()
    return max(1, min(len(view.days), (view.days[-1] - last).days + 1))


def _closest(view: View) -> tuple[str, str] | None:
    judged = {name: row["ratio"] for name, row in view.latest.items() if row["ratio"] is not None}
    if not judged:
        return None
    name = max(judged, key=lambda n: float(judged[n]))
    found = evidence(view.latest[name])
    return cut(name), f"is closest to its limit: {found.word} {found.value} of {found.limit}."


def evidence(row: dict[str, Any]) -> Evidence:
    """Return the strongest evidence of a finding against its limit.

    For a rate that is the bound of its excess, because that is what is held against the limit.
    """
    name, ratio = row["evidence"], row["ratio"]
    if name is None or ratio is None:
        psi = two(row["psi"]) if row["psi"] is not None else ""
        return Evidence(VERDICTS.get(row["verdict"], row["verdict"]), psi, "", None)
    if name == "psi":
        return Evidence("PSI", two(row["psi"]), two(row["psi_limit"]), float(ratio))
    excess, limit, rate = row[f"{name}_excess"], row[f"{name}_limit"], row[name]
    if excess is not None and excess > 0:
        value = f"≥{NBSP}{percent(excess)}"
    elif excess is not None and ratio >= 1:
        value = f"{MINUS}{percent(abs(excess))}"
    else:
        value = percent(rate or 0.0)
    return Evidence(
        EVIDENCE.get(name, name), value, percent(limit) if limit is not None else "", float(ratio)
    )


def kpis(view: View, watermark_ms: int | None) -> tuple[Kpi, ...]:
    """Return the six figures under the verdict."""
    last = view.last_day
    return (
        _drifted(view),
        _prediction(view),
        _volume(view),
        _missing(view),
        _incidents(view),
        Kpi(
            "Judged to",
            moment(watermark_ms, view.zone) if watermark_ms is not None else DASH,
            "",
            f"{zone_name(view.zone)} time" + (f", {last.year}" if last else ""),
        ),
    )


def _drifted(view: View) -> Kpi:
    total = len(view.heat.features) - view.heat.pinned + view.heat.left_out
    if not view.days:
        return Kpi("Features drifted", DASH, "", "no window yet")
    now = [n for n in view.heat.features[view.heat.pinned :] if n in view.open_features]
    note = ", ".join(cut(name, 24) for name in now[:2]) or "none of them now"
    if len(now) > 2:
        note += f" and {len(now) - 2} more"
    return Kpi("Features drifted", str(len(now)), f"of {total}", note)


def _prediction(view: View) -> Kpi:
    rows = [
        view.latest[name]
        for name in view.heat.features[: view.heat.pinned]
        if name in view.latest and view.latest[name]["ratio"] is not None
    ]
    if not rows:
        return Kpi("Prediction", DASH, "", "not judged yet")
    worst = max(rows, key=lambda r: float(r["ratio"]))
    found = evidence(worst)
    moved = bool(view.open_features & set(view.heat.features[: view.heat.pinned]))
    is_over = worst["ratio"] >= 1
    return Kpi(
        "Prediction",
        ("Drift" if is_over else "Recovering") if moved else "Over once" if is_over else "No drift",
        "",
        f"{found.word} {found.value}, limit {found.limit}",
    )


def _volume(view: View) -> Kpi:
    if not view.days:
        return Kpi("Predictions a day", DASH, "", "no window yet")
    now = int(view.volume[-1])
    earlier = view.volume[-29:-1]
    earlier = earlier[earlier > 0]
    label = f"Predictions, {day_text(view.days[-1])}"
    if not len(earlier):
        return Kpi(label, short(now), "", "the first day")
    change = round((now / float(np.mean(earlier)) - 1) * 100)
    sign = "+" if change > 0 else MINUS if change < 0 else "±"
    span = "4 weeks" if len(earlier) >= 26 else plural(len(earlier), "day")
    return Kpi(label, short(now), "", f"{sign}{abs(change)}{NBSP}% on the {span} before")


def _missing(view: View) -> Kpi:
    rates = {n: r for n, r in view.latest.items() if r["missing"] is not None}
    if not rates:
        return Kpi("Missing values", DASH, "", "no window yet")

    # The one furthest over its limit; the highest rate where all are usual.
    def rank(name: str) -> tuple[bool, float]:
        return "missing" in rates[name]["exceeds"], float(rates[name]["missing"])

    name = max(rates, key=rank)
    usual = "over its limit" if rank(name)[0] else "as usual"
    return Kpi("Missing values", percent(rates[name]["missing"]), "", f"{cut(name, 24)}, {usual}")


def _incidents(view: View) -> Kpi:
    firing = len(view.firing)
    total = len(view.incidents) + view.older_incidents
    segments = len(view.in_segments)
    if firing:
        more = f"{segments} more in segments" if segments else f"{total} in all"
        note = f"since {_since(view)}; {more}" if view.since else more
        return Kpi("Incidents", str(firing), "firing", note)
    if segments:
        return Kpi("Incidents", "0", "firing", f"{segments} in segments; {total} in all")
    ends = [i.resolved_ms for i in view.incidents if i.resolved_ms is not None]
    if not ends:
        return Kpi("Incidents", "0", "firing", "none so far")
    last = datetime.fromtimestamp(max(ends) / 1000, view.zone).date()
    return Kpi("Incidents", "0", "firing", f"the last ended {day_text(last)}; {total} in all")


def lasted(opened_ms: int, resolved_ms: int | None, data_to_ms: int | None) -> str:
    """Return how long an incident lasted, or has lasted by the data's own clock."""
    end = resolved_ms if resolved_ms is not None else data_to_ms
    return duration(end - opened_ms) if end is not None and end >= opened_ms else DASH


def gap_sentence(topic: str, partition: int, kind: str, first: int, end: int) -> str:
    """Return what a data gap lost."""
    return (
        f"{plural(end - first, 'record')} lost by {kind} "
        f"({cut(topic)} {partition}, offsets {whole(first)}{DASH}{whole(end - 1)})."
    )


def year_of(ms: int | None) -> int | None:
    """Return the year of an instant, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).year if ms is not None else None
