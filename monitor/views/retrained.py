"""Requests for a retraining as pages show them, and what a retraining changed.

What a request did is read from the verdicts on both versions: the last days of the one before,
the first days of the one that took over. Nothing is counted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.calibration import RATES
from driftline.stats.reference import ALL
from monitor.detect.evidence import ratio_of
from monitor.detect.retraining import Policy
from monitor.evaluate.retraining import consider
from monitor.storage import reads, retrain_rows
from monitor.storage import schema as t
from monitor.storage.evaluation import IN_AT_MOST
from monitor.storage.registry import BoundVersion
from monitor.storage.retrain_facts import asked_since
from monitor.storage.retrain_rows import Retrain
from monitor.storage.retraining_policies import policy_of
from monitor.storage.rows import Incident, ModelWindow, Version
from monitor.views.episodes import Group, evidence_of
from monitor.windows.calendar import DAY_MS, window_of
from monitor.windows.panes import pane_ms_of

# So many windows of each version are compared, and so many are drawn.
COMPARED: Final = 7
DRAWN_BEFORE, DRAWN_AFTER = 28, 14
PSI: Final = "psi"


@dataclass(frozen=True, slots=True)
class Side:
    """One version beside a retraining: the worst of a week of its windows, each number by itself.

    A policy asks when drift stood on a few days of a month: the middle day shows none of it.

    Attributes
    ----------
    windows
        Verdicts on the whole model, by start: those that are drawn.
    drifted, features
        How many of how many features had drifted, at most in `days` windows.
    weighted
        The same by importance, 0 to 1; None where the reference has none.
    value, limit
        Of the feature that was worst before; None where it was not judged, and no limit of a
        share of rows: that is the reference's own and more.
    """

    version: str
    windows: tuple[ModelWindow, ...]
    days: int
    drifted: int | None
    features: int | None
    weighted: float | None
    value: float | None
    limit: float | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What a request changed; `after` is None until its version has been judged.

    Attributes
    ----------
    feature, statistic
        The one that was worst before, "" where none is known; and by what: PSI or a share of rows.
    asked_ms, took_over_ms
        Event time up to which it was decided, and of the new version's first window.
    """

    feature: str
    statistic: str
    before: Side
    after: Side | None
    asked_ms: int
    took_over_ms: int | None


@dataclass(frozen=True, slots=True)
class Due:
    """What a model's policy says of a version at the last local midnight that was judged.

    Attributes
    ----------
    verdict
        ask; held: it would ask but for `why`; nothing: there is no reason to.
    days
        On how many of the policy's days critical drift stood.
    trainer
        Its name, None once it was removed.
    asked_today
        Requests of the whole service in the last 24 hours.
    """

    policy: Policy
    verdict: str
    days: int
    why: tuple[str, ...]
    trainer: str | None
    is_ready: bool  # the trainer takes messages
    asked_today: int


def due(conn: Connection, version: Version, now_ms: int) -> Due | None:
    """Return what the policy says now; None where the model has none.

    Before the first day was judged no drift has stood.
    """
    standing = policy_of(conn, version.model)
    if standing is None:
        return None
    trainer = standing.trainer
    verdict, days = "nothing", 0
    why: tuple[str, ...] = ()
    if version.watermark_ms is not None:
        midnight_ms = window_of(version.watermark_ms, "day", version.timezone).start_ms
        pane_ms = pane_ms_of(version.timezone)
        bound = BoundVersion(version.id, version.model, version.name, version.timezone, pane_ms, ())
        decision = consider(conn, bound, standing, midnight_ms, now_ms).decision
        verdict, days, why = decision.verdict, decision.days, decision.why
    return Due(
        policy=standing.policy,
        verdict=verdict,
        days=days,
        why=why,
        trainer=trainer.name if trainer is not None else None,
        is_ready=trainer is not None and trainer.is_enabled,
        asked_today=asked_since(conn, now_ms - DAY_MS),
    )


def requests_about(conn: Connection, numbers: Iterable[int]) -> list[Retrain]:
    """Return the requests that stand on any of some incidents, newest first."""
    ordered = sorted(set(numbers))
    i, found = t.retrain_incident.c, dict[int, Retrain]()
    for place in range(0, len(ordered), IN_AT_MOST):
        some = ordered[place : place + IN_AT_MOST]
        own = sa.select(i.retrain_id).where(i.incident_number.in_(some))
        found |= {one.id: one for one in retrain_rows.found(conn, t.retrain.c.id.in_(own))}
    return sorted(found.values(), key=lambda one: -one.id)


def latest_about(conn: Connection, groups: Sequence[Group]) -> Mapping[int, Retrain]:
    """Return the newest request of each group that has any, by the group's number."""
    home = {member.number: found.number for found in groups for member in found.members}
    i = t.retrain_incident.c
    newest: dict[int, int] = {}
    ordered = sorted(home)
    for place in range(0, len(ordered), IN_AT_MOST):
        some = ordered[place : place + IN_AT_MOST]
        query = sa.select(i.incident_number, i.retrain_id).where(i.incident_number.in_(some))
        for number, retrain_id in conn.execute(query):
            newest[home[number]] = max(newest.get(home[number], 0), retrain_id)
    if not newest:
        return {}
    found = retrain_rows.found(conn, t.retrain.c.id.in_(sorted(set(newest.values()))))
    by_id = {one.id: one for one in found}
    return {number: by_id[retrain_id] for number, retrain_id in newest.items()}


def incidents_of(conn: Connection, one: Retrain) -> list[Incident]:
    """Return the incidents that a request stands on, by number."""
    i = t.retrain_incident.c
    query = sa.select(i.incident_number).where(i.retrain_id == one.id)
    numbers = list(conn.execute(query.order_by(i.incident_number)).scalars())
    return reads.incidents(conn, numbers=numbers, include_archived=True) if numbers else []


def effect(
    conn: Connection, one: Retrain, incidents: Sequence[Incident], *, length: str = "day"
) -> Effect:
    """Return what a request changed: the version it was for, beside the one that took over."""
    feature, statistic = worst = _worst(incidents)
    after = None
    if one.live_version_id is not None:
        first = reads.model_windows(conn, one.live_version_id, length=length, limit=DRAWN_AFTER)
        if first:
            after = _side(conn, one.live_version_id, one.live_version or "", first,
                          first[:COMPARED], worst, length)  # fmt: skip
    end_ms = after.windows[0].start_ms if after is not None else None
    last_ms = end_ms if end_ms is not None else one.event_ms
    before = reads.model_windows(
        conn, one.version_id, length=length,
        from_ms=last_ms - (DRAWN_BEFORE + 2) * DAY_MS, to_ms=last_ms,
    )[-DRAWN_BEFORE:]  # fmt: skip
    return Effect(
        feature,
        statistic,
        _side(conn, one.version_id, one.version, before, before[-COMPARED:], worst, length),
        after,
        one.event_ms,
        end_ms,
    )


def _worst(incidents: Sequence[Incident]) -> tuple[str, str]:
    """Return the feature that drifted furthest, and the statistic that says so.

    PSI where what fired is not stored beside every window.
    """
    drifted = [one for one in incidents if one.feature]
    if not drifted:
        return "", PSI
    whole = [one for one in drifted if one.segment == ALL] or drifted
    worst = max(whole, key=lambda one: ratio_of(evidence_of(one)))
    found = evidence_of(worst)
    is_kept = found is not None and found.statistic in RATES
    return worst.feature, found.statistic if found is not None and is_kept else PSI


def _side(
    conn: Connection,
    version_id: int,
    version: str,
    drawn: Sequence[ModelWindow],
    compared: Sequence[ModelWindow],
    worst: tuple[str, str],
    length: str,
) -> Side:
    feature, statistic = worst
    found: list[tuple[float, float | None]] = []
    if feature and compared:
        rows = reads.findings(
            conn, version_id, length=length, feature=feature,
            from_ms=compared[0].start_ms, to_ms=compared[-1].end_ms,
        )  # fmt: skip
        found = [
            (float(row[statistic]), row["psi_limit"] if statistic == PSI else None)
            for row in rows
            if row[statistic] is not None
        ]
    value, limit = max(found, key=lambda one: one[0], default=(None, None))
    weighted = [window.weighted for window in compared if window.weighted is not None]
    return Side(
        version=version,
        windows=tuple(drawn),
        days=len(compared),
        drifted=max((window.drifted for window in compared), default=None),
        features=max((window.judged for window in compared), default=None),
        weighted=max(weighted, default=None),
        value=value,
        limit=limit,
    )
