"""What is asked of a monitor before and after it is set: a back-test, and learning anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Final

from fastapi import APIRouter
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Conflict, StatisticError
from driftline.stats.reference import Reference
from monitor.api import openapi
from monitor.api.answers.trials import (
    BacktestAnswer,
    LearntAnswer,
    RecalibrateBody,
    RecalibratedAnswer,
    TrialBody,
)
from monitor.api.models import changes_of
from monitor.api.parameters import ModelPath, span
from monitor.api.problems import Problem
from monitor.api.reading.finding import check_names, find_model, find_version
from monitor.api.reading.registered import TAG
from monitor.clock import Clock
from monitor.evaluate.backtest import backtest
from monitor.evaluate.recalibrate import recalibrate
from monitor.storage import reads, registry
from monitor.storage.engine import reading, transaction
from monitor.storage.registry import BoundVersion
from monitor.storage.rows import Version
from monitor.windows.panes import pane_ms_of

_WRITTEN: Final = {**openapi.problems(403, 404, 421, 422, 503), **openapi.unreadable()}
_LEARNS: Final = openapi.described(
    409,
    "Nothing there can learn",
    "Nothing there can learn",
    "flight-delay is not judged by 'week': its windows are hour, day",
    "GET /api/v1/monitors?model=flight-delay says by what it is judged",
)
_TRIES: Final = openapi.described(
    409,
    "Another back-test runs",
    "Another back-test runs",
    "a back-test of flight-delay has not ended; one is tried at a time",
    "ask again when it has ended",
)


class _Turn:
    """One back-test at a time: each keeps a core busy, for as long as a year takes to judge."""

    def __init__(self) -> None:
        self._lock, self._of = Lock(), ""

    @contextmanager
    def taken(self, model: str) -> Iterator[None]:
        """Have the turn, or refuse (409)."""
        if not self._lock.acquire(blocking=False):
            raise Problem(
                409, "Another back-test runs",
                f"a back-test of {self._of} has not ended; one is tried at a time",
                mend="ask again when it has ended",
            )  # fmt: skip
        try:
            self._of = model
            yield
        finally:
            self._lock.release()


def router(engine: Engine, clock: Clock, *, actor: str) -> APIRouter:
    """Return the routes; `actor` is who the audit names."""
    turn = _Turn()
    routes = APIRouter(prefix="/api/v1", tags=[TAG])

    @routes.post(
        "/models/{name:path}/monitor/backtest",
        summary="Try how a model would be judged",
        responses={**_WRITTEN, **_TRIES},
    )
    def try_monitor(name: ModelPath, asked: TrialBody) -> BacktestAnswer:
        """Judge what is stored by another monitor, and compare the incidents; nothing is saved.

        What is left out is as it is now. By default of the newest version, of all that was
        judged, in all segments: the largest of them, where a version has very many. Incidents
        are counted that were told, or would have been: those that one of all rows speaks for
        are not.
        """
        from_ms, to_ms = span(asked.from_, asked.to)
        with reading(engine) as conn:
            version = find_version(conn, name, asked.version)
            model = find_model(conn, name)
            changes = changes_of(conn, model, asked)
            _, spec = registry.monitor_of(conn, model.id)
            for segment in asked.segments or ():
                check_names(conn, [version], segment=segment)
            try:
                with turn.taken(name):
                    found = backtest(
                        conn, _bound(version), _references(conn, version), replace(spec, **changes),
                        from_ms=from_ms, to_ms=to_ms, segments=asked.segments,
                    )  # fmt: skip
            except StatisticError as error:  # of a limit that was set for another reference
                raise Problem(
                    422, "The limit cannot judge", str(error), mend="remove it in `limits`"
                ) from None
        return BacktestAnswer.model_validate(
            {
                "model": name,
                "version": version.name,
                "start": found.from_ms,
                "end": found.to_ms,
                "windows": found.windows,
                "before": {"incidents": found.before},
                "after": {"incidents": found.after},
                "same": found.same,
                "gone": list(found.gone),
                "new": list(found.new),
                "segments": list(found.segments),
                "left_out": list(found.left_out),
                "hours_from_ms": found.hours_from_ms,
            }
        )

    @routes.post(
        "/models/{name:path}/monitor/recalibrate",
        summary="Learn the natural wobble anew",
        responses={**_WRITTEN, **_LEARNS},
    )
    def learn_anew(name: ModelPath, asked: RecalibrateBody) -> RecalibratedAnswer:
        """Let lengths that learn from live windows learn again, from the last eight complete ones.

        What was judged stays as it was judged. Again without a new window changes nothing.
        """
        now_ms = clock.now_ms()
        with transaction(engine) as conn:
            version = find_version(conn, name, asked.version)
            try:
                found = recalibrate(
                    conn, _bound(version), _references(conn, version), length=asked.length,
                    segment=asked.segment, actor=actor, now_ms=now_ms,
                )  # fmt: skip
            except Conflict as error:
                raise Problem(
                    409, "Nothing there can learn", str(error),
                    mend=f"GET /api/v1/monitors?model={name} says by what it is judged",
                ) from None  # fmt: skip
        items = [
            LearntAnswer(
                segment=each.segment, length=each.length, revision=each.revision,
                windows=len(each.windows), is_new=each.is_new, why=each.why,
            )
            for each in found
        ]  # fmt: skip
        return RecalibratedAnswer(model=name, version=version.name, items=items)

    return routes


def _bound(version: Version) -> BoundVersion:
    bindings = tuple((b.effective_from_ms, b.reference_digest) for b in version.bindings)
    return BoundVersion(
        version.id, version.model, version.name, version.timezone, pane_ms_of(version.timezone),
        bindings,
    )  # fmt: skip


def _references(conn: Connection, version: Version) -> dict[str, Reference]:
    found = {}
    for digest in {b.reference_digest for b in version.bindings}:
        reference = reads.reference_document(conn, digest)
        if reference is not None:
            found[digest] = reference
    return found
