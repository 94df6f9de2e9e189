"""Models, versions, their references: what was registered."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.rows import Binding, Model, ReferenceRow, Use, Version


def registry_revision(conn: Connection) -> int:
    """Return the registry's revision."""
    return int(conn.execute(sa.select(sa.func.max(t.registry.c.revision))).scalar() or 0)


def models(
    conn: Connection, *, name: str | None = None, include_archived: bool = False
) -> list[Model]:
    """Return the models by name, each with its versions, newest first."""
    kept = [t.model.c[name] for name in Model.__slots__ if name != "versions"]
    query = sa.select(*kept).order_by(t.model.c.name)
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


def uses(conn: Connection) -> list[Use]:
    """Return every binding with its model, by model, version and time; archived models too."""
    b, v, m = t.binding.c, t.model_version.c, t.model.c
    query = (
        sa.select(
            m.id,
            m.name,
            m.archived_ms,
            v.id,
            v.name,
            v.replaces,
            v.created_ms,
            b.reference_digest,
            b.effective_from_ms,
            b.created_ms,
        )
        .join_from(t.binding, t.model_version, v.id == b.version_id)
        .join(t.model, m.id == v.model_id)
        .order_by(m.name, v.created_ms, v.id, b.effective_from_ms)
    )
    return [Use(*tuple(row)) for row in conn.execute(query)]


def documents(conn: Connection, digests: Sequence[str]) -> dict[str, bytes]:
    """Return the documents of references by digest, unpacked; they never change."""
    ref = t.reference.c
    query = sa.select(ref.digest, ref.body).where(ref.digest.in_(digests))
    return {digest: zlib.decompress(body) for digest, body in conn.execute(query) if body}


def monitored(conn: Connection) -> set[tuple[str, str]]:
    """Return (model, version) of every version that has a reference and is not archived."""
    m, v = t.model.c, t.model_version.c
    query = (
        sa.select(m.name, v.name)
        .join_from(t.model_version, t.model, m.id == v.model_id)
        .where(m.archived_ms.is_(None), sa.exists().where(t.binding.c.version_id == v.id))
    )
    return {(row[0], row[1]) for row in conn.execute(query)}
