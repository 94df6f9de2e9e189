"""the first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "binding",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("reference_digest", sa.String(length=64), nullable=False),
        sa.Column("effective_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("registry_revision", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_binding")),
        sa.UniqueConstraint(
            "version_id", "effective_from_ms", name=op.f("uq_binding_version_id_effective_from_ms")
        ),
    )
    with op.batch_alter_table("binding", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_binding_version_id"), ["version_id"], unique=False)

    op.create_table(
        "calibration",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("reference_digest", sa.String(length=64), nullable=False),
        sa.Column("segment", sa.String(length=500), nullable=False),
        sa.Column("length", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("windows", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "version_id",
            "reference_digest",
            "segment",
            "length",
            "revision",
            name=op.f("pk_calibration"),
        ),
    )
    op.create_table(
        "counter",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("outcome", sa.String(length=80), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "stream_id", "partition", "model", "version", "outcome", name=op.f("pk_counter")
        ),
    )
    op.create_table(
        "data_gap",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("from_offset", sa.BigInteger(), nullable=False),
        sa.Column("to_offset", sa.BigInteger(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=True),
        sa.Column("to_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_gap")),
        sa.UniqueConstraint(
            "stream_id",
            "partition",
            "kind",
            "from_offset",
            "to_offset",
            name=op.f("uq_data_gap_stream_id_partition_kind_from_offset_to_offset"),
        ),
    )
    op.create_table(
        "data_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_version")),
    )
    op.create_table(
        "dead_letter",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.Column("payload_sha256", sa.String(length=64), nullable=False),
        sa.Column("kafka_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "stream_id", "partition", "offset", "line", name=op.f("pk_dead_letter")
        ),
    )
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dead_letter_reason"), ["reason"], unique=False)

    op.create_table(
        "deficit",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("from_offset", sa.BigInteger(), nullable=False),
        sa.Column("to_offset", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint(
            "stream_id", "partition", "model", "version", name=op.f("pk_deficit")
        ),
    )
    op.create_table(
        "evaluator_cursor",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("watermark_ms", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.String(length=200), nullable=True),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("version_id", name=op.f("pk_evaluator_cursor")),
    )
    op.create_table(
        "finding",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.String(length=16), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("segment", sa.String(length=500), nullable=False),
        sa.Column("feature", sa.String(length=200), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("psi", sa.Float(), nullable=True),
        sa.Column("psi_limit", sa.Float(), nullable=True),
        sa.Column("psi_critical", sa.Float(), nullable=True),
        sa.Column("psi_lower", sa.Float(), nullable=True),
        sa.Column("ks_low", sa.Float(), nullable=True),
        sa.Column("ks_high", sa.Float(), nullable=True),
        sa.Column("missing", sa.Float(), nullable=True),
        sa.Column("missing_excess", sa.Float(), nullable=True),
        sa.Column("missing_limit", sa.Float(), nullable=True),
        sa.Column("type_error", sa.Float(), nullable=True),
        sa.Column("type_error_excess", sa.Float(), nullable=True),
        sa.Column("type_error_limit", sa.Float(), nullable=True),
        sa.Column("unseen", sa.Float(), nullable=True),
        sa.Column("unseen_excess", sa.Float(), nullable=True),
        sa.Column("unseen_limit", sa.Float(), nullable=True),
        sa.Column("out_of_range", sa.Float(), nullable=True),
        sa.Column("out_of_range_excess", sa.Float(), nullable=True),
        sa.Column("out_of_range_limit", sa.Float(), nullable=True),
        sa.Column("ratio", sa.Float(), nullable=True),
        sa.Column("evidence", sa.String(length=16), nullable=True),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("marks", sa.String(length=120), nullable=False),
        sa.Column("exceeds", sa.String(length=80), nullable=False),
        sa.Column("is_alarming", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(
            "version_id", "length", "start_ms", "segment", "feature", name=op.f("pk_finding")
        ),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.create_index(
            "ix_finding_feature",
            ["version_id", "feature", "length", "segment", "start_ms"],
            unique=False,
        )

    op.create_table(
        "incident",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("segment", sa.String(length=500), nullable=False),
        sa.Column("feature", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("muted", sa.Boolean(), nullable=False),
        sa.Column("first_window_ms", sa.BigInteger(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("told_ms", sa.BigInteger(), nullable=True),
        sa.Column("resolved_ms", sa.BigInteger(), nullable=True),
        sa.Column("episodes", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_incident")),
    )
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.create_index(
            "ix_incident_key",
            ["version_id", "segment", "feature", "kind", "opened_ms"],
            unique=False,
        )
        batch_op.create_index(batch_op.f("ix_incident_state"), ["state"], unique=False)
        batch_op.create_index(batch_op.f("ix_incident_version_id"), ["version_id"], unique=False)

    op.create_table(
        "incident_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("incident_number", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_event")),
    )
    with op.batch_alter_table("incident_event", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_incident_event_incident_number"), ["incident_number"], unique=False
        )

    op.create_table(
        "latch",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("segment", sa.String(length=500), nullable=False),
        sa.Column("feature", sa.String(length=200), nullable=False),
        sa.Column("statistic", sa.String(length=16), nullable=False),
        sa.Column("length", sa.String(length=16), nullable=False),
        sa.Column("level", sa.String(length=10), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.Column("closed_as", sa.String(length=12), nullable=True),
        sa.Column("clear_count", sa.Integer(), nullable=False),
        sa.Column("last_evaluable_ms", sa.BigInteger(), nullable=False),
        sa.Column("exceeding", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "version_id",
            "segment",
            "feature",
            "statistic",
            "length",
            "level",
            "opened_ms",
            name=op.f("pk_latch"),
        ),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("archived_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("name", name=op.f("uq_model_name")),
    )
    op.create_table(
        "model_version",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("replaces", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_version")),
        sa.UniqueConstraint("model_id", "name", name=op.f("uq_model_version_model_id_name")),
    )
    op.create_table(
        "monitor",
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model_id", "revision", name=op.f("pk_monitor")),
    )
    op.create_table(
        "pane",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("gridset", sa.String(length=64), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("segment", sa.String(length=500), nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "version_id",
            "gridset",
            "start_ms",
            "segment",
            "stream_id",
            "partition",
            name=op.f("pk_pane"),
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reference",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("gridset", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_ms", sa.BigInteger(), nullable=True),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_reference")),
    )
    op.create_table(
        "registry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry")),
    )
    op.create_table(
        "registry_switch",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("registry_revision", sa.BigInteger(), nullable=False),
        sa.Column("switch_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "stream_id", "partition", "registry_revision", name=op.f("pk_registry_switch")
        ),
    )
    op.create_table(
        "stream",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cluster_id", sa.String(length=200), nullable=False),
        sa.Column("topic", sa.String(length=249), nullable=False),
        sa.Column("topic_id", sa.String(length=64), nullable=False),
        sa.Column("start_policy", sa.String(length=16), nullable=False),
        sa.Column("group_id", sa.String(length=249), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stream")),
        sa.UniqueConstraint("cluster_id", "topic_id", name=op.f("uq_stream_cluster_id_topic_id")),
    )
    op.create_table(
        "stream_position",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("start_offset", sa.BigInteger(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("claim_epoch", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=True),
        sa.Column("group_id", sa.String(length=249), nullable=False),
        sa.Column("max_event_time_ms", sa.BigInteger(), nullable=True),
        sa.Column("pending_advance", sa.Text(), nullable=True),
        sa.Column("registry_revision", sa.BigInteger(), nullable=False),
        sa.Column("end_offset", sa.BigInteger(), nullable=True),
        sa.Column("fetched_ms", sa.BigInteger(), nullable=True),
        sa.Column("caught_up_for_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_counted_kafka_ms", sa.BigInteger(), nullable=True),
        sa.Column("checkpointed_ms", sa.BigInteger(), nullable=True),
        sa.Column("checkpoints", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("fenced", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "partition", name=op.f("pk_stream_position")),
    )
    op.create_table(
        "unseen_value",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("gridset", sa.String(length=64), nullable=False),
        sa.Column("feature", sa.String(length=200), nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "version_id",
            "gridset",
            "feature",
            "stream_id",
            "partition",
            "value",
            name=op.f("pk_unseen_value"),
        ),
    )
    op.create_table(
        "window",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.String(length=16), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("segment", sa.String(length=500), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("rev_sum", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("closed_by", sa.String(length=16), nullable=False),
        sa.Column("incomplete", sa.Text(), nullable=True),
        sa.Column("reference_digest", sa.String(length=64), nullable=False),
        sa.Column("monitor_revision", sa.Integer(), nullable=False),
        sa.Column("fold", sa.Text(), nullable=False),
        sa.Column("judged_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "version_id", "length", "start_ms", "segment", name=op.f("pk_window")
        ),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("window", schema=None) as batch_op:
        batch_op.create_index(
            "ix_window_version_length_end", ["version_id", "length", "end_ms"], unique=False
        )

    # The two single rows that every writer moves.
    op.execute("INSERT INTO registry (id, revision) VALUES (1, 1)")
    op.execute("INSERT INTO data_version (id, value) VALUES (1, 1)")


def downgrade() -> None:
    with op.batch_alter_table("window", schema=None) as batch_op:
        batch_op.drop_index("ix_window_version_length_end")

    op.drop_table("window")
    op.drop_table("unseen_value")
    op.drop_table("stream_position")
    op.drop_table("stream")
    op.drop_table("registry_switch")
    op.drop_table("registry")
    op.drop_table("reference")
    op.drop_table("pane")
    op.drop_table("monitor")
    op.drop_table("model_version")
    op.drop_table("model")
    op.drop_table("latch")
    with op.batch_alter_table("incident_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_incident_event_incident_number"))

    op.drop_table("incident_event")
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_incident_version_id"))
        batch_op.drop_index(batch_op.f("ix_incident_state"))
        batch_op.drop_index("ix_incident_key")

    op.drop_table("incident")
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.drop_index("ix_finding_feature")

    op.drop_table("finding")
    op.drop_table("evaluator_cursor")
    op.drop_table("deficit")
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dead_letter_reason"))

    op.drop_table("dead_letter")
    op.drop_table("data_version")
    op.drop_table("data_gap")
    op.drop_table("counter")
    op.drop_table("calibration")
    with op.batch_alter_table("binding", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_binding_version_id"))

    op.drop_table("binding")
