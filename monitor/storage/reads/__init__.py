"""What people and programs read: one set of queries for the API, the dashboard and the CLI.

Everything here is a plain SELECT on plain rows. It reads no panes, changes
nothing, and decides nothing but the one word for a model's health.
Use it inside `monitor.storage.engine.reading`, so that what is shown together
was true together.
"""

from monitor.storage.reads.incidents import health, incident_events, incidents
from monitor.storage.reads.judged import (
    cells,
    data_version,
    findings,
    has_window,
    judged,
    judged_span,
    segments,
    watermark_ms,
    windows,
)
from monitor.storage.reads.registered import find_version, models, references, registry_revision
from monitor.storage.reads.streams import (
    DEAD,
    dead_letters,
    dead_reasons,
    deficits,
    gaps,
    outcomes,
    positions,
)

__all__ = [
    "DEAD",
    "cells",
    "data_version",
    "dead_letters",
    "dead_reasons",
    "deficits",
    "find_version",
    "findings",
    "gaps",
    "has_window",
    "health",
    "incident_events",
    "incidents",
    "judged",
    "judged_span",
    "models",
    "outcomes",
    "positions",
    "references",
    "registry_revision",
    "segments",
    "watermark_ms",
    "windows",
]
