"""Incidents of Driftline's own parts, with what to do about each: for pages, terminal and API."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final

from sqlalchemy.engine import Connection

from driftline.program import command
from monitor.storage import service_incidents
from monitor.storage.service_incidents import PIPELINE, ServiceIncident

# Kind -> (what it is called, what to do, the command that does it or shows more).
TO_DO: Final = {
    "delivery": (
        "Endpoint",
        "Mend the receiver, then switch it on",
        "endpoint enable {name}",
    ),
    "pipeline": ("Pipeline", "See which part it is, and since when", "status"),
    "retrain": ("Retraining", "Look at its run; once that is mended, ask again", "retrain list"),
    "promotion": (
        "Promotion",
        "Register the version's reference: then it is promoted",
        "reference register --help",
    ),
}
# Of the pipeline, by what the subject begins with (`monitor.detect.pipeline`).
PIPELINE_TO_DO: Final = {
    "gap": ("See which windows are incomplete by it", "status"),
    "stalled": ("Start what counts it", "ingest"),
    "unreadable": ("Mend the producer, or let them go on as dead letters", "dead-letter accept"),
    "evaluate": ("Start it again", "evaluate"),
    "deliver": ("Start it again", "deliver"),
}
_ELSE: Final = ("Driftline", "See what it says", "status")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is, or was, wrong with a part of Driftline.

    Attributes
    ----------
    part
        What kind of part it is, as a word.
    todo, command
        What to do, and the command for it; "" once it is over.
    """

    incident: ServiceIncident
    part: str
    todo: str
    command: str

    @property
    def is_open(self) -> bool:
        """Whether it stands."""
        return self.incident.resolved_ms is None


def trouble(incident: ServiceIncident) -> Trouble:
    """Return an incident with what to do about it."""
    part, todo, how = TO_DO.get(incident.kind, _ELSE)
    if incident.kind == PIPELINE:
        reason = incident.subject.partition(" ")[0]
        todo, how = PIPELINE_TO_DO.get(reason, (todo, how))
    if incident.resolved_ms is not None:
        return Trouble(incident, part, "", "")
    return Trouble(incident, part, todo, command(how.format(name=shlex.quote(incident.name))))


def troubles(
    conn: Connection, *, only_open: bool = False, limit: int | None = None
) -> list[Trouble]:
    """Return what is wrong with Driftline's parts, and what was, the last opened first."""
    found = service_incidents.listed(conn, only_open=only_open, limit=limit)
    return [trouble(one) for one in found]
