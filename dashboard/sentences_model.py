"""The verdict on a model and the figures above its charts, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from dashboard.parts import Kpi, Verdict
from dashboard.sentences import evidence, split_subject
from dashboard.sentences_feature import window_words
from dashboard.sentences_series import percent0
from dashboard.words import (
    DASH,
    HEALTH,
    MINUS,
    NBSP,
    cut,
    day_text,
    moment,
    percent,
    plural,
    short,
    zone_name,
)
from driftline.stats.lengths import SPAN, WORDS
from monitor.storage.rows import Incident
from monitor.views.heat import is_prediction
from monitor.views.scope import ALL
from monitor.views.timeline import Timeline

_BEFORE = {"hour": 24, "day": 28, "week": 8, "4weeks": 6}
_BEFORE_WORDS = {
    "hour": "24 hours", "day": "4 weeks", "week": "8 weeks", "4weeks": "24 weeks",
}  # fmt: skip
TOLD = 2


def year_of(found: Timeline) -> int | None:
    """Return the year that dates are told without: that of the newest data in the range."""
    return _local(int(found.columns.ends[-1]) - 1, found).year if len(found.columns) else None


def predictions(found: Timeline) -> list[str]:
    """Return the flat names of what the model said."""
    return [name for name in found.latest if is_prediction(name)]


def n_features(found: Timeline) -> int:
    """Return how many features are judged, without predictions."""
    names = found.squares.features or tuple(found.latest)
    return sum(not is_prediction(name) for name in names)


def verdict(found: Timeline, first_verdict_ms: int | None = None) -> Verdict:
    """Return the sentence that answers "is it healthy?"."""
    health = found.health
    firing = found.firing
    if found.scope.segment != ALL:
        critical = any(i.severity == "critical" for i in firing)
        health = "critical" if critical else "drifting" if firing else "healthy"
        health = health if found.scope.is_judged else "collecting"
    icon, word, tone = HEALTH[health]
    if health == "collecting" or (not found.scope.is_judged and not firing):
        return _collecting(found, first_verdict_ms)
    if firing:
        return Verdict(icon, tone, f"{word}: {_what(found)}", _notes(found))
    if found.muted and found.scope.segment != ALL:
        return _muted(found)
    if health not in ("healthy", "collecting"):
        # What is open is not of this segment, or of what no feature has.
        return Verdict(icon, tone, f"{word}: see its open incidents.")
    quiet = _quiet(found)
    where = "" if found.scope.segment == ALL else f" of {cut(found.scope.segment, 60)}"
    closest = _closest(found)
    return Verdict(
        icon,
        tone,
        f"Healthy: none of {plural(n_features(found), 'feature')}{where} drifted {quiet}.",
        (closest,) if closest else (),
    )


def _collecting(found: Timeline, first_verdict_ms: int | None) -> Verdict:
    icon, _, tone = HEALTH["collecting"]
    length = found.scope.length
    reference = found.scope.reference
    if found.partial is None and not found.scope.is_judged:
        said = (
            "No event of it was read yet."
            if reference is not None
            else "It has no reference, so its events cannot be judged."
        )
        return Verdict(icon, tone, "Collecting: waiting for the first event.", (("", said),))
    due = first_verdict_ms
    if due is None and found.partial is not None:
        due = found.partial.closes_ms
    when = ""
    if due is not None:
        when = f" is due on {moment(due, UTC, year=year_of(found))}{NBSP}UTC of event time"
    else:
        when = f" comes when the first {WORDS[length][0]} is complete"
    notes = []
    if found.partial is not None:
        notes.append(("", f"{plural(found.partial.rows, 'row')} of its window were counted."))
    if reference is not None:
        notes.append(("", f"The reference has {plural(reference.rows, 'row')}."))
    return Verdict(icon, tone, f"Collecting: the first verdict{when}.", tuple(notes))


def _muted(found: Timeline) -> Verdict:
    """Return the verdict on a segment whose incidents are told by others."""
    names = list(dict.fromkeys(i.feature for i in found.muted))
    told = ", ".join(cut(name, 40) for name in names[:TOLD])
    if len(names) > TOLD:
        told += f" and {len(names) - TOLD} more"
    segment = cut(found.scope.segment, 60)
    if found.health == "silent":
        said = f"Muted while the model is silent: {told} of {segment} moved."
        when = "What stands when predictions come again is told then."
        return Verdict("bell-off", "warn", said, (("", when),))
    return Verdict(
        "bell-off",
        "warn",
        f"Muted: {told} of {segment} moved, as in all rows.",
        (
            (
                "",
                "The incident over all rows tells of it; the segment has no message of its own.",
            ),
        ),
    )


def _what(found: Timeline) -> str:
    firing = found.firing
    kinds = {i.kind for i in firing}
    since = f"since {_since(found)}"
    if "volume" in kinds:
        return f"no predictions {since}."
    if "schema" in kinds:
        return f"the events lack what the reference has, {since}."
    said_by_model = {i.feature for i in firing if is_prediction(i.feature)}
    moved = {i.feature for i in firing} - said_by_model
    total = max(n_features(found), len(moved))
    verb = "lack values" if kinds == {"missing"} else "moved"
    where = "" if found.scope.segment == ALL else f" of {cut(found.scope.segment, 40)}"
    said = f"{len(moved)} of {plural(total, 'feature')}{where} {verb} {since}"
    if said_by_model:
        return f"{said}, and the prediction itself." if moved else f"the prediction moved {since}."
    return f"{said}."


def _since(found: Timeline) -> str:
    """Return the day on which the oldest open incident was opened."""
    opened = [i.opened_ms for i in found.firing]
    return day_text(_local(min(opened), found).date(), year=year_of(found)) if opened else DASH


def _notes(found: Timeline) -> tuple[tuple[str, str], ...]:
    """Return the two worst incidents' sentences; what opened together is told together.

    A feature is told by the worst of its incidents only.
    """
    groups: dict[tuple[str, int], list[Incident]] = {}
    told: set[str] = set()
    for incident in sorted(found.firing, key=lambda i: _rank(found, i)):
        if incident.feature and incident.feature in told:
            continue
        told.add(incident.feature)
        groups.setdefault((incident.kind, incident.opened_ms), []).append(incident)
    notes: list[tuple[str, str]] = []
    for first, *others in list(groups.values())[:TOLD]:
        subject, said = split_subject(first.feature, first.summary)
        names = [cut(i.feature, 30) for i in others]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            said += f" The same for {', '.join(names[:3])}{more}."
        notes.append((subject, said))
    if predictions(found) and not any(is_prediction(name) for name in found.standing):
        notes.append(("", "The prediction has not moved."))
    return tuple(notes)


def _rank(found: Timeline, incident: Incident) -> tuple[bool, float]:
    """Sort by severity, then by how far the newest window is over its limit."""
    row = found.latest.get(incident.feature)
    ratio = row["ratio"] if row is not None else None
    return incident.severity != "critical", -float(ratio or 0.0)


def _quiet(found: Timeline) -> str:
    """Return since when nothing stands: since the last end, or over the whole range."""
    ends = [i.resolved_ms for i in found.incidents if i.resolved_ms is not None]
    if not len(found.columns):
        return "so far"
    last_ms = int(found.columns.ends[-1])
    begin = max([int(found.columns.starts[0]), *(end for end in ends if end <= last_ms)])
    days = max(1, round((last_ms - begin) / 86_400_000))
    return f"in the last {plural(days, 'day')}"


def _closest(found: Timeline) -> tuple[str, str] | None:
    judged = {n: row["ratio"] for n, row in found.latest.items() if row["ratio"] is not None}
    if not judged:
        return None
    name = max(judged, key=lambda n: float(judged[n]))
    said = evidence(found.latest[name])
    if float(judged[name]) > 1.0:
        what = f"{said.word} {said.value}, limit {said.limit}" if said.value else said.said
        return cut(name), f"is over its limit: {what}; twice in three windows is an incident."
    how = f"{said.word} {said.value} of {said.limit}" if said.value else said.said
    return cut(name), f"is closest to its limit: {how}."


def newest_words(found: Timeline) -> str:
    """Return the newest judged window by its date: what the values beside the rows are of."""
    if found.latest_ms is None:
        return ""
    return window_words(found.latest_ms, found.scope.length, found.scope.zone, year_of(found))


def kpis(found: Timeline, zone: ZoneInfo, retrained: Kpi | None = None) -> tuple[Kpi, ...]:
    """Return the six figures under the verdict; instants are told in `zone`.

    `retrained` is the last retraining; a model that nobody retrains has its incidents instead.
    """
    mark_ms = found.scope.version.watermark_ms
    mark = datetime.fromtimestamp(mark_ms / 1000, UTC).astimezone(zone) if mark_ms else None
    return (
        _drifted(found),
        _prediction(found),
        _volume(found),
        _missing(found),
        retrained or _incidents(found),
        Kpi(
            "Judged to",
            f"{day_text(mark.date())} {mark:%H:%M}" if mark is not None else DASH,
            "",
            f"{mark.year}, {zone_name(zone)} time" if mark is not None else "",
        ),
    )


def _drifted(found: Timeline) -> Kpi:
    if not len(found.columns):
        return Kpi("Features drifted", DASH, "", "no window yet")
    now = sorted(name for name in found.standing if name and not is_prediction(name))
    worst = sorted(now, key=lambda n: -float((found.latest.get(n) or {}).get("ratio") or 0))
    note = ", ".join(cut(name, 24) for name in worst[:2]) or "none of them now"
    if len(now) > 2:
        note += f" and {len(now) - 2} more"
    if now and found.whole is not None and found.whole.weighted is not None:
        note = f"{percent0(found.whole.weighted)} by importance: {note}"
    return Kpi("Features drifted", str(len(now)), f"of {n_features(found)}", note)


def _prediction(found: Timeline) -> Kpi:
    rows = [
        found.latest[name] for name in predictions(found) if found.latest[name]["ratio"] is not None
    ]
    if not rows:
        return Kpi("Prediction", DASH, "", "not judged yet")
    worst = max(rows, key=lambda r: float(r["ratio"]))
    said = evidence(worst)
    moved = any(is_prediction(name) for name in found.standing)
    is_over = worst["ratio"] >= 1
    return Kpi(
        "Prediction",
        ("Drift" if is_over else "Recovering") if moved else "Over once" if is_over else "No drift",
        "",
        said.said,
    )


def _volume(found: Timeline) -> Kpi:
    columns = found.columns
    if not len(columns):
        return Kpi("Predictions", DASH, "", "no window yet")
    unit = columns.unit
    year = year_of(found)
    label = f"Predictions, {window_words(int(columns.starts[-1]), unit, found.scope.zone, year)}"
    now = int(columns.rows[-1])
    earlier = columns.rows[-1 - _BEFORE[unit] : -1]
    earlier = earlier[columns.windows[-1 - _BEFORE[unit] : -1] > 0]
    if not len(earlier) or not earlier.mean():
        return Kpi(label, short(now), "", f"the first {unit}")
    change = round((now / float(np.mean(earlier)) - 1) * 100)
    sign = "+" if change > 0 else MINUS if change < 0 else "±"
    is_full = len(earlier) >= _BEFORE[unit] - 2
    span = _BEFORE_WORDS[unit] if is_full else plural(len(earlier), unit)
    return Kpi(label, short(now), "", f"{sign}{abs(change)}{NBSP}% on the {span} before")


def _missing(found: Timeline) -> Kpi:
    rates = {n: r for n, r in found.latest.items() if r["missing"] is not None}
    if not rates:
        return Kpi("Missing values", DASH, "", "no window yet")

    # The one furthest over its limit; the highest rate where all are usual.
    def rank(name: str) -> tuple[bool, float]:
        return "missing" in rates[name]["exceeds"].split(","), float(rates[name]["missing"])

    name = max(rates, key=rank)
    usual = "over its limit" if rank(name)[0] else "within its limit"
    return Kpi("Missing values", percent(rates[name]["missing"]), "", f"{cut(name, 24)}, {usual}")


def _incidents(found: Timeline) -> Kpi:
    """Count problems, as the list under the charts does: what came together is one."""
    groups = found.groups
    standing = [one for one in groups if one.is_open]
    if standing:
        here = [one for one in standing if any(i.segment == found.scope.segment for i in one.told)]
        only = len(standing) - len(here)
        where = "in segments" if found.scope.segment == ALL else "elsewhere"
        more = f"{only} only {where}" if only else f"{len(groups)} in this range"
        since = f"since {_since(found)}; " if found.firing else ""
        return Kpi("Incidents", str(len(standing)), "firing", f"{since}{more}")
    ends = [i.resolved_ms for i in found.incidents if i.resolved_ms is not None]
    if not ends:
        return Kpi("Incidents", "0", "firing", "none in this range")
    last = _local(max(ends), found).date()
    return Kpi("Incidents", "0", "firing", f"the last ended {day_text(last, year=year_of(found))}")


def calibration_words(found: Timeline, to_learn: int) -> tuple[str, str, str] | None:
    """Return (icon, title, sentence) where the length's limits do not know the natural wobble."""
    length = found.scope.length
    if found.calibration == "uncalibrated":
        return (
            "circle-dashed",
            f"Uncalibrated at {SPAN[length]}",
            "The reference is too short to show its natural wobble at this length: "
            "limits do not know it, so distributions give warnings only.",
        )
    if found.calibration == "collecting" and to_learn:
        seen = int((found.columns.windows > 0).sum()) if len(found.columns) else 0
        return (
            "hourglass",
            f"Learning the natural wobble of {SPAN[length]}",
            f"{min(seen, to_learn)} of {to_learn} windows collected; "
            "until then only rates are judged.",
        )
    return None


def _local(ms: int, found: Timeline) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(found.scope.zone)


def said(row: Mapping[str, Any] | None) -> tuple[str, str, str, str, bool]:
    """Return (word, value, limit, ratio, is near): the newest window of a row of the heatmap."""
    if row is None:
        return "no data", "", "", "", False
    found = evidence(row)
    near = found.ratio is not None and found.ratio >= 0.95
    if found.ratio is None or not near:
        return found.word, found.value, found.limit, "", False
    # Below the limit with two decimals: 0.97 must not read as 1.0.
    ratio = f"{found.ratio:.1f}×" if found.ratio >= 1 else f"{found.ratio:.2f}×"
    return found.word, found.value, found.limit, ratio, True
