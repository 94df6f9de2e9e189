"""What moved, and when: everything that one version of a model was judged by in a scope.

Two steps: `timeline` reads what was judged, and `monitor.views.heat.arranged` picks the
rows of its heatmap: another order, page or search asks nothing of the database. Columns
are the scope's windows; where there would be too many of them, local days or weeks with
the worst of their windows. No pane is read but of the window that is not over yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from driftline.stats.calibration import MIN_SLICES, from_reference
from driftline.stats.measures import MEASURES
from driftline.stats.reference import Reference
from monitor.storage import reads
from monitor.storage.rollup import VERDICTS
from monitor.storage.rows import Incident, ModelWindow, ReferenceRow
from monitor.views.episodes import Group, group
from monitor.views.heat import BLIND, NO_DATA, SOURCES, Squares, empty, is_prediction
from monitor.views.scope import ALL, Scope
from monitor.windows.calendar import DAY_MS, window_of

# More columns than a page has pixels for.
MAX_COLUMNS: Final = 400
# Hours of a longer range are shown by the day.
HOURS_UP_TO_MS: Final = 14 * DAY_MS
_COARSER: Final = {"hour": "day", "day": "week"}


@dataclass(frozen=True)
class Columns:
    """The squares of the time axis in order, without gaps between them.

    Attributes
    ----------
    unit
        What a column is: hour, day, week or 4weeks. Other than the scope's length where several
        windows share a column.
    starts, ends
        [columns] Epoch milliseconds.
    rows
        [columns] Predictions.
    windows
        [columns] How many windows were judged in it; 0 where there are no data.
    incomplete
        What the windows of a column lack, by column.
    revised
        [columns] Whether late events made one of its windows be judged again.
    """

    unit: str
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    rows: NDArray[np.int64]
    windows: NDArray[np.int64]
    incomplete: Mapping[int, tuple[str, ...]]
    revised: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.starts)

    def at(self, times: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the column that each instant lies in, -1 outside."""
        place = np.searchsorted(self.starts, times, side="right") - 1
        if not len(self):
            return place
        return np.where(times < self.ends[place], place, -1)


@dataclass(frozen=True)
class Lived:
    """A version under one reference: `[from_ms, to_ms)`.

    Times are those of the windows that were judged, of the scope's length and segment.
    """

    version: str
    version_id: int
    is_scoped: bool
    from_ms: int
    to_ms: int
    reference: ReferenceRow | None


@dataclass(frozen=True)
class Partial:
    """The first window that holds events and was not judged yet.

    Attributes
    ----------
    rows
        Counted so far.
    share
        How much of its span the watermark has passed, 0 to 1.
    watermark_ms
        Event time before which nothing more is expected; None before the first evaluation.
    closes_ms
        It is judged when an event of this time or later was read.
    """

    start_ms: int
    end_ms: int
    rows: int
    share: float
    watermark_ms: int | None
    closes_ms: int


@dataclass(frozen=True)
class Timeline:
    """One model version over a range of time.

    Attributes
    ----------
    health
        The word for the version as it is now, whatever the range.
    latest
        The findings of the newest window of the range that has any, by feature.
    latest_ms
        Its start; None where nothing was judged.
    drifted
        [columns] Features, no predictions, that an incident stood on.
    incidents
        Told, not muted, of the scope's version and segment, open in the range or now; newest first.
    elsewhere
        Open and not muted in other segments of the version, the worst first.
    groups
        The incidents as they are listed everywhere, of which any of these is a member.
    is_clipped
        The range is longer than a page can show: the columns are its end.
    calibration
        judged; collecting or uncalibrated where the length knows no natural wobble (yet);
        waiting before the first window.
    muted
        Open in the segment and told by others: those of all rows, or of a silent model.
    whole
        The verdict on the whole model in the newest window that has findings.
    """

    scope: Scope
    health: str
    columns: Columns
    squares: Squares
    evidence: str
    latest: Mapping[str, Mapping[str, Any]]
    latest_ms: int | None
    drifted: NDArray[np.int64]
    incidents: tuple[Incident, ...]
    elsewhere: tuple[Incident, ...]
    groups: tuple[Group, ...]
    lived: tuple[Lived, ...]
    partial: Partial | None
    is_clipped: bool
    calibration: str
    muted: tuple[Incident, ...] = ()
    whole: ModelWindow | None = None

    @property
    def standing(self) -> frozenset[str]:
        """Features, predictions too, with an open incident, whatever window length opened it."""
        return frozenset(i.feature for i in self.incidents if i.is_open)

    @property
    def firing(self) -> tuple[Incident, ...]:
        """Open incidents of the segment, the worst first."""
        return tuple(sorted((i for i in self.incidents if i.is_open), key=_badness))

    @cached_property
    def number_of(self) -> Mapping[int, int]:
        """The number that each incident's group goes by: the one that lists show."""
        return {i.number: one.number for one in self.groups for i in one.members}


def timeline(conn: Connection, scope: Scope, *, evidence: str = "worst") -> Timeline:
    """Read what was judged in `scope`; `evidence` is what the squares show, see `heat.EVIDENCE`."""
    version = scope.version
    every = reads.incidents(conn, version_ids=[version.id])
    standing = [i for i in every if i.is_open]
    incidents = tuple(
        i
        for i in every
        if i.segment == scope.segment and not i.muted and (i.is_open or _stood(i, scope))
    )
    elsewhere = [i for i in standing if i.segment != scope.segment and not i.muted]
    concerned = {i.number for i in (*incidents, *elsewhere)}
    judged = reads.volumes(
        conn, version.id, length=scope.length, segment=scope.segment,
        from_ms=scope.from_ms, to_ms=scope.to_ms,
    )  # fmt: skip
    columns, is_clipped = _columns(scope, judged)
    squares = _squares(conn, scope, columns, judged, evidence)
    latest_ms, latest = _latest(conn, scope, judged)
    return Timeline(
        scope=scope,
        health=reads.health(
            [*standing, *incidents] if scope.segment == ALL else standing,
            is_judged=scope.is_judged,
        ),
        columns=columns,
        squares=squares,
        evidence=evidence,
        latest=latest,
        latest_ms=latest_ms,
        drifted=_drifted(incidents, columns),
        incidents=incidents,
        elsewhere=tuple(sorted(elsewhere, key=_badness)),
        groups=tuple(
            one for one in group(every) if any(i.number in concerned for i in one.members)
        ),
        lived=_lived(conn, scope),
        partial=partial_of(conn, scope),
        is_clipped=is_clipped,
        calibration=_calibration(latest),
        muted=tuple(
            sorted((i for i in standing if i.segment == scope.segment and i.muted), key=_badness)
        ),
        whole=_whole(conn, scope, latest_ms),
    )


def _stood(incident: Incident, scope: Scope) -> bool:
    """Whether an incident stood in the range."""
    ended = incident.resolved_ms
    return incident.first_window_ms < scope.to_ms and (ended is None or ended > scope.from_ms)


def _badness(incident: Incident) -> tuple[bool, int]:
    return incident.severity != "critical", -incident.opened_ms


def importance(conn: Connection, scope: Scope) -> Mapping[str, float]:
    """Return what share of the model each feature is, where its reference says so."""
    reference = _document(conn, scope)
    return {} if reference is None else reference.importance


def windows_to_learn(conn: Connection, scope: Scope) -> int:
    """Return how many windows must be over before the first verdict on a distribution.

    0 where the reference taught the length its natural wobble already.
    """
    reference = _document(conn, scope)
    if reference is None or scope.segment not in reference.profiles:
        return 0

    def is_taught(length: str) -> bool:
        return _is_taught(_Lesson(reference.digest, scope.segment, length, reference))

    if is_taught(scope.length):
        return 0
    # Where no length knows any, windows are judged without (uncalibrated), and do not wait.
    return MIN_SLICES if any(map(is_taught, scope.lengths)) else 0


@dataclass(frozen=True)
class _Lesson:
    digest: str
    segment: str
    length: str
    reference: Reference = field(compare=False, repr=False)


@lru_cache(maxsize=256)
def _is_taught(lesson: _Lesson) -> bool:
    """Whether a reference's slices teach a length its wobble; references never change."""
    return from_reference(lesson.reference, lesson.segment, lesson.length) is not None


def _document(conn: Connection, scope: Scope) -> Reference | None:
    return reads.reference_document(conn, scope.reference.digest) if scope.reference else None


# -- the time axis ----------------------------------------------------------------------------


def _columns(scope: Scope, judged: Sequence[reads.Volume]) -> tuple[Columns, bool]:
    unit = scope.length
    if not judged:
        none = np.zeros(0, np.int64)
        return Columns(unit, none, none, none, none, {}, np.zeros(0, np.bool_)), False
    first_ms, last_ms = judged[0].start_ms, judged[-1].start_ms
    if unit == "hour" and judged[-1].end_ms - first_ms > HOURS_UP_TO_MS:
        unit = "day"
    edges = _edges(first_ms, last_ms, unit, scope.zone.key)
    while len(edges) > MAX_COLUMNS and unit in _COARSER:
        unit = _COARSER[unit]
        edges = _edges(first_ms, last_ms, unit, scope.zone.key)
    is_clipped = len(edges) > MAX_COLUMNS
    edges = edges[-MAX_COLUMNS:]
    starts, ends = (np.array(side, dtype=np.int64) for side in zip(*edges, strict=True))
    columns = Columns(
        unit, starts, ends, np.zeros(len(edges), np.int64), np.zeros(len(edges), np.int64), {},
        np.zeros(len(edges), np.bool_),
    )  # fmt: skip
    place = columns.at(np.array([window.start_ms for window in judged], dtype=np.int64))
    seen = place >= 0
    rows = np.array([window.rows for window in judged], dtype=np.int64)
    again = np.array([window.revision > 1 for window in judged], dtype=np.bool_)
    np.add.at(columns.rows, place[seen], rows[seen])
    np.add.at(columns.windows, place[seen], 1)
    np.logical_or.at(columns.revised, place[seen], again[seen])
    incomplete: dict[int, dict[str, None]] = {}
    for at, window in zip(place.tolist(), judged, strict=True):
        if at >= 0 and window.incomplete:
            incomplete.setdefault(at, {}).update(dict.fromkeys(window.incomplete))
    return (
        Columns(
            unit, starts, ends, columns.rows, columns.windows,
            {at: tuple(causes) for at, causes in sorted(incomplete.items())}, columns.revised,
        ),
        is_clipped,
    )  # fmt: skip


def _edges(first_ms: int, last_ms: int, unit: str, timezone: str) -> list[tuple[int, int]]:
    """Return (start, end) of the units from the one of `first_ms` to the one of `last_ms`."""
    edges = []
    # Hours may be too many to list; beyond the cap the next unit is taken anyway.
    at = window_of(first_ms, unit, timezone)
    edges.append((at.start_ms, at.end_ms))
    while at.end_ms <= last_ms:
        at = window_of(at.end_ms, unit, timezone)
        edges.append((at.start_ms, at.end_ms))
    return edges


# -- squares ----------------------------------------------------------------------------------


def _squares(
    conn: Connection,
    scope: Scope,
    columns: Columns,
    judged: Sequence[reads.Volume],
    evidence: str,
) -> Squares:
    if not len(columns):
        return empty(0)
    statistic = None if evidence == "worst" else evidence
    first_ms, end_ms = int(columns.starts[0]), int(columns.ends[-1])
    if scope.length == "hour" and columns.unit != "hour":
        # Whole days, as they are stored: the first may have begun before the range does.
        found = reads.day_squares(
            conn, scope.version.id, segment=scope.segment, from_ms=first_ms, to_ms=end_ms,
            statistic=statistic,
        )  # fmt: skip
    else:
        starts = [window.start_ms for window in judged if window.start_ms >= first_ms]
        found = reads.squares(
            conn, scope.version.id, length=scope.length, segment=scope.segment, starts=starts,
            statistic=statistic,
        )  # fmt: skip
    return _gathered(found, columns, statistic)


def _gathered(found: Sequence[reads.Square], columns: Columns, statistic: str | None) -> Squares:
    """Return the squares, of several in a column the worst."""
    if not found:
        return empty(len(columns))
    times, names, ratios, sources, verdicts, alarms = zip(*found, strict=True)
    features = tuple(sorted(set(names)))
    row_of = {name: n for n, name in enumerate(features)}
    code_of: dict[str | None, int] = {name: n for n, name in enumerate(SOURCES)}
    rank_of = {name: n for n, name in enumerate(VERDICTS)}
    row = np.array(list(map(row_of.__getitem__, names)), dtype=np.intp)
    column = columns.at(np.array(times, dtype=np.int64))
    ratio = np.array(ratios, dtype=np.float32)  # None becomes NaN
    if statistic is None:
        code_of |= {None: NO_DATA, "": NO_DATA}
        source = np.array(list(map(code_of.__getitem__, sources)), dtype=np.int8)
    else:
        source = np.full(len(found), code_of[statistic], dtype=np.int8)
    rank = np.array(list(map(rank_of.__getitem__, verdicts)), dtype=np.int8)
    alarm = np.array(alarms, dtype=np.bool_)
    source[np.isnan(ratio)] = NO_DATA

    shape = len(features), len(columns)
    out = Squares(
        features,
        np.full(shape, np.nan, np.float32),
        np.full(shape, NO_DATA, np.int8),
        np.full(shape, NO_DATA, np.int8),
        np.zeros(shape, np.bool_),
    )
    inside = column >= 0
    at = (row[inside], column[inside])
    np.maximum.at(out.verdict, at, rank[inside])
    np.logical_or.at(out.alarm, at, alarm[inside])
    # The worst is written last and stays.
    order = np.argsort(np.nan_to_num(ratio[inside], nan=-1.0), kind="stable")
    worst = (at[0][order], at[1][order])
    out.ratio[worst] = ratio[inside][order]
    out.source[worst] = source[inside][order]
    if statistic in (None, "psi"):
        # What cannot be judged is not calm; a rate that is over its limit there is told.
        calm = ~(out.ratio >= 1)
        blind = (out.verdict == BLIND) & (calm if statistic is None else True)
        out.source[blind] = SOURCES.index("blind")
        out.ratio[blind] = np.nan
    return out


def _latest(
    conn: Connection, scope: Scope, judged: Sequence[reads.Volume]
) -> tuple[int | None, dict[str, dict[str, Any]]]:
    """Return the newest window that has findings; most have, so a few are looked at together."""
    if not judged:
        return None, {}
    start_ms = reads.last_finding_ms(
        conn, scope.version.id, length=scope.length, segment=scope.segment,
        starts=[window.start_ms for window in judged[-200:]],
    )  # fmt: skip
    if start_ms is None:
        return None, {}
    rows = reads.findings(
        conn, scope.version.id, length=scope.length, segment=scope.segment,
        from_ms=start_ms, to_ms=start_ms + 1,
    )  # fmt: skip
    if {row["evidence"] for row in rows} & set(MEASURES):
        # A fixed limit of another distance is held: its value stands beside the findings.
        rows = reads.findings(
            conn, scope.version.id, length=scope.length, segment=scope.segment,
            from_ms=start_ms, to_ms=start_ms + 1, is_measured=True,
        )  # fmt: skip
    return start_ms, {row["feature"]: row for row in rows}


def _whole(conn: Connection, scope: Scope, start_ms: int | None) -> ModelWindow | None:
    if start_ms is None:
        return None
    found = reads.model_windows(
        conn, scope.version.id, length=scope.length, segment=scope.segment, from_ms=start_ms,
        to_ms=start_ms + 1,
    )  # fmt: skip
    return found[0] if found else None


def _calibration(latest: Mapping[str, Mapping[str, Any]]) -> str:
    if not latest:
        return "waiting"
    verdicts = {row["verdict"] for row in latest.values()}
    if "uncalibrated" in verdicts:
        return "uncalibrated"
    return "collecting" if "collecting" in verdicts else "judged"


def _drifted(incidents: Sequence[Incident], columns: Columns) -> NDArray[np.int64]:
    """Count, by column, the features that an incident stood on."""
    on: dict[str, NDArray[np.bool_]] = {}
    for incident in incidents:
        if is_prediction(incident.feature):
            continue
        flags = on.setdefault(incident.feature, np.zeros(len(columns), dtype=np.bool_))
        for start_ms, end_ms in incident.spans():
            until_ms = np.inf if end_ms is None else max(end_ms, start_ms + 1)
            flags |= (columns.ends > start_ms) & (columns.starts < until_ms)
    counts = sum(
        (flags.astype(np.int64) for flags in on.values()), np.zeros(len(columns), np.int64)
    )
    return np.asarray(counts, dtype=np.int64)


# -- versions, and what is not over yet --------------------------------------------------------


def _lived(conn: Connection, scope: Scope) -> tuple[Lived, ...]:
    """Return the versions of the model by the references that judged them, oldest first."""
    versions = scope.model.versions
    spans = reads.version_spans(
        conn, [v.id for v in versions], length=scope.length, segment=scope.segment
    )
    references = {row.digest: row for row in reads.references(conn)}
    found = []
    for version in versions:
        if version.id not in spans or not version.bindings:
            continue
        first_ms, last_ms = spans[version.id]
        for place, binding in enumerate(version.bindings):
            begin_ms = max(first_ms, binding.effective_from_ms if place else 0)
            later = version.bindings[place + 1 :]
            end_ms = min([last_ms, *(b.effective_from_ms for b in later)])
            if begin_ms >= end_ms:
                continue
            found.append(
                Lived(
                    version=version.name,
                    version_id=version.id,
                    is_scoped=version.id == scope.version.id,
                    from_ms=begin_ms,
                    to_ms=end_ms,
                    reference=references.get(binding.reference_digest),
                )
            )
    return tuple(sorted(found, key=lambda span: (span.from_ms, span.version_id)))


def partial_of(conn: Connection, scope: Scope) -> Partial | None:
    """Return what has been counted of the next window."""
    digest = scope.version.bindings[-1].reference_digest if scope.version.bindings else None
    if digest is None:
        return None
    panes = reads.pane_rows(
        conn, scope.version.id, digest, segment=scope.segment, from_ms=scope.last_ms or 0
    )
    if not panes:
        return None
    window = window_of(panes[0][0], scope.length, scope.zone.key)
    mark_ms = scope.version.watermark_ms
    passed_ms = 0 if mark_ms is None else mark_ms - window.start_ms
    return Partial(
        start_ms=window.start_ms,
        end_ms=window.end_ms,
        rows=sum(rows for start_ms, rows in panes if start_ms < window.end_ms),
        share=min(1.0, max(0.0, passed_ms / (window.end_ms - window.start_ms))),
        watermark_ms=mark_ms,
        closes_ms=window.end_ms + scope.lateness_ms,
    )
