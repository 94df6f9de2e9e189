"""Finding what a request names: a model, a version, and what stands there when there is none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from monitor.api.answers.common import instant_text
from monitor.api.problems import Problem
from monitor.storage import reads
from monitor.storage.rows import Model, Version
from monitor.views.scope import ALL, NoSuch, Scope, nearest, resolve


def find_model(conn: Connection, name: str) -> Model:
    """Return a model by name.

    Raises
    ------
    NoSuch
        With the nearest names.
    """
    found = reads.models(conn, name=name, include_archived=True)
    if not found:
        raise NoSuch("model", name, nearest(name, (model.name for model in reads.models(conn))))
    return found[0]


def find_version(conn: Connection, model: str, version: str | None) -> Version:
    """Return a version of a model, its newest without a name.

    Raises
    ------
    NoSuch
        With the nearest names.
    """
    owner = find_model(conn, model)
    for candidate in owner.versions:
        if version in (None, candidate.name):
            return candidate
    asked = version or f"a version of {model}"
    raise NoSuch("version", asked, nearest(asked, (found.name for found in owner.versions)))


def check_names(
    conn: Connection,
    versions: Sequence[Version],
    *,
    segment: str | None = None,
    feature: str | None = None,
) -> None:
    """Tell a name that nothing has from one of which nothing was found.

    Asked where a list came out empty: a typing error is no answer.

    Raises
    ------
    NoSuch
        With the nearest names.
    """
    if segment not in (None, ALL):
        known = [name for version in versions for name in reads.segments(conn, version.id)]
        if segment not in known:
            raise NoSuch("segment", segment, nearest(segment, known))
    if feature is not None:
        names: dict[str, None] = {}
        for digest in {b.reference_digest for version in versions for b in version.bindings}:
            reference = reads.reference_document(conn, digest)
            names |= dict.fromkeys(reference.gridset.names() if reference is not None else ())
        if feature not in names:
            raise NoSuch("feature", feature, nearest(feature, names))


def version_ids(conn: Connection, model: str | None, version: str | None) -> list[int] | None:
    """Return the ids of the versions that are meant; None = all."""
    if model is not None:
        if version is not None:
            return [find_version(conn, model, version).id]
        return [found.id for found in find_model(conn, model).versions]
    if version is None:
        return None
    every = reads.models(conn, include_archived=True)
    return [found.id for owner in every for found in owner.versions if found.name == version]


def strict_scope(
    conn: Connection,
    model: str,
    version: str | None,
    segment: str,
    length: str,
    from_ms: int | None,
    to_ms: int | None,
) -> Scope:
    """Return what is looked at, or say what of it there is not: a program is not shown else.

    Raises
    ------
    NoSuch
        There is no such model, version or segment.
    Problem
        The monitor has no such windows, or none was judged in the range.
    """
    found = find_version(conn, model, version)
    scope, _ = resolve(
        conn, model, version=found.name, segment=segment, length=length,
        from_ms=from_ms, to_ms=to_ms,
    )  # fmt: skip
    if scope.segment != segment:
        raise NoSuch("segment", segment, nearest(segment, scope.segments))
    if scope.length != length:
        raise Problem(
            404, "There are no such windows", f"The monitor of {model} has no {length} windows.",
            mend=f"ask for length={' or '.join(scope.lengths)}",
        )  # fmt: skip
    if scope.is_default_range and (from_ms, to_ms) != (None, None):
        where = "nothing was judged yet"
        if scope.first_ms is not None and scope.last_ms is not None:
            where = f"judged windows are from {_said(scope.first_ms)} to {_said(scope.last_ms)}"
        raise Problem(
            404, "Nothing was judged there", f"No {length} of {model} starts in the range.",
            mend=where,
        )  # fmt: skip
    return scope


def _said(at_ms: int) -> str:
    return instant_text(datetime.fromtimestamp(at_ms / 1000, UTC))
