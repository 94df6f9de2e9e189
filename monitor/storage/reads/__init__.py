"""What people and programs read: one set of queries for the API, the dashboard and the CLI.

Everything here is a plain SELECT on plain rows. It changes nothing and decides
nothing but the one word for a model's health; `panes` alone opens profiles.
Use it inside `monitor.storage.engine.reading`, so that what is shown together
was true together.
"""

from monitor.storage.reads.history import (
    feature_windows,
    latches,
    worst_by_feature,
)
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
from monitor.storage.reads.panes import PaneSum, pane_sum, reference_document, unseen_values
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
    "PaneSum",
    "cells",
    "data_version",
    "dead_letters",
    "dead_reasons",
    "deficits",
    "feature_windows",
    "find_version",
    "findings",
    "gaps",
    "has_window",
    "health",
    "incident_events",
    "incidents",
    "judged",
    "judged_span",
    "latches",
    "models",
    "outcomes",
    "pane_sum",
    "positions",
    "reference_document",
    "references",
    "registry_revision",
    "segments",
    "unseen_values",
    "watermark_ms",
    "windows",
    "worst_by_feature",
]
