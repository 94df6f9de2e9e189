"""What each length of a version knows of its natural wobble, and how it learns it live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from driftline.stats.calibration import (
    MIN_SLICES,
    Calibration,
    from_reference,
    from_windows,
    unknown,
)
from driftline.stats.reference import Reference
from monitor.detect.plan import Due
from monitor.evaluate.judging import Known, PaneTable
from monitor.storage import evaluation as sql
from monitor.storage.evaluation import Learnt
from monitor.storage.registry import BoundVersion
from monitor.windows.calendar import NOMINAL_MS, window_of


@dataclass(frozen=True)
class Lesson:
    """What a length learnt from live windows in this pass; stored with it, for good."""

    digest: str
    segment: str
    length: str
    learnt: Learnt


class SliceCalibrations:
    """Calibrations from references' slices, each computed once."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str, str], Calibration | None] = {}

    def get(self, reference: Reference, segment: str, length: str) -> Calibration | None:
        """Return what the reference's slices teach; None where it has too few."""
        key = (reference.digest, segment, length)
        if key not in self._made:
            self._made[key] = from_reference(reference, segment, length)
        return self._made[key]


class Teacher:
    """Says what the lengths of one version and reference know, and lets them learn.

    Parameters
    ----------
    lengths
        The monitor's.
    first_pane_ms
        Where the reference's own panes begin.
    until_ms
        Event time up to which every window is complete. How a window was
        closed is history and plays no part: a replay must learn the same.
    is_complete
        Whether a window that is due lacks no records.
    """

    def __init__(
        self,
        conn: Connection,
        bound: BoundVersion,
        reference: Reference,
        slices: SliceCalibrations,
        *,
        lengths: Sequence[str],
        first_pane_ms: int,
        until_ms: int,
        is_complete: Callable[[Due], bool],
    ) -> None:
        self._conn, self._bound, self._reference = conn, bound, reference
        self._slices, self._lengths = slices, lengths
        self._first_pane_ms, self._until_ms = first_pane_ms, until_ms
        self._is_complete = is_complete
        self._live = sql.calibrations(conn, bound.version_id, reference.digest)
        self.learnt: list[Lesson] = []

    def known(self, segment: str, length: str, windows: Sequence[Due]) -> Known:
        """Return what a length knows, learning it where `windows` complete the first eight."""
        reference = self._reference
        if segment not in reference.profiles:
            return Known(None)
        calibration = self._slices.get(reference, segment, length)
        if calibration is not None:
            return Known(None, ((0, calibration),))
        # Where no length knows any wobble, windows are judged without; else they wait.
        is_known_elsewhere = any(
            self._slices.get(reference, segment, other) for other in self._lengths
        )
        early = None if is_known_elsewhere else unknown(reference)
        learnt = self._live.setdefault((segment, length), [])
        # After a replay the first may have to be learnt anew, while later ones stand.
        if not any(found.revision == 1 for found in learnt):
            spans = self._first_windows(segment, length, windows)
            if len(spans) >= MIN_SLICES:
                calibration = self._learn(segment, length, spans)
                first = Learnt(1, spans[-1][1], spans, calibration)
                learnt.insert(0, first)
                self.learnt.append(Lesson(reference.digest, segment, length, first))
        return Known(early, tuple((found.after_ms, found.calibration) for found in learnt))

    def again(self, segment: str, length: str) -> Lesson | None:
        """Return what a length learns anew from the last eight complete windows that were judged.

        None where it has nothing to learn anew: the reference knows its wobble, it has not
        learnt its first yet, or no window has come since.
        """
        reference, before = self._reference, self._live.get((segment, length))
        if not before or self._slices.get(reference, segment, length) is not None:
            return None
        place = (self._conn, self._bound.version_id, length, segment)
        spans = sql.complete_windows(
            *place, reference.digest, self._first_pane_ms, self._until_ms, MIN_SLICES, is_last=True
        )
        if len(spans) < MIN_SLICES or spans == before[-1].windows:
            return None
        calibration = self._learn(segment, length, spans)
        # What was judged already stays as it is: a late event, or a replay, must find the same.
        judged_ms = sql.judged_until(*place)
        learnt = Learnt(before[-1].revision + 1, judged_ms, spans, calibration)
        before.append(learnt)
        return Lesson(reference.digest, segment, length, learnt)

    def _learn(self, segment: str, length: str, spans: list[tuple[int, int]]) -> Calibration:
        reference = self._reference
        table = PaneTable(self._conn, self._bound, reference, [segment], spans[0][0], spans[-1][1])
        counted = table.windows([(segment, start, end) for start, end in spans])
        calibration = from_windows(reference, counted.profiles.counts)
        shorter = self._shorter(segment, length)
        return calibration if shorter is None else calibration.no_wilder_than(shorter)

    def _first_windows(
        self, segment: str, length: str, windows: Sequence[Due]
    ) -> list[tuple[int, int]]:
        """Return the first eight complete windows, stored ones and those due now."""
        opening = window_of(self._first_pane_ms, length, self._bound.timezone)
        is_whole = opening.start_ms == self._first_pane_ms
        from_ms = opening.start_ms if is_whole else opening.end_ms
        spans = set(
            sql.complete_windows(
                self._conn,
                self._bound.version_id,
                length,
                segment,
                self._reference.digest,
                from_ms,
                self._until_ms,
                MIN_SLICES,
            )
        )
        spans |= {
            (window.start_ms, window.end_ms)
            for window in windows
            if window.start_ms >= from_ms
            and window.end_ms <= self._until_ms
            and self._is_complete(window)
        }
        return sorted(spans)[:MIN_SLICES]

    def _shorter(self, segment: str, length: str) -> Calibration | None:
        """Return the calibration of the next shorter length that has one."""
        shorter = [other for other in self._lengths if NOMINAL_MS[other] < NOMINAL_MS[length]]
        for other in sorted(shorter, key=NOMINAL_MS.__getitem__, reverse=True):
            known = self._slices.get(self._reference, segment, other)
            if known is None and self._live.get((segment, other)):
                known = self._live[segment, other][-1].calibration
            if known is not None:
                return known
        return None
