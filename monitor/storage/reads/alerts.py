"""What the world was told of incidents, for pages and programs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.evaluation import IN_AT_MOST


@dataclass(frozen=True, slots=True)
class Told:
    """The alert that tells of an incident, as of its last message.

    Attributes
    ----------
    state
        open, resolved or withdrawn.
    sequence
        How many messages there were.
    told_ms, recorded_ms
        Event and wall time of the last one.
    """

    alert_id: str
    number: int
    state: str
    severity: str
    sequence: int
    told_ms: int
    recorded_ms: int


def told_of(conn: Connection, numbers: Collection[int]) -> dict[int, Told]:
    """Return what was told of incidents, by number; one that nobody was told of is left out."""
    a, i = t.alert.c, t.alert_incident.c
    ordered, found = sorted(numbers), dict[int, Told]()
    for place in range(0, len(ordered), IN_AT_MOST):
        query = (
            sa.select(i.incident_number, *(a[name] for name in Told.__slots__))
            .join(t.alert, a.id == i.alert_row)
            .where(i.incident_number.in_(ordered[place : place + IN_AT_MOST]))
        )
        found |= {number: Told(*values) for number, *values in conn.execute(query)}
    return found


def held_since(conn: Connection, numbers: Collection[int]) -> dict[int, int]:
    """Return since when, by the wall clock, news of incidents waits to be told, by number."""
    h = t.alert_held.c
    ordered, found = sorted(numbers), dict[int, int]()
    for place in range(0, len(ordered), IN_AT_MOST):
        some = ordered[place : place + IN_AT_MOST]
        query = sa.select(h.incident_number, h.recorded_ms).where(h.incident_number.in_(some))
        found |= {row.incident_number: row.recorded_ms for row in conn.execute(query)}
    return found
