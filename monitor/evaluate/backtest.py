"""What another monitor would have told: stored panes judged by it, and held against what was told.

Nothing is written. What was counted stands, whatever it was judged by; so the answer is that of
a monitor which had been set before the first of the windows, with all that was learnt of their
wobble since. All rows are tried first, then segments, largest first, as many as `AT_MOST` allows;
those that are left out are named. What others speak for was not told, and is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from driftline.stats.calibration import RATES
from driftline.stats.episodes import expire, expires_after
from driftline.stats.judgement import Mark
from driftline.stats.lengths import DAY_MS, NOMINAL_MS
from driftline.stats.reference import Reference
from driftline.stats.rule import kinds_of
from monitor.detect.absent import ABSENT, SCHEMA, SHARE
from monitor.detect.fold import Key, Marked, fold
from monitor.detect.groups import ALL
from monitor.detect.incidents import Incident, Member, derive
from monitor.detect.kinds import KIND_OF
from monitor.detect.plan import Due, due_windows
from monitor.detect.speaking import speaking, told_at
from monitor.detect.spec import Monitor, MonitorSpec
from monitor.detect.succession import Takeover, relieved
from monitor.evaluate.due import judge_due, while_bound
from monitor.evaluate.incidents import silences
from monitor.evaluate.judging import Judged, Known
from monitor.evaluate.teacher import SliceCalibrations, Teacher
from monitor.storage import evaluation as sql
from monitor.storage import promotions, reads
from monitor.storage import schema as t
from monitor.storage.registry import BoundVersion
from monitor.storage.rows import TOLD_STATES
from monitor.windows.calendar import window_of

# What stood when the time in question began was opened before it. So long before is enough: an
# incident comes back within two weeks, and three windows of 28 days latch nothing new later.
BEFORE_MS = 14 * DAY_MS + 3 * NOMINAL_MS["4weeks"]
# Event time judged at once: so much of it is held decoded.
STRIDE_MS = 28 * DAY_MS
# Windows times features: a year of hours, days and weeks of a hundred features, over all rows and
# in a dozen segments. At 15 microseconds of a core each that is three minutes.
AT_MOST = 12_000_000


@dataclass(frozen=True)
class Told:
    """One incident, as it was told or would have been.

    `number` is that of a stored one. `statistic`, `length`, `value` and `limit` are of the
    window that told one that is not, the furthest above its limit.
    """

    segment: str
    feature: str
    kind: str
    severity: str
    opened_ms: int
    resolved_ms: int | None
    number: int | None = None
    statistic: str = ""
    length: str = ""
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class TriedSegment:
    """How another monitor would have done in one segment, counted as in `Backtest`."""

    segment: str
    windows: int
    before: int
    after: int
    same: int


@dataclass(frozen=True)
class Backtest:
    """How another monitor would have done between two times, in all that was tried.

    Attributes
    ----------
    from_ms, to_ms
        Incidents that opened in `[from_ms, to_ms)` are compared.
    windows
        How many windows that ended in that time were judged anew.
    before, after
        Incidents that were told, and that would have been.
    gone, new
        Those of `before` that would not have been told, and those of `after` that were not.
    same
        How many are in both: of one feature, segment and kind, at one time.
    segments
        The same by segment, all rows first.
    left_out
        Segments that were asked for and not tried.
    hours_from_ms
        From when on hours were tried: those before were added up to days, and what they alone
        had told is among `gone`. None = all of them, or none were to be.
    """

    from_ms: int
    to_ms: int
    windows: int
    before: int
    after: int
    gone: tuple[Told, ...]
    new: tuple[Told, ...]
    same: int
    segments: tuple[TriedSegment, ...]
    left_out: tuple[str, ...]
    hours_from_ms: int | None = None


def backtest(
    conn: Connection,
    bound: BoundVersion,
    references: Mapping[str, Reference],
    spec: MonitorSpec,
    *,
    from_ms: int | None = None,
    to_ms: int | None = None,
    segments: Sequence[str] | None = None,
    at_most: int = AT_MOST,
) -> Backtest:
    """Judge what is stored of a version by another monitor, and compare what that tells.

    Parameters
    ----------
    from_ms, to_ms
        Event time: by default all that was judged.
    segments
        Which are tried beside all rows, which speak for them; by default all that were judged.
    at_most
        No segment is begun that would bring what is judged above this, in windows times
        features; all rows are judged whatever they take.

    Raises
    ------
    StatisticError
        The monitor's rule cannot judge, or has a limit that judges no feature of a reference.
    """
    digests = [digest for digest, _, _ in while_bound(bound)]
    known = kinds_of(references[digest].gridset for digest in digests)
    spec.rule().validate(known or None)
    gridsets = {references[digest].gridset.digest for digest in digests}
    span = sql.pane_span(conn, bound.version_id, gridsets)
    judged_ms = sql.cursor(conn, bound.version_id).watermark_ms
    if span is None or judged_ms is None:
        return Backtest(from_ms or 0, to_ms or 0, 0, 0, 0, (), (), 0, (), ())
    from_ms = span[0] if from_ms is None else from_ms
    until_ms = judged_ms if to_ms is None else min(to_ms, judged_ms)
    longest = max(spec.lengths, key=NOMINAL_MS.__getitem__)
    low_ms = window_of(max(span[0], from_ms - BEFORE_MS), longest, bound.timezone).start_ms
    tried = _Trial(conn, bound, references, Monitor.only(spec), (low_ms, span[0]), until_ms)
    if segments is None:
        segments = reads.segments(conn, bound.version_id)
    sizes = references[digests[-1]].profiles
    wanted = sorted(
        set(segments) - {ALL},
        key=lambda name: (-int(sizes[name].rows) if name in sizes else 0, name),
    )
    windows: dict[str, int] = {}
    spent = 0
    for name in (ALL, *wanted):
        due = tried.due(name)
        spent += sum(each.cost for each in due)
        if name != ALL and spent > at_most:
            break
        tried.judge(name, due)
        windows[name] = sum(w.end_ms > from_ms for each in due for w in each.windows)
    after = [told for told in tried.told() if from_ms <= told.opened_ms <= until_ms]
    before = _stored(conn, bound.version_id, tuple(windows), from_ms, until_ms)
    gone, new = _differing(before, after)

    def tally(name: str) -> TriedSegment:
        here = [sum(told.segment == name for told in some) for some in (before, after, gone)]
        return TriedSegment(name, windows[name], here[0], here[1], here[0] - here[2])

    return Backtest(
        from_ms,
        until_ms,
        sum(windows.values()),
        len(before),
        len(after),
        gone,
        new,
        len(before) - len(gone),
        tuple(tally(name) for name in windows),
        tuple(name for name in wanted if name not in windows),
        sql.added_up_to(conn, bound.version_id, gridsets, from_ms)
        if "hour" in spec.lengths
        else None,
    )


class _While(NamedTuple):
    """The windows that start while one reference is bound, from `effective_ms` on."""

    reference: Reference
    effective_ms: int
    windows: list[Due]

    @property
    def cost(self) -> int:
        return len(self.windows) * len(self.reference.gridset.features)


class _Trial:
    """What another monitor makes of a version, one segment after another."""

    def __init__(
        self,
        conn: Connection,
        bound: BoundVersion,
        references: Mapping[str, Reference],
        monitor: Monitor,
        from_ms: tuple[int, int],
        until_ms: int,
    ) -> None:
        self._conn, self._bound, self._monitor = conn, bound, monitor
        self._references, self._until_ms = references, until_ms
        self._low_ms, self._first_pane_ms = from_ms
        self._slices = SliceCalibrations()
        self._takeovers = promotions.takeovers(conn, bound.version_id)
        # By feature, kind and segment, with what each is told as.
        self._found: dict[tuple[str, str], dict[str, list[tuple[Incident, Told]]]] = {}

    def due(self, segment: str) -> list[_While]:
        """Return what is to be judged of a segment."""
        out = []
        for digest, effective_ms, replaced_ms in while_bound(self._bound):
            reference = self._references[digest]
            windows = due_windows(
                sql.pane_revisions(
                    self._conn, self._bound.version_id, reference.gridset.digest, self._low_ms,
                    self._until_ms, segment=segment,
                ),
                {},
                lengths=self._monitor.latest.spec.lengths,
                timezone=self._bound.timezone,
                until_ms=self._until_ms,
                revisable_from_ms=0,
            )  # fmt: skip
            windows = [
                window
                for window in windows
                if window.start_ms >= effective_ms
                and (replaced_ms is None or window.start_ms < replaced_ms)
            ]
            out.append(_While(reference, effective_ms, windows))
        return out

    def judge(self, segment: str, due: Sequence[_While]) -> None:
        """Judge a segment, a stretch of event time after another, and keep its incidents."""
        judged = _Latching(segment, self._monitor)
        for reference, effective_ms, windows in due:
            teacher = Teacher(
                self._conn,
                self._bound,
                reference,
                self._slices,
                lengths=self._monitor.latest.spec.lengths,
                first_pane_ms=max(self._first_pane_ms, effective_ms),
                until_ms=self._until_ms,
                # Of a length that was never judged nobody has said what its windows lack.
                is_complete=lambda window: True,
            )
            by_length: dict[str, list[Due]] = {}
            strides: dict[int, list[Due]] = {}
            for window in windows:
                by_length.setdefault(window.length, []).append(window)
                strides.setdefault(window.end_ms // STRIDE_MS, []).append(window)
            known = {
                length: teacher.known(segment, length, found) for length, found in by_length.items()
            }
            for _, some in sorted(strides.items()):
                for made in judge_due(
                    self._conn, self._bound, reference, some, self._monitor,
                    partial(_of_length, known),
                ):  # fmt: skip
                    judged.take(made)
        for key, incidents in judged.incidents(self._until_ms, self._takeovers).items():
            self._found.setdefault(key, {})[segment] = incidents

    def told(self) -> list[Told]:
        """Return the incidents that nothing else speaks for, oldest first."""

        def of(feature: str, kind: str) -> dict[str, list[Incident]]:
            by_segment = self._found.get((feature, kind), {})
            return {name: [one for one, _ in found] for name, found in by_segment.items()}

        silent = silences(self._conn, self._bound.version_id)
        out = []
        for (feature, kind), by_segment in self._found.items():
            of_kind, schemas = of(feature, kind), of(feature, SCHEMA)
            for segment, found in by_segment.items():
                others = speaking(segment, kind, of_kind, schemas, silent)
                out += [told for incident, told in found if told_at(incident, others) is not None]
        return sorted(out, key=lambda told: (told.opened_ms, told.segment != ALL, told.feature))


class _Latching:
    """One segment's windows as they were judged, and the incidents that their latches give."""

    def __init__(self, segment: str, monitor: Monitor) -> None:
        self._segment, self._monitor = segment, monitor
        self._marked: dict[str, list[Marked]] = {}
        # What exceeded: (value, limit) by (length, start, feature, statistic).
        self._over: dict[tuple[str, int, str, str], tuple[float, float]] = {}

    def take(self, judged: Judged) -> None:
        """Keep what the fold asks of windows of one length, and how far they exceeded."""
        marked = self._marked.setdefault(judged.length, [])
        exceeding = judged.exceeding()
        position = {name: at for at, name in enumerate(judged.names)}
        for place, window in enumerate(judged.due):
            look_up = partial(_mark, judged.judgement.marks, place, position)
            marked.append(Marked(window.start_ms, window.end_ms, exceeding[place], look_up))
            for feature, statistic in exceeding[place]:
                key = (judged.length, window.start_ms, feature, statistic)
                self._over[key] = self._seen(judged, place, position[feature], statistic)

    def _seen(
        self, judged: Judged, place: int, feature: int, statistic: str
    ) -> tuple[float, float]:
        j = judged.judgement
        if statistic == "psi":
            value, limit = j.psi[place, feature], j.psi_limit[place, feature]
        elif statistic in RATES:
            rate = j.rates[statistic]
            value, limit = rate.value[place, feature], rate.limit[place, feature]
        elif statistic == ABSENT:
            value, limit = j.rates["missing"].value[place, feature], np.float64(SHARE)
        else:
            values = j.ks_low if statistic == "ks" else getattr(j.measures, statistic)
            rule = self._monitor.latest.spec.rule()
            value = values[place, feature]
            limit = rule.by_statistic(judged.names)[statistic].warning[feature]
        return float(value), float(limit)

    def incidents(
        self, until_ms: int, takeovers: Sequence[Takeover]
    ) -> dict[tuple[str, str], list[tuple[Incident, Told]]]:
        """Return the incidents by feature and kind, each with what it is told as."""
        members: dict[tuple[str, str], list[Member]] = {}

        def add(key: Key, member: Member) -> None:
            members.setdefault((key.feature, KIND_OF[key.statistic]), []).append(member)

        for length, marked in self._marked.items():
            marked.sort(key=lambda window: window.start_ms)
            folded, nominal_ms = fold({}, marked, length), NOMINAL_MS[length]
            for key, latch in folded.ended:
                add(key, Member(key.statistic, length, key.level, latch))
            for key, state in folded.states[-1].items():
                if state.latch is None:
                    continue
                open_latch, last_ms = state.latch, state.last_evaluable_ms
                if until_ms - last_ms > expires_after(nominal_ms) + nominal_ms:
                    open_latch = expire(open_latch, last_ms, nominal_ms)
                add(key, Member(key.statistic, length, key.level, open_latch, state.clear_count))
        return {
            (feature, kind): [
                (incident, self._as_told(feature, kind, incident))
                for incident in derive(relieved(found, takeovers))
            ]
            for (feature, kind), found in members.items()
        }

    def _as_told(self, feature: str, kind: str, incident: Incident) -> Told:
        opener = incident.episodes[0].members[0]
        seen = [
            self._over[opener.length, start, feature, opener.statistic]
            for start, end in opener.latch.exceeding
            if end <= incident.opened_ms
        ]
        value, limit = max(seen, key=lambda pair: abs(pair[0]) / pair[1] if pair[1] else 0.0)
        return Told(
            self._segment,
            feature,
            kind,
            incident.severity,
            incident.opened_ms,
            incident.resolved_ms,
            statistic=opener.statistic,
            length=opener.length,
            value=value,
            limit=limit,
        )


def _of_length(known: Mapping[str, Known], _: str, length: str, __: Sequence[Due]) -> Known:
    """Return what a length knows, as `judge_due` asks for it."""
    return known[length]


def _mark(
    marks: Mapping[str, NDArray[np.uint8]],
    place: int,
    position: Mapping[str, int],
    feature: str,
    statistic: str,
) -> tuple[int, int]:
    """Return a window's marks; a latch may be of what another reference has not."""
    if feature not in position or statistic not in marks:
        return Mark.NOT_EVALUABLE, Mark.NOT_EVALUABLE
    warning, critical = marks[statistic][place, position[feature]]
    return int(warning), int(critical)


def _stored(
    conn: Connection, version_id: int, segments: Sequence[str], from_ms: int, until_ms: int
) -> list[Told]:
    """Return the incidents that were told in a time, but those of silence, oldest first."""
    c = t.incident.c
    query = (
        sa.select(c.segment, c.feature, c.kind, c.severity, c.opened_ms, c.resolved_ms, c.number)
        .where(
            c.version_id == version_id,
            c.segment.in_(segments),
            c.kind.in_(sorted(set(KIND_OF.values()))),
            c.state.in_([state for state in TOLD_STATES if state != "withdrawn"]),
            c.muted.is_(False),
            c.opened_ms >= from_ms,
            c.opened_ms <= until_ms,
        )
        .order_by(c.opened_ms, c.number)
    )
    return [Told(*row) for row in conn.execute(query)]


def _differing(
    before: Sequence[Told], after: Sequence[Told]
) -> tuple[tuple[Told, ...], tuple[Told, ...]]:
    """Return those of each that are not in the other."""
    left = list(after)
    gone = []
    for told in before:
        match = next((other for other in left if _is_same(told, other)), None)
        if match is None:
            gone.append(told)
        else:
            left.remove(match)
    return tuple(gone), tuple(left)


def _is_same(one: Told, other: Told) -> bool:
    """Whether two tell of one thing: they stood at one time."""
    if (one.segment, one.feature, one.kind) != (other.segment, other.feature, other.kind):
        return False

    def ends(told: Told) -> float:
        return np.inf if told.resolved_ms is None else max(told.resolved_ms, told.opened_ms)

    return one.opened_ms <= ends(other) and other.opened_ms <= ends(one)
