"""Learning the natural wobble anew, because somebody says that what is usual has changed.

A length that its reference has too few slices of learns from its first eight live windows, once
and for good: whatever is judged again finds the same. Only here does it learn anew, from the
last eight; what was judged by then stays as it was judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from driftline.errors import Conflict
from driftline.stats.lengths import MIN_SLICES, NOMINAL_MS, in_words
from driftline.stats.reference import Reference
from monitor.evaluate.teacher import SliceCalibrations, Teacher
from monitor.storage import evaluation as sql
from monitor.storage import models, registry
from monitor.storage.registry import BoundVersion


@dataclass(frozen=True)
class Learning:
    """What one segment and length did; `why` says why it learnt nothing, else it is empty.

    `revision` is the calibration that judges it now (0: none that was learnt live), `windows`
    what that was learnt from and `after_ms` the end of the last window judged without it.
    """

    segment: str
    length: str
    revision: int
    after_ms: int
    windows: tuple[tuple[int, int], ...]
    why: str = ""

    @property
    def is_new(self) -> bool:
        """Whether it learnt anything."""
        return not self.why


def recalibrate(
    conn: Connection,
    bound: BoundVersion,
    references: Mapping[str, Reference],
    *,
    length: str | None = None,
    segment: str | None = None,
    actor: str,
    now_ms: int,
) -> list[Learning]:
    """Let lengths learn their wobble from the last eight complete windows.

    Inside `engine.transaction`. Again without a new window it changes nothing.

    Parameters
    ----------
    length, segment
        Only this one; None for all of the monitor's lengths, and all segments that have learnt.

    Returns
    -------
    list of Learning
        By segment, `all` first, and length, the shortest first.

    Raises
    ------
    Conflict
        The version has no reference, or its monitor does not have the length.
    """
    if not bound.bindings:
        raise Conflict(f"{bound.model} {bound.version} has no reference: register one first")
    sql.hold_cursors(conn, [bound.version_id])
    effective_ms, digest = bound.bindings[-1]
    reference = references[digest]
    spec = registry.monitor_history(conn, bound.version_id).latest.spec
    lengths = sorted(spec.lengths, key=NOMINAL_MS.__getitem__)
    if length is not None and length not in lengths:
        raise Conflict(
            f"{bound.model} is not judged by {length!r}: its windows are {', '.join(lengths)}"
        )
    span = sql.pane_span(conn, bound.version_id, [reference.gridset.digest]) or (0, 0)
    slices = SliceCalibrations()
    teacher = Teacher(
        conn,
        bound,
        reference,
        slices,
        lengths=lengths,
        first_pane_ms=max(span[0], effective_ms if len(bound.bindings) > 1 else 0),
        until_ms=sql.cursor(conn, bound.version_id).watermark_ms or 0,
        is_complete=lambda window: False,
    )
    before = sql.calibrations(conn, bound.version_id, digest)
    segments = {name for name, _ in before} | {"all"} if segment is None else {segment}
    out = []
    for name in sorted(segments, key=lambda name: (name != "all", name)):
        for at in lengths if length is None else [length]:
            lesson = teacher.again(name, at)
            known = before.get((name, at), [])
            if lesson is not None:
                sql.store_calibration(
                    conn, bound.version_id, digest, name, at, lesson.learnt, now_ms
                )
                known = [lesson.learnt]
            out.append(
                Learning(
                    name,
                    at,
                    known[-1].revision if known else 0,
                    known[-1].after_ms if known else 0,
                    tuple(known[-1].windows) if known else (),
                    "" if lesson else _why(reference, name, at, slices, learnt=bool(known)),
                )
            )
    made = [f"{learnt.segment} {learnt.length}" for learnt in out if learnt.is_new]
    if made:
        registry.bump_data_version(conn)
        models.note(
            conn, actor=actor, action="monitor.recalibrate",
            subject=f"{bound.model} {bound.version}", now_ms=now_ms, learnt=made,
        )  # fmt: skip
    return out


def _why(
    reference: Reference, segment: str, length: str, slices: SliceCalibrations, *, learnt: bool
) -> str:
    if segment not in reference.profiles:
        return "the reference has too few rows of this segment to judge it by"
    if slices.get(reference, segment, length) is not None:
        return "the reference knows its wobble: register a new reference to change it"
    if not learnt:
        return f"it learns from its first {in_words(MIN_SLICES, length, 'complete')}, still to come"
    return "no complete window has come since it learnt last"
