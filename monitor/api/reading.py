"""Reading: what `monitor.storage.reads` finds, as JSON. Nothing here writes or decides."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime
from sqlalchemy.engine import Connection, Engine

from driftline.events import JSON_SCHEMA
from monitor.api.answers import (
    BoundAnswer,
    DeadLetterAnswer,
    DeficitAnswer,
    EventAnswer,
    FindingAnswer,
    GapAnswer,
    HealthAnswer,
    IncidentAnswer,
    IncidentDetail,
    ModelAnswer,
    Page,
    PositionAnswer,
    ReferenceAnswer,
    StatusAnswer,
    WindowAnswer,
    instant_of,
)
from monitor.api.problems import Problem
from monitor.storage import reads
from monitor.storage.engine import reading
from monitor.storage.rows import (
    OPEN_STATES,
    TOLD_STATES,
    Incident,
    Model,
    ReferenceRow,
    Version,
)

Length = Literal["hour", "day", "week"]
State = Literal[
    "firing", "recovering", "resolved", "withdrawn", "expired", "superseded", "pending", "open"
]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Text = Annotated[str, Query(max_length=500)]
Cursor = Annotated[str | None, Query(max_length=2_000, description="`next` of the page before")]
From = Annotated[AwareDatetime | None, Query(alias="from", description="RFC 3339, inclusive")]
To = Annotated[AwareDatetime | None, Query(description="RFC 3339, exclusive")]

# What a database's integer holds.
_MIN_ID, _MAX_ID = -(1 << 63), (1 << 63) - 1


def router(engine: Engine) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1")

    @routes.get("/models")
    def models() -> Page[ModelAnswer]:
        """List the models with their versions and health."""
        with reading(engine) as conn:
            return Page(items=_models(conn))

    @routes.get("/models/{name:path}")
    def model(name: str) -> ModelAnswer:
        """Return one model; slashes in its name are part of the path."""
        with reading(engine) as conn:
            found = _models(conn, name)
        if not found:
            raise _not_found("model", name)
        return found[0]

    @routes.get("/references")
    def references() -> Page[ReferenceAnswer]:
        """List the references, newest first."""
        with reading(engine) as conn:
            return Page(items=[_reference(row) for row in reads.references(conn)])

    @routes.get("/references/{digest}")
    def reference(digest: str) -> ReferenceAnswer:
        """Return one reference with what it is bound to."""
        with reading(engine) as conn:
            found = reads.references(conn, digest=digest)
        if not found:
            raise _not_found("reference", digest)
        return _reference(found[0])

    @routes.get("/windows")
    def windows(
        model: Text,
        version: Text | None = None,
        length: Length = "day",
        segment: Text = "all",
        from_: From = None,
        to: To = None,
        limit: Limit = 1_000,
        cursor: Cursor = None,
    ) -> Page[WindowAnswer]:
        """List the judged windows of a version (the newest unless named), by start."""
        after = _decode(cursor, (int,))
        with reading(engine) as conn:
            found = reads.windows(
                conn,
                _version(conn, model, version).id,
                length=length,
                segment=segment,
                from_ms=_ms(from_),
                to_ms=_ms(to),
                after=after[0] if after else None,
                limit=limit + 1,
            )
        more = _encode(found[limit - 1].start_ms) if len(found) > limit else None
        return Page(items=[WindowAnswer.model_validate(w) for w in found[:limit]], next=more)

    @routes.get("/findings")
    def findings(
        model: Text,
        version: Text | None = None,
        length: Length = "day",
        segment: Text = "all",
        feature: Text | None = None,
        from_: From = None,
        to: To = None,
        limit: Limit = 1_000,
        cursor: Cursor = None,
    ) -> Page[FindingAnswer]:
        """List what was found, by window, segment and feature; segment `*` asks for all."""
        after = _decode(cursor, (int, str, str))
        with reading(engine) as conn:
            found = reads.findings(
                conn,
                _version(conn, model, version).id,
                length=length,
                segment=None if segment == "*" else segment,
                feature=feature,
                from_ms=_ms(from_),
                to_ms=_ms(to),
                after=(after[0], after[1], after[2]) if after else None,
                limit=limit + 1,
            )
        more = None
        if len(found) > limit:
            last = found[limit - 1]
            more = _encode(last["start_ms"], last["segment"], last["feature"])
        return Page(items=[FindingAnswer.of(row) for row in found[:limit]], next=more)

    @routes.get("/incidents")
    def incidents(
        model: Text | None = None,
        version: Text | None = None,
        state: Annotated[list[State] | None, Query()] = None,
        segment: Text | None = None,
        from_: From = None,
        to: To = None,
        limit: Limit = 200,
        cursor: Cursor = None,
    ) -> Page[IncidentAnswer]:
        """List incidents, newest first; pending ones only when they are asked for."""
        before = _decode(cursor, (int,))
        with reading(engine) as conn:
            ids = None
            if model is not None:
                owner = _model(conn, model)
                ids = [v.id for v in owner.versions if version in (None, v.name)]
            found = reads.incidents(
                conn,
                version_ids=ids,
                segment=segment,
                states=_states(state),
                from_ms=_ms(from_),
                to_ms=_ms(to),
                before=before[0] if before else None,
                limit=limit + 1,
            )
        more = _encode(found[limit - 1].number) if len(found) > limit else None
        return Page(items=[IncidentAnswer.model_validate(i) for i in found[:limit]], next=more)

    @routes.get("/incidents/{number}")
    def incident(number: int) -> IncidentDetail:
        """Return one incident with its history."""
        if not _MIN_ID <= number <= _MAX_ID:
            raise _not_found("incident", str(number))
        with reading(engine) as conn:
            found = reads.incidents(conn, number=number, states=(*TOLD_STATES, "pending"))
            history = reads.incident_events(conn, number)
        if not found:
            raise _not_found("incident", str(number))
        head = IncidentAnswer.model_validate(found[0])
        return IncidentDetail(
            **dict(head), history=[EventAnswer.model_validate(line) for line in history]
        )

    @routes.get("/dead-letters")
    def dead_letters(
        reason: Text | None = None, limit: Limit = 200, cursor: Cursor = None
    ) -> Page[DeadLetterAnswer]:
        """List the records that could not be counted and were kept, newest first."""
        key = _decode(cursor, (int, int, int, int, int))
        with reading(engine) as conn:
            found = reads.dead_letters(
                conn,
                reason=reason,
                before=(key[0], key[1], key[2], key[3], key[4]) if key else None,
                limit=limit + 1,
            )
        more = _encode(*found[limit - 1].place) if len(found) > limit else None
        return Page(items=[DeadLetterAnswer.model_validate(d) for d in found[:limit]], next=more)

    @routes.get("/status")
    def status() -> StatusAnswer:
        """Say in one look what is counted, what is not, and what is wrong."""
        with reading(engine) as conn:
            return _status(conn)

    @routes.get("/schemas/event.json")
    def event_schema() -> dict[str, Any]:
        """Return the JSON Schema of an event."""
        return JSON_SCHEMA

    return routes


def _status(conn: Connection) -> StatusAnswer:
    counts = reads.outcomes(conn)
    open_ones = [i for i in reads.incidents(conn, states=OPEN_STATES) if not i.muted]
    listed = _models(conn)
    seen = reads.watermark_ms(conn)
    return StatusAnswer(
        data_version=reads.data_version(conn),
        judged_to=_datetime(seen),
        models=[
            HealthAnswer(model=m.model, version=v.version, health=v.health)
            for m in listed
            for v in m.versions
        ],
        incidents_open=len(open_ones),
        counters={k: n for k, n in counts.items() if not k.startswith(reads.DEAD)},
        dead_letters=reads.dead_reasons(counts),
        partitions=[PositionAnswer.model_validate(p) for p in reads.positions(conn)],
        gaps=[GapAnswer.model_validate(g) for g in reads.gaps(conn)],
        deficits=[DeficitAnswer.model_validate(d) for d in reads.deficits(conn)],
    )


def _models(conn: Connection, name: str | None = None) -> list[ModelAnswer]:
    open_ones = reads.incidents(conn, states=OPEN_STATES)
    judged = reads.judged(conn)
    return [_with_health(m, open_ones, judged) for m in reads.models(conn, name=name)]


def _with_health(model: Model, open_ones: list[Incident], judged: set[int]) -> ModelAnswer:
    answer = ModelAnswer.model_validate(model)
    for version, row in zip(answer.versions, model.versions, strict=True):
        mine = [i for i in open_ones if i.version_id == row.id]
        version.health = reads.health(mine, is_judged=row.id in judged)
    return answer


def _reference(row: ReferenceRow) -> ReferenceAnswer:
    return ReferenceAnswer(
        digest=row.digest,
        gridset=row.gridset,
        rows=row.rows,
        first=_datetime(row.first_ms),
        last=_datetime(row.last_ms),
        warnings=list(row.warnings),
        created=_instant(row.created_ms),
        bound_to=[
            BoundAnswer(model=model, version=version, effective_from=_instant(at_ms))
            for model, version, at_ms in row.bound_to
        ],
    )


def _model(conn: Connection, name: str) -> Model:
    found = reads.models(conn, name=name, include_archived=True)
    if not found:
        raise _not_found("model", name)
    return found[0]


def _version(conn: Connection, model: str, version: str | None) -> Version:
    owner = _model(conn, model)
    for candidate in owner.versions:
        if version in (None, candidate.name):
            return candidate
    raise _not_found("version", f"{model} {version}")


def _states(asked: list[State] | None) -> tuple[str, ...]:
    if not asked:
        return TOLD_STATES
    return tuple(name for state in asked for name in (OPEN_STATES if state == "open" else (state,)))


def _not_found(what: str, name: str) -> Problem:
    return Problem(
        404, f"There is no such {what}", f"Nothing is called {name[:200]!r}.",
        mend=f"GET /api/v1/{'models' if what == 'version' else what + 's'} lists what there is",
    )  # fmt: skip


def _ms(at: datetime | None) -> int | None:
    return round(at.timestamp() * 1000) if at is not None else None


def _instant(at_ms: int) -> datetime:
    found = instant_of(at_ms)
    assert isinstance(found, datetime)
    return found


def _datetime(at_ms: int | None) -> datetime | None:
    return _instant(at_ms) if at_ms is not None else None


def _encode(*key: int | str) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def _decode(cursor: str | None, kinds: tuple[type, ...]) -> list[Any] | None:
    if cursor is None:
        return None
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != len(kinds)
        or any(type(part) is not kind for part, kind in zip(key, kinds, strict=True))
        or not all(map(_can_be_asked_for, key))
    ):
        raise Problem(422, "The cursor is not one of ours", mend="start again without a cursor")
    return key


def _can_be_asked_for(part: int | str) -> bool:
    """Whether both databases take the value in a query."""
    if isinstance(part, int):
        return _MIN_ID <= part <= _MAX_ID
    # Half a character, and the character that PostgreSQL does not keep.
    return not any("\ud800" <= c <= "\udfff" or c == "\x00" for c in part)
