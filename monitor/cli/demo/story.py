"""The year in plain sentences, made of incidents that were told, retrainings and outcomes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from monitor.cli.demo.flights import FEATURES, ZONE
from monitor.cli.demo.produce import VERSION
from monitor.cli.demo.result import Result, Retraining
from monitor.storage.rows import Incident

_JUDGED: Final = (*FEATURES, "prediction", "prediction.score")


def tell(year: Result) -> list[str]:
    """The story, line by line."""
    told = [incident for incident in year.incidents if incident.segment == "all"]
    lines = [
        "",
        f"The year 2013, {year.predictions:,} predictions and {year.labels:,} labels, "
        f"judged in {year.windows['hour']:,} hours, {year.windows['day']:,} days and "
        f"{year.windows['week']:,} weeks:",
        "",
        *(line for incident in told for line in _incident(incident)),
        *(line for one in year.retrains for line in _retraining(one)),
        "",
    ]
    moved = {incident.feature for incident in told}
    quiet = [name for name in _JUDGED if name not in moved]
    if quiet:
        lines.append(f"Quiet all year: {', '.join(quiet)}.")
    lines.append(_auc(year))
    sent = year.deliveries
    waiting = f", {sent.pending} pending" if sent.pending else ""
    failed = f", {sent.failed} failed" if sent.failed else ""
    lines.append(f"{sent.delivered} webhooks delivered and verified{failed}{waiting}.")
    dead = sum(year.dead_letters.values())
    lines.append(
        f"{year.groups} incidents, as what moved together is one; {dead or 'no'} dead letters; "
        f"{year.seconds:.0f} s and {year.peak_bytes / 1_000_000:,.0f} MB for everything."
    )
    return lines


def _auc(year: Result) -> str:
    """How good the scores were with new versions and without, and what that does not show."""
    if all(one.live_ms is None for one in year.retrains):
        return f"AUC of the year's flights: {year.auc.driftline:.3f}, of January's model."
    return (
        f"AUC of the year's flights: {year.auc.driftline:.3f} as they were scored, "
        f"{year.auc.never:.3f} had January's model scored all of them. That is one year of one "
        "model; retraining by the calendar was not tried beside it."
    )


def _retraining(one: Retraining) -> list[str]:
    asked = f"  {_local(one.asked_ms)}, retraining asked for: {one.summary}."
    if one.live_ms is None:
        return [asked, f"    No new version scored: the request ended as {one.state}."]
    return [
        asked,
        f"    Version {one.version}, trained on what was known by then, scores since "
        f"{_local(one.live_ms)}.",
    ]


def _incident(incident: Incident) -> list[str]:
    end = "still open"
    if incident.resolved_ms is not None:
        by = ", when the next version took over" if incident.state == "superseded" else ""
        end = f"until {_local(incident.resolved_ms)}{by}"
    version = "" if incident.version == VERSION else f", version {incident.version}"
    return [
        f"  {_local(incident.opened_ms)}, {incident.severity}{version}, {end}",
        f"    {incident.summary}",
    ]


def _local(at_ms: int) -> str:
    local = datetime.fromtimestamp(at_ms / 1_000, UTC).astimezone(ZoneInfo(ZONE))
    return f"{local.day} {local:%B} {local:%H:%M}"
