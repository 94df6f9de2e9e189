"""Promotions that wait: of a version that is not known yet, or has no reference.

Of a model the last one waits. It is an incident of the service until the version's reference is
registered, or another version is promoted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage import service_incidents
from monitor.storage.audit import note
from monitor.storage.turns import bump_data_version

Source = Literal["registration", "api", "mlflow"]
PROMOTION: Final = "promotion"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A version that is promoted once it has a reference."""

    id: int
    model: str
    version: str
    source: Source
    actor: str
    at_ms: int


def waiting(conn: Connection, model: str | None = None) -> list[Waiting]:
    """Return what waits: of a model (one at most), or of all."""
    query = sa.select(t.promotion_wanted).order_by(t.promotion_wanted.c.model)
    if model is not None:
        query = query.where(t.promotion_wanted.c.model == model)
    return [Waiting(**row._mapping) for row in conn.execute(query)]


def want(
    conn: Connection, *, model: str, version: str, source: Source, actor: str, now_ms: int
) -> Waiting:
    """Promote a version once it has a reference, instead of whatever waited of its model.

    The same again changes nothing.
    """
    for standing in waiting(conn, model):
        if standing.version == version:
            return standing
    drop(conn, model, "replaced", now_ms=now_ms)
    values = {
        "model": model, "version": version, "source": source, "actor": actor[:200],
        "at_ms": now_ms,
    }  # fmt: skip
    made = sa.insert(t.promotion_wanted).values(values).returning(t.promotion_wanted)
    found = Waiting(**conn.execute(made).one()._mapping)
    service_incidents.begin(
        conn, PROMOTION, str(found.id), name=f"{model} {version}"[:200], now_ms=now_ms,
        summary=f"Version {version} of {model} was promoted by {actor} and has no reference to be "
        "judged by: register it, then it is promoted.",
    )  # fmt: skip
    note(
        conn, actor=actor, action="model.promotion_wanted", subject=model, now_ms=now_ms,
        version=version, source=source,
    )  # fmt: skip
    bump_data_version(conn)
    return found


def settle(conn: Connection, model: str, version: str, *, now_ms: int) -> None:
    """Nothing of a model waits any longer: this version of it is live."""
    is_own = any(one.version == version for one in waiting(conn, model))
    drop(conn, model, "promoted" if is_own else "replaced", now_ms=now_ms)


def drop(conn: Connection, model: str, how: str, *, now_ms: int) -> None:
    """Wait no longer for a model's version; `how` is what its incident ends as."""
    for one in waiting(conn, model):
        conn.execute(sa.delete(t.promotion_wanted).where(t.promotion_wanted.c.id == one.id))
        service_incidents.end(conn, PROMOTION, str(one.id), how, now_ms=now_ms)
