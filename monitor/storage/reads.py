"""What people and programs read: one set of queries for the API, the dashboard and the CLI.

Everything here is a plain SELECT on plain rows. It reads no panes, changes
nothing, and decides nothing but the one word for a model's health.
Use it inside `monitor.storage.engine.reading`, so that what is shown together
was true together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.rows import (
    TOLD_STATES,
    Binding,
    Cell,
    DeadLetter,
    Deficit,
    Gap,
    Incident,
    IncidentEvent,
    Model,
    Position,
    ReferenceRow,
    Version,
    Window,
)

DEAD = "dead:"


def data_version(conn: Connection) -> int:
    """Return the number that grows whenever there is something new to show (0 = nothing yet)."""
    return int(conn.execute(sa.select(sa.func.max(t.data_version.c.value))).scalar() or 0)


def watermark_ms(conn: Connection) -> int | None:
    """Return the event time up to which everything living is judged: the furthest version's."""
    found = conn.execute(sa.select(sa.func.max(t.evaluator_cursor.c.watermark_ms))).scalar()
    return int(found) if found is not None else None


def registry_revision(conn: Connection) -> int:
    """Return the registry's revision."""
    return int(conn.execute(sa.select(sa.func.max(t.registry.c.revision))).scalar() or 0)


def models(
    conn: Connection, *, name: str | None = None, include_archived: bool = False
) -> list[Model]:
    """Return the models by name, each with its versions, newest first."""
    query = sa.select(t.model).order_by(t.model.c.name)
    if name is not None:
        query = query.where(t.model.c.name == name)
    if not include_archived:
        query = query.where(t.model.c.archived_ms.is_(None))
    rows = conn.execute(query).all()
    versions = _versions(conn, {row.id: (row.name, row.timezone) for row in rows})
    return [Model(**row._mapping, versions=tuple(versions.get(row.id, ()))) for row in rows]


def find_version(conn: Connection, model: str, version: str | None = None) -> Version | None:
    """Return one version of a model (its newest without a name), or None."""
    found = models(conn, name=model, include_archived=True)
    if not found:
        return None
    for candidate in found[0].versions:
        if version is None or candidate.name == version:
            return candidate
    return None


def _versions(conn: Connection, owners: dict[int, tuple[str, str]]) -> dict[int, list[Version]]:
    bindings: dict[int, list[Binding]] = {}
    for row in conn.execute(
        sa.select(t.binding).order_by(t.binding.c.version_id, t.binding.c.effective_from_ms)
    ):
        bindings.setdefault(row.version_id, []).append(
            Binding(row.reference_digest, row.effective_from_ms)
        )
    query = (
        sa.select(t.model_version, t.evaluator_cursor.c.watermark_ms)
        .outerjoin(t.evaluator_cursor, t.evaluator_cursor.c.version_id == t.model_version.c.id)
        .where(t.model_version.c.model_id.in_(owners))
        .order_by(t.model_version.c.created_ms.desc(), t.model_version.c.id.desc())
    )
    found: dict[int, list[Version]] = {}
    for row in conn.execute(query):
        name, timezone = owners[row.model_id]
        found.setdefault(row.model_id, []).append(
            Version(
                id=row.id,
                model=name,
                name=row.name,
                timezone=timezone,
                created_ms=row.created_ms,
                replaces=row.replaces,
                bindings=tuple(bindings.get(row.id, ())),
                watermark_ms=row.watermark_ms,
            )
        )
    return found


def references(conn: Connection, *, digest: str | None = None) -> list[ReferenceRow]:
    """Return the references, newest first, with what each is bound to."""
    bound: dict[str, list[tuple[str, str, int]]] = {}
    for row in conn.execute(
        sa.select(
            t.binding.c.reference_digest,
            t.model.c.name,
            t.model_version.c.name,
            t.binding.c.effective_from_ms,
        )
        .join(t.model_version, t.model_version.c.id == t.binding.c.version_id)
        .join(t.model, t.model.c.id == t.model_version.c.model_id)
        .order_by(t.model.c.name, t.model_version.c.name, t.binding.c.effective_from_ms)
    ):
        bound.setdefault(row[0], []).append((row[1], row[2], row[3]))
    ref = t.reference.c
    query = sa.select(
        ref.digest, ref.gridset, ref.rows, ref.first_ms, ref.last_ms, ref.warnings, ref.created_ms
    ).order_by(ref.created_ms.desc(), ref.digest)
    if digest is not None:
        query = query.where(ref.digest == digest)
    return [
        ReferenceRow(
            **{**row._mapping, "warnings": tuple(json.loads(row.warnings))},
            bound_to=tuple(bound.get(row.digest, ())),
        )
        for row in conn.execute(query)
    ]


def windows(
    conn: Connection,
    version_id: int,
    *,
    length: str,
    segment: str = "all",
    from_ms: int | None = None,
    to_ms: int | None = None,
    after: int | None = None,
    limit: int | None = None,
) -> list[Window]:
    """Return judged windows by start; `after` (a start) continues an earlier page."""
    c = t.window.c
    query = (
        sa.select(*(c[name] for name in Window.__slots__))
        .where(c.version_id == version_id, c.length == length, c.segment == segment)
        .where(*_between(c.start_ms, from_ms, to_ms))
        .order_by(c.start_ms)
        .limit(limit)
    )
    if after is not None:
        query = query.where(c.start_ms > after)
    return [
        Window(**{**row._mapping, "incomplete": _causes(row.incomplete)})
        for row in conn.execute(query)
    ]


def findings(
    conn: Connection,
    version_id: int,
    *,
    length: str,
    segment: str | None = "all",
    feature: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    after: tuple[int, str, str] | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Return findings with every column of the table, by (start, segment, feature).

    `after`, such a triple, continues an earlier page; `segment=None` asks for all segments.
    """
    c = t.finding.c
    query = (
        sa.select(t.finding)
        .where(c.version_id == version_id, c.length == length)
        .where(*_between(c.start_ms, from_ms, to_ms))
        .order_by(c.start_ms, c.segment, c.feature)
        .limit(limit)
    )
    if segment is not None:
        query = query.where(c.segment == segment)
    if feature is not None:
        query = query.where(c.feature == feature)
    if after is not None:
        query = query.where(sa.tuple_(c.start_ms, c.segment, c.feature) > sa.tuple_(*after))
    return [dict(row._mapping) for row in conn.execute(query)]


def cells(
    conn: Connection, version_id: int, *, length: str, segment: str, from_ms: int, to_ms: int
) -> list[Cell]:
    """Return the squares of a heatmap of windows that start in `[from_ms, to_ms)`."""
    c = t.finding.c
    query = sa.select(*(c[name] for name in Cell._fields)).where(
        c.version_id == version_id,
        c.length == length,
        c.segment == segment,
        *_between(c.start_ms, from_ms, to_ms),
    )
    return [Cell(*row) for row in conn.execute(query)]


def incidents(
    conn: Connection,
    *,
    version_ids: Iterable[int] | None = None,
    number: int | None = None,
    segment: str | None = None,
    states: Sequence[str] = TOLD_STATES,
    from_ms: int | None = None,
    to_ms: int | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> list[Incident]:
    """Return incidents, newest number first; `[from_ms, to_ms)` asks for those open in that time.

    Pending ones stay out unless `states` names them. `before` (a number) continues a page.
    """
    c = t.incident.c
    query = (
        sa.select(
            t.incident, t.model.c.name.label("model_name"), t.model_version.c.name.label("version")
        )
        .join(t.model_version, t.model_version.c.id == c.version_id)
        .join(t.model, t.model.c.id == t.model_version.c.model_id)
        .where(c.state.in_(states))
        .order_by(c.number.desc())
        .limit(limit)
    )
    if version_ids is not None:
        query = query.where(c.version_id.in_(list(version_ids)))
    if number is not None:
        query = query.where(c.number == number)
    if segment is not None:
        query = query.where(c.segment == segment)
    if before is not None:
        query = query.where(c.number < before)
    if from_ms is not None:
        query = query.where(sa.or_(c.resolved_ms.is_(None), c.resolved_ms > from_ms))
    if to_ms is not None:
        query = query.where(c.first_window_ms < to_ms)
    found = []
    for row in conn.execute(query):
        values = dict(row._mapping)
        values["model"] = values.pop("model_name")
        values["episodes"] = json.loads(row.episodes)
        values["evidence"] = json.loads(row.evidence)
        found.append(Incident(**values))
    return found


def incident_events(conn: Connection, number: int) -> list[IncidentEvent]:
    """Return what happened to an incident, oldest first."""
    c = t.incident_event.c
    query = (
        sa.select(c.event, c.at_ms, c.recorded_ms, c.detail)
        .where(c.incident_number == number)
        .order_by(c.id)
    )
    return [IncidentEvent(*row) for row in conn.execute(query)]


def positions(conn: Connection) -> list[Position]:
    """Return the partitions of the streams that are being read, by topic and number."""
    c = t.stream_position.c
    columns = [c[name] for name in Position.__slots__ if name != "topic"]
    query = (
        sa.select(*columns, t.stream.c.topic)
        .join(t.stream, t.stream.c.id == c.stream_id)
        .where(t.stream.c.ended_ms.is_(None))
        .order_by(t.stream.c.topic, c.stream_id, c.partition)
    )
    return [Position(**row._mapping) for row in conn.execute(query)]


def outcomes(conn: Connection) -> dict[str, int]:
    """Return how many events ended how, over everything ever read (`dead:<reason>` included)."""
    c = t.counter.c
    query = sa.select(c.outcome, sa.func.sum(c.count)).group_by(c.outcome).order_by(c.outcome)
    return {outcome: int(count) for outcome, count in conn.execute(query)}


def dead_reasons(counts: dict[str, int]) -> dict[str, int]:
    """Return the dead letters of `outcomes` by reason, most frequent first."""
    dead = {k.removeprefix(DEAD): n for k, n in counts.items() if k.startswith(DEAD) and n}
    return dict(sorted(dead.items(), key=lambda item: (-item[1], item[0])))


def dead_letters(
    conn: Connection,
    *,
    reason: str | None = None,
    before: tuple[int, int, int, int, int] | None = None,
    limit: int = 100,
) -> list[DeadLetter]:
    """Return the newest dead letters that were kept; `before`, a `place`, continues a page."""
    c = t.dead_letter.c
    columns = [c[name] for name in DeadLetter.__slots__ if name != "topic"]
    place = (c.created_ms, c.stream_id, c.partition, c.offset, c.line)
    query = (
        sa.select(t.stream.c.topic, *columns)
        .join(t.stream, t.stream.c.id == c.stream_id)
        .order_by(*(column.desc() for column in place))
        .limit(limit)
    )
    if reason is not None:
        query = query.where(c.reason == reason)
    if before is not None:
        query = query.where(sa.tuple_(*place) < sa.tuple_(*before))
    return [DeadLetter(**row._mapping) for row in conn.execute(query)]


def gaps(conn: Connection) -> list[Gap]:
    """Return what was lost before it could be read, newest first."""
    c = t.data_gap.c
    columns = [c[name] for name in Gap.__slots__ if name != "topic"]
    query = (
        sa.select(t.stream.c.topic, *columns)
        .join(t.stream, t.stream.c.id == c.stream_id)
        .order_by(c.created_ms.desc(), c.id)
    )
    return [Gap(**row._mapping) for row in conn.execute(query)]


def deficits(conn: Connection) -> list[Deficit]:
    """Return the versions whose records came before their reference, most records first."""
    c = t.deficit.c
    records = sa.func.sum(c.records)
    query = (
        sa.select(c.model, c.version, records, sa.func.min(c.first_ms), sa.func.max(c.last_ms))
        .group_by(c.model, c.version)
        .order_by(records.desc(), c.model, c.version)
    )
    return [Deficit(row[0], row[1], int(row[2]), row[3], row[4]) for row in conn.execute(query)]


def judged(conn: Connection) -> set[int]:
    """Return the ids of the versions that have at least one judged window."""
    return set(conn.execute(sa.select(t.window.c.version_id).distinct()).scalars())


def health(open_incidents: Iterable[Incident], *, is_judged: bool) -> str:
    """Return the one word for a version: silent, schema_broken, critical, drifting, collecting
    or healthy, the worst first. Only segment `all` and what is not muted counts.
    """
    kinds = {
        (i.kind, i.severity)
        for i in open_incidents
        if i.is_open and i.segment == "all" and not i.muted
    }
    names = {kind for kind, _ in kinds}
    if "volume" in names:
        return "silent"
    if "schema" in names:
        return "schema_broken"
    if any(severity == "critical" for _, severity in kinds):
        return "critical"
    if kinds:
        return "drifting"
    return "healthy" if is_judged else "collecting"


def _between(
    column: sa.ColumnElement[int], from_ms: int | None, to_ms: int | None
) -> list[sa.ColumnElement[bool]]:
    limits = []
    if from_ms is not None:
        limits.append(column >= from_ms)
    if to_ms is not None:
        limits.append(column < to_ms)
    return limits


def _causes(text: str | None) -> tuple[str, ...]:
    return tuple(str(cause) for cause in json.loads(text)) if text else ()
