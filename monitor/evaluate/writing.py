"""Judged windows of one length: folded onto what was before in each segment, and written."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.engine import Connection

from driftline.stats.reference import Reference
from monitor.detect.fold import Folded, Marked, States, fold, marks_from_text, states_to_json
from monitor.detect.kinds import KIND_OF
from monitor.detect.plan import Due
from monitor.evaluate.incidents import Touched
from monitor.evaluate.judging import Judged
from monitor.evaluate.rows import finding_columns, model_row
from monitor.storage import evaluation as sql
from monitor.storage import latches, rollup
from monitor.storage.registry import BoundVersion
from monitor.windows.watermark import Watermark


class _Folded(NamedTuple):
    """One segment's windows, folded onto what was before.

    Attributes
    ----------
    first
        The first of those that were judged now.
    kept
        Later windows that were judged before.
    place
        {start: place in the fold}
    had_states
        Whether the window before the first one left any.
    """

    segment: str
    first: Due
    kept: list[sql.JudgedWindow]
    stored: dict[int, dict[str, sql.Marks]]
    folded: Folded
    place: dict[int, int]
    had_states: bool

    def states(self, start_ms: int) -> States:
        """Return the states after a window."""
        return self.folded.states[self.place[start_ms]]

    def alarming(self, start_ms: int) -> set[str]:
        """Return the features with an open latch after a window."""
        return self.folded.alarming(self.place[start_ms])


def write_windows(
    conn: Connection,
    bound: BoundVersion,
    references: Mapping[str, Reference],
    judged: Judged,
    digest: str,
    *,
    mark: Watermark,
    incomplete: Sequence[str | None],
    now_ms: int,
) -> set[Touched]:
    """Fold and write windows, all segments' together; return what latches changed.

    Later windows that were judged before are folded again.

    Parameters
    ----------
    digest
        Of the reference that judged them.
    mark
        What closed them.
    incomplete
        Why each of `judged.due` may lack records, None where it does not.
    """
    version_id, length = bound.version_id, judged.length
    by_segment = _fold(conn, version_id, judged)
    # Only windows judged before are there to be replaced.
    again = [(window.segment, window.start_ms) for window in judged.due if window.revision > 1]
    sql.delete_windows(conn, version_id, length, again)
    sql.insert_windows(
        conn,
        [
            (
                version_id,
                length,
                window.start_ms,
                window.segment,
                window.end_ms,
                int(judged.judgement.rows[place]),
                judged.rev_sums[place],
                window.revision,
                _closed_by(mark, window.end_ms),
                incomplete[place],
                digest,
                judged.monitor_revisions[place],
                _text(by_segment[window.segment].states(window.start_ms)),
                now_ms,
            )
            for place, window in enumerate(judged.due)
        ],
    )
    telling = judged.telling()
    told = [judged.due[place] for place in telling]
    alarming = [by_segment[window.segment].alarming(window.start_ms) for window in told]
    reference = references[digest]
    sql.insert_findings(conn, finding_columns(judged, reference, version_id, telling, alarming))
    models = []
    for place, window, alarms in zip(telling, told, alarming, strict=True):
        states = by_segment[window.segment].states(window.start_ms)
        said = model_row(reference, states, alarms, judged.evaluated(place), judged.verdicts(place))
        models.append((version_id, length, window.start_ms, window.segment, *said))
    sql.insert_model_windows(conn, models)
    _fold_again(conn, version_id, length, references, by_segment.values())
    judged_again = {segment for segment, _ in again}
    if length == rollup.LENGTH:
        starts = {segment: found.place for segment, found in by_segment.items()}
        following = {
            segment
            for segment, found in by_segment.items()
            if segment not in judged_again and not found.kept
        }
        rollup.refresh(conn, version_id, bound.timezone, starts, following=following)
    refound = [
        _latches(found, is_again=segment in judged_again) for segment, found in by_segment.items()
    ]
    concerned = latches.replace_latches(
        conn, version_id, length, [found for found in refound if found is not None]
    )
    return {Touched(feature, KIND_OF[statistic]) for feature, statistic in concerned}


def _text(states: States) -> str:
    return json.dumps(states_to_json(states))


def _fold(conn: Connection, version_id: int, judged: Judged) -> dict[str, _Folded]:
    """Fold the windows of each segment, and those after them that were judged before."""
    length, exceeding = judged.length, judged.exceeding()
    due: dict[str, list[int]] = {}
    for place, window in enumerate(judged.due):
        due.setdefault(window.segment, []).append(place)
    firsts = {segment: judged.due[places[0]] for segment, places in due.items()}
    from_ms = {segment: first.start_ms for segment, first in firsts.items()}
    before = sql.states_before(conn, version_id, length, from_ms)
    own = {(window.segment, window.start_ms) for window in judged.due}
    kept = {
        segment: later
        for segment, windows in sql.windows_from(conn, version_id, length, from_ms).items()
        if (later := [window for window in windows if (segment, window.start_ms) not in own])
    }
    stored = sql.stored_marks(
        conn,
        version_id,
        length,
        {segment: windows[0].start_ms for segment, windows in kept.items()},
    )
    out = {}
    for segment, places in due.items():
        later, marks = kept.get(segment, []), stored.get(segment, {})
        marked = [
            Marked(
                judged.due[place].start_ms,
                judged.due[place].end_ms,
                exceeding[place],
                judged.marks_of(place),
            )
            for place in places
        ]
        marked += [
            _stored_window(window.start_ms, window.end_ms, marks.get(window.start_ms, {}))
            for window in later
        ]
        marked.sort(key=lambda window: window.start_ms)
        states = before.get(segment, {})
        out[segment] = _Folded(
            segment,
            firsts[segment],
            later,
            marks,
            fold(states, marked, length),
            {window.start_ms: place for place, window in enumerate(marked)},
            bool(states),
        )
    return out


def _fold_again(
    conn: Connection,
    version_id: int,
    length: str,
    references: Mapping[str, Reference],
    by_segment: Collection[_Folded],
) -> None:
    """Store what the fold says of windows judged before, and of all their features together."""
    refolded, models = [], []
    for found in by_segment:
        for window in found.kept:
            states, alarms = found.states(window.start_ms), found.alarming(window.start_ms)
            refolded.append(sql.Refolded(found.segment, window.start_ms, _text(states), alarms))
            marks = found.stored.get(window.start_ms)
            if marks:
                judged_of = {feature for feature, was in marks.items() if was.marks}
                verdicts = {was.verdict for was in marks.values()}
                said = model_row(references[window.digest], states, alarms, judged_of, verdicts)
                models.append((version_id, length, window.start_ms, found.segment, *said))
    sql.update_folds(conn, version_id, length, refolded)
    sql.replace_model_windows(conn, version_id, length, models)


def _latches(found: _Folded, *, is_again: bool) -> latches.Refound | None:
    """Return the latches of a segment; None where there was none to change."""
    rows: list[latches.LatchRow] = [
        (key, latch, 0, latch.last_ms) for key, latch in found.folded.ended
    ]
    rows += [
        (key, state.latch, state.clear_count, state.last_evaluable_ms)
        for key, state in found.folded.states[-1].items()
        if state.latch is not None
    ]
    if not (rows or found.had_states or is_again or found.kept):
        return None  # new windows after quiet ones
    return latches.Refound(found.segment, found.first.end_ms, rows)


def _stored_window(start_ms: int, end_ms: int, found: Mapping[str, sql.Marks]) -> Marked:
    """Return a window that was judged before, as the fold sees it."""
    marks = {feature: marks_from_text(kept.marks) for feature, kept in found.items() if kept.marks}
    exceeding = [
        (feature, statistic)
        for feature, by_statistic in marks.items()
        for statistic, pair in by_statistic.items()
        if 3 in pair
    ]
    return Marked(
        start_ms,
        end_ms,
        exceeding,
        lambda feature, statistic: marks.get(feature, {}).get(statistic, (0, 0)),
    )


def _closed_by(mark: Watermark, end_ms: int) -> str:
    if mark.time_ms is not None and end_ms <= mark.time_ms:
        return "hold" if mark.held_by else "watermark"
    return mark.closed_by
