"""What is done to a whole model: `archive`, `unarchive`, `DELETE`, and how it is judged.

Each is written into the audit. Asking for the same again changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy.engine import Connection, Engine

from driftline.errors import Conflict, StatisticError
from driftline.program import NAME
from driftline.stats.lengths import LENGTHS
from driftline.stats.rule import FixedLimit, Rule, kinds_of
from monitor.api import openapi
from monitor.api.answers.registered import (
    DeletedAnswer,
    ModelAnswer,
    MonitorBody,
    MonitorTold,
    MonitorWish,
)
from monitor.api.parameters import ModelPath
from monitor.api.problems import Problem
from monitor.api.reading.finding import find_model
from monitor.api.reading.registered import TAG, model_answer
from monitor.clock import Clock
from monitor.storage import models as store
from monitor.storage import reads
from monitor.storage.engine import reading, transaction
from monitor.storage.reads.listing import monitor_revisions
from monitor.storage.rows import Model

_WRITTEN: Final = openapi.problems(403, 404, 421, 422, 503)
_KEPT: Final = openapi.described(
    409,
    "The model is not archived",
    "The model is not archived",
    "model flight-delay is not archived: archive it first",
    "POST /api/v1/models/flight-delay/archive",
)
_CHANGED: Final = openapi.described(
    409,
    "Another revision is in force",
    "The monitor was changed meanwhile",
    "revision 3 is in force, not 2",
    "GET /api/v1/monitors?model=flight-delay, then set it again",
)


def router(engine: Engine, clock: Clock, *, actor: str, web_url: str = "") -> APIRouter:
    """Return the routes; `actor` is who the audit names.

    Links in messages lead to `web_url`, or to where the request came in.
    """
    routes = APIRouter(prefix="/api/v1", tags=[TAG])

    @routes.post("/models/{name:path}/archive", summary="Archive a model", responses=_WRITTEN)
    def archive_model(name: ModelPath, request: Request) -> ModelAnswer:
        """Count and judge it no longer, and leave it out of lists. All of it stays.

        Its events are counted as unmonitored from now on, and its open alerts end with one
        message each, in which its incidents are `archived`.
        """
        with transaction(engine) as conn:
            store.archive(
                conn, find_model(conn, name).name, actor=actor, now_ms=clock.now_ms(),
                web_url=web_url or str(request.base_url),
            )  # fmt: skip
            return model_answer(conn, name)

    @routes.post("/models/{name:path}/unarchive", summary="Take a model back", responses=_WRITTEN)
    def unarchive_model(name: ModelPath) -> ModelAnswer:
        """Count and judge it again, from now on: what came meanwhile stays unmonitored.

        Of its incidents those that still stand are told again.
        """
        with transaction(engine) as conn:
            store.unarchive(conn, find_model(conn, name).name, actor=actor, now_ms=clock.now_ms())
            return model_answer(conn, name)

    @routes.delete(
        "/models/{name:path}",
        summary="Delete an archived model",
        responses={**_WRITTEN, **_KEPT},
    )
    def delete_model(name: ModelPath, request: Request) -> DeletedAnswer:
        """Delete it with its references, counts, windows, findings and incidents.

        What became of each event stays counted, what was sent stays listed. It cannot be undone.
        """
        with reading(engine) as conn:
            find_model(conn, name)
        try:
            deleted = store.delete(
                engine, name, actor=actor, now_ms=clock.now_ms(),
                web_url=web_url or str(request.base_url),
            )  # fmt: skip
        except Conflict as error:
            raise Problem(
                409, "The model is not archived", str(error),
                mend=f"`{NAME} model archive {name}` first",
            ) from None  # fmt: skip
        rows = {table: count for table, count in (deleted or {}).items() if count}
        return DeletedAnswer(model=name, rows=rows)

    @routes.put(
        "/models/{name:path}/monitor",
        summary="Set how a model is judged",
        responses={**_WRITTEN, **openapi.unreadable(), **_CHANGED},
    )
    def set_monitor(name: ModelPath, asked: MonitorWish) -> MonitorTold:
        """Judge it so from the evaluator's next look on; what is left out stays as it is.

        What was judged before stays, and the revision that judged it. What it would have changed
        is told before by `POST /models/{model}/monitor/backtest`.
        """
        now_ms = clock.now_ms()
        with transaction(engine) as conn:
            model = find_model(conn, name)
            changes = changes_of(conn, model, asked)
            try:
                done = store.set_monitor(
                    conn, model.name, changes, actor=actor, now_ms=now_ms,
                    expect_revision=asked.expect_revision,
                )  # fmt: skip
            except Conflict as error:
                raise Problem(
                    409, "The monitor was changed meanwhile", str(error),
                    mend=f"`{NAME} monitor show {name}`, then set it again",
                ) from None  # fmt: skip
            assert done is not None
            return _told(conn, name, done)

    return routes


def changes_of(conn: Connection, model: Model, asked: MonitorBody) -> dict[str, Any]:
    """Return what a body asks for as fields of a monitor.

    Raises
    ------
    Problem
        A limit that cannot judge, or that names a feature which no reference has.
    """
    changes: dict[str, Any] = asked.model_dump(
        exclude_none=True, include=set(MonitorBody.model_fields)
    )
    if "lengths" in changes:
        changes["lengths"] = tuple(name for name in LENGTHS if name in changes["lengths"])
    if asked.limits is not None:
        limits = tuple(FixedLimit(**limit.model_dump()) for limit in asked.limits)
        try:
            Rule(limits=limits).validate(_features(conn, model) or None)
        except StatisticError as error:
            raise Problem(
                422, "The limit cannot judge", str(error),
                mend="a limit is feature:statistic=warning or feature:statistic=warning,critical",
            ) from None  # fmt: skip
        changes["limits"] = limits
    return changes


def _features(conn: Connection, model: Model) -> dict[str, set[str]]:
    """Return the kinds of all features in the references that judge the model's versions now."""
    digests = {v.bindings[-1].reference_digest for v in model.versions if v.bindings}
    found = (reads.reference_document(conn, digest) for digest in digests)
    return kinds_of(reference.gridset for reference in found if reference is not None)


def _told(conn: Connection, name: str, done: store.MonitorChange) -> MonitorTold:
    row = max(
        monitor_revisions(conn, model_id=find_model(conn, name).id), key=lambda row: row.revision
    )
    spec = asdict(done.spec)
    return MonitorTold.model_validate({**row._asdict(), **spec, "before": dict(done.before)})
