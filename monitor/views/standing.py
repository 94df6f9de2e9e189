"""Why an incident still stands, and what ended one that does not.

An incident is open while one of its latches is. A latch holds until three windows of its
length in a row are clear; a window that is neither over its limit nor clear begins the
count again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.engine import Connection

from driftline.stats.calibration import RATES, Calibration, from_reference
from driftline.stats.evidence import CRITICAL_BEYOND, STATISTICS, Judge
from driftline.stats.judgement import Mark
from driftline.stats.reference import Reference
from driftline.stats.rule import FIXED, Rule
from driftline.stats.season import when
from monitor.detect.absent import ABSENT
from monitor.detect.fold import marks_from_text
from monitor.detect.kinds import KIND_OF
from monitor.detect.spec import Monitor
from monitor.storage import reads, registry
from monitor.storage.evaluation import live_calibrations
from monitor.storage.reads.standing import LastWindow, LatchRow, last_windows, latches_of
from monitor.storage.rows import Incident
from monitor.windows.calendar import NOMINAL_MS

# Windows that are shown of each: those that could end it, and the one before them.
SHOWN = 4
# Where that stands which is held against a limit, if not under the statistic's own name.
_COLUMNS = {name: f"{name}_excess" for name in RATES} | {"ks": "ks_low", ABSENT: "missing"}
MARKS = {Mark.CLEAR: "clear", Mark.BETWEEN: "between", Mark.EXCEEDS: "over"}


@dataclass(frozen=True)
class Seen:
    """One of the last windows.

    `held` is what its limit is held against: PSI, or the bound of a rate's excess over the
    reference (signed). `mark` is over, between, clear, or empty where it was not judged.
    """

    start_ms: int
    end_ms: int
    held: float | None
    mark: str


@dataclass(frozen=True)
class Hold:
    """A latch that keeps an incident open.

    Attributes
    ----------
    is_critical
        The critical limit's latch is open too.
    clear
        Clear windows in a row so far; the third ends it.
    limit
        What the last judged window was held against: PSI, or the excess of a rate.
    clears_below
        The PSI below which a window is clear; None where the reference does not tell, and for
        a rate, which is clear up to its limit.
    windows
        The newest ones, oldest first.
    is_fixed
        The user's own limit: the statistic itself is held against it, no excess.
    """

    incident: Incident
    statistic: str
    length: str
    is_critical: bool
    clear: int
    limit: float | None
    clears_below: float | None
    windows: tuple[Seen, ...]
    is_fixed: bool = False


@dataclass(frozen=True)
class Ended:
    """The latch that ended last: three clear windows, or nothing judged for too long."""

    statistic: str
    length: str
    is_expired: bool


@dataclass(frozen=True)
class Standing:
    """What keeps members open, the longest length last, and what ended them by (number, time)."""

    holds: tuple[Hold, ...]
    ended: Mapping[tuple[int, int], Ended]


NOTHING_KNOWN = Standing((), {})


def standing(conn: Connection, members: Sequence[Incident], timezone: str) -> Standing:
    """Read the latches behind incidents of one version."""
    members = [incident for incident in members if incident.feature]
    if not members:
        return NOTHING_KNOWN
    version_id = members[0].version_id
    rows = latches_of(conn, version_id, {i.feature for i in members}, {i.segment for i in members})
    by_key: dict[tuple[str, str, str], list[LatchRow]] = {}
    for row in rows:
        by_key.setdefault((row.segment, row.feature, KIND_OF[row.statistic]), []).append(row)
    ended: dict[tuple[int, int], Ended] = {}
    still: list[tuple[Incident, list[LatchRow]]] = []
    for incident in members:
        own = by_key.get((incident.segment, incident.feature, incident.kind), [])
        ends = {int(e[3]) for e in incident.episodes or () if e[3] is not None}
        for row in sorted(own, key=lambda row: NOMINAL_MS[row.length]):
            if row.closed_ms in ends:
                ended[incident.number, row.closed_ms] = Ended(
                    row.statistic, row.length, row.closed_as == "expired"
                )
        if incident.is_open:
            still.append((incident, [row for row in own if row.closed_ms is None]))
    return Standing(tuple(_holds(conn, version_id, still, timezone)), ended)


def _holds(
    conn: Connection,
    version_id: int,
    still: Sequence[tuple[Incident, list[LatchRow]]],
    timezone: str,
) -> list[Hold]:
    wanted: dict[tuple[str, str], set[str]] = {}
    for _, rows in still:
        for row in rows:
            wanted.setdefault((row.length, row.segment), set()).add(row.feature)
    windows = {
        key: last_windows(
            conn, version_id, length=key[0], segment=key[1], features=features, limit=SHOWN
        )
        for key, features in wanted.items()
    }
    clearing = _Clearing(conn, version_id, timezone)
    found = []
    for incident, rows in still:
        by_place: dict[tuple[str, str], list[LatchRow]] = {}
        for row in sorted(rows, key=lambda row: NOMINAL_MS[row.length]):
            by_place.setdefault((row.length, row.statistic), []).append(row)
        for (length, statistic), both in by_place.items():
            # The warning's latch is the last to go: its limit is the lower one.
            first = max(both, key=lambda row: row.level == "warning")
            last = windows[length, incident.segment]
            found.append(
                Hold(
                    incident,
                    statistic,
                    length,
                    is_critical=any(row.level == "critical" for row in both),
                    clear=first.clear_count,
                    limit=_limit(last, incident.feature, statistic, first.level),
                    clears_below=clearing.line(incident, length, last, first.level)
                    if statistic == "psi"
                    else None,
                    windows=tuple(
                        _seen(window, incident.feature, statistic, first.level) for window in last
                    ),
                    is_fixed=_is_fixed(last, incident.feature, statistic),
                )
            )
    return found


def _seen(window: LastWindow, feature: str, statistic: str, level: str) -> Seen:
    found = window.findings.get(feature)
    if found is None:
        return Seen(window.start_ms, window.end_ms, None, "")
    marks = marks_from_text(found["marks"] or "").get(statistic, (0, 0))
    mark = MARKS.get(marks[level == "critical"], "")
    held = found[_COLUMNS.get(statistic, statistic)] if mark else None
    return Seen(window.start_ms, window.end_ms, held, mark)


def _is_fixed(windows: Sequence[LastWindow], feature: str, statistic: str) -> bool:
    """Whether the newest judged window was held against a limit of the user's own.

    The excess of a rate is then the rate itself, which no interval's end is.
    """
    if statistic not in RATES:
        return statistic in FIXED and statistic not in STATISTICS
    found = [window.findings.get(feature) or {} for window in windows]
    judged = [each for each in found if each.get(f"{statistic}_excess") is not None]
    return bool(judged) and judged[-1][statistic] == judged[-1][f"{statistic}_excess"] != 0.0


def _limit(windows: Sequence[LastWindow], feature: str, statistic: str, level: str) -> float | None:
    """Return the limit of the newest window that was judged."""
    is_critical = level == "critical"
    for window in reversed(windows):
        found = window.findings.get(feature)
        if found is None:
            continue
        name = "psi_critical" if statistic == "psi" and is_critical else f"{statistic}_limit"
        # A limit of the user's own stands in the monitor, beside no finding.
        if found.get(name) is not None:
            beyond = CRITICAL_BEYOND if is_critical and statistic != "psi" else 0.0
            return float(found[name]) + beyond
    return None


class _Clearing:
    """The PSI below which a window is clear, as the evaluator computes it."""

    def __init__(self, conn: Connection, version_id: int, timezone: str) -> None:
        self._conn = conn
        self._version_id = version_id
        self._timezone = timezone
        self._monitor: Monitor | None = None
        self._judges: dict[tuple[str, str, str, int], tuple[Judge, Reference] | None] = {}

    def line(
        self, incident: Incident, length: str, windows: Sequence[LastWindow], level: str
    ) -> float | None:
        """Return the line of the newest window that was judged."""
        for window in reversed(windows):
            found = window.findings.get(incident.feature)
            if found is None or found["psi"] is None or found["psi_limit"] is None:
                continue
            made = self._judge(window.digest, incident.segment, length, window.end_ms)
            if made is None:
                return None
            judge, reference = made
            place = reference.gridset.names().index(incident.feature)
            values = np.zeros((1, len(reference.gridset.features)), dtype=np.int64)
            values[0, place] = found["n"]
            at = when(np.array([window.start_ms]), self._timezone)
            line = float(judge.psi_clears_below(values, at, level)[0, place])
            return None if np.isnan(line) else line
        return None

    def _judge(
        self, digest: str, segment: str, length: str, end_ms: int
    ) -> tuple[Judge, Reference] | None:
        if self._monitor is None:
            self._monitor = registry.monitor_history(self._conn, self._version_id)
        place = self._monitor.place(length, end_ms)
        key = (digest, segment, length, place)
        if key not in self._judges:
            rule = self._monitor.revisions[place].spec.rule()
            self._judges[key] = self._made(digest, segment, length, rule)
        return self._judges[key]

    def _made(
        self, digest: str, segment: str, length: str, rule: Rule
    ) -> tuple[Judge, Reference] | None:
        reference = reads.reference_document(self._conn, digest)
        if reference is None or segment not in reference.profiles:
            return None
        calibration: Calibration | None = from_reference(reference, segment, length)
        if calibration is None:
            live = live_calibrations(self._conn, self._version_id, digest)
            calibration = live[segment, length][1] if (segment, length) in live else None
        if calibration is None:
            return None
        return Judge(reference, segment, length, calibration, rule), reference
