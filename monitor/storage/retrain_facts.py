"""What a retraining is decided by, as it is stored; see `monitor.detect.retraining`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.groups import ALL
from monitor.detect.incidents import Incident, derive
from monitor.detect.kinds import KIND_OF
from monitor.detect.knowledge import OPEN_STATES
from monitor.detect.retraining import HOLDING, STARTING, Judged
from monitor.storage import latches
from monitor.storage import schema as t
from monitor.windows.calendar import DAY_MS, NOMINAL_MS

_STATISTICS = sorted(name for name, kind in KIND_OF.items() if kind == STARTING)


class Held(NamedTuple):
    """An open critical incident that has to be mended before a training makes sense."""

    number: int
    kind: str
    feature: str
    segment: str


def critical(conn: Connection, version_id: int, since_ms: int) -> dict[str, list[Incident]]:
    """Return by feature the incidents of drift that were critical since then, or are."""
    c = t.latch.c
    features = (
        sa.select(c.feature)
        .distinct()
        .where(
            c.version_id == version_id,
            c.segment == ALL,
            c.level == "critical",
            c.statistic.in_(_STATISTICS),
            sa.or_(c.closed_ms.is_(None), c.closed_ms > since_ms),
        )
    )
    # One statement, however many drift: a page asks for it, too.
    found = latches.members_by_feature(conn, version_id, ALL, features, _STATISTICS)
    return {feature: derive(members) for feature, members in found.items()}


def windows(
    conn: Connection, version_id: int, lengths: Iterable[str], since_ms: int, until_ms: int
) -> dict[str, list[Judged]]:
    """Return the windows of some lengths that speak of `[since_ms, until_ms]`, in order."""
    w = t.window.c
    found: dict[str, list[Judged]] = {}
    for length in sorted(set(lengths)):
        query = (
            sa.select(w.start_ms, w.end_ms, w.incomplete, w.closed_by)
            .where(
                w.version_id == version_id,
                w.length == length,
                w.segment == ALL,
                # The last one before still speaks of the first day.
                w.start_ms >= since_ms - 2 * NOMINAL_MS[length] - DAY_MS,
                w.end_ms <= until_ms,
            )
            .order_by(w.start_ms)
        )
        found[length] = [
            Judged(start_ms, end_ms, incomplete is None and closed_by == "watermark")
            for start_ms, end_ms, incomplete, closed_by in conn.execute(query)
        ]
    return found


def numbers_of(conn: Connection, version_id: int, opened: dict[str, int]) -> dict[str, int]:
    """Return the numbers of incidents of drift by feature, given when each opened."""
    c = t.incident.c
    query = sa.select(c.feature, c.opened_ms, c.number).where(
        c.version_id == version_id,
        c.segment == ALL,
        c.kind == STARTING,
        c.state.in_(OPEN_STATES),
    )
    return {
        feature: number
        for feature, opened_ms, number in conn.execute(query)
        if opened.get(feature) == opened_ms
    }


def holding(conn: Connection, version_id: int) -> list[Held]:
    """Return what has to be mended first, the oldest first; what another one speaks for, too."""
    c = t.incident.c
    query = (
        sa.select(c.number, c.kind, c.feature, c.segment)
        .where(
            c.version_id == version_id,
            c.kind.in_(HOLDING),
            c.severity == "critical",
            c.state.in_(OPEN_STATES),
        )
        .order_by(c.number)
    )
    return [Held(*row) for row in conn.execute(query)]


def alerts_of(conn: Connection, numbers: Iterable[int]) -> list[str]:
    """Return the ids of the alerts that told of some incidents, the first told first."""
    a, i = t.alert.c, t.alert_incident.c
    query = (
        sa.select(a.id, a.alert_id)
        .distinct()
        .join(t.alert_incident, i.alert_row == a.id)
        .where(i.incident_number.in_(sorted(numbers)))
        .order_by(a.id)
    )
    return [alert_id for _, alert_id in conn.execute(query)]


def asked_near_ms(conn: Connection, model_id: int, at_ms: int, *, is_dry_run: bool) -> int | None:
    """Return the event time of the request of a model that is nearest to `at_ms`.

    It may be later: a version whose log is behind another's, or one that was asked for by hand
    before anything was judged, when there was only the clock to go by.
    """
    r = t.retrain.c
    query = (
        sa.select(r.event_ms)
        .where(r.model_id == model_id, r.is_dry_run == is_dry_run)
        .order_by(sa.func.abs(r.event_ms - at_ms))
        .limit(1)
    )
    return conn.execute(query).scalar_one_or_none()


def asked_since(conn: Connection, since_ms: int) -> int:
    """Return how many retrainings the whole service asked for since then, by the wall clock."""
    r = t.retrain.c
    query = sa.select(sa.func.count()).where(
        r.requested_ms > since_ms, r.is_dry_run.is_(sa.false())
    )
    return int(conn.execute(query).scalar_one())


def asked_of_episode(conn: Connection, version_id: int, since_ms: int, *, is_dry_run: bool) -> int:
    """Return how often a version's policy has asked since an episode began, in event time."""
    r = t.retrain.c
    query = sa.select(sa.func.count()).where(
        r.version_id == version_id,
        r.event_ms >= since_ms,
        r.origin == "policy",
        r.is_dry_run == is_dry_run,
    )
    return int(conn.execute(query).scalar_one())
