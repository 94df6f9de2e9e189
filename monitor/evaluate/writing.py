"""Judged windows of one length and segment: folded onto what was before, and written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from driftline.stats.reference import Reference
from monitor.detect.fold import Marked, fold, marks_from_text, states_to_json
from monitor.detect.kinds import KIND_OF
from monitor.evaluate.incidents import Touched
from monitor.evaluate.judging import Judged
from monitor.evaluate.rows import finding_rows, measure_rows, model_row
from monitor.storage import evaluation as sql
from monitor.storage import latches, rollup
from monitor.storage.registry import BoundVersion
from monitor.windows.watermark import Watermark


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
    """Fold and write windows; return what latches changed.

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
    version_id, length, segment = bound.version_id, judged.length, judged.segment
    first = judged.due[0]
    before = sql.states_before(conn, version_id, length, segment, first.start_ms)
    new_starts = {window.start_ms: place for place, window in enumerate(judged.due)}
    exceeding = judged.exceeding()
    marked = [
        Marked(window.start_ms, window.end_ms, exceeding[place], judged.marks_of(place))
        for place, window in enumerate(judged.due)
    ]
    kept = [
        window
        for window in sql.windows_from(conn, version_id, length, segment, first.start_ms)
        if window.start_ms not in new_starts
    ]
    stored: dict[int, dict[str, sql.Marks]] = {}
    if kept:
        stored = sql.stored_marks(conn, version_id, length, segment, kept[0].start_ms)
        marked += [
            _stored_window(window.start_ms, window.end_ms, stored.get(window.start_ms, {}))
            for window in kept
        ]
        marked.sort(key=lambda window: window.start_ms)
    folded = fold(before, marked, length)
    places = {window.start_ms: place for place, window in enumerate(marked)}

    # Only windows judged before are there to be replaced.
    again = [window.start_ms for window in judged.due if window.revision > 1]
    sql.delete_windows(conn, version_id, length, segment, again)
    sql.insert_windows(
        conn,
        [
            (
                version_id,
                length,
                window.start_ms,
                segment,
                window.end_ms,
                int(judged.judgement.rows[place]),
                judged.rev_sums[place],
                window.revision,
                _closed_by(mark, window.end_ms),
                incomplete[place],
                digest,
                judged.monitor_revisions[place],
                json.dumps(states_to_json(folded.states[places[window.start_ms]])),
                now_ms,
            )
            for place, window in enumerate(judged.due)
        ],
    )
    telling = judged.telling()
    alarming = [folded.alarming(places[judged.due[place].start_ms]) for place in telling]
    sql.insert_findings(conn, finding_rows(judged, version_id, telling, alarming))
    reference = references[digest]
    sql.insert_measures(conn, measure_rows(judged, reference, version_id, telling))
    models = []
    for place, alarms in zip(telling, alarming, strict=True):
        start_ms = judged.due[place].start_ms
        states = folded.states[places[start_ms]]
        said = model_row(reference, states, alarms, judged.evaluated(place), judged.verdicts(place))
        models.append((version_id, length, start_ms, segment, *said))
    for window in kept:
        place = places[window.start_ms]
        states, alarms = folded.states[place], folded.alarming(place)
        sql.update_fold(
            conn, version_id, length, segment, window.start_ms,
            json.dumps(states_to_json(states)), alarms,
        )  # fmt: skip
        found = stored.get(window.start_ms)
        if found:
            own = references[window.digest]
            judged_of = {feature for feature, was in found.items() if was.marks}
            said = model_row(
                own, states, alarms, judged_of, {was.verdict for was in found.values()}
            )
            models.append((version_id, length, window.start_ms, segment, *said))
    sql.replace_model_windows(conn, models)
    if length == rollup.LENGTH:
        rollup.refresh(conn, version_id, segment, bound.timezone, places)
    rows: list[latches.LatchRow] = [(key, latch, 0, latch.last_ms) for key, latch in folded.ended]
    rows += [
        (key, state.latch, state.clear_count, state.last_evaluable_ms)
        for key, state in folded.states[-1].items()
        if state.latch is not None
    ]
    if not (rows or before or again or kept):
        return set()  # new windows after quiet ones: no latch was there to change
    concerned = latches.replace_latches(conn, version_id, segment, length, first.end_ms, rows)
    return {Touched(feature, KIND_OF[statistic]) for feature, statistic in concerned}


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
