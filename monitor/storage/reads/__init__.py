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
from monitor.storage.reads.incidents import (
    health,
    histories,
    incident_events,
    incidents,
    latest_events,
    nearest_numbers,
    windows_over,
)
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
from monitor.storage.reads.lately import (
    ever_judged,
    first_panes,
    latest_findings,
    monitors,
    names_judged,
    recent_windows,
)
from monitor.storage.reads.looking import has_models, known_features, version_mark, zone_of
from monitor.storage.reads.panes import PaneSum, pane_sum, reference_document, unseen_values
from monitor.storage.reads.registered import (
    documents,
    find_version,
    models,
    monitored,
    references,
    registry_revision,
    uses,
)
from monitor.storage.reads.streams import (
    DEAD,
    dead_letters,
    dead_reasons,
    deficits,
    find_letter,
    gaps,
    kept_letters,
    lost,
    outcomes,
    positions,
    tallies,
    topics,
)
from monitor.storage.reads.verdicts import collected, newest_starts, verdicts

__all__ = [
    "DEAD",
    "PaneSum",
    "cells",
    "collected",
    "data_version",
    "dead_letters",
    "dead_reasons",
    "deficits",
    "documents",
    "ever_judged",
    "feature_names",
    "feature_windows",
    "find_letter",
    "find_version",
    "findings",
    "first_panes",
    "gaps",
    "has_models",
    "has_window",
    "health",
    "histories",
    "incident_events",
    "incidents",
    "judged",
    "judged_span",
    "kept_letters",
    "known_features",
    "latches",
    "latest_events",
    "latest_findings",
    "lost",
    "models",
    "monitored",
    "monitors",
    "names_judged",
    "nearest_numbers",
    "newest_starts",
    "outcomes",
    "pane_sum",
    "positions",
    "recent_windows",
    "reference_document",
    "references",
    "registry_revision",
    "segments",
    "tallies",
    "topics",
    "unseen_values",
    "uses",
    "verdicts",
    "version_mark",
    "watermark_ms",
    "windows",
    "windows_over",
    "worst_by_feature",
    "zone_of",
]
