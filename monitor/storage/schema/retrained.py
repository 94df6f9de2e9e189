"""Retraining: when a model's is asked for, each request, and what became of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text, UniqueConstraint, text

from monitor.storage.schema.columns import Id, String, metadata

# The policy of a model, and the endpoint that starts its trainings.
retraining = Table(
    "retraining",
    metadata,
    Column("model_id", BigInteger, primary_key=True, autoincrement=False),
    Column("spec", Text, nullable=False),  # JSON of monitor.detect.retraining.Policy
    Column("endpoint_id", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

# One wish for a new version. It is open until `ended_ms`.
retrain = Table(
    "retrain",
    metadata,
    Column("id", Id, primary_key=True),
    # By what it is known again, in another life of this database, too; its message's id has it.
    Column("key", String(64), nullable=False),
    Column("model_id", BigInteger, nullable=False),
    Column("version_id", BigInteger, nullable=False, index=True),
    # requested | accepted | running | succeeded | failed | expired
    Column("state", String(12), nullable=False),
    Column("is_dry_run", Boolean, nullable=False),
    Column("origin", String(10), nullable=False),  # policy | asked
    Column("actor", String(200), nullable=False),
    Column("summary", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON
    Column("basis_withdrawn", Boolean, nullable=False),
    Column("event_ms", BigInteger, nullable=False),  # event time up to which it was decided
    Column("requested_ms", BigInteger, nullable=False),
    # The trainer must have said something new before; each word of it gives as long again.
    Column("deadline_ms", BigInteger, nullable=False),
    Column("answer_within_ms", BigInteger, nullable=False),
    Column("endpoint_id", BigInteger, nullable=False),
    Column("url", Text, nullable=False),  # of its page
    Column("run", Text),  # JSON: kind, id, url; null until the trainer names one
    Column("look_ms", BigInteger),  # when to look at the run next; null: nobody follows it
    Column("made_version", String(200)),  # as the trainer says
    Column("live_version_id", BigInteger),
    Column("live_ms", BigInteger),  # wall time at which that was known
    Column("ended_ms", BigInteger),
    UniqueConstraint("key"),
    Index(
        "ix_retrain_open",
        "version_id",
        unique=True,
        sqlite_where=text("ended_ms IS NULL AND is_dry_run = 0"),
        postgresql_where=text("ended_ms IS NULL AND is_dry_run = false"),
    ),
    Index("ix_retrain_look", "look_ms"),
    Index("ix_retrain_model", "model_id", "event_ms"),
    Index("ix_retrain_requested", "requested_ms"),
    sqlite_autoincrement=True,  # messages name its number
)

# Append-only: what became of a request, by the wall clock.
retrain_event = Table(
    "retrain_event",
    metadata,
    Column("id", Id, primary_key=True),
    Column("retrain_id", BigInteger, nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),  # its states, and live | basis_withdrawn
    Column("actor", String(200), nullable=False),
    Column("words", Text, nullable=False),
)

# On which incidents a request stands.
retrain_incident = Table(
    "retrain_incident",
    metadata,
    Column("retrain_id", BigInteger, primary_key=True),
    Column("incident_number", BigInteger, primary_key=True),
    Index("ix_retrain_incident_number", "incident_number"),
)
