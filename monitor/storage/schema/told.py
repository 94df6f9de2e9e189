"""What is told to the world: endpoints, alerts, and each message that was sent."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, UniqueConstraint, text

from monitor.storage.schema.columns import Id, String, metadata

# Where alerts are sent. `secrets` is JSON, newest first: [{"secret", "until_ms"}]; two sign
# while one takes over from the other. `settings` is JSON of what its kind needs beside.
endpoint = Table(
    "endpoint",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("url", Text, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("disabled_ms", BigInteger),
    Column("disabled_reason", Text),
    Column("removed_ms", BigInteger),
    # webhook | slack | pagerduty | smtp | apprise | airflow | databricks | github
    Column("kind", String(16), nullable=False, server_default="webhook"),
    Column("settings", Text, nullable=False, server_default="{}"),
    # Since when and how often nothing has arrived; null and 0 after something has.
    Column("failing_since_ms", BigInteger),
    Column("failures", Integer, nullable=False, server_default="0"),
    # A removed endpoint keeps its row for what was sent to it; its name is free again.
    Index(
        "ix_endpoint_name",
        "name",
        unique=True,
        sqlite_where=text("removed_ms IS NULL"),
        postgresql_where=text("removed_ms IS NULL"),
    ),
)

# One problem as the world was told of it: the incidents of one version that belong together.
alert = Table(
    "alert",
    metadata,
    Column("id", Id, primary_key=True),
    Column("alert_id", String(40), nullable=False, unique=True),
    Column("version_id", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),  # the incident that its URL names
    Column("state", String(12), nullable=False),  # open | resolved | withdrawn, as last told
    Column("severity", String(10), nullable=False),  # as last told
    Column("worst", String(10), nullable=False),  # the worst that was told since it was detected
    Column("opened_ms", BigInteger, nullable=False),  # event time from which it stood
    Column("sequence", Integer, nullable=False),  # of the last message
    Column("told_ms", BigInteger, nullable=False),  # event time of the last message
    Column("recorded_ms", BigInteger, nullable=False),  # wall time of it
    # Event time of its last detection or update below critical: there is one a day.
    Column("warned_ms", BigInteger),
    Index("ix_alert_warned", "version_id", "warned_ms"),
    Index("ix_alert_state", "version_id", "state"),
)

# What a receiver knows of each incident, by the last message that concerned it; the
# severity is the worst that was told of its episode.
alert_incident = Table(
    "alert_incident",
    metadata,
    Column("incident_number", BigInteger, primary_key=True),
    Column("alert_row", BigInteger, nullable=False, index=True),
    Column("severity", String(10), nullable=False),
    Column("state", String(12), nullable=False),
    Column("episodes", Integer, nullable=False),
)

# Incidents with something new that waits: for the next message, or for the day to be over.
alert_held = Table(
    "alert_held",
    metadata,
    Column("incident_number", BigInteger, primary_key=True),
    Column("version_id", BigInteger, nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),  # event time of the evaluation that held it
    Column("recorded_ms", BigInteger, nullable=False),  # wall time of it
    Column("silence", BigInteger),  # the number of the silence that it waits for, if for one
)

# One message for one endpoint, its body frozen; written in the transaction that decided it.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("endpoint_id", BigInteger, nullable=False),
    Column("webhook_id", String(80), nullable=False),
    Column("alert_id", String(40)),  # null for a test and for what is no alert
    Column("sequence", Integer, nullable=False),
    Column("type", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),  # pending | delivered | dead | cancelled
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_ms", BigInteger, nullable=False),  # of the next attempt
    Column("leased_by", String(200)),
    Column("lease_until_ms", BigInteger),
    Column("finished_ms", BigInteger),
    # Of `attempts`, those before somebody asked for it again.
    Column("tried_before", Integer, nullable=False, server_default="0"),
    # Quiet hours hold it until then.
    Column("not_before_ms", BigInteger),
    UniqueConstraint("endpoint_id", "webhook_id"),
    Index("ix_outbox_due", "state", "due_ms"),
    Index("ix_outbox_finished", "state", "finished_ms"),
    Index("ix_outbox_order", "endpoint_id", "alert_id", "sequence"),
)

# Append-only: each time a message was sent, and what came back.
delivery_attempt = Table(
    "delivery_attempt",
    metadata,
    Column("id", Id, primary_key=True),
    Column("outbox_id", BigInteger, nullable=False, index=True),
    Column("number", Integer, nullable=False),  # from 1
    Column("at_ms", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("status", Integer),  # of the answer; null without one
    Column("error", Text),  # why it failed, in one line; null when delivered
    Column("response", Text),  # the answer's beginning, capped
)

# What is wrong with Driftline's own parts rather than with a model: it has no version, no feature
# and no window. One of a subject is open at a time.
service_incident = Table(
    "service_incident",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(20), nullable=False),  # delivery | pipeline | retrain
    Column("subject", String(200), nullable=False),  # a number of an endpoint or version, a topic
    Column("name", String(200), nullable=False),  # what people call it
    Column("severity", String(10), nullable=False),
    Column("summary", Text, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("resolved_ms", BigInteger),
    Column("resolved_as", String(20)),  # enabled | removed | recovered | forgotten
    Index(
        "ix_service_incident_open",
        "kind",
        "subject",
        unique=True,
        sqlite_where=text("resolved_ms IS NULL"),
        postgresql_where=text("resolved_ms IS NULL"),
    ),
    sqlite_autoincrement=True,  # messages name its number
)

# Which of a model's messages go where; a model without any sends all to every endpoint.
route = Table(
    "route",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model_id", BigInteger, nullable=False),
    Column("name", String(100), nullable=False),
    Column("spec", Text, nullable=False),  # JSON of monitor.detect.routes.Route
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("model_id", "name"),
)
