"""Windows of one length and segment: from panes to judgements to rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from driftline.stats.calibration import RATES, Calibration, Ints
from driftline.stats.evidence import Judge, Judgement, Mark
from driftline.stats.profile import Stack, stack
from driftline.stats.reference import Reference
from driftline.stats.season import When, when
from monitor.detect.fold import marks_to_text
from monitor.detect.plan import Due
from monitor.detect.spec import Monitor
from monitor.storage import evaluation as sql
from monitor.storage.registry import BoundVersion


@dataclass(frozen=True)
class Counted:
    """The profiles of some windows, and the revisions they were read at."""

    profiles: Stack
    rev_sums: list[int]


class PaneCache:
    """Decoded panes of the last windows: an hour is needed again by its day and by its week.

    An entry holds for one revision; the caller knows the revision that its view
    of the database has. The oldest go first.
    """

    def __init__(self, max_bytes: int = 64_000_000) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._rows: OrderedDict[tuple[int, str, str, int], tuple[int, Stack]] = OrderedDict()

    def get(self, key: tuple[int, str, str, int], rev: int) -> Stack | None:
        """Return the pane if it is of this revision."""
        found = self._rows.get(key)
        return found[1] if found is not None and found[0] == rev else None

    def put(self, key: tuple[int, str, str, int], rev: int, pane: Stack) -> None:
        """Keep a pane in the place of an older revision."""
        before = self._rows.pop(key, None)
        self._bytes += pane.nbytes - (0 if before is None else before[1].nbytes)
        self._rows[key] = (rev, pane)
        while self._bytes > self._max_bytes and self._rows:
            _, (_, oldest) = self._rows.popitem(last=False)
            self._bytes -= oldest.nbytes


class PaneTable:
    """The panes of one segment in a range of event time, each read and decoded once.

    Counts and revisions come from one view of the database: a pane written
    later makes its window stale again.
    """

    def __init__(
        self,
        conn: Connection,
        bound: BoundVersion,
        reference: Reference,
        segment: str,
        from_ms: int,
        to_ms: int,
        cache: PaneCache | None = None,
    ) -> None:
        grids = reference.gridset
        revs = {
            pane.start_ms: pane.rev
            for pane in sql.pane_revisions(
                conn, bound.version_id, grids.digest, from_ms, to_ms, segment=segment
            )
        }
        cache = PaneCache() if cache is None else cache
        keys = {start: (bound.version_id, grids.digest, segment, start) for start in revs}
        known = {
            start: pane
            for start, rev in revs.items()
            if (pane := cache.get(keys[start], rev)) is not None
        }
        missing = [start for start in revs if start not in known]
        if missing:
            rows = sql.pane_bodies(
                conn, bound.version_id, grids.digest, segment, min(missing), max(missing) + 1
            )
            starts, window_of = np.unique([row.start_ms for row in rows], return_inverse=True)
            table = stack(grids, [row.body for row in rows], window_of.tolist(), len(starts))
            for place, start in enumerate(starts.tolist()):
                known[start] = table.take([place])
                cache.put(keys[start], revs[start], known[start])
        self._starts = np.array(sorted(revs), dtype=np.int64)
        self._revs = np.array([revs[start] for start in self._starts.tolist()], dtype=np.int64)
        self._panes = Stack.together(
            [stack(grids, [], [], 0), *(known[start] for start in self._starts.tolist())]
        )

    def windows(self, spans: Sequence[tuple[int, int]]) -> Counted:
        """Add the panes up to windows `(start, end)`."""
        edges = np.searchsorted(self._starts, np.array(spans, dtype=np.int64).reshape(-1, 2))
        rev_sums = [int(self._revs[first:last].sum()) for first, last in edges]
        return Counted(self._panes.added(edges), rev_sums)


@dataclass(frozen=True)
class Judged:
    """Windows with the rule's answer; `due`, `rev_sums`, `monitor_revisions` and the
    judgement's rows go together.
    """

    length: str
    segment: str
    due: list[Due]
    rev_sums: list[int]
    judgement: Judgement
    names: tuple[str, ...]
    monitor_revisions: list[int]

    def marks_of(self, place: int) -> Callable[[str, str], tuple[int, int]]:
        """Return a look-up of one window's marks."""
        position = {name: at for at, name in enumerate(self.names)}

        def of(feature: str, statistic: str) -> tuple[int, int]:
            # A latch may be of a feature that is no more.
            if feature not in position:
                return Mark.NOT_EVALUABLE, Mark.NOT_EVALUABLE
            warning, critical = self.judgement.marks[statistic][place, position[feature]]
            return int(warning), int(critical)

        return of

    def telling(self) -> list[int]:
        """Return the places of the windows that have findings to store.

        Where no feature had enough rows for any statistic the window's own row
        says all there is: how many rows it had.
        """
        silent = (self.judgement.verdict == "insufficient_data").all(axis=1)
        return [int(place) for place in np.flatnonzero(~silent)]

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

    def place(self, end_ms: int) -> int:
        """Return which of `learnt` judges a window that ends then, -1 for `early`."""
        later = [at for at, (after_ms, _) in enumerate(self.learnt) if after_ms < end_ms]
        return later[-1] if later else -1

    def at(self, place: int) -> Calibration | None:
        """Return what `place` stands for."""
        return self.early if place < 0 else self.learnt[place][1]


def judge_windows(
    reference: Reference,
    segment: str,
    length: str,
    due: list[Due],
    counted: Counted,
    known: Known,
    monitor: Monitor,
    timezone: str,
) -> Judged:
    """Judge windows of one length and segment.

    Each by what was known and by the monitor that stood when it ended. A segment that the
    reference has too few rows of shows volume and rates.
    """
    at = when(np.array([window.start_ms for window in due], dtype=np.int64), timezone)
    names = reference.gridset.names()
    by_rule: dict[tuple[int, int], list[int]] = {}
    for place, window in enumerate(due):
        key = known.place(window.end_ms), monitor.place(window.end_ms)
        by_rule.setdefault(key, []).append(place)
    if segment not in reference.profiles:
        judgement = _unjudged(Judge(reference, "all", length, None), counted.profiles, at)
    else:
        parts = []
        for (learnt, _revision), places in by_rule.items():
            judge = Judge(reference, segment, length, known.at(learnt))
            here = When(at.hour[places], at.is_weekend[places])
            parts.append(judge.judge(counted.profiles.take(places), here))
        order = np.concatenate([np.array(places) for places in by_rule.values()])
        judgement = _together(parts, np.argsort(order))
    revisions = [monitor.revisions[monitor.place(window.end_ms)].number for window in due]
    return Judged(length, segment, due, counted.rev_sums, judgement, names, revisions)


def _unjudged(judge: Judge, windows: Stack, at: When) -> Judgement:
    shown = judge.judge(windows, at, with_measures=False)
    nothing = np.full(shown.psi.shape, np.nan)
    return replace(
        shown,
        psi=nothing,
        ks_low=nothing,
        ks_high=nothing,
        verdict=np.full(shown.psi.shape, "insufficient_data"),
    )


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


FindingRow = tuple[object, ...]


def finding_rows(
    judged: Judged, version_id: int, places: Sequence[int], alarming: Sequence[set[str]]
) -> list[FindingRow]:
    """Return the finding rows of the windows at `places`, in the order of the table's columns.

    `alarming[i]` holds the features with a closed latch after window `places[i]`.
    """
    j = judged.judgement
    chosen = np.asarray(places, dtype=np.intp)
    n_features = len(judged.names)

    def each(values: list[object]) -> list[object]:
        return [value for value in values for _ in range(n_features)]

    def flat(values: NDArray[np.generic]) -> list[object]:
        return list(values[chosen].ravel().tolist())

    def floats(values: NDArray[np.float64]) -> list[object]:
        picked = values[chosen].ravel()
        out = picked.astype(object)
        out[np.isnan(picked)] = None
        return list(out)

    windows = [judged.due[place] for place in places]
    columns: list[list[Any]] = [
        [version_id] * (len(windows) * n_features),
        [judged.length] * (len(windows) * n_features),
        each([window.start_ms for window in windows]),
        [judged.segment] * (len(windows) * n_features),
        list(judged.names) * len(windows),
        each([int(j.rows[place]) for place in places]),
        flat(j.values),
        floats(j.psi),
        floats(j.psi_limit),
        floats(j.psi_critical),
        floats(j.psi_lower),
        floats(j.ks_low),
        floats(j.ks_high),
    ]
    for rate in RATES:
        columns += [
            floats(j.rates[rate].value),
            floats(j.rates[rate].excess),
            floats(j.rates[rate].limit),
        ]
    marks, exceeds = _mark_texts(j, chosen)
    columns += [
        floats(j.ratio),
        flat(j.evidence),
        [None] * (len(windows) * n_features),
        flat(j.verdict),
        marks,
        exceeds,
        [name in alarms for alarms in alarming for name in judged.names],
    ]
    return list(zip(*columns, strict=True))


def _mark_texts(
    judgement: Judgement, chosen: NDArray[np.intp]
) -> tuple[list[object], list[object]]:
    """Return the stored form of the marks and the names of what exceeds, a window and feature each.

    There are few different combinations, so each is put into words once.
    """
    names = tuple(judgement.marks)
    # The marks of each, warning and critical, are digits of one number: of fifteen they fit.
    weights = 4 ** np.arange(2 * len(names), dtype=np.int64).reshape(-1, 2)
    flat = np.zeros(judgement.psi[chosen].size, dtype=np.int64)
    for name, weight in zip(names, weights, strict=True):
        flat += judgement.marks[name][chosen].reshape(-1, 2).astype(np.int64) @ weight
    codes, inverse = np.unique(flat, return_inverse=True)
    texts, over = [], []
    for code in codes:
        digits = (code // weights) % 4
        pairs = {name: (int(digits[at, 0]), int(digits[at, 1])) for at, name in enumerate(names)}
        texts.append(marks_to_text(pairs))
        over.append(",".join(name for name, pair in pairs.items() if Mark.EXCEEDS in pair))
    places = inverse.ravel().tolist()
    return [texts[place] for place in places], [over[place] for place in places]
