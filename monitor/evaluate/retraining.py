"""Asking for a retraining: looked at once a local day, in the transaction that judged it.

Only the live evaluator asks. A replay that judges the past anew, a log of weeks that is caught up
on and what-if runs ask for nothing; what they find stands when the next day is over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.engine import Connection

from driftline.errors import Conflict
from monitor.detect.evidence import evidence_in
from monitor.detect.messages import finite, instant
from monitor.detect.retrain_messages import key_of
from monitor.detect.retraining import (
    Decision,
    Drift,
    Facts,
    Policy,
    critical_spans,
    days_before,
    decide,
    midnights,
    open_days,
    open_drifts,
    summary_of,
)
from monitor.storage import pipeline, promotions, retrain_rows, retraining_policies, retrains
from monitor.storage import retrain_facts as sql
from monitor.storage.engine import take_turns
from monitor.storage.evaluation import IN_AT_MOST
from monitor.storage.reads.incidents import incidents
from monitor.storage.registry import BoundVersion
from monitor.storage.retrain_rows import Retrain
from monitor.storage.retraining_policies import Standing
from monitor.storage.retrains import Wanted
from monitor.windows.calendar import DAY_MS

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Considered:
    """What a policy says at a midnight, and by which facts."""

    decision: Decision
    facts: Facts


def withdraw(conn: Connection, changed: Collection[int], now_ms: int) -> None:
    """Say of requests that what they stand on was withdrawn, before receivers are told of it."""
    numbers = sorted(changed)
    for place in range(0, len(numbers), IN_AT_MOST):
        retrains.withdraw_basis(conn, numbers[place : place + IN_AT_MOST], now_ms=now_ms)


def ask_where_due(
    conn: Connection,
    bound: BoundVersion,
    *,
    before_ms: int | None,
    until_ms: int,
    now_ms: int,
    web_url: str,
) -> Retrain | None:
    """Ask for a retraining where a version's policy says so, at the first day that says it.

    Where no local day came to an end in `(before_ms, until_ms]` nothing is read.
    """
    over = midnights(before_ms, until_ms, bound.timezone)
    standing = retraining_policies.policy_of(conn, bound.model) if over else None
    if standing is None or not standing.policy.enabled:
        return None
    for at_ms in over:
        found = consider(conn, bound, standing, at_ms, now_ms, is_asking=True)
        if not found.facts.drifts:
            return None  # by now it is over
        if found.decision.verdict == "ask":
            return _ask(conn, bound, standing, found, now_ms, web_url)
        if found.decision.verdict == "held":
            log.info(
                "retraining is held back", model=bound.model, version=bound.version,
                why="; ".join(found.decision.why),
            )  # fmt: skip
    return None


def consider(
    conn: Connection,
    bound: BoundVersion,
    standing: Standing,
    at_ms: int,
    now_ms: int,
    *,
    is_asking: bool = False,
) -> Considered:
    """Return what a policy says of a version at a local midnight; nothing is written.

    What holds it back is looked up as it stands now, and only where days say that it is due.
    `is_asking` keeps it so until the transaction ends: two evaluators must not both take the last
    request of a budget.
    """
    policy = standing.policy
    *_, (since_ms, _) = days_before(at_ms, policy.of_days, bound.timezone)
    by_feature = sql.critical(conn, bound.version_id, since_ms)
    every = [incident for found in by_feature.values() for incident in found]
    open_now = {f: found[-1] for f, found in by_feature.items() if found}
    lengths = {m.length for incident in every for m in incident.members if m.level == "critical"}
    judged = sql.windows(conn, bound.version_id, lengths, since_ms, at_ms)
    stood = critical_spans(every, judged, bound.timezone)
    numbers = sql.numbers_of(conn, bound.version_id, {f: i.opened_ms for f, i in open_now.items()})
    drifts = [
        drift
        for feature, incident in open_now.items()
        if feature in numbers and (drift := open_drifts(numbers[feature], feature, incident))
    ]
    drifts.sort(key=lambda drift: (drift.since_ms, drift.number))
    facts = Facts(at_ms, bound.timezone, stood, drifts)
    decision = decide(policy, facts)
    if decision.verdict != "ask":
        return Considered(decision, facts)
    if is_asking:
        take_turns(conn, "tell")
    facts = _with_what_holds(conn, bound, standing, facts, now_ms)
    return Considered(decide(policy, facts), facts)


def _with_what_holds(
    conn: Connection, bound: BoundVersion, standing: Standing, facts: Facts, now_ms: int
) -> Facts:
    is_dry_run = standing.policy.dry_run
    no_trainer = None
    try:
        retrains.ready(standing)
    except Conflict as error:
        no_trainer = str(error)
    one = retrain_rows.open_of(conn, bound.version_id)
    return Facts(
        at_ms=facts.at_ms,
        timezone=facts.timezone,
        stood=facts.stood,
        drifts=facts.drifts,
        holding=list(_holding(conn, bound, facts.at_ms)),
        asked_ms=sql.asked_near_ms(conn, standing.model_id, facts.at_ms, is_dry_run=is_dry_run),
        asked_today=sql.asked_since(conn, now_ms - DAY_MS),
        open_request=None if one is None else f"request {one.id} is {one.state}",
        no_trainer=no_trainer,
    )


def _holding(conn: Connection, bound: BoundVersion, at_ms: int) -> Iterator[str]:
    live = [p for p in promotions.of_version(conn, bound.version_id) if p.effective_ms <= at_ms]
    if live and live[-1].version_id != bound.version_id:
        yield f"version {live[-1].version} took over"
    topics = pipeline.topics_of(conn, bound.model, bound.version)
    for broken in pipeline.holds(conn, topics):
        yield f"the pipeline is broken: {broken.summary}"
    for held in sql.holding(conn, bound.version_id):
        where = "" if held.segment == "all" else f" ({held.segment})"
        kind = held.kind.replace("_", " ")
        yield f"incident {held.number} is open: {held.feature}{where}, {kind}"


def _ask(
    conn: Connection,
    bound: BoundVersion,
    standing: Standing,
    found: Considered,
    now_ms: int,
    web_url: str,
) -> Retrain | None:
    policy, drifts, at_ms = standing.policy, found.facts.drifts, found.facts.at_ms
    first = drifts[0]
    earlier = sql.asked_of_episode(
        conn, bound.version_id, first.since_ms, is_dry_run=policy.dry_run
    )
    # Of the episode, and how often it was asked in it: whoever judges the same log again says the
    # same, and what still stands after the cool-down is another request.
    key = key_of(
        bound.model, bound.version, bound.nonce, first.feature, str(first.first_ms),
        "dry run" if policy.dry_run else "", str(earlier + 1),
    )  # fmt: skip
    made = retrains.request(
        conn,
        Wanted(
            version=bound.version,
            version_id=bound.version_id,
            key=key,
            summary=summary_of(policy, found.decision.days, drifts),
            event_ms=at_ms,
            evidence=evidence_of(conn, policy, found, bound.timezone),
            is_dry_run=policy.dry_run,
        ),
        standing,
        now_ms=now_ms,
        web_url=web_url,
    )
    if made is not None:
        log.info(
            "asked for a retraining", model=bound.model, version=bound.version, request=made.id,
            why=made.summary, dry_run=made.is_dry_run,
        )  # fmt: skip
    return made


def evidence_of(
    conn: Connection, policy: Policy, found: Considered, timezone: str
) -> dict[str, Any]:
    """Return what a request says of why: the days, and each drift with what shows it best."""
    facts = found.facts
    numbers = [drift.number for drift in facts.drifts]
    days = open_days(facts.stood, facts.at_ms, policy.of_days, timezone)
    *_, (since_ms, _) = days_before(facts.at_ms, policy.of_days, timezone)
    rows = {row.number: row for row in incidents(conn, numbers=numbers)} if numbers else {}
    return {
        "open_days": len(days),
        "needed_days": policy.open_days,
        "of_days": policy.of_days,
        "from": instant(since_ms),
        "until": instant(facts.at_ms),
        "timezone": timezone,
        "drifts": [_shown(drift, rows[drift.number].evidence) for drift in facts.drifts],
        "incidents": numbers,
        "alert_ids": sql.alerts_of(conn, numbers) if numbers else [],
    }


def _shown(drift: Drift, stored: object) -> dict[str, Any]:
    best = evidence_in(stored)
    return {
        "incident": drift.number,
        "feature": drift.feature,
        "critical_since": instant(drift.since_ms),
        "statistic": best.statistic if best else None,
        "value": finite(best.value) if best else None,
        "limit": finite(best.limit) if best else None,
    }
