"""Finding what a request names: a model, a version, and what stands there when there is none."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from monitor.storage import reads
from monitor.storage.rows import Model, Version
from monitor.views.scope import NoSuch, nearest


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
