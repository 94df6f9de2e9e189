"""The year in plain sentences, made of the incidents that were told and of nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from monitor.cli.demo.flights import FEATURES, ZONE
from monitor.cli.demo.result import Result
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
        "",
    ]
    moved = {incident.feature for incident in told}
    quiet = [name for name in _JUDGED if name not in moved]
    if quiet:
        lines.append(f"Quiet all year: {', '.join(quiet)}.")
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


def _incident(incident: Incident) -> list[str]:
    end = "still open" if incident.resolved_ms is None else f"until {_local(incident.resolved_ms)}"
    return [
        f"  {_local(incident.opened_ms)}, {incident.severity}, {end}",
        f"    {incident.summary}",
    ]


def _local(at_ms: int) -> str:
    local = datetime.fromtimestamp(at_ms / 1_000, UTC).astimezone(ZoneInfo(ZONE))
    return f"{local.day} {local:%B} {local:%H:%M}"
