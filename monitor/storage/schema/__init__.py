"""The tables (SQLAlchemy Core), by who writes them; `migrations/` brings a database here.

Instants are epoch milliseconds in UTC (`_ms`). No table that a consumer
writes has a foreign key: a deleted model must not stop a partition and the
models beside it.
"""

from __future__ import annotations

from monitor.storage.schema.columns import metadata
from monitor.storage.schema.counted import (
    breaker,
    counter,
    data_gap,
    dead_letter,
    deficit,
    pane,
    pane_day,
    registry_switch,
    stream,
    stream_position,
    unseen_value,
)
from monitor.storage.schema.handled import (
    incident_note,
    silence,
)
from monitor.storage.schema.hooked import (
    hook,
    hook_delivery,
    promotion_wanted,
)
from monitor.storage.schema.judged import (
    DISTANCES,
    evaluator_cursor,
    finding,
    finding_day,
    incident,
    incident_event,
    latch,
    model_window,
    takeover,
    window,
)
from monitor.storage.schema.lanes import (
    lane,
    lane_counter,
    lane_pane,
    lane_position,
    lane_unseen,
    recount,
    upload,
)
from monitor.storage.schema.registered import (
    binding,
    calibration,
    model,
    model_version,
    monitor,
    promotion,
    reference,
    registry,
)
from monitor.storage.schema.retrained import (
    retrain,
    retrain_event,
    retrain_incident,
    retraining,
)
from monitor.storage.schema.running import (
    audit,
    data_version,
    heartbeat,
)
from monitor.storage.schema.told import (
    alert,
    alert_held,
    alert_incident,
    delivery_attempt,
    endpoint,
    outbox,
    route,
    service_incident,
)

__all__ = [
    "DISTANCES",
    "alert",
    "alert_held",
    "alert_incident",
    "audit",
    "binding",
    "breaker",
    "calibration",
    "counter",
    "data_gap",
    "data_version",
    "dead_letter",
    "deficit",
    "delivery_attempt",
    "endpoint",
    "evaluator_cursor",
    "finding",
    "finding_day",
    "heartbeat",
    "hook",
    "hook_delivery",
    "incident",
    "incident_event",
    "incident_note",
    "lane",
    "lane_counter",
    "lane_pane",
    "lane_position",
    "lane_unseen",
    "latch",
    "metadata",
    "model",
    "model_version",
    "model_window",
    "monitor",
    "outbox",
    "pane",
    "pane_day",
    "promotion",
    "promotion_wanted",
    "recount",
    "reference",
    "registry",
    "registry_switch",
    "retrain",
    "retrain_event",
    "retrain_incident",
    "retraining",
    "route",
    "service_incident",
    "silence",
    "stream",
    "stream_position",
    "takeover",
    "unseen_value",
    "upload",
    "window",
]
