"""What the page shows, as one value read in one look at the database.

SQL rows in, a `View` out; figures and parts only draw it. Days are days of the
model's own time zone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from driftline.events import PREDICTION, SCORE, SCORES_PREFIX
from monitor.storage import reads
from monitor.storage.rows import OPEN_STATES, Cell, Incident, Model, ReferenceRow, Version, Window

# Where a square of the heatmap comes from; the index is its code.
SOURCES = ("psi", "missing", "unseen", "type_error", "out_of_range", "blind")
NO_DATA = -1
MAX_FEATURES = 40
MAX_PINNED = 6
MAX_INCIDENTS = 40


@dataclass(frozen=True)
class ModelLine:
    """A model in the list of models."""

    name: str
    version: str
    health: str


@dataclass(frozen=True)
class Heat:
    """Features by days, worst first; arrays are [features, days]."""

    features: tuple[str, ...]
    pinned: int  # how many of them are predictions
    ratio: NDArray[np.float32]  # evidence over limit, NaN where there is none
    source: NDArray[np.int8]  # index into SOURCES, NO_DATA
    alarm: NDArray[np.bool_]
    left_out: int = 0


@dataclass(frozen=True)
class View:
    """One model version over a range of days."""

    models: tuple[ModelLine, ...]
    model: Model
    version: Version
    reference: ReferenceRow | None
    health: str
    zone: ZoneInfo
    days: tuple[date, ...]
    volume: NDArray[np.int64]  # [days], 0 where there is no window
    incomplete: dict[date, tuple[str, ...]]
    heat: Heat
    latest: dict[str, dict[str, Any]]  # findings of the last day, by feature
    drifted: NDArray[np.int64]  # [days], features (no predictions) with an incident on that day
    incidents: tuple[Incident, ...]  # told, of segment all, newest first
    older_incidents: int
    in_segments: tuple[Incident, ...] = ()  # open and not muted, of the segments, worst first
    since: datetime | None = field(default=None)  # of the oldest open incident

    @property
    def firing(self) -> tuple[Incident, ...]:
        """Open incidents of segment all, the worst first."""
        return tuple(sorted((i for i in self.incidents if i.is_open), key=_badness))

    @property
    def last_day(self) -> date | None:
        """The last judged day."""
        return self.days[-1] if self.days else None

    @property
    def open_features(self) -> frozenset[str]:
        """Features, predictions too, with an open incident, whatever window length opened it."""
        return frozenset(i.feature for i in self.incidents if i.is_open)


def lines(models: list[Model], open_ones: list[Incident], judged: set[int]) -> list[ModelLine]:
    """Return the models' newest versions with their health, the worst first."""
    found = [
        ModelLine(
            model.name,
            model.versions[0].name,
            reads.health(
                [i for i in open_ones if i.version_id == model.versions[0].id],
                is_judged=model.versions[0].id in judged,
            ),
        )
        for model in models
        if model.versions
    ]
    order = ("silent", "schema_broken", "critical", "drifting", "collecting", "healthy")
    return sorted(found, key=lambda line: (order.index(line.health), line.name))


def load(
    conn: Connection, *, model: str | None, version: str | None, days: int | None
) -> View | None:
    """Read the page of a model (the worst one unless it is named), or None when there is none.

    A model or version that does not exist falls back in the same way.
    """
    all_models = reads.models(conn)
    open_ones = reads.incidents(conn, states=OPEN_STATES)
    listed = lines(all_models, open_ones, reads.judged(conn))
    if not listed:
        return None
    names = {line.name for line in listed}
    # A model that has nothing to show yet is not what a page opens with.
    first = next((line for line in listed if line.health != "collecting"), listed[0])
    chosen_name = model if model in names else first.name
    chosen = next(m for m in all_models if m.name == chosen_name)
    picked = next((v for v in chosen.versions if v.name == version), chosen.versions[0])
    zone = ZoneInfo(chosen.timezone)

    windows = reads.windows(conn, picked.id, length="day", segment="all")
    if days is not None and windows:
        # By date, not by count: one late event of last year has a window of its own.
        since = local_day(windows[-1].start_ms, zone) - timedelta(days=days - 1)
        windows = [w for w in windows if local_day(w.start_ms, zone) >= since]
    span, volume, incomplete = _calendar(windows, zone)
    if span:
        first_ms, last_ms = windows[0].start_ms, windows[-1].start_ms
        cells = reads.cells(
            conn, picked.id, length="day", segment="all", from_ms=first_ms, to_ms=last_ms + 1
        )
        latest = {
            row["feature"]: row
            for row in reads.findings(
                conn, picked.id, length="day", from_ms=last_ms, to_ms=last_ms + 1
            )
        }
    else:
        cells, latest = [], {}
    incidents = [
        i for i in reads.incidents(conn, version_ids=[picked.id], segment="all") if not i.muted
    ]
    digest = picked.bindings[-1].reference_digest if picked.bindings else None
    bound = reads.references(conn, digest=digest) if digest else []
    standing = [i.opened_ms for i in incidents if i.is_open]
    in_segments = [
        i for i in open_ones if i.version_id == picked.id and i.segment != "all" and not i.muted
    ]
    # What is open is never what is left out for want of room.
    told = sorted(incidents, key=lambda i: not i.is_open)[:MAX_INCIDENTS]
    return View(
        models=tuple(listed),
        model=chosen,
        version=picked,
        reference=bound[0] if bound else None,
        health=reads.health(incidents, is_judged=bool(span)),
        zone=zone,
        days=span,
        volume=volume,
        incomplete=incomplete,
        heat=heat(cells, span, zone, {i.feature for i in incidents if i.is_open}),
        latest=latest,
        drifted=_drifted(incidents, span, zone),
        incidents=tuple(told),
        older_incidents=max(0, len(incidents) - MAX_INCIDENTS),
        in_segments=tuple(sorted(in_segments, key=_badness)),
        since=datetime.fromtimestamp(min(standing) / 1000, zone) if standing else None,
    )


def _badness(incident: Incident) -> tuple[bool, int]:
    return incident.severity != "critical", -incident.opened_ms


def is_prediction(name: str) -> bool:
    """Whether a flat name holds what the model said; such rows are pinned above its features."""
    return name in (PREDICTION, SCORE) or name.startswith(SCORES_PREFIX)


def local_day(ms: int, zone: ZoneInfo) -> date:
    """Return the day of an instant in `zone`."""
    return datetime.fromtimestamp(ms / 1000, zone).date()


def _calendar(
    windows: list[Window], zone: ZoneInfo
) -> tuple[tuple[date, ...], NDArray[np.int64], dict[date, tuple[str, ...]]]:
    if not windows:
        return (), np.zeros(0, dtype=np.int64), {}
    first, last = local_day(windows[0].start_ms, zone), local_day(windows[-1].start_ms, zone)
    span = tuple(first + timedelta(days=n) for n in range((last - first).days + 1))
    volume = np.zeros(len(span), dtype=np.int64)
    incomplete = {}
    for window in windows:
        day = local_day(window.start_ms, zone)
        volume[(day - first).days] = window.rows
        if window.incomplete:
            incomplete[day] = window.incomplete
    return span, volume, incomplete


def _drifted(
    incidents: list[Incident], span: tuple[date, ...], zone: ZoneInfo
) -> NDArray[np.int64]:
    """Count, by day, the features that an incident stood on."""
    on: dict[str, NDArray[np.bool_]] = {}
    for incident in incidents:
        if not span or is_prediction(incident.feature):
            continue
        days = on.setdefault(incident.feature, np.zeros(len(span), dtype=np.bool_))
        for start_ms, end_ms in incident.spans():
            first = (local_day(start_ms, zone) - span[0]).days
            # The instant of midnight belongs to the day before.
            last = len(span) if end_ms is None else (local_day(end_ms - 1, zone) - span[0]).days + 1
            days[max(0, first) : max(0, last)] = True
    counts = sum((days.astype(np.int64) for days in on.values()), np.zeros(len(span), np.int64))
    return np.asarray(counts, dtype=np.int64)


def heat(
    cells: list[Cell], span: tuple[date, ...], zone: ZoneInfo, open_features: set[str]
) -> Heat:
    """Return the matrix, predictions pinned on top and the worst features first below.

    Worst means: an incident stands, by how far; then by everything over its limit in the range.
    """
    names = sorted({cell.feature for cell in cells})
    row_of = {name: n for n, name in enumerate(names)}
    shape = (len(names), len(span))
    ratio = np.full(shape, np.nan, dtype=np.float32)
    source = np.full(shape, NO_DATA, dtype=np.int8)
    alarm = np.zeros(shape, dtype=np.bool_)
    column_of = {
        start: (local_day(start, zone) - span[0]).days for start in {c.start_ms for c in cells}
    }
    for cell in cells:
        at = row_of[cell.feature], column_of[cell.start_ms]
        alarm[at] = cell.is_alarming
        if cell.ratio is not None and cell.evidence in SOURCES:
            ratio[at] = cell.ratio
            source[at] = SOURCES.index(cell.evidence)
        elif cell.verdict == "blind":
            source[at] = SOURCES.index("blind")

    def badness(n: int) -> tuple[float, ...]:
        over = np.nan_to_num(ratio[n])
        stands = names[n] in open_features
        now = float(over[-1]) if stands else 0.0
        return (
            -stands,
            -now,
            -float(np.clip(over[over >= 1], 0, 8).sum()),
            -float(over.max(initial=0)),
        )

    # Sorted by name: the prediction, its score, the scores of its classes.
    pinned = [name for name in names if is_prediction(name)][:MAX_PINNED]
    rest = sorted(
        (name for name in names if not is_prediction(name)), key=lambda n: (badness(row_of[n]), n)
    )
    shown = (*pinned, *rest[: MAX_FEATURES - len(pinned)])
    order = [row_of[name] for name in shown]
    return Heat(
        features=shown,
        pinned=len(pinned),
        ratio=ratio[order],
        source=source[order],
        alarm=alarm[order],
        left_out=len(names) - len(shown),
    )
