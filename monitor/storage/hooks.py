"""Where others tell of promotions: the SQL of hooks.

A hook's secret stands here as it is, because a signature needs it; nothing above may hand it out
again. What came is known for a day, so that one delivery is not done twice.

Functions that write belong inside `engine.transaction`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.errors import Conflict
from monitor.storage import schema as t
from monitor.storage.audit import note
from monitor.windows.calendar import DAY_MS

MLFLOW: Final = "mlflow"
# A signature is believed for five minutes; MLflow tries again for less than one.
KNOWN_MS: Final = DAY_MS
AUDITED_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Hook:
    """One way in: what of MLflow's registry promotes which model.

    Attributes
    ----------
    model, registered
        Driftline's name and MLflow's.
    alias
        The alias that promotes.
    accepted, refused
        How many deliveries were signed with its secret, and how many were not; `_ms` the last.
    """

    id: int
    name: str
    kind: str
    model: str
    registered: str
    alias: str
    secret: str = field(repr=False)
    created_ms: int
    accepted: int
    accepted_ms: int | None
    refused: int
    refused_ms: int | None
    refused_why: str | None
    audited_ms: int | None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a delivery that came before."""

    outcome: str
    words: str


def hooks(conn: Connection) -> list[Hook]:
    """Return the hooks by name."""
    return [Hook(**row._mapping) for row in conn.execute(sa.select(t.hook).order_by(t.hook.c.name))]


def find(conn: Connection, name: str) -> Hook | None:
    """Return the hook of that name, if there is one."""
    row = conn.execute(sa.select(t.hook).where(t.hook.c.name == name)).one_or_none()
    return None if row is None else Hook(**row._mapping)


def add(
    conn: Connection,
    name: str,
    *,
    model: str,
    registered: str,
    alias: str,
    secret: str,
    now_ms: int,
) -> tuple[Hook, bool]:
    """Return the hook of that name, and whether it is new; the same again keeps its secret.

    Raises
    ------
    Conflict
        The name belongs to a hook for something else.
    """
    found = find(conn, name)
    if found is not None:
        if (found.model, found.registered, found.alias) != (model, registered, alias):
            raise Conflict(
                f"hook {name} promotes {found.model} by the alias {found.alias} of MLflow's "
                f"{found.registered} already: take another name, or remove it first"
            )
        return found, False
    values = {
        "name": name, "kind": MLFLOW, "model": model, "registered": registered, "alias": alias,
        "secret": secret, "created_ms": now_ms,
    }  # fmt: skip
    row = conn.execute(sa.insert(t.hook).values(values).returning(t.hook)).one()
    return Hook(**row._mapping), True


def remove(conn: Connection, hook: Hook) -> None:
    """Believe nothing any more that comes by it, and forget its secret."""
    conn.execute(sa.delete(t.hook_delivery).where(t.hook_delivery.c.hook_id == hook.id))
    conn.execute(sa.delete(t.hook).where(t.hook.c.id == hook.id))


def taken(conn: Connection, hook: Hook, delivery_id: str) -> Taken | None:
    """Return what became of a delivery that came before; None where it did not."""
    c = t.hook_delivery.c
    query = sa.select(c.outcome, c.words).where(c.hook_id == hook.id, c.delivery_id == delivery_id)
    row = conn.execute(query).one_or_none()
    return None if row is None else Taken(*row)


def take(
    conn: Connection, hook: Hook, delivery_id: str, outcome: str, words: str, *, now_ms: int
) -> None:
    """Keep what became of a delivery, and forget what came long ago."""
    c = t.hook_delivery.c
    conn.execute(sa.delete(t.hook_delivery).where(c.at_ms < now_ms - KNOWN_MS))
    conn.execute(
        sa.insert(t.hook_delivery).values(
            hook_id=hook.id, delivery_id=delivery_id, at_ms=now_ms, outcome=outcome, words=words
        )
    )
    conn.execute(
        sa.update(t.hook)
        .where(t.hook.c.id == hook.id)
        .values(accepted=t.hook.c.accepted + 1, accepted_ms=now_ms)
    )


def refuse(conn: Connection, hook: Hook, why: str, *, actor: str, now_ms: int) -> None:
    """Count a delivery that its secret did not sign, and audit it: the first of a minute."""
    c = t.hook.c
    conn.execute(
        sa.update(t.hook)
        .where(c.id == hook.id)
        .values(refused=c.refused + 1, refused_ms=now_ms, refused_why=why)
    )
    due = sa.or_(c.audited_ms.is_(None), c.audited_ms <= now_ms - AUDITED_MS)
    is_due = conn.execute(
        sa.update(t.hook).where(c.id == hook.id, due).values(audited_ms=now_ms)
    ).rowcount
    if is_due:
        note(
            conn, actor=actor, action="hook.refuse", subject=hook.name, now_ms=now_ms, why=why,
            refused=hook.refused + 1,
        )  # fmt: skip
