"""Windows of one length, of all segments at once: from panes to judgements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from driftline.stats.baseline import observed
from driftline.stats.calibration import Calibration, Floats, Ints
from driftline.stats.evidence import Judge
from driftline.stats.explain import visible
from driftline.stats.judgement import Judgement, Mark
from driftline.stats.profile import COUNTERS
from driftline.stats.reference import Reference
from driftline.stats.season import When, when
from driftline.stats.stack import Stack, stack
from monitor.detect.absent import ABSENT, absent_marks
from monitor.detect.groups import ALL
from monitor.detect.plan import Due
from monitor.detect.spec import Monitor
from monitor.storage import evaluation as sql
from monitor.storage.registry import BoundVersion
from monitor.windows.panes import HOUR_MS

# A day on which the clock jumps; hours are told from days by it.
SHORTEST_DAY_MS = 20 * HOUR_MS
# Keys of panes are twice their times (those of the year 2100 take 43 bits), one segment's after
# the other's.
_SEGMENT = 1 << 43


@dataclass(frozen=True)
class Counted:
    """The profiles of some windows, and the revisions they were read at."""

    profiles: Stack
    rev_sums: list[int]


class PaneTable:
    """The panes of some segments in a range of event time, each read and decoded once.

    Counts and revisions come from one view of the database: a pane written
    later makes its window stale again.
    """

    def __init__(
        self,
        conn: Connection,
        bound: BoundVersion,
        reference: Reference,
        segments: Sequence[str],
        from_ms: int,
        to_ms: int,
    ) -> None:
        grids = reference.gridset
        self._place = {segment: place for place, segment in enumerate(segments)}
        rows = sql.pane_bodies(conn, bound.version_id, grids.digest, segments, from_ms, to_ms)
        # A pane has a row of each partition; a day comes before an hour that starts with it.
        keys = np.array(
            [
                self._place[row.segment] * _SEGMENT + 2 * row.start_ms + (not row.is_day)
                for row in rows
            ],
            dtype=np.int64,
        )
        self._keys, place_of = np.unique(keys, return_inverse=True)
        self._revs = np.zeros(len(self._keys), dtype=np.int64)
        np.add.at(self._revs, place_of, np.array([row.rev for row in rows], dtype=np.int64))
        bodies = [row.body for row in rows]
        self._panes = stack(grids, bodies, place_of.tolist(), len(self._keys))

    def windows(self, spans: Sequence[tuple[str, int, int]]) -> Counted:
        """Add the panes up to windows `(segment, start, end)`.

        A window that is shorter than a day holds none of the days to which hours were added up.
        """
        places = np.array([self._place[segment] for segment, _, _ in spans], dtype=np.int64)
        wanted = 2 * np.array([span[1:] for span in spans], dtype=np.int64).reshape(-1, 2)
        wanted[:, 0] += wanted[:, 1] - wanted[:, 0] < 2 * SHORTEST_DAY_MS
        edges = np.searchsorted(self._keys, wanted + _SEGMENT * places[:, None])
        rev_sums = [int(self._revs[first:last].sum()) for first, last in edges]
        return Counted(self._panes.added(edges), rev_sums)


@dataclass(frozen=True)
class Judged:
    """Windows of one length with the rule's answer, each segment's in order of start.

    `due`, `rev_sums`, `monitor_revisions` and the judgement's rows go together.
    """

    length: str
    due: list[Due]
    rev_sums: list[int]
    judgement: Judgement
    names: tuple[str, ...]
    monitor_revisions: list[int]
    visible: Floats  # [W, F] as the finding's column

    def marks_of(self, place: int) -> Callable[[str, str], tuple[int, int]]:
        """Return a look-up of one window's marks."""
        position = self._position

        def of(feature: str, statistic: str) -> tuple[int, int]:
            # A latch may be of a feature that is no more.
            if feature not in position:
                return Mark.NOT_EVALUABLE, Mark.NOT_EVALUABLE
            warning, critical = self.judgement.marks[statistic][place, position[feature]]
            return int(warning), int(critical)

        return of

    def evaluated(self, place: int) -> set[str]:
        """Return the features of which any statistic was evaluated in a window."""
        return {self.names[at] for at in np.flatnonzero(self._is_evaluated[place]).tolist()}

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.names)}

    @cached_property
    def _is_evaluated(self) -> NDArray[np.bool_]:
        """[W, F] Where any statistic was."""
        out = np.zeros((len(self.due), len(self.names)), np.bool_)
        for marks in self.judgement.marks.values():
            out |= marks[:, :, 0] != Mark.NOT_EVALUABLE
        return out

    def verdicts(self, place: int) -> set[str]:
        """Return the verdicts of a window's findings."""
        return set(self.judgement.verdict[place].tolist())

    def telling(self) -> list[int]:
        """Return the places of the windows that have findings to store.

        Over all rows each has: what it shows, and what it could have shown. Where no feature of
        a segment had enough rows for any statistic the window's own row says all there is.
        """
        silent = (self.judgement.verdict == "insufficient_data").all(axis=1)
        return [
            place
            for place, (window, is_silent) in enumerate(zip(self.due, silent, strict=True))
            if window.segment == ALL or not is_silent
        ]

    def exceeding(self) -> list[list[tuple[str, str]]]:
        """Return for each window the (feature, statistic) above a limit."""
        out: list[list[tuple[str, str]]] = [[] for _ in self.due]
        for statistic, marks in self.judgement.marks.items():
            for place, feature in np.argwhere((marks == Mark.EXCEEDS).any(axis=2)):
                out[place].append((self.names[feature], statistic))
        return out


@dataclass(frozen=True)
class Known:
    """What a length knows of its natural wobble.

    Each of `learnt`, oldest first, judges the windows that end after its time; earlier ones,
    which the first may have been learnt from, keep to `early`: however many windows are judged
    at once, each is judged the same. None = shown, not judged.
    """

    early: Calibration | None
    learnt: tuple[tuple[int, Calibration], ...] = ()

    def at(self, end_ms: int) -> Calibration | None:
        """Return what judges a window that ends then."""
        earlier = [calibration for after_ms, calibration in self.learnt if after_ms < end_ms]
        return earlier[-1] if earlier else self.early


def judge_windows(
    reference: Reference,
    length: str,
    due: list[Due],
    counted: Counted,
    known: Mapping[str, Known],
    monitor: Monitor,
    timezone: str,
) -> Judged:
    """Judge windows of one length, of segments that the reference has counts of.

    Each by what was known of its segment and by the monitor that stood when it ended; all that
    are judged by one rule in one pass.
    """
    at = _when(due, timezone)
    calibrations = [known[window.segment].at(window.end_ms) for window in due]
    by_rule: dict[tuple[str | None, int], list[int]] = {}
    for place, (window, calibration) in enumerate(zip(due, calibrations, strict=True)):
        # What is judged without knowing any wobble is judged by itself, too.
        source = None if calibration is None else "none" if calibration.source == "none" else "any"
        key = source, monitor.place(length, window.end_ms)
        by_rule.setdefault(key, []).append(place)
    parts = []
    for (_, revision), places in by_rule.items():
        rule = monitor.revisions[revision].spec.rule()
        segments = [due[place].segment for place in places]
        judge = Judge(reference, segments, length, [calibrations[place] for place in places], rule)
        here = When(at.hour[places], at.is_weekend[places])
        is_all = len(by_rule) == 1
        profiles = counted.profiles if is_all else counted.profiles.take(places)
        made = judge.judge(profiles, here)
        parts.append((made, visible(judge, made, here)))
    order = np.argsort(np.concatenate([np.array(places) for places in by_rule.values()]))
    judgement = _together([made for made, _ in parts], order)
    shown = _together([seen for _, seen in parts], order)
    over_all = np.array([window.segment == ALL for window in due])
    if over_all.any():
        judgement = _with_absent(judgement, reference, counted.profiles.counts, over_all)
    return _judged(reference, length, due, counted, judgement, shown, monitor)


def show_windows(
    reference: Reference,
    length: str,
    due: list[Due],
    counted: Counted,
    monitor: Monitor,
    timezone: str,
) -> Judged:
    """Show volume and rates of windows whose segments the reference has too few rows of."""
    judge = Judge(reference, ALL, length, None)
    shown = judge.judge(counted.profiles, _when(due, timezone), with_measures=False)
    nothing = np.full(shown.psi.shape, np.nan)
    judgement = replace(
        shown,
        psi=nothing,
        ks_low=nothing,
        ks_high=nothing,
        verdict=np.full(shown.psi.shape, "insufficient_data"),
    )
    return _judged(reference, length, due, counted, judgement, nothing, monitor)


def _when(due: Sequence[Due], timezone: str) -> When:
    return when(np.array([window.start_ms for window in due], dtype=np.int64), timezone)


def _judged(
    reference: Reference,
    length: str,
    due: list[Due],
    counted: Counted,
    judgement: Judgement,
    shown: Floats,
    monitor: Monitor,
) -> Judged:
    revisions = [monitor.revisions[monitor.place(length, window.end_ms)].number for window in due]
    names = reference.gridset.names()
    return Judged(length, due, counted.rev_sums, judgement, names, revisions, shown)


def _with_absent(
    judgement: Judgement, reference: Reference, counts: Ints, over_all: NDArray[np.bool_]
) -> Judgement:
    """Add the marks of features that are not sent any more, which is always critical.

    Of windows over all rows (where `over_all` of [W] is true) alone.
    """
    place = reference.gridset.counters[:, COUNTERS.index("absent")]
    own = observed(reference, ALL)
    marks = np.zeros((*judgement.values.shape, 2), dtype=np.uint8)
    absent = counts[np.ix_(over_all, place)]
    marks[over_all] = absent_marks(absent, judgement.rows[over_all], own.missing[0], own.rows[0])
    verdict = np.where((marks == Mark.EXCEEDS).any(axis=2), "critical", judgement.verdict)
    return replace(judgement, marks={**judgement.marks, ABSENT: marks}, verdict=verdict)


Windows = TypeVar("Windows")


def _together(parts: Sequence[Windows], order: Ints) -> Windows:
    """Put judgements of some windows each, or what they are made of, into one: windows in `order`.

    Every array of theirs has the windows first.
    """
    first: Any = parts[0]
    made: Any
    if len(parts) == 1 or first is None:
        return parts[0]
    if is_dataclass(first):
        made = replace(
            first,  # type: ignore[type-var]
            **{
                part.name: _together([getattr(found, part.name) for found in parts], order)
                for part in fields(first)
            },
        )
    elif isinstance(first, dict):
        made = {name: _together([found[name] for found in parts], order) for name in first}  # type: ignore[index]
    else:
        made = np.concatenate(parts)[order]  # type: ignore[arg-type]
    return made  # type: ignore[no-any-return]
