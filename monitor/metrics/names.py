"""The one table of our own Prometheus series: name, kind, labels and what each says.

Labels are bounded: partitions of living streams, models and versions that are registered, and
words of our own. A name that only events carry never becomes a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Where = Literal["web", "ingest", "every role"]


@dataclass(frozen=True)
class Family:
    """One series' name.

    Attributes
    ----------
    where
        Which process tells it: "web", "ingest", or every one of ingest, evaluate and deliver.
    """

    kind: Literal["gauge", "counter", "histogram"]
    where: Where | Literal["all"]
    labels: tuple[str, ...]
    help: str


_PLACE: Final = ("stream", "topic", "partition")
_VERSION: Final = ("model", "version")

FAMILIES: Final[dict[str, Family]] = {
    "driftline_build_info": Family(
        "gauge", "all", ("role", "version", "python"), "1: what runs here."
    ),
    "driftline_database_up": Family(
        "gauge", "all", (), "1 when the database answered this process at the last attempt."
    ),
    # What the database knows: the web process reads it when it is asked.
    "driftline_partition_lag_records": Family(
        "gauge", "web", _PLACE, "Records in the log, at the last look, that are not counted yet."
    ),
    "driftline_partition_behind_seconds": Family(
        "gauge", "web", _PLACE,
        "Kafka time between the last look at the log's end and the last record counted.",
    ),
    "driftline_partition_look_age_seconds": Family(
        "gauge", "web", _PLACE, "Time since an owner last looked at the partition."
    ),
    "driftline_partition_offset": Family(
        "gauge", "web", _PLACE, "First offset that is not counted yet."
    ),
    "driftline_partition_checkpoints_total": Family(
        "counter", "web", _PLACE, "Checkpoints that moved the position."
    ),
    "driftline_partition_fenced_total": Family(
        "counter", "web", _PLACE, "Checkpoints refused because another owner had claimed."
    ),
    "driftline_records_total": Family(
        "counter", "web", ("model", "outcome"),
        "Events by what became of them: prediction, label, unmonitored, dead; no model where the "
        "name is not registered.",
    ),
    "driftline_late_records_total": Family(
        "counter", "web", ("model",), "Events that came after later ones of their partition; all "
        "are counted.",
    ),
    "driftline_unknown_features_total": Family(
        "counter", "web", ("model",), "Values of features that the reference does not have."
    ),
    "driftline_dead_letters_total": Family(
        "counter", "web", ("reason",), "Records and lines that could not be read as events."
    ),
    "driftline_stopped": Family(
        "gauge", "web", ("stream", "topic"),
        "1 while a topic's consumers stand still because most of what came cannot be read.",
    ),
    "driftline_replay_under_way": Family(
        "gauge", "web", ("stream", "topic"),
        "1 while a replay of the topic is not done, one that was stopped as well.",
    ),
    "driftline_gaps_total": Family(
        "counter", "web", ("kind",), "Ranges of a log that were lost before they were counted."
    ),
    "driftline_lost_offsets_total": Family(
        "counter", "web", ("kind",), "Offsets that those ranges cover."
    ),
    "driftline_watermark_delay_seconds": Family(
        "gauge", "web", _VERSION,
        "How far the event time up to which everything is expected to have come lies behind the "
        "wall clock; 0 where all partitions are read to their end and idle.",
    ),
    "driftline_evaluator_delay_seconds": Family(
        "gauge", "web", _VERSION,
        "Event time between the watermark and what is judged: what could be judged and is not.",
    ),
    "driftline_open_incidents": Family(
        "gauge", "web", ("model", "severity"), "Incidents that stand, muted ones too."
    ),
    "driftline_deliveries": Family(
        "gauge", "web", ("state",),
        "Messages that are kept: pending, delivered, dead (given up), cancelled.",
    ),
    "driftline_delivery_overdue_seconds": Family(
        "gauge", "web", (), "For how long the next attempt at a message has been due; 0: none is."
    ),
    "driftline_endpoints_disabled": Family(
        "gauge", "web", (), "Endpoints to which nothing is sent any more."
    ),
    "driftline_role_instances": Family(
        "gauge", "web", ("role",), "Processes of a role that were seen in the last 45 seconds."
    ),
    # What a process knows of itself: with --metrics-port.
    "driftline_ready": Family(
        "gauge", "every role", (), "1 when /readyz says so."
    ),
    "driftline_rounds_total": Family(
        "counter", "every role", (), "How often the work went on."
    ),
    "driftline_round_age_seconds": Family(
        "gauge", "every role", (), "Time since the work last went on."
    ),
    "driftline_broker_up": Family(
        "gauge", "ingest", (), "1 when the broker answered at the last attempt."
    ),
    "driftline_checkpoint_seconds": Family(
        "histogram", "ingest", ("result",),
        "One partition's transaction, by how it ended: committed, watched (nothing had come), "
        "fenced, registry_moved (read again), unavailable.",
    ),
    "driftline_rebalances_total": Family(
        "counter", "ingest", ("kind",), "Partitions were assigned, revoked or lost."
    ),
    "driftline_poll_errors_total": Family(
        "counter", "ingest", ("error",), "Polls that raised; what they skipped is read again."
    ),
    "driftline_partitions": Family(
        "gauge", "ingest", ("state",), "Partitions of this member: assigned, and of them claimed."
    ),
    "driftline_held_events": Family(
        "gauge", "ingest", (), "Events that wait for the next checkpoint."
    ),
    "driftline_held_bytes": Family(
        "gauge", "ingest", (), "Memory, roughly, of what waits for the next checkpoint."
    ),
    "driftline_reading_paused": Family(
        "gauge", "ingest", (), "1 while reading pauses because too much is held."
    ),
}  # fmt: skip
