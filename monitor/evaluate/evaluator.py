"""One pass of the evaluator over one model version: what is over is judged, once.

1. Read in one view of the database: cursor, positions, panes, stored windows.
2. The watermark says which windows are over; stale ones are judged again.
3. Panes are added up, judged and folded onto the states before them.
4. One transaction moves the cursor by compare-and-swap and writes windows,
   findings, latches, incidents and the messages about them; another evaluator
   that was faster makes it write nothing.

Running it again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy.engine import Connection, Engine

from driftline.errors import StorageUnavailable
from driftline.stats.episodes import expire, expires_after
from monitor.detect.kinds import KIND_OF
from monitor.detect.knowledge import Moment
from monitor.detect.plan import Due
from monitor.detect.spec import Monitor
from monitor.evaluate import retraining
from monitor.evaluate.alerts import AlertBook, remind, tell_overdue
from monitor.evaluate.changes import Asked, Changes, Look
from monitor.evaluate.due import judge_due, while_bound
from monitor.evaluate.incidents import IncidentBook, Touched
from monitor.evaluate.judging import Judged
from monitor.evaluate.silence import SilenceBook, looks_back_to
from monitor.evaluate.succession import SuccessionBook
from monitor.evaluate.teacher import Lesson, SliceCalibrations, Teacher
from monitor.evaluate.writing import write_windows
from monitor.storage import alerts, latches, promotions, reminders
from monitor.storage import evaluation as sql
from monitor.storage import registry as registry_store
from monitor.storage.engine import reading, transaction
from monitor.storage.registry import BoundVersion, Registry
from monitor.windows.calendar import DAY_MS, NOMINAL_MS, window_of
from monitor.windows.panes import HOUR_MS
from monitor.windows.watermark import Watermark, watermark

log = structlog.get_logger(__name__)

# Event time judged in one transaction at most: three weeks of a year that is caught up on.
STRIDE_MS = 21 * DAY_MS
# A version so far behind its stream's time is an old log that was sent after newer events.
BACKFILL_MS = DAY_MS
# Records that have waited for so long are a backlog; of a log that is read as it is written
# a few are always to come.
BACKLOG_MS = 5_000
# A stream is live, and the wall clock says what it lacks, when its newest event was sent about
# when it happened; a log of last year that is sent now is not.
LIVE_MS = HOUR_MS
# An idle version is looked at for silence so often.
LOOK_MS = 60_000


@dataclass(frozen=True)
class EvaluateSettings:
    """What the evaluator needs to know.

    Attributes
    ----------
    interval_s
        Time between two looks.
    idle_timeout_s
        For how long a partition must have been read to its end to count as idle.
    stalled_after_s
        A position row older than this belongs to an owner that is stuck or gone.
    web_url
        Where the pages are, for the links in messages.
    tells
        Whether it decides messages: what judges the past anew must not.
    """

    database_url: str
    owner: str = "evaluator"
    interval_s: float = 5.0
    idle_timeout_s: float = 60.0
    # Three times the longest interval between two checkpoints.
    stalled_after_s: float = 90.0
    web_url: str = "http://127.0.0.1:8050"
    tells: bool = True


@dataclass
class _Pass:
    """What one pass has read and found; written in one transaction."""

    bound: BoundVersion
    monitor: Monitor
    cursor: sql.Cursor
    done_ms: int
    mark: Watermark
    until_ms: int
    now_ms: int
    gaps: list[sql.Gap]
    looks: list[Look] = field(default_factory=list)
    judged: list[tuple[Judged, str]] = field(default_factory=list)
    learnt: list[Lesson] = field(default_factory=list)
    next_watermark_ms: int | None = None
    is_last: bool = True
    # Stale windows that ended before are left as they are.
    revisable_from_ms: int = 0
    # Event time up to which predictions are known, and whether they say anything new of silence.
    clock_ms: int = 0
    has_silence: bool = False
    is_relieved: bool = False  # or not any more


class Evaluator:
    """Judges every model version that has a reference; see the module."""

    def __init__(
        self,
        engine: Engine,
        settings: EvaluateSettings,
        *,
        now_ms: Callable[[], int],
        went_on: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._now_ms = now_ms
        self._went_on = went_on
        self._registry: Registry | None = None
        self._slices = SliceCalibrations()
        self._changes = Changes()
        self._failures: dict[int, str] = {}
        self._looked: dict[int, tuple[int, int]] = {}  # by the clock, in event time
        self._reminded_ms = -LOOK_MS

    def step(self) -> int:
        """Judge all that is due; return how many windows that was.

        A version whose judging fails does not keep the others waiting.
        """
        self._registry = registry_store.load(self._engine, self._registry)
        count, (overdue, repeating) = 0, self._waiting()
        for bound in self._registry.versions.values():
            if not bound.bindings:
                continue
            try:
                count += self._judge_version(bound)
                if bound.version_id in overdue:
                    settings = self._settings
                    tell_overdue(
                        self._engine, bound, self._now_ms(), settings.web_url, settings.owner
                    )
                if bound.model in repeating:
                    remind(
                        self._engine, bound, self._now_ms(), self._settings.web_url,
                        self._settings.owner,
                    )  # fmt: skip
            except StorageUnavailable:
                raise
            except Exception as error:
                if self._failures.get(bound.version_id) != repr(error):  # said once
                    self._failures[bound.version_id] = repr(error)
                    log.exception("cannot judge", model=bound.model, version=bound.version)
            else:
                self._failures.pop(bound.version_id, None)
        return count

    def _judge_version(self, bound: BoundVersion) -> int:
        """Judge one version, in strides of event time."""
        count, judged_to_ms = 0, None
        while True:
            self._went_on()
            found = self._read(bound, judged_to_ms)
            # Another evaluator may be faster: then it is looked at again next time.
            if found is None or not self._write(found):
                return count
            count += sum(len(judged.due) for judged, _ in found.judged)
            if found.is_last:
                return count
            judged_to_ms = found.until_ms

    def _gridsets(self, bound: BoundVersion) -> set[str]:
        assert self._registry is not None
        references = self._registry.references
        return {references[digest].gridset.digest for _, digest in bound.bindings}

    # -- reading and judging ---------------------------------------------------------------

    def _read(self, bound: BoundVersion, judged_to_ms: int | None) -> _Pass | None:
        """Read and judge one stride of what is due; None when there is nothing to look at.

        `judged_to_ms` is where the stride before ended, None for the first.
        """
        with reading(self._engine) as conn:
            span = sql.pane_span(conn, bound.version_id, self._gridsets(bound))
            if span is None:
                return None
            monitor = registry_store.monitor_history(conn, bound.version_id)
            spec = monitor.latest.spec
            streams = sql.streams_of(conn, bound.model, bound.version)
            times = sql.partition_times(conn, streams)
            now_ms = self._now_ms()
            mark = watermark(
                times,
                now_ms=now_ms,
                lateness_ms=spec.lateness_ms,
                idle_timeout_ms=int(self._settings.idle_timeout_s * 1000),
                stalled_after_ms=int(self._settings.stalled_after_s * 1000),
                max_hold_ms=spec.max_hold_ms,
            )
            cursor = sql.cursor(conn, bound.version_id)
            if not streams and cursor.rejudge_from_ms is not None:
                # Only what was uploaded is there: all of it, whatever comes after.
                mark = Watermark(span[1] + bound.pane_ms, "watermark", is_final=True)
            known = [row.max_event_time_ms for row in times if row.max_event_time_ms is not None]
            event_ms = max(known) - spec.lateness_ms if mark.is_final and known else mark.time_ms
            if event_ms is None:
                return None
            is_far_behind = event_ms - span[1] > BACKFILL_MS
            if is_far_behind and sql.has_backlog(
                conn, streams, BACKLOG_MS, read_since_ms=now_ms - spec.max_hold_ms
            ):
                # Its partitions are read at different paces: more rows of its windows may wait.
                return None
            # A window whose end the wall clock has not reached cannot be over by silence.
            limit_ms = event_ms
            if mark.is_final:
                longest_ms = max(NOMINAL_MS[length] for length in spec.lengths)
                limit_ms = min(now_ms, span[1] + max(8 * DAY_MS, longest_ms + DAY_MS))
            # The stream's time may be far ahead by the events of another model.
            last = sql.last_windows(conn, bound.version_id, spec.lengths)
            is_quiet = bool(last) and span[1] < max(end_ms for _, end_ms in last)
            done_ms = max((start_ms for start_ms, _ in last), default=span[0])
            from_ms = cursor.watermark_ms or span[0] if is_quiet else done_ms
            base_ms = max(span[0], from_ms, judged_to_ms or span[0])
            done_ms = min(done_ms, cursor.watermark_ms or span[0])
            revisable_from_ms = done_ms - spec.horizon_ms
            # A replay counted anew what may lie long behind: that is gone through first.
            again_ms = cursor.rejudge_from_ms
            if again_ms is not None:
                base_ms, done_ms = max(span[0], again_ms), min(done_ms, again_ms)
                revisable_from_ms = min(revisable_from_ms, again_ms)
            until_ms = min(limit_ms, base_ms + STRIDE_MS)
            found = _Pass(
                bound=bound,
                monitor=monitor,
                cursor=cursor,
                done_ms=done_ms,
                mark=Watermark(event_ms, mark.closed_by, mark.is_final, mark.held_by),
                until_ms=until_ms,
                now_ms=now_ms,
                gaps=sql.gaps(conn, streams),
                next_watermark_ms=max(min(until_ms, event_ms), cursor.watermark_ms or 0),
                is_last=until_ms >= limit_ms,
                revisable_from_ms=revisable_from_ms,
            )
            clock_ms = span[1] if mark.held_by else event_ms
            if mark.is_final and sql.is_live(conn, streams, LIVE_MS):
                clock_ms = now_ms
            # Windows close by silence days later than predictions are known.
            is_again = again_ms is not None
            found.clock_ms = clock_ms if found.is_last or is_again else min(until_ms, clock_ms)
            for digest, effective_ms, replaced_ms in while_bound(bound):
                self._judge_binding(conn, found, digest, effective_ms, replaced_ms)
            is_idle = not (found.judged or is_again) and judged_to_ms is None
            if not is_idle or self._is_time_to_look(conn, found):
                self._looked[bound.version_id] = now_ms, found.clock_ms
                found.has_silence = self._silence(conn, found).has_news
                found.is_relieved = self._succession(conn, found).since_ms is not None
        return found

    def _is_time_to_look(self, conn: Connection, found: _Pass) -> bool:
        version_id = found.bound.version_id
        looked_ms, clock_ms = self._looked.get(version_id, (0, 0))
        if found.now_ms - looked_ms >= LOOK_MS:
            return True
        # Of a log that is sent faster than it was written a minute holds days.
        is_later = found.clock_ms - clock_ms >= HOUR_MS
        return is_later and promotions.is_replaced(conn, version_id)

    def _silence(self, conn: Connection, found: _Pass) -> SilenceBook:
        assert self._registry is not None
        return SilenceBook(
            conn,
            found.bound,
            self._registry,
            from_ms=looks_back_to(found.done_ms, found.monitor.latest.spec.horizon_ms),
            clock_ms=found.clock_ms,
            now_ms=found.now_ms,
        )

    def _succession(self, conn: Connection, found: _Pass) -> SuccessionBook:
        assert self._registry is not None
        return SuccessionBook(
            conn,
            found.bound,
            self._registry,
            from_ms=looks_back_to(found.done_ms, found.monitor.latest.spec.horizon_ms),
            clock_ms=found.clock_ms,
        )

    def _judge_binding(
        self,
        conn: Connection,
        found: _Pass,
        digest: str,
        effective_ms: int,
        replaced_ms: int | None,
    ) -> None:
        """Judge the windows that start while one reference is bound."""
        bound, spec = found.bound, found.monitor.latest.spec
        assert self._registry is not None
        reference = self._registry.references[digest]
        span = sql.pane_span(conn, bound.version_id, [reference.gridset.digest])
        if span is None:
            return
        first_pane_ms = max(span[0], effective_ms)
        low_ms = max(first_pane_ms, found.revisable_from_ms)
        longest = max(spec.lengths, key=NOMINAL_MS.__getitem__)
        from_ms = window_of(low_ms, longest, bound.timezone).start_ms
        asked = Asked(
            version_id=bound.version_id,
            place=(digest, effective_ms),
            gridset=reference.gridset.digest,
            judged_by=(bound.bindings, found.monitor.latest.number),
            epoch=found.cursor.epoch,
            from_ms=from_ms,
            until_ms=found.until_ms,
            revisable_from_ms=found.revisable_from_ms,
            lengths=spec.lengths,
            timezone=bound.timezone,
            is_again=found.cursor.rejudge_from_ms is not None,
        )
        over, look = self._changes.due(conn, asked)
        found.looks.append(look)
        due = [
            window
            for window in over
            if window.start_ms >= effective_ms
            and (replaced_ms is None or window.start_ms < replaced_ms)
        ]
        if not due:
            return
        teacher = Teacher(
            conn,
            bound,
            reference,
            self._slices,
            lengths=spec.lengths,
            first_pane_ms=first_pane_ms,
            until_ms=_learns_until(found),
            is_complete=lambda window: _incomplete(found, window) is None,
        )
        found.judged += (
            (judged, digest)
            for judged in judge_due(conn, bound, reference, due, found.monitor, teacher.known)
        )
        found.learnt += teacher.learnt

    # -- writing ---------------------------------------------------------------------------

    def _write(self, found: _Pass) -> bool:
        """Write one pass in one transaction; False when another evaluator was faster."""
        bound = found.bound
        is_again = found.cursor.rejudge_from_ms is not None
        is_news = bool(found.judged) or found.has_silence or found.is_relieved or is_again
        if not is_news and found.next_watermark_ms == found.cursor.watermark_ms:
            self._changes.keep(bound.version_id, found.looks, found.cursor.epoch)
            return True
        assert self._registry is not None
        with transaction(self._engine) as conn:
            moved = sql.move_cursor(
                conn, bound.version_id, found.cursor, found.next_watermark_ms, self._settings.owner
            )
            if not moved:
                return False
            if is_again:
                sql.rejudge_from(conn, bound.version_id, None if found.is_last else found.until_ms)
            for lesson in found.learnt:
                sql.store_calibration(
                    conn,
                    bound.version_id,
                    lesson.digest,
                    lesson.segment,
                    lesson.length,
                    lesson.learnt,
                    found.now_ms,
                )
            touched: set[Touched] = set()
            for judged, digest in found.judged:
                touched |= write_windows(
                    conn,
                    bound,
                    self._registry.references,
                    judged,
                    digest,
                    mark=found.mark,
                    incomplete=[_incomplete(found, window) for window in judged.due],
                    now_ms=found.now_ms,
                )
            touched |= self._expire(conn, found)
            changed: set[int] = set()
            since_ms = None
            if found.has_silence:
                # First: what opens while the model is silent is not told.
                silence = self._silence(conn, found)
                since_ms, changed = silence.since_ms, silence.update()
            relieved_ms = None
            if found.is_relieved:
                # First, too: what opens while another version answers is none of this one's.
                succession = self._succession(conn, found)
                relieved_ms = succession.since_ms
                succession.update()
            if touched or since_ms is not None or relieved_ms is not None:
                book = IncidentBook(conn, bound, self._registry.references, found.now_ms)
                changed |= book.update(
                    touched, silence_since_ms=since_ms, relieved_since_ms=relieved_ms
                )
            self._tell(conn, bound, changed, found.next_watermark_ms, found.now_ms)
            self._ask(conn, found, is_again=is_again)
            registry_store.bump_data_version(conn)
        self._changes.keep(bound.version_id, found.looks, found.cursor.epoch + 1)
        return True

    def _tell(
        self,
        conn: Connection,
        bound: BoundVersion,
        changed: set[int],
        event_ms: int | None,
        now_ms: int,
    ) -> None:
        """Decide the messages about what changed, and about what waits, in this transaction."""
        if self._settings.tells and event_ms is not None:
            retraining.withdraw(conn, changed, now_ms)
            moment = Moment(event_ms, now_ms, bound.timezone)
            AlertBook(conn, bound, moment, self._settings.web_url).update(changed)

    def _ask(self, conn: Connection, found: _Pass, *, is_again: bool) -> None:
        """Ask for a retraining where one is due; what judges the past does not."""
        until_ms = found.next_watermark_ms
        if self._settings.tells and found.is_last and not is_again and until_ms is not None:
            retraining.ask_where_due(
                conn,
                found.bound,
                before_ms=found.cursor.watermark_ms,
                until_ms=until_ms,
                now_ms=found.now_ms,
                web_url=self._settings.web_url,
            )

    def _waiting(self) -> tuple[set[int], set[str]]:
        """Return the versions with news that has waited for long enough by the clock, and the
        models of which somebody wants to be reminded, where it is time to look.
        """
        if not self._settings.tells:
            return set(), set()
        now_ms = self._now_ms()
        is_time = not 0 <= now_ms - self._reminded_ms < LOOK_MS
        with reading(self._engine) as conn:
            overdue = alerts.versions_overdue(conn, now_ms)
            repeating = reminders.models_reminded(conn) if is_time else set()
        if is_time:
            self._reminded_ms = now_ms
        return overdue, repeating

    def _expire(self, conn: Connection, found: _Pass) -> set[Touched]:
        """End the latches of lengths that have had nothing to judge for too long."""
        touched: set[Touched] = set()
        time_ms = found.next_watermark_ms
        if time_ms is None:
            return touched
        for segment, key, member, last_evaluable_ms in latches.open_latches(
            conn, found.bound.version_id
        ):
            nominal_ms = NOMINAL_MS[member.length]
            if time_ms - last_evaluable_ms > expires_after(nominal_ms) + nominal_ms:
                ended = expire(member.latch, last_evaluable_ms, nominal_ms)
                latches.close_latch(
                    conn, found.bound.version_id, segment, key, member.length, ended
                )
                touched.add(Touched(key.feature, KIND_OF[key.statistic]))
        return touched


def _learns_until(found: _Pass) -> int:
    """Return up to when windows teach; what is judged again must not learn of what comes later."""
    time_ms = found.mark.time_ms or 0
    return time_ms if found.cursor.rejudge_from_ms is None else min(time_ms, found.until_ms)


def _incomplete(found: _Pass, window: Due) -> str | None:
    """Return why a window may lack records, as a JSON list; None when it is complete."""
    causes = [
        f"{gap.kind}: partition {gap.partition}"
        for gap in found.gaps
        if (gap.from_ms is None or gap.from_ms < window.end_ms)
        and (gap.to_ms is None or gap.to_ms >= window.start_ms)
    ]
    causes += [f"hold: partition {partition}" for partition in found.mark.held_by]
    for effective_ms, _ in found.bound.bindings[1:]:
        if window.start_ms < effective_ms < window.end_ms:
            causes.append("binding: the reference changed inside the window")
    return json.dumps(causes) if causes else None
