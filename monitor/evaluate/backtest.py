"""What another monitor would have told: stored panes judged by it, and held against what was told.

Nothing is written. What was counted stands, whatever it was judged by; so the answer is that of
a monitor which had been set before the first of the windows, with all that was learnt of their
wobble since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.calibration import RATES
from driftline.stats.episodes import expire, expires_after
from driftline.stats.lengths import DAY_MS, NOMINAL_MS
from driftline.stats.reference import Reference
from driftline.stats.rule import kinds_of
from monitor.detect.absent import ABSENT, SHARE
from monitor.detect.fold import Key, Marked, fold
from monitor.detect.incidents import Incident, Member, derive
from monitor.detect.kinds import KIND_OF
from monitor.detect.plan import Due, due_windows
from monitor.detect.spec import Monitor, MonitorSpec
from monitor.evaluate.due import judge_due, while_bound
from monitor.evaluate.judging import Judged
from monitor.evaluate.teacher import SliceCalibrations, Teacher
from monitor.storage import evaluation as sql
from monitor.storage import schema as t
from monitor.storage.registry import BoundVersion
from monitor.storage.rows import TOLD_STATES
from monitor.windows.calendar import window_of

# What stood when the time in question began was opened before it. So long before is enough: an
# incident comes back within two weeks, and three windows of 28 days latch nothing new later.
BEFORE_MS = 14 * DAY_MS + 3 * NOMINAL_MS["4weeks"]
# Event time judged at once: so much of it is held decoded.
STRIDE_MS = 28 * DAY_MS


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
class Backtest:
    """How another monitor would have done between two times.

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
    """

    from_ms: int
    to_ms: int
    windows: int
    before: int
    after: int
    gone: tuple[Told, ...]
    new: tuple[Told, ...]
    same: int


def backtest(
    conn: Connection,
    bound: BoundVersion,
    references: Mapping[str, Reference],
    spec: MonitorSpec,
    *,
    from_ms: int | None = None,
    to_ms: int | None = None,
    segments: Sequence[str] = ("all",),
) -> Backtest:
    """Judge what is stored of a version by another monitor, and compare what that tells.

    Parameters
    ----------
    from_ms, to_ms
        Event time: by default all that was judged.
    segments
        Whose incidents are compared. Those of a segment are told by those of all rows, where
        there are such, too.

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
        return Backtest(from_ms or 0, to_ms or 0, 0, 0, 0, (), (), 0)
    from_ms = span[0] if from_ms is None else from_ms
    until_ms = judged_ms if to_ms is None else min(to_ms, judged_ms)
    longest = max(spec.lengths, key=NOMINAL_MS.__getitem__)
    low_ms = window_of(max(span[0], from_ms - BEFORE_MS), longest, bound.timezone).start_ms
    made = _Anew(conn, bound, references, Monitor.only(spec))
    count = 0
    for segment in segments:
        for digest, effective_ms, replaced_ms in while_bound(bound):
            due = [
                window
                for window in due_windows(
                    sql.pane_revisions(
                        conn, bound.version_id, references[digest].gridset.digest, low_ms,
                        until_ms, segment=segment,
                    ),
                    {},
                    lengths=spec.lengths,
                    timezone=bound.timezone,
                    until_ms=until_ms,
                    revisable_from_ms=0,
                )
                if window.start_ms >= effective_ms
                and (replaced_ms is None or window.start_ms < replaced_ms)
            ]  # fmt: skip
            made.judge(digest, due, max(span[0], effective_ms), until_ms)
            count += sum(window.end_ms > from_ms for window in due)
    after = [
        told for segment in segments for told in made.told(segment, until_ms)
        if from_ms <= told.opened_ms < until_ms + 1
    ]  # fmt: skip
    before = _stored(conn, bound.version_id, segments, from_ms, until_ms)
    left = list(after)
    gone = []
    for told in before:
        match = next((other for other in left if _is_same(told, other)), None)
        if match is None:
            gone.append(told)
        else:
            left.remove(match)
    return Backtest(
        from_ms,
        until_ms,
        count,
        len(before),
        len(after),
        tuple(gone),
        tuple(sorted(left, key=lambda told: (told.opened_ms, told.segment, told.feature))),
        len(before) - len(gone),
    )


class _Anew:
    """Windows that are judged anew, and the latches that they give."""

    def __init__(
        self,
        conn: Connection,
        bound: BoundVersion,
        references: Mapping[str, Reference],
        monitor: Monitor,
    ) -> None:
        self._conn, self._bound = conn, bound
        self._references, self._monitor = references, monitor
        self._slices = SliceCalibrations()
        self._marked: dict[tuple[str, str], list[Marked]] = {}
        # What exceeded: (value, limit) by (segment, length, start, feature, statistic).
        self._over: dict[tuple[str, str, int, str, str], tuple[float, float]] = {}

    def judge(self, digest: str, due: Sequence[Due], first_pane_ms: int, until_ms: int) -> None:
        """Judge windows that one reference is bound to, a stretch of event time after another."""
        reference = self._references[digest]
        teacher = Teacher(
            self._conn,
            self._bound,
            reference,
            self._slices,
            lengths=self._monitor.latest.spec.lengths,
            first_pane_ms=first_pane_ms,
            until_ms=until_ms,
            # Of a length that was never judged nobody has said what its windows lack.
            is_complete=lambda window: True,
        )
        everything: dict[tuple[str, str], list[Due]] = {}
        strides: dict[int, list[Due]] = {}
        for window in due:
            everything.setdefault((window.segment, window.length), []).append(window)
            strides.setdefault(window.end_ms // STRIDE_MS, []).append(window)
        known = {key: teacher.known(*key, windows) for key, windows in everything.items()}
        for _, windows in sorted(strides.items()):
            for judged in judge_due(
                self._conn, self._bound, reference, windows, self._monitor,
                lambda segment, length, _: known[segment, length],
            ):  # fmt: skip
                self._take(judged)

    def _take(self, judged: Judged) -> None:
        marked = self._marked.setdefault((judged.segment, judged.length), [])
        exceeding = judged.exceeding()
        position = {name: at for at, name in enumerate(judged.names)}
        for place, window in enumerate(judged.due):
            marks = {
                (name, statistic): (int(pair[0]), int(pair[1]))
                for statistic, pairs in judged.judgement.marks.items()
                for name, pair in zip(judged.names, pairs[place], strict=True)
                if pair.any()
            }
            marked.append(_marked(window, exceeding[place], marks))
            for feature, statistic in exceeding[place]:
                key = (judged.segment, judged.length, window.start_ms, feature, statistic)
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

    def told(self, segment: str, until_ms: int) -> list[Told]:
        """Return the incidents of a segment as its latches give them."""
        members: dict[tuple[str, str], list[Member]] = {}

        def add(key: Key, member: Member) -> None:
            members.setdefault((key.feature, KIND_OF[key.statistic]), []).append(member)

        for (own, length), marked in self._marked.items():
            if own != segment or not marked:
                continue
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
        return [
            self._as_told(segment, feature, kind, incident)
            for (feature, kind), found in members.items()
            for incident in derive(found)
        ]

    def _as_told(self, segment: str, feature: str, kind: str, incident: Incident) -> Told:
        opener = incident.episodes[0].members[0]
        seen = [
            self._over[segment, opener.length, start, feature, opener.statistic]
            for start, end in opener.latch.exceeding
            if end <= incident.opened_ms
        ]
        value, limit = max(seen, key=lambda pair: abs(pair[0]) / pair[1] if pair[1] else 0.0)
        return Told(
            segment,
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


def _marked(
    window: Due,
    exceeding: Sequence[tuple[str, str]],
    marks: Mapping[tuple[str, str], tuple[int, int]],
) -> Marked:
    return Marked(
        window.start_ms,
        window.end_ms,
        exceeding,
        lambda feature, statistic: marks.get((feature, statistic), (0, 0)),
    )


def _stored(
    conn: Connection, version_id: int, segments: Iterable[str], from_ms: int, until_ms: int
) -> list[Told]:
    """Return the incidents that were told in a time, but those of silence, oldest first."""
    c = t.incident.c
    query = (
        sa.select(c.segment, c.feature, c.kind, c.severity, c.opened_ms, c.resolved_ms, c.number)
        .where(
            c.version_id == version_id,
            c.segment.in_(list(segments)),
            c.kind.in_(sorted(set(KIND_OF.values()))),
            c.state.in_([state for state in TOLD_STATES if state != "withdrawn"]),
            c.opened_ms >= from_ms,
            c.opened_ms <= until_ms,
        )
        .order_by(c.opened_ms, c.number)
    )
    return [Told(*row) for row in conn.execute(query)]


def _is_same(one: Told, other: Told) -> bool:
    """Whether two tell of one thing: they stood at one time."""
    if (one.segment, one.feature, one.kind) != (other.segment, other.feature, other.kind):
        return False

    def ends(told: Told) -> float:
        return np.inf if told.resolved_ms is None else max(told.resolved_ms, told.opened_ms)

    return one.opened_ms <= ends(other) and other.opened_ms <= ends(one)
