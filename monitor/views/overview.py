"""The list of models: is anything wrong, and where; and what changed since somebody looked.

Two dozen statements at most, whether there is one model or five hundred: all of
them are asked of all versions at once. Health and order are the other pages'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.engine import Connection

from driftline.stats.lengths import DEFAULT_LENGTHS
from monitor.detect.evidence import ratio_of
from monitor.detect.spec import MonitorSpec
from monitor.storage import reads
from monitor.storage.rows import (
    Deficit,
    FirstPanes,
    Incident,
    IncidentEvent,
    Model,
    ModelWindow,
    Position,
    RecentWindow,
    ReferenceRow,
    Version,
)
from monitor.views.episodes import Group, evidence_of, group, is_prediction
from monitor.windows.calendar import DAY_MS, LENGTHS, window_of
from monitor.windows.panes import pane_ms_of

DAYS = 28
# The oldest of the 28 days may have begun 29 before now, and its clock may have changed.
SPAN_MS = (DAYS + 2) * DAY_MS
# What is news to a browser that was never here.
NEWS_MS = 7 * DAY_MS
# The word of a model whose records nothing can be compared with.
UNREFERENCED = "unreferenced"
# Worst first. One that collects may be about to tell something; one that is well is not.
ORDER = ("silent", "schema_broken", "critical", "drifting", UNREFERENCED, "collecting", "healthy")
# What makes a person get up, and what is worth a look by day.
URGENT = ("silent", "schema_broken", "critical")
ATTENTION = (*URGENT, "drifting", UNREFERENCED)


@dataclass(frozen=True)
class First:
    """The first window of a version of which nothing is judged yet.

    `due_ms` is when it is judged if events keep coming; `full` is how much of its time has
    passed, by the newest event.
    """

    start_ms: int
    end_ms: int
    due_ms: int
    length: str
    full: float
    rows: int


@dataclass(frozen=True)
class Line:
    """One model in the list, by its newest version.

    Attributes
    ----------
    version
        None where the model is only known from records without a reference.
    days, volume, drifted
        Up to 28 local days, oldest first, that end with the last one judged; predictions and
        features with an incident on each.
    usual
        Predictions on an average day of those before the last, without the days that had none.
    features
        How many are judged, predictions not counted; `moved` of them have an incident now.
    whole
        The verdict on the whole model in the last judged window; None before the first.
    worst
        The finding of the last judged window that is furthest over its limit (or closest to it).
    standing
        Open incidents over all rows, worst first.
    since_ms, quiet_since_ms
        When the oldest of those opened; where there is none, when the last one ended.
    in_segments
        How many more stand in segments only.
    """

    name: str
    health: str
    version: Version | None
    description: str | None
    owner: str | None
    zone: ZoneInfo
    days: tuple[date, ...] = ()
    volume: tuple[int, ...] = ()
    drifted: tuple[int, ...] = ()
    features: int = 0
    moved: int = 0
    whole: ModelWindow | None = None
    worst: Mapping[str, Any] | None = None
    standing: tuple[Incident, ...] = ()
    since_ms: int | None = None
    quiet_since_ms: int | None = None
    in_segments: int = 0
    first: First | None = None
    reference: ReferenceRow | None = None
    deficits: tuple[Deficit, ...] = ()

    @property
    def usual(self) -> float | None:
        """Return the average of the days before the last, None where there are none."""
        earlier = [rows for rows in self.volume[:-1] if rows]
        return sum(earlier) / len(earlier) if earlier else None

    @property
    def judged_to_ms(self) -> int | None:
        """Return the event time to which it is judged."""
        return self.version.watermark_ms if self.version else None


@dataclass(frozen=True)
class News:
    """What happened at one time to one group: an event's word, and to which members."""

    at_ms: int
    event: str
    group: Group
    members: tuple[Incident, ...]


@dataclass(frozen=True)
class Judged:
    """Days that were judged: the first and the last of them, of how many models."""

    at_ms: int
    first: date
    last: date
    days: int
    models: int


@dataclass(frozen=True)
class Pipe:
    """The pipeline in numbers, for one sentence."""

    positions: tuple[Position, ...]
    counted: int
    dead: int
    gaps: int
    deficits: tuple[Deficit, ...]


@dataclass(frozen=True)
class Overview:
    """The page.

    Attributes
    ----------
    lines
        The models, worst first.
    groups
        What stands, newest first.
    news, judged
        What happened after `since_ms`, newest first.
    is_visit
        Whether `since_ms` is when somebody looked; else it counts back from the data.
    """

    lines: tuple[Line, ...]
    groups: tuple[Group, ...]
    features: Mapping[int, int]
    news: tuple[News, ...]
    judged: Judged | None
    since_ms: int | None
    is_visit: bool
    pipe: Pipe
    judged_to_ms: int | None
    zones: Mapping[str, str] = field(default_factory=dict)


def overview(conn: Connection, *, last_visit_ms: int | None = None) -> Overview:
    """Read the list of models and what is news.

    `last_visit_ms` (wall clock) is when somebody looked last; without it, what happened in
    the last seven days of data is news.
    """
    models = [model for model in reads.models(conn) if model.versions]
    newest = {model.versions[0].id: model for model in models}
    incidents = reads.incidents(conn)
    groups = group(incidents)
    deficits = reads.deficits(conn)
    lines, windows = _lines(conn, models, incidents, deficits)
    marks = [v.watermark_ms for m in models for v in m.versions if v.watermark_ms is not None]
    judged_to_ms = max(marks, default=None)
    after_ms = judged_to_ms - NEWS_MS if judged_to_ms is not None else None
    since_ms = last_visit_ms if last_visit_ms is not None else after_ms
    events = (
        reads.latest_events(conn, recorded_after_ms=last_visit_ms)
        if last_visit_ms is not None
        else reads.latest_events(conn, at_after_ms=after_ms)
        if after_ms is not None
        else []
    )
    counts = reads.outcomes(conn)
    return Overview(
        lines=tuple(lines),
        groups=tuple(found for found in groups if found.is_open and not found.is_muted),
        features={line.version.id: line.features for line in lines if line.version},
        news=tuple(_news(events, groups)),
        judged=_judged(windows, newest, after_ms, last_visit_ms),
        since_ms=since_ms,
        is_visit=last_visit_ms is not None,
        pipe=Pipe(
            positions=tuple(reads.positions(conn)),
            counted=sum(counts.get(name, 0) for name in ("prediction", "label", "unmonitored")),
            dead=sum(reads.dead_reasons(counts).values()),
            gaps=len(reads.gaps(conn)),
            deficits=tuple(deficits),
        ),
        judged_to_ms=judged_to_ms,
        zones={model.name: model.timezone for model in models},
    )


def _lines(
    conn: Connection,
    models: Sequence[Model],
    incidents: Sequence[Incident],
    deficits: Sequence[Deficit],
) -> tuple[list[Line], list[RecentWindow]]:
    ids = [model.versions[0].id for model in models]
    stored = reads.monitors(conn)
    specs = {
        model.id: MonitorSpec.from_json(stored[model.id]) if model.id in stored else MonitorSpec()
        for model in models
    }
    lengths = {model.versions[0].id: _length(specs[model.id]) for model in models}
    asked = set(lengths.values()) or {"day"}
    windows = reads.recent_windows(conn, ids, lengths=asked, span_ms=SPAN_MS)
    by_version: dict[int, list[RecentWindow]] = {}
    for window in windows:
        if window.length == lengths[window.version_id]:
            by_version.setdefault(window.version_id, []).append(window)
    findings: dict[int, list[dict[str, Any]]] = {}
    for row in reads.latest_findings(conn, ids, lengths=asked):
        if row["length"] == lengths[row["version_id"]]:
            findings.setdefault(row["version_id"], []).append(row)
    verdicts = reads.latest_model_windows(conn, ids, lengths=asked)
    judged = reads.ever_judged(conn, ids)
    panes = reads.first_panes(conn, [version_id for version_id in ids if version_id not in judged])
    references = {reference.digest: reference for reference in reads.references(conn)}
    mine: dict[int, list[Incident]] = {}
    for incident in incidents:
        mine.setdefault(incident.version_id, []).append(incident)
    waiting: dict[str, list[Deficit]] = {}
    for deficit in deficits:
        waiting.setdefault(deficit.model, []).append(deficit)
    lines = []
    for model in models:
        version = model.versions[0]
        bound = version.bindings[-1].reference_digest if version.bindings else None
        known = {v.name for v in model.versions if v.bindings}
        lines.append(
            _line(
                model,
                mine.get(version.id, []),
                by_version.get(version.id, []),
                findings.get(version.id, []),
                whole=verdicts.get((version.id, lengths[version.id])),
                first=_first(version, specs[model.id], panes.get(version.id)),
                reference=references.get(bound or ""),
                is_judged=version.id in judged,
                deficits=[d for d in waiting.get(model.name, ()) if d.version not in known],
            )
        )
    registered = {model.name for model in models}
    lines += [
        Line(
            name=name,
            health=UNREFERENCED,
            version=None,
            description=None,
            owner=None,
            zone=ZoneInfo("UTC"),
            deficits=tuple(found),
        )
        for name, found in waiting.items()
        if name not in registered
    ]
    return sorted(lines, key=lambda line: (ORDER.index(line.health), line.name)), windows


def _length(spec: MonitorSpec) -> str:
    """Return the length that a list shows: days, or what the monitor has instead."""
    return "day" if "day" in spec.lengths or not spec.lengths else spec.lengths[0]


def _line(
    model: Model,
    incidents: Sequence[Incident],
    windows: Sequence[RecentWindow],
    findings: Sequence[dict[str, Any]],
    *,
    whole: ModelWindow | None,
    first: First | None,
    reference: ReferenceRow | None,
    is_judged: bool,
    deficits: Sequence[Deficit],
) -> Line:
    version, zone = model.versions[0], ZoneInfo(model.timezone)
    told = [i for i in incidents if i.segment == "all" and not i.muted]
    health = reads.health(told, is_judged=is_judged)
    if deficits and health in ("collecting", "healthy"):
        health = UNREFERENCED
    latest = {row["feature"]: row for row in findings}
    standing = sorted((i for i in told if i.is_open), key=lambda i: _badness(i, latest))
    days = _days(version, windows, zone)
    ends = [i.resolved_ms for i in told if i.resolved_ms is not None]
    over = [row for row in findings if row["ratio"] is not None]
    return Line(
        name=model.name,
        health=health,
        version=version,
        description=model.description,
        owner=model.owner,
        zone=zone,
        days=days,
        volume=_volume(windows, days, zone),
        drifted=_drifted(told, days, zone),
        features=sum(not is_prediction(name) for name in latest),
        moved=len({i.feature for i in standing if i.feature and not is_prediction(i.feature)}),
        whole=whole,
        worst=max(over, key=lambda row: float(row["ratio"]), default=None),
        standing=tuple(standing),
        since_ms=min((i.opened_ms for i in standing), default=None),
        quiet_since_ms=max(ends, default=None) if not standing else None,
        in_segments=sum(i.is_open and i.segment != "all" and not i.muted for i in incidents),
        first=first,
        reference=reference,
        deficits=tuple(deficits),
    )


def _badness(incident: Incident, latest: Mapping[str, dict[str, Any]]) -> tuple[Any, ...]:
    """Sort by severity, then by how far the last window is over its limit."""
    row = latest.get(incident.feature)
    now = float(row["ratio"] or 0.0) if row is not None else 0.0
    at_worst = ratio_of(evidence_of(incident))
    return incident.severity != "critical", -max(now, 0.0), -at_worst, incident.number


def _days(version: Version, windows: Sequence[RecentWindow], zone: ZoneInfo) -> tuple[date, ...]:
    """Return the last local days that are over, silent ones too, not before the first window."""
    if not windows or version.watermark_ms is None:
        return ()
    last = max(
        _day(windows[-1].start_ms, zone), _day(version.watermark_ms, zone) - timedelta(days=1)
    )
    first = max(_day(windows[0].start_ms, zone), last - timedelta(days=DAYS - 1))
    return tuple(first + timedelta(days=n) for n in range((last - first).days + 1))


def _day(ms: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(ms / 1000, zone).date()


def _volume(
    windows: Sequence[RecentWindow], days: Sequence[date], zone: ZoneInfo
) -> tuple[int, ...]:
    rows = dict.fromkeys(days, 0)
    for window in windows:
        day = _day(window.start_ms, zone)
        if day in rows:
            rows[day] += window.rows
    return tuple(rows.values())


def _drifted(
    incidents: Iterable[Incident], days: Sequence[date], zone: ZoneInfo
) -> tuple[int, ...]:
    """Count, by day, the features that an incident stood on."""
    if not days:
        return ()
    on: dict[str, set[int]] = {}
    for incident in incidents:
        if not incident.feature or is_prediction(incident.feature):
            continue
        for start_ms, end_ms in incident.spans():
            first = max(0, (_day(start_ms, zone) - days[0]).days)
            # The instant of midnight belongs to the day before.
            last = len(days) - 1 if end_ms is None else (_day(end_ms - 1, zone) - days[0]).days
            on.setdefault(incident.feature, set()).update(
                range(first, min(last, len(days) - 1) + 1)
            )
    counts = [0] * len(days)
    for found in on.values():
        for n in found:
            counts[n] += 1
    return tuple(counts)


def _first(version: Version, spec: MonitorSpec, panes: FirstPanes | None) -> First | None:
    """Return the window that will be judged first: the shortest that holds the first pane."""
    if panes is None:
        return None
    length = min(spec.lengths or DEFAULT_LENGTHS, key=LENGTHS.index)
    newest_ms = panes.last_ms + pane_ms_of(version.timezone)
    start_ms, end_ms = window_of(panes.first_ms, length, version.timezone)
    return First(
        start_ms=start_ms,
        end_ms=end_ms,
        due_ms=end_ms + spec.lateness_ms,
        length=length,
        full=min(1.0, max(0.0, (newest_ms - start_ms) / (end_ms - start_ms))),
        rows=panes.rows,
    )


def _news(events: Sequence[tuple[int, IncidentEvent]], groups: Sequence[Group]) -> list[News]:
    """Return events by what happened when to which group; muted members are not news."""
    home = {member.number: found for found in groups for member in found.members}
    member_of = {member.number: member for found in groups for member in found.members}
    together: dict[tuple[int, str, int], list[Incident]] = {}
    for number, event in events:
        member = member_of.get(number)
        if member is None or member.muted:
            continue
        key = (event.at_ms, event.event, home[number].number)
        members = together.setdefault(key, [])
        if member not in members:
            members.append(member)
    by_number = {found.number: found for found in groups}
    found = [
        News(at_ms, event, by_number[number], tuple(sorted(members, key=_place)))
        for (at_ms, event, number), members in together.items()
    ]
    return sorted(found, key=lambda news: (-news.at_ms, -news.group.number, news.event))


def _place(incident: Incident) -> tuple[bool, float, int]:
    return incident.segment != "all", -ratio_of(evidence_of(incident)), incident.number


def _judged(
    windows: Sequence[RecentWindow],
    newest: Mapping[int, Model],
    after_ms: int | None,
    last_visit_ms: int | None,
) -> Judged | None:
    """Return the days whose judging is news, all in one."""
    fresh = [
        w
        for w in windows
        if w.length == "day"
        and (
            w.judged_ms > last_visit_ms
            if last_visit_ms is not None
            else after_ms is not None and w.end_ms > after_ms
        )
    ]
    if not fresh:
        return None
    days = {_day(w.start_ms, ZoneInfo(newest[w.version_id].timezone)) for w in fresh}
    return Judged(
        at_ms=max(w.end_ms for w in fresh),
        first=min(days),
        last=max(days),
        days=len(days),
        models=len({w.version_id for w in fresh}),
    )
